/* pthread mutexes: normal, recursive, error-checking, robust, with timeouts; read-write locks, spin locks. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t readWrite = PTHREAD_RWLOCK_INITIALIZER;
static pthread_spinlock_t spin;
static long counter, spun;
static long shared[8];

static void *count(void *argument) {
  for (intptr_t i = 0; i < (intptr_t)argument; i++) {
    pthread_mutex_lock(&normal);
    counter++;
    pthread_mutex_unlock(&normal);
    if (i % 8 == 0) {
      pthread_spin_lock(&spin);
      spun++;
      pthread_spin_unlock(&spin);
    }
  }
  return NULL;
}

static void *readOrWrite(void *argument) {
  intptr_t me = (intptr_t)argument;
  for (int i = 0; i < 500; i++) {
    if (i % 10 == me % 10) {
      pthread_rwlock_wrlock(&readWrite);
      for (int k = 0; k < 8; k++) shared[k]++;
    } else {
      pthread_rwlock_rdlock(&readWrite);
      for (int k = 1; k < 8; k++)
        if (shared[k] != shared[0]) return (void *)1;
    }
    pthread_rwlock_unlock(&readWrite);
  }
  return NULL;
}

static pthread_mutex_t robust, checking;

static void *dieWithLock(void *argument) {
  pthread_mutex_lock(&robust);
  return argument;
}

static void *tryFromOutside(void *argument) {
  (void)argument;
  intptr_t wrong = 0;
  if (pthread_mutex_unlock(&checking) != EPERM) wrong |= 1;
  if (pthread_mutex_trylock(&checking) != EBUSY) wrong |= 2;
  struct timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 20000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  if (pthread_mutex_timedlock(&checking, &soon) != ETIMEDOUT) wrong |= 4;
#ifdef __GLIBC__
  clock_gettime(CLOCK_MONOTONIC, &soon);
  soon.tv_nsec += 20000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  if (pthread_mutex_clocklock(&checking, CLOCK_MONOTONIC, &soon) != ETIMEDOUT) wrong |= 8;
#endif
  return (void *)wrong;
}

static void *waitForRobust(void *argument) {
  (void)argument;
  intptr_t result = pthread_mutex_lock(&robust);
  if (result == EOWNERDEAD) pthread_mutex_consistent(&robust);
  pthread_mutex_unlock(&robust);
  return (void *)result;
}

int main(void) {
  pthread_t t[8];
  void *result;
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  for (int i = 0; i < 8; i++) EXPECT(pthread_create(&t[i], NULL, count, (void *)5000), 0);
  for (int i = 0; i < 8; i++) EXPECT(pthread_join(t[i], NULL), 0);
  EXPECT(counter, 40000);
  EXPECT(spun, 5000);

  for (intptr_t i = 0; i < 6; i++) EXPECT(pthread_create(&t[i], NULL, readOrWrite, (void *)i), 0);
  for (int i = 0; i < 6; i++) {
    EXPECT(pthread_join(t[i], &result), 0);
    EXPECT(result, 0);
  }
  EXPECT(shared[3], 300);

  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutex_t recursive;
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&recursive, &attributes);
  for (int i = 0; i < 10; i++) EXPECT(pthread_mutex_lock(&recursive), 0);
  EXPECT(pthread_mutex_trylock(&recursive), 0);
  for (int i = 0; i < 11; i++) EXPECT(pthread_mutex_unlock(&recursive), 0);
  EXPECT(pthread_mutex_unlock(&recursive), EPERM);

  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&checking, &attributes);
  EXPECT(pthread_mutex_lock(&checking), 0);
  EXPECT(pthread_mutex_lock(&checking), EDEADLK);
  EXPECT(pthread_create(&t[0], NULL, tryFromOutside, NULL), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  EXPECT(result, 0);
  EXPECT(pthread_mutex_unlock(&checking), 0);
  EXPECT(pthread_mutex_unlock(&checking), EPERM);

  /* The owner ends without unlocking: the next one is told. */
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_NORMAL);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  EXPECT(pthread_create(&t[0], NULL, dieWithLock, NULL), 0);
  EXPECT(pthread_join(t[0], NULL), 0);
  EXPECT(pthread_mutex_lock(&robust), EOWNERDEAD);
  EXPECT(pthread_mutex_consistent(&robust), 0);
  EXPECT(pthread_mutex_unlock(&robust), 0);
  EXPECT(pthread_mutex_lock(&robust), 0);
  EXPECT(pthread_mutex_unlock(&robust), 0);
  /* One that waits already is woken by the death. */
  pthread_mutex_lock(&robust);
  EXPECT(pthread_create(&t[0], NULL, waitForRobust, NULL), 0);
  usleep(20000);
  EXPECT(pthread_mutex_unlock(&robust), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  EXPECT(result, 0);
  /* Not made consistent: it can't be recovered. */
  EXPECT(pthread_create(&t[0], NULL, dieWithLock, NULL), 0);
  EXPECT(pthread_join(t[0], NULL), 0);
  EXPECT(pthread_mutex_lock(&robust), EOWNERDEAD);
  EXPECT(pthread_mutex_unlock(&robust), 0);
  EXPECT(pthread_mutex_lock(&robust), ENOTRECOVERABLE);
  return report("mutexes");
}
