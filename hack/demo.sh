#!/usr/bin/env bash
# demo.sh [down]: `make demo` and `make demo-down`. Installs what is missing, then tells the story (hack/demo).
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "make demo needs root: it runs a Kubernetes node in namespaces of its own. Try: sudo make demo" >&2; exit 1; }
if [ "${1:-up}" = up ]; then
  command -v go >/dev/null || { echo "make demo needs Go 1.26 or newer, to compile Kubernetes: install it and put it in PATH." >&2; exit 1; }
  hack/deps.sh
fi
V=$(hack/venv.sh)
exec "$V/bin/python" -m hack.demo "${1:-up}"
