// Single kernels of any ISA, for the tests and the benchmark. Buffers a kernel writes to are
// poisoned first, so that a read of what was never written shows.
#include <chrono>
#include <cstring>
#include <limits>

#include "bindings/convert.h"
#include "bindings/register.h"
#include "isa/dispatch.h"
#include "kernels/soft_fma.h"
#include "model/aligned.h"
#include "model/pack.h"

namespace py = pybind11;

namespace bge {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Bytes = py::array_t<std::int8_t, py::array::c_style>;
using Ints = py::array_t<std::int32_t, py::array::c_style>;

AlignedBuffer poisoned(std::size_t bytes) {
  AlignedBuffer buffer(bytes);
  std::memset(buffer.as<void>(), 0xff, buffer.bytes());  // NaN as float, -1 as integer
  return buffer;
}

Floats nan_array(py::ssize_t rows, py::ssize_t columns) {
  Floats array({rows, columns});
  std::fill_n(array.mutable_data(), array.size(), std::numeric_limits<float>::quiet_NaN());
  return array;
}

int rows_of(const py::array& x) { return static_cast<int>(x.shape(0)); }
int width_of(const py::array& x) { return static_cast<int>(x.shape(1)); }

const float* optional_data(const std::optional<Floats>& array) {
  return array ? array->data() : nullptr;
}

// Memory for the prepared rows of x.
struct Prepared {
  AlignedBuffer codes;
  Floats scale;
  Ints zero_point;
  OperandBuffers buffers;

  Prepared(const Floats& x, const ComputeKernels& compute)
      : codes(poisoned(static_cast<std::size_t>(x.size()) * compute.code_bytes + 1)),
        scale(x.shape(0)),
        zero_point(x.shape(0)),
        buffers{codes.as<void>(), scale.mutable_data(), zero_point.mutable_data()} {}

  Operand operand(const Floats& x, const ComputeKernels& compute) const {
    return {compute.code_bytes ? buffers.codes : x.data(), static_cast<std::size_t>(x.shape(1)),
            buffers.scale, buffers.zero_point};
  }
};

py::tuple quantize(const std::string& isa, const Floats& x, const std::optional<Floats>& factor) {
  const ComputeKernels& compute = select_kernels(isa).int8;
  Prepared prepared(x, compute);
  compute.prepare(x.data(), rows_of(x), width_of(x), optional_data(factor), prepared.buffers);
  Ints codes({x.shape(0), x.shape(1)});
  for (py::ssize_t i = 0; i < x.size(); ++i) {
    // A code is a byte, signed or plus 128: either way the low byte of code + offset.
    const std::uint8_t stored = static_cast<const std::uint8_t*>(prepared.buffers.codes)[i];
    codes.mutable_data()[i] = static_cast<std::int8_t>(stored - compute.code_offset);
  }
  for (py::ssize_t r = 0; r < x.shape(0); ++r) {
    prepared.zero_point.mutable_data()[r] -= compute.code_offset;
  }
  return py::make_tuple(codes, prepared.scale, prepared.zero_point);
}

LinearWeights to_linear(const py::array& weight, const std::optional<Floats>& scale,
                        const Floats& bias, const std::optional<Floats>& factor) {
  LinearWeights w;
  const TensorView view = to_tensor("weight", weight);
  w.name = "weight";
  w.out = rows_of(weight);
  w.in = width_of(weight);
  if (view.dtype == DType::kInt8) {
    w.weight_int8 = static_cast<const std::int8_t*>(view.data);
  } else {
    w.weight_float = static_cast<const float*>(view.data);
  }
  w.scale = optional_data(scale);
  w.bias = bias.data();
  w.input_factor = optional_data(factor);
  return w;
}

Floats linear(const std::string& isa, const std::string& compute_type, const Floats& x,
              const py::array& weight, const std::optional<Floats>& scale, const Floats& bias,
              const std::optional<Floats>& factor, bool use_gelu, std::pair<int, int> rows,
              std::pair<int, int> panels) {
  const KernelTable& kernels = select_kernels(isa);
  const bool int8 = to_compute(compute_type) == Compute::kInt8;
  const ComputeKernels& compute = int8 ? kernels.int8 : kernels.float32;
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

// Seconds of each of `calls` calls over all rows and panels, for the benchmark: single ones, so
// that an interrupted call is an outlier. Packing and preparing are done before, and stay out of
// it.
std::vector<double> linear_seconds(const std::string& isa, const std::string& compute_type,
                                   const Floats& x, const py::array& weight,
                                   const std::optional<Floats>& scale, const Floats& bias,
                                   int calls) {
  const KernelTable& kernels = select_kernels(isa);
  const bool int8 = to_compute(compute_type) == Compute::kInt8;
  const ComputeKernels& compute = int8 ? kernels.int8 : kernels.float32;
  const SingleLinear single =
      pack_linear(to_linear(weight, scale, bias, std::nullopt), int8, compute.byte_form);
  const Prepared prepared(x, compute);
  compute.prepare(x.data(), rows_of(x), width_of(x), nullptr, prepared.buffers);
  const Operand input = prepared.operand(x, compute);
  const std::size_t stride = static_cast<std::size_t>(weight.shape(0));
  const AlignedBuffer out = poisoned(static_cast<std::size_t>(x.shape(0)) * stride * sizeof(float));
  std::vector<double> seconds;
  for (int call = 0; call < calls; ++call) {
    const auto begin = std::chrono::steady_clock::now();
    compute.linear(input, {0, rows_of(x)}, single.packed, {0, single.packed.panels},
                   Epilogue::kBias, out.as<float>(), stride);
    const std::chrono::duration<double> duration = std::chrono::steady_clock::now() - begin;
    seconds.push_back(duration.count());
  }
  return seconds;
}

Floats attention(const std::string& isa, const std::string& compute_type, const Floats& qkv,
                 int heads) {
  const KernelTable& kernels = select_kernels(isa);
  const ComputeKernels& compute =
      to_compute(compute_type) == Compute::kInt8 ? kernels.int8 : kernels.float32;
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

Floats embed(const std::string& isa, const Ints& ids, const py::array& words, float words_scale,
             const Floats& positions, const Floats& token_type, const Floats& weight,
             const Floats& bias, float epsilon) {
  const TensorView view = to_tensor("words", words);
  EmbeddingTables tables;
  if (view.dtype == DType::kInt8) {
    tables.words_int8 = static_cast<const std::int8_t*>(view.data);
  } else {
    tables.words_float = static_cast<const float*>(view.data);
  }
  tables.words_scale = words_scale;
  tables.positions = positions.data();
  tables.token_type = token_type.data();
  tables.norm_weight = weight.data();
  tables.norm_bias = bias.data();
  tables.norm_epsilon = epsilon;
  tables.hidden = width_of(words);
  Floats out = nan_array(ids.size(), words.shape(1));
  select_kernels(isa).embed(tables, ids.data(), {0, static_cast<int>(ids.size())},
                            out.mutable_data());
  return out;
}

py::array_t<std::uint8_t> pool(const std::string& isa, const Floats& x, const std::string& pooling,
                               int dimensions, bool normalize, const std::string& precision,
                               py::ssize_t row_bytes) {
  const KernelTable& kernels = select_kernels(isa);
  const AlignedBuffer vector = poisoned(static_cast<std::size_t>(x.shape(1)) * sizeof(float));
  kernels.pool(to_pooling(pooling), x.data(), rows_of(x), width_of(x), vector.as<float>());
  py::array_t<std::uint8_t> out(row_bytes);
  kernels.finish({dimensions, normalize, to_precision(precision)}, vector.as<float>(),
                 out.mutable_data());
  return out;
}

}  // namespace

void register_kernels(py::module_& module) {
  py::module_ kernels =
      module.def_submodule("kernels", "Single kernels of one instruction set, for tests.");
  kernels.def("quantize", &quantize, py::arg("isa"), py::arg("x"), py::arg("factor") = py::none());
  kernels.def("linear", &linear, py::arg("isa"), py::arg("compute_type"), py::arg("x"),
              py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("factor"),
              py::arg("gelu"), py::arg("rows"), py::arg("panels"));
  kernels.def("linear_seconds", &linear_seconds, py::arg("isa"), py::arg("compute_type"),
              py::arg("x"), py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("calls"));
  kernels.def("attention", &attention, py::arg("isa"), py::arg("compute_type"), py::arg("qkv"),
              py::arg("heads"));
  kernels.def("add_norm", &add_norm, py::arg("isa"), py::arg("x"), py::arg("y"), py::arg("weight"),
              py::arg("bias"), py::arg("epsilon"));
  kernels.def("embed", &embed, py::arg("isa"), py::arg("ids"), py::arg("words"),
              py::arg("words_scale"), py::arg("positions"), py::arg("token_type"),
              py::arg("weight"), py::arg("bias"), py::arg("epsilon"));
  kernels.def("pool", &pool, py::arg("isa"), py::arg("x"), py::arg("pooling"),
              py::arg("dimensions"), py::arg("normalize"), py::arg("precision"),
              py::arg("row_bytes"));
  kernels.def("soft_fma",
              py::vectorize([](float a, float b, float c) { return soft_fma(a, b, c); }),
              py::arg("a"), py::arg("b"), py::arg("c"));
}

}  // namespace bge
