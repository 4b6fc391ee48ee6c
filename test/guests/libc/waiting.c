/*
 * Threads that wait for what another thread or process does, and what happens to them meanwhile: signals, death, stops, CPU time. A
 * thread may wait on one worker and go on on another. waiting [FORKS]: how often a program with busy threads forks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static volatile sig_atomic_t caught;
/* Where the handler lets a child go that waits for that, if one does. */
static volatile sig_atomic_t letsGo = -1;
static void count(int signal) {
  caught += signal != 0;
  if (letsGo >= 0 && write(letsGo, "x", 1) != 1) _exit(9);
}

static void handle(int signal, int flags) {
  struct sigaction action = {.sa_handler = count, .sa_flags = flags};
  sigaction(signal, &action, NULL);
}

/* Alarms again and again, for one may come before the wait that it is to interrupt. */
static void alarms(int on) {
  struct itimerval often = {{0, on ? 20000 : 0}, {0, on ? 20000 : 0}};
  setitimer(ITIMER_REAL, &often, NULL);
}

/* A child that ends when it is let go through the pipe. */
static pid_t waiter(int ends[2]) {
  pid_t child = fork();
  if (child == 0) {
    char c;
    _exit(read(ends[0], &c, 1) == 1 ? 7 : 8);
  }
  return child;
}

static double cpu(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void signalsMeanwhile(void) {
  int status, ends[2];
  CHECK(pipe(ends) == 0);
  handle(SIGALRM, 0);
  pid_t child = waiter(ends);
  alarms(1);
  CHECK(waitpid(child, &status, 0) == -1 && errno == EINTR && caught > 0);
  alarms(0);
  kill(child, SIGKILL);
  CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  handle(SIGALRM, SA_RESTART);
  letsGo = ends[1];
  child = waiter(ends);
  alarms(1);
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
  alarms(0);
  letsGo = -1;
  caught = 2;
  /* A signal for the parent of a vfork waits until the child has gone. (musl's vfork is a fork: there waitpid may meet it.) */
  handle(SIGUSR1, SA_RESTART);
  child = vfork();
  if (child == 0) {
    kill(getppid(), SIGUSR1);
    usleep(1000);
    _exit(caught);
  }
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 2 && caught == 3);
  puts("signals: well");
}

/* A process that waits for a child of its own is killed, or stopped and continued. */
static void endsMeanwhile(void) {
  int status, ends[2], release[2];
  CHECK(pipe(ends) == 0 && pipe(release) == 0);
  pid_t middle = fork();
  if (middle == 0) {
    pid_t child = waiter(release);
    CHECK(write(ends[1], &child, sizeof child) == sizeof child);
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
  }
  pid_t child;
  CHECK(read(ends[0], &child, sizeof child) == sizeof child);
  kill(middle, SIGSTOP);
  CHECK(waitpid(middle, &status, WUNTRACED) == middle && WIFSTOPPED(status));
  kill(middle, SIGCONT);
  CHECK(waitpid(middle, &status, WCONTINUED) == middle && WIFCONTINUED(status));
  CHECK(write(release[1], "x", 1) == 1);
  CHECK(waitpid(middle, &status, 0) == middle && WIFEXITED(status) && WEXITSTATUS(status) == 7);
  middle = fork();
  if (middle == 0) {
    child = fork();
    if (child == 0) {
      usleep(5000);
      kill(getppid(), SIGKILL);
      _exit(0);
    }
    waitpid(child, &status, 0);
    _exit(0);
  }
  CHECK(waitpid(middle, &status, 0) == middle && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  puts("stops and deaths: well");
}

static void timesMeanwhile(void) {
  double before = cpu(CLOCK_THREAD_CPUTIME_ID);
  while (cpu(CLOCK_THREAD_CPUTIME_ID) < before + 0.03) {
  }
  double own = cpu(CLOCK_THREAD_CPUTIME_ID), whole = cpu(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < 20; i++) {
    int status;
    pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK(waitpid(child, &status, 0) == child);
    double own2 = cpu(CLOCK_THREAD_CPUTIME_ID), whole2 = cpu(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(own2 >= own && whole2 >= whole);
    own = own2;
    whole = whole2;
  }
  CHECK(own > 0.03 && own < 20);
  puts("CPU time: well");
}

/* linux/futex.h, which not every C library has. */
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
static int word;
static void *wake(void *argument) {
  while (syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) != 1) sched_yield();
  return argument;
}
static void *createOne(void *argument) {
  pthread_t thread;
  void *result;
  long depth = (long)argument;
  if (depth == 0) return argument;
  CHECK(pthread_create(&thread, NULL, createOne, (void *)(depth - 1)) == 0);
  CHECK(pthread_join(thread, &result) == 0 && result == (void *)(depth - 1));
  return argument;
}
static void threadsMeanwhile(void) {
  for (int i = 0; i < 200; i++) {
    pthread_t thread;
    /* Woken although the word has not changed. */
    CHECK(pthread_create(&thread, NULL, wake, NULL) == 0);
    CHECK(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
  }
  for (int i = 0; i < 40; i++) createOne((void *)4);
  puts("threads: well");
}

static void *forkAndWait(void *argument) {
  for (int i = 0; i < 20; i++) {
    int status;
    pid_t child = i & 1 ? vfork() : fork();
    if (child == 0) _exit(i);
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == i);
  }
  return argument;
}
static void manyMeanwhile(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, forkAndWait, NULL) == 0);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  puts("forks of several threads: well");
}

#define BUSY 16
static volatile int done;
static void *keepBusy(void *argument) {
  FILE *out = argument;
  unsigned seed = 1;
  while (!done) {
    void *block = malloc(16 + rand_r(&seed) % 4000);
    fprintf(out, "%p\n", block);
    free(block);
  }
  return NULL;
}
static void locksMeanwhile(long forks) {
  pthread_t threads[BUSY];
  FILE *out = fopen("/dev/null", "w");
  for (int i = 0; i < BUSY; i++) CHECK(pthread_create(&threads[i], NULL, keepBusy, out) == 0);
  for (long i = 0; i < forks; i++) {
    int status;
    pid_t child = fork();
    if (child == 0) {
      /* The child has malloc to itself, and with glibc the streams, whose locks musl leaves as they were. */
      void *block = malloc(1000 + (size_t)i % 5000);
#ifdef __GLIBC__
      fprintf(out, "%p\n", block);
#endif
      free(block);
      _exit(3);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 3);
  }
  done = 1;
  for (int i = 0; i < BUSY; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  puts("forks beside busy threads: well");
}

int main(int argc, char **argv) {
  long forks = argc > 2 ? strtol(argv[2], NULL, 10) : 30;
  setvbuf(stdout, NULL, _IONBF, 0);
  signalsMeanwhile();
  endsMeanwhile();
  timesMeanwhile();
  threadsMeanwhile();
  manyMeanwhile();
  locksMeanwhile(forks);
  return report("waiting");
}
