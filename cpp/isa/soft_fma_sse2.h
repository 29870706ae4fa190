// kernels/soft_fma.h for registers: four fused multiply-adds by SSE2's double arithmetic.
#pragma once

#include <emmintrin.h>

#include "kernels/lanes.h"

namespace bge {
namespace {

// product + addend, rounded to odd.
BGE_INLINE __m128d add_round_to_odd(__m128d product, __m128d addend) {
  const __m128d sum = _mm_add_pd(product, addend);
  const __m128d back = _mm_sub_pd(sum, product);
  const __m128d error =
      _mm_add_pd(_mm_sub_pd(product, _mm_sub_pd(sum, back)), _mm_sub_pd(addend, back));
  // Both are false for NaN, which infinities give.
  const __m128d zero = _mm_setzero_pd();
  const __m128d inexact = _mm_or_pd(_mm_cmplt_pd(error, zero), _mm_cmpgt_pd(error, zero));
  // If sum and error differ in sign, rounding went away from zero: go one step back.
  const __m128d away = _mm_and_pd(_mm_xor_pd(sum, error), inexact);
  const __m128i below =
      _mm_sub_epi64(_mm_castpd_si128(sum), _mm_srli_epi64(_mm_castpd_si128(away), 63));
  return _mm_castsi128_pd(_mm_or_si128(below, _mm_srli_epi64(_mm_castpd_si128(inexact), 63)));
}

BGE_INLINE __m128d low_doubles(__m128 v) { return _mm_cvtps_pd(v); }
BGE_INLINE __m128d high_doubles(__m128 v) { return _mm_cvtps_pd(_mm_movehl_ps(v, v)); }
BGE_INLINE __m128 to_floats(__m128d low, __m128d high) {
  return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}

// Not inlined, because it would be most of the code.
__attribute__((noinline, cold)) __m128 soft_fma_exact(__m128 a, __m128 b, __m128 c) {
  return to_floats(add_round_to_odd(_mm_mul_pd(low_doubles(a), low_doubles(b)), low_doubles(c)),
                   add_round_to_odd(_mm_mul_pd(high_doubles(a), high_doubles(b)), high_doubles(c)));
}

BGE_INLINE __m128 soft_fma(__m128 a, __m128 b, __m128 c) {
  const __m128d low = _mm_add_pd(_mm_mul_pd(low_doubles(a), low_doubles(b)), low_doubles(c));
  const __m128d high = _mm_add_pd(_mm_mul_pd(high_doubles(a), high_doubles(b)), high_doubles(c));
  const __m128i ends = _mm_castps_si128(
      _mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), _MM_SHUFFLE(2, 0, 2, 0)));
  const __m128i halfway = _mm_cmpeq_epi32(_mm_slli_epi32(ends, 4), _mm_setzero_si128());
  if (__builtin_expect(_mm_movemask_epi8(halfway) == 0, 1)) return to_floats(low, high);
  return soft_fma_exact(a, b, c);
}

}  // namespace
}  // namespace bge
