// A fused multiply-add for machines without the instruction: a * b + c with one rounding.
//
// The product of two floats is exact in double (24 + 24 bits of 53). The sum of product and addend,
// rounded to a double, rounds to the right float unless that double is halfway between two floats:
// rounding is monotonic, and every halfway point is a double. Halfway points end in 28 zero bits,
// between normal floats and between subnormal ones. Of other sums 1 in 2^28 ends so, and those that
// are floats already, such as zeros and small integers.
//
// Sums that end in 28 zero bits are rounded to odd instead. TwoSum (Knuth) gives the rounded sum s
// and its exact error e. If e is not zero, the last bit of s is set, in the direction of e if it
// was clear. A double has 29 bits more than a float, so rounding an odd-rounded double to float
// gives the correctly rounded exact sum (Boldo and Melquiond, "Emulation of FMA and correctly
// rounded sums", 2008). Infinities and NaN make e a NaN; then both comparisons are false and s
// stays. Rejected: std::fma, which calls a library on such machines, ten times slower with some.
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
      // If sum and error differ in sign, rounding went away from zero: go one step back. sum is not
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
