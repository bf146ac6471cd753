#!/usr/bin/env bash
# lock.sh: renews requirements*.txt from pyproject.toml: every version with its hashes, no index URLs.
set -euo pipefail
cd "$(dirname "$0")/.."
D=$(mktemp -d); trap 'rm -rf "$D"' EXIT
python3 -m venv "$D" && "$D/bin/python" -m pip install -q uv
lock() { "$D/bin/uv" pip compile -q --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
  --custom-compile-command "make lock" "$@"; }
lock pyproject.toml --extra operator --extra fetcher -o requirements.txt
lock -c requirements.txt pyproject.toml --extra operator --extra fetcher --extra embedded --group dev -o requirements-dev.txt
lock requirements-build.in -o requirements-build.txt
lock tests/cluster/go.in -o tests/cluster/go.txt
