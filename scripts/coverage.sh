#!/usr/bin/env bash
# Line coverage of the tests: of Python by coverage.py, of C++ by gcov.
#   scripts/coverage.sh [pytest arguments]
# Only what this machine's instruction sets run can be covered. Wants GCC, coverage and gcovr.
set -euo pipefail
cd "$(dirname "$0")/.."
export CXX=${CXX:-g++}
site=$(scripts/build_core.sh coverage)
find build/coverage -name '*.gcda' -delete
export PYTHONPATH=$site COVERAGE_FILE=$PWD/build/coverage/data COVERAGE_PROCESS_START=$PWD/pyproject.toml
# Programs that tests start are covered too: coverage starts in each, by a .pth file of its own.
python -m coverage run -m pytest --ignore=tests/core/test_object_files.py "$@" || failed=$?
python -m coverage combine -q
python -m coverage report --skip-covered --sort=cover
gcovr --root . --filter 'cpp/' --object-directory build/coverage --sort uncovered-percent \
  --exclude-throw-branches --gcov-executable "${GCOV:-gcov}" --txt-metric line
exit "${failed:-0}"
