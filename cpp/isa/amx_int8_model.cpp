// amx_int8 with a model of AMX's tile unit and the lanes of AVX2. It exists to test the source of
// amx_int8 on CPUs without AMX; it is slower than avx2, so that no CPU chooses it by itself.
#include "isa/amx_model.h"
#include "isa/dots_amx.h"
#include "isa/lanes_avx2.h"
#include "isa/search_avx2.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
namespace {

struct AmxInt8Model : Avx2 {
  using LinearDot = AmxDots<VnniModel<Avx2>, AmxModel>::LinearDot;
  using KeyDot = AmxDots<VnniModel<Avx2>, AmxModel>::KeyDot;
  using ValueDot = AmxDots<VnniModel<Avx2>, AmxModel>::ValueDot;
};

template <>
struct SearchLanes<AmxInt8Model> : SearchLanes<Avx2> {};

}  // namespace

constexpr KernelTable kAmxInt8ModelKernels = make_table<AmxInt8Model>();
}  // namespace bge
