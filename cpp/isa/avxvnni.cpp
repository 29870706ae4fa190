#include "isa/lanes_avxvnni.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kAvxVnniKernels = make_table<AvxVnni>();
}  // namespace bge
