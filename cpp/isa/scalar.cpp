#include "isa/lanes_scalar.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kScalarKernels = make_table<Scalar>();
}  // namespace bge
