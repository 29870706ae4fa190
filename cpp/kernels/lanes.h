// What kernels are written in: 16 virtual float lanes.
//
// A kernel is a template on an ISA struct (isa/lanes_*.h). Each isa/*.cpp includes it once, inside
// an anonymous namespace, so that no linker can use one ISA's copy for another. An ISA struct
// provides these names, all static and always inlined:
//
//   F   16 float lanes            I   16 int32 lanes
//   load store splat              iload istore isplat           (float* / int32_t*, any alignment)
//   add sub mul div sqrt          iadd isub imul (wrapping) imax
//   fma(a, b, c) = a*b + c, one rounding
//   min, max                      a < b ? a : b and a > b ? a : b, also for zeros and NaN
//   select_less(a, b, x, y)       a < b ? x : y, lane by lane
//   to_int(F)                     round to nearest even; |lane| must be below 2^31
//   to_float(I)                   exact or round to nearest even
//   bits_to_float(I), float_to_bits(F)
//   shift_left<N>(I), bit_or, bit_and
//   upper<N>(F), upper<N>(I)      lanes N to 2N - 1 as the first N lanes; the others are undefined
//   first(F), first(I)            lane 0
//   load_bytes(const int8_t*)     16 bytes, sign-extended
//   store_bytes(int8_t*, I)       low byte of every lane; lanes are in [-128, 127] or [0, 255]
//   kFloatPanels, kFloatRows      tile of a float32 linear: panels side by side, rows
//
// and three 8-bit dot products, which may be one: LinearDot for packed weights, KeyDot and ValueDot
// for keys and values, which attention packs. Each is a struct with
//
//   kByteForm                     how packed weights are stored
//   kColumns                      columns one accumulator covers (8 or 16)
//   kPanels, kRows                tile: panels side by side, rows
//   Code, kCodeOffset             type of a stored code, and what is added to a code to store it
//   store_codes(Code*, I)         lanes are in [-128, 127], those of ValueDot in [0, 255]
//   kWeightOffset                 KeyDot only: what is added to the codes of keys to pack them
//   Weights load_weights(const unsigned char* step)     kColumns x 4 bytes
//   Quad load_codes4(const Code*)                       four codes, broadcast
//   Acc zero_acc(), dot(Acc, Weights, Quad), store_acc(int32_t*, Acc)
//   and for ByteForm::kPaired dot(Acc, Weights, Quad, Weights, Quad), two steps at once
//   An instruction that takes more than four codes of one row has, instead of the last two lines,
//   kOwnTile and tile<rows>(), which does what dot_tile() of linear.h does; the number of steps is
//   then even.
//   Where there is a unit of tile registers: TileUnit and tile_dot, see tile_unit.h
//
// Rules that make the bits equal everywhere: a lane is an output; only sum_lanes() adds across
// lanes, by halving 16-8-4-2-1; a multiplication and an addition are fused where fma() is written
// and nowhere else (the build turns contraction off).
#pragma once

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "kernels/table.h"

static_assert(FLT_EVAL_METHOD == 0, "float arithmetic must round to float after every operation");

#if defined(_MSC_VER) && !defined(__clang__)
#error "Build with clang-cl: the kernels need its intrinsics and its control of contraction."
#endif
#define BGE_INLINE inline __attribute__((always_inline))

// For functions with loops over tiles, which need every register: inlined, they would share them
// with the caller's variables.
#define BGE_NOINLINE __attribute__((noinline))

#if defined(__clang__)
#define BGE_UNROLL _Pragma("unroll")
#else
#define BGE_UNROLL _Pragma("GCC unroll 64")
#endif

namespace bge {
namespace {

// The only operation across lanes: lane i becomes op(lane i, lane i + width), for width 8, 4, 2, 1.
// Returns lane 0.
template <class Isa, class V, class Op>
BGE_INLINE auto reduce_lanes(V v, Op op) {
  v = op(v, Isa::template upper<8>(v));
  v = op(v, Isa::template upper<4>(v));
  v = op(v, Isa::template upper<2>(v));
  v = op(v, Isa::template upper<1>(v));
  return Isa::first(v);
}

template <class Isa>
BGE_INLINE float sum_lanes(typename Isa::F v) {
  using F = typename Isa::F;
  return reduce_lanes<Isa>(v, [](F a, F b) { return Isa::add(a, b); });
}

template <class Isa>
BGE_INLINE std::int32_t sum_lanes(typename Isa::I v) {
  using I = typename Isa::I;
  return reduce_lanes<Isa>(v, [](I a, I b) { return Isa::iadd(a, b); });
}

template <class Isa>
BGE_INLINE float min_lanes(typename Isa::F v) {
  using F = typename Isa::F;
  return reduce_lanes<Isa>(v, [](F a, F b) { return Isa::min(a, b); });
}

template <class Isa>
BGE_INLINE float max_lanes(typename Isa::F v) {
  using F = typename Isa::F;
  return reduce_lanes<Isa>(v, [](F a, F b) { return Isa::max(a, b); });
}

template <class Isa>
BGE_INLINE std::int32_t max_lanes(typename Isa::I v) {
  using I = typename Isa::I;
  return reduce_lanes<Isa>(v, [](I a, I b) { return Isa::imax(a, b); });
}

}  // namespace
}  // namespace bge
