#!/bin/sh
# Set up .venv with the islet command; what is already there is kept, what broke off is resumed.
# usage: scripts/setup.sh [core|federated|dev]
#   PYTHON=python3.12      another Python than python3
#   TORCH=cpu              the CPU build of torch, a tenth of the size of the CUDA build
#   TORCH_INDEX=URL        where to find that, if the package registry does not have it;
#                          the address of an index, or a folder with the wheel
set -eu
cd "$(dirname "$0")/.."
kind=${1:-core}
python=${PYTHON:-python3}
stamp=.venv/.islet-setup

if ! command -v "$python" >/dev/null; then
    echo "There is no $python here. Install Python 3.11 or newer, then run: make setup PYTHON=python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    version=$("$python" -c 'import platform; print(platform.python_version())')
    echo "Islet needs Python 3.11 or newer; $python is $version. Name a newer one: make setup PYTHON=python3.11" >&2
    exit 1
fi
scripts/packages.sh run

# Once chosen, a build of torch stays until another is named.
torch=${TORCH:-$(cat .venv/.islet-torch 2>/dev/null || echo default)}
case $torch in
    default) torch_build="torch==2.13.0" ;;
    cpu) torch_build="torch==2.13.0+cpu" ;;
    *) echo "TORCH=$torch is not known; the choices are default and cpu." >&2; exit 1 ;;
esac

# The place is part of it: a virtual environment does not survive a move.
state=$(cat pyproject.toml packaging/constraints.txt scripts/setup.sh | "$python" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
state="$state $torch $(pwd -P)"
done_kind=$(sed -n "s|^\([a-z]*\) $state\$|\1|p" "$stamp" 2>/dev/null || true)
# Whatever is asked for: dev is everything, federated is core and more.
case "$kind $done_kind" in
    "core federated") kind=federated ;;
    "core dev" | "federated dev") kind=dev ;;
esac
if [ "$done_kind" = "$kind" ]; then
    if .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        exit 0
    fi
fi

if ! .venv/bin/python -m pip --version >/dev/null 2>&1 ||
    ! .venv/bin/pip --version >/dev/null 2>&1; then
    echo "Creating .venv"
    "$python" -m venv --clear .venv
fi
rm -f "$stamp"
echo "$torch" >.venv/.islet-torch

pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
        --root-user-action=ignore --use-pep517 -c packaging/constraints.txt "$@"
}
case $kind in
    core) what=. ;;
    federated) what='.[federated]' ;;
    dev) what='.[dev]' ;;
    *) echo "usage: scripts/setup.sh [core|federated|dev]" >&2; exit 1 ;;
esac
echo "Installing Islet into .venv: some gigabytes, some minutes (TORCH=cpu makes it smaller)"
where=
if [ -n "${TORCH_INDEX:-}" ]; then
    if [ -d "$TORCH_INDEX" ]; then where=--find-links; else where=--extra-index-url; fi
fi
if ! pip_install ${where:+$where "$TORCH_INDEX"} "$torch_build" -e "$what"; then
    echo "The installation broke off; what went wrong is said above. The same command resumes it." >&2
    if [ "$torch" = cpu ] && [ -z "${TORCH_INDEX:-}" ]; then
        echo "If it is the CPU build that was not found, name an index that has it:" >&2
        echo "  make setup TORCH=cpu TORCH_INDEX=URL" >&2
    fi
    exit 1
fi
.venv/bin/islet --version >/dev/null
echo "$kind $state" >"$stamp"
echo "Islet is set up: .venv/bin/islet"
