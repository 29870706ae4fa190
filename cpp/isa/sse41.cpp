#include "isa/lanes_sse41.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kSse41Kernels = make_table<Sse41>();
}  // namespace bge
