// Single layers of the encoder, by any instruction set: `bge_micro.quantize` runs a float model
// layer by layer to see what each one is given. Tests compare them with exact results, int8 ones
// too.
#include <utility>

#include "bindings/kernel_calls.h"
#include "model/positions.h"

namespace py = pybind11;

namespace bge {
namespace {

Floats linear(const std::string& isa, const std::string& compute_type, const Floats& x,
              const py::array& weight, const std::optional<Floats>& scale, const Floats& bias,
              const std::optional<Floats>& factor, bool use_gelu, std::pair<int, int> rows,
              std::pair<int, int> panels) {
  const ComputeKernels& compute = compute_kernels(isa, compute_type);
  const bool int8 = compute.code_bytes > 0;
  const SingleLinear single =
      pack_linear(to_linear(weight, scale, bias, factor), int8, compute.byte_form);
  const Prepared prepared(x, compute);
  compute.prepare(x.data(), rows_of(x), width_of(x), single.packed.input_factor, prepared.buffers);
  Floats out = nan_array(x.shape(0), weight.shape(0));
  compute.linear(prepared.operand(x, compute), {rows.first, rows.second}, single.packed,
                 {panels.first, panels.second}, use_gelu ? Epilogue::kBiasGelu : Epilogue::kBias,
                 out.mutable_data(), static_cast<std::size_t>(weight.shape(0)));
  return out;
}

Floats attention(const std::string& isa, const std::string& compute_type, const Floats& qkv,
                 int heads) {
  const ComputeKernels& compute = compute_kernels(isa, compute_type);
  const int hidden = width_of(qkv) / 3;
  const int head_size = hidden / heads;
  const AlignedBuffer scratch = poisoned(compute.attention_scratch(rows_of(qkv), head_size));
  Floats context = nan_array(qkv.shape(0), hidden);
  for (int head = 0; head < heads; ++head) {
    compute.attention({qkv.data(), context.mutable_data(), rows_of(qkv), hidden, head_size, head},
                      scratch.as<void>());
  }
  return context;
}

Floats add_norm(const std::string& isa, const Floats& x, const Floats& y, const Floats& weight,
                const Floats& bias, float epsilon) {
  Floats out({x.shape(0), x.shape(1)});
  std::memcpy(out.mutable_data(), x.data(), static_cast<std::size_t>(x.nbytes()));
  select_kernels(isa).add_norm({weight.data(), bias.data(), epsilon, width_of(x)}, y.data(),
                               rows_of(x), out.mutable_data());
  return out;
}

Floats embed(const std::string& isa, const Ints& ids, const py::array& words,
             const Floats& words_scale, const Floats& positions, const Floats& token_type,
             const Floats& weight, const Floats& bias, float epsilon, int padding_id) {
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
  tables.token_type = token_type.data();
  tables.norm = {weight.data(), bias.data(), epsilon, width_of(words)};
  Config config;
  config.padding_id = padding_id;
  Ints rows(ids.size());
  const int tokens = static_cast<int>(ids.size());
  write_positions(config, ids.data(), tokens, rows.mutable_data());
  Floats out = nan_array(ids.size(), words.shape(1));
  select_kernels(isa).embed(tables, {ids.data(), rows.data(), tokens}, out.mutable_data());
  return out;
}

}  // namespace

void register_layers(py::module_& module) {
  py::module_ layers =
      module.def_submodule("layers", "Single layers of the encoder, of one instruction set.");
  layers.def("embed", &embed, py::arg("isa"), py::arg("ids"), py::arg("words"),
             py::arg("words_scale"), py::arg("positions"), py::arg("token_type"), py::arg("weight"),
             py::arg("bias"), py::arg("epsilon"), py::arg("padding_id") = -1);
  layers.def("linear", &linear, py::arg("isa"), py::arg("compute_type"), py::arg("x"),
             py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("factor"),
             py::arg("gelu"), py::arg("rows"), py::arg("panels"));
  layers.def("attention", &attention, py::arg("isa"), py::arg("compute_type"), py::arg("qkv"),
             py::arg("heads"));
  layers.def("add_norm", &add_norm, py::arg("isa"), py::arg("x"), py::arg("y"), py::arg("weight"),
             py::arg("bias"), py::arg("epsilon"));
}

}  // namespace bge
