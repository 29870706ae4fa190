// AVX-512 with VNNI whose larger 8-bit products are AMX's.
#include "isa/amx_unit.h"
#include "isa/dots_amx.h"
#include "isa/lanes_avx512.h"
#include "isa/search_avx512.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
namespace {

struct AmxInt8 : Avx512Vnni {
  using LinearDot = AmxDots<Avx512Vnni, AmxUnit>::LinearDot;
  using KeyDot = AmxDots<Avx512Vnni, AmxUnit>::KeyDot;
  using ValueDot = AmxDots<Avx512Vnni, AmxUnit>::ValueDot;
};

template <>
struct SearchLanes<AmxInt8> : SearchLanes<Avx512Vnni> {};

}  // namespace

constexpr KernelTable kAmxInt8Kernels = make_table<AmxInt8>();
}  // namespace bge
