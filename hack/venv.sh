#!/usr/bin/env bash
# venv.sh: prints the path of the project's virtual environment; makes it first if it is not there.
# It lives in the cache, keyed by the interpreter, the lock file and the checkout (the package is
# installed editable), so a second run does nothing and two checkouts never share one.
set -euo pipefail
cd "$(dirname "$0")/.."
PY=${PYTHON:-python3}
"$PY" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Mailfetch needs Python 3.11 or newer; '$PY' is $("$PY" --version 2>&1). Set PYTHON=/path/to/python3.11." >&2; exit 1; }
# From inside a virtual environment the same one must come out.
PY=$("$PY" -c 'import os, sys; print(getattr(sys, "_base_executable", "") or os.path.realpath(sys.executable))')
KEY=$( { "$PY" -c 'import sys; print(sys.version, sys.prefix)'; cat requirements-dev.txt pyproject.toml; pwd; } | sha256sum | cut -c1-16)
V=${XDG_CACHE_HOME:-$HOME/.cache}/mailfetch/venv/$KEY
if [ ! -f "$V/ready" ]; then
  mkdir -p "$(dirname "$V")"
  exec 9>"$V.lock"; flock 9
  if [ ! -f "$V/ready" ]; then
    echo "making the virtual environment (once) …" >&2
    rm -rf "$V"
    "$PY" -m venv "$V" >&2 || { echo "could not make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
    "$V/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt >&2
    "$V/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
    touch "$V/ready"
  fi
fi
echo "$V"
