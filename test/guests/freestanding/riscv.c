/* The processor: floating point, atomics, registers over system calls and signals, code that changes. */
#ifdef __riscv
#include "sys.h"

/* --- floating point --- */

static u64 bits(double value) {
  u64 result;
  memcpy(&result, &value, 8);
  return result;
}

#define FRM(mode) __asm__ volatile("fsrm %0" ::"r"(mode))
static u64 flags(void) {
  u64 value;
  __asm__ volatile("frflags %0" : "=r"(value));
  __asm__ volatile("fsflags zero");
  return value;
}

#define OP2(name, insn)                                                                       \
  static noinline double name(double a, double b) {                                           \
    double r;                                                                                 \
    __asm__ volatile(insn " %0, %1, %2" : "=f"(r) : "f"(a), "f"(b));                          \
    return r;                                                                                 \
  }
OP2(add, "fadd.d")
OP2(mul, "fmul.d")
OP2(divide, "fdiv.d")
OP2(minimum, "fmin.d")

static noinline double root(double a) {
  double r;
  __asm__ volatile("fsqrt.d %0, %1" : "=f"(r) : "f"(a));
  return r;
}

static noinline double fused(double a, double b, double c) {
  double r;
  __asm__ volatile("fmadd.d %0, %1, %2, %3" : "=f"(r) : "f"(a), "f"(b), "f"(c));
  return r;
}

static noinline i64 toLong(double a) {
  i64 r;
  __asm__ volatile("fcvt.l.d %0, %1" : "=r"(r) : "f"(a));
  return r;
}

static noinline u64 toWordUnsigned(double a) {
  u64 r;
  __asm__ volatile("fcvt.wu.d %0, %1, rtz" : "=r"(r) : "f"(a));
  return r;
}

#define NV 16
#define DZ 8
#define OF 4
#define UF 2
#define NX 1

int fpMain(int argc, char **argv) {
  (void)argc, (void)argv;
  double infinity = __builtin_inf(), nan;
  u64 signalling = 0x7ff0000000000001UL;
  memcpy(&nan, &signalling, 8);
  flags();
  EXPECT(bits(add(1, 2)), bits(3));
  EXPECT(flags(), 0);
  EXPECT(bits(divide(1, 3)), 0x3fd5555555555555UL);
  EXPECT(flags(), NX);
  FRM(3); /* up */
  EXPECT(bits(divide(1, 3)), 0x3fd5555555555556UL);
  FRM(2); /* down */
  EXPECT(bits(divide(-1, 3)), 0xbfd5555555555556UL);
  FRM(1); /* to zero */
  EXPECT(bits(divide(-1, 3)), 0xbfd5555555555555UL);
  FRM(4); /* nearest, ties away */
  EXPECT(bits(add(9007199254740992.0, 1)), 0x4340000000000001UL);
  FRM(0);
  EXPECT(bits(add(9007199254740992.0, 1)), 0x4340000000000000UL);
  EXPECT(flags(), NX);
  EXPECT(bits(divide(1, 0)), bits(infinity));
  EXPECT(flags(), DZ);
  EXPECT(bits(divide(0, 0)), 0x7ff8000000000000UL);
  EXPECT(flags(), NV);
  EXPECT(bits(add(nan, 1)), 0x7ff8000000000000UL);
  EXPECT(flags(), NV);
  EXPECT(bits(mul(1e300, 1e300)), bits(infinity));
  EXPECT(flags(), OF | NX);
  EXPECT(bits(mul(0x1p-1074, 0.5)), 0);
  EXPECT(flags(), UF | NX);
  EXPECT(bits(mul(0x1p-1022, 0.5)), 0x0008000000000000UL);
  EXPECT(flags(), 0);
  EXPECT(bits(root(-1)), 0x7ff8000000000000UL);
  EXPECT(flags(), NV);
  EXPECT(bits(root(2)), 0x3ff6a09e667f3bcdUL);
  EXPECT(flags(), NX);
  EXPECT(bits(minimum(-0.0, 0.0)), 0x8000000000000000UL);
  EXPECT(bits(minimum(nan, 1)), bits(1));
  EXPECT(flags(), NV);
  /* One rounding only. */
  EXPECT(bits(fused(0x1.0000000000001p0, 0x1.0000000000001p0, -0x1.0000000000002p0)), bits(0x1p-104));
  EXPECT(flags(), 0);
  EXPECT(toLong(1e30), 0x7fffffffffffffffL);
  EXPECT(flags(), NV);
  EXPECT(toLong(-1.5), -2);
  EXPECT(toLong(2.5), 2);
  EXPECT(flags(), NX);
  EXPECT(toLong(nan), 0x7fffffffffffffffL);
  EXPECT(toWordUnsigned(4294967295.0), -1L);
  EXPECT(toWordUnsigned(-1.0), 0);
  EXPECT(flags(), NV);
  /* A float in a register is boxed; one that isn't reads as a NaN. */
  u64 value;
  __asm__ volatile("fmv.w.x ft0, %1\n fmv.x.d %0, ft0" : "=r"(value) : "r"(0x3f800000) : "ft0");
  EXPECT(value, 0xffffffff3f800000UL);
  __asm__ volatile("fmv.d.x ft0, %1\n fadd.s ft0, ft0, ft0\n fmv.x.d %0, ft0" : "=r"(value) : "r"(0x3f800000L) : "ft0");
  EXPECT(value, 0xffffffff7fc00000UL);
  __asm__ volatile("fmv.d.x ft0, %1\n fclass.d %0, ft0" : "=r"(value) : "r"(signalling) : "ft0");
  EXPECT(value, 1 << 8);
  /* fcsr holds both parts. */
  __asm__ volatile("fscsr %0" ::"r"(0x7f));
  __asm__ volatile("frcsr %0" : "=r"(value));
  EXPECT(value, 0x7f);
  __asm__ volatile("frrm %0" : "=r"(value));
  EXPECT(value, 3);
  __asm__ volatile("fscsr zero");
  /* A longer calculation. */
  double sum = 0;
  for (int i = 1; i <= 1000; i++) sum = fused(1.0 / i, 1.0 / i, sum);
  EXPECT(bits(sum), 0x3ffa4d8e550a946eUL);
  return report("fp");
}

/* --- atomics --- */

static volatile u64 cell;
static volatile u32 cell32;
static u64 stackOf[4];

static void *addReserved(void *argument) {
  for (long i = 0; i < (long)argument; i++) {
    u64 old, failed;
    __asm__ volatile("1: lr.d.aq %0, (%2)\n"
                     "addi %0, %0, 1\n"
                     "sc.d.rl %1, %0, (%2)\n"
                     "bnez %1, 1b\n"
                     : "=&r"(old), "=&r"(failed)
                     : "r"(&cell)
                     : "memory");
    __asm__ volatile("amoadd.w.aqrl zero, %0, (%1)" ::"r"(1), "r"(&cell32) : "memory");
    __asm__ volatile("amoxor.d zero, %0, (%1)" ::"r"(i), "r"(&stackOf[0]) : "memory");
    __asm__ volatile("amomaxu.d zero, %0, (%1)" ::"r"(i), "r"(&stackOf[1]) : "memory");
  }
  return NULL;
}

int atomicsMain(int argc, char **argv) {
  static struct thread t[4];
  long n = argc > 1 ? number(argv[1]) : 20000;
  for (int i = 0; i < 4; i++) EXPECT(threadStart(&t[i], addReserved, (void *)n), 0);
  for (int i = 0; i < 4; i++) threadJoin(&t[i]);
  EXPECT(cell, 4 * n);
  EXPECT(cell32, 4 * n);
  EXPECT(stackOf[0], 0);
  EXPECT(stackOf[1], n - 1);
  u64 old, failed;
  /* An SC without a reservation fails; one to another place fails too. */
  __asm__ volatile("sc.d %0, zero, (%1)" : "=r"(failed) : "r"(&cell) : "memory");
  CHECK(failed != 0);
  EXPECT(cell, 4 * n);
  __asm__ volatile("lr.d %0, (%2)\n sc.d %1, zero, (%3)" : "=&r"(old), "=&r"(failed) : "r"(&cell), "r"(&stackOf[3]) : "memory");
  CHECK(failed != 0);
  /* Results of the word forms are sign extended. */
  cell32 = 0x80000000;
  __asm__ volatile("amoswap.w %0, %1, (%2)" : "=r"(old) : "r"(5), "r"(&cell32) : "memory");
  EXPECT(old, -0x80000000L);
  EXPECT(cell32, 5);
  __asm__ volatile("amomin.w %0, %1, (%2)" : "=r"(old) : "r"(-1L), "r"(&cell32) : "memory");
  EXPECT(old, 5);
  EXPECT(cell32, 0xffffffff);
  __asm__ volatile("amominu.w %0, %1, (%2)" : "=r"(old) : "r"(0x100000007L), "r"(&cell32) : "memory");
  EXPECT(cell32, 7);
  return report("atomics");
}

/* --- registers over a signal, and its frame --- */

static volatile u64 framePc, frameS3, frameFs3;

static void clobber(int signal, struct siginfo *info, struct ucontext *context) {
  (void)signal, (void)info;
  framePc = context->uc_mcontext.sc_regs.pc;
  frameS3 = context->uc_mcontext.sc_regs.s3;
  memcpy((void *)&frameFs3, &context->uc_mcontext.sc_fpregs.d.f[19], 8);
  __asm__ volatile("li t0, -1\n li t1, -1\n li a2, -1\n li a3, -1\n li t6, -1\n"
                   "fmv.d.x ft0, zero\n fmv.d.x fa5, zero\n fscsr %0" ::"r"(0x3f)
                   : "t0", "t1", "a2", "a3", "t6", "ft0", "fa5");
  /* What is written into the frame arrives in the register. */
  context->uc_mcontext.sc_regs.s4 = 0x4444;
}

int registersMain(int argc, char **argv) {
  (void)argc, (void)argv;
  EXPECT(handle(SIGUSR1, clobber, 0, 0), 0);
  u64 t1, t6, s3, s4, fa5, csr, result;
  __asm__ volatile(
      "fscsr %[csrIn]\n"
      "li t1, 0x1111\n li t6, 0x6666\n li s3, 0x3333\n li s4, 0\n li a2, %[signal]\n"
      "fmv.d.x fa5, t1\n fmv.d.x fs3, t6\n"
      "mv a0, %[pid]\n mv a1, %[tid]\n li a7, %[nr]\n"
      "ecall\n"
      "mv %[result], a0\n frcsr %[csr]\n mv %[t1], t1\n mv %[t6], t6\n mv %[s3], s3\n mv %[s4], s4\n fmv.x.d %[fa5], fa5\n"
      "fscsr zero\n"
      : [t1] "=&r"(t1), [t6] "=&r"(t6), [s3] "=&r"(s3), [s4] "=&r"(s4), [fa5] "=&r"(fa5), [csr] "=&r"(csr), [result] "=&r"(result)
      : [csrIn] "r"(0x41L), [pid] "r"(sys(__NR_getpid)), [tid] "r"(sys(__NR_gettid)), [signal] "i"(SIGUSR1), [nr] "i"(__NR_tgkill)
      : "a0", "a1", "a2", "a7", "t1", "t6", "s3", "s4", "fa5", "fs3", "memory");
  EXPECT(result, 0);
  EXPECT(t1, 0x1111);
  EXPECT(t6, 0x6666);
  EXPECT(s3, 0x3333);
  EXPECT(s4, 0x4444);
  EXPECT(fa5, 0x1111);
  EXPECT(csr, 0x41);
  EXPECT(frameS3, 0x3333);
  EXPECT(frameFs3, 0x6666);
  CHECK(framePc > 0x1000);
  /* A system call changes a0 alone. */
  u64 a1, a2, a7;
  __asm__ volatile("li a1, 11\n li a2, 12\n li a7, %[nr]\n ecall\n mv %[a1], a1\n mv %[a2], a2\n mv %[a7], a7"
                   : [a1] "=&r"(a1), [a2] "=&r"(a2), [a7] "=&r"(a7)
                   : [nr] "i"(__NR_getpid)
                   : "a0", "a1", "a2", "a7");
  EXPECT(a1, 11);
  EXPECT(a2, 12);
  EXPECT(a7, __NR_getpid);
  /* Counters that programs may read. */
  u64 time1, time2, cycle1, cycle2;
  __asm__ volatile("rdtime %0\n rdcycle %1" : "=r"(time1), "=r"(cycle1));
  sleepNs(2000000);
  __asm__ volatile("rdtime %0\n rdcycle %1" : "=r"(time2), "=r"(cycle2));
  CHECK(time2 > time1);
  CHECK(cycle2 > cycle1);
  return report("registers");
}

/* --- code that changes --- */

typedef u64 function(void);
#define LI_A0(n) (0x00000513 | (u32)(n) << 20) /* addi a0, zero, n */
#define RET 0x00008067

static volatile int codeReady, codeDone;
static u32 *code;

static void *runner(void *argument) {
  (void)argument;
  for (int i = 1; i <= 50; i++) {
    while (__atomic_load_n(&codeReady, __ATOMIC_ACQUIRE) != i) {}
    __asm__ volatile("fence.i" ::: "memory");
    if (((function *)(void *)code)() != (u64)(i + 200)) return (void *)(long)i;
    __atomic_store_n(&codeDone, i, __ATOMIC_RELEASE);
  }
  return NULL;
}

int selfmodifyMain(int argc, char **argv) {
  (void)argc, (void)argv;
  probeSetup();
  code = (u32 *)mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  code[1] = RET;
  for (int i = 0; i < 100; i++) {
    code[0] = LI_A0(i);
    __asm__ volatile("fence.i" ::: "memory");
    EXPECT(((function *)(void *)code)(), i);
  }
  /* By the system call. */
  code[0] = LI_A0(777);
  EXPECT(sys(__NR_riscv_flush_icache, code, code + 2, 0), 0);
  EXPECT(((function *)(void *)code)(), 777);
  EXPECT(sys(__NR_riscv_flush_icache, code, code + 2, 77), -EINVAL);
  /* From another thread, which runs it too. */
  static struct thread t;
  EXPECT(threadStart(&t, runner, NULL), 0);
  for (int i = 1; i <= 50; i++) {
    code[0] = LI_A0(i + 200);
    sys(__NR_riscv_flush_icache, code, code + 2, 0);
    __atomic_store_n(&codeReady, i, __ATOMIC_RELEASE);
    while (__atomic_load_n(&codeDone, __ATOMIC_ACQUIRE) != i && t.tid != 0) {}
  }
  EXPECT(threadJoin(&t), 0);
  /* Written by a system call. */
  i32 ends[2];
  sys(__NR_pipe2, ends, 0);
  u32 instruction = LI_A0(55);
  sys(__NR_write, ends[1], &instruction, 4);
  EXPECT(sys(__NR_read, ends[0], code, 4), 4);
  __asm__ volatile("fence.i" ::: "memory");
  EXPECT(((function *)(void *)code)(), 55);
  /* Another page in its place. */
  EXPECT(mmap(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), code);
  code[0] = LI_A0(66), code[1] = RET;
  __asm__ volatile("fence.i" ::: "memory");
  EXPECT(((function *)(void *)code)(), 66);
  /* The instruction right behind the store that writes it. */
  code[0] = 0x00b52023; /* sw a1, 0(a0) */
  code[1] = 0x0000100f; /* fence.i */
  code[2] = LI_A0(1);
  code[3] = RET;
  __asm__ volatile("fence.i" ::: "memory");
  EXPECT(((u64(*)(u32 *, u64))(void *)code)(&code[2], LI_A0(99)), 99);
  EXPECT(((u64(*)(u32 *, u64))(void *)code)(&code[2], LI_A0(98)), 98);
  /* Through a second mapping of the same memory. */
  u8 *one = (u8 *)mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  u8 *two = (u8 *)sys(__NR_mremap, one, 0, PAGE, MREMAP_MAYMOVE);
  CHECK(!isError(two));
  EXPECT(sys(__NR_mprotect, two, PAGE, PROT_READ | PROT_EXEC), 0);
  for (int i = 0; i < 20; i++) {
    ((u32 *)(void *)one)[0] = LI_A0(300 + i), ((u32 *)(void *)one)[1] = RET;
    sys(__NR_riscv_flush_icache, two, two + 8, 0);
    EXPECT(((function *)(void *)two)(), 300 + i);
  }
  return report("selfmodify");
}

/* Instructions over the border of two pages: 4-byte ones, and the second page may be missing at first. */
static u8 *crossed;
static volatile int repairs;
static void repair(int signal, struct siginfo *info, struct ucontext *context) {
  (void)signal;
  if (++repairs > 3) quit(98);
  EXPECT(info->si_addr, crossed + PAGE);
  EXPECT(context->uc_mcontext.sc_regs.pc, crossed + PAGE - 2);
  sys(__NR_mprotect, crossed + PAGE, PAGE, PROT_READ | PROT_EXEC);
}

int crossingMain(int argc, char **argv) {
  (void)argc, (void)argv;
  crossed = (u8 *)mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  u32 instructions[2] = {LI_A0(123), RET};
  memcpy(crossed + PAGE - 2, instructions, 8);
  EXPECT(sys(__NR_mprotect, crossed, PAGE, PROT_READ | PROT_EXEC), 0);
  EXPECT(sys(__NR_mprotect, crossed + PAGE, PAGE, PROT_NONE), 0);
  EXPECT(handle(SIGSEGV, repair, 0, 0), 0);
  sys(__NR_riscv_flush_icache, crossed, crossed + 2 * PAGE, 0);
  EXPECT(((function *)(void *)(crossed + PAGE - 2))(), 123);
  EXPECT(repairs, 1);
  EXPECT(((function *)(void *)(crossed + PAGE - 2))(), 123);
  /* The second half changes. */
  EXPECT(sys(__NR_mprotect, crossed + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
  instructions[0] = LI_A0(321);
  memcpy(crossed + PAGE, (u8 *)instructions + 2, 2);
  __asm__ volatile("fence.i" ::: "memory");
  EXPECT(((function *)(void *)(crossed + PAGE - 2))(), 321);
  EXPECT(sys(__NR_munmap, crossed, 2 * PAGE), 0);
  return report("crossing");
}
#endif
