#!/usr/bin/env bash
# Line coverage of the tests: of Python by coverage.py, of C++ by gcov.
#   scripts/coverage.sh [pytest arguments]
# Only what this machine's instruction sets run can be covered. Wants GCC, coverage and gcovr.
set -euo pipefail
cd "$(dirname "$0")/.."
export CXX=${CXX:-g++}
site=$(scripts/build_core.sh coverage)
find build/coverage -name '*.gcda' -delete
export PYTHONPATH=$site COVERAGE_FILE=$PWD/build/coverage/data
rm -f "$COVERAGE_FILE"*
# Not run: tests of how the core was compiled and of what an import brings along, both of which
# coverage changes; Ctrl-C at any moment, which may meet coverage's own lock; a limit to files'
# sizes, which its own file may meet; all golden texts in float32, which would take longer than all
# else together.
python -m coverage run --rcfile=pyproject.toml -m pytest --ignore=tests/core/test_object_files.py \
  --ignore=tests/core/test_instruction_count.py --ignore=tests/api/test_imports.py \
  --ignore=tests/api/test_interrupt.py \
  --deselect=tests/reliability/test_faults.py::test_no_room_for_vectors \
  -k "not (test_all_texts and float32)" "$@" || failed=$?
python -m coverage combine -q
python -m coverage report --skip-covered --sort=cover
# Inner loops run billions of times, which gcovr takes for an error of gcov's.
gcovr --root . --filter 'cpp/' --exclude-directories '.*CompilerIdCXX' \
  --object-directory build/coverage --sort uncovered-percent --exclude-throw-branches \
  --gcov-ignore-parse-errors suspicious_hits.warn_once_per_file \
  --gcov-executable "${GCOV:-gcov}" --txt-metric line
exit "${failed:-0}"
