// Packs a checkpoint's tensors into the layouts of kernels/packed.h. Nothing else packs weights;
// attention packs its keys and values itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/table.h"
#include "memory/aligned.h"
#include "model/pack_paired.h"
#include "model/weights.h"

namespace bge {

// One linear by itself, in memory of its own.
struct SingleLinear {
  PackedLinear packed;
  AlignedBuffer memory;
  std::vector<PairedMemory> paired;
};

// A layer after pooling.
struct PackedDense {
  SingleLinear linear;
  int width = 0;  // of the output, without padding
  Activation activation = Activation::kIdentity;
};

struct PackedLayer {
  PackedLinear query_key_value;  // one linear of 3 * hidden outputs
  PackedLinear attention_output;
  LayerNorm attention_norm;
  PackedLinear up;
  PackedLinear down;
  LayerNorm output_norm;
};

// The embedding tables are read where the checkpoint has them (for the bundled model, in the mapped
// file) unless their rows need padding; everything else is copied into `memory`, one block.
struct PackedModel {
  Config config;
  EmbeddingTables embeddings;
  const float* distance_biases = nullptr;  // [heads][2 * distance_reach], or null
  int distance_reach = 0;
  std::vector<PackedLayer> layers;
  std::vector<PackedDense> dense;
  AlignedBuffer memory;
  std::vector<PairedMemory> paired;  // ByteForm::kPaired only

  // Of one head, at distance 0; null if there are none.
  const float* distance_bias(int head) const {
    if (!distance_biases) return nullptr;
    return distance_biases + static_cast<std::ptrdiff_t>(2 * head + 1) * distance_reach;
  }
  // Floats of the longest vector between pooling and the last dense layer, with padding.
  std::size_t widest_vector() const {
    int widest = config.row();
    for (const PackedDense& layer : dense) widest = std::max(widest, whole_vectors(layer.width));
    return static_cast<std::size_t>(widest);
  }
  // Features of a text's vector.
  int vector_width() const { return dense.empty() ? config.hidden : dense.back().width; }
};

// Bytes that the model owns: all but the embedding tables.
std::size_t packed_size(const PackedModel& model);

// For int8 the weights must be int8. Throws std::invalid_argument, which names the linear, for
// float weights, for a weight of -128, and for query, key and value with different input factors.
// For float32, int8 weights are multiplied by their scales and input factors.
PackedModel pack_model(const Config& config, const EncoderWeights& weights, bool int8,
                       ByteForm form);

// The same for one linear.
SingleLinear pack_linear(const LinearWeights& weights, bool int8, ByteForm form);

}  // namespace bge
