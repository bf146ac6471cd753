#!/usr/bin/env bash
# conformance-servers.sh NAME: prints where the mail server NAME (courier, popa3d, greenmail) is; fetches it first if it
# is not there. Courier and popa3d conflict with Dovecot's package, so theirs are only unpacked: into the cache, keyed
# by the list of packages. The tests lay them over /usr and /etc in a mount namespace of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/mailfetch/servers
COURIER="courier-imap courier-pop courier-base courier-authlib courier-authlib-userdb
  libcourier-unicode4 gamin libgamin0 libglib2.0-0 libgdbm6 libidn12 libltdl7"
GREENMAIL=com.icegreen:greenmail-standalone:2.1.8

# place NAME KEY…: sets DIR, and returns 1 if it still has to be filled (under a lock, until this script ends).
place() {
  DIR=$CACHE/$1-$(echo "$*" "$(. /etc/os-release; echo "$ID $VERSION_ID")" | sha256sum | cut -c1-16)
  [ ! -e "$DIR/ready" ] || return 0
  mkdir -p "$CACHE"
  exec 9> "$DIR.lock"; flock 9
  [ ! -e "$DIR/ready" ] || return 0
  echo "fetching $1 (once) …" >&2
  rm -rf "$DIR"; mkdir -p "$DIR"
  return 1
}

as_root() {
  [ "$(id -u)" = 0 ] || { echo "Only root can install: run \`sudo apt-get install $*\`." >&2; exit 1; }
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

unpacked() {
  # shellcheck disable=SC2086  # lists of words
  if ! place $1 $2; then
    [ "$(id -u)" != 0 ] || apt-get update -qq >&2
    mkdir "$DIR/packages" "$DIR/root"
    # Where apt's own user may not write, it says so and downloads all the same.
    (cd "$DIR/packages" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" $2 >&2)
    for package in "$DIR"/packages/*.deb; do dpkg-deb -x "$package" "$DIR/root"; done
    rm -rf "$DIR/packages"
    touch "$DIR/ready"
  fi
  echo "$DIR/root"
}

case ${1:-} in
  courier) unpacked courier "$COURIER" ;;
  popa3d) unpacked popa3d popa3d ;;
  greenmail)
    command -v java > /dev/null || as_root default-jre-headless
    if ! place greenmail $GREENMAIL; then
      command -v mvn > /dev/null || as_root maven
      mvn -q -B dependency:copy -Dartifact=$GREENMAIL -DoutputDirectory="$DIR" >&2
      touch "$DIR/ready"
    fi
    echo "$DIR"/*.jar ;;
  *) echo "usage: $0 courier|popa3d|greenmail" >&2; exit 2 ;;
esac
