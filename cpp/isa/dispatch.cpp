#include "isa/dispatch.h"

#include <stdexcept>

#include "isa/cpu.h"
#include "isa/tables.h"

namespace bge {

const std::vector<IsaEntry>& isa_list() {
  static const std::vector<IsaEntry> list = [] {
    [[maybe_unused]] const CpuFeatures cpu = detect_cpu();
    return std::vector<IsaEntry>{
#if defined(BGE_MICRO_X86)
        {&kAvx512VnniKernels, cpu.avx512_vnni},
        {&kAvx512VlVnniKernels, cpu.avx512_vnni},
        {&kAvxVnniKernels, cpu.avx_vnni},
        {&kAvx2Kernels, cpu.avx2_fma},
        {&kSse41Kernels, cpu.sse41},
#elif defined(BGE_MICRO_ARM64)
        {&kNeonI8mmKernels, cpu.neon_i8mm},
        {&kNeonDotprodKernels, cpu.neon_dotprod},
        {&kNeonKernels, cpu.neon},
#endif
        {&kScalarKernels, true},
    };
  }();
  return list;
}

const KernelTable& select_kernels(const std::string& name) {
  std::string built;
  for (const IsaEntry& entry : isa_list()) {
    if (name.empty() ? entry.supported : name == entry.kernels->name) {
      if (entry.supported) return *entry.kernels;
      throw std::invalid_argument("instruction set '" + name +
                                  "' is not supported by this CPU (or not enabled by its "
                                  "operating system); unset BGE_MICRO_ISA to use the best one");
    }
    built += built.empty() ? "" : ", ";
    built += entry.kernels->name;
  }
  throw std::invalid_argument("unknown instruction set '" + name + "'; this build has: " + built);
}

}  // namespace bge
