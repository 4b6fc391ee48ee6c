/* FreeBSD 14 on RISC-V 64 without a C library: system calls, the numbers used, and checks that count themselves. */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
  SYS_exit = 1, SYS_fork = 2, SYS_read = 3, SYS_write = 4, SYS_open = 5, SYS_close = 6, SYS_wait4 = 7, SYS_unlink = 10,
  SYS_getpid = 20, SYS_kill = 37, SYS_sigaltstack = 53, SYS_ioctl = 54, SYS_execve = 59, SYS_msync = 65, SYS_munmap = 73,
  SYS_mprotect = 74, SYS_madvise = 75, SYS_mincore = 78, SYS_dup2 = 90, SYS_fcntl = 92, SYS_rmdir = 137, SYS_mkdir = 136,
  SYS___sysctl = 202, SYS_mlock = 203, SYS_munlock = 204, SYS_clock_gettime = 232, SYS_nanosleep = 240,
  SYS_clock_nanosleep = 244, SYS_minherit = 250, SYS_rfork = 251, SYS_sigprocmask = 340, SYS_sigsuspend = 341,
  SYS_sigpending = 343, SYS_sigtimedwait = 345, SYS_kqueue = 362, SYS_sigaction = 416, SYS_thr_exit = 431,
  SYS_thr_self = 432, SYS_thr_kill = 433, SYS__umtx_op = 454, SYS_thr_new = 455, SYS_mmap = 477, SYS_lseek = 478,
  SYS_ftruncate = 480, SYS_openat = 499, SYS_wait6 = 532, SYS_pipe2 = 542, SYS_fstat = 551, SYS_fstatat = 552,
  SYS_getdirentries = 554, SYS_kevent = 560, SYS___sysctlbyname = 570,
};
enum {
  EPERM = 1, ENOENT = 2, EINTR = 4, EBADF = 9, ECHILD = 10, EDEADLK = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, EBUSY = 16,
  ENOTDIR = 20, EINVAL = 22, ERANGE = 34, EAGAIN = 35, ENOTSUP = 45, ETIMEDOUT = 60, ELOOP = 62, ENOTEMPTY = 66, ENOSYS = 78,
};
enum { PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, RW = 3 };
#define PROT_MAX(prot) ((prot) << 16)
enum {
  MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_STACK = 0x400, MAP_ANON = 0x1000, MAP_GUARD = 0x2000,
  MAP_EXCL = 0x4000, MAP_32BIT = 0x80000,
};
#define MAP_ALIGNED(n) ((n) << 24)
enum { INHERIT_SHARE, INHERIT_COPY, INHERIT_NONE, INHERIT_ZERO };
enum { O_RDWR = 2, O_NONBLOCK = 4, O_CREAT = 0x200, O_TRUNC = 0x400, O_DIRECTORY = 0x20000, O_NOFOLLOW = 0x100 };
enum { SIGILL = 4, SIGBUS = 10, SIGSEGV = 11, SIGCHLD = 20, SIGUSR1 = 30, SIGUSR2 = 31 };
enum { SA_ONSTACK = 1, SA_RESTART = 2, SA_RESETHAND = 4, SA_NODEFER = 0x10, SA_SIGINFO = 0x40 };
enum { SIG_BLOCK = 1, SIG_UNBLOCK = 2, SIG_SETMASK = 3 };

typedef struct { long sec, nsec; } timespec;
typedef struct { uint32_t bits[4]; } sigset;
typedef struct {
  int signo, error, code, pid;
  uint32_t uid;
  int status;
  void *addr;
  long value;
  long reason[5];
} siginfo;
typedef struct {
  sigset mask;
  struct {
    uint64_t ra, sp, gp, tp, t[7], s[12], a[8], sepc, sstatus;
    uint64_t f[32][2], fcsr;
    int fpflags, pad, flags, pad2;
    uint64_t spare[8];
  } mc;
  void *link;
  struct { void *sp; size_t size; int flags, pad; } stack;
  int flags, spare[4];
} ucontext;
typedef struct {
  void (*handler)(int, siginfo *, ucontext *);
  int flags;
  sigset mask;
} sigact;
_Static_assert(sizeof(siginfo) == 80, "siginfo_t");
_Static_assert(sizeof(sigact) == 32, "struct sigaction");

static inline sigset set_of(int signal) {
  sigset set = {{0}};
  set.bits[(signal - 1) / 32] = 1u << ((signal - 1) % 32);
  return set;
}

/* The result, or minus the errno: t0 tells which. */
static inline long sys(long number, long a, long b, long c, long d, long e, long f) {
  register long t0 asm("t0") = number;
  register long a0 asm("a0") = a;
  register long a1 asm("a1") = b;
  register long a2 asm("a2") = c;
  register long a3 asm("a3") = d;
  register long a4 asm("a4") = e;
  register long a5 asm("a5") = f;
  asm volatile("ecall" : "+r"(t0), "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return t0 ? -a0 : a0;
}
#define SYS6(n, a, b, c, d, e, f, ...) sys(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL(...) SYS6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

void say(const char *format, ...);
void failed(const char *file, int line, const char *what, long is, long should);
extern _Atomic long checks, failures;
#define CHECK(is, should)                                                        \
  do {                                                                           \
    long is_ = (long)(is), should_ = (long)(should);                             \
    checks++;                                                                    \
    if (is_ != should_) failed(__FILE__, __LINE__, #is, is_, should_);           \
  } while (0)
#define TRUE(condition) CHECK(!!(condition), 1)

static inline long map(void *at, size_t length, int prot, int flags) {
  return CALL(SYS_mmap, at, length, prot, flags, -1, 0);
}
/* Starts a thread on a stack of its own; join waits until it has called thr_exit. */
typedef struct { void (*run)(void *); void *argument; long stack; long ended; long tid; } thread;
void start(thread *t, void (*run)(void *), void *argument);
void join(thread *t);
/* The signal that running `body` raised, 0 for none; what the handler was told is in `raised`. */
int caught(void (*body)(void *), void *argument);
extern siginfo raised;
/* The child runs `body` and exits with its result; the parent gets that. */
int in_child(int (*body)(void *), void *argument);

void memory(const char *folder);
void threads(const char *folder);
void signals(const char *folder);
void events(const char *folder);
void files(const char *folder);
