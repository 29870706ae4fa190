// Searching by AVX2: bytes widened to 16 bits, VPMADDWD. It cannot saturate, and rows and queries
// may hold any byte.
//
// Tile: 2 rows x 2 queries. Floats take two registers each: 8 for accumulators, 2 for a row, 4 for
// queries, of 16 registers.
#pragma once

#include "isa/lanes_avx2.h"
#include "kernels/search_lanes.h"

namespace bge {
namespace {

template <>
struct SearchLanes<Avx2> {
  static constexpr int kStep = 16;
  static constexpr int kRows = 2;
  static constexpr int kQueries = 2;
  using Flip = __m128i;
  using Row = __m256i;
  using Query = __m256i;
  using Acc = __m256i;

  static BGE_INLINE Flip flip(std::uint8_t mask) { return _mm_set1_epi8(static_cast<char>(mask)); }
  static BGE_INLINE Row load_row(const std::uint8_t* p, Flip mask) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi8_epi16(_mm_xor_si128(bytes, mask));
  }
  static BGE_INLINE Query load_query(const std::int8_t* p) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static BGE_INLINE Acc zero() { return _mm256_setzero_si256(); }
  static BGE_INLINE Acc dot(Acc acc, Row row, Query query) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(row, query));
  }
  static BGE_INLINE Acc square(Acc acc, Row row) { return dot(acc, row, row); }
  static BGE_INLINE std::int32_t sum(Acc acc) {
    const __m128i halves =
        _mm_add_epi32(_mm256_castsi256_si128(acc), _mm256_extracti128_si256(acc, 1));
    const __m128i pairs = _mm_add_epi32(halves, _mm_shuffle_epi32(halves, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(
        _mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, _MM_SHUFFLE(2, 3, 0, 1))));
  }
  static BGE_INLINE std::int32_t surplus(std::int32_t) { return 0; }
  static BGE_INLINE float total(Avx2::F v) {
    const __m256 eight = _mm256_add_ps(v.lo, v.hi);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static BGE_INLINE int popcount(std::uint64_t x) { return __builtin_popcountll(x); }
};

}  // namespace
}  // namespace bge
