/* clone and clone3 in every combination of flags: which the kernel takes and which error it has for the others, as for a caller who
 * may make no namespaces. Each call is made by a process of its own, whose child ends at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

enum {
  VM = 0x100, FS = 0x200, FILES = 0x400, SIGHAND = 0x800, PIDFD = 0x1000, VFORK = 0x4000, PARENT = 0x8000, THREAD = 0x10000,
  NEWNS = 0x20000, SYSVSEM = 0x40000, SETTLS = 0x80000, PARENT_SETTID = 0x100000, CHILD_CLEARTID = 0x200000, DETACHED = 0x400000,
  UNTRACED = 0x800000, CHILD_SETTID = 0x1000000, NEWCGROUP = 0x2000000, NEWUTS = 0x4000000, NEWIPC = 0x8000000,
  NEWPID = 0x20000000, NEWNET = 0x40000000, NEWTIME = 0x80,
};
#define IO UINT64_C(0x80000000)
#define CLEAR_SIGHAND UINT64_C(0x100000000)
#define INTO_CGROUP UINT64_C(0x200000000)
#define UNKNOWN UINT64_C(0x400000000)
#define NAMESPACES (NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWPID | NEWNET)

/* The system call without a function around it: the child ends without touching its stack. */
static long call(long number, long a, long b, long c, long d, long e) {
#ifdef __riscv
  register long a7 __asm__("a7") = number, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d, a4 __asm__("a4") = e;
  __asm__ volatile("ecall\n bnez a0, 1f\n li a7, 93\n ecall\n1:" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
  return a0;
#else
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
  long result;
  __asm__ volatile("syscall\n test %%rax, %%rax\n jnz 1f\n xor %%edi, %%edi\n mov $60, %%eax\n syscall\n1:"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
#endif
}

static char stack[65536] __attribute__((aligned(16))), tls[4096] __attribute__((aligned(64)));
static int words[2];
struct arguments {
  uint64_t flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup;
};

static long makeClone(uint64_t flags) {
  long top = (long)(stack + sizeof stack), tlsAt = (long)(tls + 2048);
#ifdef __riscv
  return call(SYS_clone, (long)flags, top, (long)words, tlsAt, (long)(words + 1));
#else
  return call(SYS_clone, (long)flags, top, (long)words, (long)(words + 1), tlsAt);
#endif
}

static long makeClone3(uint64_t flags, int exitSignal) {
  static struct arguments a;
  memset(&a, 0, sizeof a);
  a.flags = flags;
  a.exitSignal = (uint64_t)exitSignal;
  a.pidfd = a.parentTid = (uintptr_t)words;
  a.childTid = (uintptr_t)(words + 1);
  a.tls = (uintptr_t)(tls + 2048);
  a.stack = (uintptr_t)stack;
  a.stackSize = sizeof stack;
  return call(435, (long)&a, sizeof a, 0, 0, 0);
}

/* Runs EXPRESSION in a process of its own, whose status is the error. */
#define IN_CHILD(expression)                                     \
  ({                                                             \
    int status_ = 0;                                             \
    pid_t pid_ = fork();                                         \
    if (pid_ == 0) {                                             \
      long result_ = (expression);                               \
      call(SYS_exit_group, result_ < 0 ? -result_ : 0, 0, 0, 0, 0); \
    }                                                            \
    while (waitpid(pid_, &status_, __WALL) < 0 && errno == EINTR); \
    while (waitpid(-1, NULL, __WALL) > 0);                       \
    WIFEXITED(status_) ? WEXITSTATUS(status_) : -status_;        \
  })

static int expected(int clone3, uint64_t flags) {
  int has(uint64_t wanted) { return (flags & wanted) != 0; }
  if (clone3 && (has(DETACHED) || has(UNKNOWN) || (has(CLEAR_SIGHAND) && has(SIGHAND)))) return EINVAL;
  if (has(PIDFD) && has(PARENT_SETTID)) return EINVAL; /* one word for both */
  if (has(FS) && has(NEWNS)) return EINVAL;
  if (has(THREAD) && !has(SIGHAND)) return EINVAL;
  if (has(SIGHAND) && !has(VM)) return EINVAL;
  if (has(THREAD) && has(NEWPID)) return EINVAL;
  if (has(PIDFD) && has(DETACHED)) return EINVAL;
  if (has(NAMESPACES) || (clone3 && has(NEWTIME))) return EPERM;
  if (has(INTO_CGROUP)) return EBADF;
  return 0;
}

static void combination(int clone3, uint64_t flags) {
  int got = clone3 ? IN_CHILD(makeClone3(flags, flags & (THREAD | PARENT) ? 0 : SIGCHLD)) : IN_CHILD(makeClone(flags | SIGCHLD));
  int wanted = expected(clone3, flags);
  if (got != wanted) printf("%s %llx: ", clone3 ? "clone3" : "clone", (unsigned long long)flags);
  EXPECT(got, wanted);
}

static void combinations(void) {
  static const uint64_t main[] = {VM, FS, FILES, SIGHAND, PIDFD, VFORK, PARENT, THREAD, DETACHED};
  static const uint64_t others[] = {NEWNS, SYSVSEM, SETTLS, PARENT_SETTID, CHILD_CLEARTID, UNTRACED, CHILD_SETTID, NEWCGROUP, NEWUTS,
                                    NEWIPC, NEWPID, NEWNET, IO, NEWTIME, CLEAR_SIGHAND, INTO_CGROUP, UNKNOWN};
  for (int clone3 = 0; clone3 < 2; clone3++)
    for (int set = 0; set < 1 << 9; set++) {
      uint64_t flags = 0;
      for (int bit = 0; bit < 9; bit++)
        if (set >> bit & 1) flags |= main[bit];
      combination(clone3, flags);
      uint64_t other = others[set % 17], another = others[set / 17 % 17];
      for (int both = 0; both < 2; both++) {
        if (both) other |= another;
        if (clone3 || !(other & (NEWTIME | CLEAR_SIGHAND | INTO_CGROUP | UNKNOWN))) combination(clone3, flags | other);
      }
    }
}

/* What struct clone_args may hold. */
static void fields(void) {
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int *ids = (int *)(page + 256), root = open("/", O_RDONLY);
  mprotect(page + 4096, 4096, PROT_NONE);
#define FIELD(wanted, size, change)                       \
  EXPECT(IN_CHILD(({                                      \
           struct arguments *a = (void *)page;            \
           a->exitSignal = SIGCHLD;                       \
           change;                                        \
           call(435, (long)a, size, 0, 0, 0);             \
         })),                                             \
         wanted)
  FIELD(0, 88, (void)0);
  FIELD(0, 64, (void)0);
  FIELD(EINVAL, 63, (void)0);
  FIELD(0, 4096, (void)0);
  FIELD(E2BIG, 4097, (void)0);
  FIELD(E2BIG, -1L, (void)0);
  FIELD(E2BIG, 96, page[90] = 1);
  FIELD(EFAULT, 88, a = memcpy(page + 4096 - 64, page, 64));
  FIELD(EFAULT, 88, a = NULL);
  FIELD(EINVAL, 88, a->stack = (uintptr_t)stack);
  FIELD(EINVAL, 88, a->stackSize = 4096);
  FIELD(EINVAL, 88, (a->stack = (uintptr_t)stack, a->stackSize = UINT64_MAX));
  FIELD(EINVAL, 88, (a->stack = UINT64_MAX - 4095, a->stackSize = 65536));
  FIELD(EINVAL, 88, a->setTid = (uintptr_t)ids);
  FIELD(EINVAL, 88, a->setTidSize = 1);
  FIELD(EINVAL, 88, (a->setTid = (uintptr_t)ids, a->setTidSize = 33));
  FIELD(EINVAL, 88, (a->setTid = (uintptr_t)ids, a->setTidSize = 1));
  FIELD(EINVAL, 88, (ids[0] = -1, a->setTid = (uintptr_t)ids, a->setTidSize = 1));
  FIELD(EFAULT, 88, (a->setTid = (uintptr_t)page + 4096, a->setTidSize = 1));
  FIELD(EINVAL, 88, (ids[0] = 1 << 30, a->setTid = (uintptr_t)ids, a->setTidSize = 1));
  FIELD(0, 88, a->exitSignal = 64);
  FIELD(EINVAL, 88, a->exitSignal = 65);
  FIELD(EINVAL, 88, a->exitSignal = UINT64_C(1) << 32 | SIGCHLD);
  FIELD(EINVAL, 88, a->flags = SIGCHLD);
  FIELD(EINVAL, 88, a->flags = THREAD | SIGHAND | VM);
  FIELD(EINVAL, 88, a->flags = PARENT);
  FIELD(EINVAL, 88, a->flags = UINT64_C(1) << 63);
  FIELD(EINVAL, 88, (a->flags = INTO_CGROUP, a->cgroup = UINT64_MAX));
  FIELD(EBADF, 88, (a->flags = INTO_CGROUP, a->cgroup = 999));
  FIELD(EBADF, 88, (a->flags = INTO_CGROUP, a->cgroup = (uint64_t)root));
  FIELD(EINVAL, 80, a->flags = INTO_CGROUP);
  FIELD(0, 88, a->cgroup = 999);
  FIELD(EFAULT, 88, (a->flags = PIDFD, a->pidfd = 8));
  FIELD(0, 88, (a->flags = PARENT_SETTID, a->parentTid = 8));
  FIELD(0, 88, (a->flags = CHILD_SETTID | CHILD_CLEARTID, a->childTid = 8));
  FIELD(EINVAL, 88, (a->flags = PIDFD | PARENT_SETTID, a->pidfd = a->parentTid = (uintptr_t)words));
  FIELD(0, 88, (a->flags = PIDFD | PARENT_SETTID, a->pidfd = (uintptr_t)words, a->parentTid = (uintptr_t)(words + 1)));
  FIELD(0, 88, (a->flags = PARENT_SETTID | CHILD_SETTID | THREAD | SIGHAND | VM, a->exitSignal = 0, a->parentTid = a->childTid = 8,
                a->stack = (uintptr_t)stack, a->stackSize = sizeof stack));
}

int main(void) {
  signal(SIGCHLD, SIG_DFL);
  signal(64, SIG_IGN);
  if (getuid() == 0) CHECK(setresuid(65534, 65534, 65534) == 0);
  combinations();
  fields();
  return report("cloneflags");
}
