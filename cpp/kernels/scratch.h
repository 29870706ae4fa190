// Hands out 64-byte aligned pieces of one block of memory; with a null block it only measures.
#pragma once

#include "kernels/lanes.h"

namespace bge {
namespace {

class Carver {
 public:
  explicit Carver(void* memory) : memory_(static_cast<unsigned char*>(memory)) {}

  template <class T>
  BGE_INLINE T* take(std::size_t count) {
    unsigned char* piece = memory_ ? memory_ + used_ : nullptr;
    used_ += (count * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  BGE_INLINE std::size_t used() const { return used_; }

 private:
  unsigned char* memory_;
  std::size_t used_ = 0;
};

}  // namespace
}  // namespace bge
