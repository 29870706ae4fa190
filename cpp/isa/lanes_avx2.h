// AVX2 + FMA: 16 lanes are two 256-bit registers.
#pragma once

#include <immintrin.h>

#include "kernels/lanes.h"

namespace bge {
namespace {

struct Avx2 {
  struct F {
    __m256 lo, hi;
  };
  struct I {
    __m256i lo, hi;
  };

  static BGE_INLINE F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static BGE_INLINE void store(float* p, F v) {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
  }
  static BGE_INLINE F splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static BGE_INLINE I iload(const std::int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  static BGE_INLINE void istore(std::int32_t* p, I v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.lo);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), v.hi);
  }
  static BGE_INLINE I isplat(std::int32_t x) {
    return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
  }

  static BGE_INLINE F add(F a, F b) {
    return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
  }
  static BGE_INLINE F sub(F a, F b) {
    return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
  }
  static BGE_INLINE F mul(F a, F b) {
    return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
  }
  static BGE_INLINE F div(F a, F b) {
    return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
  }
  static BGE_INLINE F sqrt(F a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
  static BGE_INLINE F fma(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  // MINPS and MAXPS are a < b ? a : b and a > b ? a : b by definition.
  static BGE_INLINE F min(F a, F b) {
    return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
  }
  static BGE_INLINE F max(F a, F b) {
    return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
  }
  static BGE_INLINE F select_less(F a, F b, F x, F y) {
    return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
            _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
  }

  static BGE_INLINE I to_int(F a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
  static BGE_INLINE F to_float(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
  static BGE_INLINE F bits_to_float(I a) {
    return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
  }
  static BGE_INLINE I float_to_bits(F a) {
    return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)};
  }
  static BGE_INLINE I iadd(I a, I b) {
    return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
  }
  static BGE_INLINE I isub(I a, I b) {
    return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
  }
  static BGE_INLINE I imul(I a, I b) {
    return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
  }
  static BGE_INLINE I bit_or(I a, I b) {
    return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
  }
  static BGE_INLINE I bit_and(I a, I b) {
    return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
  }
  template <int N>
  static BGE_INLINE I shift_left(I a) {
    return {_mm256_slli_epi32(a.lo, N), _mm256_slli_epi32(a.hi, N)};
  }

  static BGE_INLINE I imax(I a, I b) {
    return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
  }

  template <int N>
  static BGE_INLINE F upper(F v) {
    if constexpr (N == 8) return {v.hi, v.hi};
    if constexpr (N == 4) return {_mm256_permute2f128_ps(v.lo, v.lo, 0x11), v.hi};
    constexpr int order = N == 2 ? _MM_SHUFFLE(3, 2, 3, 2) : _MM_SHUFFLE(3, 2, 1, 1);
    return {_mm256_permute_ps(v.lo, order), v.hi};
  }
  template <int N>
  static BGE_INLINE I upper(I v) {
    return float_to_bits(upper<N>(bits_to_float(v)));
  }
  static BGE_INLINE float first(F v) { return _mm256_cvtss_f32(v.lo); }
  static BGE_INLINE std::int32_t first(I v) { return _mm256_cvtsi256_si32(v.lo); }

  static BGE_INLINE I load_bytes(const std::int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
  }
  static BGE_INLINE __m256i words(I a) {  // 16 int32 -> 16 int16, lanes in order
    const __m256i pairs = _mm256_packs_epi32(a.lo, a.hi);
    return _mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(3, 1, 2, 0));
  }
  static BGE_INLINE void store_bytes(std::int8_t* p, I a) {
    const __m256i low = _mm256_and_si256(words(a), _mm256_set1_epi16(0xff));
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }

  static BGE_INLINE __m256i broadcast4(const void* codes) {
    std::int32_t four;
    __builtin_memcpy(&four, codes, sizeof four);
    return _mm256_set1_epi32(four);
  }

  // 8-bit dot product of a linear: VPMADDUBSW multiplies unsigned codes by signed weights and adds
  // neighbours in 16 bits. Two of its results are added before VPMADDWD by ones widens them.
  // Nothing overflows, because the packer limits the weights (ByteForm::kPaired). 64 multiply-adds
  // take five instructions, three of them on the two multiply ports: at most 43 a cycle; KeyDot
  // below reaches 32.
  //
  // Tile: 8 rows x 8 columns = 8 accumulators; 2 registers of weights, 1 of ones, 2 of products.
  struct LinearDot {
    static constexpr ByteForm kByteForm = ByteForm::kPaired;
    static constexpr int kColumns = 8;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 8;
    using Code = std::uint8_t;
    static constexpr int kCodeOffset = 128;
    using Weights = __m256i;
    using Acc = __m256i;
    using Quad = __m256i;

    static BGE_INLINE void store_codes(Code* p, I a) {
      store_bytes(reinterpret_cast<std::int8_t*>(p), iadd(a, isplat(kCodeOffset)));
    }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(step));
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) { return broadcast4(codes); }
    static BGE_INLINE Acc zero_acc() { return _mm256_setzero_si256(); }
    static BGE_INLINE Acc widen(Acc acc, __m256i sums) {
      return _mm256_add_epi32(acc, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
    }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return widen(acc, _mm256_maddubs_epi16(codes, w));
    }
    static BGE_INLINE Acc dot(Acc acc, Weights w0, Quad codes0, Weights w1, Quad codes1) {
      return widen(acc, _mm256_add_epi16(_mm256_maddubs_epi16(codes0, w0),
                                         _mm256_maddubs_epi16(codes1, w1)));
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(columns), acc);
    }
  };

  // 8-bit dot product for keys and values, which use their whole range: weights and codes are
  // widened to 16 bits for VPMADDWD, which cannot saturate. Codes are widened once, when they are
  // stored.
  //
  // Tile: 6 rows x 8 columns = 12 accumulators (VPMADDWD gives two partial sums a column, so 8
  // columns take two registers), 2 registers of weights and 1 of codes, of 16 registers.
  // 3 rows x 16 columns was rejected: it widens weights twice as often (28 instead of 26 vector
  // instructions for 192 multiply-adds).
  struct KeyDot {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 8;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 6;
    using Code = std::int16_t;
    static constexpr int kCodeOffset = 0;
    static constexpr int kWeightOffset = 0;
    using Weights = I;  // columns 0-3 and 4-7, 16 int16 each: four k a column
    using Acc = I;
    using Quad = __m256i;

    static BGE_INLINE void store_codes(Code* p, I a) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), words(a));
    }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      return {_mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(step))),
              _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(step + 16)))};
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) {
      long long four;
      __builtin_memcpy(&four, codes, sizeof four);
      return _mm256_set1_epi64x(four);
    }
    static BGE_INLINE Acc zero_acc() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      // The empty assembly fixes the order: 12 accumulators, weights, codes and one product fill
      // all 16 registers; otherwise GCC computes products early and spills nine accumulators to
      // memory.
      acc.lo = _mm256_add_epi32(acc.lo, _mm256_madd_epi16(w.lo, codes));
      __asm__ volatile("" : "+x"(acc.lo));
      acc.hi = _mm256_add_epi32(acc.hi, _mm256_madd_epi16(w.hi, codes));
      __asm__ volatile("" : "+x"(acc.hi));
      return acc;
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) {
      // HADD adds neighbours within 128-bit halves: c0 c1 c4 c5 | c2 c3 c6 c7.
      const __m256i sums = _mm256_hadd_epi32(acc.lo, acc.hi);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(columns),
                          _mm256_permute4x64_epi64(sums, _MM_SHUFFLE(3, 1, 2, 0)));
    }
  };

  using ValueDot = KeyDot;

  // Float tile: 6 rows x 16 columns = 12 accumulators, 2 weights, 1 broadcast. 12 chains cover
  // the latency of 4 cycles at 2 FMA a cycle (8 needed).
  static constexpr int kFloatPanels = 1;
  static constexpr int kFloatRows = 6;
};

}  // namespace
}  // namespace bge
