// Exact search: arrays in and out, the GIL released, errors mapped; no arithmetic.
#include "bindings/choices.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "isa/dispatch.h"
#include "search/top_k.h"

namespace py = pybind11;

namespace bge {
namespace {

void check_rows(const py::array& array, const char* name, Element element) {
  const bool fits = array.ndim() == 2 && (array.flags() & py::array::c_style) != 0 &&
                    static_cast<std::size_t>(array.itemsize()) == element_bytes(element) &&
                    (element != Element::kFloat32 || array.dtype().equal(py::dtype::of<float>()));
  if (!fits) {
    throw std::invalid_argument(std::string(name) + " must be a C-ordered matrix of the element");
  }
}

py::tuple search(const py::array& queries, const py::array& rows, std::int64_t k,
                 const std::string& element, const std::string& metric, int threads,
                 const std::string& isa) {
  Search search;
  search.element = kElements.parse(element);
  search.metric = kMetrics.parse(metric);
  search.threads = threads;
  check_rows(queries, "queries", search.element);
  check_rows(rows, "rows", search.element);
  search.queries = queries.data();
  search.query_count = queries.shape(0);
  search.rows = rows.data();
  search.row_count = rows.shape(0);
  search.width = static_cast<std::size_t>(rows.shape(1));
  search.k = k;
  if (queries.shape(1) != rows.shape(1) || rows.shape(1) < 1 || rows.shape(1) > kMaxInner) {
    throw std::invalid_argument("queries and rows must have the same number of columns, 1 to " +
                                std::to_string(kMaxInner));
  }
  if (k < 0 || k > search.row_count) {
    throw std::invalid_argument("k is " + std::to_string(k) +
                                ", expected 0 to the number of rows, " +
                                std::to_string(search.row_count));
  }
  py::array_t<std::int64_t> indices({search.query_count, k});
  const bool ints = has_int_scores(search.element, search.metric);
  py::array scores(ints ? py::dtype::of<std::int32_t>() : py::dtype::of<float>(),
                   std::vector<py::ssize_t>{search.query_count, k});
  search.indices = indices.mutable_data();
  search.scores = scores.mutable_data();
  const KernelTable& kernels = select_kernels(isa);
  try {
    ReleasedGil released;
    top_k(kernels, search,
          [&] { return released.with_gil([] { return PyErr_CheckSignals() != 0; }); });
  } catch (const Stopped&) {
    throw py::error_already_set();  // what the signal handler raised
  }
  return py::make_tuple(indices, scores);
}

}  // namespace

void register_search(py::module_& module) {
  module.def("top_k", &search, py::arg("queries"), py::arg("rows"), py::arg("k"), py::kw_only(),
             py::arg("element"), py::arg("metric"), py::arg("threads"), py::arg("isa") = "");
}

}  // namespace bge
