// avxvnni with the other encoding of its instruction. A CPU that has it also has avx512vnni, which
// is faster; it exists to test the source of avxvnni on such CPUs.
#include "isa/lanes_avxvnni.h"
#include "isa/tables.h"
#include "kernels/make_table.h"

namespace bge {
constexpr KernelTable kAvx512VlVnniKernels = make_table<AvxVnni>();
}  // namespace bge
