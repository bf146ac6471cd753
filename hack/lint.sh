#!/usr/bin/env bash
# lint.sh: formatting, lint, types, layers, generated files. Each tool says what to do about what it finds.
set -euo pipefail
cd "$(dirname "$0")/.."
V=$(hack/venv.sh)
"$V/bin/ruff" format --check -q operator fetcher tests hack || { echo "not formatted: run make format" >&2; exit 1; }
"$V/bin/ruff" check -q operator fetcher tests hack
"$V/bin/mypy"
"$V/bin/lint-imports" --no-cache
"$V/bin/python" hack/generate.py --check
