/**
 * Layouts of the signal structures of Linux on RISC-V 64, as byte offsets within the guest's memory.
 * Sources: arch/riscv/kernel/signal.c, arch/riscv/include/uapi/asm/{sigcontext,ucontext,ptrace}.h.
 */

/** struct sigaction of the kernel (no sa_restorer on RISC-V). */
export const KernelSigaction = { handler: 0, flags: 8, mask: 16, SIZE: 24 } as const;

/** stack_t. */
export const StackT = { sp: 0, flags: 8, size: 16, SIZE: 24 } as const;
export const SS_ONSTACK = 1;
export const SS_DISABLE = 2;
/** SS_AUTODISARM, bit 31. */
export const SS_AUTODISARM = 0x8000_0000;
/** MINSIGSTKSZ of asm-generic. */
export const MINSIGSTKSZ = 2048;

/**
 * struct ucontext: the mask has room for 1024 bits, and the machine context is 16-byte aligned. struct sigcontext:
 * pc, x1 … x31, then the 528 bytes of union __riscv_fp_state, of which D uses f0 … f31 and fcsr.
 */
export const Ucontext = {
  flags: 0,
  link: 8,
  stack: 16,
  sigmask: 40,
  mcontext: 176,
  SIZE: 176 + 32 * 8 + 528,
} as const;
export const Mcontext = {
  pc: 0,
  /** x1 at 8, … x31 at 248. */
  x: 0,
  f: 256,
  fcsr: 256 + 256,
  /** The last words of the union: reserved (zero), then the header of the extension list: END is all zero. */
  reserved: 256 + 516,
  SIZE: 256 + 528,
} as const;

/** struct rt_sigframe. */
export const RtSigframe = { info: 0, ucontext: 128, SIZE: 128 + Ucontext.SIZE } as const;

/** struct sigevent. */
export const Sigevent = { value: 0, signo: 8, notify: 12, tid: 16, SIZE: 64 } as const;
export const SIGEV_SIGNAL = 0;
export const SIGEV_NONE = 1;
export const SIGEV_THREAD = 2;
export const SIGEV_THREAD_ID = 4;
