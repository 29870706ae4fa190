// Divides one block of memory into aligned arrays, one after the other.
//
// It is used twice, with the same calls: first without memory, which measures how much is needed,
// then with a block of that size.
#pragma once

#include "memory/alignment.h"

namespace bge {
namespace {  // files of every instruction set include it, see kernels/lanes.h

class BumpAllocator {
 public:
  // memory: aligned to kAlignment, or null to measure only.
  explicit BumpAllocator(void* memory) : memory_(static_cast<unsigned char*>(memory)) {}

  // An array of `count` elements, not initialised; null while measuring.
  template <class T>
  T* take(std::size_t count) {
    unsigned char* array = memory_ ? memory_ + used_ : nullptr;
    used_ += round_up(count * sizeof(T));
    return reinterpret_cast<T*>(array);
  }
  bool measuring() const { return memory_ == nullptr; }
  std::size_t used() const { return used_; }  // bytes

 private:
  unsigned char* memory_;
  std::size_t used_ = 0;
};

}  // namespace
}  // namespace bge
