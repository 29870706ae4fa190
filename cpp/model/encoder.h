// The BERT encoder over one block of texts: the steps of the paper. Kernels do the arithmetic.
#pragma once

#include "kernels/table.h"
#include "model/pack.h"
#include "model/ragged.h"
#include "model/workspace.h"
#include "parallel/parallel.h"
#include "parallel/stop.h"

namespace bge {

class Encoder {
 public:
  // `workspaces` has one entry for each worker of `team`; the first has the block's activations.
  Encoder(const PackedModel& model, const KernelTable& kernels, const ComputeKernels& compute,
          Team& team, Workspace* const* workspaces, int worker, Stop& stop)
      : model_(model),
        kernels_(kernels),
        compute_(compute),
        team_(team),
        workspaces_(workspaces),
        worker_(worker),
        stop_(stop) {}

  // Writes the token embeddings of the block, [rows][row], to workspaces[0]->hidden_states(). If
  // the stop is requested it ends early, and the rows are undefined.
  void run(const RaggedBatch& batch, Block block);
  // The same for the first token only of each text that is pooled if `skip` are not: [texts][row].
  // All tokens go through all layers but the last, where the other tokens' keys and values suffice.
  void run_first_pooled(const RaggedBatch& batch, Block block, int skip);

 private:
  struct Chunk;

  void embed(const RaggedBatch& batch, Block block);
  void project(const PackedLayer& layer, const Chunk& chunk);
  template <class Queries>
  void attend(const RaggedBatch& batch, Block block, const Queries& queries);
  void run_layer(const PackedLayer& layer, const RaggedBatch& batch, Block block);
  int gather_first_pooled(const RaggedBatch& batch, Block block, int skip);
  void finish_layer(const PackedLayer& layer, const Chunk& chunk);

  template <class Body>
  void for_each_chunk(int rows, const Body& body);
  void prepare(const float* x, const PackedLinear& weights, const Chunk& chunk);
  void linear(const float* x, const PackedLinear& weights, Epilogue epilogue, const Chunk& chunk,
              float* out);
  void add_norm(const LayerNorm& norm, const Chunk& chunk, float* x);

  const PackedModel& model_;
  const KernelTable& kernels_;
  const ComputeKernels& compute_;
  Team& team_;
  Workspace* const* workspaces_;
  int worker_;  // number of the calling worker; used if team_ is a team of one
  Stop& stop_;
};

}  // namespace bge
