#include "isa/cpu.h"

#include <cstdint>

#if defined(BGE_MICRO_X86)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif
#elif defined(BGE_MICRO_ARM64)
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

namespace bge {

#if defined(BGE_MICRO_X86)
namespace {

struct Leaf {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  Leaf r;
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
  return r;
}

// XCR0 tells which register states the operating system saves. Inline assembly, because the
// compilers offer the intrinsic only to code built with -mxsave.
std::uint64_t saved_states() {
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<std::uint64_t>(high) << 32 | low;
}

bool bit(std::uint32_t word, int index) { return (word >> index & 1u) != 0; }

// Asks for the right to use tile registers, which make the stack of a signal 8 KB larger: Linux
// gives it to processes that ask. Returns why it is refused, or "". Windows wants to be asked, too,
// by a call of its own, which nobody has tested: there, AMX counts as not supported. macOS runs on
// no CPU with AMX.
#if defined(__linux__)
std::string ask_for_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, since Linux 5.16
  constexpr long kTileData = 18;               // its bit in XCR0
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) return "";
  const int error = errno;
  std::string why = "Linux does not let this process use AMX: ";
  why += std::strerror(error);
  if (error == ENOSPC) why += " (on the alternate signal stack of a thread)";
  return why;
}
#endif

}  // namespace

// Bit numbers: Intel Software Developer's Manual, volume 2, CPUID.
CpuFeatures detect_cpu() {
  CpuFeatures features;
  const std::uint32_t last_leaf = cpuid(0, 0).eax;
  const Leaf basic = cpuid(1, 0);
  features.sse41 = bit(basic.ecx, 19);
  const bool os_xsave = bit(basic.ecx, 27);
  if (last_leaf < 7 || !os_xsave) return features;
  const Leaf extended = cpuid(7, 0);
  const Leaf more = extended.eax >= 1 ? cpuid(7, 1) : Leaf{};
  const std::uint64_t saved = saved_states();
  const bool os_ymm = (saved & 0x06) == 0x06;
  const bool os_zmm = (saved & 0xe6) == 0xe6;
  features.avx2_fma = os_ymm && bit(basic.ecx, 28) && bit(basic.ecx, 12) && bit(extended.ebx, 5);
  features.avx_vnni = features.avx2_fma && bit(more.eax, 4);
  features.avx512_vnni = features.avx2_fma && os_zmm && bit(extended.ebx, 16) &&
                         bit(extended.ebx, 17) && bit(extended.ebx, 30) && bit(extended.ebx, 31) &&
                         bit(extended.ecx, 11);
#if defined(__linux__)
  const bool os_tiles = (saved & 0x60000) == 0x60000;
  if (features.avx512_vnni && os_tiles && bit(extended.edx, 24) && bit(extended.edx, 25)) {
    features.amx_refused = ask_for_tiles();
    features.amx_int8 = features.amx_refused.empty();
  }
#endif
  return features;
}

#elif defined(BGE_MICRO_ARM64)

#if defined(__APPLE__)
namespace {

bool system_has(const char* feature) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(feature, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace
#endif

CpuFeatures detect_cpu() {
  CpuFeatures features;
#if defined(__linux__)
  constexpr unsigned long kDotprod = 1ul << 20;  // HWCAP_ASIMDDP
  constexpr unsigned long kI8mm = 1ul << 13;     // HWCAP2_I8MM
  features.neon_dotprod = (getauxval(AT_HWCAP) & kDotprod) != 0;
  features.neon_i8mm = features.neon_dotprod && (getauxval(AT_HWCAP2) & kI8mm) != 0;
#elif defined(__APPLE__)
  features.neon_dotprod = system_has("hw.optional.arm.FEAT_DotProd");
  features.neon_i8mm = features.neon_dotprod && system_has("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  constexpr DWORD kDotprod = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
  constexpr DWORD kI8mm = 66;     // PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE
  features.neon_dotprod = IsProcessorFeaturePresent(kDotprod) != 0;
  features.neon_i8mm = features.neon_dotprod && IsProcessorFeaturePresent(kI8mm) != 0;
#endif
  return features;
}

#endif

}  // namespace bge
