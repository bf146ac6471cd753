#!/usr/bin/env bash
# conformance.sh: `make conformance`. One suite against Dovecot, Courier, GreenMail and popa3d, which are fetched if they
# are not here. Arguments go to pytest, as in `hack/conformance.sh -k Courier-POP3`.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "make conformance needs root: Courier and popa3d run in namespaces of their own" >&2; exit 1; }
hack/deps.sh
for server in courier popa3d greenmail; do hack/conformance-servers.sh "$server" > /dev/null; done
exec "$(hack/venv.sh)/bin/python" -m pytest -q tests/conformance "$@"
