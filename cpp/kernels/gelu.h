// GELU by erf: x * Phi(x), Phi the normal distribution function, for float32 and for int8.
// Constants and errors: scripts/fit_approximations.py.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

// Both compute GELU(x) = max(x, 0) + n Phi(n) with n = max(-|x|, bound); at the bound, n Phi(n) is
// nearly zero.
template <class Isa>
BGE_INLINE typename Isa::F not_positive(typename Isa::F x, float bound) {
  constexpr std::int32_t kSign = static_cast<std::int32_t>(0x80000000u);
  const typename Isa::F negative =
      Isa::bits_to_float(Isa::bit_or(Isa::float_to_bits(x), Isa::isplat(kSign)));
  return Isa::max(negative, Isa::splat(bound));
}

template <class Isa>
BGE_INLINE typename Isa::F add_tail(typename Isa::F x, typename Isa::F n, typename Isa::F phi) {
  return Isa::fma(n, phi, Isa::max(x, Isa::splat(0.0f)));
}

// Phi is a polynomial of degree 7, squared three times with constants added in between. Error below
// 1.8e-7 * max(1, |x|); gelu(0) = 0; x itself from 5.75 up; the constant -7.4e-8 from -5.75 down
// and for NaN. Rejected: erf as a rational function (two operations more and a division), as a
// polynomial (five more), by exp (six more).
template <class Isa>
BGE_INLINE typename Isa::F gelu(typename Isa::F x) {
  using F = typename Isa::F;
  const F n = not_positive<Isa>(x, -5.75f);
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
  return add_tail<Isa>(x, n, p);
}

// For rows that are then rounded to 8 bits. Error below 7e-5 and below 2.8e-4 |x|: at most a
// fourteenth of the row's quantisation step, and less than a hundredth of it for rows with values
// of 2 and more. Phi is a polynomial of degree 2, squared four times with constants added in
// between: seven operations on the multiply units instead of eleven, 1 % of a whole encode.
// gelu_for_codes(0) = 0; x - 6.5e-5 from 4.5 up; the constant -6.5e-5 from -4.5 down and for NaN.
// Rejected: six operations, with an error of 5e-4.
template <class Isa>
BGE_INLINE typename Isa::F gelu_for_codes(typename Isa::F x) {
  using F = typename Isa::F;
  const F n = not_positive<Isa>(x, -4.5f);
  F p = Isa::fma(Isa::splat(-0x1.55544cp-6f), n, Isa::splat(0x1.975a94p-5f));
  p = Isa::fma(p, n, Isa::splat(0x1.e81b36p-1f));
  p = Isa::fma(p, p, Isa::splat(-0x1.339a2ap-5f));
  p = Isa::fma(p, p, Isa::splat(0x1.5792dap-4f));
  p = Isa::fma(p, p, Isa::splat(-0x1.f14208p-9f));
  p = Isa::mul(p, p);
  return add_tail<Isa>(x, n, p);
}

}  // namespace
}  // namespace bge
