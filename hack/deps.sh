#!/usr/bin/env bash
# deps.sh: installs the Debian packages that the tests and the demo use, those that are missing. Starts no service.
# Run again, it finds nothing to do. Python packages and Go are fetched by the scripts that use them.
set -euo pipefail

# package=what it is needed for, a program or file that shows that it is there
PACKAGES="
bash=bash
buildah=buildah
busybox-static=busybox
ca-certificates=/etc/ssl/certs/ca-certificates.crt
containerd=containerd
containernetworking-plugins=/usr/lib/cni/ptp
dovecot-core=/usr/sbin/dovecot
dovecot-imapd=/usr/lib/dovecot/imap
dovecot-pop3d=/usr/lib/dovecot/pop3
faketime=faketime
iproute2=ip
iptables=iptables
make=make
openssl=openssl
procps=ps
python3=python3
redis-server=redis-server
runc=runc
strace=strace
util-linux=unshare
"
PATH=$PATH:/usr/sbin:/sbin

missing=
for line in $PACKAGES; do
  proof=${line#*=}
  case $proof in
    /*) [ -e "$proof" ] || missing="$missing ${line%%=*}" ;;
    *) command -v "$proof" > /dev/null || missing="$missing ${line%%=*}" ;;
  esac
done
# Debian's Python makes virtual environments only with this package.
python3 -c 'import ensurepip, venv' 2> /dev/null || missing="$missing python3-venv"
[ -n "$missing" ] || exit 0

echo "needed, and not here:$missing" >&2
command -v apt-get > /dev/null || {
  echo "This is not Debian: install what these packages contain in the way of this system." >&2; exit 1; }
[ "$(id -u)" = 0 ] || {
  echo "Only root can install them: run \`sudo $0\`, or \`sudo apt-get install$missing\`." >&2; exit 1; }

# Debian starts services when it installs them. The tests start their own, at ports of their own.
POLICY=/usr/sbin/policy-rc.d
if [ ! -e $POLICY ]; then
  trap 'rm -f $POLICY' EXIT
  printf '#!/bin/sh\nexit 101\n' > $POLICY
  chmod 755 $POLICY
fi
export DEBIAN_FRONTEND=noninteractive
echo "apt-get update …" >&2
apt-get update -qq >&2
echo "apt-get install$missing …" >&2
# shellcheck disable=SC2086  # a list of words
apt-get install -y -qq --no-install-recommends $missing >&2
echo "installed:$missing" >&2
