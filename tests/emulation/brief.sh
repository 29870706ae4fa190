#!/usr/bin/env bash
# brief.sh [PYTHON]: the part of paths.sh that .ci/run runs: every instruction set that QEMU can run
# gives the golden bytes of some texts. Arm's also pass kernel tests here; x86's pass them without QEMU.
# PYTHON (python3) has the package installed: x86 CPUs run that, so that only Arm needs a build.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$(command -v "${1:-python3}")
failed=0
golden=(tests/golden/make_digests.py --check --rows 0::16)
kernels="any_number_of_rows or any_kind_of_weights or extreme_codes or hard_text"

# x86 CPU INSTRUCTION-SET
x86() {
  BGE_MICRO_ISA=$2 QEMU_CPU=$1,-pcid,-x2apic,-tsc-deadline,-invpcid,-hle,-rtm \
    qemu-x86_64-static "$python" "${golden[@]}" --max-tokens 10 || failed=1
}

# arm CPU INSTRUCTION-SET
arm() {
  export BGE_MICRO_ISA=$2
  "$here/aarch64.sh" "$1" -- "${golden[@]}" --max-tokens 24 || failed=1
  "$here/aarch64.sh" "$1" -- -m pytest -q -k "$2 and int8 and ($kernels)" \
    tests/core/test_linear_int8.py tests/core/test_attention.py || failed=1
}

cd "$here/../.."
arm cortex-a72 neon
arm neoverse-n1 neon_dotprod
arm max neon_i8mm
if [[ $(uname -m) == x86_64 ]]; then
  x86 Nehalem scalar
  x86 Nehalem sse41
  x86 Haswell avx2
fi
exit "$failed"
