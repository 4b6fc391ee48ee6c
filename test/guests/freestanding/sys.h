/*
 * System calls, output and checks for guest programs without a C library. The portable part also builds for x86-64, so
 * that a host kernel can be asked what the right answer is (./native.sh).
 */
#ifndef SYS_H
#define SYS_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/mman.h>
#include <asm/signal.h>
#include <asm/siginfo.h>
#include <asm/stat.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/unistd.h>
#include <linux/auxvec.h>
#include <linux/eventpoll.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/uio.h>
#include <linux/utsname.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;
typedef int i32;

/* The page size that the kernel says (AT_PAGESZ). */
extern u64 pageSize;
#define PAGE pageSize
#define NULL ((void *)0)
#define noinline __attribute__((noinline))

/* The raw call: the result, or a negative errno. */
static inline long syscall6(long n, long a, long b, long c, long d, long e, long f) {
#ifdef __riscv
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b;
  register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d;
  register long a4 __asm__("a4") = e;
  register long a5 __asm__("a5") = f;
  register long a7 __asm__("a7") = n;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
  return a0;
#else
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#endif
}

#define SYS1(n) syscall6(n, 0, 0, 0, 0, 0, 0)
#define SYS2(n, a) syscall6(n, (long)(a), 0, 0, 0, 0, 0)
#define SYS3(n, a, b) syscall6(n, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS4(n, a, b, c) syscall6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS5(n, a, b, c, d) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS6(n, a, b, c, d, e) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS7(n, a, b, c, d, e, f) syscall6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define SYS_PICK(_1, _2, _3, _4, _5, _6, _7, name, ...) name
/* sys(number, arguments...) with up to six arguments of any scalar type. */
#define sys(...) SYS_PICK(__VA_ARGS__, SYS7, SYS6, SYS5, SYS4, SYS3, SYS2, SYS1)(__VA_ARGS__)

/* --- output: runtime.c --- */

/* Formatted line(s) to stdout in one write: %s %d (int) %u %x (unsigned) %ld %lu %lx %c %%. At most 1,000 bytes. */
void out(const char *format, ...) __attribute__((format(printf, 1, 2)));
u64 length(const char *text);
int same(const char *a, const char *b);
int sameBytes(const void *a, const void *b, u64 n);
/* Decimal or 0x number. */
long number(const char *text);

/* --- checks: runtime.c --- */

void check(int good, const char *what, int line);
void expect(long seen, long wanted, const char *what, int line);
/* Prints the summary line of an applet; the exit status: 0 when all checks passed. */
int report(const char *applet);
#define CHECK(condition) check(!!(condition), #condition, __LINE__)
#define EXPECT(expression, wanted) expect((long)(expression), (long)(wanted), #expression, __LINE__)

/* --- process --- */

extern char **environment;
extern u64 *auxiliaryVector;
__attribute__((noreturn)) void quit(int status);
/* mmap of private anonymous memory; quits when there is none. */
void *allocate(u64 bytes);
#define mmap(a, l, p, fl, fd, o) sys(__NR_mmap, a, l, p, fl, fd, o)
#define isError(v) ((u64)(v) > -4096UL)

/* Kernel's signal action of the architecture. */
struct action {
  void *handler;
  unsigned long flags;
#ifndef __riscv
  void *restorer;
#endif
  unsigned long mask;
};
/* rt_sigaction with a handler of the three-argument kind. */
long handle(int signal, void *handler, unsigned long flags, unsigned long mask);
#define SIGBIT(n) (1UL << ((n) - 1))

/* --- access that may fault: probe.c. The signal of the failed access, 0 when it worked. --- */

extern volatile int probeSignal, probeCode;
extern volatile u64 probeAddress;
void probeSetup(void);
int probeLoad(const void *address);
int probeStore(void *address);

/* Nanoseconds of CLOCK_MONOTONIC. */
u64 now(void);
/* Sleep that goes on after signals. */
void sleepNs(u64 nanoseconds);

/* --- threads: threads.c --- */

struct thread {
  volatile i32 tid; /* Set by CLONE_PARENT_SETTID, cleared by CLONE_CHILD_CLEARTID. */
  void *stack; /* To be unmapped by threadJoin, or NULL. */
  void *(*run)(void *);
  void *argument;
  void *result;
  u64 local; /* What the thread pointer points to. */
};
/* Starts a thread; 0 or a negative errno. */
long threadStart(struct thread *t, void *(*run)(void *), void *argument);
/* The same on a stack of the caller's. */
long threadStartOn(struct thread *t, void *(*run)(void *), void *argument, void *stack, u64 bytes);
void *threadJoin(struct thread *t);

typedef struct {
  i32 word; /* 0 free, 1 held, 2 held and waited for */
} mutex;
void lock(mutex *m);
void unlock(mutex *m);
typedef struct {
  i32 sequence;
} condition;
void conditionWait(condition *c, mutex *m);
void conditionSignal(condition *c);
void conditionBroadcast(condition *c);
typedef struct {
  mutex m;
  condition c;
  i32 size, arrived, round;
} barrier;
void barrierWait(barrier *b);
long futex(volatile i32 *word, int op, long value, const void *timeout, volatile i32 *word2, long value3);

/* --- memory functions that the compiler expects --- */
void *memcpy(void *restrict to, const void *restrict from, unsigned long n);
void *memmove(void *to, const void *from, unsigned long n);
void *memset(void *to, int value, unsigned long n);
int memcmp(const void *a, const void *b, unsigned long n);

/* An applet: name, and a main function. */
typedef int appletMain(int argc, char **argv);

#endif
