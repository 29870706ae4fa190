// AVX2 with the 8-bit dot product on 256 bits: all but that is lanes_avx2.h.
//
// VPDPBUSD on 256 bits has two encodings: that of AVX-VNNI, which Intel's client CPUs have since
// Alder Lake, and that of AVX-512 VL with VNNI. The compiler's flags choose.
#pragma once

#include "isa/lanes_avx2.h"

namespace bge {
namespace {

struct AvxVnni : Avx2 {
  // As with AVX-512, the weights are the unsigned operand (plus 128), the codes a broadcast.
  //
  // Tile: 6 rows x 16 columns = 12 accumulators, 2 registers of weights and 1 of codes of the 16
  // there are. Two VPDPBUSD a cycle at a latency of 5 need 10 chains.
  struct Dot {
    static constexpr ByteForm kByteForm = ByteForm::kOffset;
    static constexpr int kColumns = 16;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 6;
    using Code = std::int8_t;
    static constexpr int kCodeOffset = 0;
    using Weights = I;
    using Acc = I;
    using Quad = __m256i;

    static BGE_INLINE void store_codes(Code* p, I a) { store_bytes(p, a); }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      const __m256i* p = reinterpret_cast<const __m256i*>(step);
      return {_mm256_load_si256(p), _mm256_load_si256(p + 1)};
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) { return broadcast4(codes); }
    static BGE_INLINE Acc zero_acc() { return isplat(0); }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return {_mm256_dpbusd_epi32(acc.lo, w.lo, codes), _mm256_dpbusd_epi32(acc.hi, w.hi, codes)};
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) { istore(columns, acc); }
  };
  using LinearDot = Dot;
  using AttentionDot = Dot;
};

}  // namespace
}  // namespace bge
