// Plain C++: an array of 16. Runs everywhere; every other ISA is compared with it.
#pragma once

#include "kernels/lanes.h"
#include "kernels/soft_fma.h"

namespace bge {
namespace {

struct Scalar {
  struct F {
    float lane[kLanes];
  };
  struct I {
    std::int32_t lane[kLanes];
  };

  template <class Op>
  static BGE_INLINE F each(Op op) {
    F r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = op(i);
    return r;
  }
  template <class Op>
  static BGE_INLINE I ieach(Op op) {
    I r;
    for (int i = 0; i < kLanes; ++i) r.lane[i] = op(i);
    return r;
  }

  static BGE_INLINE F load(const float* p) {
    return each([=](int i) { return p[i]; });
  }
  static BGE_INLINE void store(float* p, F v) {
    for (int i = 0; i < kLanes; ++i) p[i] = v.lane[i];
  }
  static BGE_INLINE F splat(float x) {
    return each([=](int) { return x; });
  }
  static BGE_INLINE I iload(const std::int32_t* p) {
    return ieach([=](int i) { return p[i]; });
  }
  static BGE_INLINE void istore(std::int32_t* p, I v) {
    for (int i = 0; i < kLanes; ++i) p[i] = v.lane[i];
  }
  static BGE_INLINE I isplat(std::int32_t x) {
    return ieach([=](int) { return x; });
  }

  static BGE_INLINE F add(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static BGE_INLINE F sub(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static BGE_INLINE F mul(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static BGE_INLINE F div(const F& a, const F& b) {
    return each([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static BGE_INLINE F sqrt(const F& a) {
    return each([&](int i) { return __builtin_sqrtf(a.lane[i]); });
  }
  static BGE_INLINE F fma(const F& a, const F& b, const F& c) {
    return each([&](int i) { return soft_fma(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static BGE_INLINE F min(const F& a, const F& b) { return select_less(a, b, a, b); }
  static BGE_INLINE F max(const F& a, const F& b) { return select_less(b, a, a, b); }
  static BGE_INLINE F select_less(const F& a, const F& b, const F& x, const F& y) {
    return each([&](int i) { return a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]; });
  }

  // Adding 1.5 * 2^52 in double leaves the integer, rounded to nearest even, in the low bits.
  static BGE_INLINE I to_int(const F& a) {
    return ieach([&](int i) {
      const double shifted = static_cast<double>(a.lane[i]) + 6755399441055744.0;
      std::int64_t bits;
      __builtin_memcpy(&bits, &shifted, sizeof bits);
      return static_cast<std::int32_t>(bits);
    });
  }
  static BGE_INLINE F to_float(const I& a) {
    return each([&](int i) { return static_cast<float>(a.lane[i]); });
  }
  static BGE_INLINE F bits_to_float(const I& a) {
    return each([&](int i) {
      float x;
      __builtin_memcpy(&x, &a.lane[i], sizeof x);
      return x;
    });
  }
  static BGE_INLINE I float_to_bits(const F& a) {
    return ieach([&](int i) {
      std::int32_t x;
      __builtin_memcpy(&x, &a.lane[i], sizeof x);
      return x;
    });
  }
  // Vector integers wrap. Signed arithmetic in C++ may not, so these go through unsigned numbers.
  static BGE_INLINE std::int32_t wrap(std::uint32_t x) { return static_cast<std::int32_t>(x); }
  static BGE_INLINE std::uint32_t raw(std::int32_t x) { return static_cast<std::uint32_t>(x); }
  static BGE_INLINE I iadd(const I& a, const I& b) {
    return ieach([&](int i) { return wrap(raw(a.lane[i]) + raw(b.lane[i])); });
  }
  static BGE_INLINE I isub(const I& a, const I& b) {
    return ieach([&](int i) { return wrap(raw(a.lane[i]) - raw(b.lane[i])); });
  }
  static BGE_INLINE I imul(const I& a, const I& b) {
    return ieach([&](int i) { return wrap(raw(a.lane[i]) * raw(b.lane[i])); });
  }
  static BGE_INLINE I bit_or(const I& a, const I& b) {
    return ieach([&](int i) { return a.lane[i] | b.lane[i]; });
  }
  static BGE_INLINE I bit_and(const I& a, const I& b) {
    return ieach([&](int i) { return a.lane[i] & b.lane[i]; });
  }
  template <int N>
  static BGE_INLINE I shift_left(const I& a) {
    return ieach([&](int i) { return wrap(raw(a.lane[i]) << N); });
  }

  static BGE_INLINE I imax(const I& a, const I& b) {
    return ieach([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }

  template <int N>
  static BGE_INLINE F upper(const F& v) {
    return each([&](int i) { return v.lane[(i + N) % kLanes]; });
  }
  template <int N>
  static BGE_INLINE I upper(const I& v) {
    return ieach([&](int i) { return v.lane[(i + N) % kLanes]; });
  }
  static BGE_INLINE float first(const F& v) { return v.lane[0]; }
  static BGE_INLINE std::int32_t first(const I& v) { return v.lane[0]; }

  static BGE_INLINE I load_bytes(const std::int8_t* p) {
    return ieach([=](int i) { return static_cast<std::int32_t>(p[i]); });
  }
  static BGE_INLINE void store_bytes(std::int8_t* p, const I& a) {
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::int8_t>(a.lane[i]);
  }

  template <class CodeType>
  struct Dot {
    static constexpr ByteForm kByteForm = ByteForm::kSigned;
    static constexpr int kColumns = 16;
    static constexpr int kPanels = 1;
    static constexpr int kRows = 1;
    using Code = CodeType;
    static constexpr int kCodeOffset = 0;
    static constexpr int kWeightOffset = 0;
    struct Weights {
      const unsigned char* step;
    };
    using Acc = I;
    struct Quad {
      const Code* codes;
    };

    static BGE_INLINE void store_codes(Code* p, const I& a) {
      for (int i = 0; i < kLanes; ++i) p[i] = static_cast<Code>(a.lane[i]);
    }
    static BGE_INLINE Weights load_weights(const unsigned char* step) { return {step}; }
    static BGE_INLINE Quad load_codes4(const Code* codes) { return {codes}; }
    static BGE_INLINE Acc zero_acc() { return isplat(0); }
    static BGE_INLINE Acc dot(const Acc& acc, Weights w, Quad q) {
      return ieach([&](int i) {
        std::int32_t sum = acc.lane[i];
        for (int k = 0; k < kStepDepth; ++k) {
          sum += static_cast<std::int8_t>(w.step[kStepDepth * i + k]) * q.codes[k];
        }
        return sum;
      });
    }
    static BGE_INLINE void store_acc(std::int32_t* columns, const Acc& acc) {
      istore(columns, acc);
    }
  };
  using LinearDot = Dot<std::int8_t>;
  using KeyDot = LinearDot;
  using ValueDot = Dot<std::uint8_t>;

  static constexpr int kFloatPanels = 1;
  static constexpr int kFloatRows = 1;
};

}  // namespace
}  // namespace bge
