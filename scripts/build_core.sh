#!/usr/bin/env bash
# Builds the core by a preset of CMakePresets.json and prints a folder that, put into PYTHONPATH,
# makes this checkout's package with that core win over an installed one.
#   scripts/build_core.sh PRESET
# Wants a Python with pybind11, cmake and ninja (`pip install '.[test,reliability]'`).
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
build=build/$preset
{
  cmake --preset "$preset" \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
  cmake --build "$build" -j"${JOBS:-1}"
  rm -rf "$build/site"
  mkdir -p "$build/site"
  cp -rs "$PWD/python/bge_micro" "$build/site/" # links: the Python files are those of the checkout
  cmake --install "$build" --prefix "$build/site"
} >&2
echo "$PWD/$build/site"
