// Single layers of the encoder, by any instruction set: `bge_micro.quantize` runs a float model
// layer by layer to see what each one is given. Tests compare them with exact results, int8 ones
// too.
#include <utility>
#include <vector>

#include "bindings/kernel_calls.h"
#include "model/distance_bias.h"
#include "model/positions.h"

namespace py = pybind11;

namespace bge {
namespace {

Floats linear(const std::string& isa, const std::string& compute_type, const Floats& inputs,
              const py::array& weight, const std::optional<Floats>& scale, const Floats& bias,
              const std::optional<Floats>& factor, bool use_gelu,
              const std::optional<std::pair<int, int>>& rows,
              const std::optional<std::pair<int, int>>& panels) {
  const ComputeKernels& compute = compute_kernels(isa, compute_type);
  const bool int8 = compute.code_bytes > 0;
  const LinearWeights weights = to_linear(weight, scale, bias, factor);
  const SingleLinear single = pack_linear(weights, int8, compute.byte_form);
  const Floats x = placed(inputs, weights.in);
  const Prepared prepared(x, compute);
  compute.prepare(x.data(), rows_of(x), width_of(x), single.packed.input_factor, prepared.buffers);
  Floats out = nan_array(x.shape(0), weights.out.row());
  const auto range = [](const std::optional<std::pair<int, int>>& wanted, int all) {
    return wanted ? Range{wanted->first, wanted->second} : Range{0, all};
  };
  compute.linear(prepared.operand(x, compute), range(rows, rows_of(x)), single.packed,
                 range(panels, single.packed.panels),
                 use_gelu ? Epilogue::kBiasGelu : Epilogue::kBias, out.mutable_data(),
                 static_cast<std::size_t>(weights.out.row()));
  return without_padding(out, weights.out);
}

// distance_bias: [buckets][heads].
Floats attention(const std::string& isa, const std::string& compute_type, const Floats& projected,
                 int heads, const std::optional<Floats>& distance_bias) {
  const ComputeKernels& compute = compute_kernels(isa, compute_type);
  const Features features{width_of(projected) / 3, heads};
  const Floats qkv = placed(projected, {width_of(projected), 3 * heads});
  const int tokens = rows_of(qkv);
  const int head_size = features.padded_group();
  const AlignedBuffer scratch = poisoned(compute.attention_scratch(tokens, head_size));
  const int reach = whole_vectors(tokens);
  std::vector<float> biases;
  if (distance_bias) {
    biases.resize(static_cast<std::size_t>(heads) * 2 * static_cast<std::size_t>(reach));
    spread_distance_biases(distance_bias->data(), heads, reach, biases.data());
  }
  Floats context = nan_array(tokens, features.row());
  for (int head = 0; head < heads; ++head) {
    HeadTask task{qkv.data(), context.mutable_data(), tokens, {0, tokens}, features.row(),
                  head_size,  features.group(),       head};
    if (distance_bias) task.distance_bias = biases.data() + (2 * head + 1) * reach;
    compute.attention(task, scratch.as<void>());
  }
  return without_padding(context, features);
}

Floats add_norm(const std::string& isa, const Floats& x, const Floats& y, const Floats& weight,
                const Floats& bias, float epsilon) {
  const Features features{width_of(x)};
  const Floats from = placed(x, features);
  Floats out({from.shape(0), from.shape(1)});
  std::memcpy(out.mutable_data(), from.data(), static_cast<std::size_t>(from.nbytes()));
  const Floats added = placed(y, features);
  const Floats weights = placed(weight, features);
  const Floats biases = placed(bias, features);
  select_kernels(isa).add_norm({weights.data(), biases.data(), epsilon, features.count},
                               added.data(), rows_of(x), out.mutable_data());
  return without_padding(out, features);
}

// Rows of the tables are in whole vectors; the width without padding is that of weight and bias.
Floats embed(const std::string& isa, const Ints& ids, const py::array& words,
             const Floats& words_scale, const Floats& positions, const Floats& token_types,
             const Floats& weight, const Floats& bias, float epsilon, int padding_id,
             const std::optional<Ints>& types) {
  const TensorView view = to_tensor("words", words);
  EmbeddingTables tables;
  if (view.dtype == DType::kInt8) {
    tables.words_int8 = static_cast<const std::int8_t*>(view.data);
  } else {
    tables.words_float = static_cast<const float*>(view.data);
  }
  if (words_scale.size() != 1 && words_scale.size() != words.shape(0)) {
    throw std::invalid_argument("words_scale must hold one scale, or one for each word");
  }
  tables.words_scale = words_scale.data();
  tables.words_scale_stride = words_scale.size() == 1 ? 0 : 1;
  tables.positions = positions.data();
  tables.token_types = token_types.data();
  const Features features{static_cast<int>(weight.size())};
  for (const py::ssize_t width : {words.shape(1), positions.shape(1), token_types.shape(1)}) {
    if (width != features.row()) {
      throw std::invalid_argument("rows of embeddings have " + std::to_string(width) +
                                  " features, expected " + std::to_string(features.row()) +
                                  ", those of the norm in whole vectors");
    }
  }
  const Floats weights = placed(weight, features);
  const Floats biases = placed(bias, features);
  tables.norm = {weights.data(), biases.data(), epsilon, features.count};
  Config config;
  config.padding_id = padding_id;
  Ints rows(ids.size());
  const int tokens = static_cast<int>(ids.size());
  write_positions(config, ids.data(), tokens, rows.mutable_data());
  Floats out = nan_array(ids.size(), words.shape(1));
  select_kernels(isa).embed(tables,
                            {ids.data(), rows.data(), types ? types->data() : nullptr, tokens},
                            out.mutable_data());
  return without_padding(out, features);
}

}  // namespace

void register_layers(py::module_& module) {
  py::module_ layers =
      module.def_submodule("layers", "Single layers of the encoder, of one instruction set.");
  layers.def("embed", &embed, py::arg("isa"), py::arg("ids"), py::arg("words"),
             py::arg("words_scale"), py::arg("positions"), py::arg("token_types"),
             py::arg("weight"), py::arg("bias"), py::arg("epsilon"), py::arg("padding_id") = -1,
             py::arg("types") = py::none());
  layers.def("linear", &linear, py::arg("isa"), py::arg("compute_type"), py::arg("x"),
             py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("factor"),
             py::arg("gelu"), py::arg("rows") = py::none(), py::arg("panels") = py::none());
  layers.def("attention", &attention, py::arg("isa"), py::arg("compute_type"), py::arg("qkv"),
             py::arg("heads"), py::arg("distance_bias") = py::none());
  layers.def("distance_bucket", &distance_bucket, py::arg("distance"));
  layers.def("add_norm", &add_norm, py::arg("isa"), py::arg("x"), py::arg("y"), py::arg("weight"),
             py::arg("bias"), py::arg("epsilon"));
}

}  // namespace bge
