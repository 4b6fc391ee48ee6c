/* Ends by the fault that the argument names. */
#include "sys.h"

#ifdef __riscv
#define instruction(text) __asm__ volatile(text ::: "memory")
#endif

static noinline u64 endless(u64 n) {
  volatile u64 frame[64];
  frame[n & 63] = n;
  return endless(n + 1) + frame[n & 63];
}

int faultMain(int argc, char **argv) {
  const char *kind = argc > 1 ? argv[1] : "null";
  out("about to fault: %s\n", kind);
  if (same(kind, "null")) {
    *(volatile int *)8 = 1;
  } else if (same(kind, "load")) {
    return *(volatile int *)0x10UL;
  } else if (same(kind, "text")) {
    *(volatile int *)(void *)faultMain = 0;
  } else if (same(kind, "high")) {
    return *(volatile int *)0xffffffff80000000UL;
  } else if (same(kind, "noncanonical")) {
    return *(volatile int *)0x4000000000000000UL;
  } else if (same(kind, "execdata")) {
    static u32 data[2] __attribute__((aligned(8))) = {0x00008067, 0x00008067};
    ((void (*)(void))(void *)data)();
  } else if (same(kind, "jump")) {
    ((void (*)(void))0x123456000UL)();
  } else if (same(kind, "jumpnull")) {
    ((void (*)(void))0x0UL)();
  } else if (same(kind, "stack")) {
    return (int)endless(0);
  } else if (same(kind, "readonly")) {
    u8 *page = allocate(PAGE);
    page[0] = 1;
    sys(__NR_mprotect, page, PAGE, PROT_READ);
    page[1] = 2;
  } else if (same(kind, "unmapped")) {
    u8 *page = allocate(PAGE);
    page[0] = 1;
    sys(__NR_munmap, page, PAGE);
    page[1] = 2;
  } else if (same(kind, "abort")) {
    sys(__NR_tgkill, sys(__NR_getpid), sys(__NR_gettid), SIGABRT);
#ifdef __riscv
  } else if (same(kind, "illegal")) {
    instruction(".word 0xffffffff");
  } else if (same(kind, "zero")) {
    instruction(".half 0, 0");
  } else if (same(kind, "ebreak")) {
    instruction("ebreak");
  } else if (same(kind, "misaligned-amo")) {
    static u64 words[2];
    u8 *address = (u8 *)words + 2;
    __asm__ volatile("amoadd.w zero, %0, (%1)" ::"r"(1), "r"(address) : "memory");
  } else if (same(kind, "misaligned-lr")) {
    static u64 words[2];
    u8 *address = (u8 *)words + 4;
    u64 value;
    __asm__ volatile("lr.d %0, (%1)" : "=r"(value) : "r"(address) : "memory");
  } else if (same(kind, "csr")) {
    instruction("csrr a0, mstatus");
#endif
  } else {
    out("unknown kind\n");
    return 2;
  }
  out("survived\n");
  return 0;
}
