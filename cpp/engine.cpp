#include "engine.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "model/encoder.h"
#include "parallel/float_mode.h"

namespace bge {
namespace {

// Tokens of a block: enough rows to make reading all weights worth it, and few enough that a batch
// has several blocks for every thread, so that all end at about the same time. In float32 the
// weights of bge-micro-v2 are 21 MB, which a shared L3 does not keep from block to block: with
// twice as many rows as in int8, sentences are 3 to 5 % faster; four times as many gain nothing
// more. In int8 the weights are 5 MB, and more rows gain nothing.
constexpr std::int64_t kBlockTokensInt8 = 2 * kChunkRows;
constexpr std::int64_t kBlockTokensFloat = 4 * kChunkRows;
constexpr std::int64_t kSmallestBlockTokens = 24;
constexpr std::int64_t kBlocksPerThread = 4;

// Fewer tokens count as brief work (parallel.h): about 4 ms in one thread.
constexpr std::int64_t kBriefTokens = 128;

std::int64_t token_budget(const Request& request, bool int8) {
  const std::int64_t most = int8 ? kBlockTokensInt8 : kBlockTokensFloat;
  if (request.threads <= 1) return most;
  const std::int64_t share = request.batch.total() / (request.threads * kBlocksPerThread);
  return std::clamp(share, kSmallestBlockTokens, most);
}

}  // namespace

// The team of one encode call and its workers' memory, all allocated before the work begins.
class Engine::Workers {
 public:
  Workers(Engine& engine, const Request& request)
      : engine_(engine), team_(make_team(request.threads, request.batch.total() < kBriefTokens)) {
    for (int i = 0; i < team_->width(); ++i) {
      owned_.push_back(engine.take_workspace());
      spaces_.push_back(owned_.back().get());
    }
  }
  ~Workers() {
    for (auto& workspace : owned_) engine_.give_back(std::move(workspace));
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  Team& team() { return *team_; }
  Workspace* const* spaces() const { return spaces_.data(); }

 private:
  Engine& engine_;
  std::unique_ptr<Team> team_;
  std::vector<std::unique_ptr<Workspace>> owned_;
  std::vector<Workspace*> spaces_;
};

namespace {

PackedModel pack_in_default_mode(const Config& config, const EncoderWeights& weights,
                                 Compute compute, ByteForm form) {
  const FloatMode mode;  // the product of weight and scale is rounded
  return pack_model(config, weights, compute == Compute::kInt8, form);
}

}  // namespace

Engine::Engine(const Config& config, const EncoderWeights& weights, Compute compute,
               const std::string& isa)
    : isa_(select_instruction_set(isa)),
      kernels_(isa_.kernels),
      compute_(compute == Compute::kInt8 ? kernels_.int8 : kernels_.float32),
      model_(pack_in_default_mode(config, weights, compute, compute_.byte_form)) {}

Engine::~Engine() { drop_free_workspaces(); }

void Engine::encode(const Request& request, FunctionRef<bool()> stop_asked) {
  check(request);
  const FloatMode mode;
  Stop stop(stop_asked);
  const RaggedBatch& batch = request.batch;
  const std::vector<Block> blocks =
      plan_blocks(batch, token_budget(request, compute_.code_bytes > 0));
  Workers workers(*this, request);
  Team& team = workers.team();

  // The largest block, and the longest text.
  std::size_t longest = 1;
  std::size_t rows = 1;
  for (const Block& block : blocks) {
    rows = std::max(
        rows, static_cast<std::size_t>(batch.offsets[block.end] - batch.offsets[block.begin]));
    for (std::int64_t text = block.begin; text < block.end; ++text) {
      longest = std::max(longest, static_cast<std::size_t>(batch.tokens(text)));
    }
  }
  // With fewer blocks than workers, the team shares each block. The block's activations are then in
  // the first workspace, and the others need buffers for chunks and heads only.
  const bool share = blocks.size() < static_cast<std::size_t>(team.width());
  for (int i = 0; i < team.width(); ++i) {
    workers.spaces()[i]->reserve(model_.config, compute_, share && i > 0 ? 1 : rows, longest,
                                 model_.widest_vector());
  }

  const auto run_block = [&](Block block, Team& block_team, Workspace* const* spaces, int worker) {
    if (stop.requested(worker)) return;
    Encoder encoder(model_, kernels_, compute_, block_team, spaces, worker, stop);
    if (request.first_pooled_only()) {
      encoder.run_first_pooled(batch, block, request.skip);
    } else {
      encoder.run(batch, block);
    }
    if (!stop.stopped()) write_block(request, block, *spaces[0]);
  };
  if (share) {
    for (const Block& block : blocks) run_block(block, team, workers.spaces(), 0);
  } else {
    team.run(static_cast<int>(blocks.size()), [&](int i, int worker) {
      run_block(blocks[static_cast<std::size_t>(i)], solo_team(), workers.spaces() + worker,
                worker);
    });
  }
  if (stop.stopped()) throw Stopped();
}

void Engine::write_block(const Request& request, Block block, const Workspace& workspace) const {
  const RaggedBatch& batch = request.batch;
  const std::size_t hidden = static_cast<std::size_t>(model_.config.hidden);
  const std::size_t row_floats = static_cast<std::size_t>(model_.config.row());
  const std::int64_t first = batch.offsets[block.begin];
  if (request.token_embeddings) {
    const float* from = workspace.hidden_states();
    float* to = request.token_embeddings + static_cast<std::size_t>(first) * hidden;
    for (std::int64_t row = first; row < batch.offsets[block.end]; ++row) {
      std::memcpy(to, from, hidden * sizeof(float));
      from += row_floats;
      to += hidden;
    }
  }
  if (!request.vectors) return;
  for (std::int64_t text = block.begin; text < block.end; ++text) {
    unsigned char* out = request.vectors + static_cast<std::size_t>(text) * request.row_bytes;
    if (request.first_pooled_only()) {
      write_vector(request, workspace, static_cast<std::size_t>(text - block.begin), 1, out);
      continue;
    }
    const int skip = batch.first_pooled(text, request.skip);
    const std::size_t row =
        static_cast<std::size_t>(batch.offsets[text] - first) + static_cast<std::size_t>(skip);
    write_vector(request, workspace, row, batch.tokens(text) - skip, out);
  }
}

// The vector of the tokens from a row of the hidden states on.
void Engine::write_vector(const Request& request, const Workspace& workspace, std::size_t row,
                          int tokens, unsigned char* out) const {
  float* vector = workspace.vector();
  float* next = workspace.next_vector();
  const int row_floats = model_.config.row();
  kernels_.pool(request.pooling,
                workspace.hidden_states() + row * static_cast<std::size_t>(row_floats), tokens,
                row_floats, vector);
  for (const PackedDense& dense : model_.dense) {
    const PackedLinear& weights = dense.linear.packed;
    const int width = weights.panels * kLanes;
    kernels_.float32.linear({vector, static_cast<std::size_t>(weights.inner), nullptr, nullptr},
                            {0, 1}, weights, {0, weights.panels}, Epilogue::kBias, next,
                            static_cast<std::size_t>(width));
    kernels_.activate(dense.activation, next, width);
    std::swap(vector, next);
  }
  if (request.normalize_whole) {
    kernels_.finish({model_.vector_width(), true, Precision::kFloat32}, vector, next);
    std::swap(vector, next);
  }
  kernels_.finish(request.output, vector, out);
}

void Engine::check(const Request& request) const {
  const Config& config = model_.config;
  const RaggedBatch& batch = request.batch;
  const auto refuse = [](const std::string& what) { throw std::invalid_argument(what); };
  if (request.output.dimensions < 1 || request.output.dimensions > model_.vector_width()) {
    refuse("dimensions must be 1 to " + std::to_string(model_.vector_width()) + ", not " +
           std::to_string(request.output.dimensions));
  }
  if (request.skip < 0) refuse("skip must be at least 0, not " + std::to_string(request.skip));
  if (batch.texts > 0 && batch.offsets[0] != 0) refuse("offsets must begin with 0");
  for (std::int64_t text = 0; text < batch.texts; ++text) {
    // Unsigned, because the signed difference of two absurd offsets would be undefined.
    const std::int64_t tokens =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(batch.offsets[text + 1]) -
                                  static_cast<std::uint64_t>(batch.offsets[text]));
    if (tokens < 1 || tokens > config.max_tokens()) {
      refuse("text " + std::to_string(text) + " has " + std::to_string(tokens) +
             " tokens, expected 1 to " + std::to_string(config.max_tokens()));
    }
  }
  for (std::int64_t i = 0; i < batch.total(); ++i) {
    if (batch.ids[i] < 0 || batch.ids[i] >= config.vocab) {
      refuse("token id " + std::to_string(batch.ids[i]) + " at position " + std::to_string(i) +
             " is outside the vocabulary of " + std::to_string(config.vocab));
    }
    if (batch.types && (batch.types[i] < 0 || batch.types[i] >= config.token_types)) {
      refuse("token type " + std::to_string(batch.types[i]) + " at position " + std::to_string(i) +
             " is not one of the model's " + std::to_string(config.token_types));
    }
  }
}

std::unique_ptr<Workspace> Engine::take_workspace() {
  for (auto& slot : free_) {
    if (!slot.load(std::memory_order_relaxed)) continue;
    if (Workspace* workspace = slot.exchange(nullptr)) return std::unique_ptr<Workspace>(workspace);
  }
  return std::make_unique<Workspace>(workspace_bytes_);
}

void Engine::drop_free_workspaces() {
  for (auto& slot : free_) delete slot.exchange(nullptr);
}

void Engine::trim() {
  drop_free_workspaces();
#if defined(__GLIBC__)
  malloc_trim(0);  // otherwise glibc may keep freed memory for the next allocation
#endif
}

void Engine::give_back(std::unique_ptr<Workspace> workspace) {
  for (auto& slot : free_) {
    Workspace* empty = nullptr;
    if (slot.compare_exchange_strong(empty, workspace.get())) {
      std::ignore = workspace.release();  // the slot has it
      return;
    }
  }
}

}  // namespace bge
