/* Condition variables, barriers, semaphores, once. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t notEmpty = PTHREAD_COND_INITIALIZER, notFull = PTHREAD_COND_INITIALIZER;
static pthread_cond_t turnChanged = PTHREAD_COND_INITIALIZER;
static long ring[16], first, used, total, taken;
static int turn, serials;
static pthread_barrier_t barrier;
static volatile int round_[8];
static sem_t items, room;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int onceRuns;

static void *produce(void *argument) {
  for (intptr_t i = 1; i <= (intptr_t)argument; i++) {
    pthread_mutex_lock(&m);
    while (used == 16) pthread_cond_wait(&notFull, &m);
    ring[(first + used++) % 16] = i;
    pthread_cond_signal(&notEmpty);
    pthread_mutex_unlock(&m);
  }
  return NULL;
}

static void *consume(void *argument) {
  for (intptr_t i = 0; i < (intptr_t)argument; i++) {
    pthread_mutex_lock(&m);
    while (used == 0) pthread_cond_wait(&notEmpty, &m);
    total += ring[first];
    first = (first + 1) % 16;
    used--;
    taken++;
    pthread_cond_signal(&notFull);
    pthread_mutex_unlock(&m);
  }
  return NULL;
}

static void *inTurn(void *argument) {
  intptr_t me = (intptr_t)argument;
  for (int i = 0; i < 100; i++) {
    pthread_mutex_lock(&m);
    while (turn % 4 != me) pthread_cond_wait(&turnChanged, &m);
    turn++;
    pthread_cond_broadcast(&turnChanged);
    pthread_mutex_unlock(&m);
  }
  return NULL;
}

static void *meet(void *argument) {
  intptr_t me = (intptr_t)argument, wrong = 0;
  for (int i = 1; i <= 50; i++) {
    round_[me] = i;
    if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) __atomic_fetch_add(&serials, 1, __ATOMIC_RELAXED);
    for (int k = 0; k < 8; k++) wrong += round_[k] != i;
    pthread_barrier_wait(&barrier);
  }
  return (void *)wrong;
}

static void *post(void *argument) {
  for (intptr_t i = 0; i < (intptr_t)argument; i++) {
    sem_wait(&room);
    sem_post(&items);
  }
  return NULL;
}

static void *take(void *argument) {
  for (intptr_t i = 0; i < (intptr_t)argument; i++) {
    sem_wait(&items);
    sem_post(&room);
  }
  return NULL;
}

static void initialise(void) {
  usleep(10000);
  onceRuns++;
}

static void *runOnce(void *argument) {
  pthread_once(&once, initialise);
  return argument + onceRuns;
}

static struct timespec after(clockid_t clock, long nanoseconds) {
  struct timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += nanoseconds;
  if (t.tv_nsec >= 1000000000) t.tv_sec++, t.tv_nsec -= 1000000000;
  return t;
}

int main(void) {
  pthread_t t[8];
  void *result;
  for (int i = 0; i < 3; i++) pthread_create(&t[i], NULL, produce, (void *)2000);
  for (int i = 3; i < 6; i++) pthread_create(&t[i], NULL, consume, (void *)2000);
  for (int i = 0; i < 6; i++) EXPECT(pthread_join(t[i], NULL), 0);
  EXPECT(taken, 6000);
  EXPECT(total, 3L * 2000 * 2001 / 2);

  for (intptr_t i = 0; i < 4; i++) pthread_create(&t[i], NULL, inTurn, (void *)i);
  for (int i = 0; i < 4; i++) EXPECT(pthread_join(t[i], NULL), 0);
  EXPECT(turn, 400);

  /* Timeouts. */
  pthread_mutex_lock(&m);
  struct timespec limit = after(CLOCK_REALTIME, 20000000);
  EXPECT(pthread_cond_timedwait(&notEmpty, &m, &limit), ETIMEDOUT);
#ifdef __GLIBC__
  limit = after(CLOCK_MONOTONIC, 20000000);
  EXPECT(pthread_cond_clockwait(&notEmpty, &m, CLOCK_MONOTONIC, &limit), ETIMEDOUT);
#endif
  pthread_mutex_unlock(&m);

  pthread_barrier_init(&barrier, NULL, 8);
  for (intptr_t i = 0; i < 8; i++) pthread_create(&t[i], NULL, meet, (void *)i);
  for (int i = 0; i < 8; i++) {
    pthread_join(t[i], &result);
    EXPECT(result, 0);
  }
  EXPECT(serials, 50);
  EXPECT(pthread_barrier_destroy(&barrier), 0);

  sem_init(&items, 0, 0);
  sem_init(&room, 0, 4);
  for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, post, (void *)3000);
  for (int i = 2; i < 4; i++) pthread_create(&t[i], NULL, take, (void *)3000);
  for (int i = 0; i < 4; i++) EXPECT(pthread_join(t[i], NULL), 0);
  int value;
  sem_getvalue(&room, &value);
  EXPECT(value, 4);
  EXPECT(sem_trywait(&items), -1);
  EXPECT(errno, EAGAIN);
  limit = after(CLOCK_REALTIME, 20000000);
  EXPECT(sem_timedwait(&items, &limit), -1);
  EXPECT(errno, ETIMEDOUT);

  for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, runOnce, NULL);
  for (int i = 0; i < 4; i++) {
    pthread_join(t[i], &result);
    EXPECT(result, 1);
  }
  return report("conditions");
}
