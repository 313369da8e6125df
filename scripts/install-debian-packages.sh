#!/bin/bash
# Installs the Debian packages which the tests use. Run by hand as root, by `npm test` and by .ci/run; does nothing when all are there.
#
#   scripts/install-debian-packages.sh           both groups
#   scripts/install-debian-packages.sh build     what compiles better-sqlite3, where no ready-made binary can be had
#   scripts/install-debian-packages.sh tests     what the system tests use
set -euo pipefail

BUILD=(python3 make g++)
# mmdebstrap makes real images, umoci, skopeo and podman make and unpack them in other ways to compare with, attr shows and sets
# extended attributes, zstd, xz-utils and bzip2 compress layers, mount mounts, e2fsprogs makes the disks that lose their power, xfsprogs, btrfs-progs and fuse-overlayfs
# other file systems that a store may lie on, uidmap user namespaces of many users, ca-certificates lets skopeo start,
# docker-registry is the registry that is pulled from, strace counts what waits for the disk and lets calls fail, libisal2 and libzstd1 the libraries that inflate faster, openssl makes its certificates, iproute2 gives a network
# of its own addresses, bsdutils has script, which gives a command a terminal, tmux one that is looked at, faketime gives it another clock,
# netavark with aardvark-dns, and the plugins of CNI, connect containers to networks, with the rules of iptables,
# and busybox-static is the program that containers of tests run; crun and runc run them. Both are named: podman is content with either. catatonit is the init that waits in them.
TESTS=(mmdebstrap umoci skopeo podman attr zstd xz-utils bzip2 mount e2fsprogs xfsprogs btrfs-progs fuse-overlayfs uidmap ca-certificates docker-registry libisal2 libzstd1 openssl iproute2 bsdutils tmux strace faketime busybox-static netavark aardvark-dns containernetworking-plugins iptables crun runc catatonit)

case "${1:-all}" in
  build) wanted=("${BUILD[@]}") ;;
  tests) wanted=("${TESTS[@]}") ;;
  all) wanted=("${BUILD[@]}" "${TESTS[@]}") ;;
  *)
    echo "usage: $0 [build|tests]" >&2
    exit 2
    ;;
esac

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "to install ${missing[*]}, run this as root" >&2
  exit 1
fi

echo "installing from Debian: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=120 "${missing[@]}" >"$log" 2>&1; }
# The package lists may be as old as the machine; they are fetched first, and an install that fails all the same is tried once more.
apt-get update -o DPkg::Lock::Timeout=120 >"$log" 2>&1 || true
if ! install && { sleep 5; ! install; }; then
  tail -n 30 "$log" >&2
  exit 1
fi
