// GELU by erf: x * Phi(x), Phi the normal distribution function.
// Constants and errors: scripts/fit_approximations.py.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

// gelu(x) = max(x, 0) + n Phi(n) with n = max(-|x|, -5.75); Phi is a polynomial of degree 7, three
// times squared and shifted. Absolute error below 1.8e-7 * max(1, |x|); gelu(0) = 0; x itself from
// 5.75 up; the constant -7.4e-8 from -5.75 down and for NaN. Rejected: erf as a rational function
// (two operations more and a division), as a polynomial (five more), by exp (six more).
template <class Isa>
BGE_INLINE typename Isa::F gelu(typename Isa::F x) {
  using F = typename Isa::F;
  const F negative = Isa::bits_to_float(
      Isa::bit_or(Isa::float_to_bits(x), Isa::isplat(static_cast<std::int32_t>(0x80000000u))));
  const F n = Isa::max(negative, Isa::splat(-5.75f));
  F p = Isa::fma(Isa::splat(-0x1.079e5p-18f), n, Isa::splat(-0x1.604072p-15f));
  p = Isa::fma(p, n, Isa::splat(0x1.021604p-16f));
  p = Isa::fma(p, n, Isa::splat(0x1.9eb7cep-10f));
  p = Isa::fma(p, n, Isa::splat(0x1.85e1b6p-11f));
  p = Isa::fma(p, n, Isa::splat(-0x1.057832p-5f));
  p = Isa::fma(p, n, Isa::splat(0x1.76db98p-4f));
  p = Isa::fma(p, n, Isa::splat(0x1.d52d1ap-1f));
  p = Isa::fma(p, p, Isa::splat(0x1.508904p-10f));
  p = Isa::fma(p, p, Isa::splat(-0x1.664eep-13f));
  p = Isa::mul(p, p);
  return Isa::fma(n, p, Isa::max(x, Isa::splat(0.0f)));
}

}  // namespace
}  // namespace bge
