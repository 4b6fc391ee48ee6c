#!/bin/sh
# Builds musl for riscv64 into a folder, with musl.specs by which riscv64-linux-gnu-gcc compiles for it: ./build-musl.sh FOLDER
# The source is Debian's. Needs root on a Debian, the cross compiler, make, xz and half a minute.
set -eu
. "$(dirname "$0")/private-apt.sh"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$folder/work
rm -rf "$work"
private_apt "$work" bookworm "$(dpkg --print-architecture)" deb-src
cd "$work"
apt-get -qq -c apt.conf source --download-only musl
mkdir source
tar -xf musl_*.orig.tar.gz -C source --strip-components=1
cd source
./configure --target=riscv64 --prefix="$folder/root" --syslibdir="$folder/root/lib" \
  CC=riscv64-linux-gnu-gcc CROSS_COMPILE=riscv64-linux-gnu- --enable-wrapper=gcc CFLAGS=-O2 LDFLAGS=-Wl,-z,max-page-size=65536 > /dev/null
make -s -j2 > /dev/null
make -s install > /dev/null
cd "$folder"
rm -r "$work"
ln -sf libc.so "$folder/root/lib/ld-musl-riscv64.so.1"
# The wrapper's specs name the loader by its path on this host; the guest knows it as /lib. They come last: where they are, the rest is.
sed "s|-dynamic-linker $folder/root/lib/|-dynamic-linker /lib/|" "$folder/root/lib/musl-gcc.specs" > "$folder/musl.specs"
