#!/bin/sh
# Unpacks Debian's riscv64 packages into a folder, a root for `guesthouse run -L FOLDER`: ./build-debian-root.sh FOLDER [PACKAGE...]
# Without packages: those of the programs that test/programs/debian.test.ts runs (180 MB to fetch, 760 MB unpacked). What they depend
# on comes along. Needs root on a Debian with apt, and a minute or two.
set -eu
. "$(dirname "$0")/private-apt.sh"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- busybox-static libc6 libstdc++6 bash coreutils findutils grep sed dash \
  python3.13-minimal libpython3.13-stdlib lua5.4 sqlite3 redis-server redis-tools gcc libc6-dev perl-base perl stress-ng \
  mawk zstd xz-utils gzip bzip2 tar openssl jq git make diffutils curl
work=$folder/.work
rm -rf "$work"
private_apt "$work" trixie riscv64 deb
cd "$work"
apt-get -c apt.conf install -y --print-uris "$@" 2>/dev/null | sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" > packages
[ -s packages ] || { echo "build-debian-root: apt does not know how to install $*" >&2; exit 1; }
# shellcheck disable=SC2046
apt-get -qq -c apt.conf download $(cat packages) 2>/dev/null
cd "$folder"
mkdir -p usr/lib usr/bin usr/sbin etc tmp proc dev root
for name in lib bin sbin; do [ -e $name ] || ln -s usr/$name $name; done
for package in "$work"/*.deb; do dpkg -x "$package" .; done
# What maintainers' scripts would have made.
[ -e usr/bin/mawk ] && [ ! -e usr/bin/awk ] && ln -s mawk usr/bin/awk
echo 'root:x:0:0:root:/root:/bin/bash' > etc/passwd
echo 'root:x:0:' > etc/group
echo '127.0.0.1 localhost' > etc/hosts
rm -r "$work"
# Last: where it is, the rest is.
echo "$@" > packages.txt
