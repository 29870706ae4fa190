// Attention in 8 bits.
//
// A softmax does not change when one vector is subtracted from every key. A weighted mean of values
// minus m is the weighted mean of the values, minus m. So before quantising, the middle of each
// feature's range is subtracted from the keys, and each feature's mean from the values. The
// remaining numbers are small, and so is the error of their codes.
//
// Keys: symmetric codes, one scale for each text, head and feature. Queries are multiplied by these
// scales before they are quantised, to symmetric codes with one scale a query. A score is then an
// integer sum times the query's scale, so that the highest score is found among integers. Anything
// that adds the same number to all scores of a query has no effect on its softmax; one such number
// is the query's sum times the offset that some ISAs add to the codes of keys.
// Probabilities: round(255 * exp(score - highest)), called levels, divided by the sum of these
// numbers before rounding.
// Values: symmetric codes, one scale for each text, head and feature. A scale for each token is not
// possible, because the sum runs over tokens. Rounded levels may add up to less than the sum they
// are divided by. Because the mean is subtracted from the values, the missing probability then
// counts as the mean value. It may be much: 500 keys with levels of 0.49, which all round to 0,
// have half of the probability beside one key with 255.
//
// Rejected: one scale a key and a zero point a query. They need corrections and one multiplication
// for each score (a third of the time at 512 tokens), and are less exact without the subtraction.
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
  using KeyDot = typename Isa::KeyDot;
  using ValueDot = typename Isa::ValueDot;
  using QueryCode = typename KeyDot::Code;
  using LevelCode = typename ValueDot::Code;
  static constexpr std::int32_t kLowest = INT32_MIN;
  // A group of queries is whole tiles, and its scores stay in L1: 12 x 512 of them are 24 KB, and
  // 16 x 512 are 32 of the 48 KB that CPUs with a tile unit have.
  static constexpr int kQueryRows =
      HasTileUnit<KeyDot> ? kTileRows : 12 / KeyDot::kRows * KeyDot::kRows;

  unsigned char* key_steps;    // [padded / 16][head size / 4][64]
  float* key_scales;           // [head size]
  unsigned char* value_steps;  // [head size / 16][padded_values / 4][64]
  float* value_scales;         // [head size]
  float* value_means;          // [head size]
  std::int32_t* value_sums;    // [head size], sums of the codes
  QueryCode* query_codes;      // [kQueryRows][head size]
  float* query_scales;         // [kQueryRows], of a score
  std::int32_t* scores;        // [kQueryRows][padded], in units of the query's scale
  LevelCode* levels;           // [kQueryRows][padded]
  float* level_scales;         // [kQueryRows], 1 / the exact sum of the levels
  std::int32_t* level_zeros;   // [kQueryRows], how the level 0 is stored
  std::int32_t* is_key;        // [16]: for the last 16 keys, -1 for a real one, 0 for padding

  Int8Attention(int tokens, int head_size, BumpAllocator& memory) {
    const std::size_t keys = static_cast<std::size_t>(whole_vectors(tokens));
    const std::size_t size = static_cast<std::size_t>(head_size);
    key_steps = memory.take<unsigned char>(keys * size);
    key_scales = memory.take<float>(size);
    value_steps = memory.take<unsigned char>(keys * size);
    value_scales = memory.take<float>(size);
    value_means = memory.take<float>(size);
    value_sums = memory.take<std::int32_t>(size);
    query_codes = memory.take<QueryCode>(kQueryRows * size);
    query_scales = memory.take<float>(kQueryRows);
    scores = memory.take<std::int32_t>(kQueryRows * keys);
    levels = memory.take<LevelCode>(kQueryRows * keys);
    level_scales = memory.take<float>(kQueryRows);
    level_zeros = memory.take<std::int32_t>(kQueryRows);
    is_key = memory.take<std::int32_t>(kLanes);
  }

  // The number of steps is even.
  static BGE_INLINE int padded_values(int tokens) {
    constexpr int kPair = 2 * kStepDepth;
    return (tokens + kPair - 1) / kPair * kPair;
  }
  // 127 / largest, or 0 for a feature or row that is constant or nearly so: its codes are then 0.
  static BGE_INLINE F inverse_scale(F largest) {
    return Isa::select_less(largest, Isa::splat(kSmallestRange), Isa::splat(0.0f),
                            Isa::div(Isa::splat(127.0f), largest));
  }

  // 16 features of all tokens.
  struct Spread {
    F low, high, sum;
  };
  static BGE_INLINE Spread spread(const float* x, std::size_t stride, int tokens) {
    Spread all{Isa::load(x), Isa::load(x), Isa::load(x)};
    for (int t = 1; t < tokens; ++t) {
      x += stride;
      const F v = Isa::load(x);
      all.low = Isa::min(v, all.low);
      all.high = Isa::max(v, all.high);
      all.sum = Isa::add(v, all.sum);
    }
    return all;
  }

  void pack_keys(const float* keys, std::size_t stride, int tokens, int head_size) const {
    const int steps = head_size / kStepDepth;
    for (int c = 0; c < head_size; c += kLanes) {
      const Spread all = spread(keys + c, stride, tokens);
      const F half = Isa::splat(0.5f);
      const F middle = Isa::fma(all.low, half, Isa::mul(all.high, half));
      const F reach = Isa::sub(Isa::mul(all.high, half), Isa::mul(all.low, half));
      const F inverse = inverse_scale(reach);
      Isa::store(key_scales + c, Isa::div(reach, Isa::splat(127.0f)));
      for (int t = 0; t < whole_vectors(tokens); ++t) {
        // Key t is column t % 16 of panel t / 16; each 64-byte step has four of its codes.
        unsigned char* column =
            key_steps +
            static_cast<std::size_t>(t / kLanes) * static_cast<std::size_t>(steps) * kStepBytes +
            t % kLanes * kStepDepth;
        const F v =
            t < tokens ? Isa::load(keys + static_cast<std::size_t>(t) * stride + c) : middle;
        const I code = to_code<Isa>(Isa::mul(Isa::sub(v, middle), inverse), -127.0f, 127.0f);
        alignas(16) std::int8_t bytes[kLanes];
        Isa::store_bytes(bytes, Isa::iadd(code, Isa::isplat(KeyDot::kWeightOffset)));
        for (int i = 0; i < kLanes; i += kStepDepth) {
          __builtin_memcpy(column + (c + i) / kStepDepth * kStepBytes, bytes + i, kStepDepth);
        }
      }
    }
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

  void pack_values(const float* values, std::size_t stride, int tokens, int head_size) const {
    unsigned char* step = value_steps;
    for (int c = 0; c < head_size; c += kLanes) {
      const Spread all = spread(values + c, stride, tokens);
      const F mean = Isa::div(all.sum, Isa::splat(static_cast<float>(tokens)));
      const F above = Isa::sub(all.high, mean);
      const F reach = Isa::max(Isa::sub(mean, all.low), above);
      const F inverse = inverse_scale(reach);
      I sum = Isa::isplat(0);
      for (int t = 0; t < padded_values(tokens); t += kStepDepth, step += kStepBytes) {
        I codes[kStepDepth];
        for (int i = 0; i < kStepDepth; ++i) {
          const F v = t + i < tokens
                          ? Isa::load(values + static_cast<std::size_t>(t + i) * stride + c)
                          : mean;
          const I code = to_code<Isa>(Isa::mul(Isa::sub(v, mean), inverse), -127.0f, 127.0f);
          sum = Isa::iadd(sum, code);
          codes[i] = code;
        }
        store_step(step, codes);
      }
      Isa::store(value_scales + c, Isa::div(reach, Isa::splat(127.0f)));
      Isa::store(value_means + c, mean);
      Isa::istore(value_sums + c, sum);
    }
  }

  BGE_INLINE void quantize_queries(const float* query, std::size_t stride, int rows, int head_size,
                                   float score_scale) const {
    QueryCode* codes = query_codes;
    for (int r = 0; r < rows; ++r, query += stride) {
      const auto scaled = [&](int c) {
        return Isa::mul(Isa::load(query + c), Isa::load(key_scales + c));
      };
      F largest = Isa::splat(0.0f);
      for (int c = 0; c < head_size; c += kLanes) {
        const F v = scaled(c);
        largest = Isa::max(Isa::max(v, Isa::sub(Isa::splat(0.0f), v)), largest);
      }
      const float top = max_lanes<Isa>(largest);
      const F inverse = inverse_scale(Isa::splat(top));
      for (int c = 0; c < head_size; c += kLanes, codes += kLanes) {
        KeyDot::store_codes(codes, to_code<Isa>(Isa::mul(scaled(c), inverse), -127.0f, 127.0f));
      }
      query_scales[r] = top / 127.0f * score_scale;
    }
  }

  // The highest score of a row's real keys, in all lanes; the others are among the last 16.
  static BGE_INLINE I highest_score(const std::int32_t* row, int last, I real) {
    const I lowest = Isa::bit_and(Isa::isub(Isa::isplat(-1), real), Isa::isplat(kLowest));
    I top = Isa::bit_or(Isa::bit_and(Isa::iload(row + last), real), lowest);
    for (int t = 0; t < last; t += kLanes) top = Isa::imax(Isa::iload(row + t), top);
    return Isa::isplat(max_lanes<Isa>(top));
  }

  // scores [rows][keys] -> levels and their scale a row.
  BGE_INLINE void softmax(int rows, int keys) const {
    const I real = Isa::iload(is_key);
    const int last = keys - kLanes;
    for (int r = 0; r < rows; ++r) {
      const std::int32_t* row = scores + static_cast<std::size_t>(r * keys);
      LevelCode* codes = levels + static_cast<std::size_t>(r * keys);
      const I highest = highest_score(row, last, real);
      const F slope = Isa::splat(query_scales[r] * kExpRootSlope);
      F sum = Isa::splat(0.0f);
      const auto weigh = [&](int t, I which) {
        const F below = Isa::to_float(Isa::isub(Isa::iload(row + t), highest));
        const F root = Isa::bits_to_float(
            Isa::bit_and(Isa::float_to_bits(exp_255_root<Isa>(below, slope)), which));
        sum = Isa::fma(root, root, sum);
        ValueDot::store_codes(codes + t, round_square<Isa>(root));
      };
      for (int t = 0; t < last; t += kLanes) weigh(t, Isa::isplat(-1));
      weigh(last, real);
      level_scales[r] = 1.0f / sum_lanes<Isa>(sum);
    }
  }

  // The same for scores to which a bias is added that belongs to the distance from the query to the
  // key. The integers of a row differ between ISAs by one number, so that they become floats only
  // after the highest is subtracted; the sums with the bias have a highest of their own.
  BGE_NOINLINE void softmax_with_bias(const float* bias, int first_query, int rows,
                                      int keys) const {
    const I real = Isa::iload(is_key);
    const I never = Isa::bit_and(Isa::isub(Isa::isplat(-1), real),
                                 Isa::float_to_bits(Isa::splat(-__builtin_inff())));
    const int last = keys - kLanes;
    const F slope = Isa::splat(kExpRootSlope);
    for (int r = 0; r < rows; ++r) {
      std::int32_t* row = scores + static_cast<std::size_t>(r * keys);
      LevelCode* codes = levels + static_cast<std::size_t>(r * keys);
      const float* of_key = bias - (first_query + r);
      const I highest = highest_score(row, last, real);
      const F scale = Isa::splat(query_scales[r]);
      F best = Isa::splat(-__builtin_inff());
      for (int t = 0; t < keys; t += kLanes) {
        const F below = Isa::to_float(Isa::isub(Isa::iload(row + t), highest));
        I score = Isa::float_to_bits(Isa::fma(below, scale, Isa::load(of_key + t)));
        if (t == last) score = Isa::bit_or(Isa::bit_and(score, real), never);
        Isa::istore(row + t, score);
        best = Isa::max(Isa::bits_to_float(score), best);
      }
      const F most = Isa::splat(max_lanes<Isa>(best));
      F sum = Isa::splat(0.0f);
      for (int t = 0; t < keys; t += kLanes) {
        const F below = Isa::sub(Isa::bits_to_float(Isa::iload(row + t)), most);
        I root = Isa::float_to_bits(exp_255_root<Isa>(below, slope));
        if (t == last) root = Isa::bit_and(root, real);
        const F weight = Isa::bits_to_float(root);
        sum = Isa::fma(weight, weight, sum);
        ValueDot::store_codes(codes + t, round_square<Isa>(weight));
      }
      level_scales[r] = 1.0f / sum_lanes<Isa>(sum);
    }
  }

  void run(const HeadTask& task) const {
    const int size = task.head_size;
    const int keys = whole_vectors(task.tokens);
    const std::size_t stride = 3 * static_cast<std::size_t>(task.width);
    const float* query = task.qkv + task.head * size;
    const float score_scale = 1.0f / __builtin_sqrtf(static_cast<float>(task.features));
    pack_keys(query + task.width, stride, task.tokens, size);
    pack_values(query + 2 * task.width, stride, task.tokens, size);
    for (int i = 0; i < kLanes; ++i) is_key[i] = keys - kLanes + i < task.tokens ? -1 : 0;
    for (int r = 0; r < kQueryRows; ++r) level_zeros[r] = ValueDot::kCodeOffset;
    const int value_rows = padded_values(task.tokens);
    const PackedLinear key_columns{size,    keys / kLanes, key_steps, nullptr,
                                   nullptr, nullptr,       nullptr,   {}};
    const PackedLinear value_columns{value_rows,   size / kLanes, value_steps, value_sums,
                                     value_scales, value_means,   nullptr,     {}};
    const Operand query_rows{query_codes, static_cast<std::size_t>(size), nullptr, nullptr};
    const Operand level_rows{levels, static_cast<std::size_t>(keys), level_scales, level_zeros};
    for_query_groups<kQueryRows>(task.queries, [&](int first, int rows) {
      quantize_queries(query + static_cast<std::size_t>(first) * stride, stride, rows, size,
                       score_scale);
      dot_products<KeyDot>(query_rows, rows, key_columns, scores, static_cast<std::size_t>(keys));
      if (task.distance_bias) {
        softmax_with_bias(task.distance_bias, first, rows, keys);
      } else {
        softmax(rows, keys);
      }
      float* context = task.context +
                       static_cast<std::size_t>(first) * static_cast<std::size_t>(task.width) +
                       task.head * size;
      linear_int8<Isa, ValueDot>(level_rows, {0, rows}, value_columns, {0, value_columns.panels},
                                 Epilogue::kBias, context, static_cast<std::size_t>(task.width));
    });
  }
};

}  // namespace
}  // namespace bge
