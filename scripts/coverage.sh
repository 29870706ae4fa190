#!/usr/bin/env bash
# Line coverage of the tests: of Python by coverage.py, of C++ by gcov.
#   scripts/coverage.sh [pytest arguments]
# It covers only the instruction sets of this machine. Needs GCC, coverage and gcovr.
set -euo pipefail
cd "$(dirname "$0")/.."
export CXX=${CXX:-g++}
site=$(scripts/build_core.sh coverage)
find build/coverage -name '*.gcda' -delete
export PYTHONPATH=$site COVERAGE_FILE=$PWD/build/coverage/data
rm -f "$COVERAGE_FILE"*
# Not run: tests of how the core was compiled and of which modules an import loads, because coverage
# changes both; Ctrl-C at any moment, because it may interrupt coverage's own lock; a limit on file
# sizes, because coverage's file may exceed it; all golden texts in float32, because they would take
# longer than all other tests together.
python -m coverage run --rcfile=pyproject.toml -m pytest --ignore=tests/core/test_object_files.py \
  --ignore=tests/core/test_instruction_count.py --ignore=tests/api/test_imports.py \
  --ignore=tests/api/test_interrupt.py \
  --deselect=tests/reliability/test_faults.py::test_no_room_for_vectors \
  -k "not (test_all_texts and float32)" "$@" || failed=$?
python -m coverage combine -q
python -m coverage report --skip-covered --sort=cover
# Inner loops run billions of times; gcovr would report that as an error of gcov.
gcovr --root . --filter 'cpp/' --exclude-directories '.*CompilerIdCXX' \
  --object-directory build/coverage --sort uncovered-percent --exclude-throw-branches \
  --gcov-ignore-parse-errors suspicious_hits.warn_once_per_file \
  --gcov-executable "${GCOV:-gcov}" --txt-metric line
exit "${failed:-0}"
