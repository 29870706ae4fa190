#!/usr/bin/env bash
# suite.sh [--full] [CPU ...] [-- PYTEST-ARGUMENT ...]: the test suite on the emulated CPUs, by
# default on all five; each tests the instruction set that it has beyond the others. What
# left_out.txt names is run with --full only, which takes days.
set -eu
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

selection=() without_fma=(-k "not float32") # emulated twice: by QEMU and by ourselves
if [[ ${1:-} == --full ]]; then
  without_fma=()
  shift
else
  while read -r test _; do
    case $test in
      tests/*::*) selection+=("--deselect=$test") ;;
      tests/*) selection+=("--ignore=$test") ;;
    esac
  done <"$here/left_out.txt"
fi
cpus=()
while (($#)) && [[ $1 != -- ]]; do
  cpus+=("$1")
  shift
done
((${#cpus[@]})) || cpus=(max cortex-a72 Nehalem Haswell neoverse-n1)
(($# == 0)) || shift

failed=0
for cpu in "${cpus[@]}"; do
  also=() settings=()
  case $cpu in
    Nehalem) script=x86_64.sh isas=sse41 also=("${without_fma[@]}") ;;
    Haswell)
      # NumPy's own AVX2 loops, which are not tested here, crash in QEMU 7.2 after some 800 tests:
      # twice at a comparison in test_gelu_exp.py, and not without them.
      script=x86_64.sh isas=avx2 settings=(NPY_DISABLE_CPU_FEATURES=X86_V3)
      ;;
    cortex-a72) script=aarch64.sh isas=neon ;;
    neoverse-n1) script=aarch64.sh isas=neon_dotprod ;;
    max) script=aarch64.sh isas=neon_i8mm ;;
    *) echo "suite.sh knows no CPU $cpu" >&2 && exit 2 ;;
  esac
  env BGE_MICRO_TEST_ISAS="$isas" BGE_MICRO_TEST_CALLS=2 "${settings[@]}" \
    "$here/$script" "$cpu" -- -m pytest "${selection[@]}" "${also[@]}" "$@" || failed=1
done
exit "$failed"
