// The Engine class: arrays in and out, the GIL released, errors mapped; no arithmetic.
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/choices.h"
#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/register.h"
#include "engine.h"

namespace py = pybind11;

namespace bge {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Ids = py::array_t<std::int32_t, py::array::c_style>;
using Offsets = py::array_t<std::int64_t, py::array::c_style>;

// From an object with these attributes, as bge_micro.checkpoint.config.EncoderConfig is.
Config to_config(const py::object& values) {
  const auto number = [&](const char* name) { return values.attr(name).cast<int>(); };
  Config config;
  config.layers = number("layers");
  config.hidden = number("hidden");
  config.heads = number("heads");
  config.intermediate = number("intermediate");
  config.vocab = number("vocab");
  config.positions = number("positions");
  config.token_types = number("token_types");
  config.layer_norm_eps = values.attr("layer_norm_eps").cast<float>();
  config.padding_id = number("padding_id");
  config.distance_buckets = number("distance_buckets");
  check_config(config);
  return config;
}

// Weight [out][in], bias [out] or None, activation.
using DenseLayer = std::tuple<Floats, std::optional<Floats>, std::string>;

std::vector<DenseWeights> to_dense(const std::vector<DenseLayer>& layers, int width) {
  std::vector<DenseWeights> all;
  for (const auto& [weight, bias, activation] : layers) {
    const std::string name = "dense layer " + std::to_string(all.size());
    if (weight.ndim() != 2 || weight.shape(1) != width || weight.shape(0) < 1 ||
        width > kMaxInner || (bias && bias->size() != weight.shape(0))) {
      throw std::invalid_argument(name + " does not fit: expected a weight of [any][" +
                                  std::to_string(width) + "] and a bias of its outputs");
    }
    LinearWeights linear;
    linear.name = name;
    linear.weight_float = weight.data();
    linear.bias = bias ? bias->data() : nullptr;
    linear.in = {width};
    width = static_cast<int>(weight.shape(0));
    linear.out = {width};
    all.push_back({linear, kActivations.parse(activation)});
  }
  return all;
}

// A copy of a batch. The arrays of the caller may change while the GIL is released; what is encoded
// must be what the engine has checked.
class Batch {
 public:
  Batch(const Ids& ids, const Offsets& offsets, const std::optional<Ids>& types) {
    if (ids.ndim() != 1 || offsets.ndim() != 1 || offsets.size() < 1) {
      throw std::invalid_argument(
          "ids and offsets must have one dimension, and offsets at least one entry");
    }
    ids_.assign(ids.data(), ids.data() + ids.size());
    offsets_.assign(offsets.data(), offsets.data() + offsets.size());
    if (std::cmp_not_equal(offsets_.back(), ids_.size())) {
      throw std::invalid_argument("the last offset is " + std::to_string(offsets_.back()) +
                                  ", expected the number of ids, " + std::to_string(ids_.size()));
    }
    if (!types) return;
    if (types->ndim() != 1 || types->size() != ids.size()) {
      throw std::invalid_argument("types must have one entry for each id");
    }
    types_.emplace(types->data(), types->data() + types->size());
  }
  RaggedBatch view() const {
    return {ids_.data(), offsets_.data(), types_ ? types_->data() : nullptr,
            static_cast<std::int64_t>(offsets_.size()) - 1};
  }

 private:
  std::vector<std::int32_t> ids_;
  std::vector<std::int64_t> offsets_;
  std::optional<std::vector<std::int32_t>> types_;
};

class PyEngine {
 public:
  PyEngine(const py::object& config, const std::map<std::string, py::array>& arrays,
           const std::string& compute_type, const std::string& isa,
           const std::vector<DenseLayer>& dense) {
    TensorMap tensors;
    for (const auto& [name, array] : arrays) {
      tensors[name] = to_tensor(name, array);
      if (name.starts_with("embeddings.")) kept_.push_back(array);
    }
    const Config checked = to_config(config);
    EncoderWeights weights = bind_weights(checked, tensors);
    weights.dense = to_dense(dense, checked.hidden);
    engine_ = std::make_unique<Engine>(checked, weights, kComputeTypes.parse(compute_type), isa);
  }

  ~PyEngine() {
    for (py::array& array : kept_) release(array);
  }
  PyEngine(const PyEngine&) = delete;
  PyEngine& operator=(const PyEngine&) = delete;

  void encode(const Ids& ids, const Offsets& offsets, const std::string& pooling, int dimensions,
              bool normalize, const std::string& precision, int threads, bool normalize_whole,
              int skip, const std::optional<py::function>& poll, const std::optional<Ids>& types,
              const std::optional<py::array>& vectors,
              const std::optional<py::array>& token_embeddings) const {
    const Batch batch(ids, offsets, types);
    Request request;
    request.batch = batch.view();
    request.pooling = kPoolings.parse(pooling);
    request.output = {dimensions, normalize, kPrecisions.parse(precision)};
    request.threads = threads;
    request.normalize_whole = normalize_whole;
    request.skip = skip;
    if (vectors) {
      check_dtype(*vectors, "vectors", request.output.precision);
      request.row_bytes = row_bytes(request.output);
      request.vectors = static_cast<unsigned char*>(
          writable(*vectors, "vectors", request.batch.texts, request.row_bytes));
    }
    if (token_embeddings) {
      check_dtype(*token_embeddings, "token_embeddings", Precision::kFloat32);
      request.token_embeddings = static_cast<float*>(
          writable(*token_embeddings, "token_embeddings", request.batch.total(),
                   static_cast<std::size_t>(engine_->config().hidden) * sizeof(float)));
    }
    try {
      ReleasedGil released;
      engine_->encode(request, [&] {
        return released.with_gil(
            [&] { return PyErr_CheckSignals() != 0 || (poll && raises(*poll)); });
      });
    } catch (const Stopped&) {
      throw py::error_already_set();  // what the signal handler or poll raised
    }
  }

  std::string isa() const { return engine_->isa(); }
  std::size_t packed_bytes() const { return engine_->packed_bytes(); }
  std::size_t workspace_bytes() const { return engine_->workspace_bytes(); }
  void trim() const {
    const ReleasedGil released;
    engine_->trim();
  }

 private:
  // Calls it; an exception stays where Python looks for one.
  static bool raises(const py::function& poll) {
    PyObject* result = PyObject_CallNoArgs(poll.ptr());
    Py_XDECREF(result);
    return result == nullptr;
  }

  static std::size_t row_bytes(const VectorOutput& output) {
    const std::size_t dimensions =
        output.dimensions > 0 ? static_cast<std::size_t>(output.dimensions) : 0;
    switch (output.precision) {
      case Precision::kFloat32:
        return dimensions * sizeof(float);
      case Precision::kInt8:
      case Precision::kUint8:
        return dimensions;
      default:
        return (dimensions + 7) / 8;
    }
  }

  static void check_dtype(const py::array& array, const char* name, Precision precision) {
    const py::dtype found = array.dtype();
    const bool is_unsigned = precision == Precision::kUint8 || precision == Precision::kUbinary;
    const py::dtype expected = precision == Precision::kFloat32 ? py::dtype::of<float>()
                               : is_unsigned                    ? py::dtype::of<std::uint8_t>()
                                                                : py::dtype::of<std::int8_t>();
    if (!found.equal(expected)) {
      throw std::invalid_argument(std::string(name) + " has dtype " +
                                  py::str(found).cast<std::string>() + ", expected " +
                                  py::str(expected).cast<std::string>());
    }
  }

  static void* writable(const py::array& array, const char* name, std::int64_t rows,
                        std::size_t bytes) {
    const bool fits = array.ndim() == 2 && array.shape(0) == rows &&
                      std::cmp_equal(array.shape(1) * array.itemsize(), bytes) &&
                      (array.flags() & py::array::c_style) != 0 && array.writeable();
    if (!fits) {
      throw std::invalid_argument(std::string(name) + " must be a writable, C-ordered array of " +
                                  std::to_string(rows) + " rows of " + std::to_string(bytes) +
                                  " bytes");
    }
    return py::array(array).mutable_data();
  }

  std::vector<py::array> kept_;  // the embedding tables, which the engine reads in place
  std::unique_ptr<Engine> engine_;
};

}  // namespace

void register_engine(py::module_& module) {
  py::class_<PyEngine>(module, "Engine")
      .def(py::init<const py::object&, const std::map<std::string, py::array>&, const std::string&,
                    const std::string&, const std::vector<DenseLayer>&>(),
           py::arg("config"), py::arg("tensors"), py::arg("compute_type"), py::arg("isa") = "",
           py::arg("dense") = std::vector<DenseLayer>())
      .def("encode", &PyEngine::encode, py::arg("ids"), py::arg("offsets"), py::kw_only(),
           py::arg("pooling"), py::arg("dimensions"), py::arg("normalize"), py::arg("precision"),
           py::arg("threads"), py::arg("normalize_whole") = false, py::arg("skip") = 0,
           py::arg("poll") = py::none(), py::arg("types") = py::none(),
           py::arg("vectors") = py::none(), py::arg("token_embeddings") = py::none())
      .def("trim", &PyEngine::trim)
      .def_property_readonly("isa", &PyEngine::isa)
      .def_property_readonly("packed_bytes", &PyEngine::packed_bytes)
      .def_property_readonly("workspace_bytes", &PyEngine::workspace_bytes);
}

}  // namespace bge
