// Token embeddings -> one vector, and the vector's final form.
#pragma once

#include "kernels/quantize.h"

namespace bge {
namespace {

// x [tokens][hidden] -> out [hidden]. There is at least one token, so the lower bound of 1e-9 that
// the model card sets for the token count has no effect.
template <class Isa>
void pool(Pooling pooling, const float* x, int tokens, int hidden, float* out) {
  using F = typename Isa::F;
  const F count = Isa::splat(static_cast<float>(tokens));
  for (int c = 0; c < hidden; c += kLanes) {
    F v = Isa::load(x + c);
    if (pooling != Pooling::kCls) {
      const float* next = x + c;
      for (int t = 1; t < tokens; ++t) {
        next += hidden;
        const F token = Isa::load(next);
        v = pooling == Pooling::kMax ? Isa::max(v, token) : Isa::add(v, token);
      }
    }
    if (pooling == Pooling::kMean) v = Isa::div(v, count);
    if (pooling == Pooling::kMeanSqrtLen) v = Isa::div(v, Isa::sqrt(count));
    Isa::store(out + c, v);
  }
}

// v = v / max(|v|, 1e-12) over the first `width` values, as torch's normalize does.
template <class Isa>
BGE_INLINE void normalize_vector(float* v, int width) {
  using F = typename Isa::F;
  F squares = Isa::splat(0.0f);
  for (int c = 0; c < width; c += kLanes) {
    const F x = Isa::load(v + c);
    squares = Isa::fma(x, x, squares);
  }
  const F length = Isa::max(Isa::sqrt(Isa::splat(sum_lanes<Isa>(squares))), Isa::splat(1e-12f));
  for (int c = 0; c < width; c += kLanes) Isa::store(v + c, Isa::div(Isa::load(v + c), length));
}

// code = round(127 x / max|x|), plus 128 for uint8; a zero vector has codes 0 (128).
template <class Isa>
BGE_INLINE void vector_codes(const float* v, int dimensions, int width, int offset,
                             std::int8_t* out) {
  using F = typename Isa::F;
  using I = typename Isa::I;
  F low = Isa::splat(0.0f);
  F high = Isa::splat(0.0f);
  for (int c = 0; c < width; c += kLanes) {
    low = Isa::min(Isa::load(v + c), low);
    high = Isa::max(Isa::load(v + c), high);
  }
  const float lowest = -min_lanes<Isa>(low);
  const float highest = max_lanes<Isa>(high);
  const float largest = lowest > highest ? lowest : highest;
  const F divisor = Isa::splat(largest > 0.0f ? largest : 1.0f);
  for (int c = 0; c < width; c += kLanes) {
    const F x = Isa::div(Isa::mul(Isa::load(v + c), Isa::splat(127.0f)), divisor);
    const I code = Isa::iadd(to_code<Isa>(x, -127.0f, 127.0f), Isa::isplat(offset));
    alignas(16) std::int8_t bytes[kLanes];
    Isa::store_bytes(bytes, code);
    const int left = dimensions - c < kLanes ? dimensions - c : kLanes;
    __builtin_memcpy(out + c, bytes, static_cast<std::size_t>(left));
  }
}

// Packed signs with the first dimension in the highest bit, as numpy.packbits(v > 0) gives them.
// "binary" is "ubinary" minus 128, as in sentence-transformers; flip = 0x80 subtracts it.
inline void vector_signs(const float* v, int dimensions, std::uint8_t flip, std::uint8_t* out) {
  for (int c = 0; c < dimensions; c += 8) {
    unsigned bits = 0;
    for (int i = 0; i < 8; ++i) {
      bits = bits << 1 | (c + i < dimensions && v[c + i] > 0.0f ? 1u : 0u);
    }
    out[c / 8] = static_cast<std::uint8_t>(bits ^ flip);
  }
}

// Truncates vector [hidden], which is overwritten, then normalises it, then quantises it into out.
template <class Isa>
void finish(const VectorOutput& output, float* vector, void* out) {
  const int width = whole_vectors(output.dimensions);
  for (int c = output.dimensions; c < width; ++c) vector[c] = 0.0f;
  if (output.normalize) normalize_vector<Isa>(vector, width);
  switch (output.precision) {
    case Precision::kFloat32:
      __builtin_memcpy(out, vector, static_cast<std::size_t>(output.dimensions) * sizeof(float));
      return;
    case Precision::kInt8:
      return vector_codes<Isa>(vector, output.dimensions, width, 0, static_cast<std::int8_t*>(out));
    case Precision::kUint8:
      return vector_codes<Isa>(vector, output.dimensions, width, 128,
                               static_cast<std::int8_t*>(out));
    case Precision::kBinary:
      return vector_signs(vector, output.dimensions, 0x80, static_cast<std::uint8_t*>(out));
    case Precision::kUbinary:
      return vector_signs(vector, output.dimensions, 0, static_cast<std::uint8_t*>(out));
  }
}

}  // namespace
}  // namespace bge
