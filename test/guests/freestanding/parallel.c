/* Threads: start and end, mutexes, conditions, barriers, races on the memory map, work in parallel. */
#include "sys.h"

static mutex m;
static condition notEmpty, notFull;
static barrier meeting;
static long counter, atomicCounter;
static long queue[8], queued, consumed, consumedSum;

static void *countUp(void *argument) {
  for (long i = 0; i < (long)argument; i++) {
    lock(&m);
    counter++;
    unlock(&m);
    __atomic_fetch_add(&atomicCounter, 1, __ATOMIC_RELAXED);
  }
  return argument;
}

static void *produce(void *argument) {
  for (long i = 1; i <= (long)argument; i++) {
    lock(&m);
    while (queued == 8) conditionWait(&notFull, &m);
    queue[queued++] = i;
    conditionSignal(&notEmpty);
    unlock(&m);
  }
  return NULL;
}

static void *consume(void *argument) {
  for (;;) {
    lock(&m);
    while (queued == 0 && consumed < (long)argument) conditionWait(&notEmpty, &m);
    if (consumed >= (long)argument) {
      conditionBroadcast(&notEmpty);
      unlock(&m);
      return NULL;
    }
    consumedSum += queue[--queued];
    consumed++;
    conditionSignal(&notFull);
    if (consumed == (long)argument) conditionBroadcast(&notEmpty);
    unlock(&m);
  }
}

static volatile int phases[8];

static void *meet(void *argument) {
  long me = (long)argument;
  for (int phase = 1; phase <= 20; phase++) {
    phases[me] = phase;
    barrierWait(&meeting);
    for (int i = 0; i < meeting.size; i++)
      if (phases[i] != phase) return (void *)1;
    barrierWait(&meeting);
  }
  return NULL;
}

static u64 threadPointer(void) {
  u64 value;
#ifdef __riscv
  __asm__("mv %0, tp" : "=r"(value));
#else
  sys(__NR_arch_prctl, 0x1003, &value);
#endif
  return value;
}

static void *identify(void *argument) {
  struct thread *t = argument;
  /* CLONE_PARENT_SETTID wrote the tid before the thread ran. */
  if (t->tid != sys(__NR_gettid)) return (void *)1;
  if (threadPointer() != (u64)&t->local) return (void *)2;
  if (sys(__NR_getpid) == sys(__NR_gettid)) return (void *)3;
  return (void *)0x1234;
}

static volatile i32 gate;

static void *waitAtGate(void *argument) {
  while (gate == 0) futex(&gate, FUTEX_WAIT, 0, NULL, NULL, 0);
  return argument;
}

/* threads [COUNT] */
int threadsMain(int argc, char **argv) {
  int count = argc > 1 ? (int)number(argv[1]) : 8;
  static struct thread t[64];
  if (count > 64) count = 64;

  EXPECT(threadStart(&t[0], identify, &t[0]), 0);
  EXPECT(threadJoin(&t[0]), 0x1234);

  for (int i = 0; i < count; i++) EXPECT(threadStart(&t[i], countUp, (void *)2000L), 0);
  for (int i = 0; i < count; i++) EXPECT(threadJoin(&t[i]), 2000);
  EXPECT(counter, 2000 * count);
  EXPECT(atomicCounter, 2000 * count);

  long items = 2000;
  EXPECT(threadStart(&t[0], produce, (void *)items), 0);
  EXPECT(threadStart(&t[1], consume, (void *)(2 * items)), 0);
  EXPECT(threadStart(&t[2], produce, (void *)items), 0);
  EXPECT(threadStart(&t[3], consume, (void *)(2 * items)), 0);
  for (int i = 0; i < 4; i++) threadJoin(&t[i]);
  EXPECT(consumed, 2 * items);
  EXPECT(consumedSum, items * (items + 1));

  meeting.size = count > 8 ? 8 : count;
  for (long i = 0; i < meeting.size; i++) EXPECT(threadStart(&t[i], meet, (void *)i), 0);
  for (int i = 0; i < meeting.size; i++) EXPECT(threadJoin(&t[i]), 0);

  /* All alive at once. */
  for (long i = 0; i < count; i++) EXPECT(threadStart(&t[i], waitAtGate, (void *)i), 0);
  gate = 1;
  futex(&gate, FUTEX_WAKE, 1000, NULL, NULL, 0);
  for (long i = 0; i < count; i++) EXPECT(threadJoin(&t[i]), i);

  /* One after the other. */
  for (long i = 0; i < 200; i++) {
    EXPECT(threadStart(&t[0], waitAtGate, (void *)i), 0);
    EXPECT(threadJoin(&t[0]), i);
  }
  EXPECT(sys(__NR_clone, CLONE_THREAD, 0, 0, 0, 0), -EINVAL);
  EXPECT(sys(__NR_clone, CLONE_SIGHAND, 0, 0, 0, 0), -EINVAL);
  return report("threads");
}

static u64 work(u64 n) {
  u64 x = 88172645463325252UL, sum = 0;
  for (u64 i = 0; i < n; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sum += x & 0xff;
  }
  return sum;
}

static void *workThread(void *argument) { return (void *)work((u64)argument); }

/* count STEPS THREADS: the steps divided among the threads; prints what they found. */
int countMain(int argc, char **argv) {
  u64 steps = argc > 1 ? number(argv[1]) : 1000000;
  int count = argc > 2 ? (int)number(argv[2]) : 1;
  static struct thread t[64];
  u64 sum = 0;
  if (count == 1) {
    sum = work(steps);
  } else {
    for (int i = 0; i < count; i++)
      if (threadStart(&t[i], workThread, (void *)(steps / count))) return 1;
    for (int i = 0; i < count; i++) sum += (u64)threadJoin(&t[i]);
  }
  out("%lu steps, %d threads, sum %lu\n", steps, count, sum);
  return 0;
}

/* --- futexes --- */

static volatile i32 word, word2, woken;

static void *waiter(void *argument) {
  long result = futex(&word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, (long)argument);
  __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
  return (void *)result;
}

static void *plainWaiter(void *argument) {
  (void)argument;
  long result = futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
  return (void *)result;
}

/* Wakes until so many have been woken: the waiters may not have come yet. */
static void wakeAll(struct thread *t, int n, long bits) {
  int got = 0;
  while (got < n) {
    long r = futex(&word, FUTEX_WAKE_BITSET_PRIVATE, n - got, NULL, NULL, bits);
    CHECK(r >= 0 && r <= n - got);
    if (r > 0) got += (int)r;
    else sleepNs(1000000);
  }
  for (int i = 0; i < n; i++) EXPECT(threadJoin(&t[i]), 0);
}

int futexesMain(int argc, char **argv) {
  (void)argc, (void)argv;
  static struct thread t[8];
  struct __kernel_timespec t1 = {0, 20000000}, bad = {0, 1000000000}, negative = {-1, 0}, none = {0, 0};
  EXPECT(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), -EAGAIN);
  EXPECT(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
  u64 start = now();
  EXPECT(futex(&word, FUTEX_WAIT, 0, &t1, NULL, 0), -ETIMEDOUT);
  CHECK(now() - start >= 20000000);
  EXPECT(futex(&word, FUTEX_WAIT, 0, &none, NULL, 0), -ETIMEDOUT);
  EXPECT(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), -EINVAL);
  EXPECT(futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0), -EINVAL);
  EXPECT(futex((i32 *)((u8 *)&word + 1), FUTEX_WAIT, 0, &t1, NULL, 0), -EINVAL);
  EXPECT(futex((i32 *)8, FUTEX_WAIT, 0, &t1, NULL, 0), -EFAULT);
  EXPECT(futex(&word, FUTEX_WAIT_BITSET, 0, &t1, NULL, 0), -EINVAL);
  EXPECT(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), -EINVAL);
  EXPECT(futex(&word, 99, 0, NULL, NULL, 0), -ENOSYS);
  /* Absolute deadlines, monotonic and of the wall clock. */
  struct __kernel_timespec at;
  sys(__NR_clock_gettime, 1, &at);
  at.tv_nsec += 20000000;
  if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
  EXPECT(futex(&word, FUTEX_WAIT_BITSET, 0, &at, NULL, -1), -ETIMEDOUT);
  sys(__NR_clock_gettime, 1, &t1);
  CHECK(t1.tv_sec > at.tv_sec || (t1.tv_sec == at.tv_sec && t1.tv_nsec >= at.tv_nsec));
  sys(__NR_clock_gettime, 0, &at);
  at.tv_nsec += 20000000;
  if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
  EXPECT(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &at, NULL, -1), -ETIMEDOUT);

  for (long i = 0; i < 8; i++) EXPECT(threadStart(&t[i], waiter, (void *)(i < 4 ? 1L : 2L)), 0);
  wakeAll(t, 4, 1);
  EXPECT(woken, 4);
  wakeAll(t + 4, 4, 2);
  EXPECT(woken, 8);

  /* Requeue: of four waiters one wakes, three go over to the other word. */
  woken = 0;
  for (int i = 0; i < 4; i++) EXPECT(threadStart(&t[i], plainWaiter, NULL), 0);
  EXPECT(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)100L, &word2, 5), -EAGAIN);
  int moved = 0;
  while (moved < 4) {
    long r = futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)100L, &word2, 0);
    CHECK(r >= 0);
    if (r > 0) moved += (int)r;
    else sleepNs(1000000);
  }
  EXPECT(moved, 4);
  EXPECT(woken, 0);
  EXPECT(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
  EXPECT(futex(&word2, FUTEX_WAKE_PRIVATE, 3, NULL, NULL, 0), 3);
  EXPECT(futex(&word2, FUTEX_REQUEUE_PRIVATE, 10, NULL, &word, 0), 1);
  for (int i = 0; i < 4; i++) EXPECT(threadJoin(&t[i]), 0);
  EXPECT(woken, 4);

  /* Wake-op: word2 = 5 if ...; wakes word, and word2 when its old value was 0. */
  word2 = 0;
  EXPECT(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &word2, FUTEX_OP(FUTEX_OP_SET, 5, FUTEX_OP_CMP_EQ, 0)), 0);
  EXPECT(word2, 5);
  EXPECT(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &word2, FUTEX_OP(FUTEX_OP_ADD, 7, FUTEX_OP_CMP_GT, 0)), 0);
  EXPECT(word2, 12);
  EXPECT(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1L, &word2, FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_LT, 0)), 0);
  EXPECT(word2, 8);
  word2 = 0;

  /* Shared and private are different keys; two mappings of one page are the same shared one. */
  u8 *shared = (u8 *)mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(!isError(shared));
  EXPECT(futex((i32 *)shared, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
  return report("futexes");
}

/* --- races on the memory map --- */

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
static volatile int stop;
static u8 *arena;

/* Maps, fills, checks, protects, unmaps pieces of its own. */
static void *churn(void *argument) {
  u64 seed = (u64)argument * 7919 + 1;
  for (int i = 0; i < 300; i++) {
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    u64 pages = 1 + (seed >> 40) % 20;
    u8 *p = (u8 *)mmap(0, pages * PAGE, RW, ANON, -1, 0);
    if (isError(p)) return (void *)1;
    for (u64 k = 0; k < pages; k++) {
      if (*(u64 *)(p + k * PAGE) != 0) return (void *)2;
      *(u64 *)(p + k * PAGE) = seed + k;
    }
    if (pages > 2 && sys(__NR_mprotect, p + PAGE, PAGE, PROT_READ)) return (void *)3;
    for (u64 k = 0; k < pages; k++)
      if (*(u64 *)(p + k * PAGE) != seed + k) return (void *)4;
    if (sys(__NR_munmap, p, pages * PAGE)) return (void *)5;
  }
  return NULL;
}

/* Writes into the shared arena for as long as the others change what lies around. */
static void *writer(void *argument) {
  volatile u64 *mine = (volatile u64 *)(arena + ((u64)argument * 2) * PAGE);
  u64 n = 0;
  while (!stop) {
    n++;
    mine[n & 511] = n;
    if (mine[n & 511] != n) return (void *)1;
  }
  for (u64 k = n > 512 ? n - 511 : 1; k <= n; k++)
    if (mine[k & 511] != k) return (void *)2;
  return NULL;
}

int racesMain(int argc, char **argv) {
  (void)argc, (void)argv;
  static struct thread t[8];
  arena = allocate(16 * PAGE);
  for (long i = 0; i < 2; i++) EXPECT(threadStart(&t[i], writer, (void *)i), 0);
  for (long i = 2; i < 5; i++) EXPECT(threadStart(&t[i], churn, (void *)i), 0);
  /* The pages between the writers' own come and go. */
  for (int i = 0; i < 300; i++) {
    u8 *between = arena + PAGE;
    EXPECT(sys(__NR_munmap, between, PAGE), 0);
    long got = mmap(between, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == -EEXIST) {
      /* A churning thread was given the hole; wait till it is free. */
      do {
        sleepNs(100000);
        got = mmap(between, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
      } while (got == -EEXIST);
    }
    EXPECT(got, between);
    EXPECT(*(u64 *)between, 0);
    *(u64 *)between = 1;
    EXPECT(sys(__NR_mprotect, arena + 3 * PAGE, PAGE, i & 1 ? PROT_NONE : RW), 0);
  }
  for (int i = 2; i < 5; i++) EXPECT(threadJoin(&t[i]), 0);
  stop = 1;
  for (int i = 0; i < 2; i++) EXPECT(threadJoin(&t[i]), 0);
  return report("races");
}

/* A shared anonymous page under two addresses by mremap with an old size of 0: one memory, one futex. */
static void *shareWaiter(void *argument) {
  return (void *)futex(argument, FUTEX_WAIT, 0, NULL, NULL, 0);
}

int shareMain(int argc, char **argv) {
  (void)argc, (void)argv;
  static struct thread t;
  u8 *p = (u8 *)mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(!isError(p));
  u8 *q = (u8 *)sys(__NR_mremap, p, 0, PAGE, MREMAP_MAYMOVE);
  CHECK(!isError(q) && q != p);
  if (!isError(q)) {
    p[100] = 42;
    EXPECT(q[100], 42);
    q[101] = 43;
    EXPECT(p[101], 43);
    EXPECT(threadStart(&t, shareWaiter, p), 0);
    while (futex((i32 *)q, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) sleepNs(1000000);
    EXPECT(threadJoin(&t), 0);
  }
  return report("share");
}
