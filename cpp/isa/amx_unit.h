// The tile unit of AMX: kernels/tile_unit.h describes it.
//
// Written as assembly, because the compilers' intrinsics take the number of a register as digits in
// the source, not as a constant expression, and GCC 12's do not tell that a load reads memory, so
// that stores before it may be moved behind it. Compilers use no tile register by themselves, so
// none is named as overwritten.
#pragma once

#include "kernels/tile_unit.h"

namespace bge {
namespace {

class AmxUnit {
 public:
  explicit AmxUnit(const TileConfig& config) { __asm__ volatile("ldtilecfg %0" : : "m"(config)); }
  BGE_INLINE void release() { __asm__ volatile("tilerelease"); }

  template <int kTile>
  BGE_INLINE void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  BGE_INLINE void load(const void* rows, std::size_t stride) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                     :
                     : "r"(rows), "r"(stride), "i"(kTile)
                     : "memory");
  }
  template <int kTile>
  BGE_INLINE void store(void* rows, std::size_t stride) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                     :
                     : "r"(rows), "r"(stride), "i"(kTile)
                     : "memory");
  }
  template <int kSums, int kCodes, int kWeights>
  BGE_INLINE void dot_unsigned_signed() {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0"
                     :
                     : "i"(kSums), "i"(kCodes), "i"(kWeights));
  }
  template <int kSums, int kCodes, int kWeights>
  BGE_INLINE void dot_signed_unsigned() {
    __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0"
                     :
                     : "i"(kSums), "i"(kCodes), "i"(kWeights));
  }
};

}  // namespace
}  // namespace bge
