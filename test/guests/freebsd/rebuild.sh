#!/bin/sh
# Builds the freestanding FreeBSD guest from its sources: ./rebuild.sh [OUTPUT]. FreeBSD's note in main.c makes it FreeBSD's; any
# compiler for RISC-V 64 will do. ../freestanding.txt says which one the committed file came from.
set -eu
cd "$(dirname "$0")"
"${RISCV_CC:-riscv64-linux-gnu-gcc}" -march=rv64gc -mabi=lp64d -mno-relax -O2 -std=gnu11 -Wall -Wextra -ffreestanding -fno-builtin \
  -fno-stack-protector -fno-pic -no-pie -nostdlib -static -fno-asynchronous-unwind-tables -fno-ident -fno-strict-aliasing \
  -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=65536 -s -o "${1:-../freebsd.elf}" main.c memory.c threads.c signals.c events.c files.c
