#!/bin/sh
# Train the starter and its localiser again on phantoms, and evaluate it on others.
# Interrupted, it goes on. About 3 hours on two cores. The results are in build/starter; copying
# them is up to you.
set -eu
cd "$(dirname "$0")/.."
islet=.venv/bin/islet
[ -d build/phantoms ] || $islet phantom --cases 240 --seed 1 --format dataset --out build/phantoms
[ -d build/held-out ] || $islet phantom --cases 60 --seed 9 --format dataset --out build/held-out
# Every case trains: what is left to judge it by are the other phantoms.
$islet train starter --size full --fold all --data build/phantoms --run build/starter --resume
rm -rf build/starter/evaluation
$islet evaluate starter --data build/held-out --weights build/starter/weights.safetensors \
    --out build/starter/evaluation
