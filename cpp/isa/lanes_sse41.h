// SSE4.1, for x86 without AVX2: 16 lanes are four 128-bit registers. There is no fused
// multiply-add; soft_fma_sse2.h computes it with doubles.
#pragma once

#include <smmintrin.h>

#include "isa/soft_fma_sse2.h"
#include "kernels/lanes.h"

namespace bge {
namespace {

struct Sse41 {
  struct F {
    __m128 part[4];
  };
  struct I {
    __m128i part[4];
  };

  template <class Op>
  static BGE_INLINE F each(Op op) {
    return {{op(0), op(1), op(2), op(3)}};
  }
  template <class Op>
  static BGE_INLINE I ieach(Op op) {
    return {{op(0), op(1), op(2), op(3)}};
  }

  static BGE_INLINE F load(const float* p) {
    return each([=](int i) { return _mm_loadu_ps(p + 4 * i); });
  }
  static BGE_INLINE void store(float* p, F v) {
    for (int i = 0; i < 4; ++i) _mm_storeu_ps(p + 4 * i, v.part[i]);
  }
  static BGE_INLINE F splat(float x) {
    return each([=](int) { return _mm_set1_ps(x); });
  }
  static BGE_INLINE I iload(const std::int32_t* p) {
    return ieach(
        [=](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 4 * i)); });
  }
  static BGE_INLINE void istore(std::int32_t* p, I v) {
    for (int i = 0; i < 4; ++i) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 4 * i), v.part[i]);
    }
  }
  static BGE_INLINE I isplat(std::int32_t x) {
    return ieach([=](int) { return _mm_set1_epi32(x); });
  }

  static BGE_INLINE F add(F a, F b) {
    return each([=](int i) { return _mm_add_ps(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F sub(F a, F b) {
    return each([=](int i) { return _mm_sub_ps(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F mul(F a, F b) {
    return each([=](int i) { return _mm_mul_ps(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F div(F a, F b) {
    return each([=](int i) { return _mm_div_ps(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F sqrt(F a) {
    return each([=](int i) { return _mm_sqrt_ps(a.part[i]); });
  }
  static BGE_INLINE F fma(F a, F b, F c) {
    return {{soft_fma(a.part[0], b.part[0], c.part[0]), soft_fma(a.part[1], b.part[1], c.part[1]),
             soft_fma(a.part[2], b.part[2], c.part[2]), soft_fma(a.part[3], b.part[3], c.part[3])}};
  }
  // MINPS and MAXPS are a < b ? a : b and a > b ? a : b by definition.
  static BGE_INLINE F min(F a, F b) {
    return each([=](int i) { return _mm_min_ps(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F max(F a, F b) {
    return each([=](int i) { return _mm_max_ps(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F select_less(F a, F b, F x, F y) {
    return each([=](int i) {
      return _mm_blendv_ps(y.part[i], x.part[i], _mm_cmplt_ps(a.part[i], b.part[i]));
    });
  }

  static BGE_INLINE I to_int(F a) {
    return ieach([=](int i) { return _mm_cvtps_epi32(a.part[i]); });
  }
  static BGE_INLINE F to_float(I a) {
    return each([=](int i) { return _mm_cvtepi32_ps(a.part[i]); });
  }
  static BGE_INLINE F bits_to_float(I a) {
    return each([=](int i) { return _mm_castsi128_ps(a.part[i]); });
  }
  static BGE_INLINE I float_to_bits(F a) {
    return ieach([=](int i) { return _mm_castps_si128(a.part[i]); });
  }
  static BGE_INLINE I iadd(I a, I b) {
    return ieach([=](int i) { return _mm_add_epi32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I isub(I a, I b) {
    return ieach([=](int i) { return _mm_sub_epi32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I imul(I a, I b) {
    return ieach([=](int i) { return _mm_mullo_epi32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I bit_or(I a, I b) {
    return ieach([=](int i) { return _mm_or_si128(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I bit_and(I a, I b) {
    return ieach([=](int i) { return _mm_and_si128(a.part[i], b.part[i]); });
  }
  template <int N>
  static BGE_INLINE I shift_left(I a) {
    return ieach([=](int i) { return _mm_slli_epi32(a.part[i], N); });
  }

  static BGE_INLINE I imax(I a, I b) {
    return ieach([=](int i) { return _mm_max_epi32(a.part[i], b.part[i]); });
  }

  template <int N>
  static BGE_INLINE F upper(F v) {
    if constexpr (N == 8) return {{v.part[2], v.part[3], v.part[2], v.part[3]}};
    if constexpr (N == 4) return {{v.part[1], v.part[1], v.part[1], v.part[1]}};
    constexpr int order = N == 2 ? _MM_SHUFFLE(3, 2, 3, 2) : _MM_SHUFFLE(3, 2, 1, 1);
    return each([=](int) { return _mm_shuffle_ps(v.part[0], v.part[0], order); });
  }
  template <int N>
  static BGE_INLINE I upper(I v) {
    return float_to_bits(upper<N>(bits_to_float(v)));
  }
  static BGE_INLINE float first(F v) { return _mm_cvtss_f32(v.part[0]); }
  static BGE_INLINE std::int32_t first(I v) { return _mm_cvtsi128_si32(v.part[0]); }

  static BGE_INLINE __m128i four_bytes(const void* p) {
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return _mm_cvtsi32_si128(four);
  }
  static BGE_INLINE I load_bytes(const std::int8_t* p) {
    return ieach([=](int i) { return _mm_cvtepi8_epi32(four_bytes(p + 4 * i)); });
  }
  static BGE_INLINE __m128i words(I a, int half) {  // 8 lanes of a half -> 8 int16
    return _mm_packs_epi32(a.part[2 * half], a.part[2 * half + 1]);
  }
  static BGE_INLINE void store_bytes(std::int8_t* p, I a) {
    const __m128i byte = _mm_set1_epi16(0xff);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(p),
        _mm_packus_epi16(_mm_and_si128(words(a, 0), byte), _mm_and_si128(words(a, 1), byte)));
  }

  // 8-bit dot product of a linear: Avx2::LinearDot in halves. PMADDUBSW is older than SSE4.1.
  //
  // Tile: 4 rows x 8 columns = 8 accumulators; 4 registers of weights, 1 of ones, 2 of products.
  struct LinearDot {
    static constexpr ByteForm kByteForm = ByteForm::kPaired;
    static constexpr int kColumns = 8;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 4;
    using Code = std::uint8_t;
    static constexpr int kCodeOffset = 128;
    struct Columns {
      __m128i lo, hi;  // columns 0-3 and 4-7
    };
    using Weights = Columns;
    using Acc = Columns;
    using Quad = __m128i;

    static BGE_INLINE void store_codes(Code* p, I a) {
      store_bytes(reinterpret_cast<std::int8_t*>(p), iadd(a, isplat(kCodeOffset)));
    }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      const __m128i* p = reinterpret_cast<const __m128i*>(step);
      return {_mm_loadu_si128(p), _mm_loadu_si128(p + 1)};
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) {
      return _mm_shuffle_epi32(four_bytes(codes), 0);
    }
    static BGE_INLINE Acc zero_acc() { return {_mm_setzero_si128(), _mm_setzero_si128()}; }
    static BGE_INLINE __m128i widen(__m128i acc, __m128i sums) {
      return _mm_add_epi32(acc, _mm_madd_epi16(sums, _mm_set1_epi16(1)));
    }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return {widen(acc.lo, _mm_maddubs_epi16(codes, w.lo)),
              widen(acc.hi, _mm_maddubs_epi16(codes, w.hi))};
    }
    static BGE_INLINE __m128i products(__m128i w0, Quad codes0, __m128i w1, Quad codes1) {
      return _mm_add_epi16(_mm_maddubs_epi16(codes0, w0), _mm_maddubs_epi16(codes1, w1));
    }
    static BGE_INLINE Acc dot(Acc acc, Weights w0, Quad codes0, Weights w1, Quad codes1) {
      return {widen(acc.lo, products(w0.lo, codes0, w1.lo, codes1)),
              widen(acc.hi, products(w0.hi, codes0, w1.hi, codes1))};
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(columns), acc.lo);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(columns + 4), acc.hi);
    }
  };

  // 8-bit dot product for keys and values: Avx2::KeyDot in halves.
  //
  // Tile: 2 rows x 8 columns = 8 accumulators, 4 registers of weights, 1 of codes.
  struct KeyDot {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 8;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 2;
    using Code = std::int16_t;
    static constexpr int kCodeOffset = 0;
    static constexpr int kWeightOffset = 0;
    using Weights = I;  // two columns a register, 8 int16: four k a column
    using Acc = I;
    using Quad = __m128i;

    static BGE_INLINE void store_codes(Code* p, I a) {
      for (int half = 0; half < 2; ++half) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8 * half), words(a, half));
      }
    }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      return ieach([=](int i) {
        return _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(step + 8 * i)));
      });
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) {
      const __m128i four = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes));
      return _mm_unpacklo_epi64(four, four);
    }
    static BGE_INLINE Acc zero_acc() { return isplat(0); }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return ieach(
          [=](int i) { return _mm_add_epi32(acc.part[i], _mm_madd_epi16(w.part[i], codes)); });
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) {
      __m128i* p = reinterpret_cast<__m128i*>(columns);
      _mm_storeu_si128(p, _mm_hadd_epi32(acc.part[0], acc.part[1]));
      _mm_storeu_si128(p + 1, _mm_hadd_epi32(acc.part[2], acc.part[3]));
    }
  };

  using ValueDot = KeyDot;

  // Float tile: two rows share the weights' conversion to double; more only spill more.
  static constexpr int kFloatPanels = 1;
  static constexpr int kFloatRows = 2;
};

}  // namespace
}  // namespace bge
