// The machine's peak: multiply-adds a second of one instruction, in independent chains of
// registers, without loads and stores. Compiled and loaded by bench/peak.py.
#include <chrono>
#include <cstring>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// 12 chains: more than latency times throughput of any of these instructions (8), and few enough
// for the 16 registers of AVX2. TEXT has the accumulator as %0 and two operands as %1, %2. The time
// is measured in slices of some 30 us, and the best slice counts: the others were interrupted.
#define STEP(TEXT, CONSTRAINT, i) \
  __asm__ volatile(TEXT : "+" CONSTRAINT(acc[i]) : CONSTRAINT(a), CONSTRAINT(b));
// clang-format off
#define STEPS(TEXT, C)                                                                 \
  STEP(TEXT, C, 0)                                                                     \
  STEP(TEXT, C, 1)                                                                     \
  STEP(TEXT, C, 2)                                                                     \
  STEP(TEXT, C, 3)                                                                     \
  STEP(TEXT, C, 4) STEP(TEXT, C, 5) STEP(TEXT, C, 6) STEP(TEXT, C, 7) STEP(TEXT, C, 8) \
      STEP(TEXT, C, 9) STEP(TEXT, C, 10) STEP(TEXT, C, 11)
// clang-format on
#define PROBE(NAME, FEATURES, TYPE, CONSTRAINT, TEXT, MULTIPLY_ADDS) \
  __attribute__((target(FEATURES))) double NAME(double seconds) {    \
    TYPE acc[12] = {}, a = {}, b = {};                               \
    double best = 1e9;                                               \
    const Clock::time_point begin = Clock::now();                    \
    do {                                                             \
      const Clock::time_point slice = Clock::now();                  \
      for (int i = 0; i < kSteps; ++i) {                             \
        STEPS(TEXT, CONSTRAINT)                                      \
      }                                                              \
      const double took = seconds_since(slice);                      \
      if (took < best) best = took;                                  \
    } while (seconds_since(begin) < seconds);                        \
    return kSteps * 12.0 * (MULTIPLY_ADDS) / best;                   \
  }

constexpr int kSteps = 10000;

#if defined(__x86_64__)
typedef float Zmm __attribute__((vector_size(64)));
typedef float Ymm __attribute__((vector_size(32)));
PROBE(vnni512, "avx512f,avx512vnni", Zmm, "v", "vpdpbusd %2, %1, %0", 64)
PROBE(fma512, "avx512f", Zmm, "v", "vfmadd231ps %2, %1, %0", 16)
PROBE(maddubs256, "avx2", Ymm, "x", "vpmaddubsw %2, %1, %0", 32)
PROBE(fma256, "avx2,fma", Ymm, "x", "vfmadd231ps %2, %1, %0", 8)
#elif defined(__aarch64__)
#include <arm_neon.h>
PROBE(sdot128, "arch=armv8.2-a+dotprod", int32x4_t, "w", "sdot %0.4s, %1.16b, %2.16b", 16)
PROBE(smlal128, "arch=armv8-a", int32x4_t, "w", "smlal %0.4s, %1.4h, %2.4h", 4)
PROBE(fma128, "arch=armv8-a", float32x4_t, "w", "fmla %0.4s, %1.4s, %2.4s", 4)
#endif

}  // namespace

// Multiply-adds a second of an instruction, measured for some seconds; 0 for an unknown name. The
// caller must know that the CPU has the instruction.
extern "C" double peak_multiply_adds(const char* name, double seconds) {
#define RUN(NAME) \
  if (std::strcmp(name, #NAME) == 0) return NAME(seconds);
#if defined(__x86_64__)
  RUN(vnni512);
  RUN(fma512);
  RUN(maddubs256);
  RUN(fma256);
#elif defined(__aarch64__)
  RUN(sdot128);
  RUN(smlal128);
  RUN(fma128);
#endif
  return 0;
}
