// The kernel tables of all instruction sets. `extern const` makes the constexpr definitions visible
// to dispatch.cpp. They are initialised by the compiler: no code of an ISA file runs before it is
// chosen.
#pragma once

#include "kernels/table.h"

namespace bge {

#define BGE_ISA(name, table, feature) extern const KernelTable table;
#include "isa/instruction_sets.inc"

}  // namespace bge
