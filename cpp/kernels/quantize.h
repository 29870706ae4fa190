// Rows of floats -> 8-bit codes with one scale and one zero point a row.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

// Adding and subtracting 1.5 * 2^23 rounds a float below 2^22 to the nearest even integer.
inline constexpr float kRoundToInteger = 12582912.0f;
// Rows of a smaller range count as constant: 255 / range must be finite, and range / 255 a normal
// number. So do rows whose range overflows, which finite but very large weights can cause: the zero
// point must not be NaN.
inline constexpr float kSmallestRange = 1e-30f;
inline constexpr float kLargestRange = 0x1.fffffep127f;  // the largest float

// Clamps before converting, because ISAs convert NaN and large numbers differently: NaN is not less
// than high and becomes high.
template <class Isa>
BGE_INLINE typename Isa::I to_code(typename Isa::F x, float low, float high) {
  return Isa::to_int(Isa::max(Isa::min(x, Isa::splat(high)), Isa::splat(low)));
}

// x [rows][stride] -> operand, width columns of each row. x is multiplied by factor [width] first,
// if that is not null. The range of a row is widened to contain 0, so that the zero point is a
// code:
//   scale = (high - low) / 255, zero_point = round(-128 - low / scale),
//   code = clamp(round(x / scale + zero_point), -128, 127)
// A row that counts as constant (see kSmallestRange) has scale 1 and zero point 0.
// Dot::kCodeOffset is added to codes and zero points when they are stored.
template <class Isa, class Dot>
Operand quantize_rows(const float* x, std::size_t stride, int rows, int width, const float* factor,
                      const OperandBuffers& buffers) {
  using F = typename Isa::F;
  using Code = typename Dot::Code;
  Code* codes = static_cast<Code*>(buffers.codes);
  const auto load = [&](const float* row, int c) {
    const F v = Isa::load(row + c);
    return factor ? Isa::mul(v, Isa::load(factor + c)) : v;
  };
  for (int r = 0; r < rows; ++r) {
    const float* row = x + static_cast<std::size_t>(r) * stride;
    F low = Isa::splat(0.0f);
    F high = Isa::splat(0.0f);
    for (int c = 0; c < width; c += kLanes) {
      const F v = load(row, c);
      low = Isa::min(v, low);
      high = Isa::max(v, high);
    }
    const float lowest = min_lanes<Isa>(low);
    const float range = max_lanes<Isa>(high) - lowest;
    const bool constant = range < kSmallestRange || range > kLargestRange;
    const float inverse = constant ? 1.0f : 255.0f / range;
    const float zero =
        constant ? 0.0f : ((-128.0f - lowest * inverse) + kRoundToInteger) - kRoundToInteger;

    Code* row_codes = codes + static_cast<std::size_t>(r) * static_cast<std::size_t>(width);
    for (int c = 0; c < width; c += kLanes) {
      const F position = Isa::fma(load(row, c), Isa::splat(inverse), Isa::splat(zero));
      Dot::store_codes(row_codes + c, to_code<Isa>(position, -128.0f, 127.0f));
    }
    buffers.scale[r] = constant ? 1.0f : range / 255.0f;
    buffers.zero_point[r] = static_cast<std::int32_t>(zero) + Dot::kCodeOffset;
  }
  return {codes, static_cast<std::size_t>(width), buffers.scale, buffers.zero_point};
}

}  // namespace
}  // namespace bge
