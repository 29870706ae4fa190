// What the CPU can do and the operating system lets it do.
#pragma once

namespace bge {

struct CpuFeatures {
  bool avx2_fma = false;      // AVX2 and FMA; the OS saves ymm
  bool avx512_vnni = false;   // AVX-512 F, BW, DQ, VL, VNNI; the OS saves zmm and masks
  bool neon = false;          // always, on aarch64
  bool neon_dotprod = false;  // ARMv8.2 dot product
};

CpuFeatures detect_cpu();

}  // namespace bge
