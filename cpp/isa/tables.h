// The tables of all ISA files. `extern const` makes the constexpr definitions visible to dispatch;
// they are constant-initialised: nothing of an ISA file runs before it is chosen.
#pragma once

#include "kernels/table.h"

namespace bge {

extern const KernelTable kScalarKernels;
#if defined(BGE_MICRO_X86)
extern const KernelTable kSse41Kernels;
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvxVnniKernels;
extern const KernelTable kAvx512VlVnniKernels;
extern const KernelTable kAvx512VnniKernels;
#elif defined(BGE_MICRO_ARM64)
extern const KernelTable kNeonKernels;
extern const KernelTable kNeonDotprodKernels;
extern const KernelTable kNeonI8mmKernels;
#endif

}  // namespace bge
