// Token ids in, vectors out. Owns the packed model and the workers' memory; knows nothing of
// Python.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "isa/dispatch.h"
#include "kernels/table.h"
#include "model/pack.h"
#include "model/ragged.h"
#include "model/workspace.h"
#include "parallel/stop.h"

namespace bge {

// Changes whenever the arithmetic does: vectors of two versions differ in their bits.
inline constexpr int kNumericsVersion = 3;

enum class Compute { kInt8, kFloat32 };

struct Request {
  RaggedBatch batch;
  Pooling pooling = Pooling::kMean;
  VectorOutput output;
  bool normalize_whole = false;      // normalise vectors before they are truncated
  int skip = 0;                      // number of first tokens, a prompt's, that are not pooled
  unsigned char* vectors = nullptr;  // [texts][row_bytes], or null
  std::size_t row_bytes = 0;
  float* token_embeddings = nullptr;  // [total tokens][hidden], or null
  int threads = 1;

  // Of the last layer, one token of each text suffices.
  bool first_pooled_only() const { return pooling == Pooling::kCls && !token_embeddings; }
};

// Any number of threads may call encode() on one engine at once.
class Engine {
 public:
  // The embedding tables in `weights` must outlive the engine; an empty isa means the best.
  // Throws std::invalid_argument.
  Engine(const Config& config, const EncoderWeights& weights, Compute compute,
         const std::string& isa);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Throws std::invalid_argument for ids, offsets or sizes that do not fit the model,
  // std::bad_alloc, Stopped.
  void encode(const Request& request, FunctionRef<bool()> stop_asked);

  const Config& config() const { return model_.config; }
  const char* isa() const { return isa_.name; }

  // Bytes of packed weights, and of all workspaces, free or in use. A workspace is as large as the
  // largest block and the longest text so far needed, whatever the number of texts. There are as
  // many as there were workers at the same time.
  std::size_t packed_bytes() const { return packed_size(model_); }
  std::size_t workspace_bytes() const { return workspace_bytes_.load(); }

  // Frees the workspaces that no call is using, and returns the memory to the system.
  void trim();

 private:
  class Workers;

  void check(const Request& request) const;
  void write_block(const Request& request, Block block, const Workspace& workspace) const;
  void write_vector(const Request& request, const Workspace& workspace, std::size_t row, int tokens,
                    unsigned char* out) const;
  std::unique_ptr<Workspace> take_workspace();
  void give_back(std::unique_ptr<Workspace> workspace);
  void drop_free_workspaces();

  const InstructionSet& isa_;
  const KernelTable& kernels_;
  const ComputeKernels& compute_;
  const PackedModel model_;
  std::atomic<std::size_t> workspace_bytes_{0};

  // Free workspaces. Atomic slots instead of a list with a lock: a lock that another thread holds
  // during a fork is never released in the child.
  static constexpr std::size_t kSlots = 64;
  std::array<std::atomic<Workspace*>, kSlots> free_{};
};

}  // namespace bge
