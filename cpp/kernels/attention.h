// Self-attention of one head over one text: context = softmax(Q K^T / sqrt(head size)) V.
//
// Both products are computed as linear layers by the tiles of linear.h. Keys are packed as the
// columns of the first layer (a lane is a key), values as the columns of the second (a lane is a
// feature). Queries are processed in groups of kQueryRows, so that a group's scores stay in L1. The
// number of keys is padded to a multiple of 16. A padded key has probability exactly 0, so padding
// never changes a result.
//
// This file has what both compute types share; attention_int8.h and attention_float32.h the rest.
#pragma once

#include "kernels/lanes.h"
#include "memory/bump_allocator.h"

namespace bge {
namespace {

// The bias of each key's score: 0, and minus infinity for padded keys.
BGE_INLINE void write_key_mask(int tokens, float* mask) {
  for (int t = 0; t < whole_vectors(tokens); ++t) mask[t] = t < tokens ? 0.0f : -__builtin_inff();
}

// Runs kQueryRows queries at a time: body(first row, row count).
template <int kQueryRows, class Body>
BGE_INLINE void for_query_groups(Range queries, const Body& body) {
  for (int row = queries.begin; row < queries.end; row += kQueryRows) {
    body(row, queries.end - row < kQueryRows ? queries.end - row : kQueryRows);
  }
}

// The two functions of the kernel table. An Attention takes its buffers from scratch memory.
template <class Attention>
std::size_t attention_scratch(int tokens, int head_size) {
  BumpAllocator memory(nullptr);
  Attention(tokens, head_size, memory);
  return memory.used();
}

template <class Attention>
void attention(const HeadTask& task, void* scratch) {
  BumpAllocator memory(scratch);
  Attention(task.tokens, task.head_size, memory).run(task);
}

}  // namespace
}  // namespace bge
