#!/bin/sh
# Builds the portable applets for the host, to ask its kernel: ./native.sh OUTPUT
set -eu
cd "$(dirname "$0")"
cc -O2 -std=gnu11 -Wall -Wextra -Wno-unused-function -Wno-infinite-recursion -Wno-array-bounds -ffreestanding -fno-builtin -fno-stack-protector -fno-pic -no-pie \
  -nostdlib -static -fno-strict-aliasing -fcf-protection=none -o "$1" \
  main.c runtime.c probe.c threads.c basics.c faults.c memory.c pages.c parallel.c mixture.c signals.c pipes.c children.c files.c hostile.c
