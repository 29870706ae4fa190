// Named views of a checkpoint's tensors, checked against the config. Owns no data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/table.h"
#include "model/config.h"

namespace bge {

enum class DType { kFloat32, kInt8 };

struct TensorView {
  const void* data = nullptr;
  DType dtype = DType::kFloat32;
  std::vector<std::int64_t> shape;
};

using TensorMap = std::map<std::string, TensorView>;

// The features of a row: `count` in the checkpoint, in equal groups (attention's heads, or all in
// one), each of which is padded to whole vectors in memory.
struct Features {
  int count = 0;
  int groups = 1;

  int group() const { return count / groups; }
  int padded_group() const { return whole_vectors(group()); }
  int row() const { return groups * padded_group(); }
  int place(int i) const { return i / group() * padded_group() + i % group(); }  // in the row
};

// y = (x * input_factor) W^T + bias. For an int8 weight W = weight * scale, with one scale an
// output channel; a float weight has neither scale nor factor.
struct LinearWeights {
  std::string name;
  const std::int8_t* weight_int8 = nullptr;  // [out][in]
  const float* weight_float = nullptr;       // [out][in]
  const float* scale = nullptr;              // [out]
  const float* bias = nullptr;               // [out]; null for zeros, in dense layers
  const float* input_factor = nullptr;       // [in], optional
  Features out;
  Features in;
};

struct NormWeights {
  const float* weight = nullptr;
  const float* bias = nullptr;
};

struct LayerWeights {
  LinearWeights query, key, value, attention_output, up, down;
  NormWeights attention_norm, output_norm;
};

// A layer after pooling: out = activation(W x + bias), in float32 whatever the compute type.
struct DenseWeights {
  LinearWeights linear;
  Activation activation = Activation::kIdentity;
};

struct EncoderWeights {
  const std::int8_t* words_int8 = nullptr;  // [vocab][hidden]
  const float* words_scale = nullptr;       // [vocab], or [1] for all rows
  bool scale_a_row = false;                 // which of them
  const float* words_float = nullptr;       // [vocab][hidden]
  const float* positions = nullptr;         // [positions][hidden]
  const float* token_types = nullptr;       // [token types][hidden]
  NormWeights norm;
  const float* distance_biases = nullptr;  // [distance buckets][heads], or null
  std::vector<LayerWeights> layers;
  std::vector<DenseWeights> dense;
};

// Finds every tensor by its Hugging Face BERT name. Throws std::invalid_argument naming the tensor
// that is missing or has another shape or dtype than the config asks for.
EncoderWeights bind_weights(const Config& config, const TensorMap& tensors);

}  // namespace bge
