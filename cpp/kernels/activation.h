// The activations of dense layers and of a reranker's scores.
#pragma once

#include "kernels/gelu.h"
#include "kernels/tanh.h"

namespace bge {
namespace {

// 1 / (1 + exp(-x)), with a relative error below 4e-7; +0 for x <= -87, and exactly 1 for large x.
// With e = exp(-|x|) it is 1 / (1 + e), or e / (1 + e) for negative x.
template <class Isa>
BGE_INLINE typename Isa::F sigmoid_lanes(typename Isa::F x) {
  using F = typename Isa::F;
  const F one = Isa::splat(1.0f);
  const F zero = Isa::splat(0.0f);
  const F size = Isa::max(x, Isa::sub(zero, x));
  const F power = exp_negative<Isa>(Isa::sub(zero, size));
  const F numerator = Isa::select_less(x, zero, power, one);
  return Isa::div(numerator, Isa::add(one, power));
}

// x [count] in place, count a multiple of 16.
template <class Isa>
void activate(Activation activation, float* x, int count) {
  using F = typename Isa::F;
  const auto each = [&](const auto& function) {
    for (int c = 0; c < count; c += kLanes) Isa::store(x + c, function(Isa::load(x + c)));
  };
  switch (activation) {
    case Activation::kIdentity:
      return;
    case Activation::kTanh:
      return each([](F v) { return tanh_lanes<Isa>(v); });
    case Activation::kRelu:
      return each([](F v) { return Isa::max(v, Isa::splat(0.0f)); });
    case Activation::kGelu:
      return each([](F v) { return gelu<Isa>(v); });
    case Activation::kSigmoid:
      return each([](F v) { return sigmoid_lanes<Isa>(v); });
  }
}

// Turns x [count] into exp(x) / sum(exp(x)), in place. count is a multiple of 16; values behind the
// row's end are minus infinity, and become +0.
template <class Isa>
void softmax(float* x, int count) {
  using F = typename Isa::F;
  F high = Isa::load(x);
  for (int c = kLanes; c < count; c += kLanes) high = Isa::max(Isa::load(x + c), high);
  const F highest = Isa::splat(max_lanes<Isa>(high));
  F sum = Isa::splat(0.0f);
  for (int c = 0; c < count; c += kLanes) {
    const F power = exp_negative<Isa>(Isa::sub(Isa::load(x + c), highest));
    Isa::store(x + c, power);
    sum = Isa::add(sum, power);
  }
  const F total = Isa::splat(sum_lanes<Isa>(sum));
  for (int c = 0; c < count; c += kLanes) Isa::store(x + c, Isa::div(Isa::load(x + c), total));
}

}  // namespace
}  // namespace bge
