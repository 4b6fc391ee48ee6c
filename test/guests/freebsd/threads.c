/* Threads and _umtx_op: what libthr is made of. */
#include "sys.h"

enum {
  WAIT = 2, WAKE = 3, MUTEX_TRYLOCK = 4, MUTEX_LOCK = 5, MUTEX_UNLOCK = 6, CV_WAIT = 8, CV_SIGNAL = 9, CV_BROADCAST = 10,
  WAIT_UINT = 11, RW_RDLOCK = 12, RW_WRLOCK = 13, RW_UNLOCK = 14, WAIT_UINT_PRIVATE = 15, WAKE_PRIVATE = 16, NWAKE_PRIVATE = 21,
  SEM2_WAIT = 23, SEM2_WAKE = 24,
};
typedef struct { _Atomic uint32_t owner; uint32_t flags, ceilings[2]; void *link; uint32_t spare[4]; } umutex;
typedef struct { _Atomic uint32_t waiters; uint32_t flags, clock, spare; } ucond;
typedef struct { _Atomic uint32_t state; uint32_t flags, readers, writers, spare[4]; } urwlock;
typedef struct { _Atomic uint32_t count; uint32_t flags; } usem;
typedef struct { timespec time; uint32_t flags, clock; } umtx_time;

enum { THREADS = 4, ROUNDS = 500 };
static umutex mutex;
static ucond ready, taken;
static urwlock rwlock;
static usem sem;
static long counter, full, sum, shared_a, shared_b;
static _Atomic uint32_t word, word2, waiting;

static void lock(umutex *m) {
  long self;
  CALL(SYS_thr_self, &self);
  uint32_t free = 0;
  if (atomic_compare_exchange_strong(&m->owner, &free, (uint32_t)self)) return;
  long result;
  while ((result = CALL(SYS__umtx_op, m, MUTEX_LOCK, 0, 0, 0)) == -EINTR) ;
  CHECK(result, 0);
}

static void unlock(umutex *m) {
  long self;
  CALL(SYS_thr_self, &self);
  uint32_t mine = self;
  if (atomic_compare_exchange_strong(&m->owner, &mine, 0)) return;
  CHECK(CALL(SYS__umtx_op, m, MUTEX_UNLOCK, 0, 0, 0), 0);
}

static void count(void *argument) {
  (void)argument;
  for (int i = 0; i < ROUNDS; i++) {
    lock(&mutex);
    long seen = counter;
    for (volatile int j = 0; j < 20; j++) ;
    counter = seen + 1;
    unlock(&mutex);
  }
}

static void produce(void *argument) {
  for (long i = 1; i <= ROUNDS; i++) {
    lock(&mutex);
    while (full) {
      CALL(SYS__umtx_op, &taken, CV_WAIT, 0, &mutex, 0);
      lock(&mutex);
    }
    full = (long)argument;
    if (ready.waiters) CALL(SYS__umtx_op, &ready, CV_SIGNAL, 0, 0, 0);
    unlock(&mutex);
  }
}

static void consume(void *argument) {
  (void)argument;
  for (long i = 0; i < 2 * ROUNDS; i++) {
    lock(&mutex);
    while (!full) {
      CALL(SYS__umtx_op, &ready, CV_WAIT, 0, &mutex, 0);
      lock(&mutex);
    }
    sum += full;
    full = 0;
    if (taken.waiters) CALL(SYS__umtx_op, &taken, CV_BROADCAST, 0, 0, 0);
    unlock(&mutex);
  }
}

static void read_and_write(void *argument) {
  for (long i = 0; i < ROUNDS; i++) {
    int write = (i + (long)argument) % 4 == 0;
    long result = CALL(SYS__umtx_op, &rwlock, write ? RW_WRLOCK : RW_RDLOCK, 0, 0, 0);
    CHECK(result, 0);
    if (write) {
      shared_a++;
      for (volatile int j = 0; j < 20; j++) ;
      shared_b++;
    } else TRUE(shared_a == shared_b);
    CHECK(CALL(SYS__umtx_op, &rwlock, RW_UNLOCK, 0, 0, 0), 0);
  }
}

static void sem_wait(void) {
  for (;;) {
    uint32_t seen = sem.count;
    while (seen & 0x7fffffff)
      if (atomic_compare_exchange_strong(&sem.count, &seen, seen - 1)) return;
    long result = CALL(SYS__umtx_op, &sem, SEM2_WAIT, 0, 0, 0);
    TRUE(result == 0 || result == -EINTR);
  }
}

static void sem_post(void) {
  uint32_t before = atomic_fetch_add(&sem.count, 1);
  if (before & 0x80000000) CHECK(CALL(SYS__umtx_op, &sem, SEM2_WAKE, 0, 0, 0), 0);
}

static void take_all(void *argument) {
  (void)argument;
  for (int i = 0; i < ROUNDS; i++) sem_wait();
}

static void wait_for_word(void *argument) {
  waiting++;
  while (word == 0) {
    long result = CALL(SYS__umtx_op, &word, WAIT_UINT_PRIVATE, 0, 0, 0);
    TRUE(result == 0 || result == -EINTR);
  }
  (void)argument;
}

static void together(void (*run)(void *), int n) {
  thread all[8];
  for (long i = 0; i < n; i++) start(&all[i], run, (void *)(i + 1));
  for (int i = 0; i < n; i++) join(&all[i]);
}

static long now(void) {
  timespec t;
  CALL(SYS_clock_gettime, 4, &t);
  return t.sec * 1000 + t.nsec / 1000000;
}

static void timeouts(void) {
  word = 5;
  CHECK(CALL(SYS__umtx_op, &word, WAIT_UINT, 4, 0, 0), 0);
  timespec t = {0, 20000000};
  long before = now();
  CHECK(CALL(SYS__umtx_op, &word, WAIT_UINT, 5, sizeof t, &t), -ETIMEDOUT);
  TRUE(now() - before >= 19);
  umtx_time absolute = {{0, 0}, 1, 4};
  CALL(SYS_clock_gettime, 4, &absolute.time);
  absolute.time.sec += 0;
  absolute.time.nsec += 10000000;
  if (absolute.time.nsec >= 1000000000) absolute.time.nsec -= 1000000000, absolute.time.sec++;
  CHECK(CALL(SYS__umtx_op, &word, WAIT_UINT_PRIVATE, 5, sizeof absolute, &absolute), -ETIMEDOUT);
  timespec bad = {0, 2000000000};
  CHECK(CALL(SYS__umtx_op, &word, WAIT_UINT, 5, sizeof bad, &bad), -EINVAL);
  long value = 7;
  CHECK(CALL(SYS__umtx_op, &value, WAIT, 8, 0, 0), 0);
  CHECK(CALL(SYS__umtx_op, &value, WAIT, 7, sizeof t, &t), -ETIMEDOUT);
  CHECK(CALL(SYS__umtx_op, (long)&value + 1, WAIT_UINT, 7, 0, 0), -EINVAL);
  CHECK(CALL(SYS__umtx_op, 0x1000, WAIT_UINT, 7, 0, 0), -EFAULT);
  umutex m = {0};
  CHECK(CALL(SYS__umtx_op, &m, MUTEX_TRYLOCK, 0, 0, 0), 0);
  CHECK(CALL(SYS__umtx_op, &m, MUTEX_LOCK, 0, 0, 0), -EDEADLK);
  CHECK(CALL(SYS__umtx_op, &m, MUTEX_UNLOCK, 0, 0, 0), 0);
  CHECK(CALL(SYS__umtx_op, &m, MUTEX_UNLOCK, 0, 0, 0), -EPERM);
  m.owner = 1;
  CHECK(CALL(SYS__umtx_op, &m, MUTEX_TRYLOCK, 0, 0, 0), -EBUSY);
  CHECK(CALL(SYS__umtx_op, &m, MUTEX_LOCK, 0, sizeof t, &t), -ETIMEDOUT);
  CHECK(CALL(SYS__umtx_op, &rwlock, RW_UNLOCK, 0, 0, 0), -EPERM);
  CHECK(CALL(SYS__umtx_op, &rwlock, RW_WRLOCK, 0, 0, 0), 0);
  CHECK(CALL(SYS__umtx_op, &rwlock, RW_RDLOCK, 0, sizeof t, &t), -ETIMEDOUT);
  CHECK(CALL(SYS__umtx_op, &rwlock, RW_UNLOCK, 0, 0, 0), 0);
  CHECK(CALL(SYS__umtx_op, &word, 200, 0, 0, 0), -EINVAL);
}

void threads(const char *folder) {
  (void)folder;
  together(count, THREADS);
  CHECK(counter, THREADS * ROUNDS);

  thread all[3];
  start(&all[0], consume, 0);
  start(&all[1], produce, (void *)3);
  start(&all[2], produce, (void *)5);
  for (int i = 0; i < 3; i++) join(&all[i]);
  CHECK(sum, 8 * ROUNDS);

  together(read_and_write, THREADS);
  CHECK(shared_a, shared_b);

  thread taker;
  start(&taker, take_all, 0);
  for (int i = 0; i < ROUNDS; i++) sem_post();
  join(&taker);
  CHECK(sem.count & 0x7fffffff, 0);

  thread waiters[3];
  for (int i = 0; i < 3; i++) start(&waiters[i], wait_for_word, 0);
  while (waiting != 3) ;
  word = 1;
  void *addresses[] = {&word2, &word};
  CHECK(CALL(SYS__umtx_op, addresses, NWAKE_PRIVATE, 2, 0, 0), 0);
  for (int i = 0; i < 3; i++) join(&waiters[i]);
  timeouts();
}
