#!/usr/bin/env bash
# paths.sh: every instruction set that QEMU can run, on the oldest CPU that has it: some golden texts
# in both compute types, and the kernel tests of int8 linears and attention. Takes ten minutes.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
failed=0

# path SCRIPT CPU INSTRUCTION-SET
path() {
  export BGE_MICRO_ISA=$3 # texts of up to 40 tokens: a token in float32 takes QEMU 30 ms and more
  "$here/$1" "$2" -- tests/golden/make_digests.py --check --max-tokens 40 --rows 0::16 || failed=1
  [[ $3 == scalar ]] || "$here/$1" "$2" -- -m pytest -q -k "$3 and not float32" \
    tests/core/test_linear_int8.py tests/core/test_attention.py || failed=1
}

path x86_64.sh Nehalem scalar
path x86_64.sh Nehalem sse41
path x86_64.sh Haswell avx2
path aarch64.sh cortex-a72 neon
path aarch64.sh neoverse-n1 neon_dotprod
path aarch64.sh max neon_i8mm
exit "$failed"
