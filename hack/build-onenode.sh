#!/usr/bin/env bash
# build-onenode.sh: compiles the Kubernetes that the tests and the demo run (tests/cluster/onenode) and prints,
# as the last line of standard output, the directory that holds it (onenode, kubectl, helm, …).
# The first time this takes 8 to 20 minutes of two processors; afterwards it only prints the directory.
# Several callers may run it at once: one compiles, the others wait.
set -euo pipefail
cd "$(dirname "$0")/../tests/cluster/onenode"
KUBERNETES=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ {print $2}' go.mod)
COMPONENTS="coredns etcd helm kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet"

command -v go >/dev/null || {
  echo "Go is needed to compile Kubernetes for the tests: install Go $(awk '$1 == "go" {print $2}' go.mod) or newer" \
    "and put its bin directory in PATH." >&2; exit 1; }
export CGO_ENABLED=0 GOGC=${GOGC:-400} GOWORK=off
KEY=$( { go version; cat go.mod go.sum main.go; echo "$COMPONENTS"; } | sha256sum | cut -c1-16)
BASE=${XDG_CACHE_HOME:-$HOME/.cache}/mailfetch/onenode
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
