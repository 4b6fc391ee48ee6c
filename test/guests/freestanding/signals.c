/* Signals: handlers, masks, alternate stacks, restart, faults that are mended, timers. */
#include "sys.h"

static volatile int got[65], lastCode, lastValue, handlerOnStack;
static volatile i64 lastPid;
static u8 *alternate;

static void note(int signal, struct siginfo *info, void *context) {
  (void)context;
  u64 here = (u64)__builtin_frame_address(0);
  got[signal]++;
  lastCode = info->si_code;
  lastPid = info->si_pid;
  lastValue = info->_sifields._rt._sigval.sival_int;
  handlerOnStack = alternate && here >= (u64)alternate && here < (u64)alternate + 65536;
}

static u64 blocked(void) {
  u64 mask = 0;
  sys(__NR_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
  return mask;
}

static long block(int how, u64 mask) { return sys(__NR_rt_sigprocmask, how, &mask, NULL, 8); }

static long me(int signal) { return sys(__NR_tgkill, sys(__NR_getpid), sys(__NR_gettid), signal); }

static void basics(void) {
  EXPECT(handle(SIGUSR1, note, 0, 0), 0);
  EXPECT(me(SIGUSR1), 0);
  EXPECT(got[SIGUSR1], 1);
  EXPECT(lastCode, SI_TKILL);
  EXPECT(lastPid, sys(__NR_getpid));
  EXPECT(sys(__NR_kill, sys(__NR_getpid), SIGUSR1), 0);
  EXPECT(got[SIGUSR1], 2);
  EXPECT(lastCode, SI_USER);
  /* Blocked signals wait; standard ones merge. */
  EXPECT(block(SIG_BLOCK, SIGBIT(SIGUSR1)), 0);
  me(SIGUSR1);
  me(SIGUSR1);
  EXPECT(got[SIGUSR1], 2);
  u64 pending = 0;
  EXPECT(sys(__NR_rt_sigpending, &pending, 8), 0);
  EXPECT(pending, SIGBIT(SIGUSR1));
  EXPECT(block(SIG_UNBLOCK, SIGBIT(SIGUSR1)), 0);
  EXPECT(got[SIGUSR1], 3);
  /* Real-time signals queue, with their values. */
  EXPECT(handle(40, note, 0, 0), 0);
  block(SIG_BLOCK, SIGBIT(40));
  struct siginfo info;
  memset(&info, 0, sizeof info);
  for (int i = 0; i < 5; i++) {
    info.si_signo = 40;
    info.si_code = SI_QUEUE;
    info._sifields._rt._pid = (int)sys(__NR_getpid);
    info._sifields._rt._sigval.sival_int = 100 + i;
    EXPECT(sys(__NR_rt_tgsigqueueinfo, sys(__NR_getpid), sys(__NR_gettid), 40, &info), 0);
  }
  block(SIG_UNBLOCK, SIGBIT(40));
  EXPECT(got[40], 5);
  EXPECT(lastCode, SI_QUEUE);
  EXPECT(lastValue, 104);
  /* The mask of the handler. */
  EXPECT(blocked(), 0);
  /* Ignored signals go. */
  EXPECT(handle(SIGUSR2, SIG_IGN, 0, 0), 0);
  EXPECT(me(SIGUSR2), 0);
  EXPECT(handle(SIGUSR2, note, 0, 0), 0);
  EXPECT(got[SIGUSR2], 0);
  /* One shot. */
  EXPECT(handle(SIGUSR2, note, SA_RESETHAND, 0), 0);
  EXPECT(me(SIGUSR2), 0);
  EXPECT(got[SIGUSR2], 1);
  struct action old;
  EXPECT(sys(__NR_rt_sigaction, SIGUSR2, NULL, &old, 8), 0);
  EXPECT(old.handler, SIG_DFL);
  /* What may not be handled, and what isn't a signal. */
  EXPECT(handle(SIGKILL, note, 0, 0), -EINVAL);
  EXPECT(handle(SIGSTOP, note, 0, 0), -EINVAL);
  EXPECT(handle(65, note, 0, 0), -EINVAL);
  EXPECT(handle(0, note, 0, 0), -EINVAL);
  EXPECT(me(65), -EINVAL);
  EXPECT(me(-1), -EINVAL);
  EXPECT(me(0), 0);
  EXPECT(sys(__NR_tgkill, sys(__NR_getpid), 0x3ffffff, SIGUSR1), -ESRCH);
  EXPECT(sys(__NR_rt_sigaction, SIGUSR1, NULL, NULL, 4), -EINVAL);
  EXPECT(sys(__NR_rt_sigprocmask, 7, &pending, NULL, 8), -EINVAL);
}

static volatile u64 maskInHandler;
static void noteMask(int signal, struct siginfo *info, void *context) {
  (void)info, (void)context;
  got[signal]++;
  maskInHandler = blocked();
}

static void masks(void) {
  EXPECT(handle(SIGUSR1, noteMask, 0, SIGBIT(SIGHUP) | SIGBIT(45)), 0);
  me(SIGUSR1);
  EXPECT(maskInHandler, SIGBIT(SIGHUP) | SIGBIT(45) | SIGBIT(SIGUSR1));
  EXPECT(blocked(), 0);
  EXPECT(handle(SIGUSR1, noteMask, SA_NODEFER, 0), 0);
  me(SIGUSR1);
  EXPECT(maskInHandler, 0);
  /* KILL and STOP can't be blocked. */
  EXPECT(block(SIG_SETMASK, -1UL), 0);
  EXPECT(blocked(), ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP)));
  EXPECT(block(SIG_SETMASK, 0), 0);
}

static void alternateStack(void) {
  alternate = allocate(65536);
  stack_t stack = {.ss_sp = alternate, .ss_size = 65536, .ss_flags = 0}, old;
  EXPECT(sys(__NR_sigaltstack, &stack, NULL), 0);
  EXPECT(sys(__NR_sigaltstack, NULL, &old), 0);
  EXPECT(old.ss_sp, alternate);
  EXPECT(old.ss_flags, 0);
  EXPECT(handle(SIGUSR1, note, SA_ONSTACK, 0), 0);
  me(SIGUSR1);
  EXPECT(handlerOnStack, 1);
  EXPECT(handle(SIGUSR1, note, 0, 0), 0);
  me(SIGUSR1);
  EXPECT(handlerOnStack, 0);
  stack.ss_size = 100;
  EXPECT(sys(__NR_sigaltstack, &stack, NULL), -ENOMEM);
  stack.ss_flags = 77;
  EXPECT(sys(__NR_sigaltstack, &stack, NULL), -EINVAL);
  stack.ss_flags = SS_DISABLE;
  EXPECT(sys(__NR_sigaltstack, &stack, NULL), 0);
  EXPECT(sys(__NR_sigaltstack, NULL, &old), 0);
  EXPECT(old.ss_flags, SS_DISABLE);
}

/* A fault that the handler mends: the instruction runs again. */
static u8 *guarded;
static volatile int mended;
static void mend(int signal, struct siginfo *info, void *context) {
  (void)context;
  got[signal]++;
  lastCode = info->si_code;
  if ((u64)info->si_addr < (u64)guarded || (u64)info->si_addr >= (u64)guarded + 2 * PAGE) quit(99);
  sys(__NR_mprotect, (u64)info->si_addr & -PAGE, PAGE, PROT_READ | PROT_WRITE);
  mended++;
}

static void faults(void) {
  guarded = (u8 *)mmap(0, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(handle(SIGSEGV, mend, 0, 0), 0);
  *(volatile u64 *)guarded = 0x1122334455667788UL;
  EXPECT(mended, 1);
  EXPECT(lastCode, SEGV_ACCERR);
  EXPECT(*(volatile u64 *)guarded, 0x1122334455667788UL);
  EXPECT(*(volatile u32 *)(guarded + PAGE + 4), 0);
  EXPECT(mended, 2);
  /* A store over two pages, of which the second faults, is not half done when the handler looks. */
  sys(__NR_mprotect, guarded + PAGE, PAGE, PROT_READ);
  *(volatile u64 *)(guarded + PAGE - 4) = 0xaabbccddeeff0011UL;
  EXPECT(mended, 3);
  EXPECT(*(volatile u64 *)(guarded + PAGE - 4), 0xaabbccddeeff0011UL);
  EXPECT(handle(SIGSEGV, SIG_DFL, 0, 0), 0);
  EXPECT(sys(__NR_munmap, guarded, 2 * PAGE), 0);
}

/* --- blocking calls --- */

static i32 ends[2];
static volatile i32 mainTid;

static void *poke(void *argument) {
  sleepNs(30000000);
  EXPECT(sys(__NR_tgkill, sys(__NR_getpid), mainTid, (long)argument), 0);
  sleepNs(30000000);
  EXPECT(sys(__NR_write, ends[1], "x", 1), 1);
  return NULL;
}

/* A signal first, which the waiting futex call should outlive, then what it waits for. */
static void *pokeAndWake(void *argument) {
  volatile i32 *word = argument;
  sys(__NR_tgkill, sys(__NR_getpid), mainTid, SIGUSR1);
  poke((void *)(long)SIGUSR1);
  *word = 1;
  while (futex(word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) sleepNs(1000000);
  return NULL;
}

static void restart(void) {
  static struct thread t;
  u8 byte;
  mainTid = (i32)sys(__NR_gettid);
  EXPECT(sys(__NR_pipe2, ends, 0), 0);
  /* Without SA_RESTART the read ends with EINTR. */
  got[SIGUSR1] = 0;
  handle(SIGUSR1, note, 0, 0);
  EXPECT(threadStart(&t, poke, (void *)(long)SIGUSR1), 0);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), -EINTR);
  EXPECT(got[SIGUSR1], 1);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  threadJoin(&t);
  /* With it the read goes on. */
  handle(SIGUSR1, note, SA_RESTART, 0);
  EXPECT(threadStart(&t, poke, (void *)(long)SIGUSR1), 0);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  EXPECT(got[SIGUSR1], 2);
  threadJoin(&t);
  /* poll isn't restarted even so; nor is a sleep, which says how much is left. */
  struct pollfd p = {.fd = ends[0], .events = POLLIN};
  EXPECT(threadStart(&t, poke, (void *)(long)SIGUSR1), 0);
  EXPECT(sys(__NR_ppoll, &p, 1, NULL, NULL, 8), -EINTR);
  threadJoin(&t);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  struct __kernel_timespec ask = {5, 0}, left = {0, 0};
  EXPECT(threadStart(&t, poke, (void *)(long)SIGUSR1), 0);
  EXPECT(sys(__NR_nanosleep, &ask, &left), -EINTR);
  CHECK(left.tv_sec == 4 || (left.tv_sec == 3 && left.tv_nsec > 0));
  threadJoin(&t);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  /* Nor is a futex wait with a timeout; one without is. */
  static volatile i32 never;
  struct __kernel_timespec limit = {5, 0};
  EXPECT(threadStart(&t, poke, (void *)(long)SIGUSR1), 0);
  EXPECT(futex(&never, FUTEX_WAIT, 0, &limit, NULL, 0), -EINTR);
  threadJoin(&t);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  EXPECT(threadStart(&t, pokeAndWake, (void *)&never), 0);
  EXPECT(futex(&never, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
  EXPECT(never, 1);
  threadJoin(&t);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  /* A signal that is ignored disturbs nothing. */
  handle(SIGUSR2, SIG_IGN, 0, 0);
  EXPECT(threadStart(&t, poke, (void *)(long)SIGUSR2), 0);
  EXPECT(sys(__NR_read, ends[0], &byte, 1), 1);
  threadJoin(&t);
  /* sigsuspend opens the mask for as long as it waits. */
  got[SIGUSR1] = 0;
  block(SIG_BLOCK, SIGBIT(SIGUSR1));
  me(SIGUSR1);
  EXPECT(got[SIGUSR1], 0);
  u64 open = 0;
  EXPECT(sys(__NR_rt_sigsuspend, &open, 8), -EINTR);
  EXPECT(got[SIGUSR1], 1);
  EXPECT(blocked(), SIGBIT(SIGUSR1));
  /* sigtimedwait takes a pending one without a handler. */
  me(SIGUSR1);
  u64 set = SIGBIT(SIGUSR1);
  struct siginfo info;
  struct __kernel_timespec soon = {0, 20000000};
  EXPECT(sys(__NR_rt_sigtimedwait, &set, &info, &soon, 8), SIGUSR1);
  EXPECT(info.si_signo, SIGUSR1);
  EXPECT(got[SIGUSR1], 1);
  EXPECT(sys(__NR_rt_sigtimedwait, &set, &info, &soon, 8), -EAGAIN);
  block(SIG_SETMASK, 0);
  /* A pipe without a reader. */
  handle(SIGPIPE, note, 0, 0);
  EXPECT(sys(__NR_close, ends[0]), 0);
  EXPECT(sys(__NR_write, ends[1], "x", 1), -EPIPE);
  EXPECT(got[SIGPIPE], 1);
  EXPECT(sys(__NR_close, ends[1]), 0);
}

/* A thread that only computes is interrupted all the same. */
static volatile int leave;
static void onLeave(int signal, struct siginfo *info, void *context) {
  (void)info, (void)context;
  got[signal]++;
  leave = 1;
}
static void *spin(void *argument) {
  volatile u64 n = 0;
  while (!leave) n++;
  return argument;
}

static void asynchronous(void) {
  static struct thread t[2];
  got[SIGUSR1] = 0;
  handle(SIGUSR1, onLeave, 0, 0);
  EXPECT(threadStart(&t[0], spin, (void *)1L), 0);
  sleepNs(20000000);
  EXPECT(sys(__NR_tgkill, sys(__NR_getpid), t[0].tid, SIGUSR1), 0);
  EXPECT(threadJoin(&t[0]), 1);
  EXPECT(got[SIGUSR1], 1);
  /* Sent to the process, it goes to a thread that doesn't block it. */
  leave = 0;
  EXPECT(threadStart(&t[0], spin, (void *)1L), 0);
  block(SIG_BLOCK, SIGBIT(SIGUSR1));
  EXPECT(sys(__NR_kill, sys(__NR_getpid), SIGUSR1), 0);
  EXPECT(threadJoin(&t[0]), 1);
  EXPECT(got[SIGUSR1], 2);
  block(SIG_SETMASK, 0);
}

int signalsMain(int argc, char **argv) {
  (void)argc, (void)argv;
  basics();
  masks();
  alternateStack();
  faults();
  restart();
  asynchronous();
  return report("signals");
}

struct interval {
  struct {
    long seconds, microseconds;
  } every, first;
};
struct timerSpec {
  struct __kernel_timespec every, first;
};

int timersMain(int argc, char **argv) {
  (void)argc, (void)argv;
  u64 start = now();
  sleepNs(30000000);
  CHECK(now() - start >= 30000000);
  struct __kernel_timespec bad = {0, -1}, at;
  EXPECT(sys(__NR_nanosleep, &bad, NULL), -EINVAL);
  /* Absolute sleep: one that has passed ends at once. */
  sys(__NR_clock_gettime, 1, &at);
  EXPECT(sys(__NR_clock_nanosleep, 1, 1, &at, NULL), 0);
  at.tv_nsec += 30000000;
  if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
  EXPECT(sys(__NR_clock_nanosleep, 1, 1, &at, NULL), 0);
  CHECK(now() >= (u64)at.tv_sec * 1000000000UL + (u64)at.tv_nsec);

  EXPECT(handle(SIGALRM, note, SA_RESTART, 0), 0);
  struct interval once = {{0, 0}, {0, 20000}}, off = {{0, 0}, {0, 0}}, was;
  EXPECT(sys(__NR_setitimer, 0, &once, NULL), 0);
  while (!got[SIGALRM]) sleepNs(1000000);
  EXPECT(got[SIGALRM], 1);
  EXPECT(lastCode, SI_KERNEL);
  struct interval periodic = {{0, 5000}, {0, 5000}};
  EXPECT(sys(__NR_setitimer, 0, &periodic, &was), 0);
  EXPECT(was.first.seconds | was.first.microseconds, 0);
  for (volatile u64 n = 0; got[SIGALRM] < 4; n++) {}
  EXPECT(sys(__NR_getitimer, 0, &was), 0);
  EXPECT(was.every.microseconds, 5000);
  EXPECT(sys(__NR_setitimer, 0, &off, NULL), 0);
  EXPECT(sys(__NR_setitimer, 9, &off, NULL), -EINVAL);

  /* CPU time of the process. */
  EXPECT(handle(SIGPROF, note, SA_RESTART, 0), 0);
  struct interval profile = {{0, 10000}, {0, 10000}};
  EXPECT(sys(__NR_setitimer, 2, &profile, NULL), 0);
  for (volatile u64 n = 0; got[SIGPROF] < 3; n++) {}
  EXPECT(sys(__NR_setitimer, 2, &off, NULL), 0);

  struct sigevent {
    union {
      int number;
      void *pointer;
    } value;
    int signal, notify, tid;
    int rest[11];
  } event;
  memset(&event, 0, sizeof event);
  event.value.number = 4711;
  event.signal = 41;
  event.notify = 4; /* SIGEV_THREAD_ID */
  event.tid = (int)sys(__NR_gettid);
  EXPECT(handle(41, note, SA_RESTART, 0), 0);
  int id = -1;
  EXPECT(sys(__NR_timer_create, 1, &event, &id), 0);
  struct timerSpec spec = {{0, 10000000}, {0, 10000000}}, left;
  EXPECT(sys(__NR_timer_settime, id, 0, &spec, NULL), 0);
  while (got[41] < 3) sleepNs(1000000);
  EXPECT(lastCode, SI_TIMER);
  EXPECT(lastValue, 4711);
  EXPECT(sys(__NR_timer_gettime, id, &left), 0);
  EXPECT(left.every.tv_nsec, 10000000);
  CHECK(left.first.tv_sec == 0 && left.first.tv_nsec <= 10000000);
  EXPECT(sys(__NR_timer_delete, id), 0);
  EXPECT(sys(__NR_timer_delete, id), -EINVAL);
  EXPECT(sys(__NR_timer_settime, 12345, 0, &spec, NULL), -EINVAL);
  EXPECT(sys(__NR_timer_create, 99, &event, &id), -EINVAL);
  return report("timers");
}
