#!/usr/bin/env bash
# Run every test, and fail also where pytest passed but its process died on the way out.
# usage: scripts/test.sh [PYTEST ARGUMENTS]
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL="${LC_ALL:-C.UTF-8}"
# The tests draw off screen; those that need a display start one of their own.
unset DISPLAY WAYLAND_DISPLAY
# Two test processes share the cores; threads of each would only wait for one another.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

code=0
# One process per file: Qt objects of one file never meet those of another.
# No restarts: after one, the last test would be waited for for ever.
.venv/bin/python -X faulthandler -m pytest -n 2 --dist loadfile \
    --max-worker-restart 0 "$@" 2> >(tee "$errors" >&2) || code=$?
# tee may still be writing.
wait
if grep -q "Fatal Python error" "$errors"; then
    echo "A process died: see 'Fatal Python error' above." >&2
    exit 1
fi
exit "$code"
