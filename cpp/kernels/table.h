// Every kernel of an ISA, as plain function pointers. Each isa/*.cpp makes one table from the
// templates of this folder (kernels/make_table.h). The encoder calls through the table and does not
// know which ISA runs. One call does much work (many rows, a whole head), so that the indirection
// costs nothing that can be measured.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"

namespace bge {

enum class Epilogue { kBias, kBiasGelu };
enum class Pooling { kMean, kCls, kMax, kMeanSqrtLen };
enum class Activation { kIdentity, kTanh, kRelu, kGelu, kSigmoid };
enum class Precision { kFloat32, kInt8, kUint8, kBinary, kUbinary };

// Rows of `width` floats lie in whole vectors of 16, padded with zeros.
struct LayerNorm {
  const float* weight = nullptr;  // [width], padded
  const float* bias = nullptr;    // [width], padded
  float epsilon = 0.0f;
  int width = 0;
};

// The embedding tables and the LayerNorm of their sum. Either words_int8 or words_float is null.
// Rows are padded as those of the LayerNorm.
struct EmbeddingTables {
  const std::int8_t* words_int8 = nullptr;  // [vocab][hidden], any alignment: q * scale
  const float* words_scale = nullptr;       // [vocab], or one for all rows
  std::size_t words_scale_stride = 0;       // from one row's scale to the next: 1 or 0
  const float* words_float = nullptr;       // [vocab][hidden]
  const float* positions = nullptr;         // [positions][hidden]
  const float* token_types = nullptr;       // [token types][hidden]
  LayerNorm norm;                           // of hidden features
};

// The rows of some tokens in the tables of words, positions and token types.
struct TokenRows {
  const std::int32_t* ids = nullptr;        // [count]
  const std::int32_t* positions = nullptr;  // [count]
  const std::int32_t* types = nullptr;      // [count], or null: all have type 0
  int count = 0;
};

// Memory for the prepared rows of a linear's input; the caller makes it large enough.
struct OperandBuffers {
  void* codes = nullptr;               // [rows][width] of the ISA's code type
  float* scale = nullptr;              // [rows]
  std::int32_t* zero_point = nullptr;  // [rows]
};

// One head of one text: `qkv` points to the text's first row of the fused projection
// [tokens][3 * width] (queries, keys, values side by side), `context` to its first row of
// [tokens][width]. Both point to column 0; the kernel adds the head's columns. Rows of the context
// are written for the given queries only.
struct HeadTask {
  const float* qkv = nullptr;
  float* context = nullptr;
  int tokens = 0;
  Range queries;      // of the tokens
  int width = 0;      // of all heads
  int head_size = 0;  // in memory, a multiple of 16; width is a multiple of it
  int features = 0;   // of a head; those behind them are zeros
  int head = 0;
  // Added to a score is distance_bias[key - query]; null for none. Keys may be read up to a whole
  // vector.
  const float* distance_bias = nullptr;
};

struct VectorOutput {
  int dimensions = 0;  // after truncation
  bool normalize = false;
  Precision precision = Precision::kFloat32;
};

// What differs between the compute types.
struct ComputeKernels {
  ByteForm byte_form;      // of packed int8 weights; float32 does not use it
  std::size_t code_bytes;  // size of one code: 1, or 0 for float32, which has no codes
  int code_offset;         // added to a code when it is stored
  // Rows of x [rows][width] -> codes, scales and zero points; does nothing for float32.
  void (*prepare)(const float* x, int rows, int width, const float* factor,
                  const OperandBuffers& buffers);
  // y[r][j] of the given rows and panels. Row r is row r of the operand and of out [rows][stride];
  // out is 64-byte aligned, stride a multiple of 16.
  void (*linear)(const Operand& input, Range rows, const PackedLinear& weights, Range panels,
                 Epilogue epilogue, float* out, std::size_t stride);
  std::size_t (*attention_scratch)(int tokens, int head_size);  // bytes, 64-byte aligned memory
  void (*attention)(const HeadTask& task, void* scratch);
};

// Rows to search, where the caller has them: of any alignment, without padding.
struct SearchRows {
  const void* values = nullptr;  // [count][width]: float, bytes, or bytes of eight bits
  int count = 0;
  std::size_t width = 0;
  std::uint8_t flip = 0;  // bytes: 0x80 if a byte is the value plus 128, else 0
};

// Prepared by search/top_k.cpp: 64-byte aligned, rows padded with zeros to a multiple of 64
// elements.
struct SearchQueries {
  const void* values = nullptr;        // [count][padded]: float, int8, or bytes of eight bits
  const std::int32_t* sums = nullptr;  // int8: [count], sums of the values
  int count = 0;
  std::size_t padded = 0;
};

// scores [queries][rows] are dot products; inverse [rows, rounded up to 16] is 1 / length.
struct SearchKernels {
  void (*floats)(const SearchQueries& queries, const SearchRows& rows, float* scores);
  void (*bytes)(const SearchQueries& queries, const SearchRows& rows, std::int32_t* scores);
  void (*bits)(const SearchQueries& queries, const SearchRows& rows, std::int32_t* scores);
  void (*invert_float_norms)(const SearchRows& rows, float* inverse);
  void (*invert_byte_norms)(const SearchRows& rows, float* inverse);
};

struct KernelTable {
  ComputeKernels int8;
  ComputeKernels float32;
  // Normalised sums of the rows of tokens, [tokens][hidden].
  void (*embed)(const EmbeddingTables& tables, const TokenRows& rows, float* out);
  // x = norm(x + y), rows [rows][width] each.
  void (*add_norm)(const LayerNorm& norm, const float* y, int rows, float* x);
  // x [tokens][hidden] -> out [hidden].
  void (*pool)(Pooling pooling, const float* x, int tokens, int hidden, float* out);
  // vector [hidden], which is overwritten -> truncated, then normalised, then quantised.
  void (*finish)(const VectorOutput& output, float* vector, void* out);
  // Each in place on x [count], count a multiple of 16; softmax ignores values of minus infinity.
  void (*activate)(Activation activation, float* x, int count);
  void (*softmax)(float* x, int count);
  SearchKernels search;
};

}  // namespace bge
