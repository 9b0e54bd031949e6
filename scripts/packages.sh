#!/bin/sh
# Install the system packages of the named groups, or say the command that does.
# usage: scripts/packages.sh GROUP...      (groups: see packaging/system-packages.txt)
set -eu
cd "$(dirname "$0")/.."

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Of the names that a package has had, say the first one apt knows here, or the last one.
name_here() {
    for name in $(echo "$1" | tr '|' ' '); do
        if apt-cache show "$name" >/dev/null 2>&1; then
            break
        fi
    done
    echo "$name"
}

missing() {
    sed -e 's/#.*//' packaging/system-packages.txt | while read -r group names; do
        case " $* " in *" $group "*) ;; *) continue ;; esac
        found=no
        for name in $(echo "$names" | tr '|' ' '); do
            if installed "$name"; then found=yes; fi
        done
        if [ $found = no ]; then echo "$names"; fi
    done
    # Debian takes venv out of Python; Python from elsewhere has it.
    python=${PYTHON:-python3}
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        case $python in
            */*|python3) echo python3-venv ;;
            *) echo "$python-venv" ;;
        esac
    fi
}

if ! command -v dpkg-query >/dev/null; then
    echo "This is neither Debian nor Ubuntu; if a library is missing, see packaging/system-packages.txt." >&2
    exit 0
fi

lacking=$(missing "$@")
if [ -z "$lacking" ]; then
    exit 0
fi

become=
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        names=$(for line in $lacking; do name_here "$line"; done | tr '\n' ' ')
        echo "Some system packages are missing. Run this line, or ask an administrator to:" >&2
        echo "  sudo apt-get update && sudo apt-get install --no-install-recommends -y ${names% }" >&2
        echo "Then run make again." >&2
        exit 1
    fi
    become="sudo -n"
fi

$become apt-get update -qq
names=$(for line in $lacking; do name_here "$line"; done | tr '\n' ' ')
echo "Installing system packages: ${names% }"
# shellcheck disable=SC2086 # the names are words, none holds a space
$become env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $names >/dev/null
