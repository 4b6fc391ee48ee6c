/* Signals: frames, masks, stacks, restart, waiting. */
#include "sys.h"

static volatile int handled, last, nested;
static siginfo told;
static volatile long on_stack;
static char alternate[16384] __attribute__((aligned(16)));

static void note(int signal, siginfo *info, ucontext *context) {
  handled++;
  last = signal;
  told = *info;
  (void)context;
}

static void change_registers(int signal, siginfo *info, ucontext *context) {
  (void)signal, (void)info;
  /* Over the two-byte or four-byte instruction that faulted, with another value in a0. */
  uint16_t low = *(uint16_t *)context->mc.sepc;
  context->mc.sepc += (low & 3) == 3 ? 4 : 2;
  context->mc.a[0] = 42;
  context->mc.f[8][0] = 0x4009000000000000;
}

static void where(int signal, siginfo *info, ucontext *context) {
  char here;
  on_stack = (long)&here;
  (void)signal, (void)info;
  TRUE(context->stack.sp == alternate && context->stack.size == sizeof alternate);
}

static void nest(int signal, siginfo *info, ucontext *context) {
  (void)info, (void)context;
  if (signal == SIGUSR1) {
    CALL(SYS_kill, CALL(SYS_getpid), SIGUSR1);
    CALL(SYS_kill, CALL(SYS_getpid), SIGUSR2);
    CHECK(nested, 0);
  } else nested++;
}

static long action(int signal, void (*handler)(int, siginfo *, ucontext *), int flags, sigset mask) {
  sigact fresh = {.handler = handler, .flags = flags, .mask = mask};
  return CALL(SYS_sigaction, signal, &fresh, 0);
}

static long pid;
static const sigset none;

static void sending(void) {
  CHECK(action(SIGUSR1, note, SA_SIGINFO, none), 0);
  CHECK(CALL(SYS_kill, pid, SIGUSR1), 0);
  CHECK(handled, 1);
  CHECK(last, SIGUSR1);
  CHECK(told.signo, SIGUSR1);
  CHECK(told.code, 0x10001);
  CHECK(told.pid, pid);
  long self;
  CALL(SYS_thr_self, &self);
  CHECK(CALL(SYS_thr_kill, self, SIGUSR1), 0);
  CHECK(told.code, 0x10007);
  CHECK(CALL(SYS_kill, pid, 0), 0);
  CHECK(CALL(SYS_kill, pid, 200), -EINVAL);
  CHECK(CALL(SYS_sigaction, 9, &(sigact){.handler = note}, 0), -EINVAL);
  sigact old;
  CHECK(CALL(SYS_sigaction, SIGUSR1, 0, &old), 0);
  TRUE(old.handler == note && old.flags == SA_SIGINFO);
  CHECK(action(SIGUSR1, note, SA_SIGINFO | SA_RESETHAND, none), 0);
  CALL(SYS_kill, pid, SIGUSR1);
  CHECK(CALL(SYS_sigaction, SIGUSR1, 0, &old), 0);
  TRUE(old.handler == 0);
}

static void masks(void) {
  sigset both = set_of(SIGUSR1), pending, before;
  both.bits[0] |= set_of(SIGUSR2).bits[0];
  CHECK(action(SIGUSR1, note, SA_SIGINFO, none), 0);
  CHECK(action(SIGUSR2, note, SA_SIGINFO, none), 0);
  CHECK(CALL(SYS_sigprocmask, SIG_BLOCK, &both, &before), 0);
  CHECK(before.bits[0] & both.bits[0], 0);
  handled = 0;
  CALL(SYS_kill, pid, SIGUSR2);
  CHECK(handled, 0);
  CHECK(CALL(SYS_sigpending, &pending), 0);
  CHECK(pending.bits[0] & both.bits[0], set_of(SIGUSR2).bits[0]);
  siginfo info;
  timespec soon = {0, 10000000};
  CHECK(CALL(SYS_sigtimedwait, &both, &info, &soon), SIGUSR2);
  CHECK(info.signo, SIGUSR2);
  CHECK(CALL(SYS_sigtimedwait, &both, &info, &soon), -EAGAIN);
  CALL(SYS_kill, pid, SIGUSR1);
  CHECK(CALL(SYS_sigsuspend, &none), -EINTR);
  CHECK(handled, 1);
  CHECK(CALL(SYS_sigprocmask, 7, &both, 0), -EINVAL);
  CHECK(CALL(SYS_sigprocmask, SIG_SETMASK, &none, 0), 0);
  sigset mask = set_of(SIGUSR2);
  CHECK(action(SIGUSR1, nest, SA_SIGINFO, mask), 0);
  CHECK(action(SIGUSR2, nest, SA_SIGINFO, none), 0);
  nested = 0;
  sigact once = {.handler = nest, .flags = SA_SIGINFO | SA_RESETHAND, .mask = mask};
  CHECK(CALL(SYS_sigaction, SIGUSR1, &once, 0), 0);
  CALL(SYS_sigprocmask, SIG_BLOCK, &both, 0);
  CALL(SYS_kill, pid, SIGUSR2);
  CALL(SYS_sigprocmask, SIG_SETMASK, &none, 0);
  CHECK(nested, 1);
}

static void faults(void) {
  CHECK(action(SIGSEGV, change_registers, SA_SIGINFO, none), 0);
  register long a0 asm("a0") = 8;
  double f = 1;
  asm volatile("fmv.d fs0, %1\nsd zero, 0(%0)\nfmv.d %1, fs0" : "+r"(a0), "+f"(f) : : "fs0", "memory");
  CHECK(a0, 42);
  TRUE(f == 3.125);
  struct { void *sp; size_t size; int flags; } stack = {alternate, sizeof alternate, 0}, old;
  CHECK(CALL(SYS_sigaltstack, &stack, &old), 0);
  CHECK(old.flags, 4);
  CHECK(action(SIGUSR1, where, SA_SIGINFO | SA_ONSTACK, none), 0);
  CALL(SYS_kill, pid, SIGUSR1);
  TRUE(on_stack > (long)alternate && on_stack < (long)(alternate + sizeof alternate));
  stack.size = 100;
  CHECK(CALL(SYS_sigaltstack, &stack, 0), -ENOMEM);
}

static int ends[2];
static volatile int go_on;

static void signal_reader(void *argument) {
  timespec t = {0, 30000000};
  CALL(SYS_nanosleep, &t, 0);
  CALL(SYS_thr_kill, (long)argument, SIGUSR1);
  while (!handled) ;
  CALL(SYS_nanosleep, &t, 0);
  CALL(SYS_write, ends[1], "z", 1);
}

static void restart(void) {
  long self;
  CALL(SYS_thr_self, &self);
  CHECK(CALL(SYS_pipe2, ends, 0), 0);
  for (int restarts = 0; restarts < 2; restarts++) {
    CHECK(action(SIGUSR1, note, SA_SIGINFO | (restarts ? SA_RESTART : 0), none), 0);
    handled = 0;
    thread t;
    char byte;
    start(&t, signal_reader, (void *)self);
    long result = CALL(SYS_read, ends[0], &byte, 1);
    CHECK(result, restarts ? 1 : -EINTR);
    join(&t);
    if (!restarts) CALL(SYS_read, ends[0], &byte, 1);
  }
  timespec t = {0, 1000000}, bad = {0, -1};
  CHECK(CALL(SYS_nanosleep, &t, 0), 0);
  CHECK(CALL(SYS_nanosleep, &bad, 0), -EINVAL);
  /* These give their error as the result. */
  CHECK(CALL(SYS_clock_nanosleep, 4, 0, &t, 0), 0);
  CHECK(CALL(SYS_clock_nanosleep, 4, 0, &bad, 0), EINVAL);
}

static int die(void *argument) {
  action((long)argument, 0, 0, none);
  CALL(SYS_kill, CALL(SYS_getpid), argument);
  return 1;
}

static void children(void) {
  CHECK(in_child(die, (void *)SIGUSR1), -SIGUSR1);
  CHECK(in_child(die, (void *)SIGBUS), -SIGBUS);
  CHECK(action(SIGCHLD, note, SA_SIGINFO, none), 0);
  handled = 0;
  long child = CALL(SYS_fork);
  if (child == 0) CALL(SYS_exit, 9);
  siginfo info = {0};
  int status;
  CHECK(CALL(SYS_wait6, 0, child, &status, 16, 0, &info) , child);
  CHECK(status, 9 << 8);
  CHECK(info.signo, SIGCHLD);
  CHECK(info.status, 9);
  CHECK(CALL(SYS_wait4, -1, &status, 0, 0), -ECHILD);
  timespec pause = {0, 1000000};
  for (int i = 0; i < 1000 && !handled; i++) CALL(SYS_nanosleep, &pause, 0);
  CHECK(last, SIGCHLD);
  CHECK(told.pid, child);
}

void signals(const char *folder) {
  (void)folder;
  pid = CALL(SYS_getpid);
  sending();
  masks();
  faults();
  restart();
  children();
}
