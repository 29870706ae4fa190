// AVX2 with an 8-bit dot product on 256 bits; everything else is in lanes_avx2.h.
//
// VPDPBUSD on 256 bits has two encodings: that of AVX-VNNI, which Intel's client CPUs have since
// Alder Lake, and that of AVX-512 VL with VNNI. The compiler's flags select one.
#pragma once

#include "isa/dots_vnni.h"
#include "isa/lanes_avx2.h"

namespace bge {
namespace {

struct AvxVnni : Avx2 {
  // Tile: 6 rows x 16 columns = 12 accumulators, 2 registers of weights and 1 of codes, of 16
  // registers. Two VPDPBUSD a cycle at a latency of 5 need 10 chains.
  struct Tile {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 16;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 6;
    using I = Avx2::I;
    using Weights = I;
    using Acc = I;
    using Quad = __m256i;

    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      const __m256i* p = reinterpret_cast<const __m256i*>(step);
      return {_mm256_load_si256(p), _mm256_load_si256(p + 1)};
    }
    static BGE_INLINE Quad load_codes4(const void* codes) { return broadcast4(codes); }
    static BGE_INLINE Acc zero_acc() { return isplat(0); }
    // pin() fixes the order: 12 accumulators, weights and codes leave one register free; otherwise
    // GCC reorders the products and spills up to ten accumulators to memory.
    static BGE_INLINE void pin(__m256i& sums) { __asm__ volatile("" : "+x"(sums)); }
    static BGE_INLINE Acc dpbusd(Acc acc, Quad u, Weights s) {
      acc.lo = _mm256_dpbusd_epi32(acc.lo, u, s.lo);
      pin(acc.lo);
      acc.hi = _mm256_dpbusd_epi32(acc.hi, u, s.hi);
      pin(acc.hi);
      return acc;
    }
    static BGE_INLINE Acc dpbusd(Acc acc, Weights u, Quad s) {
      acc.lo = _mm256_dpbusd_epi32(acc.lo, u.lo, s);
      pin(acc.lo);
      acc.hi = _mm256_dpbusd_epi32(acc.hi, u.hi, s);
      pin(acc.hi);
      return acc;
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) { istore(columns, acc); }
  };
  using LinearDot = VnniDots<Avx2, Tile>::LinearDot;
  using KeyDot = VnniDots<Avx2, Tile>::KeyDot;
  using ValueDot = VnniDots<Avx2, Tile>::ValueDot;
};

}  // namespace
}  // namespace bge
