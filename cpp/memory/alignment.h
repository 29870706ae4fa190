// The alignment of everything that kernels read and write: a cache line, and the widest register.
#pragma once

#include <cstddef>

namespace bge {

inline constexpr std::size_t kAlignment = 64;

// Always inlined, because files of every instruction set include it: no copy that was compiled for
// one of them may be linked into code for another CPU.
__attribute__((always_inline)) inline constexpr std::size_t round_up(
    std::size_t bytes, std::size_t alignment = kAlignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace bge
