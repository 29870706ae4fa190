// From NumPy's arrays to the core's views.
#pragma once

#include <stdexcept>
#include <string>

#include "bindings/register.h"
#include "model/weights.h"

namespace bge {

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
