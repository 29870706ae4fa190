#!/usr/bin/env bash
# Runs the tests of threads and forks with cores that use OpenMP's threads.
#   scripts/openmp.sh [compilers, by default g++ for GNU's runtime and clang++ for LLVM's]
set -euo pipefail
cd "$(dirname "$0")/.."
[[ $# -gt 0 ]] || set -- g++ clang++
for compiler in "$@"; do
  site=$(CXX=$compiler scripts/build_core.sh openmp "openmp-$compiler")
  echo "== $compiler: $(PYTHONPATH=$site python -c 'from bge_micro import _core as c; print(c.parallel_backend, c.__file__)')"
  # Not run: tests of what only the core's own pool does (parallel.h): sleep at once, no wake-up for
  # brief work, fewer threads if none can be started.
  PYTHONPATH=$site python -m pytest -q tests/reliability/test_threads.py tests/api/test_threads.py \
    tests/api/test_fork.py tests/api/test_interrupt.py tests/invariance tests/core/test_model.py \
    --deselect=tests/api/test_threads.py::test_threads_are_few_and_sleep \
    --deselect=tests/api/test_threads.py::test_when_no_thread_can_be_started \
    --deselect=tests/core/test_model.py::test_brief_work_does_not_wake_workers_that_have_slept_long
done
