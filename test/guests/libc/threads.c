/* Threads in number; their storage, stacks, cancellation and ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static __thread int local = 42;
static __thread char buffer[1000];
static pthread_key_t key, again;
static int destroyed, rounds;
static sem_t started, finished;

static void destroy(void *value) {
  (void)value;
  __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
}

/* A destructor that sets its key again is called again. */
static void destroyAgain(void *value) {
  __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
  if ((intptr_t)value > 1) pthread_setspecific(again, value - 1);
}

static void *useStorage(void *argument) {
  intptr_t me = (intptr_t)argument;
  if (local != 42 || buffer[500] != 0) return (void *)1;
  local = (int)me;
  memset(buffer, (int)me, sizeof buffer);
  pthread_setspecific(key, (void *)(me + 1));
  pthread_setspecific(again, (void *)2);
  sched_yield();
  errno = (int)me;
  usleep(1000);
  if (errno != me || local != me || buffer[999] != (char)me || pthread_getspecific(key) != (void *)(me + 1)) return (void *)2;
  return NULL;
}

static void *detached(void *argument) {
  sem_post(&finished);
  return argument;
}

static int cleaned;
static void cleanUp(void *argument) { cleaned += (int)(intptr_t)argument; }

static void *cancelledInSleep(void *argument) {
  pthread_cleanup_push(cleanUp, (void *)1);
  pthread_cleanup_push(cleanUp, (void *)10);
  sem_post(&started);
  for (;;) sleep(100);
  pthread_cleanup_pop(0);
  pthread_cleanup_pop(0);
  return argument;
}

static void *cancelledInLoop(void *argument) {
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
  sem_post(&started);
  for (volatile long n = 0;; n++) {}
  return argument;
}

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static void unlock(void *argument) {
  cleaned += 100;
  pthread_mutex_unlock(argument);
}
static void *cancelledInWait(void *argument) {
  pthread_mutex_lock(&m);
  pthread_cleanup_push(unlock, &m);
  sem_post(&started);
  for (;;) pthread_cond_wait(&c, &m);
  pthread_cleanup_pop(1);
  return argument;
}

static void *notCancelled(void *argument) {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
  sem_post(&started);
  usleep(50000);
  return argument;
}

static void *recurse(void *argument) {
  volatile char frame[10000];
  intptr_t depth = (intptr_t)argument;
  frame[depth] = 1;
  if (depth == 0) return (void *)1;
  return recurse((void *)(depth - 1)) + frame[depth];
}

static void *exitEarly(void *argument) {
  pthread_exit(argument + 5);
}

static void *nested(void *argument) {
  intptr_t depth = (intptr_t)argument;
  if (depth == 0) return (void *)1;
  pthread_t a, b;
  void *ra, *rb;
  if (pthread_create(&a, NULL, nested, (void *)(depth - 1)) || pthread_create(&b, NULL, nested, (void *)(depth - 1))) return NULL;
  pthread_join(a, &ra);
  pthread_join(b, &rb);
  return ra + (intptr_t)rb;
}

int main(void) {
  static pthread_t t[64];
  void *result;
  pthread_key_create(&key, destroy);
  pthread_key_create(&again, destroyAgain);
  sem_init(&started, 0, 0);
  sem_init(&finished, 0, 0);
  for (intptr_t i = 0; i < 64; i++) EXPECT(pthread_create(&t[i], NULL, useStorage, (void *)i), 0);
  for (int i = 0; i < 64; i++) {
    EXPECT(pthread_join(t[i], &result), 0);
    EXPECT(result, 0);
  }
  EXPECT(local, 42);
  EXPECT(destroyed, 64);
  EXPECT(rounds, 128);

  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (int i = 0; i < 16; i++) EXPECT(pthread_create(&t[0], &attributes, detached, NULL), 0);
  for (int i = 0; i < 16; i++) EXPECT(sem_wait(&finished), 0);
  EXPECT(pthread_create(&t[0], NULL, detached, NULL), 0);
  EXPECT(pthread_detach(t[0]), 0);
  EXPECT(sem_wait(&finished), 0);

  EXPECT(pthread_create(&t[0], NULL, cancelledInSleep, NULL), 0);
  sem_wait(&started);
  EXPECT(pthread_cancel(t[0]), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  CHECK(result == PTHREAD_CANCELED);
  EXPECT(cleaned, 11);
  EXPECT(pthread_create(&t[0], NULL, cancelledInLoop, NULL), 0);
  sem_wait(&started);
  usleep(10000);
  EXPECT(pthread_cancel(t[0]), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  CHECK(result == PTHREAD_CANCELED);
  EXPECT(pthread_create(&t[0], NULL, cancelledInWait, NULL), 0);
  sem_wait(&started);
  EXPECT(pthread_cancel(t[0]), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  CHECK(result == PTHREAD_CANCELED);
  EXPECT(cleaned, 111);
  EXPECT(pthread_mutex_trylock(&m), 0);
  EXPECT(pthread_create(&t[0], NULL, notCancelled, (void *)3), 0);
  sem_wait(&started);
  EXPECT(pthread_cancel(t[0]), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  EXPECT(result, 3);

  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 4 << 20);
  EXPECT(pthread_create(&t[0], &attributes, recurse, (void *)300), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  EXPECT(result, 301);
  EXPECT(pthread_create(&t[0], NULL, exitEarly, (void *)2), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  EXPECT(result, 7);
  EXPECT(pthread_create(&t[0], NULL, nested, (void *)5), 0);
  EXPECT(pthread_join(t[0], &result), 0);
  EXPECT(result, 32);
  for (int i = 0; i < 300; i++) {
    EXPECT(pthread_create(&t[0], NULL, exitEarly, (void *)2), 0);
    EXPECT(pthread_join(t[0], &result), 0);
  }
  return report("threads");
}
