#!/usr/bin/env bash
# Runs the test suite with a core built with sanitizers; any finding fails the run.
#   scripts/sanitize.sh asan [pytest arguments]   addresses, leaks, undefined behaviour
#   scripts/sanitize.sh tsan [pytest arguments]   data races and lock order
# Without arguments it runs all tests that suit a sanitizer: docs/reliability.md.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
site=$(scripts/build_core.sh "$preset")

# Python itself is not instrumented, so the runtime must be loaded before it.
runtime() { "${CXX:-c++}" -print-file-name="$1"; }
export PYTHONPATH=$site PYTHONMALLOC=malloc
plugins=()
case $preset in
  asan)
    export LD_PRELOAD="$(runtime libasan.so) $(runtime libubsan.so)"
    # Failed allocations throw, as without a sanitizer. New and freed memory is filled with a
    # pattern, and using a stack variable after its function has returned is an error.
    export ASAN_OPTIONS="allocator_may_return_null=1:detect_stack_use_after_return=1:strict_init_order=1:leak_check_at_exit=0"
    export UBSAN_OPTIONS="print_stacktrace=1"
    export LSAN_OPTIONS="suppressions=$PWD/scripts/sanitizers/lsan.supp"
    plugins=(-p leak_check)
    PYTHONPATH+=:$PWD/scripts/sanitizers
    # Not run: tests of time, memory or this machine's limits, which a sanitizer changes; tests that
    # read object files or count instructions; tests that only start other programs; and all golden
    # texts in float32, which would take longer than all other tests together.
    tests=(tests/core tests/invariance tests/checkpoint tests/tokenization tests/api tests/reliability
      --ignore=tests/core/test_object_files.py --ignore=tests/core/test_instruction_count.py
      --ignore=tests/api/test_imports.py --ignore=tests/api/test_interrupt.py
      --ignore=tests/reliability/test_memory.py
      -k "not (test_all_texts and float32)"
      --deselect=tests/api/test_threads.py::test_threads_are_few_and_sleep
      --deselect=tests/api/test_threads.py::test_when_no_thread_can_be_started
      # A forked child waits for ever for the lock of ASan's allocator (before GCC 14).
      --deselect=tests/api/test_fork.py::test_while_another_thread_encodes)
    ;;
  tsan)
    export LD_PRELOAD="$(runtime libtsan.so)"
    export TSAN_OPTIONS="suppressions=$PWD/scripts/sanitizers/tsan.supp:halt_on_error=0:exitcode=66:second_deadlock_stack=1"
    # NumPy's OpenBLAS would start its own threads, whose waiting TSan does not see.
    export OPENBLAS_NUM_THREADS=1
    # Random work of 32 threads is some twenty times slower: one call per thread instead of twelve.
    export BGE_MICRO_TEST_CALLS=1
    # All tests in which the core starts threads, but no program that forks beside threads: TSan
    # cannot follow it.
    tests=(tests/api/test_threads.py tests/core/test_model.py tests/invariance/test_batching.py
      tests/reliability/test_threads.py
      --deselect=tests/api/test_threads.py::test_threads_are_few_and_sleep
      --deselect=tests/api/test_threads.py::test_when_no_thread_can_be_started)
    ;;
  *)
    echo "usage: scripts/sanitize.sh asan|tsan [pytest arguments]" >&2
    exit 2
    ;;
esac
# Options alone, such as -q, do not change which tests run.
for argument in "$@"; do [[ $argument == -* ]] || tests=(); done
# pytest captures only Python's output, so that a sanitizer's report reaches the terminal.
exec setarch --addr-no-randomize python -m pytest --capture=sys "${plugins[@]}" "${tests[@]}" "$@"
