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

int main(void) {
  setvbuf(stdout, 0, _IONBF, 0);
  signals();
  taken_away();
  changes();
  jumps();
  puts(failures ? "hot: failed" : "hot: ok");
  return failures != 0;
}
