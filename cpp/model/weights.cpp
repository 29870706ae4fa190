#include "model/weights.h"

#include <stdexcept>

namespace bge {
namespace {

using Shape = std::vector<std::int64_t>;

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

class Binder {
 public:
  explicit Binder(const TensorMap& tensors) : tensors_(tensors) {}

  const TensorView* find(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }

  const TensorView& get(const std::string& name, const Shape& shape) const {
    const TensorView* tensor = find(name);
    if (!tensor) throw std::invalid_argument("tensor '" + name + "' is missing");
    if (tensor->shape != shape) {
      throw std::invalid_argument("tensor '" + name + "' has shape " + to_string(tensor->shape) +
                                  ", expected " + to_string(shape));
    }
    return *tensor;
  }

  const float* floats(const std::string& name, const Shape& shape) const {
    const TensorView& tensor = get(name, shape);
    if (tensor.dtype != DType::kFloat32) {
      throw std::invalid_argument("tensor '" + name + "' is int8, expected float32");
    }
    return static_cast<const float*>(tensor.data);
  }

  LinearWeights linear(const std::string& name, Features out, Features in) const {
    LinearWeights w;
    w.name = name;
    w.out = out;
    w.in = in;
    const TensorView& weight = get(name + ".weight", {out.count, in.count});
    if (weight.dtype == DType::kInt8) {
      w.weight_int8 = static_cast<const std::int8_t*>(weight.data);
      w.scale = floats(name + ".weight_scale", {out.count});
      if (find(name + ".input_factor")) w.input_factor = floats(name + ".input_factor", {in.count});
    } else {
      w.weight_float = static_cast<const float*>(weight.data);
    }
    w.bias = floats(name + ".bias", {out.count});
    return w;
  }

  NormWeights norm(const std::string& name, int width) const {
    return {floats(name + ".weight", {width}), floats(name + ".bias", {width})};
  }

 private:
  const TensorMap& tensors_;
};

}  // namespace

EncoderWeights bind_weights(const Config& config, const TensorMap& tensors) {
  const Binder binder(tensors);
  const int hidden = config.hidden;
  EncoderWeights weights;
  const std::string words = "embeddings.word_embeddings.weight";
  const TensorView& table = binder.get(words, {config.vocab, hidden});
  if (table.dtype == DType::kInt8) {
    weights.words_int8 = static_cast<const std::int8_t*>(table.data);
    const std::string scale = "embeddings.word_embeddings.scale";
    const TensorView* found = binder.find(scale);
    weights.scale_a_row = found && found->shape == Shape{config.vocab};
    weights.words_scale = binder.floats(scale, {weights.scale_a_row ? config.vocab : 1});
  } else {
    weights.words_float = static_cast<const float*>(table.data);
  }
  weights.positions =
      binder.floats("embeddings.position_embeddings.weight", {config.positions, hidden});
  weights.token_types =
      binder.floats("embeddings.token_type_embeddings.weight", {config.token_types, hidden});
  weights.norm = binder.norm("embeddings.LayerNorm", hidden);
  if (config.distance_buckets > 0) {
    weights.distance_biases = binder.floats("encoder.relative_attention_bias.weight",
                                            {config.distance_buckets, config.heads});
  }
  const Features all{hidden};
  const Features by_head{hidden, config.heads};
  const Features inner{config.intermediate};
  for (int i = 0; i < config.layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i) + ".";
    LayerWeights w;
    w.query = binder.linear(layer + "attention.self.query", by_head, all);
    w.key = binder.linear(layer + "attention.self.key", by_head, all);
    w.value = binder.linear(layer + "attention.self.value", by_head, all);
    w.attention_output = binder.linear(layer + "attention.output.dense", all, by_head);
    w.attention_norm = binder.norm(layer + "attention.output.LayerNorm", hidden);
    w.up = binder.linear(layer + "intermediate.dense", inner, all);
    w.down = binder.linear(layer + "output.dense", all, inner);
    w.output_norm = binder.norm(layer + "output.LayerNorm", hidden);
    weights.layers.push_back(w);
  }
  return weights;
}

}  // namespace bge
