#!/usr/bin/env bash
# x86_64.sh [CPU ...] [-- PYTHON-ARGUMENT ...]: the project on older x86 CPUs, emulated by QEMU.
source "$(dirname "$0")/common.sh"

split_arguments "$@"
make_root amd64
build_project amd64
((${#cpus[@]})) || cpus=(Nehalem Haswell) # SSE4.2, the least NumPy accepts; AVX2 and FMA
# Off: what QEMU does not emulate and would warn about at every start.
run_on_cpus amd64 "${cpus[@]/%/,-pcid,-x2apic,-tsc-deadline,-invpcid,-hle,-rtm}"
