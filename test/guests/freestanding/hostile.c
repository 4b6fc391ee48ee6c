/* Wild pointers and wild numbers in system calls. */
#include "sys.h"

static const u64 wild[] = {
    8,                     /* in the page that is never mapped */
    0x4000000000000000UL,  /* no address at all */
    0xffffffff80000000UL,  /* the kernel's half */
    0xfffffffffffffff8UL,  /* wraps round */
    0x0000003ffffff000UL,  /* the end of the address space */
};
#define WILD (sizeof wild / sizeof *wild)

/* A string that goes on into a page that isn't there. */
static u8 *edge;

#define FAULT(...) EXPECT(sys(__VA_ARGS__), -EFAULT)

int hostileMain(int argc, char **argv) {
  (void)argc, (void)argv;
  u8 *readOnly = allocate(PAGE);
  u8 *pages = allocate(2 * PAGE);
  memset(pages, 'x', 2 * PAGE);
  EXPECT(sys(__NR_munmap, pages + PAGE, PAGE), 0);
  edge = pages + PAGE - 4;
  EXPECT(sys(__NR_mprotect, readOnly, PAGE, PROT_READ), 0);
  i32 ends[2];
  EXPECT(sys(__NR_pipe2, ends, O_NONBLOCK), 0);
  EXPECT(sys(__NR_write, ends[1], "0123456789", 10), 10);
  long null = sys(__NR_openat, AT_FDCWD, "/dev/zero", O_RDWR);
  CHECK(null >= 0);
  long poll = sys(__NR_epoll_create1, 0);
  long self = sys(__NR_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY);
  CHECK(self >= 0);
  long root = sys(__NR_openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
  u8 good[256];
  memset(good, 0, sizeof good);

  for (u64 i = 0; i < WILD; i++) {
    u64 p = wild[i];
    FAULT(__NR_read, ends[0], p, 4);
    FAULT(__NR_write, ends[1], p, 4);
    FAULT(__NR_read, null, p, 4);
    FAULT(__NR_read, self, p, 64);
    FAULT(__NR_pread64, self, p, 64, 0);
    FAULT(__NR_readv, self, p, 1);
    FAULT(__NR_writev, ends[1], p, 1);
    FAULT(__NR_openat, AT_FDCWD, p, O_RDONLY);
    FAULT(__NR_newfstatat, AT_FDCWD, p, good, 0);
    FAULT(__NR_newfstatat, AT_FDCWD, "/", p, 0);
    FAULT(__NR_fstat, self, p);
    FAULT(__NR_statx, AT_FDCWD, "/", 0, STATX_BASIC_STATS, p);
    FAULT(__NR_getdents64, root, p, 512);
    FAULT(__NR_getcwd, p, 100);
    FAULT(__NR_chdir, p);
    FAULT(__NR_mkdirat, AT_FDCWD, p, 0700);
    FAULT(__NR_unlinkat, AT_FDCWD, p, 0);
    FAULT(__NR_readlinkat, AT_FDCWD, p, good, 100);
    FAULT(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", p, 100);
    FAULT(__NR_faccessat, AT_FDCWD, p, 0);
    FAULT(__NR_renameat2, AT_FDCWD, p, AT_FDCWD, p, 0);
    FAULT(__NR_pipe2, p, 0);
    FAULT(__NR_ppoll, p, 1, NULL, NULL, 8);
    FAULT(__NR_pselect6, 1, p, NULL, NULL, NULL, NULL);
    FAULT(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, ends[0], p);
    FAULT(__NR_rt_sigaction, SIGUSR1, p, NULL, 8);
    FAULT(__NR_rt_sigaction, SIGUSR1, NULL, p, 8);
    FAULT(__NR_rt_sigprocmask, SIG_BLOCK, p, NULL, 8);
    FAULT(__NR_rt_sigprocmask, SIG_BLOCK, NULL, p, 8);
    FAULT(__NR_rt_sigpending, p, 8);
    FAULT(__NR_rt_sigsuspend, p, 8);
    FAULT(__NR_rt_sigtimedwait, p, NULL, NULL, 8);
    FAULT(__NR_sigaltstack, p, NULL);
    FAULT(__NR_sigaltstack, NULL, p);
    FAULT(__NR_nanosleep, p, NULL);
    FAULT(__NR_clock_nanosleep, 1, 0, p, NULL);
    FAULT(__NR_clock_gettime, 0, p);
    FAULT(__NR_clock_getres, 0, p);
    FAULT(__NR_gettimeofday, p, NULL);
    FAULT(__NR_setitimer, 0, p, NULL);
    FAULT(__NR_getitimer, 0, p);
    FAULT(__NR_timer_create, 1, p, good);
    FAULT(__NR_futex, p & -4UL, FUTEX_WAIT, 0, NULL, NULL, 0);
    FAULT(__NR_futex, good, FUTEX_WAIT, 0, p, NULL, 0);
    FAULT(__NR_uname, p);
    FAULT(__NR_sysinfo, p);
    FAULT(__NR_prlimit64, 0, RLIMIT_STACK, NULL, p);
    FAULT(__NR_prlimit64, 0, RLIMIT_STACK, p, NULL);
    FAULT(__NR_getrandom, p, 16, 0);
    FAULT(__NR_sched_getaffinity, 0, 128, p);
    FAULT(__NR_getrusage, 0, p);
    FAULT(__NR_times, p);
    FAULT(__NR_prctl, 16, p);
    FAULT(__NR_execve, p, NULL, NULL);
    FAULT(__NR_mincore, pages, PAGE, p);
    FAULT(__NR_utimensat, AT_FDCWD, "/", p, 0);
  }
  /* Read-only memory can't be a result. */
  FAULT(__NR_read, ends[0], readOnly, 4);
  FAULT(__NR_clock_gettime, 1, readOnly);
  FAULT(__NR_uname, readOnly);
  FAULT(__NR_pipe2, readOnly, 0);
  /* Strings and structures that run into the gap. */
  FAULT(__NR_openat, AT_FDCWD, edge, O_RDONLY);
  FAULT(__NR_nanosleep, edge, NULL);
  FAULT(__NR_fstat, self, edge);
  /* The part before the gap is used. */
  EXPECT(sys(__NR_write, ends[1], edge, 4), 4);
  CHECK(sys(__NR_read, ends[0], good, 4) == 4);
  /* Lengths. */
  EXPECT(sys(__NR_read, ends[0], good, -1), -EFAULT);
  EXPECT(sys(__NR_readv, self, good, 5000), -EINVAL);
  EXPECT(sys(__NR_getrandom, good, 0, 0), 0);
  EXPECT(sys(__NR_read, ends[0], 8, 0), 0);
  /* Descriptors. */
  static const long fds[] = {-1, 1000000, 0x7fffffff, -100, 0x100000000 - 1};
  for (u64 i = 0; i < sizeof fds / sizeof *fds; i++) {
    EXPECT(sys(__NR_read, fds[i], good, 1), -EBADF);
    EXPECT(sys(__NR_write, fds[i], good, 1), -EBADF);
    EXPECT(sys(__NR_close, fds[i]), -EBADF);
    EXPECT(sys(__NR_fstat, fds[i], good), -EBADF);
    EXPECT(sys(__NR_lseek, fds[i], 0, 0), -EBADF);
    EXPECT(sys(__NR_fcntl, fds[i], F_GETFD), -EBADF);
    EXPECT(sys(__NR_dup, fds[i]), -EBADF);
    EXPECT(sys(__NR_ioctl, fds[i], 0x5401, good), -EBADF);
    EXPECT(sys(__NR_getdents64, fds[i], good, 100), -EBADF);
  }
  /* The memory map. */
  static const u64 edges[] = {1, 0xfff, 0x1000, 1UL << 32, 1UL << 38, 1UL << 47, 1UL << 63, -4096UL, -1UL};
  for (u64 i = 0; i < sizeof edges / sizeof *edges; i++) {
    u64 e = edges[i];
    if (e & (PAGE - 1)) {
      EXPECT(sys(__NR_munmap, e, PAGE), -EINVAL);
      EXPECT(sys(__NR_mprotect, e, PAGE, PROT_READ), -EINVAL);
    }
    long r = sys(__NR_mremap, e, PAGE, 2 * PAGE, 0);
    CHECK(r == -EFAULT || r == -EINVAL);
    r = sys(__NR_munmap, -4096UL, e);
    EXPECT(r, -EINVAL);
    if (e >= 1UL << 47) {
      EXPECT(mmap(0, e, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), -ENOMEM);
      EXPECT(sys(__NR_mprotect, e & -PAGE, PAGE, PROT_READ), -ENOMEM);
    }
  }
  /* The gap's neighbour is as it was. */
  CHECK(pages[0] == 'x' && pages[PAGE - 300] == 'x');
  return report("hostile");
}

#ifdef __riscv
/* --- every number --- */

static const short neverCalled[] = {
    __NR_exit, __NR_exit_group, __NR_rt_sigreturn, __NR_clone, __NR_clone3, __NR_munmap, __NR_restart_syscall,
    /* these would end what the checks need */
    __NR_close, __NR_close_range, __NR_mprotect, __NR_kill, __NR_tkill, __NR_tgkill, __NR_vhangup,
};
/* With pointers that are right, these would too. */
static const short wildOnly[] = {
    __NR_brk, __NR_mremap, __NR_mmap, __NR_madvise, __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_prlimit64, __NR_setrlimit,
    __NR_rt_sigqueueinfo, __NR_rt_tgsigqueueinfo, __NR_sigaltstack, __NR_setitimer, __NR_chroot, __NR_chdir, __NR_fchdir,
    __NR_set_robust_list, __NR_execve, __NR_execveat, __NR_set_tid_address, __NR_dup3,
};
/* With wild ones these may rightly wait for ever. */
static const short waiting[] = {__NR_rt_sigsuspend, __NR_ppoll, __NR_pselect6, __NR_wait4, __NR_waitid};

#define IN(list, n) inList(list, sizeof list / sizeof *list, n)
static int inList(const short *list, u64 length, long n) {
  for (u64 i = 0; i < length; i++)
    if (list[i] == n) return 1;
  return 0;
}

static void ignore(int signal) { (void)signal; }

static u64 sweepState;
static u64 draw(u64 n) {
  sweepState ^= sweepState << 13;
  sweepState ^= sweepState >> 7;
  sweepState ^= sweepState << 17;
  return sweepState % n;
}

static u8 *sweepBuffer, *sweepEdge;

static long argument(int sensible) {
  static const long values[] = {-1, 0, 8, 0x7fffffffffffffffL, -0x7fffffffffffffffL - 1, 0x3ffffffff8L, 1UL << 32, 4096};
  switch (sensible ? draw(9) : 9) {
    case 0: return (long)sweepState;
    case 1: return (long)draw(8);
    case 2: return (long)(sweepBuffer + draw(65536));
    case 3: return -(long)draw(200);
    case 4: return (long)(sweepEdge - draw(40));
    case 5: return 1L << draw(64);
    case 6: return (long)draw(5000);
    case 7: return (long)(sweepBuffer + 4096 * (1 + draw(2)));
    case 8: return 0;
    default: return values[draw(8)];
  }
}

static void refill(void) {
  for (u64 i = 0; i < 512; i += 8) *(u64 *)(sweepBuffer + i) = draw(-1UL);
  memcpy(sweepBuffer + 4096, "/tmp/x", 7);
  memcpy(sweepBuffer + 8192, "/proc/self/maps", 16);
}

/*
 * sweep [SEED]: every number with wild arguments, then with arguments of which some make sense: whatever the answer, the
 * process goes on. Only for Guesthouse: on a real kernel or under qemu-riscv64 some of these calls change the host.
 */
int sweepMain(int argc, char **argv) {
  sweepState = argc > 1 ? (u64)number(argv[1]) * 2654435761u + 1 : 12345;
  sweepBuffer = allocate(65536);
  sweepEdge = (u8 *)allocate(2 * PAGE) + PAGE;
  sys(__NR_munmap, sweepEdge, PAGE);
  for (int signal = 1; signal < 32; signal++) handle(signal, ignore, 0, 0);
  struct {
    long everySeconds, everyMicroseconds, seconds, microseconds;
  } tick = {0, 10000, 0, 10000};
  long calls = 0, missing = 0;
  for (int round = 0; round < 48; round++) {
    int sensible = round >= 24;
    for (long n = 0; n < 470; n++) {
      if (IN(neverCalled, n) || (sensible ? IN(wildOnly, n) : IN(waiting, n))) continue;
      long a[6];
      for (int i = 0; i < 6; i++) a[i] = argument(sensible);
      /* Not: our own descriptors. */
      if ((u32)a[0] < 3) a[0] = 99;
      if ((n == __NR_dup3 || n == __NR_dup) && (u32)a[1] < 3) a[1] = 98;
      if (sensible) sys(__NR_setitimer, 0, &tick, NULL);
      long r = sys(n, a[0], a[1], a[2], a[3], a[4], a[5]);
      calls++;
      if (r == -ENOSYS) missing++;
      CHECK(r >= -4095 || r < -0x1000000 /* an address or a number, not a stray errno */);
      if (draw(50) == 0) refill();
    }
  }
  CHECK(calls > 18000);
  CHECK(missing > 0);
  return report("sweep");
}
#endif
