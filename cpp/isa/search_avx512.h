// Searching by AVX-512 with VNNI. One operand of VPDPBUSD is unsigned: the row plus 128, which
// makes a dot product too large by 128 times the sum of the query.
//
// Tile: 4 rows x 4 queries = 16 accumulators, 1 register for a row, 4 for queries, of 32 registers.
// 16 chains hide the latency of 4 cycles, and each load is used by four multiply-adds.
#pragma once

#include "isa/lanes_avx512.h"
#include "kernels/search_lanes.h"

namespace bge {
namespace {

template <>
struct SearchLanes<Avx512Vnni> {
  static constexpr int kStep = 64;
  static constexpr int kRows = 4;
  static constexpr int kQueries = 4;
  using Flip = __m512i;
  using Row = __m512i;  // plus 128
  using Query = __m512i;
  using Acc = __m512i;

  static BGE_INLINE Flip flip(std::uint8_t mask) {
    return _mm512_set1_epi8(static_cast<char>(mask ^ 0x80));
  }
  static BGE_INLINE Row load_row(const std::uint8_t* p, Flip mask) {
    return _mm512_xor_si512(_mm512_loadu_si512(p), mask);
  }
  static BGE_INLINE Query load_query(const std::int8_t* p) { return _mm512_loadu_si512(p); }
  static BGE_INLINE Acc zero() { return _mm512_setzero_si512(); }
  static BGE_INLINE Acc dot(Acc acc, Row row, Query query) {
    return _mm512_dpbusd_epi32(acc, row, query);
  }
  static BGE_INLINE Acc square(Acc acc, Row row) {
    const __m512i bytes = _mm512_xor_si512(row, _mm512_set1_epi8(-128));
    const __m512i low = _mm512_cvtepi8_epi16(_mm512_castsi512_si256(bytes));
    const __m512i high = _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(bytes, 1));
    const __m512i products =
        _mm512_add_epi32(_mm512_madd_epi16(low, low), _mm512_madd_epi16(high, high));
    return _mm512_add_epi32(acc, products);
  }
  static BGE_INLINE std::int32_t sum(Acc acc) { return _mm512_reduce_add_epi32(acc); }
  static BGE_INLINE std::int32_t surplus(std::int32_t query_sum) { return 128 * query_sum; }
  static BGE_INLINE float total(__m512 v) {
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  static BGE_INLINE int popcount(std::uint64_t x) { return __builtin_popcountll(x); }
};

}  // namespace
}  // namespace bge
