#!/usr/bin/env bash
# demo.sh [down]: `make demo` and `make demo-down`. Installs what is missing, then tells the story (hack/demo).
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "make demo needs root: it runs a Kubernetes node in namespaces of its own. Try: sudo make demo" >&2; exit 1; }
[ "${1:-up}" = down ] || hack/deps.sh
V=$(hack/venv.sh)
exec "$V/bin/python" -m hack.demo "${1:-up}"
