#!/usr/bin/env bash
# test.sh: `make test`. Stages one after another, each with its time; the first failing stage ends the run.
# Kubernetes is compiled in the background from the first second on, because it takes longest when nothing is cached.
set -uo pipefail
cd "$(dirname "$0")/.."
START=$SECONDS TIMES=()
OUT=$(mktemp -d)
BUILD=
finish() {
  status=$?
  [ -z "$BUILD" ] || { kill -- -"$BUILD" 2>/dev/null || :; }
  rm -rf "$OUT"
  printf '\n%-14s %6s\n' stage seconds
  for line in "${TIMES[@]}"; do printf '%-14s %6d\n' ${line}; done
  printf '%-14s %6d\n' all $((SECONDS - START))
  [ "$status" = 0 ] && echo "make test: everything passed" || echo "make test: FAILED in stage '$STAGE'"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM
STAGE=start
stage() {
  STAGE=$1; shift
  local began=$SECONDS
  echo; echo "── $STAGE ──"
  "$@"; local status=$?
  TIMES+=("$STAGE $((SECONDS - began))")
  [ "$status" = 0 ] || exit "$status"
}
kubernetes() {
  if kill -0 "$BUILD" 2>/dev/null; then
    echo "waiting for the compile of Kubernetes (its progress: one line every 15 seconds)"
    tail -n 1 -F "$OUT/build.log" --pid="$BUILD" 2>/dev/null
  fi
  wait "$BUILD"; local status=$?
  [ "$status" = 0 ] || cat "$OUT/build.log"
  BUILD=
  return "$status"
}

[ "$(id -u)" = 0 ] || { echo "make test needs root: it makes network namespaces and runs a Kubernetes node" >&2; exit 1; }
compile() { set -m; hack/build-onenode.sh > "$OUT/onenode.dir" 2> "$OUT/build.log" & BUILD=$!; set +m; }
command -v go > /dev/null && compile
stage deps hack/deps.sh
[ -n "$BUILD" ] || compile # a machine without Go gets one, which needs packages
V=$(hack/venv.sh) || exit 1
stage lint hack/lint.sh
stage unit "$V/bin/python" -m pytest -q tests/unit
stage integration "$V/bin/python" -m pytest -q tests/integration -m 'not cluster and not node'
stage chaos "$V/bin/python" -m pytest -q tests/chaos
stage kubernetes kubernetes
stage cluster "$V/bin/python" -m pytest -q tests/crd tests/integration -m cluster
stage image hack/image.sh
stage e2e "$V/bin/python" -m pytest -q tests/e2e
