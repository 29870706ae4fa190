// exp for softmax, for float32 and for int8. Constants and errors: scripts/fit_approximations.py.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

// Adding 1.5 * 2^23 rounds a float to an integer, which is then in the low bits of the sum.
inline constexpr float kIntegerMagic = 0x1.8p+23f;
inline constexpr std::int32_t kIntegerMagicBits = 0x4b400000;

// exp(x) for x <= 0. Relative error below 1.7e-7; exactly 1 at 0; +0 for x <= -87, so that no
// result is subnormal (the smallest is 1.6e-38), and for minus infinity and NaN.
//   x = k ln2 + r, k integer: exp(x) = 2^k P5(r), the exponent added as an integer.
template <class Isa>
BGE_INLINE typename Isa::F exp_negative(typename Isa::F x) {
  using F = typename Isa::F;
  const F magic = Isa::splat(kIntegerMagic);
  const F shifted = Isa::fma(x, Isa::splat(0x1.715476p+0f), magic);  // log2(e)
  const F k = Isa::sub(shifted, magic);
  F r = Isa::fma(k, Isa::splat(-0x1.62e430p-1f), x);  // ln2 in two parts
  r = Isa::fma(k, Isa::splat(0x1.05c610p-29f), r);
  F p = Isa::fma(Isa::splat(0x1.0fa32ap-7f), r, Isa::splat(0x1.573a22p-5f));
  p = Isa::fma(p, r, Isa::splat(0x1.555a7ap-3f));
  p = Isa::fma(p, r, Isa::splat(0x1.fffdc6p-2f));
  p = Isa::fma(p, r, Isa::splat(0x1.fffff6p-1f));
  p = Isa::fma(p, r, Isa::splat(1.0f));
  // The shift drops the high bits of the constant; what remains is k in the exponent's bits.
  const F power = Isa::bits_to_float(
      Isa::iadd(Isa::float_to_bits(p), Isa::template shift_left<23>(Isa::float_to_bits(shifted))));
  return Isa::select_less(Isa::splat(-87.0f), x, power, Isa::splat(0.0f));
}

// The square root of 255 * exp(x) for x = score - highest in [-12, 0]; for lower x and for NaN that
// of x = -12. The caller gives `below`, the integer difference of scores, and `slope`, the value of
// one unit of it times kExpRootSlope.
// The square is rounded to 8 bits, so that a range reduction is not worth its time: the root is
// approximated by a linear function that is squared four times, with a constant added after each
// squaring. Error of the result's square below 6e-4, below 2e-4 for x < -5.
// Rejected: to subtract the highest score within the linear function; for scores of 1e4 and more
// the rounding is then so coarse that the highest score gives more than 255.
inline constexpr float kExpRootSlope = 0x1.e87c5cp-5f;
template <class Isa>
BGE_INLINE typename Isa::F exp_255_root(typename Isa::F below, typename Isa::F slope) {
  using F = typename Isa::F;
  F q = Isa::fma(below, slope, Isa::splat(0x1.aa5b52p-1f));
  q = Isa::max(q, Isa::splat(0x1.dff068p-4f));  // at x = -12
  q = Isa::fma(q, q, Isa::splat(0x1.45f62ep-2f));
  q = Isa::fma(q, q, Isa::splat(0x1.754332p+0f));
  q = Isa::fma(q, q, Isa::splat(-0x1.1406cp+1f));
  return Isa::fma(q, q, Isa::splat(-0x1.9f96b6p-5f));
}

// The integer nearest to q * q, which must be below 2^22: rounded once, by one operation.
template <class Isa>
BGE_INLINE typename Isa::I round_square(typename Isa::F q) {
  const typename Isa::F shifted = Isa::fma(q, q, Isa::splat(kIntegerMagic));
  return Isa::isub(Isa::float_to_bits(shifted), Isa::isplat(kIntegerMagicBits));
}

}  // namespace
}  // namespace bge
