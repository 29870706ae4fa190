// The dot products of ISAs with VPDPBUSD, which multiplies unsigned by signed bytes, for registers
// of any width.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

// Tile is what depends on the width: a Dot of kernels/lanes.h without what concerns codes, and
// dpbusd(Acc, unsigned, signed) for codes times weights and for weights times codes.
template <class Isa, class Tile>
struct VnniDots {
  using I = typename Tile::I;
  using Acc = typename Tile::Acc;
  using Weights = typename Tile::Weights;
  using Quad = typename Tile::Quad;

  // The codes of probabilities are unsigned already.
  struct ValueDot : Tile {
    using Code = std::uint8_t;
    static constexpr int kCodeOffset = 0;
    static BGE_INLINE void store_codes(Code* p, I a) {
      Isa::store_bytes(reinterpret_cast<std::int8_t*>(p), a);
    }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return Tile::dpbusd(acc, codes, w);
    }
  };

  // A linear's codes are stored plus 128; the correction for the zero point removes that.
  struct LinearDot : ValueDot {
    static constexpr int kCodeOffset = 128;
    static BGE_INLINE void store_codes(std::uint8_t* p, I a) {
      ValueDot::store_codes(p, Isa::iadd(a, Isa::isplat(kCodeOffset)));
    }
  };

  // Keys are packed plus 128. That adds the same number to all of a query's scores, which does not
  // change the softmax.
  struct KeyDot : Tile {
    using Code = std::int8_t;
    static constexpr int kWeightOffset = 128;
    static BGE_INLINE void store_codes(Code* p, I a) { Isa::store_bytes(p, a); }
    static BGE_INLINE Acc dot(Acc acc, Weights w, Quad codes) {
      return Tile::dpbusd(acc, w, codes);
    }
  };
};

}  // namespace
}  // namespace bge
