#include "isa/lanes_avx2.h"
#include "isa/search_avx2.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kAvx2Kernels = make_table<Avx2>();
}  // namespace bge
