// The layout of packed weights. The packers (model/pack.cpp for weights, kernels/attention_*.h for
// keys and values) write it, the linear kernels read it.
//
// A linear layer computes y[r][j] = sum over k of x[r][k] * w[k][j] + bias[j], for `inner` values
// of k and 16 * `panels` values of j. Outputs are cut into panels of 16 columns, one column a
// vector lane. A panel is a run of 64-byte steps, k ascending, so that a kernel reads memory
// strictly forward:
//
//   float32, one k a step:     | c0  c1  c2 ... c15 |                         4 bytes each
//   int8, four k a step:       | c0: k k+1 k+2 k+3 | c1: k k+1 k+2 k+3 | ... | c15 |   1 byte each
//
//   panel 0: step 0, step 1, ... step n-1;  panel 1: step 0, ...
//
// Four bytes of one column are adjacent because one lane of a dot-product instruction multiplies
// four adjacent bytes (VPDPBUSD, SDOT; VPMADDUBSW and VPMADDWD). Each ISA chooses the form in which
// it stores a weight of [-127, 127]:
//   kSigned  the weight
//   kPaired  the part of the weight that 16-bit sums can hold; the rest is in ExtraSteps
#pragma once

#include <cstddef>
#include <cstdint>

namespace bge {

inline constexpr int kLanes = 16;        // virtual float lanes of every ISA; columns of a panel
inline constexpr int kStepBytes = 64;    // one step of a panel, one cache line
inline constexpr int kStepDepth = 4;     // values of k in an int8 step
inline constexpr int kMaxInner = 32768;  // 32768 * 128 * 255 < 2^31: no int32 sum can overflow

namespace {  // files of every instruction set include it, see kernels/lanes.h

// What a row of n numbers takes in memory: rows are padded to whole vectors, so that kernels need
// no tails.
constexpr int whole_vectors(int n) { return (n + kLanes - 1) / kLanes * kLanes; }

}  // namespace

enum class ByteForm { kSigned, kPaired };

// ByteForm::kPaired is for VPMADDUBSW, which multiplies codes of [0, 255] by weights and adds
// neighbours in 16 bits. The kernel adds two such results before it widens them, so that four
// products share 16 bits. They cannot overflow if the positive ones among the four weights add up
// to at most 128, and the negative ones to at least -128: 255 * 128 < 2^15. So the packer gives
// each half panel (8 columns) an order of its steps in which the two steps of a pair keep that
// bound. What no order makes fit it removes from the panel and puts into extra steps, which the
// kernel adds one by one; each keeps the same bound for its two neighbours. Sums of integers are
// exact in any order.
struct PairedSteps {
  const std::uint16_t* k = nullptr;              // [2 * panels][steps]: k of a step's first codes
  const std::int32_t* extra_ends = nullptr;      // [2 * panels]: where each half panel's extras end
  const std::uint16_t* extra_k = nullptr;        // [extras]: k of their first codes
  const unsigned char* extra_weights = nullptr;  // [extras][32]: 8 columns x 4 k
};

// Column sums, scales and biases have one entry for each of the N columns.
struct PackedLinear {
  int inner = 0;                              // K: a multiple of 16
  int panels = 0;                             // N / 16
  const unsigned char* steps = nullptr;       // [panels][steps per panel][64], 64-byte aligned
  const std::int32_t* column_sums = nullptr;  // int8: sum over k of the weights, [N]
  const float* scales = nullptr;              // int8: one scale an output channel, [N]
  const float* bias = nullptr;                // [N]
  const float* input_factor = nullptr;        // int8, optional: multiplies x before quantising, [K]
  PairedSteps paired;                         // int8, ByteForm::kPaired only
};

// The left operand of a linear layer: rows of floats, or of 8-bit codes with one scale and one zero
// point a row: x[r][k] is about scale[r] * (code[r][k] - zero_point[r]).
struct Operand {
  const void* values = nullptr;  // float [rows][stride] or the ISA's code type [rows][stride]
  std::size_t stride = 0;        // elements from one row to the next
  const float* scale = nullptr;  // int8: [rows]
  const std::int32_t* zero_point = nullptr;  // int8: [rows], with the offset of stored codes
};

struct Range {
  int begin = 0;
  int end = 0;
  int size() const { return end - begin; }
};

}  // namespace bge
