#!/bin/sh
# Make the pictures of the README: the bundled sample, and a cystic lesion of another patient.
set -eu
cd "$(dirname "$0")/.."
export LC_ALL="${LC_ALL:-C.UTF-8}"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
.venv/bin/islet phantom --out "$made/cases" --seed 11 --lesion 2 --phase arterial --thickness 2
mkdir -p docs/pictures

take() {
    QT_QPA_PLATFORM=offscreen .venv/bin/islet view "$1" --analyse --system starter \
        --screenshot "docs/pictures/$2" --size 1600x1000
    echo "Wrote docs/pictures/$2"
}
take resources/sample/phantom.nii.gz sample.png
take "$made"/cases/*/ct.nii.gz cystic.png
