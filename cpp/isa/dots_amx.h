// The dot products of ISAs with a tile unit: those of `Dots`, an ISA with VPDPBUSD, for products
// that are too small for tiles.
#pragma once

#include "kernels/tile_unit.h"

namespace bge {
namespace {

template <class Dots, class Unit>
struct AmxDots {
  template <class Base>
  struct UnsignedCodes : Base {
    using TileUnit = Unit;
    template <int kSums, int kCodes, int kWeights>
    static BGE_INLINE void tile_dot(Unit& unit) {
      unit.template dot_unsigned_signed<kSums, kCodes, kWeights>();
    }
  };
  using LinearDot = UnsignedCodes<typename Dots::LinearDot>;
  using ValueDot = UnsignedCodes<typename Dots::ValueDot>;

  struct KeyDot : Dots::KeyDot {
    using TileUnit = Unit;
    template <int kSums, int kCodes, int kWeights>
    static BGE_INLINE void tile_dot(Unit& unit) {
      unit.template dot_signed_unsigned<kSums, kCodes, kWeights>();
    }
  };
};

}  // namespace
}  // namespace bge
