// Searching by NEON: SMULL and SADALP, or SDOT if the CPU has it (ARMv8.2).
//
// Tile: 2 rows x 2 queries. Floats take 4 registers each: 16 for accumulators, 4 for a row, 8 for
// queries, of 32 registers.
#pragma once

#include "isa/lanes_neon.h"
#include "kernels/search_lanes.h"

namespace bge {
namespace {

struct NeonSearchBase {
  static constexpr int kStep = 16;
  static constexpr int kRows = 2;
  static constexpr int kQueries = 2;
  using Flip = uint8x16_t;
  using Row = int8x16_t;
  using Query = int8x16_t;
  using Acc = int32x4_t;

  static BGE_INLINE Flip flip(std::uint8_t mask) { return vdupq_n_u8(mask); }
  static BGE_INLINE Row load_row(const std::uint8_t* p, Flip mask) {
    return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), mask));
  }
  static BGE_INLINE Query load_query(const std::int8_t* p) { return vld1q_s8(p); }
  static BGE_INLINE Acc zero() { return vdupq_n_s32(0); }
  static BGE_INLINE std::int32_t sum(Acc acc) { return vaddvq_s32(acc); }
  static BGE_INLINE std::int32_t surplus(std::int32_t) { return 0; }
  static BGE_INLINE float total(const Neon::F& v) {
    const float32x4_t four =
        vaddq_f32(vaddq_f32(v.part[0], v.part[2]), vaddq_f32(v.part[1], v.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
  static BGE_INLINE int popcount(std::uint64_t x) { return __builtin_popcountll(x); }
};

template <>
struct SearchLanes<NeonBase> : NeonSearchBase {
  // A product of bytes is at most 2^14, so SMULL cannot overflow, and SADALP widens before it adds.
  static BGE_INLINE Acc dot(Acc acc, Row row, Query query) {
    acc = vpadalq_s16(acc, vmull_s8(vget_low_s8(row), vget_low_s8(query)));
    return vpadalq_s16(acc, vmull_s8(vget_high_s8(row), vget_high_s8(query)));
  }
  static BGE_INLINE Acc square(Acc acc, Row row) { return dot(acc, row, row); }
};

#if defined(__ARM_FEATURE_DOTPROD)
template <>
struct SearchLanes<NeonDotprod> : NeonSearchBase {
  static BGE_INLINE Acc dot(Acc acc, Row row, Query query) { return vdotq_s32(acc, row, query); }
  static BGE_INLINE Acc square(Acc acc, Row row) { return dot(acc, row, row); }
};
#endif

}  // namespace
}  // namespace bge
