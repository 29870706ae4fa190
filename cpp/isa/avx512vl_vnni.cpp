// avxvnni in the other encoding of its instruction. Never the best of a CPU, which has avx512vnni
// then, but there it tests what avxvnni is made of.
#include "isa/lanes_avxvnni.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kAvx512VlVnniKernels = make_table<AvxVnni>("avx512vl_vnni");
}  // namespace bge
