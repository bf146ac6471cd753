#!/usr/bin/env bash
# test.sh: `make test`. Stages with their times; the first failing one ends the run. Stages that mostly wait for
# servers run side by side. Kubernetes is compiled in the background from the first second on, because it takes
# longest when nothing is cached.
set -uo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "make test needs root: it makes network namespaces and runs a Kubernetes node" >&2; exit 1; }
OUT=$(mktemp -d)
STAGE=start TIMES=() GROUPS_OF=() BUILD=

finish() {
  local status=$?
  for group in ${BUILD:+"$BUILD"} "${GROUPS_OF[@]}"; do kill -- -"$group" 2> /dev/null; done
  wait
  rm -rf "$OUT"
  printf '\n%-14s %7s\n' stage seconds
  for line in "${TIMES[@]}" "all $SECONDS"; do printf '%-14s %7d\n' $line; done
  if [ "$status" = 0 ]; then echo "make test: everything passed"; else echo "make test: FAILED in stage $STAGE"; fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# stage NAME COMMAND…: runs one stage.
stage() {
  local began=$SECONDS status
  STAGE=$1; shift
  printf '\n── %s ──\n' "$STAGE"
  "$@"; status=$?
  TIMES+=("$STAGE $((SECONDS - began))")
  [ "$status" = 0 ] || exit "$status"
}

# beside NAME COMMAND…: starts a stage in the background, in a process group of its own.
beside() {
  local name=$1 began=$SECONDS; shift
  set -m
  { "$@" < /dev/null > "$OUT/$name.log" 2>&1; echo "$? $((SECONDS - began))" > "$OUT/$name.end"; } &
  GROUPS_OF+=($!)
  set +m
}

# join NAME: waits for a stage that runs beside the others, and shows what it printed.
join() {
  local status seconds
  STAGE=$1
  printf '\n── %s (ran beside the stage before) ──\n' "$STAGE"
  while [ ! -s "$OUT/$STAGE.end" ]; do sleep 1; done
  cat "$OUT/$STAGE.log"
  read -r status seconds < "$OUT/$STAGE.end"
  TIMES+=("$STAGE $seconds")
  [ "$status" = 0 ] || exit "$status"
}

compile() { set -m; hack/build-onenode.sh > /dev/null 2> "$OUT/build.log" & BUILD=$!; set +m; }

kubernetes() {
  local status
  tail -n 1 -F "$OUT/build.log" --pid="$BUILD" 2> /dev/null
  wait "$BUILD"; status=$?
  BUILD=
  [ "$status" = 0 ] || cat "$OUT/build.log"
  return "$status"
}

command -v go > /dev/null && compile
stage deps hack/deps.sh
[ -n "$BUILD" ] || compile # a machine without Go gets one, which needs packages
V=$(hack/venv.sh) || exit 1
tests() { "$V/bin/python" -m pytest -q "$@"; }
stage lint hack/lint.sh
stage unit tests tests/unit
beside chaos tests tests/chaos
beside store tests tests/integration/store
stage integration tests tests/integration -m 'not cluster and not node' --ignore tests/integration/store
join store
join chaos
stage kubernetes kubernetes
stage image hack/image.sh
beside cluster tests tests/crd tests/integration -m cluster
stage e2e tests tests/e2e
join cluster
