// Attention in 8 bits.
//
// Queries: 8-bit rows with scale and zero point, like any linear's input. Keys: symmetric, one
// scale a key, the column's scale. Probabilities: p = 255 * exp(score - max), rounded and minus
// 128: codes with zero point -128 and the scale 1 / sum(p). Values: symmetric, one scale a text,
// head and feature, because their sum runs over tokens and no scale a token could be taken out.
//
// What rounding takes from the probabilities, sum(p) - sum(round(p)), is given back evenly: each
// token gets the same share of it, which is one multiple of the values' sum. Without it a row of
// 500 equal keys just below a rounding step loses all their mass (cosine 0.986 for a text of 510
// full stops; 0.9992 with it).
#pragma once

#include "kernels/attention.h"
#include "kernels/exp.h"
#include "kernels/linear.h"
#include "kernels/quantize.h"

namespace bge {
namespace {

template <class Isa>
struct Int8Attention {
  using F = typename Isa::F;
  using I = typename Isa::I;
  using Dot = typename Isa::AttentionDot;
  using Code = typename Dot::Code;

  unsigned char* key_steps;      // [padded / 16][head size / 4][64]
  float* key_scales;             // [padded], times 1 / sqrt(head size)
  std::int32_t* key_sums;        // [padded]
  float* key_mask;               // [padded]
  unsigned char* value_steps;    // [head size / 16][padded / 4][64]
  float* value_scales;           // [head size]
  std::int32_t* value_sums;      // [head size]
  float* value_bias;             // [head size], zeros
  float* value_totals;           // [head size], sums of the quantised values
  OperandBuffers queries;        // [kQueryRows][head size]
  float* scores;                 // [kQueryRows][padded]
  OperandBuffers probabilities;  // [kQueryRows][padded]
  float* lost_shares;            // [kQueryRows], what a token gets back of the lost probability

  Int8Attention(int tokens, int head_size, Carver& carver) {
    const std::size_t keys = static_cast<std::size_t>(padded_keys(tokens));
    const std::size_t size = static_cast<std::size_t>(head_size);
    key_steps = carver.take<unsigned char>(keys * size);
    key_scales = carver.take<float>(keys);
    key_sums = carver.take<std::int32_t>(keys);
    key_mask = carver.take<float>(keys);
    value_steps = carver.take<unsigned char>(keys * size);
    value_scales = carver.take<float>(size);
    value_sums = carver.take<std::int32_t>(size);
    value_bias = carver.take<float>(size);
    value_totals = carver.take<float>(size);
    queries = operand_buffers(carver, size);
    scores = carver.take<float>(kQueryRows * keys);
    probabilities = operand_buffers(carver, keys);
    lost_shares = carver.take<float>(kQueryRows);
  }

  static OperandBuffers operand_buffers(Carver& carver, std::size_t width) {
    OperandBuffers buffers;
    buffers.codes = carver.take<Code>(kQueryRows * width);
    buffers.scale = carver.take<float>(kQueryRows);
    buffers.zero_point = carver.take<std::int32_t>(kQueryRows);
    buffers.code_sum = carver.take<std::int32_t>(kQueryRows);
    return buffers;
  }

  // Four codes of each of 16 lanes as one 64-byte step: byte i of a lane is codes[i].
  static BGE_INLINE void store_step(unsigned char* step, const I (&codes)[kStepDepth]) {
    const I byte = Isa::isplat(0xff);
    I word = Isa::bit_and(codes[0], byte);
    word = Isa::bit_or(word, Isa::template shift_left<8>(Isa::bit_and(codes[1], byte)));
    word = Isa::bit_or(word, Isa::template shift_left<16>(Isa::bit_and(codes[2], byte)));
    word = Isa::bit_or(word, Isa::template shift_left<24>(codes[3]));
    Isa::istore(reinterpret_cast<std::int32_t*>(step), word);
  }
  // A code as a weight: plus 128 where the ISA wants weights so.
  static BGE_INLINE I as_weight(I code) {
    return Dot::kByteForm == ByteForm::kOffset ? Isa::iadd(code, Isa::isplat(128)) : code;
  }
  // 127 / largest, or 0 where a row is (nearly) zero: its codes are then 0.
  static BGE_INLINE F inverse_scale(F largest) {
    return Isa::select_less(largest, Isa::splat(kSmallestRange), Isa::splat(0.0f),
                            Isa::div(Isa::splat(127.0f), largest));
  }
  static BGE_INLINE F magnitude(F v) { return Isa::max(v, Isa::sub(Isa::splat(0.0f), v)); }

  void pack_keys(const float* keys, std::size_t stride, int tokens, int head_size,
                 float score_scale) const {
    const int steps = head_size / kStepDepth;
    for (int t = 0; t < padded_keys(tokens); ++t, keys += stride) {
      // Key t is column t % 16 of panel t / 16: every 64 bytes, four of its codes.
      unsigned char* column =
          key_steps +
          static_cast<std::size_t>(t / kLanes) * static_cast<std::size_t>(steps) * kStepBytes +
          t % kLanes * kStepDepth;
      F largest = Isa::splat(0.0f);
      if (t < tokens) {
        for (int c = 0; c < head_size; c += kLanes) {
          largest = Isa::max(magnitude(Isa::load(keys + c)), largest);
        }
      }
      const float top = max_lanes<Isa>(largest);
      const F inverse = inverse_scale(Isa::splat(top));
      I sum = Isa::isplat(0);
      for (int c = 0; c < head_size; c += kLanes) {
        const F v = t < tokens ? Isa::load(keys + c) : Isa::splat(0.0f);
        const I code = to_code<Isa>(Isa::mul(v, inverse), -127.0f, 127.0f);
        sum = Isa::iadd(sum, code);
        alignas(16) std::int8_t bytes[kLanes];
        Isa::store_bytes(bytes, as_weight(code));
        for (int i = 0; i < kLanes; i += kStepDepth) {
          __builtin_memcpy(column + (c + i) / kStepDepth * kStepBytes, bytes + i, kStepDepth);
        }
      }
      key_scales[t] = top / 127.0f * score_scale;
      key_sums[t] = sum_lanes<Isa>(sum);
    }
    write_key_mask(tokens, key_mask);
  }

  void pack_values(const float* values, std::size_t stride, int tokens, int head_size) const {
    const int padded = padded_keys(tokens);
    unsigned char* step = value_steps;
    for (int c = 0; c < head_size; c += kLanes) {
      F largest = Isa::splat(0.0f);
      for (int t = 0; t < tokens; ++t) {
        const F v = Isa::load(values + static_cast<std::size_t>(t) * stride + c);
        largest = Isa::max(magnitude(v), largest);
      }
      const F inverse = inverse_scale(largest);
      I sum = Isa::isplat(0);
      for (int t = 0; t < padded; t += kStepDepth, step += kStepBytes) {
        I codes[kStepDepth];
        for (int i = 0; i < kStepDepth; ++i) {
          const F v = t + i < tokens
                          ? Isa::load(values + static_cast<std::size_t>(t + i) * stride + c)
                          : Isa::splat(0.0f);
          const I code = to_code<Isa>(Isa::mul(v, inverse), -127.0f, 127.0f);
          sum = Isa::iadd(sum, code);
          codes[i] = as_weight(code);
        }
        store_step(step, codes);
      }
      const F scale = Isa::div(largest, Isa::splat(127.0f));
      Isa::store(value_scales + c, scale);
      Isa::istore(value_sums + c, sum);
      Isa::store(value_totals + c, Isa::mul(Isa::to_float(sum), scale));
      Isa::store(value_bias + c, Isa::splat(0.0f));
    }
  }

  // scores [rows][keys] -> probability codes, their scale, zero point and sum a row. A padded key
  // counts exp(-12) in the sum of p: at most 15 of them, 1e-4 of the least sum there is.
  BGE_INLINE void softmax(int rows, int keys, int tokens) const {
    Code* codes = static_cast<Code*>(probabilities.codes);
    for (int r = 0; r < rows; ++r) {
      const float* row = scores + static_cast<std::size_t>(r) * static_cast<std::size_t>(keys);
      F top = Isa::load(row);
      for (int t = kLanes; t < keys; t += kLanes) top = Isa::max(Isa::load(row + t), top);
      const F highest = Isa::splat(max_lanes<Isa>(top));
      F exact = Isa::splat(0.0f);
      I rounded = Isa::isplat(0);
      for (int t = 0; t < keys; t += kLanes, codes += kLanes) {
        const F root = exp_255_root<Isa>(Isa::sub(Isa::load(row + t), highest));
        const I level = round_square<Isa>(root);
        exact = Isa::fma(root, root, exact);
        rounded = Isa::iadd(rounded, level);
        Dot::store_codes(codes, Isa::isub(level, Isa::isplat(128)));
      }
      const float exact_sum = sum_lanes<Isa>(exact);
      const std::int32_t rounded_sum = sum_lanes<Isa>(rounded);
      const float inverse = 1.0f / exact_sum;
      probabilities.scale[r] = inverse;
      probabilities.zero_point[r] = -128;
      probabilities.code_sum[r] = rounded_sum - 128 * keys;
      lost_shares[r] =
          (exact_sum - static_cast<float>(rounded_sum)) * inverse / static_cast<float>(tokens);
    }
  }

  // context [rows][stride] += share of the row * sum of the values.
  BGE_INLINE void give_back_lost(int rows, int head_size, int stride, float* context) const {
    for (int r = 0; r < rows; ++r, context += stride) {
      for (int c = 0; c < head_size; c += kLanes) {
        Isa::store(context + c, Isa::fma(Isa::splat(lost_shares[r]), Isa::load(value_totals + c),
                                         Isa::load(context + c)));
      }
    }
  }

  void run(const HeadTask& task) const {
    const int size = task.head_size;
    const int keys = padded_keys(task.tokens);
    const std::size_t stride = 3 * static_cast<std::size_t>(task.hidden);
    const float* query = task.qkv + task.head * size;
    const float score_scale = 1.0f / __builtin_sqrtf(static_cast<float>(size));
    pack_keys(query + task.hidden, stride, task.tokens, size, score_scale);
    pack_values(query + 2 * task.hidden, stride, task.tokens, size);
    const PackedLinear key_columns{size,       keys / kLanes, key_steps, key_sums,
                                   key_scales, key_mask,      nullptr,   {}};
    const PackedLinear value_columns{keys,         size / kLanes, value_steps, value_sums,
                                     value_scales, value_bias,    nullptr,     {}};
    const Operand probability_rows{probabilities.codes, static_cast<std::size_t>(keys),
                                   probabilities.scale, probabilities.zero_point,
                                   probabilities.code_sum};
    for_query_groups(task.tokens, [&](int first, int rows) {
      const Operand query_rows = quantize_rows<Isa, Dot>(
          query + static_cast<std::size_t>(first) * stride, stride, rows, size, nullptr, queries);
      linear_int8<Isa, Dot>(query_rows, {0, rows}, key_columns, {0, key_columns.panels},
                            Epilogue::kBias, scores, static_cast<std::size_t>(keys));
      softmax(rows, keys, task.tokens);
      float* context = task.context +
                       static_cast<std::size_t>(first) * static_cast<std::size_t>(task.hidden) +
                       task.head * size;
      linear_int8<Isa, Dot>(probability_rows, {0, rows}, value_columns, {0, value_columns.panels},
                            Epilogue::kBias, context, static_cast<std::size_t>(task.hidden));
      give_back_lost(rows, size, task.hidden, context);
    });
  }
};

}  // namespace
}  // namespace bge
