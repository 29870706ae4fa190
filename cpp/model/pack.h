// Turns a checkpoint's tensors into the layouts of kernels/packed.h: the only writer of layouts for
// weights (attention packs its keys and values itself).
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

// The embedding tables stay where the checkpoint has them (for the bundled model, in the mapped
// file); everything else is copied into `memory`, one block.
struct PackedModel {
  Config config;
  EmbeddingTables embeddings;
  std::vector<PackedLayer> layers;
  AlignedBuffer memory;
  std::vector<ExtraMemory> extras;  // ByteForm::kPaired only
};

// Bytes of its own, without the embedding tables.
std::size_t packed_size(const PackedModel& model);

// For int8 the weights must be int8 (throws std::invalid_argument naming the linear otherwise, or
// one that holds -128, or query, key and value with different input factors). For float32 int8
// weights are multiplied out.
PackedModel pack_model(const Config& config, const EncoderWeights& weights, bool int8,
                       ByteForm form);

// One linear by itself, in memory of its own: for tests and benchmarks of a kernel.
struct SingleLinear {
  PackedLinear packed;
  AlignedBuffer memory;
  std::vector<ExtraMemory> extras;
};
SingleLinear pack_linear(const LinearWeights& weights, bool int8, ByteForm form);

}  // namespace bge
