#include "model/encoder.h"

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
  const int rows = static_cast<int>(batch.offsets[block.end] - batch.offsets[block.begin]);
  embed(batch, block);
  for (const PackedLayer& layer : model_.layers) {
    for_each_chunk(rows, [&](const Chunk& chunk) { project(layer, chunk); });
    attend(batch, block);
    for_each_chunk(rows, [&](const Chunk& chunk) { finish_layer(layer, chunk); });
    if (stop_.stopped()) return;
  }
}

void Encoder::embed(const RaggedBatch& batch, Block block) {
  const std::size_t hidden = static_cast<std::size_t>(model_.config.hidden);
  float* out = workspaces_[0]->hidden_states();
  std::int32_t* positions = workspaces_[0]->positions();
  for (std::int64_t text = block.begin; text < block.end; ++text) {
    const std::int32_t* ids = batch.ids + batch.offsets[text];
    const int tokens = batch.tokens(text);
    write_positions(model_.config, ids, tokens, positions);
    for_each_chunk(tokens, [&](const Chunk& chunk) {
      kernels_.embed(model_.embeddings, {ids + chunk.row, positions + chunk.row, chunk.rows},
                     out + static_cast<std::size_t>(chunk.row) * hidden);
    });
    positions += tokens;
    out += static_cast<std::size_t>(tokens) * hidden;
  }
}

// Queries, keys and values of all heads, by one linear.
void Encoder::project(const PackedLayer& layer, const Chunk& chunk) {
  const std::size_t hidden = static_cast<std::size_t>(model_.config.hidden);
  const std::size_t row = static_cast<std::size_t>(chunk.row);
  const float* x = workspaces_[0]->hidden_states() + row * hidden;
  prepare(x, model_.config.hidden, layer.query_key_value.input_factor, chunk);
  linear(x, layer.query_key_value, Epilogue::kBias, chunk,
         workspaces_[0]->query_key_value() + row * 3 * hidden);
}

void Encoder::attend(const RaggedBatch& batch, Block block) {
  const Config& config = model_.config;
  const std::size_t hidden = static_cast<std::size_t>(config.hidden);
  const std::int64_t first_row = batch.offsets[block.begin];
  const int texts = static_cast<int>(block.end - block.begin);
  team_.run(texts * config.heads, [&](int task, int worker) {
    if (stop_.requested(team_.width() > 1 ? worker : worker_)) return;
    const std::int64_t text = block.begin + task / config.heads;
    const std::size_t row = static_cast<std::size_t>(batch.offsets[text] - first_row);
    const HeadTask head{workspaces_[0]->query_key_value() + row * 3 * hidden,
                        workspaces_[0]->context() + row * hidden,
                        batch.tokens(text),
                        config.hidden,
                        config.head_size(),
                        task % config.heads};
    compute_.attention(head, workspaces_[worker]->attention());
  });
}

// x = norm(x + attention output); x = norm(x + FFN(x)).
void Encoder::finish_layer(const PackedLayer& layer, const Chunk& chunk) {
  const int hidden = model_.config.hidden;
  const std::size_t at = static_cast<std::size_t>(chunk.row) * static_cast<std::size_t>(hidden);
  const float* context = workspaces_[0]->context() + at;
  float* x = workspaces_[0]->hidden_states() + at;
  float* output = chunk.buffers.output();
  float* intermediate = chunk.buffers.intermediate();

  prepare(context, hidden, layer.attention_output.input_factor, chunk);
  linear(context, layer.attention_output, Epilogue::kBias, chunk, output);
  add_norm(layer.attention_norm, chunk, x);

  prepare(x, hidden, layer.up.input_factor, chunk);
  linear(x, layer.up, Epilogue::kBiasGelu, chunk, intermediate);
  prepare(intermediate, model_.config.intermediate, layer.down.input_factor, chunk);
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

void Encoder::prepare(const float* x, int width, const float* factor, const Chunk& chunk) {
  if (compute_.code_bytes == 0) return;
  constexpr int kGrain = 4;  // rows; fewer are not worth another worker
  const OperandBuffers buffers = chunk.buffers.operand();
  const int parts = chunk.rows > kGrain ? chunk.team.width() : 1;
  chunk.team.run(parts, [&](int i, int) {
    const Range r = part(i, parts, chunk.rows, kGrain);
    compute_.prepare(x + static_cast<std::size_t>(r.begin) * static_cast<std::size_t>(width),
                     r.size(), width, factor,
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
