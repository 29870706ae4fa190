// Self-attention of one head over one text: context = softmax(Q K^T / sqrt(head size)) V.
//
// Both products are linear layers with weights made on the spot: keys are packed as the columns of
// the first (a lane is a key), values as the columns of the second (a lane is a feature), and the
// tiles of linear.h do the rest. Queries pass in groups of kQueryRows, so that a group's scores
// stay in L1. The number of keys is padded to a multiple of 16; a padded key has the bias minus
// infinity, so its probability is exactly 0: what a text's padding holds depends on nothing.
//
// Here is what both compute types share; attention_int8.h and attention_float32.h have the rest.
#pragma once

#include "kernels/lanes.h"
#include "memory/bump_allocator.h"

namespace bge {
namespace {

BGE_INLINE int padded_keys(int tokens) { return (tokens + kLanes - 1) / kLanes * kLanes; }

// The bias that switches padded keys off: 0 for real ones, minus infinity beyond.
BGE_INLINE void write_key_mask(int tokens, float* mask) {
  for (int t = 0; t < padded_keys(tokens); ++t) mask[t] = t < tokens ? 0.0f : -__builtin_inff();
}

// Runs kQueryRows queries at a time: body(first row, row count).
template <int kQueryRows, class Body>
BGE_INLINE void for_query_groups(int tokens, const Body& body) {
  for (int row = 0; row < tokens; row += kQueryRows) {
    body(row, tokens - row < kQueryRows ? tokens - row : kQueryRows);
  }
}

// The kernels of the table, for an Attention that carves its buffers out of scratch memory.
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
