// Packing for ByteForm::kPaired: panels whose 16-bit sums cannot overflow.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/packed.h"

namespace bge {

// Owns what an ExtraSteps points to.
struct ExtraMemory {
  std::vector<std::int32_t> ends;
  std::vector<std::int32_t> steps;
  std::vector<unsigned char> weights;

  ExtraSteps view() const { return {ends.data(), steps.data(), weights.data()}; }
  std::size_t bytes() const {
    return (ends.size() + steps.size()) * sizeof(std::int32_t) + weights.size();
  }
};

// steps: signed int8 weights in panel order, [panels][inner / 4][64]. Reduces, in place, weights
// whose sums could overflow, and returns the rest: panels plus extras are the matrix as it was.
ExtraMemory take_out_extras(int inner, int panels, unsigned char* steps);

}  // namespace bge
