#!/bin/sh
# Makes the virtual environment $1 with $PYTHON, or says which system packages are missing.
set -eu
venv=$1
python=${PYTHON:-python3}
cc=${CC:-cc}

missing() {
    echo "bertc needs $1. On Debian or Ubuntu: apt-get install $2" >&2
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Running as root, so installing it now." >&2
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $2 >&2
    else
        exit 1
    fi
}

have_header() {
    printf '#include <%s>\n' "$1" | $cc $2 -E -x c - >/dev/null 2>&1
}

command -v "$python" >/dev/null || missing "Python 3.10 or newer" "python3 python3-venv python3-dev"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "bertc needs Python 3.10 or newer; $python is $("$python" -V). Choose another: make PYTHON=python3.12" >&2
    exit 1
}
command -v "$cc" >/dev/null || missing "a C compiler" "gcc libc6-dev"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing "Python's venv module" "python3-venv"
have_header zlib.h "" || missing "zlib's header" "zlib1g-dev"
include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
have_header Python.h "-I$include" || missing "Python's headers" "python3-dev"

[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
