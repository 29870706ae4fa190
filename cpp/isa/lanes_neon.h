// NEON (ARMv8.0 and later): 16 lanes are four 128-bit registers. The 8-bit dot product comes in
// three forms below: NeonBase multiplies and adds pairwise, NeonDotprod has SDOT (ARMv8.2),
// NeonI8mm SMMLA (ARMv8.6, optional before).
#pragma once

#include <arm_neon.h>

#include "kernels/lanes.h"

namespace bge {
namespace {

struct Neon {
  struct F {
    float32x4_t part[4];
  };
  struct I {
    int32x4_t part[4];
  };

  template <class Op>
  static BGE_INLINE F each(Op op) {
    return {{op(0), op(1), op(2), op(3)}};
  }
  template <class Op>
  static BGE_INLINE I ieach(Op op) {
    return {{op(0), op(1), op(2), op(3)}};
  }

  static BGE_INLINE F load(const float* p) {
    return each([=](int i) { return vld1q_f32(p + 4 * i); });
  }
  static BGE_INLINE void store(float* p, F v) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, v.part[i]);
  }
  static BGE_INLINE F splat(float x) {
    return each([=](int) { return vdupq_n_f32(x); });
  }
  static BGE_INLINE I iload(const std::int32_t* p) {
    return ieach([=](int i) { return vld1q_s32(p + 4 * i); });
  }
  static BGE_INLINE void istore(std::int32_t* p, I v) {
    for (int i = 0; i < 4; ++i) vst1q_s32(p + 4 * i, v.part[i]);
  }
  static BGE_INLINE I isplat(std::int32_t x) {
    return ieach([=](int) { return vdupq_n_s32(x); });
  }

  static BGE_INLINE F add(F a, F b) {
    return each([=](int i) { return vaddq_f32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F sub(F a, F b) {
    return each([=](int i) { return vsubq_f32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F mul(F a, F b) {
    return each([=](int i) { return vmulq_f32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F div(F a, F b) {
    return each([=](int i) { return vdivq_f32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE F sqrt(F a) {
    return each([=](int i) { return vsqrtq_f32(a.part[i]); });
  }
  static BGE_INLINE F fma(F a, F b, F c) {
    return each([=](int i) { return vfmaq_f32(c.part[i], a.part[i], b.part[i]); });
  }
  // FMIN and FMAX order signed zeros and return NaN if there is one. A comparison and a selection
  // give what x86 gives.
  static BGE_INLINE F min(F a, F b) { return select_less(a, b, a, b); }
  static BGE_INLINE F max(F a, F b) { return select_less(b, a, a, b); }
  static BGE_INLINE F select_less(F a, F b, F x, F y) {
    return each(
        [=](int i) { return vbslq_f32(vcltq_f32(a.part[i], b.part[i]), x.part[i], y.part[i]); });
  }

  static BGE_INLINE I to_int(F a) {
    return ieach([=](int i) { return vcvtnq_s32_f32(a.part[i]); });
  }
  static BGE_INLINE F to_float(I a) {
    return each([=](int i) { return vcvtq_f32_s32(a.part[i]); });
  }
  static BGE_INLINE F bits_to_float(I a) {
    return each([=](int i) { return vreinterpretq_f32_s32(a.part[i]); });
  }
  static BGE_INLINE I float_to_bits(F a) {
    return ieach([=](int i) { return vreinterpretq_s32_f32(a.part[i]); });
  }
  static BGE_INLINE I iadd(I a, I b) {
    return ieach([=](int i) { return vaddq_s32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I isub(I a, I b) {
    return ieach([=](int i) { return vsubq_s32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I imul(I a, I b) {
    return ieach([=](int i) { return vmulq_s32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I bit_or(I a, I b) {
    return ieach([=](int i) { return vorrq_s32(a.part[i], b.part[i]); });
  }
  static BGE_INLINE I bit_and(I a, I b) {
    return ieach([=](int i) { return vandq_s32(a.part[i], b.part[i]); });
  }
  template <int N>
  static BGE_INLINE I shift_left(I a) {
    return ieach([=](int i) { return vshlq_n_s32(a.part[i], N); });
  }

  static BGE_INLINE I imax(I a, I b) {
    return ieach([=](int i) { return vmaxq_s32(a.part[i], b.part[i]); });
  }

  template <int N>
  static BGE_INLINE F upper(F v) {
    if constexpr (N == 8) return {{v.part[2], v.part[3], v.part[2], v.part[3]}};
    if constexpr (N == 4) return {{v.part[1], v.part[1], v.part[1], v.part[1]}};
    return each([=](int) { return vextq_f32(v.part[0], v.part[0], N % 4); });
  }
  template <int N>
  static BGE_INLINE I upper(I v) {
    return float_to_bits(upper<N>(bits_to_float(v)));
  }
  static BGE_INLINE float first(F v) { return vgetq_lane_f32(v.part[0], 0); }
  static BGE_INLINE std::int32_t first(I v) { return vgetq_lane_s32(v.part[0], 0); }

  static BGE_INLINE I load_bytes(const std::int8_t* p) {
    const int8x16_t bytes = vld1q_s8(p);
    const int16x8_t lo = vmovl_s8(vget_low_s8(bytes));
    const int16x8_t hi = vmovl_s8(vget_high_s8(bytes));
    return {{vmovl_s16(vget_low_s16(lo)), vmovl_s16(vget_high_s16(lo)), vmovl_s16(vget_low_s16(hi)),
             vmovl_s16(vget_high_s16(hi))}};
  }
  static BGE_INLINE void store_bytes(std::int8_t* p, I a) {
    const int16x8_t lo = vcombine_s16(vmovn_s32(a.part[0]), vmovn_s32(a.part[1]));
    const int16x8_t hi = vcombine_s16(vmovn_s32(a.part[2]), vmovn_s32(a.part[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
  }

  // Codes of [0, 255] minus 128, for instructions that want both operands signed.
  template <class Dot>
  struct Unsigned : Dot {
    static constexpr int kCodeOffset = -128;
    static BGE_INLINE void store_codes(std::int8_t* p, I a) {
      Dot::store_codes(p, iadd(a, isplat(kCodeOffset)));
    }
  };

  // Float tile: 6 rows x 16 columns = 24 accumulators, 4 weights, 1 broadcast of 32 registers.
  static constexpr int kFloatPanels = 1;
  static constexpr int kFloatRows = 6;
};

// ARMv8.0: SMULL gives 8 products in 16 bits (|product| <= 128 * 127 fits), SADALP adds neighbours
// into int32: two partial sums a column.
// Tile: 4 rows x 8 columns = 16 accumulators; 4 registers of weights.
struct NeonBase : Neon {
  struct Dot {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 8;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 4;
    using Code = std::int8_t;
    static constexpr int kCodeOffset = 0;
    static constexpr int kWeightOffset = 0;
    struct Weights {
      int8x8_t pair[4];  // two columns each
    };
    using Acc = I;
    using Quad = int8x8_t;

    static BGE_INLINE void store_codes(Code* p, I a) { store_bytes(p, a); }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      const std::int8_t* p = reinterpret_cast<const std::int8_t*>(step);
      return {{vld1_s8(p), vld1_s8(p + 8), vld1_s8(p + 16), vld1_s8(p + 24)}};
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) {
      std::int32_t four;
      __builtin_memcpy(&four, codes, sizeof four);
      return vreinterpret_s8_s32(vdup_n_s32(four));
    }
    static BGE_INLINE Acc zero_acc() { return isplat(0); }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return ieach([=](int i) { return vpadalq_s16(acc.part[i], vmull_s8(w.pair[i], codes)); });
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) {
      vst1q_s32(columns, vpaddq_s32(acc.part[0], acc.part[1]));
      vst1q_s32(columns + 4, vpaddq_s32(acc.part[2], acc.part[3]));
    }
  };
  using LinearDot = Dot;
  using KeyDot = Dot;
  using ValueDot = Unsigned<Dot>;
};

#if defined(__ARM_FEATURE_DOTPROD)
// ARMv8.2: SDOT adds four products a lane.
// Tile: 6 rows x 16 columns = 24 accumulators, 4 weights, 1 of codes.
struct NeonDotprod : Neon {
  struct Dot {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 16;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 6;
    using Code = std::int8_t;
    static constexpr int kCodeOffset = 0;
    static constexpr int kWeightOffset = 0;
    struct Weights {
      int8x16_t quad[4];  // four columns each
    };
    using Acc = I;
    using Quad = int8x16_t;

    static BGE_INLINE void store_codes(Code* p, I a) { store_bytes(p, a); }
    static BGE_INLINE Weights load_weights(const unsigned char* step) {
      const std::int8_t* p = reinterpret_cast<const std::int8_t*>(step);
      return {{vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48)}};
    }
    static BGE_INLINE Quad load_codes4(const Code* codes) {
      std::int32_t four;
      __builtin_memcpy(&four, codes, sizeof four);
      return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
    static BGE_INLINE Acc zero_acc() { return isplat(0); }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return ieach([=](int i) { return vdotq_s32(acc.part[i], w.quad[i], codes); });
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, Acc acc) { istore(columns, acc); }
  };
  using LinearDot = Dot;
  using KeyDot = Dot;
  using ValueDot = Unsigned<Dot>;
};
#endif

#if defined(__ARM_FEATURE_MATMUL_INT8)
// SMMLA multiplies a matrix of 2 rows x 8 k by one of 8 k x 2 columns: twice the work of SDOT. The
// columns are two steps of a panel, zipped; the rows are the codes of two rows. An odd last row is
// used twice.
//
// Tile: 6 rows x 16 columns = 24 accumulators of 2 x 2 sums, 3 registers of codes, 2 of weights
// that are being zipped, of 32 registers.
struct NeonI8mm : Neon {
  struct Dot {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 16;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 6;
    static constexpr bool kOwnTile = true;
    using Code = std::int8_t;
    static constexpr int kCodeOffset = 0;
    static constexpr int kWeightOffset = 0;

    static BGE_INLINE void store_codes(Code* p, I a) { store_bytes(p, a); }

    template <int kTileRows>
    static BGE_INLINE void tile(const Code* codes, std::size_t stride, const unsigned char* steps,
                                int count, std::int32_t* sums, std::size_t sum_stride) {
      constexpr int kPairs = (kTileRows + 1) / 2;
      constexpr int kQuads = kLanes / 4;      // of columns: one register of a step
      int32x4_t acc[kPairs][kQuads][2] = {};  // r0c0 r0c1 r1c0 r1c1, then columns 2 and 3
      for (int step = 0; step < count; step += 2) {
        int8x16_t rows[kPairs];
        BGE_UNROLL
        for (int p = 0; p < kPairs; ++p) {
          const Code* first = codes + static_cast<std::size_t>(2 * p) * stride;
          const Code* second = 2 * p + 1 < kTileRows ? first + stride : first;
          rows[p] = vcombine_s8(vld1_s8(first), vld1_s8(second));
        }
        BGE_UNROLL
        for (int q = 0; q < kQuads; ++q) {
          const int32x4_t even = load_quad(steps + 16 * q);
          const int32x4_t odd = load_quad(steps + kStepBytes + 16 * q);
          const int8x16_t columns01 = vreinterpretq_s8_s32(vzip1q_s32(even, odd));
          const int8x16_t columns23 = vreinterpretq_s8_s32(vzip2q_s32(even, odd));
          BGE_UNROLL
          for (int p = 0; p < kPairs; ++p) {
            acc[p][q][0] = vmmlaq_s32(acc[p][q][0], rows[p], columns01);
            acc[p][q][1] = vmmlaq_s32(acc[p][q][1], rows[p], columns23);
          }
        }
        steps += 2 * kStepBytes;
        codes += 2 * kStepDepth;
      }
      BGE_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        BGE_UNROLL
        for (int q = 0; q < kQuads; ++q) {
          const int64x2_t left = vreinterpretq_s64_s32(acc[p][q][0]);
          const int64x2_t right = vreinterpretq_s64_s32(acc[p][q][1]);
          std::int32_t* out = sums + static_cast<std::size_t>(2 * p) * sum_stride + 4 * q;
          vst1q_s32(out, vreinterpretq_s32_s64(vzip1q_s64(left, right)));
          if (2 * p + 1 < kTileRows) {
            vst1q_s32(out + sum_stride, vreinterpretq_s32_s64(vzip2q_s64(left, right)));
          }
        }
      }
    }
    static BGE_INLINE int32x4_t load_quad(const unsigned char* p) {
      return vreinterpretq_s32_u8(vld1q_u8(p));
    }
  };
  using LinearDot = Dot;
  using KeyDot = Dot;
  using ValueDot = Unsigned<Dot>;
};
#endif

}  // namespace
}  // namespace bge
