#include "isa/lanes_neon.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kNeonI8mmKernels = make_table<NeonI8mm>();
}  // namespace bge
