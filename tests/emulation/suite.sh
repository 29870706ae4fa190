#!/usr/bin/env bash
# suite.sh [PYTEST-ARGUMENT ...]: the whole test suite on every emulated CPU; takes hours.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
failed=0
"$here/x86_64.sh" -- -m pytest "$@" || failed=1
"$here/aarch64.sh" -- -m pytest "$@" || failed=1
exit "$failed"
