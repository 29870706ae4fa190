// From Python's values to the core's.
#pragma once

#include <map>
#include <stdexcept>
#include <string>

#include "bindings/register.h"
#include "engine.h"
#include "model/weights.h"

namespace bge {

template <class T>
T by_name(const char* what, const std::string& name, const std::map<std::string, T>& values) {
  const auto found = values.find(name);
  if (found != values.end()) return found->second;
  std::string names;
  for (const auto& [known, value] : values) names += (names.empty() ? "" : ", ") + known;
  throw std::invalid_argument(std::string("unknown ") + what + " '" + name + "', expected one of " +
                              names);
}

inline Compute to_compute(const std::string& name) {
  return by_name<Compute>("compute type", name,
                          {{"int8", Compute::kInt8}, {"float32", Compute::kFloat32}});
}

inline Pooling to_pooling(const std::string& name) {
  return by_name<Pooling>("pooling", name,
                          {{"mean", Pooling::kMean},
                           {"cls", Pooling::kCls},
                           {"max", Pooling::kMax},
                           {"mean_sqrt_len_tokens", Pooling::kMeanSqrtLen}});
}

inline Precision to_precision(const std::string& name) {
  return by_name<Precision>("precision", name,
                            {{"float32", Precision::kFloat32},
                             {"int8", Precision::kInt8},
                             {"uint8", Precision::kUint8},
                             {"binary", Precision::kBinary},
                             {"ubinary", Precision::kUbinary}});
}

// A float32 or int8 array in C order, as it is: never a copy.
inline TensorView to_tensor(const std::string& name, const pybind11::array& array) {
  TensorView tensor;
  tensor.data = array.data();
  const pybind11::dtype dtype = array.dtype();
  if (dtype.is(pybind11::dtype::of<float>())) {
    tensor.dtype = DType::kFloat32;
  } else if (dtype.is(pybind11::dtype::of<std::int8_t>())) {
    tensor.dtype = DType::kInt8;
  } else {
    throw std::invalid_argument("tensor '" + name + "' must be float32 or int8");
  }
  const int flags = array.flags();
  if (!(flags & pybind11::array::c_style) ||
      !(flags & pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    throw std::invalid_argument("tensor '" + name + "' must be in C order and aligned");
  }
  for (pybind11::ssize_t i = 0; i < array.ndim(); ++i) tensor.shape.push_back(array.shape(i));
  return tensor;
}

}  // namespace bge
