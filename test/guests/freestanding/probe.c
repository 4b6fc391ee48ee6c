/* Loads and stores that may fault: the handler leads on past the access. */
#include "sys.h"

volatile int probeSignal, probeCode;
volatile u64 probeAddress;

int probeAccessLoad(const void *address);
int probeAccessStore(void *address);
extern char probeLoadInsn[], probeStoreInsn[], probeFixup[];

#ifdef __riscv
__asm__(".text\n"
        ".option push\n"
        ".option norvc\n"
        "probeAccessLoad:\n"
        "probeLoadInsn:\n"
        "  lbu a0, 0(a0)\n"
        "  li a0, 0\n"
        "  ret\n"
        "probeAccessStore:\n"
        "  li a1, 0x5a\n"
        "probeStoreInsn:\n"
        "  sb a1, 0(a0)\n"
        "  li a0, 0\n"
        "  ret\n"
        "probeFixup:\n"
        "  li a0, 1\n"
        "  ret\n"
        ".option pop\n");
#define PC(context) ((context)->uc_mcontext.sc_regs.pc)
#else
__asm__(".text\n"
        "probeAccessLoad:\n"
        "probeLoadInsn:\n"
        "  movb (%rdi), %al\n"
        "  xor %eax, %eax\n"
        "  ret\n"
        "probeAccessStore:\n"
        "probeStoreInsn:\n"
        "  movb $0x5a, (%rdi)\n"
        "  xor %eax, %eax\n"
        "  ret\n"
        "probeFixup:\n"
        "  mov $1, %eax\n"
        "  ret\n");
#define PC(context) ((context)->uc_mcontext.rip)
#endif

static void onFault(int signal, struct siginfo *info, struct ucontext *context) {
  u64 pc = PC(context);
  if (pc != (u64)probeLoadInsn && pc != (u64)probeStoreInsn) {
    out("unexpected signal %d at pc 0x%lx, address 0x%lx\n", signal, pc, (u64)info->si_addr);
    quit(123);
  }
  probeSignal = signal;
  probeCode = info->si_code;
  probeAddress = (u64)info->si_addr;
  PC(context) = (u64)probeFixup;
}

void probeSetup(void) {
  handle(SIGSEGV, onFault, 0, 0);
  handle(SIGBUS, onFault, 0, 0);
}

int probeLoad(const void *address) {
  probeSignal = 0;
  return probeAccessLoad(address) ? probeSignal : 0;
}

int probeStore(void *address) {
  probeSignal = 0;
  return probeAccessStore(address) ? probeSignal : 0;
}
