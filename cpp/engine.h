// Token ids in, vectors out: owns the packed model and the workers' memory, knows no Python.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

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
  bool normalize_whole = false;      // bring vectors to unit length before they are truncated
  int skip = 0;                      // first tokens of each text that are not pooled, its prompt's
  unsigned char* vectors = nullptr;  // [texts][row_bytes], or null
  std::size_t row_bytes = 0;
  float* token_embeddings = nullptr;  // [total tokens][hidden], or null
  int threads = 1;
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
  const char* isa() const { return kernels_.name; }

  // Bytes of packed weights, and of workspaces, free ones and those in use. A workspace has what
  // the largest block and the longest text so far took, whatever the number of texts; there are as
  // many as workers were at work at once.
  std::size_t packed_bytes() const { return packed_size(model_); }
  std::size_t workspace_bytes() const { return workspace_bytes_.load(); }

  // Frees the workspaces that no call is using, and gives the memory back to the system.
  void trim();

 private:
  class Workers;

  void check(const Request& request) const;
  void write_block(const Request& request, Block block, const Workspace& workspace) const;
  std::unique_ptr<Workspace> take_workspace();
  void give_back(std::unique_ptr<Workspace> workspace);
  void drop_free_workspaces();

  const KernelTable& kernels_;
  const ComputeKernels& compute_;
  const PackedModel model_;
  std::atomic<std::size_t> workspace_bytes_{0};

  // Free workspaces. Slots instead of a locked list: a lock held at the moment of a fork would
  // never open in the child.
  static constexpr std::size_t kSlots = 64;
  std::array<std::atomic<Workspace*>, kSlots> free_{};
};

}  // namespace bge
