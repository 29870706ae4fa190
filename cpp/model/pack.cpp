#include "model/pack.h"

#include <cstring>
#include <stdexcept>

#include "memory/bump_allocator.h"
#include "model/distance_bias.h"

namespace bge {
namespace {

// Packs into the model's one block. A first pass without memory measures the block, a second one,
// with the same calls, fills it.
class Packer {
 public:
  Packer(bool int8, ByteForm form, unsigned char* memory, std::vector<PairedMemory>& paired)
      : int8_(int8), form_(form), memory_(memory), paired_(paired) {}

  // Makes one linear of several that have the same input: the outputs of the first part, then those
  // of the next.
  PackedLinear linear(std::initializer_list<const LinearWeights*> parts) {
    const LinearWeights& first = **parts.begin();
    int outputs = 0;
    for (const LinearWeights* part : parts) outputs += part->out.row();
    const std::size_t columns = static_cast<std::size_t>(outputs);
    const std::size_t weights = columns * static_cast<std::size_t>(first.in.row());

    // Padding is what is not written below.
    unsigned char* steps = zeros<unsigned char>(weights * (int8_ ? 1 : sizeof(float)));
    float* bias = zeros<float>(columns);
    float* scales = int8_ ? zeros<float>(columns) : nullptr;
    std::int32_t* sums = int8_ ? zeros<std::int32_t>(columns) : nullptr;
    const float* factor = nullptr;
    if (int8_ && first.input_factor) factor = rows(first.input_factor, 1, first.in);
    PackedLinear packed{first.in.row(), outputs / kLanes, steps, sums, scales, bias, factor, {}};
    if (memory_.measuring()) return packed;

    std::size_t first_column = 0;
    for (const LinearWeights* part : parts) {
      for (int j = 0; j < part->out.count; ++j) {
        const std::size_t column = first_column + static_cast<std::size_t>(part->out.place(j));
        if (int8_) {
          check_int8(*part, first);
          scales[column] = part->scale[j];
          sums[column] = int8_column(*part, j, column, steps);
        } else {
          float_column(*part, j, column, reinterpret_cast<float*>(steps));
        }
        if (part->bias) bias[column] = part->bias[j];
      }
      first_column += static_cast<std::size_t>(part->out.row());
    }
    if (int8_ && form_ == ByteForm::kPaired) {
      paired_.push_back(pair_steps(packed.inner, packed.panels, steps));
      packed.paired = paired_.back().view();
    }
    return packed;
  }

  LayerNorm norm(const NormWeights& w, int width, float epsilon) {
    const float* weight = rows(w.weight, 1, {width});
    const float* bias = rows(w.bias, 1, {width});
    return {weight, bias, epsilon, width};
  }

  // Rows where they are if they need no padding, else a padded copy; null for null.
  template <class T>
  const T* table(const T* from, int count, Features columns) {
    return from && columns.row() != columns.count ? rows(from, count, columns) : from;
  }

  const float* distance_biases(const EncoderWeights& w, const Config& config, int reach) {
    if (!w.distance_biases) return nullptr;
    float* biases = memory_.take<float>(static_cast<std::size_t>(config.heads) * 2 *
                                        static_cast<std::size_t>(reach));
    if (biases) spread_distance_biases(w.distance_biases, config.heads, reach, biases);
    return biases;
  }

  std::size_t used() const { return memory_.used(); }

 private:
  template <class T>
  T* zeros(std::size_t count) {
    T* array = memory_.take<T>(count);
    if (array) std::memset(array, 0, count * sizeof(T));
    return array;
  }

  // A padded copy of rows.
  template <class T>
  const T* rows(const T* from, int count, Features columns) {
    const std::size_t row = static_cast<std::size_t>(columns.row());
    T* to = zeros<T>(static_cast<std::size_t>(count) * row);
    for (int r = 0; to && r < count; ++r, from += columns.count) {
      place(from, columns, to + static_cast<std::size_t>(r) * row);
    }
    return to;
  }

  // Copies a row's groups of features to their places.
  template <class T>
  static void place(const T* row, Features columns, T* to) {
    const std::size_t bytes = static_cast<std::size_t>(columns.group()) * sizeof(T);
    for (int i = 0; i < columns.count; i += columns.group()) {
      std::memcpy(to + columns.place(i), row + i, bytes);
    }
  }

  // Row j of a matrix with its features in their places. `room` keeps a padded row until the next.
  template <class T>
  static const T* placed_row(const T* matrix, int j, Features columns, std::vector<T>& room) {
    const T* row = matrix + static_cast<std::size_t>(j) * static_cast<std::size_t>(columns.count);
    if (columns.row() == columns.count) return row;
    room.assign(static_cast<std::size_t>(columns.row()), T{0});
    place(row, columns, room.data());
    return room.data();
  }

  static void check_int8(const LinearWeights& part, const LinearWeights& first) {
    if (!part.weight_int8) {
      throw std::invalid_argument("tensor '" + part.name +
                                  ".weight' is float32; int8 compute needs int8 weights");
    }
    const std::size_t bytes = static_cast<std::size_t>(part.in.count) * sizeof(float);
    const bool both = part.input_factor && first.input_factor;
    if (both ? std::memcmp(part.input_factor, first.input_factor, bytes) != 0
             : part.input_factor != first.input_factor) {
      throw std::invalid_argument(
          "tensor '" + part.name + ".input_factor' differs from '" + first.name +
          ".input_factor'; query, key and value have one input, so their factors must be equal");
    }
  }

  // Packs row j of the part's weight as column `column` of the packed layer. Returns its sum.
  std::int32_t int8_column(const LinearWeights& part, int j, std::size_t column,
                           unsigned char* steps) {
    const std::size_t inner = static_cast<std::size_t>(part.in.row());
    const std::int8_t* row = placed_row(part.weight_int8, j, part.in, codes_row_);
    unsigned char* to = steps + column / kLanes * inner * kLanes + column % kLanes * kStepDepth;
    std::int32_t sum = 0;
    bool too_low = false;
    for (std::size_t k = 0; k < inner; k += kStepDepth, to += kStepBytes) {
      for (std::size_t i = 0; i < kStepDepth; ++i) {
        const int q = row[k + i];
        too_low |= q == -128;
        sum += q;
        to[i] = static_cast<unsigned char>(q);
      }
    }
    if (too_low) {
      throw std::invalid_argument(
          "tensor '" + part.name +
          ".weight' has a value of -128; int8 weights must be in [-127, 127]");
    }
    return sum;
  }

  static void float_column(const LinearWeights& part, int j, std::size_t column, float* steps) {
    const std::size_t row = static_cast<std::size_t>(j) * static_cast<std::size_t>(part.in.count);
    float* to = steps + column / kLanes * static_cast<std::size_t>(part.in.row()) * kLanes +
                column % kLanes;
    for (int k = 0; k < part.in.count;) {
      float* step = to + static_cast<std::size_t>(part.in.place(k)) * kLanes;
      for (const int end = k + part.in.group(); k < end; ++k, step += kLanes) {
        const std::size_t at = row + static_cast<std::size_t>(k);
        float w = part.weight_float ? part.weight_float[at]
                                    : static_cast<float>(part.weight_int8[at]) * part.scale[j];
        if (part.input_factor) w *= part.input_factor[k];
        *step = w;
      }
    }
  }

  bool int8_;
  ByteForm form_;
  BumpAllocator memory_;
  std::vector<PairedMemory>& paired_;
  std::vector<std::int8_t> codes_row_;
};

void pack_embeddings(const EncoderWeights& weights, Packer& packer, PackedModel& model) {
  const Config& config = model.config;
  const Features columns{config.hidden};
  EmbeddingTables& tables = model.embeddings;
  tables.words_int8 = packer.table(weights.words_int8, config.vocab, columns);
  tables.words_scale = weights.words_scale;
  tables.words_scale_stride = weights.scale_a_row ? 1 : 0;
  tables.words_float = packer.table(weights.words_float, config.vocab, columns);
  tables.positions = packer.table(weights.positions, config.positions, columns);
  tables.token_types = packer.table(weights.token_types, config.token_types, columns);
  tables.norm = packer.norm(weights.norm, config.hidden, config.layer_norm_eps);
}

// All but the layers after pooling, which are in float32 also if the encoder is not.
std::size_t pack_encoder(const EncoderWeights& weights, Packer packer, PackedModel& model) {
  const Config& config = model.config;
  const auto norm = [&](const NormWeights& w) {
    return packer.norm(w, config.hidden, config.layer_norm_eps);
  };
  pack_embeddings(weights, packer, model);
  model.distance_reach = whole_vectors(config.max_tokens());
  model.distance_biases = packer.distance_biases(weights, config, model.distance_reach);
  model.layers.clear();
  for (const LayerWeights& w : weights.layers) {
    PackedLayer layer;
    layer.query_key_value = packer.linear({&w.query, &w.key, &w.value});
    layer.attention_output = packer.linear({&w.attention_output});
    layer.attention_norm = norm(w.attention_norm);
    layer.up = packer.linear({&w.up});
    layer.down = packer.linear({&w.down});
    layer.output_norm = norm(w.output_norm);
    model.layers.push_back(layer);
  }
  return packer.used();
}

}  // namespace

PackedModel pack_model(const Config& config, const EncoderWeights& weights, bool int8,
                       ByteForm form) {
  PackedModel model;
  model.config = config;
  model.memory.reserve(pack_encoder(weights, Packer(int8, form, nullptr, model.paired), model));
  pack_encoder(weights, Packer(int8, form, model.memory.as<unsigned char>(), model.paired), model);
  for (const DenseWeights& dense : weights.dense) {
    model.dense.push_back({pack_linear(dense.linear, false, ByteForm::kSigned),
                           dense.linear.out.count, dense.activation});
  }
  return model;
}

std::size_t packed_size(const PackedModel& model) {
  std::size_t bytes = model.memory.bytes();
  for (const PairedMemory& paired : model.paired) bytes += paired.bytes();
  for (const PackedDense& dense : model.dense) bytes += dense.linear.memory.bytes();
  return bytes;
}

SingleLinear pack_linear(const LinearWeights& weights, bool int8, ByteForm form) {
  SingleLinear single;
  Packer measure(int8, form, nullptr, single.paired);
  measure.linear({&weights});
  single.memory.reserve(measure.used());
  single.packed =
      Packer(int8, form, single.memory.as<unsigned char>(), single.paired).linear({&weights});
  return single;
}

}  // namespace bge
