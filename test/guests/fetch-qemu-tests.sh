#!/bin/sh
# Gets the sources of QEMU's own guest tests (tests/tcg) into a folder, from Debian's source package: ./fetch-qemu-tests.sh FOLDER
# test/programs/qemuTests.test.ts compiles and runs them. Needs root on a Debian with apt, xz and 40 MB from the mirror.
set -eu
. "$(dirname "$0")/private-apt.sh"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
work=$folder/work
rm -rf "$work" "$folder/tests"
private_apt "$work" trixie "$(dpkg --print-architecture)" deb-src
cd "$work"
apt-get -qq -c apt.conf source --download-only qemu
mkdir source
tar -xf qemu_*.orig.tar.xz -C source --strip-components=1 --wildcards '*/tests/tcg'
cd "$folder"
# Last: where it is, the rest is.
mv "$work/source/tests" tests
rm -r "$work"
