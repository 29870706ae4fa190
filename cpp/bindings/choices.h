// The names of the core's choices. These tables are the only place in C++ that knows them: names
// are read by them, error messages list them, and `_core.choices` hands them to Python.
#pragma once

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine.h"
#include "search/top_k.h"

namespace bge {

template <class Enum, std::size_t kCount>
struct Choices {
  const char* what;  // the argument that takes one of them
  std::array<std::pair<const char*, Enum>, kCount> all;

  // Throws std::invalid_argument, which names what there is, for another name.
  Enum parse(const std::string& name) const {
    std::string names;
    for (const auto& [known, value] : all) {
      if (name == known) return value;
      names += (names.empty() ? "" : ", ") + std::string(known);
    }
    throw std::invalid_argument(std::string("unknown ") + what + " '" + name +
                                "', expected one of " + names);
  }
};

inline constexpr Choices<Compute, 2> kComputeTypes{
    "compute_type", {{{"int8", Compute::kInt8}, {"float32", Compute::kFloat32}}}};

inline constexpr Choices<Pooling, 4> kPoolings{"pooling",
                                               {{{"mean", Pooling::kMean},
                                                 {"cls", Pooling::kCls},
                                                 {"max", Pooling::kMax},
                                                 {"mean_sqrt_len_tokens", Pooling::kMeanSqrtLen}}}};

inline constexpr Choices<Precision, 5> kPrecisions{"precision",
                                                   {{{"float32", Precision::kFloat32},
                                                     {"int8", Precision::kInt8},
                                                     {"uint8", Precision::kUint8},
                                                     {"binary", Precision::kBinary},
                                                     {"ubinary", Precision::kUbinary}}}};

inline constexpr Choices<Activation, 5> kActivations{"activation",
                                                     {{{"identity", Activation::kIdentity},
                                                       {"tanh", Activation::kTanh},
                                                       {"relu", Activation::kRelu},
                                                       {"gelu", Activation::kGelu},
                                                       {"sigmoid", Activation::kSigmoid}}}};

inline constexpr Choices<Element, 4> kElements{"element",
                                               {{{"float32", Element::kFloat32},
                                                 {"int8", Element::kInt8},
                                                 {"uint8", Element::kUint8},
                                                 {"bits", Element::kBits}}}};

inline constexpr Choices<Metric, 2> kMetrics{
    "metric", {{{"dot", Metric::kDot}, {"cosine", Metric::kCosine}}}};

}  // namespace bge
