// A fused multiply-add for machines without the instruction: a * b + c with one rounding.
//
// The product of two floats is exact in double (24 + 24 bits of 53). Its sum with the addend,
// rounded to a double, rounds to the right float unless it lies halfway between two floats:
// rounding is monotonic, and what is halfway is a double. What is halfway ends in 28 zero bits,
// for normal floats and subnormal ones. Few other sums do, 1 in 2^28, but for those that are
// floats already, of zeros and small integers.
//
// Sums that end so are rounded to odd instead: TwoSum (Knuth) gives the rounded sum s and its exact
// error e; where e is not zero, the last bit of s is set, moving towards e if it was clear. A
// double keeps 29 bits more than a float, so the final rounding of an odd-rounded double is the
// correct rounding of the exact sum (Boldo and Melquiond, "Emulation of FMA and correctly rounded
// sums", 2008). Infinities and NaN make e a NaN, which fails both comparisons and leaves s alone.
// Rejected: std::fma, which calls a library on such machines, ten times slower with some.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

BGE_INLINE float soft_fma(float a, float b, float c) {
  const double product = static_cast<double>(a) * static_cast<double>(b);
  const double addend = static_cast<double>(c);
  double sum = product + addend;
  std::uint64_t bits;
  __builtin_memcpy(&bits, &sum, sizeof bits);
  if (__builtin_expect((bits & 0x0fffffff) == 0, 0)) {
    const double back = sum - product;
    const double error = (product - (sum - back)) + (addend - back);
    if (error > 0.0 || error < 0.0) {
      // Where sum and error differ in sign, rounding went away from zero: one step back. sum is not
      // zero here: an inexact sum of these operands has far larger terms than the smallest double.
      if ((error > 0.0) != (sum > 0.0)) --bits;
      bits |= 1;
      __builtin_memcpy(&sum, &bits, sizeof sum);
    }
  }
  return static_cast<float>(sum);
}

}  // namespace
}  // namespace bge
