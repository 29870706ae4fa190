// Attention in float32.
#pragma once

#include "kernels/attention.h"
#include "kernels/exp.h"
#include "kernels/linear.h"

namespace bge {
namespace {

template <class Isa>
struct FloatAttention {
  using F = typename Isa::F;
  // A group of queries is whole tiles, and its scores stay in L1: 12 x 512 of them are 24 KB.
  static constexpr int kQueryRows = 12 / Isa::kFloatRows * Isa::kFloatRows;

  float* key_steps;    // [padded / 16][head size][16]
  float* key_mask;     // [padded]
  float* value_steps;  // [head size / 16][tokens][16]
  float* value_bias;   // [head size], zeros
  float* queries;      // [kQueryRows][head size], times 1 / sqrt(head size)
  float* scores;       // [kQueryRows][padded]

  FloatAttention(int tokens, int head_size, BumpAllocator& memory) {
    const std::size_t keys = static_cast<std::size_t>(whole_vectors(tokens));
    const std::size_t size = static_cast<std::size_t>(head_size);
    key_steps = memory.take<float>(keys * size);
    key_mask = memory.take<float>(keys);
    value_steps = memory.take<float>(static_cast<std::size_t>(tokens) * size);
    value_bias = memory.take<float>(size);
    queries = memory.take<float>(kQueryRows * size);
    scores = memory.take<float>(kQueryRows * keys);
  }

  void pack_keys(const float* keys, std::size_t stride, int tokens, int head_size) const {
    for (int t = 0; t < whole_vectors(tokens); ++t, keys += stride) {
      float* column =
          key_steps +
          static_cast<std::size_t>(t / kLanes) * static_cast<std::size_t>(head_size) * kLanes +
          t % kLanes;
      for (int c = 0; c < head_size; ++c) column[c * kLanes] = t < tokens ? keys[c] : 0.0f;
    }
    write_key_mask(tokens, key_mask);
  }

  void pack_values(const float* values, std::size_t stride, int tokens, int head_size) const {
    float* step = value_steps;
    for (int c = 0; c < head_size; c += kLanes) {
      for (int t = 0; t < tokens; ++t, step += kLanes) {
        Isa::store(step, Isa::load(values + static_cast<std::size_t>(t) * stride + c));
      }
      Isa::store(value_bias + c, Isa::splat(0.0f));
    }
  }

  // Adds to each score what belongs to the distance from the query to the key.
  BGE_INLINE void add_bias(const float* bias, int first_query, int rows, int keys) const {
    for (int r = 0; r < rows; ++r) {
      float* row = scores + static_cast<std::size_t>(r) * static_cast<std::size_t>(keys);
      const float* of_key = bias - (first_query + r);
      for (int t = 0; t < keys; t += kLanes) {
        Isa::store(row + t, Isa::add(Isa::load(row + t), Isa::load(of_key + t)));
      }
    }
  }

  // scores [rows][keys] -> probabilities, in place.
  BGE_INLINE void softmax(int rows, int keys) const {
    for (int r = 0; r < rows; ++r) {
      float* row = scores + static_cast<std::size_t>(r) * static_cast<std::size_t>(keys);
      F top = Isa::load(row);
      for (int t = kLanes; t < keys; t += kLanes) top = Isa::max(Isa::load(row + t), top);
      const F highest = Isa::splat(max_lanes<Isa>(top));
      F sum = Isa::splat(0.0f);
      for (int t = 0; t < keys; t += kLanes) {
        const F probability = exp_negative<Isa>(Isa::sub(Isa::load(row + t), highest));
        sum = Isa::add(sum, probability);
        Isa::store(row + t, probability);
      }
      const F inverse = Isa::splat(1.0f / sum_lanes<Isa>(sum));
      for (int t = 0; t < keys; t += kLanes) {
        Isa::store(row + t, Isa::mul(Isa::load(row + t), inverse));
      }
    }
  }

  void run(const HeadTask& task) const {
    const int size = task.head_size;
    const int keys = whole_vectors(task.tokens);
    const std::size_t stride = 3 * static_cast<std::size_t>(task.width);
    const float* query = task.qkv + task.head * size;
    const F score_scale = Isa::splat(1.0f / __builtin_sqrtf(static_cast<float>(task.features)));
    pack_keys(query + task.width, stride, task.tokens, size);
    pack_values(query + 2 * task.width, stride, task.tokens, size);
    PackedLinear key_columns;
    key_columns.inner = size;
    key_columns.panels = keys / kLanes;
    key_columns.steps = reinterpret_cast<const unsigned char*>(key_steps);
    key_columns.bias = key_mask;
    PackedLinear value_columns;
    value_columns.inner = task.tokens;
    value_columns.panels = size / kLanes;
    value_columns.steps = reinterpret_cast<const unsigned char*>(value_steps);
    value_columns.bias = value_bias;
    const Operand query_rows{queries, static_cast<std::size_t>(size), nullptr, nullptr};
    const Operand score_rows{scores, static_cast<std::size_t>(keys), nullptr, nullptr};
    for_query_groups<kQueryRows>(task.queries, [&](int first, int rows) {
      for (int r = 0; r < rows; ++r) {
        const float* row = query + static_cast<std::size_t>(first + r) * stride;
        for (int c = 0; c < size; c += kLanes) {
          Isa::store(queries + r * size + c, Isa::mul(Isa::load(row + c), score_scale));
        }
      }
      linear_float32<Isa>(query_rows, {0, rows}, key_columns, {0, key_columns.panels},
                          Epilogue::kBias, scores, static_cast<std::size_t>(keys));
      if (task.distance_bias) add_bias(task.distance_bias, first, rows, keys);
      softmax(rows, keys);
      float* context = task.context +
                       static_cast<std::size_t>(first) * static_cast<std::size_t>(task.width) +
                       task.head * size;
      linear_float32<Isa>(score_rows, {0, rows}, value_columns, {0, value_columns.panels},
                          Epilogue::kBias, context, static_cast<std::size_t>(task.width));
    });
  }
};

}  // namespace
}  // namespace bge
