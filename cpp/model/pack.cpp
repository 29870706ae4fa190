#include "model/pack.h"

#include <cstring>
#include <stdexcept>

#include "memory/bump_allocator.h"

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
    for (const LinearWeights* part : parts) outputs += part->out;
    const std::size_t columns = static_cast<std::size_t>(outputs);
    const std::size_t weights = columns * static_cast<std::size_t>(first.in);

    unsigned char* steps = memory_.take<unsigned char>(weights * (int8_ ? 1 : sizeof(float)));
    float* bias = memory_.take<float>(columns);
    float* scales = int8_ ? memory_.take<float>(columns) : nullptr;
    std::int32_t* sums = int8_ ? memory_.take<std::int32_t>(columns) : nullptr;
    const float* factor = nullptr;
    if (int8_ && first.input_factor) factor = copy(first.input_factor, first.in);
    PackedLinear packed{first.in, outputs / kLanes, steps, sums, scales, bias, factor, {}};
    if (memory_.measuring()) return packed;

    std::size_t column = 0;
    for (const LinearWeights* part : parts) {
      for (int j = 0; j < part->out; ++j, ++column) {
        if (int8_) {
          check_int8(*part, first);
          scales[column] = part->scale[j];
          sums[column] = int8_column(*part, j, column, steps);
        } else {
          float_column(*part, j, column, reinterpret_cast<float*>(steps));
        }
        bias[column] = part->bias[j];
      }
    }
    if (int8_ && form_ == ByteForm::kPaired) {
      paired_.push_back(pair_steps(first.in, packed.panels, steps));
      packed.paired = paired_.back().view();
    }
    return packed;
  }

  LayerNorm norm(const NormWeights& w, int width, float epsilon) {
    const float* weight = copy(w.weight, width);
    const float* bias = copy(w.bias, width);
    return {weight, bias, epsilon, width};
  }

  std::size_t used() const { return memory_.used(); }

 private:
  const float* copy(const float* from, int count) {
    float* to = memory_.take<float>(static_cast<std::size_t>(count));
    if (to) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
    return to;
  }

  static void check_int8(const LinearWeights& part, const LinearWeights& first) {
    if (!part.weight_int8) {
      throw std::invalid_argument("tensor '" + part.name +
                                  ".weight' is float32; int8 compute needs int8 weights");
    }
    const std::size_t bytes = static_cast<std::size_t>(part.in) * sizeof(float);
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
                           unsigned char* steps) const {
    const std::size_t inner = static_cast<std::size_t>(part.in);
    const std::int8_t* row = part.weight_int8 + static_cast<std::size_t>(j) * inner;
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
    const std::size_t inner = static_cast<std::size_t>(part.in);
    const std::size_t row = static_cast<std::size_t>(j) * inner;
    float* to = steps + column / kLanes * inner * kLanes + column % kLanes;
    for (std::size_t k = 0; k < inner; ++k, to += kLanes) {
      float w = part.weight_float ? part.weight_float[row + k]
                                  : static_cast<float>(part.weight_int8[row + k]) * part.scale[j];
      if (part.input_factor) w *= part.input_factor[k];
      *to = w;
    }
  }

  bool int8_;
  ByteForm form_;
  BumpAllocator memory_;
  std::vector<PairedMemory>& paired_;
};

std::size_t pack_layers(const EncoderWeights& weights, Packer packer, PackedModel& model) {
  const Config& config = model.config;
  const auto norm = [&](const NormWeights& w) {
    return packer.norm(w, config.hidden, config.layer_norm_eps);
  };
  model.layers.clear();
  model.embeddings.norm = norm(weights.norm);
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
  model.embeddings.words_int8 = weights.words_int8;
  model.embeddings.words_scale = weights.words_scale;
  model.embeddings.words_scale_stride = weights.scale_a_row ? 1 : 0;
  model.embeddings.words_float = weights.words_float;
  model.embeddings.positions = weights.positions;
  model.embeddings.token_type = weights.token_types;
  model.memory.reserve(pack_layers(weights, Packer(int8, form, nullptr, model.paired), model));
  pack_layers(weights, Packer(int8, form, model.memory.as<unsigned char>(), model.paired), model);
  return model;
}

std::size_t packed_size(const PackedModel& model) {
  std::size_t bytes = model.memory.bytes();
  for (const PairedMemory& paired : model.paired) bytes += paired.bytes();
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
