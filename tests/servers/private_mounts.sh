#!/bin/sh
# private_mounts.sh UNPACKED SCRATCH SCRIPT: lays an unpacked Debian package over /usr and /etc, then becomes SCRIPT.
# Only for a mount namespace of its own (see private_mounts.py): the machine sees nothing of it.
set -eu
UNPACKED=$1 SCRATCH=$2 SCRIPT=$3
mkdir -p "$SCRATCH"
mount -t tmpfs tmpfs "$SCRATCH" # what is written goes with the namespace, whatever the file system below can do
mkdir "$SCRATCH/etc" "$SCRATCH/work" "$SCRATCH/var"
mount -t overlay overlay -o "lowerdir=$UNPACKED/etc:/etc,upperdir=$SCRATCH/etc,workdir=$SCRATCH/work" /etc
mount -t overlay overlay -o "lowerdir=$UNPACKED/usr:/usr" /usr
mount -t proc proc /proc
export SCRATCH
exec bash "$SCRIPT"
