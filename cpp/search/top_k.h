// Exact search: the k best rows for each query, by dot product or cosine.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/table.h"
#include "parallel/parallel.h"

namespace bge {

enum class Element { kFloat32, kInt8, kUint8, kBits };  // uint8 is a value plus 128
enum class Metric { kDot, kCosine };

// Scores are int32 for dot products of int8, uint8 and bits, and float otherwise. A bit means +1 or
// -1, so that its scores are between -bits and bits. Of equal scores the lower row comes first. NaN
// counts as minus infinity.
struct Search {
  Element element = Element::kFloat32;
  Metric metric = Metric::kDot;
  const void* queries = nullptr;  // [query_count][width]
  std::int64_t query_count = 0;
  const void* rows = nullptr;  // [row_count][width]
  std::int64_t row_count = 0;
  std::size_t width = 0;  // elements of a row; bytes for kBits
  std::int64_t k = 0;     // at most row_count
  int threads = 1;
  std::int64_t* indices = nullptr;  // [query_count][k]
  void* scores = nullptr;           // [query_count][k]
};

constexpr bool has_int_scores(Element element, Metric metric) {
  return element != Element::kFloat32 && metric == Metric::kDot;
}

constexpr std::size_t element_bytes(Element element) {
  return element == Element::kFloat32 ? sizeof(float) : 1;
}

// `stop_asked` is called every 20 ms or so by the calling thread; true ends the search with
// Stopped.
void top_k(const KernelTable& kernels, const Search& search, FunctionRef<bool()> stop_asked);

}  // namespace bge
