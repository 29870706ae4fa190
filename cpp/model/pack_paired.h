// What ByteForm::kPaired asks of the packer: panels whose 16-bit sums cannot overflow.
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

// panels: signed int8 weights in panel order, [panels][inner / 4][64]. Reduces, in place, what
// would overflow, and returns the rest: panel + extras is the matrix that was.
ExtraMemory take_out_extras(int inner, int panels, unsigned char* steps);

}  // namespace bge
