#!/usr/bin/env bash
# Builds the core by a preset of CMakePresets.json and prints a folder. With it in PYTHONPATH, Python
# imports this checkout's package with that core instead of an installed one.
#   scripts/build_core.sh PRESET [NAME]   builds in build/NAME, by default build/PRESET
# Needs a Python with the extra "reliability". CXX chooses the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
build=build/${2:-$preset}
{
  cmake --preset "$preset" -B "$build" \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
  cmake --build "$build" -j"${JOBS:-1}"
  rm -rf "$build/site"
  mkdir -p "$build/site"
  cp -rs "$PWD/python/bge_micro" "$build/site/" # links: the Python files are those of the checkout
  cmake --install "$build" --prefix "$build/site"
  # An editable install wins over PYTHONPATH: its own core would be tested instead of this one.
  found=$(PYTHONPATH=$PWD/$build/site python -c "import bge_micro; print(bge_micro.__file__)")
  if [[ $found != "$PWD/$build/site/"* ]]; then
    echo "python imports $found: use an environment without an editable install of bge-micro"
    exit 1
  fi
} >&2
echo "$PWD/$build/site"
