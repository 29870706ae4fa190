// Kernels, by any instruction set, that only the tests and the benchmark of kernels call by
// themselves; the package does not.
#include <chrono>

#include "bindings/kernel_calls.h"
#include "kernels/soft_fma.h"

namespace py = pybind11;

namespace bge {
namespace {

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

// Seconds of each of `calls` calls over all rows and panels, for the benchmark: single ones, so
// that an interrupted call is an outlier. Packing and preparing are done before, and stay out of
// it.
std::vector<double> linear_seconds(const std::string& isa, const std::string& compute_type,
                                   const Floats& x, const py::array& weight,
                                   const std::optional<Floats>& scale, const Floats& bias,
                                   int calls) {
  const ComputeKernels& compute = compute_kernels(isa, compute_type);
  const bool int8 = compute.code_bytes > 0;
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

py::array_t<std::uint8_t> pool(const std::string& isa, const Floats& x, const std::string& pooling,
                               int dimensions, bool normalize, const std::string& precision,
                               py::ssize_t row_bytes) {
  const KernelTable& kernels = select_kernels(isa);
  const AlignedBuffer vector = poisoned(static_cast<std::size_t>(x.shape(1)) * sizeof(float));
  kernels.pool(kPoolings.parse(pooling), x.data(), rows_of(x), width_of(x), vector.as<float>());
  py::array_t<std::uint8_t> out(row_bytes);
  kernels.finish({dimensions, normalize, kPrecisions.parse(precision)}, vector.as<float>(),
                 out.mutable_data());
  return out;
}

}  // namespace

void register_kernels(py::module_& module) {
  py::module_ kernels =
      module.def_submodule("kernels", "Single kernels of one instruction set, for tests.");
  kernels.def("quantize", &quantize, py::arg("isa"), py::arg("x"), py::arg("factor") = py::none());
  kernels.def("linear_seconds", &linear_seconds, py::arg("isa"), py::arg("compute_type"),
              py::arg("x"), py::arg("weight"), py::arg("scale"), py::arg("bias"), py::arg("calls"));
  kernels.def("pool", &pool, py::arg("isa"), py::arg("x"), py::arg("pooling"),
              py::arg("dimensions"), py::arg("normalize"), py::arg("precision"),
              py::arg("row_bytes"));
  kernels.def("soft_fma",
              py::vectorize([](float a, float b, float c) { return soft_fma(a, b, c); }),
              py::arg("a"), py::arg("b"), py::arg("c"));
}

}  // namespace bge
