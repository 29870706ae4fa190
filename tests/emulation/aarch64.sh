#!/usr/bin/env bash
# aarch64.sh [CPU ...] [-- PYTHON-ARGUMENT ...]: the project on 64-bit Arm CPUs, emulated by QEMU.
source "$(dirname "$0")/common.sh"

split_arguments "$@"
make_root arm64
build_project arm64
((${#cpus[@]})) || cpus=(cortex-a72 neoverse-n1 max) # NEON only; with dot product; everything
run_on_cpus arm64 "${cpus[@]}"
