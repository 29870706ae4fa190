// Packs a checkpoint's tensors into the layouts of kernels/packed.h. Nothing else packs weights;
// attention packs its keys and values itself.
#pragma once

#include <vector>

#include "kernels/table.h"
#include "memory/aligned.h"
#include "model/pack_paired.h"
#include "model/weights.h"

namespace bge {

struct PackedLayer {
  PackedLinear query_key_value;  // one linear of 3 * hidden outputs
  PackedLinear attention_output;
  LayerNorm attention_norm;
  PackedLinear up;
  PackedLinear down;
  LayerNorm output_norm;
};

// The embedding tables are read where the checkpoint has them (for the bundled model, in the mapped
// file); everything else is copied into `memory`, one block.
struct PackedModel {
  Config config;
  EmbeddingTables embeddings;
  std::vector<PackedLayer> layers;
  AlignedBuffer memory;
  std::vector<PairedMemory> paired;  // ByteForm::kPaired only
};

// Bytes that the model owns: all but the embedding tables.
std::size_t packed_size(const PackedModel& model);

// For int8 the weights must be int8. Throws std::invalid_argument, which names the linear, for
// float weights, for a weight of -128, and for query, key and value with different input factors.
// For float32, int8 weights are multiplied by their scales and input factors.
PackedModel pack_model(const Config& config, const EncoderWeights& weights, bool int8,
                       ByteForm form);

// One linear by itself, in memory of its own: for calls of single layers (bindings).
struct SingleLinear {
  PackedLinear packed;
  AlignedBuffer memory;
  std::vector<PairedMemory> paired;
};
SingleLinear pack_linear(const LinearWeights& weights, bool int8, ByteForm form);

}  // namespace bge
