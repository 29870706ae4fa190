#!/usr/bin/env bash
# clang-tidy over the core, by the rules of .clang-tidy: clean or an exit code.
#   scripts/tidy.sh [files, all by default]
# Reads the commands of a build by the preset "asan", or of the one that PRESET names.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${PRESET:-asan}
CXX=${CXX:-clang++} cmake --preset "$preset" -B "build/tidy" \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)" >&2
# Not those for other CPUs, nor the one that only a build with OpenMP has.
[[ $# -gt 0 ]] || mapfile -t files < <(git ls-files 'cpp/*.cpp' | grep -v -e /neon -e /openmp)
exec clang-tidy -p build/tidy --quiet "${files[@]:-$@}"
