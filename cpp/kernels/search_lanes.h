// What searching needs beyond kernels/lanes.h: dot products of 8-bit rows that are not packed, bit
// counts, and the tile of scores that are computed together. The template below uses the lanes that
// every ISA has. isa/search_*.h specialise it for instruction sets that have something faster, with
// the same names:
//
//   kStep                          bytes of a row that a step takes
//   kRows, kQueries                tile of scores
//   Flip flip(uint8_t mask)        rows are XORed with it: 0 for int8, 0x80 for uint8 (value + 128)
//   Row load_row(const uint8_t*, Flip), Query load_query(const int8_t*)
//   Acc zero(), dot(Acc, Row, Query), square(Acc, Row)
//   int32_t sum(Acc)
//   int32_t surplus(int32_t query_sum)   what is to be subtracted from sum() of dot products
//   float total(F)                 the same bits as sum_lanes()
//   int popcount(uint64_t)
//
// Integers are exact, so every ISA gives the same scores whatever its order of summation.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

template <class Isa>
struct SearchLanes {
  static constexpr int kStep = kLanes;
  static constexpr int kRows = 1;
  static constexpr int kQueries = 1;
  using Flip = std::uint64_t;
  using Row = typename Isa::I;
  using Query = typename Isa::I;
  using Acc = typename Isa::I;

  static BGE_INLINE Flip flip(std::uint8_t mask) { return 0x0101010101010101u * mask; }
  static BGE_INLINE Row load_row(const std::uint8_t* p, Flip mask) {
    std::uint64_t words[2];
    __builtin_memcpy(words, p, sizeof words);
    words[0] ^= mask;
    words[1] ^= mask;
    std::int8_t bytes[kLanes];
    __builtin_memcpy(bytes, words, sizeof bytes);
    return Isa::load_bytes(bytes);
  }
  static BGE_INLINE Query load_query(const std::int8_t* p) { return Isa::load_bytes(p); }
  static BGE_INLINE Acc zero() { return Isa::isplat(0); }
  static BGE_INLINE Acc dot(const Acc& acc, const Row& row, const Query& query) {
    return Isa::iadd(acc, Isa::imul(row, query));
  }
  static BGE_INLINE Acc square(const Acc& acc, const Row& row) { return dot(acc, row, row); }
  static BGE_INLINE std::int32_t sum(const Acc& acc) { return sum_lanes<Isa>(acc); }
  static BGE_INLINE std::int32_t surplus(std::int32_t) { return 0; }
  static BGE_INLINE float total(const typename Isa::F& v) { return sum_lanes<Isa>(v); }
  // Adds neighbouring bits, pairs, fours; the product then adds the bytes into the highest one.
  static BGE_INLINE int popcount(std::uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return static_cast<int>(x * 0x0101010101010101u >> 56);
  }
};

}  // namespace
}  // namespace bge
