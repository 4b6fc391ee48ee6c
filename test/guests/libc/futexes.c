/* futex(2): locks with an owner, waiting for several words, sharing between processes, what is left when an owner dies. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

/* linux/futex.h, which not every C library brings. */
enum {
  FUTEX_WAIT, FUTEX_WAKE, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP, FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI,
  FUTEX_WAIT_REQUEUE_PI = 11, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI2, FUTEX_PRIVATE_FLAG = 128, FUTEX_CLOCK_REALTIME = 256
};
#define FUTEX_WAITERS 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu
enum { FUTEX_OP_SET, FUTEX_OP_OPARG_SHIFT = 8 };
enum { FUTEX_OP_CMP_EQ };
#define FUTEX_OP(op, operand, comparison, argument) \
  ((uint32_t)(op) << 28 | (uint32_t)(comparison) << 24 | ((operand) & 0xfffu) << 12 | ((argument) & 0xfffu))

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static _Atomic uint32_t word, other;

static long futex(void *at, int op, uint32_t value, const void *timeout, void *second, uint32_t value3) {
  return syscall(SYS_futex, at, op, value, timeout, second, value3) < 0 ? -errno : 0;
}

/* For operations whose result counts. */
static long counted(void *at, int op, uint32_t value, long value2, void *second, uint32_t value3) {
  long result = syscall(SYS_futex, at, op, value, value2, second, value3);
  return result < 0 ? -errno : result;
}

static uint32_t tid(void) { return syscall(SYS_gettid); }

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static struct timespec after(clockid_t clock, long milliseconds) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_nsec += milliseconds * 1000000;
  while (time.tv_nsec >= 1000000000) {
    time.tv_nsec -= 1000000000;
    time.tv_sec++;
  }
  return time;
}

static void *lockAndLeave(void *argument) {
  EXPECT(futex(argument, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  return (void *)(uintptr_t)tid();
}

static _Atomic int stage;

static void *lockAndHold(void *argument) {
  EXPECT(futex(argument, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  stage = 1;
  while (stage != 2) nap(1);
  EXPECT(futex(argument, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  return NULL;
}

static void until(int wanted) {
  while (stage != wanted) nap(1);
}

static void errors(void) {
  pthread_t thread;
  void *dead;
  word = 0;
  EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), -EPERM);
  EXPECT(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT(word, tid());
  EXPECT(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), -EDEADLK);
  EXPECT(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), -EDEADLK);
  EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT(word, 0);
  /* Nobody has that id. */
  word = 0x3ffffff0;
  EXPECT(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), -ESRCH);
  EXPECT(word, 0xbffffff0);
  /* An owner that ended. */
  word = 0;
  pthread_create(&thread, NULL, lockAndLeave, &word);
  pthread_join(thread, &dead);
  EXPECT(word, (uintptr_t)dead);
  nap(5);
  EXPECT(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), -ESRCH);
  /* The bit of a death stays with who takes the lock. */
  word = FUTEX_OWNER_DIED;
  EXPECT(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT(word, FUTEX_OWNER_DIED | tid());
  EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT(futex((char *)&word + 1, FUTEX_LOCK_PI, 0, NULL, NULL, 0), -EINVAL);
  EXPECT(futex((void *)16, FUTEX_LOCK_PI, 0, NULL, NULL, 0), -EFAULT);
  EXPECT(futex(&word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), -ENOSYS);
  EXPECT(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), -ENOSYS);
  EXPECT(futex(&word, 14, 0, NULL, NULL, 0), -ENOSYS);

  stage = 0;
  word = 0;
  pthread_create(&thread, NULL, lockAndHold, &word);
  until(1);
  EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), -EPERM);
  EXPECT(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), -EAGAIN);
  CHECK(word & FUTEX_WAITERS);
  struct timespec time = after(CLOCK_REALTIME, 20);
  EXPECT(futex(&word, FUTEX_LOCK_PI, 0, &time, NULL, 0), -ETIMEDOUT);
  time = after(CLOCK_MONOTONIC, 20);
  EXPECT(futex(&word, FUTEX_LOCK_PI2, 0, &time, NULL, 0), -ETIMEDOUT);
  time = after(CLOCK_REALTIME, 20);
  EXPECT(futex(&word, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME, 0, &time, NULL, 0), -ETIMEDOUT);
  time.tv_nsec = 1000000000;
  EXPECT(futex(&word, FUTEX_LOCK_PI2, 0, &time, NULL, 0), -EINVAL);
  stage = 2;
  pthread_join(thread, NULL);
  EXPECT(word & FUTEX_TID_MASK, 0);
}

/* --- the lock goes from hand to hand --- */

static long inside, entries;

static _Atomic int wrong;

static void *enter(void *argument) {
  int op = argument ? FUTEX_PRIVATE_FLAG : 0;
  for (int i = 0; i < 400; i++) {
    uint32_t nobody = 0;
    if (!atomic_compare_exchange_strong(&word, &nobody, tid()))
      wrong += futex(&word, FUTEX_LOCK_PI | op, 0, NULL, NULL, 0) != 0;
    wrong += inside++ != 0 || (word & FUTEX_TID_MASK) != tid();
    entries++;
    if (i % 50 == 0) nap(1);
    inside--;
    uint32_t mine = tid();
    if (!atomic_compare_exchange_strong(&word, &mine, 0))
      wrong += futex(&word, FUTEX_UNLOCK_PI | op, 0, NULL, NULL, 0) != 0;
  }
  return NULL;
}

static void handOver(void) {
  for (intptr_t private = 0; private < 2; private++) {
    pthread_t threads[4];
    word = 0;
    entries = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, enter, (void *)private);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    EXPECT(entries, 1600);
    EXPECT(wrong, 0);
    EXPECT(word, 0);
  }
}

/* --- circles --- */

static void *other_way(void *argument) {
  EXPECT(futex(&other, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  stage = 1;
  until(2);
  long result = futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
  if (result == 0) EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  EXPECT(futex(&other, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  return (void *)result;
}

static void circles(void) {
  pthread_t thread;
  void *result;
  word = other = 0;
  stage = 0;
  EXPECT(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  pthread_create(&thread, NULL, other_way, NULL);
  until(1);
  stage = 2;
  nap(30);
  EXPECT(futex(&other, FUTEX_LOCK_PI, 0, NULL, NULL, 0), -EDEADLK);
  EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  pthread_join(thread, &result);
  EXPECT((intptr_t)result, 0);
}

/* --- an owner that ends while others wait --- */

static void *lockAndDie(void *argument) {
  EXPECT(futex(argument, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  stage = 1;
  nap(40);
  return NULL;
}

static void *inheritAfter(void *argument) {
  until(1);
  EXPECT(futex(argument, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
  uint32_t seen = word;
  EXPECT(seen & FUTEX_TID_MASK, tid());
  EXPECT(futex(argument, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  return (void *)(uintptr_t)((seen & FUTEX_OWNER_DIED) != 0);
}

static void deaths(void) {
  pthread_t owner, heirs[3];
  intptr_t died = 0;
  word = 0;
  stage = 0;
  pthread_create(&owner, NULL, lockAndDie, &word);
  for (int i = 0; i < 3; i++) pthread_create(&heirs[i], NULL, inheritAfter, &word);
  pthread_join(owner, NULL);
  for (int i = 0; i < 3; i++) {
    void *told;
    pthread_join(heirs[i], &told);
    died += (intptr_t)told;
  }
  /* Only the first heir is told. */
  EXPECT(died, 1);
  EXPECT(word & FUTEX_TID_MASK, 0);
}

/* --- moving waiters to a lock --- */

static void *waitThenLock(void *argument) {
  stage++;
  EXPECT(futex(&other, FUTEX_WAIT_REQUEUE_PI, 7, NULL, &word, 0), 0);
  EXPECT(word & FUTEX_TID_MASK, tid());
  entries++;
  EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
  return NULL;
}

static void requeue(void) {
  pthread_t threads[4];
  struct timespec time;
  for (int held = 0; held < 2; held++) {
    word = 0;
    other = 7;
    entries = 0;
    stage = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, waitThenLock, NULL);
    until(4);
    nap(50);
    EXPECT(counted(&other, FUTEX_WAKE, 1, 0, NULL, 0), -EINVAL);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE, 1, 1, &word, 7), -EINVAL);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE_PI, 1, 9, &word, 8), -EAGAIN);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE_PI, 2, 9, &word, 7), -EINVAL);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE_PI, 1, 9, &stage, 7), -EINVAL);
    if (held) EXPECT(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE_PI, 1, 1, &word, 7), 2);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE_PI, 1, 9, &word, 7), 2);
    EXPECT(counted(&other, FUTEX_CMP_REQUEUE_PI, 1, 9, &word, 7), 0);
    if (held) {
      EXPECT(entries, 0);
      EXPECT(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    EXPECT(entries, 4);
    EXPECT(word & FUTEX_TID_MASK, 0);
  }
  EXPECT(futex(&other, FUTEX_WAIT_REQUEUE_PI, 7, NULL, &other, 0), -EINVAL);
  EXPECT(futex(&other, FUTEX_WAIT_REQUEUE_PI, 8, NULL, &word, 0), -EAGAIN);
  time = after(CLOCK_MONOTONIC, 20);
  EXPECT(futex(&other, FUTEX_WAIT_REQUEUE_PI, 7, &time, &word, 0), -ETIMEDOUT);
}

/* --- pthread mutexes on it --- */

static void *takeDead(void *argument) {
  EXPECT(pthread_mutex_lock(argument), 0);
  return NULL;
}

static void mutexes(void) {
  for (int robust = 0; robust < 2; robust++)
    for (int type = PTHREAD_MUTEX_NORMAL; type <= PTHREAD_MUTEX_ERRORCHECK; type++) {
      pthread_mutexattr_t attributes;
      pthread_mutex_t mutex;
      pthread_t thread;
      pthread_mutexattr_init(&attributes);
      EXPECT(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
      pthread_mutexattr_settype(&attributes, type);
      pthread_mutexattr_setrobust(&attributes, robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED);
      EXPECT(pthread_mutex_init(&mutex, &attributes), 0);
      EXPECT(pthread_mutex_lock(&mutex), 0);
      if (type != PTHREAD_MUTEX_ERRORCHECK)
        EXPECT(pthread_mutex_trylock(&mutex), type == PTHREAD_MUTEX_RECURSIVE ? 0 : EBUSY);
      if (type == PTHREAD_MUTEX_RECURSIVE) EXPECT(pthread_mutex_unlock(&mutex), 0);
      if (type == PTHREAD_MUTEX_ERRORCHECK) EXPECT(pthread_mutex_lock(&mutex), EDEADLK);
      EXPECT(pthread_mutex_unlock(&mutex), 0);
      if (!robust) continue;
      pthread_create(&thread, NULL, takeDead, &mutex);
      pthread_join(thread, NULL);
      EXPECT(pthread_mutex_lock(&mutex), EOWNERDEAD);
      EXPECT(pthread_mutex_consistent(&mutex), 0);
      EXPECT(pthread_mutex_unlock(&mutex), 0);
      EXPECT(pthread_mutex_lock(&mutex), 0);
      EXPECT(pthread_mutex_unlock(&mutex), 0);
      pthread_create(&thread, NULL, takeDead, &mutex);
      pthread_join(thread, NULL);
      EXPECT(pthread_mutex_lock(&mutex), EOWNERDEAD);
      EXPECT(pthread_mutex_unlock(&mutex), 0);
      EXPECT(pthread_mutex_lock(&mutex), ENOTRECOVERABLE);
    }
}

/* --- between processes --- */

struct shared {
  pthread_mutex_t mutex;
  _Atomic int stage;
  long counter;
};

static int killed(pid_t pid) {
  int status;
  return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static int well(pid_t pid) {
  int status;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The owner is killed in one process while another one waits for the mutex. */
static void across(struct shared *shared, int inherit) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (inherit) pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  EXPECT(pthread_mutex_init(&shared->mutex, &attributes), 0);
  shared->stage = 0;
  shared->counter = 0;

  pid_t owner = fork();
  if (owner == 0) {
    pthread_mutex_lock(&shared->mutex);
    shared->stage = 1;
    for (;;) pause();
  }
  while (shared->stage != 1) nap(1);
  EXPECT(pthread_mutex_trylock(&shared->mutex), EBUSY);
  pid_t waiter = fork();
  if (waiter == 0) {
    shared->stage = 2;
    int got = pthread_mutex_lock(&shared->mutex);
    if (got == EOWNERDEAD) pthread_mutex_consistent(&shared->mutex);
    pthread_mutex_unlock(&shared->mutex);
    _exit(got == EOWNERDEAD ? 0 : 1);
  }
  while (shared->stage != 2) nap(1);
  nap(30);
  kill(owner, SIGKILL);
  CHECK(killed(owner));
  CHECK(well(waiter));
  EXPECT(pthread_mutex_lock(&shared->mutex), 0);
  EXPECT(pthread_mutex_unlock(&shared->mutex), 0);

  pid_t children[3];
  for (int i = 0; i < 3; i++)
    if ((children[i] = fork()) == 0) {
      for (int k = 0; k < 300; k++) {
        if (pthread_mutex_lock(&shared->mutex) != 0) _exit(1);
        shared->counter++;
        if (pthread_mutex_unlock(&shared->mutex) != 0) _exit(1);
      }
      _exit(0);
    }
  for (int i = 0; i < 3; i++) CHECK(well(children[i]));
  EXPECT(shared->counter, 900);
}

static void processes(const char *folder) {
  size_t size = sysconf(_SC_PAGESIZE);
  char path[256];
  snprintf(path, sizeof path, "%s/mutex", folder);
  FILE *file = fopen(path, "w+");
  CHECK(file != NULL);
  EXPECT(ftruncate(fileno(file), size), 0);
  for (int inherit = 0; inherit < 2; inherit++) {
    struct shared *anonymous = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    across(anonymous, inherit);
    struct shared *mapped = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
    across(mapped, inherit);
    munmap(anonymous, size);
    munmap(mapped, size);
  }
  /* Two mappings of one file, at two addresses: one word. */
  _Atomic uint32_t *a = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
  _Atomic uint32_t *b = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0);
  *a = 5;
  pid_t pid = fork();
  if (pid == 0) _exit(futex(a, FUTEX_WAIT, 5, NULL, NULL, 0) == 0 ? 0 : 1);
  while (counted(b, FUTEX_WAKE, 1, 0, NULL, 0) == 0) nap(1);
  CHECK(well(pid));
  fclose(file);
  unlink(path);
}

/* --- FUTEX_WAKE_OP --- */

static void wakeOps(void) {
  static const uint32_t expected[] = {5, 17, 13, 8, 9};
  for (int op = 0; op <= 4; op++) {
    other = 12;
    EXPECT(counted(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(op, 5, FUTEX_OP_CMP_EQ, 12)), 0);
    EXPECT(other, expected[op]);
    other = 12;
    EXPECT(counted(&word, FUTEX_WAKE_OP, 1, 1, &other,
                   FUTEX_OP(op | FUTEX_OP_OPARG_SHIFT, 2, FUTEX_OP_CMP_EQ, 12)), 0);
    static const uint32_t shifted[] = {4, 16, 12, 8, 8};
    EXPECT(other, shifted[op]);
  }
  other = 12;
  EXPECT(counted(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(5, 1, 0, 0)), -ENOSYS);
  EXPECT(counted(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(0, 1, 6, 0)), -ENOSYS);
}

static _Atomic int awake;

static void *sleeper(void *argument) {
  EXPECT(futex(argument, FUTEX_WAIT, 12, NULL, NULL, 0), 0);
  awake++;
  return NULL;
}

static void wakeOpWakes(void) {
  /* Comparison of 12 with 12 (EQ, NE, LT, LE, GT, GE): whether the second word's waiter is woken. */
  static const int second[] = {1, 0, 0, 1, 0, 1};
  for (int comparison = 0; comparison < 6; comparison++) {
    pthread_t a, b;
    word = other = 12;
    awake = 0;
    pthread_create(&a, NULL, sleeper, &word);
    pthread_create(&b, NULL, sleeper, &other);
    nap(30);
    EXPECT(counted(&word, FUTEX_WAKE_OP, 1, 1, &other, FUTEX_OP(FUTEX_OP_SET, 12, comparison, 12)),
           1 + second[comparison]);
    EXPECT(counted(&other, FUTEX_WAKE, 1, 0, NULL, 0), 1 - second[comparison]);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    EXPECT(awake, 2);
  }
}

/* --- futex_waitv --- */

struct waited {
  uint64_t value, address;
  uint32_t flags, reserved;
};

static long waitv(struct waited *list, unsigned count, unsigned flags, struct timespec *until, int clock) {
  long result = syscall(SYS_futex_waitv, list, count, flags, until, clock);
  return result < 0 ? -errno : result;
}

static void *wakeSecond(void *argument) {
  while (counted(&other, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, 0, NULL, 0) == 0) nap(1);
  return NULL;
}

static void vectors(void) {
  pthread_t thread;
  struct waited list[130];
  for (int i = 0; i < 130; i++) list[i] = (struct waited){1, (uintptr_t)&word, 2 | 128, 0};
  word = 1;
  other = 1;
  list[1].address = (uintptr_t)&other;
  pthread_create(&thread, NULL, wakeSecond, NULL);
  EXPECT(waitv(list, 3, 0, NULL, 0), 1);
  pthread_join(thread, NULL);
  struct timespec time = after(CLOCK_MONOTONIC, 20);
  EXPECT(waitv(list, 128, 0, &time, CLOCK_MONOTONIC), -ETIMEDOUT);
  time = after(CLOCK_REALTIME, 20);
  EXPECT(waitv(list, 2, 0, &time, CLOCK_REALTIME), -ETIMEDOUT);
  EXPECT(waitv(list, 2, 0, &time, CLOCK_BOOTTIME), -EINVAL);
  EXPECT(waitv(list, 129, 0, NULL, 0), -EINVAL);
  EXPECT(waitv(list, 0, 0, NULL, 0), -EINVAL);
  EXPECT(waitv(list, 2, 1, NULL, 0), -EINVAL);
  EXPECT(waitv(NULL, 2, 0, NULL, 0), -EINVAL);
  EXPECT(waitv((struct waited *)16, 2, 0, NULL, 0), -EFAULT);
  list[1].value = 2;
  EXPECT(waitv(list, 3, 0, NULL, 0), -EAGAIN);
  list[1].value = 1;
  list[2].flags = 1;
  EXPECT(waitv(list, 3, 0, NULL, 0), -EINVAL);
  list[2].flags = 2;
  list[2].reserved = 1;
  EXPECT(waitv(list, 3, 0, NULL, 0), -EINVAL);
  list[2].reserved = 0;
  list[2].value = 1ull << 32;
  EXPECT(waitv(list, 3, 0, NULL, 0), -EINVAL);
  list[2].value = 1;
  list[2].address = (uintptr_t)&other + 1;
  EXPECT(waitv(list, 3, 0, NULL, 0), -EINVAL);
}

/* --- robust lists of others --- */

static void *idle(void *argument) {
  *(uint32_t *)argument = tid();
  stage = 1;
  until(2);
  return NULL;
}

static void lists(void) {
  void *mine, *theirs;
  size_t size = 0;
  uint32_t id;
  pthread_t thread;
  EXPECT(syscall(SYS_get_robust_list, 0, &mine, &size), 0);
  EXPECT(size, 24);
  stage = 0;
  pthread_create(&thread, NULL, idle, &id);
  until(1);
  EXPECT(syscall(SYS_get_robust_list, id, &theirs, &size), 0);
#ifdef __GLIBC__
  CHECK(theirs != NULL && theirs != mine);
#endif
  stage = 2;
  pthread_join(thread, NULL);
  pid_t pid = fork();
  if (pid == 0)
    for (;;) pause();
  EXPECT(syscall(SYS_get_robust_list, pid, &theirs, &size), 0);
  kill(pid, SIGKILL);
  CHECK(killed(pid));
  EXPECT(syscall(SYS_get_robust_list, pid, &theirs, &size) < 0 ? errno : 0, ESRCH);
  EXPECT(syscall(SYS_set_robust_list, mine, 23) < 0 ? errno : 0, EINVAL);
}

int main(int argc, char **argv) {
  errors();
  handOver();
  circles();
  deaths();
  requeue();
  mutexes();
  processes(argc > 1 ? argv[1] : "/tmp");
  wakeOps();
  wakeOpWakes();
  vectors();
  lists();
  return report("futexes");
}
