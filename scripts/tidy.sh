#!/usr/bin/env bash
# Runs clang-tidy on the core by the rules of .clang-tidy; a finding fails the run.
#   scripts/tidy.sh [files, all by default]
# Reads the compiler's commands from a build by the preset "asan", or by the one that PRESET names.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${PRESET:-asan}
CXX=${CXX:-clang++} cmake --preset "$preset" -B "build/tidy" \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)" >&2
# Without the files for other CPUs, and the one that only a build with OpenMP has.
[[ $# -gt 0 ]] || mapfile -t files < <(git ls-files 'cpp/*.cpp' | grep -v -e /neon -e /openmp)
exec clang-tidy -p build/tidy --quiet "${files[@]:-$@}"
