#!/bin/sh
# Make the bundled sample again: one phantom with an enhancing lesion, seen in the arterial phase.
set -eu
cd "$(dirname "$0")/.."
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
.venv/bin/islet phantom --out "$made/cases" --seed "${SEED:-5}" --lesion 1 --phase arterial --thickness 2
mkdir -p resources/sample
mv "$made"/cases/*/ct.nii.gz resources/sample/phantom.nii.gz
echo "Wrote resources/sample/phantom.nii.gz"
