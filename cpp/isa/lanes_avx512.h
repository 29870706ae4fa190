// AVX-512 (F, BW, DQ, VL) with VNNI: 16 lanes are one register.
#pragma once

#include <immintrin.h>

#include "isa/dots_vnni.h"
#include "kernels/lanes.h"

namespace bge {
namespace {

struct Avx512Vnni {
  using F = __m512;
  using I = __m512i;

  static BGE_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  static BGE_INLINE void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static BGE_INLINE F splat(float x) { return _mm512_set1_ps(x); }
  static BGE_INLINE I iload(const std::int32_t* p) { return _mm512_loadu_si512(p); }
  static BGE_INLINE void istore(std::int32_t* p, I v) { _mm512_storeu_si512(p, v); }
  static BGE_INLINE I isplat(std::int32_t x) { return _mm512_set1_epi32(x); }

  static BGE_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static BGE_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static BGE_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static BGE_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  static BGE_INLINE F sqrt(F a) { return _mm512_sqrt_ps(a); }
  static BGE_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static BGE_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  static BGE_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  static BGE_INLINE F select_less(F a, F b, F x, F y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
  }

  static BGE_INLINE I to_int(F a) { return _mm512_cvtps_epi32(a); }
  static BGE_INLINE F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  static BGE_INLINE F bits_to_float(I a) { return _mm512_castsi512_ps(a); }
  static BGE_INLINE I float_to_bits(F a) { return _mm512_castps_si512(a); }
  static BGE_INLINE I iadd(I a, I b) { return _mm512_add_epi32(a, b); }
  static BGE_INLINE I isub(I a, I b) { return _mm512_sub_epi32(a, b); }
  static BGE_INLINE I imul(I a, I b) { return _mm512_mullo_epi32(a, b); }
  static BGE_INLINE I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
  static BGE_INLINE I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
  template <int N>
  static BGE_INLINE I shift_left(I a) {
    return _mm512_slli_epi32(a, N);
  }

  static BGE_INLINE I imax(I a, I b) { return _mm512_max_epi32(a, b); }

  template <int N>
  static BGE_INLINE F upper(F v) {
    if constexpr (N == 8) return _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(3, 2, 3, 2));
    if constexpr (N == 4) return _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(3, 2, 1, 1));
    return _mm512_permute_ps(v, N == 2 ? _MM_SHUFFLE(3, 2, 3, 2) : _MM_SHUFFLE(3, 2, 1, 1));
  }
  template <int N>
  static BGE_INLINE I upper(I v) {
    return float_to_bits(upper<N>(bits_to_float(v)));
  }
  static BGE_INLINE float first(F v) { return _mm512_cvtss_f32(v); }
  static BGE_INLINE std::int32_t first(I v) { return _mm512_cvtsi512_si32(v); }

  static BGE_INLINE I load_bytes(const std::int8_t* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static BGE_INLINE void store_bytes(std::int8_t* p, I a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
  }

  // Tile: 8 rows x 32 columns = 16 accumulators, 2 registers of weights, of 32 registers.
  // One VPDPBUSD a cycle at a latency of 4 needs 4 chains at least; with 16, loads cost less.
  // 12 rows were rejected: 87 % of the VPDPBUSD peak over the model's linears, 8 rows 93 %.
  struct Tile {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 16;
    static constexpr int kPanels = 2;
    static constexpr int kRows = 8;
    using I = __m512i;
    using Weights = __m512i;
    using Acc = __m512i;
    using Quad = __m512i;

    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      return _mm512_load_si512(step);
    }
    static BGE_INLINE Quad load_codes4(const void* codes) {
      std::int32_t four;
      __builtin_memcpy(&four, codes, sizeof four);
      return _mm512_set1_epi32(four);
    }
    static BGE_INLINE Acc zero_acc() { return _mm512_setzero_si512(); }
    static BGE_INLINE Acc dpbusd(Acc acc, __m512i u, __m512i s) {
      return _mm512_dpbusd_epi32(acc, u, s);
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) {
      _mm512_storeu_si512(columns, acc);
    }
  };
  using LinearDot = VnniDots<Avx512Vnni, Tile>::LinearDot;
  using KeyDot = VnniDots<Avx512Vnni, Tile>::KeyDot;
  using ValueDot = VnniDots<Avx512Vnni, Tile>::ValueDot;

  // Float tile: 6 rows x 32 columns, 12 chains of FMA where 8 cover its latency. 98 % of the FMA
  // peak over the model's linears; 12 rows 94 %.
  static constexpr int kFloatPanels = 2;
  static constexpr int kFloatRows = 6;
};

}  // namespace
}  // namespace bge
