#!/bin/sh
# Make an environment of nnU-Net's own, for `islet benchmark training --nnunet DIR/bin/python`.
# usage: packaging/nnunet/make_environment.sh DIR
set -eu
if [ $# -ne 1 ]; then
    echo "usage: $0 DIR" >&2
    exit 2
fi
"${PYTHON:-python3}" -m venv "$1"
# Without a graphics card the CPU build does, at a tenth of the size.
if command -v nvidia-smi >/dev/null 2>&1; then
    "$1/bin/python" -m pip install --quiet torch==2.13.0
else
    "$1/bin/python" -m pip install --quiet torch==2.13.0 \
        --extra-index-url https://download.pytorch.org/whl/cpu
fi
"$1/bin/python" -m pip install --quiet nnunetv2==2.8.1 torch==2.13.0
echo "Ready: islet benchmark training --nnunet $1/bin/python"
