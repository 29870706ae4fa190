// LayerNorm over rows, and the sum of embeddings that the first LayerNorm normalises.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

alignas(64) constexpr float kLaneNumbers[kLanes] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                    8, 9, 10, 11, 12, 13, 14, 15};

// x = (v - mean) / sqrt(variance + epsilon) * weight + bias. value(c) gives the row's 16 values
// from column c. Two passes, because the one-pass formula E[x^2] - E[x]^2 loses digits by
// cancellation. Values, weights and biases behind the row's end are zeros, and so are the results;
// only the squares of their deviations must be left out.
template <class Isa, class Value>
BGE_INLINE void normalize_row(const LayerNorm& norm, const Value& value, float* x) {
  using F = typename Isa::F;
  const float width = static_cast<float>(norm.width);
  const int padded = whole_vectors(norm.width);
  F sum = Isa::splat(0.0f);
  for (int c = 0; c < padded; c += kLanes) {
    const F v = value(c);
    Isa::store(x + c, v);
    sum = Isa::add(sum, v);
  }
  const F mean = Isa::splat(sum_lanes<Isa>(sum) / width);

  F squares = Isa::splat(0.0f);
  const auto add_square = [&](F deviation) { squares = Isa::fma(deviation, deviation, squares); };
  const int whole = norm.width / kLanes * kLanes;
  for (int c = 0; c < whole; c += kLanes) {
    add_square(Isa::sub(Isa::load(x + c), mean));
  }
  if (whole < padded) {
    const F end = Isa::splat(static_cast<float>(norm.width - whole));
    add_square(Isa::select_less(Isa::load(kLaneNumbers), end, Isa::sub(Isa::load(x + whole), mean),
                                Isa::splat(0.0f)));
  }
  const float variance = sum_lanes<Isa>(squares) / width;
  const F inverse = Isa::div(Isa::splat(1.0f), Isa::sqrt(Isa::splat(variance + norm.epsilon)));

  for (int c = 0; c < padded; c += kLanes) {
    const F unit = Isa::mul(Isa::sub(Isa::load(x + c), mean), inverse);
    Isa::store(x + c, Isa::fma(unit, Isa::load(norm.weight + c), Isa::load(norm.bias + c)));
  }
}

// x = norm(x + y); x, y [rows][width, in whole vectors].
template <class Isa>
void add_norm(const LayerNorm& norm, const float* y, int rows, float* x) {
  const int stride = whole_vectors(norm.width);
  for (int r = 0; r < rows; ++r) {
    normalize_row<Isa>(
        norm, [&](int c) { return Isa::add(Isa::load(x + c), Isa::load(y + c)); }, x);
    x += stride;
    y += stride;
  }
}

// out[t] = norm(word(ids[t]) + position(positions[t]) + token type(types[t])).
template <class Isa>
void embed(const EmbeddingTables& tables, const TokenRows& rows, float* out) {
  using F = typename Isa::F;
  const std::size_t hidden = static_cast<std::size_t>(whole_vectors(tables.norm.width));
  for (int t = 0; t < rows.count; ++t, out += hidden) {
    const std::size_t id = static_cast<std::size_t>(rows.ids[t]);
    const std::size_t word = id * hidden;
    const float scale =
        tables.words_int8 ? tables.words_scale[id * tables.words_scale_stride] : 0.0f;
    const float* position = tables.positions + static_cast<std::size_t>(rows.positions[t]) * hidden;
    const float* token_type = tables.token_types;
    if (rows.types) token_type += static_cast<std::size_t>(rows.types[t]) * hidden;
    const auto sum_of_tables = [&](int c) {
      const F place = Isa::load(position + c);
      const F sum = tables.words_int8
                        ? Isa::fma(Isa::to_float(Isa::load_bytes(tables.words_int8 + word + c)),
                                   Isa::splat(scale), place)
                        : Isa::add(Isa::load(tables.words_float + word + c), place);
      return Isa::add(sum, Isa::load(token_type + c));
    };
    normalize_row<Isa>(tables.norm, sum_of_tables, out);
  }
}

}  // namespace
}  // namespace bge
