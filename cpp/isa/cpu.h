// What the CPU can do and the operating system allows.
#pragma once

namespace bge {

struct CpuFeatures {
  bool baseline = true;       // what every CPU of the architecture has
  bool sse41 = false;         // SSE4.1 and all before it
  bool avx2_fma = false;      // AVX2 and FMA; the OS saves ymm
  bool avx_vnni = false;      // as above, and AVX-VNNI
  bool avx512_vnni = false;   // AVX-512 F, BW, DQ, VL, VNNI; the OS saves zmm and masks
  bool neon_dotprod = false;  // ARMv8.2 dot product
  bool neon_i8mm = false;     // as above, and 8-bit matrix products
};

CpuFeatures detect_cpu();

}  // namespace bge
