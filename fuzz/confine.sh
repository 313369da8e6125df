#!/bin/sh
# confine.sh WORK COMMAND...: runs a command with every file system read-only and without devices, but for a new one in memory at WORK.
# What is tried here are archives that want to break out, by root: should the engine let one through, it must not reach the machine.
# To be run in a mount namespace of its own: unshare --mount --propagation private.
set -eu
work=$1
shift
mount -t tmpfs -o mode=700,size=1g,nodev,nosuid tmpfs "$work"
# Mounts that others hide cannot be reached, so they need nothing; the last of several on one place is the one that is seen, and the one that is changed.
while read -r _ place _; do
  case $place in
    "$work" | "$work"/*) continue ;;
    *\\*)
      echo "cannot protect $place" >&2
      exit 1
      ;;
  esac
  [ -e "$place" ] || continue
  # When it fails because somebody has just removed the directory that it stood on, the mount went with it.
  if ! mount -o remount,bind,ro,nodev,nosuid "$place" && grep -qF " $place " /proc/self/mounts; then exit 1; fi
done </proc/self/mounts
if [ -w / ]; then
  echo "the root directory is still writable" >&2
  exit 1
fi
exec "$@"
