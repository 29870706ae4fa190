// The vocabulary of every kernel: 16 virtual float lanes.
//
// A kernel is a template on an ISA struct (isa/lanes_*.h), included once per ISA translation unit
// inside an anonymous namespace, so that no linker can mix the copies. An ISA struct provides, all
// static and force-inlined:
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
//   upper<N>(F), upper<N>(I)      lanes N to 2N - 1 as the first ones, the others are anything
//   first(F), first(I)            lane 0
//   load_bytes(const int8_t*)     16 bytes, sign-extended
//   store_bytes(int8_t*, I)       low byte of every lane; lanes lie in [-128, 127] or [0, 255]
//   kFloatPanels, kFloatRows      tile of a float32 linear: panels side by side, rows
//
// and three 8-bit dot products, often the same: LinearDot for packed weights, KeyDot and ValueDot
// for keys and values, which are packed on the spot. Each is a struct with
//
//   kByteForm                     how packed weights are stored
//   kColumns                      columns one accumulator covers (8 or 16)
//   kPanels, kRows                tile: panels side by side, rows
//   Code, kCodeOffset             codes are stored in this type, plus this
//   store_codes(Code*, I)         lanes lie in [-128, 127]; of ValueDot in [0, 255]
//   kWeightOffset                 of KeyDot: keys are packed plus this
//   Weights load_weights(const unsigned char* step)     kColumns x 4 bytes
//   Quad load_codes4(const Code*)                       four codes, broadcast
//   Acc zero_acc(), dot(Acc, Weights, Quad), store_acc(int32_t*, Acc)
//   and for ByteForm::kPaired dot(Acc, Weights, Quad, Weights, Quad), two steps at once
//   or, in place of the last two lines, kOwnTile and tile<rows>(): linear.h's dot_tile()
//   for an instruction that takes more than four codes of one row; steps are even in number
//
// Rules that make the bits equal everywhere: a lane is an output; sums across lanes happen in
// sum_lanes() only, by halving 16-8-4-2-1; multiply-adds fuse where fma() is written and nowhere
// else (the build turns contraction off).
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

// For loops over tiles, which need all registers there are: none for what surrounds a call.
#define BGE_NOINLINE __attribute__((noinline))

#if defined(__clang__)
#define BGE_UNROLL _Pragma("unroll")
#else
#define BGE_UNROLL _Pragma("GCC unroll 64")
#endif

namespace bge {
namespace {

// The one place where lanes meet: lane i takes lane i + width, for width 8, 4, 2, 1.
template <class Isa, class V, class Op>
BGE_INLINE auto meet_lanes(V v, Op op) {
  v = op(v, Isa::template upper<8>(v));
  v = op(v, Isa::template upper<4>(v));
  v = op(v, Isa::template upper<2>(v));
  v = op(v, Isa::template upper<1>(v));
  return Isa::first(v);
}

template <class Isa>
BGE_INLINE float sum_lanes(typename Isa::F v) {
  using F = typename Isa::F;
  return meet_lanes<Isa>(v, [](F a, F b) { return Isa::add(a, b); });
}

template <class Isa>
BGE_INLINE std::int32_t sum_lanes(typename Isa::I v) {
  using I = typename Isa::I;
  return meet_lanes<Isa>(v, [](I a, I b) { return Isa::iadd(a, b); });
}

template <class Isa>
BGE_INLINE float min_lanes(typename Isa::F v) {
  using F = typename Isa::F;
  return meet_lanes<Isa>(v, [](F a, F b) { return Isa::min(a, b); });
}

template <class Isa>
BGE_INLINE float max_lanes(typename Isa::F v) {
  using F = typename Isa::F;
  return meet_lanes<Isa>(v, [](F a, F b) { return Isa::max(a, b); });
}

template <class Isa>
BGE_INLINE std::int32_t max_lanes(typename Isa::I v) {
  using I = typename Isa::I;
  return meet_lanes<Isa>(v, [](I a, I b) { return Isa::imax(a, b); });
}

}  // namespace
}  // namespace bge
