// What calls of single kernels need: arrays as operands, and memory for the results.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "bindings/choices.h"
#include "bindings/convert.h"
#include "bindings/register.h"
#include "isa/dispatch.h"
#include "memory/aligned.h"
#include "model/pack.h"

namespace bge {

using Floats = pybind11::array_t<float, pybind11::array::c_style>;
using Ints = pybind11::array_t<std::int32_t, pybind11::array::c_style>;

// Buffers that a kernel writes to are filled with NaN first, so that a result which it has not
// written is seen.
inline AlignedBuffer poisoned(std::size_t bytes) {
  AlignedBuffer buffer(bytes);
  std::memset(buffer.as<void>(), 0xff, buffer.bytes());  // NaN as float, -1 as integer
  return buffer;
}

inline Floats nan_array(pybind11::ssize_t rows, pybind11::ssize_t columns) {
  Floats array({rows, columns});
  std::fill_n(array.mutable_data(), array.size(), std::numeric_limits<float>::quiet_NaN());
  return array;
}

inline int rows_of(const pybind11::array& x) { return static_cast<int>(x.shape(0)); }
inline int width_of(const pybind11::array& x) { return static_cast<int>(x.shape(1)); }

// Rows with their features in the places that they have in memory; x itself if these are the same.
inline Floats placed(const Floats& x, Features features) {
  if (features.row() == features.count) return x;
  const pybind11::ssize_t rows = x.size() / features.count;
  Floats out({rows, static_cast<pybind11::ssize_t>(features.row())});
  std::fill_n(out.mutable_data(), out.size(), 0.0f);
  for (pybind11::ssize_t r = 0; r < rows; ++r) {
    for (int i = 0; i < features.count; ++i) {
      out.mutable_data()[r * features.row() + features.place(i)] = x.data()[r * features.count + i];
    }
  }
  return out;
}

// Rows of features in memory -> without padding.
inline Floats without_padding(const Floats& rows, Features features) {
  if (features.row() == features.count) return rows;
  Floats out({rows.shape(0), static_cast<pybind11::ssize_t>(features.count)});
  for (pybind11::ssize_t r = 0; r < rows.shape(0); ++r) {
    for (int i = 0; i < features.count; ++i) {
      out.mutable_data()[r * features.count + i] =
          rows.data()[r * features.row() + features.place(i)];
    }
  }
  return out;
}

inline const float* optional_data(const std::optional<Floats>& array) {
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

inline LinearWeights to_linear(const pybind11::array& weight, const std::optional<Floats>& scale,
                               const Floats& bias, const std::optional<Floats>& factor) {
  LinearWeights w;
  const TensorView view = to_tensor("weight", weight);
  w.name = "weight";
  w.out = {rows_of(weight)};
  w.in = {width_of(weight)};
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

inline const ComputeKernels& compute_kernels(const std::string& isa,
                                             const std::string& compute_type) {
  const KernelTable& kernels = select_kernels(isa);
  return kComputeTypes.parse(compute_type) == Compute::kInt8 ? kernels.int8 : kernels.float32;
}

}  // namespace bge
