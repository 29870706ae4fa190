#!/usr/bin/env bash
# Builds the wheel of HEAD twice, in two folders, with the packages locked in constraints/build.txt.
# Fails if the bytes differ.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The commit's time becomes the time of the wheel's entries.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
python -m venv "$work/venv"
export PATH="$work/venv/bin:$PATH"
pip install -q --require-hashes -r constraints/build.txt
for name in first another-folder; do
  mkdir -p "$work/$name"
  git archive HEAD | tar -x -C "$work/$name"
  pip wheel -q --no-deps --no-build-isolation -w "$work/$name/out" "$work/$name"
done
cd "$work"
sha256sum ./*/out/*.whl
cmp first/out/*.whl another-folder/out/*.whl
echo "the same bytes"
