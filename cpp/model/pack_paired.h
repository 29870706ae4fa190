// Packing for ByteForm::kPaired: panels whose 16-bit sums cannot overflow.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/packed.h"

namespace bge {

// Owns what a PairedSteps points to.
struct PairedMemory {
  std::vector<std::uint16_t> k;
  std::vector<std::int32_t> extra_ends;
  std::vector<std::uint16_t> extra_k;
  std::vector<unsigned char> extra_weights;

  PairedSteps view() const {
    return {k.data(), extra_ends.data(), extra_k.data(), extra_weights.data()};
  }
  std::size_t bytes() const {
    return (k.size() + extra_k.size()) * sizeof(std::uint16_t) +
           extra_ends.size() * sizeof(std::int32_t) + extra_weights.size();
  }
};

// steps: signed int8 weights in panel order, [panels][inner / 4][64]. Orders the steps of each half
// panel, in place, so that few pairs could overflow, and reduces the weights of those that could.
// Returns the order and the rest: panels plus extras are the matrix as it was.
PairedMemory pair_steps(int inner, int panels, unsigned char* steps);

}  // namespace bge
