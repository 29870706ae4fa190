#!/usr/bin/env bash
# Fuzzes the code that reads input from outside, until a number of executions or a finding.
#   scripts/fuzz.sh TARGET|all [executions [libFuzzer's arguments]]
# Targets: core, safetensors, offsets, settings, tokenizer, server, http_bytes, index.
# The default is a million executions. For example, -max_total_time=600 ends a run after ten minutes.
# Inputs that reach new code are kept in build/fuzz/corpus; a finding is written to build/fuzz.
# The Python targets need atheris, and the server's also the extra "server"; the core's needs Clang
# (for example CXX=clang++-19).
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
runs=${2:-1000000}
shift $(($# < 2 ? $# : 2))
if [[ $target == all ]]; then
  for each in core safetensors offsets settings tokenizer server http_bytes index; do
    "$0" "$each" "$runs" "$@"
  done
  exit
fi
mkdir -p "build/fuzz/corpus/$target"
# Longer texts would only take more time: a byte of the input becomes up to 110 characters.
most=2048
[[ $target != tokenizer ]] || most=300
arguments=("build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" -runs="$runs" -max_len=$most
  -timeout=30 -artifact_prefix="build/fuzz/$target-" -print_final_stats=1 -verbosity=1 "$@")
if [[ $target == core ]]; then
  {
    CXX=${CXX:-clang++} cmake --preset fuzz \
      -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$(command -v python)"
    cmake --build build/fuzz -j"${JOBS:-1}"
  } >&2
  exec build/fuzz/fuzz_core "${arguments[@]}"
fi
PYTHONPATH=tests${PYTHONPATH:+:$PYTHONPATH} exec python -m fuzz.run "$target" "${arguments[@]}"
