#!/usr/bin/env bash
# Builds the wheel twice from the same commit, in two folders, and compares: the same bytes or an
# exit code. Build requirements are those of constraints/build.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The time of the commit: what zip entries say of files that the build makes.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH PIP_CONSTRAINT=$PWD/constraints/build.txt
for name in first another-folder; do
  mkdir -p "$work/$name"
  git archive HEAD | tar -x -C "$work/$name"
  python -m pip wheel -q --no-deps -w "$work/$name/out" "$work/$name"
done
cd "$work"
sha256sum ./*/out/*.whl
cmp first/out/*.whl another-folder/out/*.whl && echo "the same bytes"
