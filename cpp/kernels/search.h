// Scores of queries against a block of rows: the inner loops of searching.
//
// A float score is 16 chains of fused multiply-adds, lane i having elements i, i + 16, ..., whose
// results sum_lanes() adds by halving. The last step of a row is padded with zeros. Scores of bytes
// and bits are integers. Neither depends on the tile.
#pragma once

#include "kernels/search_lanes.h"
#include "kernels/table.h"

namespace bge {
namespace {

BGE_INLINE std::size_t at(int index, std::size_t stride) {
  return static_cast<std::size_t>(index) * stride;
}

// The last `left` elements of a row, padded to a whole step: nothing behind the row may be read.
template <int Step, class T>
struct PaddedTail {
  alignas(64) T elements[Step];
  BGE_INLINE PaddedTail(const T* from, std::size_t left, T padding = T{}) {
    for (int i = 0; i < Step; ++i) elements[i] = padding;
    __builtin_memcpy(elements, from, left * sizeof(T));
  }
};

// How many bytes ahead of a tile's loads memory is prefetched. CPUs' own prefetchers do not follow
// several short rows that are read at the same time. It saves an eighth of the time.
constexpr std::size_t kPrefetch = 8192;

BGE_INLINE void prefetch(const void* p) {
  // An integer, because a pointer so far beyond the array would be undefined.
  const std::uintptr_t ahead = reinterpret_cast<std::uintptr_t>(p) + kPrefetch;
  __builtin_prefetch(reinterpret_cast<const void*>(ahead));  // NOLINT(performance-no-int-to-ptr)
}

// scores[q][r] of Queries x Rows; queries have `padded` elements each, zeros beyond `width`.
template <class Isa, int Queries, int Rows>
BGE_INLINE void dot_floats(const float* queries, std::size_t padded, const float* rows,
                           std::size_t width, float* scores, std::size_t stride) {
  using F = typename Isa::F;
  F acc[Queries][Rows];
  BGE_UNROLL
  for (int q = 0; q < Queries; ++q) {
    BGE_UNROLL
    for (int r = 0; r < Rows; ++r) acc[q][r] = Isa::splat(0.0f);
  }
  std::size_t c = 0;
  for (; c + kLanes <= width; c += kLanes) {
    F query[Queries];
    BGE_UNROLL
    for (int q = 0; q < Queries; ++q) query[q] = Isa::load(queries + at(q, padded) + c);
    BGE_UNROLL
    for (int r = 0; r < Rows; ++r) {
      if constexpr (Rows > 1) prefetch(rows + at(r, width) + c);
      const F row = Isa::load(rows + at(r, width) + c);
      BGE_UNROLL
      for (int q = 0; q < Queries; ++q) acc[q][r] = Isa::fma(row, query[q], acc[q][r]);
    }
  }
  if (c < width) {
    for (int r = 0; r < Rows; ++r) {
      const PaddedTail<kLanes, float> tail(rows + at(r, width) + c, width - c);
      const F row = Isa::load(tail.elements);
      for (int q = 0; q < Queries; ++q) {
        acc[q][r] = Isa::fma(row, Isa::load(queries + at(q, padded) + c), acc[q][r]);
      }
    }
  }
  for (int q = 0; q < Queries; ++q) {
    for (int r = 0; r < Rows; ++r) (scores + at(q, stride))[r] = SearchLanes<Isa>::total(acc[q][r]);
  }
}

template <class Isa, int Queries, int Rows>
BGE_INLINE void dot_bytes(const std::int8_t* queries, const std::int32_t* query_sums,
                          std::size_t padded, const std::uint8_t* rows, std::size_t width,
                          typename SearchLanes<Isa>::Flip flip, std::int32_t* scores,
                          std::size_t stride) {
  using Lanes = SearchLanes<Isa>;
  constexpr std::size_t kStep = Lanes::kStep;
  typename Lanes::Acc acc[Queries][Rows];
  BGE_UNROLL
  for (int q = 0; q < Queries; ++q) {
    BGE_UNROLL
    for (int r = 0; r < Rows; ++r) acc[q][r] = Lanes::zero();
  }
  std::size_t c = 0;
  for (; c + kStep <= width; c += kStep) {
    typename Lanes::Query query[Queries];
    BGE_UNROLL
    for (int q = 0; q < Queries; ++q) query[q] = Lanes::load_query(queries + at(q, padded) + c);
    BGE_UNROLL
    for (int r = 0; r < Rows; ++r) {
      if constexpr (Rows > 1) prefetch(rows + at(r, width) + c);
      const typename Lanes::Row row = Lanes::load_row(rows + at(r, width) + c, flip);
      BGE_UNROLL
      for (int q = 0; q < Queries; ++q) acc[q][r] = Lanes::dot(acc[q][r], row, query[q]);
    }
  }
  if (c < width) {
    // The flip may turn the row's padding into other numbers; the query's zeros cancel them.
    for (int r = 0; r < Rows; ++r) {
      const PaddedTail<Lanes::kStep, std::uint8_t> tail(rows + at(r, width) + c, width - c);
      const typename Lanes::Row row = Lanes::load_row(tail.elements, flip);
      for (int q = 0; q < Queries; ++q) {
        acc[q][r] = Lanes::dot(acc[q][r], row, Lanes::load_query(queries + at(q, padded) + c));
      }
    }
  }
  for (int q = 0; q < Queries; ++q) {
    const std::int32_t surplus = Lanes::surplus(query_sums[q]);
    for (int r = 0; r < Rows; ++r) (scores + at(q, stride))[r] = Lanes::sum(acc[q][r]) - surplus;
  }
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// Covers queries x rows with tiles; tile(Count, Count, first query, first row) computes one.
template <class Isa, class Tile>
BGE_INLINE void for_tiles(int queries, int rows, Tile tile) {
  using Lanes = SearchLanes<Isa>;
  int q = 0;
  for (; q + Lanes::kQueries <= queries; q += Lanes::kQueries) {
    int r = 0;
    for (; r + Lanes::kRows <= rows; r += Lanes::kRows) {
      tile(Count<Lanes::kQueries>{}, Count<Lanes::kRows>{}, q, r);
    }
    for (; r < rows; ++r) tile(Count<Lanes::kQueries>{}, Count<1>{}, q, r);
  }
  for (; q < queries; ++q) {
    // One row after the other: memory is fastest as one stream, and an out-of-order CPU begins the
    // next rows by itself. Four rows at the same time took 1.5 times as long.
    for (int r = 0; r < rows; ++r) tile(Count<1>{}, Count<1>{}, q, r);
  }
}

template <class Isa>
void search_floats(const SearchQueries& queries, const SearchRows& rows, float* scores) {
  const auto* query = static_cast<const float*>(queries.values);
  const auto* row = static_cast<const float*>(rows.values);
  const std::size_t stride = static_cast<std::size_t>(rows.count);
  for_tiles<Isa>(queries.count, rows.count, [&](auto q_count, auto r_count, int q, int r) {
    dot_floats<Isa, q_count.value, r_count.value>(query + at(q, queries.padded), queries.padded,
                                                  row + at(r, rows.width), rows.width,
                                                  scores + at(q, stride) + r, stride);
  });
}

template <class Isa>
void search_bytes(const SearchQueries& queries, const SearchRows& rows, std::int32_t* scores) {
  const auto* query = static_cast<const std::int8_t*>(queries.values);
  const auto* row = static_cast<const std::uint8_t*>(rows.values);
  const std::size_t stride = static_cast<std::size_t>(rows.count);
  const auto flip = SearchLanes<Isa>::flip(rows.flip);
  for_tiles<Isa>(queries.count, rows.count, [&](auto q_count, auto r_count, int q, int r) {
    dot_bytes<Isa, q_count.value, r_count.value>(
        query + at(q, queries.padded), queries.sums + q, queries.padded, row + at(r, rows.width),
        rows.width, flip, scores + at(q, stride) + r, stride);
  });
}

// Number of bits that differ between two rows. Words, if not 0, is their length in 64-bit words.
template <class Isa, int Words>
BGE_INLINE int count_different(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes) {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  int count = 0;
  std::uint64_t x, y;
  std::size_t c = 0;
  if constexpr (Words != 0) {
    BGE_UNROLL
    for (int i = 0; i < Words; ++i, c += kWord) {
      __builtin_memcpy(&x, a + c, kWord);
      __builtin_memcpy(&y, b + c, kWord);
      count += SearchLanes<Isa>::popcount(x ^ y);
    }
    return count;
  }
  for (; c + kWord <= bytes; c += kWord) {
    __builtin_memcpy(&x, a + c, kWord);
    __builtin_memcpy(&y, b + c, kWord);
    count += SearchLanes<Isa>::popcount(x ^ y);
  }
  if (c < bytes) {
    x = y = 0;
    __builtin_memcpy(&x, a + c, bytes - c);
    __builtin_memcpy(&y, b + c, bytes - c);
    count += SearchLanes<Isa>::popcount(x ^ y);
  }
  return count;
}

// A bit means +1 or -1. A score is the dot product: the number of bits minus twice the number of
// bits that differ.
template <class Isa, int Words>
void bit_scores(const SearchQueries& queries, const SearchRows& rows, std::int32_t* scores) {
  const auto* query = static_cast<const std::uint8_t*>(queries.values);
  const std::size_t width = rows.width;
  const int bits = 8 * static_cast<int>(width);
  const int count = rows.count;
  for (int q = 0; q < queries.count; ++q, query += queries.padded, scores += count) {
    const auto* row = static_cast<const std::uint8_t*>(rows.values);
    for (int r = 0; r < count; ++r, row += width) {
      scores[r] = bits - 2 * count_different<Isa, Words>(row, query, width);
    }
  }
}

template <class Isa>
void search_bits(const SearchQueries& queries, const SearchRows& rows, std::int32_t* scores) {
  // Unrolled for the model's 384 dimensions: three times as fast.
  const auto run = rows.width == 48 ? bit_scores<Isa, 6> : bit_scores<Isa, 0>;
  run(queries, rows, scores);
}

// squares[r] -> 1 / max(square root, 1e-12), the bound of torch's normalize. Works on 16 at a time:
// the capacity of `squares` is a multiple of 16.
template <class Isa>
BGE_INLINE void invert_roots(float* squares, int count) {
  for (int r = 0; r < count; r += kLanes) {
    const auto length = Isa::max(Isa::sqrt(Isa::load(squares + r)), Isa::splat(1e-12f));
    Isa::store(squares + r, Isa::div(Isa::splat(1.0f), length));
  }
}

// inverse[r] = 1 / length of row r.
template <class Isa>
void invert_float_norms(const SearchRows& rows, float* inverse) {
  const auto* row = static_cast<const float*>(rows.values);
  for (int r = 0; r < rows.count; ++r, row += rows.width) {
    auto acc = Isa::splat(0.0f);
    std::size_t c = 0;
    for (; c + kLanes <= rows.width; c += kLanes) {
      const auto x = Isa::load(row + c);
      acc = Isa::fma(x, x, acc);
    }
    if (c < rows.width) {
      const PaddedTail<kLanes, float> tail(row + c, rows.width - c);
      const auto x = Isa::load(tail.elements);
      acc = Isa::fma(x, x, acc);
    }
    inverse[r] = SearchLanes<Isa>::total(acc);
  }
  invert_roots<Isa>(inverse, rows.count);
}

template <class Isa>
void invert_byte_norms(const SearchRows& rows, float* inverse) {
  using Lanes = SearchLanes<Isa>;
  constexpr std::size_t kStep = Lanes::kStep;
  const auto flip = Lanes::flip(rows.flip);
  const auto* row = static_cast<const std::uint8_t*>(rows.values);
  for (int r = 0; r < rows.count; ++r, row += rows.width) {
    auto acc = Lanes::zero();
    std::size_t c = 0;
    for (; c + kStep <= rows.width; c += kStep)
      acc = Lanes::square(acc, Lanes::load_row(row + c, flip));
    if (c < rows.width) {
      // Padding bytes are those that the flip turns into 0.
      const PaddedTail<Lanes::kStep, std::uint8_t> tail(row + c, rows.width - c, rows.flip);
      acc = Lanes::square(acc, Lanes::load_row(tail.elements, flip));
    }
    inverse[r] = static_cast<float>(Lanes::sum(acc));
  }
  invert_roots<Isa>(inverse, rows.count);
}

}  // namespace
}  // namespace bge
