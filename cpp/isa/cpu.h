// What the CPU can do and the operating system allows.
#pragma once

#include <string>

namespace bge {

struct CpuFeatures {
  bool baseline = true;       // what every CPU of the architecture has
  bool sse41 = false;         // SSE4.1 and all before it
  bool avx2_fma = false;      // AVX2 and FMA; the OS saves ymm
  bool avx_vnni = false;      // as above, and AVX-VNNI
  bool avx512_vnni = false;   // AVX-512 F, BW, DQ, VL, VNNI; the OS saves zmm and masks
  bool amx_int8 = false;      // as above, and AMX-INT8; the OS lets this process use the tiles
  bool neon_dotprod = false;  // ARMv8.2 dot product
  bool neon_i8mm = false;     // as above, and 8-bit matrix products
  std::string amx_refused;    // why not, if the CPU has it and the OS enables it for others
};

// On a CPU with AMX this asks Linux for the permission to use it, for the whole process.
CpuFeatures detect_cpu();

}  // namespace bge
