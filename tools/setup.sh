#!/usr/bin/env bash
# Creates the virtual environment with everything pinned in requirements.lock. Usage: tools/setup.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2

command -v "$python" >/dev/null || { echo "meshwise needs Python 3.11 or newer: '$python' was not found; set PYTHON=..." >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "meshwise needs Python 3.11 or newer: '$python' is $("$python" -V 2>&1); set PYTHON=..." >&2; exit 1; }

# A working copy runs its sources as they are; only a wheel is compiled.
export MESHWISE_COMPILE=0

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "setting up $venv (the first time takes a minute or two)"
if command -v uv >/dev/null; then
    uv pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements.lock
    uv pip install --quiet --python "$venv/bin/python" --no-deps --editable .
else
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
fi
