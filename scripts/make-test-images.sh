#!/bin/bash
# Makes the real images of the system tests from Debian packages, as OCI layouts with the one tag `latest`:
#
#   debian        Debian's smallest system, in one layer
#   app-v1        four layers: debian, Python, a layer that deletes and replaces, /app/main.py printing "hello v1"
#   app-v2        shares all but the top one with app-v1; prints "hello v2"
#   mixed         busybox with 300 hard links, devices, extended attributes, odd names and times, types that change from layer to layer
#   mixed-zstd    the same layers compressed with zstd
#
# Prints the directory that holds them. They are made once per machine, in a minute, and again when this script has changed.
#
#   scripts/make-test-images.sh [DIRECTORY]      default: provisioner-test-images in the system's temporary directory
#
# Needs root and mmdebstrap, umoci, skopeo, attr, zstd and mount (scripts/install-debian-packages.sh). Works in a mount namespace of its own, on a
# tmpfs where it can, so nothing stays mounted however it ends.
set -euo pipefail
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin"

say() { echo "make-test-images: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

[ "$(id -u)" -eq 0 ] || fail 'must be run as root'
for command in mmdebstrap umoci skopeo setfattr zstd mount unshare; do
  command -v "$command" >/dev/null || fail "$command is missing; scripts/install-debian-packages.sh installs it"
done

script=$(readlink -f "$0")
if [ "${1:-}" != --in-namespace ]; then
  cache=${1:-${TMPDIR:-/tmp}/provisioner-test-images}
  mkdir -m 700 "$cache" 2>/dev/null || true
  [ -O "$cache" ] && [ ! -L "$cache" ] || fail "$cache belongs to somebody else"
  exec 9>"$cache/lock"
  flock 9
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  stamp="$(sha256sum <"$script" | cut -c 1-64) $suite $(dpkg --print-architecture)"
  if [ "$(cat "$cache/images/stamp" 2>/dev/null)" != "$stamp" ]; then
    say "making real images from Debian packages, once per machine"
    unshare --mount "$script" --in-namespace "$cache" "$suite" "$stamp"
  fi
  echo "$cache/images"
  exit 0
fi
cache=$2 suite=$3 stamp=$4

rm -rf "$cache"/work.* "$cache/images.new"
work=$(mktemp -d "$cache/work.XXXXXX")
log=$work.log
finish() {
  status=$?
  cd /
  umount --recursive "$work/bundle/rootfs/proc" "$work/bundle/rootfs/mnt" 2>/dev/null || true
  umount "$work" 2>/dev/null || true
  rm -rf --one-file-system "$work"
  if [ $status -ne 0 ]; then tail -n 40 "$log" >&3; fi
  rm -f "$log"
}
exec 3>&2 2>>"$log" >>"$log"
trap finish EXIT
say() { echo "make-test-images: $*" >&3; }

# Before Linux 6.6 a tmpfs holds no user attributes, and then the disk has to do.
if mount -t tmpfs -o size=4g,mode=700 tmpfs "$work"; then
  touch "$work/probe"
  setfattr -n user.probe -v 1 "$work/probe" || umount "$work"
fi
cd "$work"

# The mirror that this machine uses, which may be the only one it can reach.
mirror=$(apt-get indextargets --format '$(CREATED_BY) $(CODENAME) $(COMPONENT) $(REPO_URI)' 2>/dev/null |
  awk -v suite="$suite" '$1 == "Packages" && $2 == suite && $3 == "main" { print $4; exit }')
mirror=${mirror:-http://deb.debian.org/debian}

# Everything is downloaded here, so the root file systems below need no network.
say "1/4 Debian $suite from $mirror"
cat >download <<'END'
#!/bin/sh
set -e
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get --yes --download-only --no-install-recommends install python3 iputils-ping busybox-static
mkdir "$2"
mv "$1"/var/cache/apt/archives/*.deb "$2"
END
chmod +x download
for attempt in 1 2 3; do
  rm -rf base packages
  if mmdebstrap --mode=root --variant=minbase --skip=cleanup/apt/lists --customize-hook="./download \"\$1\" '$work/packages'" \
    "$suite" base "$mirror"; then
    break
  fi
  [ "$attempt" -lt 3 ] || exit 1
  say "that failed; trying again"
  sleep 5
done

pack() { # DIRECTORY TAR [NAME…]
  local directory=$1 tar=$2
  shift 2
  [ $# -gt 0 ] || set -- .
  tar --create --format=pax --pax-option=delete=atime,delete=ctime --sort=name --numeric-owner --xattrs --xattrs-include='*' --sparse \
    --file "$tar" --directory "$directory" "$@"
}
add_layer() { umoci raw add-layer --image "$1" "$2" && rm "$2"; }
new_image() { umoci init --layout "$1" && umoci new --image "$1:latest"; }
copy_image() { skopeo copy --quiet --insecure-policy "oci:$1:latest" "oci:$2:latest" "${@:3}"; }

pack base base.tar
new_image debian
add_layer debian base.tar
umoci config --image debian --config.cmd /bin/bash --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
rm -rf base

say '2/4 Python on top of it'
copy_image debian python
umoci unpack --image python bundle
mount -t proc proc bundle/rootfs/proc
mount --bind packages bundle/rootfs/mnt
chroot bundle/rootfs sh -c 'apt-get --yes --no-install-recommends install $(ls /mnt/*.deb | grep -v busybox) && rm -rf /var/cache/apt/*.bin'
umount bundle/rootfs/mnt bundle/rootfs/proc
umoci repack --image python bundle
rm -rf bundle

say '3/4 two applications on top of that'
# Written by hand, because what makes layers from two trees writes no opaque directories. `usr` and `var` are only implied.
mkdir -p changes/usr/share/doc changes/var/lib/apt changes/app
touch changes/usr/share/doc/.wh..wh..opq changes/usr/share/.wh.man changes/usr/share/.wh.locale changes/var/lib/apt/.wh.lists
echo 'the only document' >changes/usr/share/doc/only
echo 'print("hello")' >changes/app/main.py
pack changes changes.tar usr/share/.wh.man usr/share/.wh.locale usr/share/doc var/lib/apt/.wh.lists app
add_layer python changes.tar
for version in v1 v2; do
  copy_image python "app-$version"
  mkdir -p "top-$version/app"
  echo "print(\"hello $version\")" >"top-$version/app/main.py"
  pack "top-$version" top.tar app
  add_layer "app-$version" top.tar
  umoci config --image "app-$version" --config.entrypoint python3 --config.entrypoint /app/main.py --config.workingdir /app \
    --config.env "APP_VERSION=$version"
done

say '4/4 a busybox of many kinds'
mkdir -p mixed-1/bin mixed-1/dev mixed-1/etc mixed-1/home/user mixed-1/lib mixed-1/proc mixed-1/root mixed-1/run mixed-1/srv mixed-1/tmp mixed-1/var
dpkg-deb --extract packages/busybox-static_*.deb busybox
cp "$(find busybox -type f -path '*/bin/busybox')" mixed-1/bin
mixed-1/bin/busybox --list | while read -r applet; do
  [ "$applet" = busybox ] || ln mixed-1/bin/busybox "mixed-1/bin/$applet"
done
cp -a mixed-1/bin/busybox mixed-1/bin/elevated
chmod 6755 mixed-1/bin/elevated
# cap_net_raw=ep
cp mixed-1/bin/busybox mixed-1/bin/capable
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 mixed-1/bin/capable
chmod 1777 mixed-1/tmp
chmod 700 mixed-1/root
mknod -m 666 mixed-1/dev/null c 1 3
mknod -m 660 mixed-1/dev/disk b 259 70000
mknod -m 600 mixed-1/dev/console c 5 1
mkfifo -m 640 mixed-1/run/queue
chown 0:6 mixed-1/dev/disk
printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' >mixed-1/etc/passwd
echo '#!/bin/sh' >mixed-1/home/user/run
chown -R 1000:1000 mixed-1/home/user
chown 4000000000:4000000001 mixed-1/srv
cd mixed-1/home/user
mkdir attributes names links
echo text >attributes/file
setfattr -n user.text -v value attributes/file
setfattr -n user.binary -v 0x00ff0a3d00 attributes/file
setfattr -n trusted.mark -v kept attributes/file
setfattr -n user.directory -v 1 attributes
touch names/$'new\nline' names/' space ' names/ünï names/$'not\xff\xfeutf8' names/'back\slash' names/-dash names/.hidden
mkdir -p "names/$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))"
echo deep >"names/$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))/$(printf 'f%.0s' $(seq 255))"
ln -s nowhere links/dangling
ln -s /etc/passwd links/absolute
ln -s ../../../etc/passwd links/relative
ln -s "$(printf 'long/%.0s' $(seq 300))" links/long
ln -s self links/self
chown -h 1000:1000 links/*
truncate -s 3M sparse && printf end | dd of=sparse bs=1 seek=1500000 conv=notrunc
: >empty
touch -d '2001-02-03 04:05:06.123456789 UTC' attributes/file names/.hidden
touch -h -d '1999-12-31 23:59:59.000000001 UTC' links/dangling
touch -d '1969-12-31 23:59:58.5 UTC' empty
cd "$work"
mkdir -p mixed-1/var/{becomes-file,becomes-link,replaced,kept}
touch mixed-1/var/{becomes-file,becomes-link,replaced,kept}/inside mixed-1/var/becomes-directory mixed-1/var/deleted mixed-1/var/again
ln -s kept mixed-1/var/link-becomes-directory
pack mixed-1 mixed-1.tar

# What was there becomes something else. The hard link's other name is in the layer below; `home` and `home/user` are only implied.
mkdir -p mixed-2/var/{becomes-directory,link-becomes-directory,replaced} mixed-2/home/user/later mixed-2/bin
echo now-a-file >mixed-2/var/becomes-file
ln -s kept mixed-2/var/becomes-link
touch mixed-2/var/becomes-directory/inside mixed-2/var/link-becomes-directory/inside mixed-2/var/.wh.deleted mixed-2/var/.wh.again
touch mixed-2/var/replaced/.wh..wh..opq mixed-2/var/replaced/alone
touch mixed-2/bin/.wh.vi
echo one >mixed-2/home/user/later/one
ln mixed-2/home/user/later/one mixed-2/home/user/later/two
pack mixed-2 mixed-2.tar var home/user/later bin/.wh.vi

# Only attributes change, and a deleted file comes back.
mkdir -p mixed-3/tmp mixed-3/var mixed-3/home/user/attributes
chmod 700 mixed-3/tmp
setfattr -n user.directory -v 2 mixed-3/home/user/attributes
echo back >mixed-3/var/again
chown 12345:54321 mixed-3/var/again
pack mixed-3 mixed-3.tar tmp home/user/attributes var/again

new_image mixed
for layer in 1 2 3; do add_layer mixed "mixed-$layer.tar"; done
umoci config --image mixed --config.entrypoint /bin/sh --config.user 1000:1000 --config.workingdir /home/user
copy_image mixed mixed-zstd --dest-compress-format zstd

new=$cache/images.new
mkdir "$new"
for image in debian app-v1 app-v2 mixed mixed-zstd; do
  umoci gc --layout "$image"
  cp -r "$image" "$new"
done
# What images share takes its space once.
for blob in "$new"/app-v1/blobs/sha256/*; do
  if [ -e "$new/app-v2/blobs/sha256/${blob##*/}" ]; then ln -f "$blob" "$new/app-v2/blobs/sha256/"; fi
  if [ -e "$new/debian/blobs/sha256/${blob##*/}" ]; then ln -f "$blob" "$new/debian/blobs/sha256/"; fi
done
grep -q 'tar+zstd' "$new"/mixed-zstd/blobs/sha256/* || fail 'skopeo did not compress with zstd'
echo "$stamp" >"$new/stamp"
rm -rf "$cache/images"
mv "$new" "$cache/images"
