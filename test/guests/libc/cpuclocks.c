/*
 * Clocks of CPU time never go back, whoever reads them, while threads and processes begin, wait, end and follow each other on the
 * processors that run them; a process has never used less than a thread of its own; and what has been used is not lost.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

typedef long long Time;

static Time timeOf(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now)) abort();
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}
static Time usage(int who) {
  struct rusage used;
  if (getrusage(who, &used)) abort();
  return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
}
static Time ticks(void) {
  struct tms used;
  times(&used);
  return (Time)(used.tms_utime + used.tms_stime) * 1000000000LL / sysconf(_SC_CLK_TCK);
}
/* utime and stime of a stat file in /proc, in ticks. */
static Time statTicks(const char *path) {
  char text[1024];
  FILE *file = fopen(path, "r");
  if (file == NULL) abort();
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  unsigned long user, system;
  if (sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) abort();
  return (Time)(user + system);
}

/* The clocks of one reader: what it has seen last, and how often one went back. */
static int back;
static void look(Time *last, Time now) {
  if (now < *last) __atomic_fetch_add(&back, 1, __ATOMIC_RELAXED);
  *last = now;
}
/* The same for the process, whose readers see each other's. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static Time whole;
static void lookAtProcess(void) {
  pthread_mutex_lock(&mutex);
  look(&whole, timeOf(CLOCK_PROCESS_CPUTIME_ID));
  pthread_mutex_unlock(&mutex);
}

static void use(Time amount) {
  Time end = timeOf(CLOCK_THREAD_CPUTIME_ID) + amount;
  while (timeOf(CLOCK_THREAD_CPUTIME_ID) < end) {
  }
}

static volatile int done;

/* Reads the clocks of the whole process, and of the thread that made it. */
static void *observe(void *argument) {
  clockid_t maker;
  if (pthread_getcpuclockid(*(pthread_t *)argument, &maker)) abort();
  Time makers = 0, process = 0, tick = 0, used = 0, stat = 0;
  for (int i = 0; !done; i++) {
    look(&makers, timeOf(maker));
    look(&process, timeOf(CLOCK_PROCESS_CPUTIME_ID));
    if (process < makers) __atomic_fetch_add(&back, 1, __ATOMIC_RELAXED);
    if (i % 16 == 0) look(&tick, ticks());
    if (i % 16 == 5) look(&used, usage(RUSAGE_SELF));
    if (i % 64 == 9) look(&stat, statTicks("/proc/self/stat"));
    lookAtProcess();
    if (i % 8 == 0) usleep(100);
  }
  return NULL;
}

static void *shortLife(void *argument) {
  if (argument == NULL) return NULL;
  Time own = timeOf(CLOCK_THREAD_CPUTIME_ID), process = timeOf(CLOCK_PROCESS_CPUTIME_ID);
  if (process < own) __atomic_fetch_add(&back, 1, __ATOMIC_RELAXED);
  lookAtProcess();
  look(&own, timeOf(CLOCK_THREAD_CPUTIME_ID));
  look(&own, usage(RUSAGE_THREAD) + 999);
  return NULL;
}

/* Short threads, one after another: some of them read clocks, and so does their maker. */
static void makeThreads(int count) {
  Time own = 0, process = 0;
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, shortLife, i % 7 == 0 ? &thread : NULL)) abort();
    if (i % 3 == 0) look(&own, timeOf(CLOCK_THREAD_CPUTIME_ID));
    pthread_join(thread, NULL);
    if (i % 5 == 0) {
      look(&own, timeOf(CLOCK_THREAD_CPUTIME_ID));
      look(&process, timeOf(CLOCK_PROCESS_CPUTIME_ID));
      if (process < own) __atomic_fetch_add(&back, 1, __ATOMIC_RELAXED);
      lookAtProcess();
    }
  }
}

static void *makeSome(void *argument) {
  makeThreads(150);
  return argument;
}

static void threadsAlone(void) {
  makeThreads(2000);
  EXPECT(back, 0);
  puts("threads: well");
}

static void threadsObserved(void) {
  pthread_t observers[2], makers[3], self = pthread_self();
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&observers[i], NULL, observe, &self) == 0);
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&makers[i], NULL, makeSome, NULL) == 0);
  makeThreads(600);
  for (int i = 0; i < 3; i++) CHECK(pthread_join(makers[i], NULL) == 0);
  done = 1;
  for (int i = 0; i < 2; i++) CHECK(pthread_join(observers[i], NULL) == 0);
  EXPECT(back, 0);
  puts("threads that others look at: well");
}

#define USED 20000000LL
static void *useSome(void *argument) {
  use(USED);
  return argument;
}

/* Nothing is lost: what a thread has seen itself use, its process has used, whether the thread waited in between or has ended. */
static void nothingIsLost(void) {
  Time before = timeOf(CLOCK_PROCESS_CPUTIME_ID), own = timeOf(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < 5; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, useSome, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
  }
  CHECK(timeOf(CLOCK_PROCESS_CPUTIME_ID) - before >= 5 * USED);
  /* A thread whose processor others had meanwhile has not used their time. */
  CHECK(timeOf(CLOCK_THREAD_CPUTIME_ID) - own < 5 * USED);
  use(USED);
  CHECK(timeOf(CLOCK_THREAD_CPUTIME_ID) - own >= USED);
  puts("what threads have used: well");
}

/* Processes, which begin at nothing, and whose parents are told at their ends of all that they have used. */
static void processes(void) {
  Time children = usage(RUSAGE_CHILDREN), own = timeOf(CLOCK_THREAD_CPUTIME_ID);
  int ends[2];
  CHECK(pipe(ends) == 0);
  for (int i = 0; i < 20; i++) {
    int status;
    struct rusage used;
    pid_t child = fork();
    if (child == 0) {
      whole = back = 0;
      Time first = timeOf(CLOCK_PROCESS_CPUTIME_ID);
      makeThreads(20);
      use(first + 2000000);
      Time last = timeOf(CLOCK_PROCESS_CPUTIME_ID);
      look(&last, timeOf(CLOCK_PROCESS_CPUTIME_ID));
      if (write(ends[1], &last, sizeof last) != sizeof last) _exit(2);
      _exit(back ? 3 : 0);
    }
    Time last;
    CHECK(wait4(child, &status, 0, &used) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(read(ends[0], &last, sizeof last) == sizeof last);
    Time told = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000LL + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000LL;
    CHECK(told + 2000 >= last);
    look(&own, timeOf(CLOCK_THREAD_CPUTIME_ID));
    lookAtProcess();
    Time all = usage(RUSAGE_CHILDREN);
    CHECK(all >= children + told - 2000);
    children = all;
  }
  EXPECT(back, 0);
  puts("processes: well");
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  threadsAlone();
  threadsObserved();
  nothingIsLost();
  processes();
  return report("cpuclocks");
}
