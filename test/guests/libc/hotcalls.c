/* The calls that programs make all the time, and what is out of the ordinary in each: what is rare goes another way than what is common. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* linux/futex.h, which not every C library has. */
enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET, FUTEX_PRIVATE = 128, FUTEX_CLOCK_REALTIME = 256 };
#define FUTEX_WAIT_PRIVATE (FUTEX_WAIT | FUTEX_PRIVATE)
#define FUTEX_WAKE_PRIVATE (FUTEX_WAKE | FUTEX_PRIVATE)
#define FUTEX_WAIT_BITSET_PRIVATE (FUTEX_WAIT_BITSET | FUTEX_PRIVATE)
#define FUTEX_WAKE_BITSET_PRIVATE (FUTEX_WAKE_BITSET | FUTEX_PRIVATE)

static char *pages, *none;

static const char *name(int error) {
  static const struct { int error; const char *name; } names[] = {
    {EINVAL, "EINVAL"}, {EFAULT, "EFAULT"}, {EAGAIN, "EAGAIN"}, {ENOMEM, "ENOMEM"}, {ENOSYS, "ENOSYS"}, {ETIMEDOUT, "ETIMEDOUT"},
  };
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].error == error) return names[i].name;
  return strerror(error);
}

static void say(const char *what, long result) { printf("%s: %s\n", what, result < 0 ? name(errno) : "well"); }
static void value(const char *what, long result) { printf("%s: %ld\n", what, result); }

static void identity(void) {
  value("pid is tid", syscall(SYS_getpid) == syscall(SYS_gettid));
  value("uids", syscall(SYS_getuid) == getuid() && syscall(SYS_geteuid) == geteuid());
  value("gids", syscall(SYS_getgid) == getgid() && syscall(SYS_getegid) == getegid());
  pid_t me = getpid();
  pid_t child = fork();
  if (child == 0) _exit(syscall(SYS_getppid) == me && syscall(SYS_getpid) != me ? 7 : 1);
  int status;
  waitpid(child, &status, 0);
  value("the child's parent", WEXITSTATUS(status));
}

static void clocks(void) {
  struct timespec before, after;
  for (int clock = 0; clock < 2; clock++) {
    clock_gettime(clock, &before);
    int back = 0, wrong = 0;
    for (int i = 0; i < 5000; i++) {
      syscall(SYS_clock_gettime, clock, &after);
      back += after.tv_sec < before.tv_sec || (after.tv_sec == before.tv_sec && after.tv_nsec < before.tv_nsec);
      wrong += after.tv_nsec < 0 || after.tv_nsec > 999999999;
      before = after;
    }
    printf("clock %d: %d times back, %d times wrong\n", clock, back, wrong);
  }
  clock_gettime(CLOCK_REALTIME, &before);
  value("the century", before.tv_sec > 1600000000);
  /* Over the end of a page, misaligned, and where nothing is. */
  say("clock over a page's end", syscall(SYS_clock_gettime, 0, pages + 4096 - 8));
  say("clock misaligned", syscall(SYS_clock_gettime, 1, pages + 3));
  memcpy(&after, pages + 3, sizeof after);
  value("it says", after.tv_nsec >= 0 && after.tv_nsec <= 999999999);
  say("clock nowhere", syscall(SYS_clock_gettime, 0, none));
  say("clock at the end of what is there", syscall(SYS_clock_gettime, 0, none - 8));
  say("clock far away", syscall(SYS_clock_gettime, 0, (char *)-16));
  say("no clock", syscall(SYS_clock_gettime, 1000, &after));
}

static int caught;
static void handler(int signal) { caught += signal; }

static void masks(void) {
  const uint64_t usr1 = 1ull << (SIGUSR1 - 1), usr2 = 1ull << (SIGUSR2 - 1), rt = 1ull << 63;
  uint64_t set = usr1, old = 77, now;
#define MASK(how, set, old) syscall(SYS_rt_sigprocmask, how, set, old, 8)
  MASK(SIG_SETMASK, NULL, &now);
  value("nothing is blocked", now == 0);
  say("block", MASK(SIG_BLOCK, &set, &old));
  value("old", (long)old);
  set = rt | usr2;
  say("block more", MASK(SIG_BLOCK, &set, &old));
  value("old", old == usr1);
  set = usr1 | 1ull << (SIGKILL - 1);
  say("unblock", MASK(SIG_UNBLOCK, &set, &old));
  MASK(0, NULL, &now);
  value("left", now == (rt | usr2) && old == (rt | usr1 | usr2));
  set = ~0ull;
  say("all", MASK(SIG_SETMASK, &set, NULL));
  MASK(0, NULL, &now);
  value("but two", now == (~0ull & ~(1ull << (SIGKILL - 1)) & ~(1ull << (SIGSTOP - 1))));
  /* One place for both. */
  set = usr1;
  say("set and old in one", MASK(SIG_SETMASK, &set, &set));
  value("what was", set == now);
  MASK(0, NULL, &now);
  value("what is", now == usr1);
  say("how", MASK(7, &set, NULL));
  say("how, with nothing to set", MASK(7, NULL, &now));
  say("size", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 16));
  say("set nowhere", MASK(SIG_BLOCK, (void *)none, NULL));
  memcpy(pages + 4096 - 4, &usr2, 8);
  say("set over a page's end", MASK(SIG_SETMASK, (void *)(pages + 4096 - 4), (void *)(pages + 8192 - 4)));
  memcpy(&now, pages + 8192 - 4, 8);
  value("old", now == usr1);
  set = 0;
  say("old nowhere", MASK(SIG_SETMASK, &set, (void *)none));
  MASK(0, NULL, &now);
  value("set all the same", now == 0);
  /* A signal that is pending comes as soon as it is unblocked, whichever way it was sent. */
  signal(SIGUSR1, handler);
  signal(SIGUSR2, handler);
  set = usr1 | usr2;
  MASK(SIG_BLOCK, &set, NULL);
  raise(SIGUSR1);
  kill(getpid(), SIGUSR2);
  value("caught", caught);
  set = usr1;
  MASK(SIG_UNBLOCK, &set, NULL);
  value("caught", caught == SIGUSR1);
  set = 0;
  MASK(SIG_SETMASK, &set, NULL);
  value("caught", caught == SIGUSR1 + SIGUSR2);
}

static void *signalProcess(void *argument) {
  kill(getpid(), SIGUSR1);
  return argument;
}

/* A signal of the process that the thread blocks is another thread's; that of a thread that ends with it pending is, too. */
static void *endsWithSignal(void *argument) {
  sigset_t set;
  sigfillset(&set);
  pthread_sigmask(SIG_SETMASK, &set, NULL);
  pthread_kill(pthread_self(), SIGUSR2);
  kill(getpid(), SIGUSR1);
  return argument;
}

static void threadSignals(void) {
  pthread_t thread;
  caught = 0;
  for (int i = 0; i < 20; i++) {
    pthread_create(&thread, NULL, i & 1 ? signalProcess : endsWithSignal, NULL);
    pthread_join(thread, NULL);
  }
  /* USR2 goes with the thread, which has blocked it. */
  value("caught by somebody", caught > 0 && caught % SIGUSR1 == 0);
}

static int word;
#define FUTEX(at, op, value, timeout) syscall(SYS_futex, at, op, value, timeout, NULL, ~0u)

static void futexes(void) {
  say("another value", FUTEX(&word, FUTEX_WAIT, 1, NULL));
  say("another value, private", FUTEX(&word, FUTEX_WAIT_PRIVATE, 1, NULL));
  say("no bits", syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
  say("misaligned", FUTEX((char *)&word + 2, FUTEX_WAIT_PRIVATE, 0, NULL));
  say("nowhere", FUTEX(none, FUTEX_WAIT_PRIVATE, 0, NULL));
  say("nowhere, shared", FUTEX(none, FUTEX_WAKE, 1, NULL));
  say("nowhere, woken", FUTEX(none, FUTEX_WAKE_PRIVATE, 1, NULL));
  say("a clock for waking", FUTEX(&word, FUTEX_WAKE_PRIVATE | FUTEX_CLOCK_REALTIME, 1, NULL));
  value("nobody", FUTEX(&word, FUTEX_WAKE_PRIVATE, 1, NULL));
  /* A page that is not there yet holds zeros. */
  say("a new page", FUTEX(pages + 5 * 4096, FUTEX_WAIT_PRIVATE, 1, NULL));
  struct timespec soon = {0, 1000000};
  say("late", FUTEX(&word, FUTEX_WAIT_PRIVATE, 0, &soon));
}

static int waiting;
static void *waiter(void *argument) {
  __atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0)
    syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (long)argument);
  return NULL;
}

/* More than one turn of a wake takes, by count and by bits. */
static void crowd(void) {
  pthread_t threads[30];
  for (long i = 0; i < 30; i++) pthread_create(&threads[i], NULL, waiter, (void *)(i < 5 ? 1l : 2l));
  while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 30) sched_yield();
  int few = 0, rest = 0;
  while (few < 5) few += (int)syscall(SYS_futex, &word, FUTEX_WAKE_BITSET_PRIVATE, 5 - few, NULL, NULL, 1);
  value("by bits", few);
  __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
  rest = (int)syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1000);
  value("no more than there are", rest <= 30);
  for (int i = 0; i < 30; i++) pthread_join(threads[i], NULL);
  value("nobody is left", FUTEX(&word, FUTEX_WAKE_PRIVATE, 1000, NULL));
}

static void advice(void) {
  memset(pages, 1, 4 * 4096);
  say("drop", syscall(SYS_madvise, pages, 2 * 4096, MADV_DONTNEED));
  printf("%d %d\n", pages[4096], pages[2 * 4096]);
  say("drop again", syscall(SYS_madvise, pages, 2 * 4096, MADV_DONTNEED));
  say("nothing", syscall(SYS_madvise, pages, 0, MADV_DONTNEED));
  say("part of a page", syscall(SYS_madvise, pages, 1, MADV_DONTNEED));
  say("misaligned", syscall(SYS_madvise, pages + 1, 4096, MADV_DONTNEED));
  say("into a hole", syscall(SYS_madvise, none - 4096, 2 * 4096, MADV_DONTNEED));
  say("a hole", syscall(SYS_madvise, none, 4096, MADV_DONTNEED));
  say("too long", syscall(SYS_madvise, pages, -4096l, MADV_DONTNEED));
  /* Over two mappings, the first of which may not be accessed. */
  mprotect(pages, 4096, PROT_NONE);
  say("a guard", syscall(SYS_madvise, pages, 2 * 4096, MADV_DONTNEED));
  mprotect(pages, 4096, PROT_READ | PROT_WRITE);
  mlock(pages, 4096);
  say("locked", syscall(SYS_madvise, pages, 2 * 4096, MADV_DONTNEED));
  munlock(pages, 4096);
}

static void robust(void) {
  struct { void *next; long offset; void *pending; } head = {&head, 0, NULL};
  (void)head;
  say("size of the list's head", syscall(SYS_set_robust_list, &head, 8));
}

static int childRan;
static int run(void *argument) {
  (void)argument;
  __atomic_fetch_add(&childRan, 1, __ATOMIC_SEQ_CST);
  return 0;
}

/* The words that clone writes, and what exit clears, in memory of the thread's own and in memory that is shared. */
static void clones(void) {
  static char stack[65536] __attribute__((aligned(16)));
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  static int own, parent;
  int *words[] = {&own, shared};
  for (int i = 0; i < 2; i++)
    for (int round = 0; round < 3; round++) {
      *words[i] = -1;
      parent = -1;
      /* With the caller's TLS the thread may hardly use the library: this one does not. */
      int tid = clone(run, stack + sizeof stack, flags, NULL, &parent, __builtin_thread_pointer(), words[i]);
      for (int seen; (seen = __atomic_load_n(words[i], __ATOMIC_SEQ_CST)) != 0;) FUTEX(words[i], FUTEX_WAIT, seen, NULL);
      if (tid != parent || *words[i] != 0) printf("%d %d %d\n", tid, parent, *words[i]);
      for (int tries = 0; tries < 1000 && syscall(SYS_tgkill, getpid(), tid, 0) == 0; tries++) usleep(1000);
    }
  value("ran", childRan);
  say("threads share signal actions", clone(run, stack + sizeof stack, CLONE_THREAD | CLONE_VM, NULL));
}

static void *ends(void *argument) {
  for (volatile long i = 0; i < (long)argument; i++) {}
  return NULL;
}

/* Threads that end together with the first one: whichever is the last, the process ends with them. */
static void ending(void) {
  int right = 0;
  for (long i = 0; i < 120; i++) {
    pid_t child = fork();
    if (child == 0) {
      pthread_t threads[3];
      for (long n = 0; n < 3; n++) pthread_create(&threads[n], NULL, ends, (void *)(i * n * 37 % 5000));
      if (i % 3 == 0) sched_yield();
      syscall(i & 1 ? SYS_exit : SYS_exit_group, 3);
    }
    int status = 0;
    /* Of threads that all end by themselves, the status is the first one's, or (Linux 5.17) that of the last to end. */
    right += waitpid(child, &status, 0) == child && WIFEXITED(status) && (WEXITSTATUS(status) == 3 || ((i & 1) && WEXITSTATUS(status) == 0));
  }
  value("ended", right);
}

int main(void) {
  pages = mmap(NULL, 17 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  none = pages + 16 * 4096;
  munmap(none, 4096);
  identity();
  clocks();
  masks();
  threadSignals();
  futexes();
  crowd();
  advice();
  robust();
  clones();
  ending();
}
