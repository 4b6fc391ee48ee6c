#!/bin/sh
# Builds musl for riscv64 into a folder, with musl.specs by which riscv64-linux-gnu-gcc compiles for it: ./build-musl.sh FOLDER
# The source is Debian's. Nothing is installed and no setting of the host is changed: apt works in the folder, with the mirror that
# the host's own apt uses. Needs root on a Debian, the cross compiler, make, xz and half a minute.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p' | head -n 1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -n 1)
[ -n "$mirror" ] || { echo "build-musl: apt has no mirror" >&2; exit 1; }
work=$folder/work
rm -rf "$work"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/state"
: > "$work/status"
echo "deb-src [signed-by=$keyring] $mirror $suite main" > "$work/sources.list"
cat > "$work/apt.conf" <<CONF
Dir::State "$work/state";
Dir::State::Lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "1";
CONF
cd "$work"
apt-get -qq -c apt.conf update
apt-get -qq -c apt.conf source --download-only musl
mkdir source
tar -xf musl_*.orig.tar.gz -C source --strip-components=1
cd source
./configure --target=riscv64 --prefix="$folder/root" --syslibdir="$folder/root/lib" \
  CC=riscv64-linux-gnu-gcc CROSS_COMPILE=riscv64-linux-gnu- --enable-wrapper=gcc CFLAGS=-O2 > /dev/null
make -s -j2 > /dev/null
make -s install > /dev/null
cd "$folder"
rm -r "$work"
ln -sf libc.so "$folder/root/lib/ld-musl-riscv64.so.1"
# The wrapper's specs name the loader by its path on this host; the guest knows it as /lib. They come last: where they are, the rest is.
sed "s|-dynamic-linker $folder/root/lib/|-dynamic-linker /lib/|" "$folder/root/lib/musl-gcc.specs" > "$folder/musl.specs"
