#!/usr/bin/env bash
# Fuzzes what reads input from outside: so many executions, or until something is found.
#   scripts/fuzz.sh core|safetensors|offsets|settings|tokenizer|server|index|all [executions [libFuzzer's arguments]]
# Without a number, a million. -max_total_time=600, for one, ends a run after ten minutes.
# New inputs that reach new code are kept in build/fuzz/corpus; a finding is written to build/fuzz.
# The Python targets want atheris, of these the server's what the server wants; the core's wants Clang
# (CXX=clang++-19, say).
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
runs=${2:-1000000}
shift $(($# < 2 ? $# : 2))
if [[ $target == all ]]; then
  for each in core safetensors offsets settings tokenizer server index; do "$0" "$each" "$runs" "$@"; done
  exit
fi
mkdir -p "build/fuzz/corpus/$target"
# Longer texts only take longer: a byte of the input is up to 110 characters.
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
