/* Hot code that is interrupted, taken away and changed. Says what went wrong, else "hot: ok". */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static int failures;
#define CHECK(x) \
  do { \
    if (!(x)) failures++, printf("line %d: %s\n", __LINE__, #x); \
  } while (0)

#define PAGE 4096
#define ADDI(rd, rs, n) (0x13u | (rd) << 7 | (rs) << 15 | (uint32_t)(n) << 20)
#define RET 0x00008067u
#define J_SELF 0x0000006fu
enum { A0 = 10, A1 = 11 };

/* --- a timer's signals in a loop --- */

static atomic_int ticks;
static volatile double noise = 1.5;

static void tick(int signal) {
  (void)signal;
  double x = noise;
  for (int i = 0; i < 20; i++) x = x * 1.0000001 + 1 / x;
  noise = x > 1e6 ? 1.5 : x;
  ticks++;
}

static __attribute__((noinline)) uint64_t mix(uint64_t a, uint64_t b, double *sum) {
  uint64_t c = a ^ 0x9e3779b97f4a7c15u, d = b * 3, e = a + b, f = ~a;
  double x = 0.25, y = 1.75;
  for (int i = 0; i < 5000; i++) {
    a += b << 3 ^ c >> 5, b ^= d + e, c = c * 5 + f, d += a >> 7, e ^= c, f = f >> 1 ^ a;
    x = x * 0.999 + (double)(int)(a & 255), y += x / 3;
  }
  *sum = x + y;
  return a ^ b ^ c ^ d ^ e ^ f;
}

static void signals(void) {
  struct sigaction action = {.sa_handler = tick};
  sigaction(SIGALRM, &action, 0);
  struct itimerval timer = {{0, 1000}, {0, 1000}};
  double first;
  uint64_t expected = mix(1, 2, &first);
  setitimer(ITIMER_REAL, &timer, 0);
  for (int i = 0; i < 100000 && ticks < 150; i++) {
    double sum;
    CHECK(mix(1, 2, &sum) == expected);
    CHECK(memcmp(&sum, &first, sizeof sum) == 0);
    if (failures > 3) break;
  }
  timer = (struct itimerval){0};
  setitimer(ITIMER_REAL, &timer, 0);
  CHECK(ticks >= 100);
}

/* --- code that goes while a thread is in it --- */

static uint32_t *code;
static atomic_long *words;
static atomic_int running;
static __thread sigjmp_buf out;
static volatile uint64_t faultPc, faultAddress;

static void fault(int signal, siginfo_t *info, void *context) {
  (void)signal;
  faultPc = ((ucontext_t *)context)->uc_mcontext.__gregs[0];
  faultAddress = (uint64_t)info->si_addr;
  siglongjmp(out, 1);
}

/* loop: a1 = *a0; a1 += 1; *a0 = a1; j loop */
static const uint32_t endless[] = {0x00053583, ADDI(A1, A1, 1), 0x00b53023, 0xff5ff06f};

static void *runs(void *unused) {
  (void)unused;
  if (sigsetjmp(out, 1) == 0) {
    running = 1;
    ((void (*)(atomic_long *))code)(&words[0]);
  }
  running = 2;
  return 0;
}

static void taken_away(void) {
  struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  static atomic_long counters[8];
  words = counters;
  for (int i = 0; i < 20; i++) {
    code = mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, endless, sizeof endless);
    __builtin___clear_cache((char *)code, (char *)code + PAGE);
    counters[0] = 0;
    running = 0;
    pthread_t thread;
    pthread_create(&thread, 0, runs, 0);
    while (running == 0 || counters[0] < 200000) sched_yield();
    if (i % 3 == 0) mprotect(code, PAGE, PROT_READ);
    else if (i % 3 == 1) munmap(code, PAGE);
    else mmap(code, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    long after = counters[0];
    usleep(1000);
    CHECK(counters[0] <= after + 1);
    pthread_join(thread, 0);
    CHECK(running == 2);
    CHECK(faultPc >= (uint64_t)code && faultPc < (uint64_t)code + sizeof endless);
    CHECK(faultAddress == faultPc);
  }
}

/* --- code that changes --- */

static void *spins(void *stop) {
  double sum;
  while (!atomic_load((atomic_int *)stop)) mix(3, 4, &sum);
  return 0;
}

static void changes(void) {
  atomic_int stop = 0;
  pthread_t thread;
  pthread_create(&thread, 0, spins, &stop);
  code = mmap(0, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int version = 1; version <= 60; version++) {
    /* a1 = version; loop: a0 += a1's; counted down in a2 */
    code[0] = ADDI(A1, 0, version);
    code[1] = 0x00b50533; /* add a0, a0, a1 */
    code[2] = 0xfff60613; /* addi a2, a2, -1 */
    code[3] = 0xfe061ce3; /* bnez a2, -8 */
    code[4] = RET;
    __builtin___clear_cache((char *)code, (char *)code + PAGE);
    for (int times = 0; times < 30; times++) {
      long result = ((long (*)(long, long, long))code)(0, 0, 100);
      CHECK(result == 100L * version);
      if (failures > 3) return;
    }
  }
  stop = 1;
  pthread_join(thread, 0);
}

/* --- code that others call, in another page, is replaced --- */

/* Calls what is in the second page a2 times. */
static const uint32_t calls[] = {
  ADDI(28, 1, 0),     /* mv t3, ra */
  0x7fd000ef,         /* loop: jal ra, to 4096 */
  0xfff60613,         /* addi a2, a2, -1 */
  0xfe061ce3,         /* bnez a2, loop */
  ADDI(1, 28, 0),     /* mv ra, t3 */
  RET,
};
static uint32_t *callee;
/* Whether code is seen that is written through a file or another mapping: QEMU's user mode does not look there. */
static int coherent;

static void write_callee(uint32_t *at, int version) {
  at[0] = ADDI(A0, A0, version);
  at[1] = RET;
}

static void flush(void) { __builtin___clear_cache((char *)code, (char *)code + 2 * PAGE); }

static long call_it(long times) { return ((long (*)(long, long, long))code)(0, 0, times); }

#define ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

/* Calls it where that must not be possible. */
static void call_what_is_gone(void) {
  faultPc = 0;
  if (sigsetjmp(out, 1) == 0) call_it(20);
  CHECK(faultPc == (uint64_t)callee);
}

static int checked(int version) {
  for (int i = 0; i < 1000; i++)
    if (call_it(20) != 20L * version) return 0;
  return 1;
}

static int replaced_in_child(int version) {
  write_callee(callee, version);
  flush();
  return !checked(version);
}

/* Calls after which the caller and what it calls surely are one piece of translated code. */
enum { HOT = 300000 };

/* Another place each time: what is rewritten all the time is not translated any more. */
static void place(int file) {
  code = mmap(0, 2 * PAGE, ALL, ANONYMOUS, -1, 0);
  callee = code + PAGE / 4;
  memcpy(code, calls, sizeof calls);
  write_callee(callee, 1);
  if (file >= 0) {
    CHECK(pwrite(file, callee, 8, 0) == 8);
    CHECK(mmap(callee, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file, 0) == callee);
  }
  flush();
}

static void replaced(void) {
  struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGILL, &action, 0);
  int file = memfd_create("code", 0);
  CHECK(ftruncate(file, PAGE) == 0);
  enum { UNMAPPED, MAPPED_OVER, WRITTEN, PROTECTED, MOVED, FORKED, DROPPED, WRITTEN_TO_FILE, KINDS };
  for (int kind = 0; kind < (coherent ? KINDS : DROPPED); kind++) {
    int old = failures;
    place(kind == WRITTEN_TO_FILE ? file : -1);
    for (int i = 0; i < HOT; i++) CHECK(call_it(10) == 10);
    CHECK(checked(1));
    int version = 2 + kind;
    void *at = callee;
    int child = -1, status;
    uint32_t fresh[2];
    write_callee(fresh, version);
    switch (kind) {
      case UNMAPPED:
        munmap(callee, PAGE);
        call_what_is_gone();
        at = mmap(callee, PAGE, ALL, ANONYMOUS | MAP_FIXED, -1, 0);
        break;
      case MAPPED_OVER:
        at = mmap(callee, PAGE, ALL, ANONYMOUS | MAP_FIXED, -1, 0);
        call_what_is_gone();
        break;
      case PROTECTED:
        mprotect(callee, PAGE, PROT_READ | PROT_WRITE);
        call_what_is_gone();
        mprotect(callee, PAGE, ALL);
        CHECK(checked(1));
        break;
      case MOVED:
        at = mmap(0, PAGE, ALL, ANONYMOUS, -1, 0);
        memcpy(at, fresh, sizeof fresh);
        at = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, callee);
        break;
      case FORKED:
        /* The child has other code there, and the parent goes on with what there was. */
        child = fork();
        if (child == 0) _exit(replaced_in_child(version));
        CHECK(checked(1));
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        break;
      case DROPPED:
        madvise(callee, PAGE, MADV_DONTNEED);
        call_what_is_gone();
        break;
      case WRITTEN_TO_FILE: CHECK(pwrite(file, fresh, sizeof fresh, 0) == sizeof fresh); break;
    }
    CHECK(at == callee);
    if (kind != MOVED && kind != WRITTEN_TO_FILE) write_callee(callee, version);
    flush();
    CHECK(checked(version));
    if (failures > old) printf("kind %d\n", kind);
  }
  close(file);
}

/* Another thread sees what was written once this one has flushed for all, and not sooner than it was written. */
static atomic_int written, flushed;
static atomic_long rounds;
enum { VERSIONS = 8, ROUNDS = 100000 };

static void *follows(void *unused) {
  (void)unused;
  while (!failures && flushed < VERSIONS) {
    int least = flushed;
    long sum = call_it(20);
    CHECK(sum >= 20L * least && sum <= 20L * written);
    rounds++;
  }
  return 0;
}

static void replaced_for_all(void) {
  int file = memfd_create("code", 0);
  CHECK(ftruncate(file, PAGE) == 0);
  place(file);
  uint32_t *writable = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  written = flushed = 1;
  pthread_t thread;
  pthread_create(&thread, 0, follows, 0);
  for (int version = 2; version <= VERSIONS && !failures; version++) {
    long enough = rounds + ROUNDS;
    while (rounds < enough && !failures) sched_yield();
    written = version;
    uint32_t now = ADDI(A0, A0, version);
    if (version % 2) *(volatile uint32_t *)writable = now;
    else CHECK(pwrite(file, &now, sizeof now, 0) == sizeof now);
    flush();
    flushed = version;
  }
  pthread_join(thread, 0);
  close(file);
}

/* --- leaving nested calls --- */

static jmp_buf top;
static volatile int depth;

static __attribute__((noinline)) int dive(int n) {
  volatile char room[40];
  room[n % 40] = (char)n;
  depth++;
  if (n == 0) longjmp(top, 5);
  int below = dive(n - 1);
  return below + room[n % 40];
}

static void jumps(void) {
  volatile int caught = 0;
  for (volatile int i = 0; i < 300; i++) {
    depth = 0;
    int value = setjmp(top);
    if (value == 0) dive(i);
    caught += value;
    CHECK(depth == i + 1);
  }
  CHECK(caught == 1500);
}

int main(int argc, char **argv) {
  (void)argv;
  coherent = argc == 1;
  setvbuf(stdout, 0, _IONBF, 0);
  signals();
  taken_away();
  changes();
  replaced();
  if (coherent) replaced_for_all();
  jumps();
  puts(failures ? "hot: failed" : "hot: ok");
  return failures != 0;
}
