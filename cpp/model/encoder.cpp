#include "model/encoder.h"

#include <cstring>

#include "model/positions.h"

namespace bge {
namespace {

// Part t of `parts` nearly equal parts of [0, size), which begin at multiples of `grain`.
Range part(int t, int parts, int size, int grain) {
  const int grains = (size + grain - 1) / grain;
  const auto cut = [&](int i) {
    const int at = static_cast<int>(static_cast<std::int64_t>(grains) * i / parts) * grain;
    return at < size ? at : size;
  };
  return {cut(t), cut(t + 1)};
}

int rows_of(const RaggedBatch& batch, Block block) {
  return static_cast<int>(batch.offsets[block.end] - batch.offsets[block.begin]);
}

OperandBuffers from_row(const OperandBuffers& buffers, int row, int width, std::size_t code_bytes) {
  unsigned char* codes = static_cast<unsigned char*>(buffers.codes);
  return {codes + static_cast<std::size_t>(row) * static_cast<std::size_t>(width) * code_bytes,
          buffers.scale + row, buffers.zero_point + row};
}

}  // namespace

// Some rows of the block that go through linears and norms together. They use the buffers of one
// worker. `team` shares the work; it is a team of one if other workers have chunks of their own.
struct Encoder::Chunk {
  int row;   // first row, in the block
  int rows;  // at most kChunkRows
  Team& team;
  const Workspace& buffers;
};

void Encoder::run(const RaggedBatch& batch, Block block) {
  embed(batch, block);
  for (const PackedLayer& layer : model_.layers) {
    run_layer(layer, batch, block);
    if (stop_.stopped()) return;
  }
}

void Encoder::run_first_pooled(const RaggedBatch& batch, Block block, int skip) {
  embed(batch, block);
  const PackedLayer& last = model_.layers.back();
  for (const PackedLayer& layer : model_.layers) {
    if (&layer == &last) break;
    run_layer(layer, batch, block);
    if (stop_.stopped()) return;
  }
  for_each_chunk(rows_of(batch, block), [&](const Chunk& chunk) { project(last, chunk); });
  attend(batch, block, [&](std::int64_t text) {
    const int token = batch.first_pooled(text, skip);
    return Range{token, token + 1};
  });
  const int texts = gather_first_pooled(batch, block, skip);
  for_each_chunk(texts, [&](const Chunk& chunk) { finish_layer(last, chunk); });
}

void Encoder::run_layer(const PackedLayer& layer, const RaggedBatch& batch, Block block) {
  const int rows = rows_of(batch, block);
  for_each_chunk(rows, [&](const Chunk& chunk) { project(layer, chunk); });
  attend(batch, block, [&](std::int64_t text) { return Range{0, batch.tokens(text)}; });
  for_each_chunk(rows, [&](const Chunk& chunk) { finish_layer(layer, chunk); });
}

// Moves each text's row of hidden states and context to the front. Returns the number of texts.
int Encoder::gather_first_pooled(const RaggedBatch& batch, Block block, int skip) {
  const auto move = [](float* rows, std::size_t width, std::size_t from, std::size_t to) {
    std::memmove(rows + to * width, rows + from * width, width * sizeof(float));
  };
  const std::int64_t first_row = batch.offsets[block.begin];
  for (std::int64_t text = block.begin; text < block.end; ++text) {
    const std::size_t from = static_cast<std::size_t>(batch.offsets[text] - first_row) +
                             static_cast<std::size_t>(batch.first_pooled(text, skip));
    const std::size_t to = static_cast<std::size_t>(text - block.begin);
    move(workspaces_[0]->hidden_states(), static_cast<std::size_t>(model_.config.row()), from, to);
    move(workspaces_[0]->context(), static_cast<std::size_t>(model_.config.heads_row()), from, to);
  }
  return static_cast<int>(block.end - block.begin);
}

void Encoder::embed(const RaggedBatch& batch, Block block) {
  const std::size_t hidden = static_cast<std::size_t>(model_.config.row());
  float* out = workspaces_[0]->hidden_states();
  std::int32_t* positions = workspaces_[0]->positions();
  for (std::int64_t text = block.begin; text < block.end; ++text) {
    const std::int32_t* ids = batch.ids + batch.offsets[text];
    const std::int32_t* types = batch.types ? batch.types + batch.offsets[text] : nullptr;
    const int tokens = batch.tokens(text);
    write_positions(model_.config, ids, tokens, positions);
    for_each_chunk(tokens, [&](const Chunk& chunk) {
      const TokenRows rows{ids + chunk.row, positions + chunk.row,
                           types ? types + chunk.row : nullptr, chunk.rows};
      kernels_.embed(model_.embeddings, rows, out + static_cast<std::size_t>(chunk.row) * hidden);
    });
    positions += tokens;
    out += static_cast<std::size_t>(tokens) * hidden;
  }
}

// Queries, keys and values of all heads, by one linear.
void Encoder::project(const PackedLayer& layer, const Chunk& chunk) {
  const std::size_t hidden = static_cast<std::size_t>(model_.config.row());
  const std::size_t heads = static_cast<std::size_t>(model_.config.heads_row());
  const std::size_t row = static_cast<std::size_t>(chunk.row);
  const float* x = workspaces_[0]->hidden_states() + row * hidden;
  prepare(x, layer.query_key_value, chunk);
  linear(x, layer.query_key_value, Epilogue::kBias, chunk,
         workspaces_[0]->query_key_value() + row * 3 * heads);
}

// queries(text) is the range of tokens whose context is wanted.
template <class Queries>
void Encoder::attend(const RaggedBatch& batch, Block block, const Queries& queries) {
  const Config& config = model_.config;
  const std::size_t width = static_cast<std::size_t>(config.heads_row());
  const std::int64_t first_row = batch.offsets[block.begin];
  const int texts = static_cast<int>(block.end - block.begin);
  team_.run(texts * config.heads, [&](int task, int worker) {
    if (stop_.requested(team_.width() > 1 ? worker : worker_)) return;
    const std::int64_t text = block.begin + task / config.heads;
    const std::size_t row = static_cast<std::size_t>(batch.offsets[text] - first_row);
    const int head = task % config.heads;
    const HeadTask attention{workspaces_[0]->query_key_value() + row * 3 * width,
                             workspaces_[0]->context() + row * width,
                             batch.tokens(text),
                             queries(text),
                             config.heads_row(),
                             config.padded_head(),
                             config.head_size(),
                             head,
                             model_.distance_bias(head)};
    compute_.attention(attention, workspaces_[worker]->attention());
  });
}

// x = norm(x + attention output); x = norm(x + FFN(x)).
void Encoder::finish_layer(const PackedLayer& layer, const Chunk& chunk) {
  const std::size_t row = static_cast<std::size_t>(chunk.row);
  const float* context =
      workspaces_[0]->context() + row * static_cast<std::size_t>(model_.config.heads_row());
  float* x = workspaces_[0]->hidden_states() + row * static_cast<std::size_t>(model_.config.row());
  float* output = chunk.buffers.output();
  float* intermediate = chunk.buffers.intermediate();

  prepare(context, layer.attention_output, chunk);
  linear(context, layer.attention_output, Epilogue::kBias, chunk, output);
  add_norm(layer.attention_norm, chunk, x);

  prepare(x, layer.up, chunk);
  linear(x, layer.up, Epilogue::kBiasGelu, chunk, intermediate);
  prepare(intermediate, layer.down, chunk);
  linear(intermediate, layer.down, Epilogue::kBias, chunk, output);
  add_norm(layer.output_norm, chunk, x);
}

// With enough chunks for the team, each worker runs the body on whole chunks, in its own buffers.
// Otherwise the chunks run one after the other, and the team shares each linear.
template <class Body>
void Encoder::for_each_chunk(int rows, const Body& body) {
  const int width = team_.width();
  int chunks = (rows + kChunkRows - 1) / kChunkRows;
  if (width > 1 && chunks >= width) {
    chunks = (chunks + width - 1) / width * width;  // the same number for every worker
    team_.run(chunks, [&](int i, int worker) {
      const Range r = part(i, chunks, rows, 1);
      if (r.size() == 0 || stop_.requested(worker)) return;
      body(Chunk{r.begin, r.size(), solo_team(), *workspaces_[worker]});
    });
    return;
  }
  for (int i = 0; i < chunks; ++i) {
    const Range r = part(i, chunks, rows, 1);
    if (stop_.requested(worker_)) return;
    body(Chunk{r.begin, r.size(), team_, *workspaces_[0]});
  }
}

void Encoder::prepare(const float* x, const PackedLinear& weights, const Chunk& chunk) {
  if (compute_.code_bytes == 0) return;
  const int width = weights.inner;
  constexpr int kGrain = 4;  // rows; fewer are not worth another worker
  const OperandBuffers buffers = chunk.buffers.operand();
  const int parts = chunk.rows > kGrain ? chunk.team.width() : 1;
  chunk.team.run(parts, [&](int i, int) {
    const Range r = part(i, parts, chunk.rows, kGrain);
    compute_.prepare(x + static_cast<std::size_t>(r.begin) * static_cast<std::size_t>(width),
                     r.size(), width, weights.input_factor,
                     from_row(buffers, r.begin, width, compute_.code_bytes));
  });
}

// out = epilogue(x W + bias) for x as prepare() has left it. Workers divide the panels in pairs,
// because the widest tiles have two.
void Encoder::linear(const float* x, const PackedLinear& weights, Epilogue epilogue,
                     const Chunk& chunk, float* out) {
  const OperandBuffers buffers = chunk.buffers.operand();
  const Operand input{compute_.code_bytes ? buffers.codes : x,
                      static_cast<std::size_t>(weights.inner), buffers.scale, buffers.zero_point};
  const std::size_t stride = static_cast<std::size_t>(weights.panels) * kLanes;
  const int parts = chunk.team.width();
  chunk.team.run(parts, [&](int i, int) {
    compute_.linear(input, {0, chunk.rows}, weights, part(i, parts, weights.panels, 2), epilogue,
                    out, stride);
  });
}

void Encoder::add_norm(const LayerNorm& norm, const Chunk& chunk, float* x) {
  kernels_.add_norm(norm, chunk.buffers.output(), chunk.rows, x);
}

}  // namespace bge
