#include "isa/lanes_neon.h"
#include "isa/search_neon.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kNeonDotprodKernels = make_table<NeonDotprod>();
}  // namespace bge
