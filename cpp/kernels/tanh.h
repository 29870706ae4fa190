// tanh. Constants and errors: scripts/fit_approximations.py.
#pragma once

#include "kernels/exp.h"

namespace bge {
namespace {

// tanh(x) with a relative error below 2.1e-7; odd, and exactly 1 for large x. With e = exp(-2|x|)
// it is (1 - e) / (1 + e), which loses digits near 0; there it is x + x P(x^2) x^2.
template <class Isa>
BGE_INLINE typename Isa::F tanh_lanes(typename Isa::F x) {
  using F = typename Isa::F;
  using I = typename Isa::I;
  const I sign_bit = Isa::isplat(static_cast<std::int32_t>(0x80000000u));
  const F one = Isa::splat(1.0f);
  const F minus_size = Isa::bits_to_float(Isa::bit_or(Isa::float_to_bits(x), sign_bit));
  const F size = Isa::sub(Isa::splat(0.0f), minus_size);
  const F power = exp_negative<Isa>(Isa::add(minus_size, minus_size));
  const F quotient = Isa::div(Isa::sub(one, power), Isa::add(one, power));

  const F square = Isa::mul(size, size);
  F p = Isa::fma(Isa::splat(0x1.f1efa4p-7f), square, Isa::splat(-0x1.a98f62p-5f));
  p = Isa::fma(p, square, Isa::splat(0x1.108d36p-3f));
  p = Isa::fma(p, square, Isa::splat(-0x1.5552bcp-2f));
  const F near_zero = Isa::fma(Isa::mul(p, square), size, size);

  const F result = Isa::select_less(size, Isa::splat(0.625f), near_zero, quotient);
  return Isa::bits_to_float(
      Isa::bit_or(Isa::float_to_bits(result), Isa::bit_and(Isa::float_to_bits(x), sign_bit)));
}

}  // namespace
}  // namespace bge
