// The floating-point mode in which every result is defined: round to nearest even, subnormals kept,
// no traps. It is set while the core computes; afterwards the caller's mode is restored.
#pragma once

#if defined(BGE_MICRO_X86)
#include <xmmintrin.h>
#endif

#include <cstdint>

namespace bge {

class FloatMode {
 public:
  FloatMode() : saved_(get()) { set(kDefault); }
  ~FloatMode() { set(saved_); }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
#if defined(BGE_MICRO_X86)
  using Word = unsigned;
  static constexpr Word kDefault = 0x1f80;  // MXCSR: all exceptions masked, nothing else
  static Word get() { return _mm_getcsr(); }
  static void set(Word word) { _mm_setcsr(word); }
#elif defined(BGE_MICRO_ARM64)
  using Word = std::uint64_t;
  static constexpr Word kDefault = 0;  // FPCR
  static Word get() {
    Word word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void set(Word word) { __asm__ volatile("msr fpcr, %0" : : "r"(word) : "memory"); }
#else
#error "Only x86-64 and aarch64 are supported: nothing is known of this CPU's float modes."
#endif
  Word saved_;
};

}  // namespace bge
