// The last step of a reranker: logits to scores, the same bits on every CPU, which NumPy's exp does
// not give.
#include "bindings/kernel_calls.h"
#include "parallel/float_mode.h"

namespace py = pybind11;

namespace bge {
namespace {

// Calls function(row, padded width) on a copy of each row of x [n][m], padded with `padding`.
template <class Function>
Floats map_rows(const Floats& x, float padding, const Function& function) {
  if (x.ndim() != 2) throw std::invalid_argument("expected rows of scores: two dimensions");
  const FloatMode mode;
  const int columns = width_of(x);
  const int width = whole_vectors(columns);
  const AlignedBuffer buffer(static_cast<std::size_t>(width) * sizeof(float));
  float* row = buffer.as<float>();
  Floats out({x.shape(0), x.shape(1)});
  for (int r = 0; r < rows_of(x); ++r) {
    std::copy_n(x.data() + static_cast<std::ptrdiff_t>(r) * columns, columns, row);
    std::fill(row + columns, row + width, padding);
    function(row, width);
    std::copy_n(row, columns, out.mutable_data() + static_cast<std::ptrdiff_t>(r) * columns);
  }
  return out;
}

Floats activate(const Floats& x, const std::string& activation, const std::string& isa) {
  const KernelTable& kernels = select_kernels(isa);
  const Activation kind = kActivations.parse(activation);
  return map_rows(x, 0.0f, [&](float* row, int width) { kernels.activate(kind, row, width); });
}

Floats softmax(const Floats& x, const std::string& isa) {
  const KernelTable& kernels = select_kernels(isa);
  return map_rows(x, -std::numeric_limits<float>::infinity(), kernels.softmax);
}

}  // namespace

void register_scores(py::module_& module) {
  module.def("activate", &activate, py::arg("x"), py::arg("activation"), py::arg("isa") = "");
  module.def("softmax", &softmax, py::arg("x"), py::arg("isa") = "");
}

}  // namespace bge
