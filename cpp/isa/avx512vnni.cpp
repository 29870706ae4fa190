#include "isa/lanes_avx512.h"
#include "isa/search_avx512.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kAvx512VnniKernels = make_table<Avx512Vnni>();
}  // namespace bge
