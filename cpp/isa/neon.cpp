#include "isa/lanes_neon.h"
#include "isa/search_neon.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kNeonKernels = make_table<NeonBase>();
}  // namespace bge
