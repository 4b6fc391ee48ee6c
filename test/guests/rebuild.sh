#!/bin/sh
# Builds the freestanding guest from its sources: ./rebuild.sh [OUTPUT]. The bytes depend on the sources and the compiler
# alone; ./freestanding.txt says which compiler the committed file came from.
set -eu
cd "$(dirname "$0")/freestanding"
output=${1:-../freestanding.elf}
compiler=${RISCV_CC:-riscv64-linux-gnu-gcc}
"$compiler" -march=rv64gc -mabi=lp64d -mno-relax -O2 -std=gnu11 -Wall -Wextra -Wno-unused-function -Wno-infinite-recursion -Wno-array-bounds \
  -ffreestanding -fno-builtin -fno-stack-protector -fno-pic -no-pie -nostdlib -static -fno-asynchronous-unwind-tables \
  -fno-ident -fno-strict-aliasing -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=65536 -s \
  -o "$output" main.c runtime.c probe.c threads.c basics.c faults.c memory.c pages.c parallel.c mixture.c signals.c pipes.c children.c files.c hostile.c riscv.c
if [ $# -eq 0 ]; then "$compiler" --version | head -n 1 > ../freestanding.txt; fi
