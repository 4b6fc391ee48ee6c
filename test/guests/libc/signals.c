/* Signals by the C library: jumps out of handlers, alarm, sigwait, pthread_kill, alternate stacks, timers. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static sigjmp_buf back;
static volatile sig_atomic_t alarms, usr, onAlternate;
static char *alternate;
static volatile pthread_t lastThread;

static void jumpOut(int signal) { siglongjmp(back, signal); }
static void count(int signal) {
  /* First: others look at it when they see the count. */
  lastThread = pthread_self();
  if (signal == SIGALRM) alarms++;
  else usr++;
}

static void overflowed(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info, (void)context;
  char here;
  onAlternate = &here >= alternate && &here < alternate + 65536;
  siglongjmp(back, 2);
}

static int __attribute__((noinline)) endless(int n) {
  volatile char frame[1000];
  frame[n % 1000] = (char)n;
  return endless(n + 1) + frame[n % 1000];
}

static jmp_buf plain;
static int __attribute__((noinline)) deep(int n) {
  if (n == 0) longjmp(plain, 77);
  return deep(n - 1) + 1;
}

static volatile int quitThread;
static void *sleeper(void *argument) {
  while (!quitThread) usleep(1000);
  return argument;
}

static void *waitForSignal(void *argument) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGRTMIN);
  int signal;
  intptr_t seen = 0;
  for (int i = 0; i < 3; i++) {
    if (sigwait(&set, &signal)) return NULL;
    seen = seen * 100 + signal;
  }
  return argument + seen;
}

static volatile sig_atomic_t notified;
static void onTimer(union sigval value) { notified += value.sival_int; }

static uint64_t __attribute__((noinline)) calculate(void) {
  double sum = 0;
  uint64_t x = 1, hash = 0, bits;
  for (int i = 1; i <= 20000; i++) {
    sum += 1.0 / i;
    x = x * 6364136223846793005u + 1442695040888963407u;
    hash ^= x >> 7;
  }
  memcpy(&bits, &sum, 8);
  return hash ^ bits;
}

int main(void) {
  int jumped = setjmp(plain);
  if (jumped == 0) deep(50);
  EXPECT(jumped, 77);

  /* Out of a handler, with and without the mask. */
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = jumpOut;
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGFPE, &action, NULL);
  for (volatile int i = 0; i < 3; i++) {
    int from = sigsetjmp(back, 1);
    if (from == 0) *(volatile int *)16 = 1;
    EXPECT(from, SIGSEGV);
  }
  int from = sigsetjmp(back, 1);
  if (from == 0) raise(SIGFPE);
  EXPECT(from, SIGFPE);
  sigset_t mask;
  sigprocmask(SIG_BLOCK, NULL, &mask);
  EXPECT(sigismember(&mask, SIGSEGV), 0);

  /* The stack overflows; the handler has another one. */
  alternate = malloc(65536);
  stack_t stack = {.ss_sp = alternate, .ss_size = 65536, .ss_flags = 0};
  EXPECT(sigaltstack(&stack, NULL), 0);
  memset(&action, 0, sizeof action);
  action.sa_sigaction = overflowed;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, NULL);
  from = sigsetjmp(back, 1);
  if (from == 0) endless(0);
  EXPECT(from, 2);
  EXPECT(onAlternate, 1);
  signal(SIGSEGV, SIG_DFL);

  memset(&action, 0, sizeof action);
  action.sa_handler = count;
  sigaction(SIGALRM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  struct itimerval interval = {{0, 0}, {0, 20000}};
  setitimer(ITIMER_REAL, &interval, NULL);
  EXPECT(pause(), -1);
  EXPECT(errno, EINTR);
  EXPECT(alarms, 1);
  EXPECT(alarm(100), 0);
  unsigned left = alarm(0);
  CHECK(left == 99 || left == 100);

  pthread_t t;
  EXPECT(pthread_create(&t, NULL, sleeper, NULL), 0);
  EXPECT(pthread_kill(t, SIGUSR1), 0);
  while (usr == 0) usleep(1000);
  CHECK(pthread_equal(lastThread, t));
  EXPECT(pthread_kill(t, 0), 0);
  EXPECT(pthread_kill(t, 1000), EINVAL);
  quitThread = 1;
  EXPECT(pthread_join(t, NULL), 0);

  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  EXPECT(pthread_create(&t, NULL, waitForSignal, NULL), 0);
  void *result;
  kill(getpid(), SIGUSR2);
  usleep(20000);
  union sigval value = {.sival_int = 5};
  EXPECT(sigqueue(getpid(), SIGRTMIN, value), 0);
  usleep(20000);
  EXPECT(pthread_kill(t, SIGUSR2), 0);
  EXPECT(pthread_join(t, &result), 0);
  EXPECT(result, (SIGUSR2 * 100 + SIGRTMIN) * 100 + SIGUSR2);
  siginfo_t info;
  EXPECT(sigqueue(getpid(), SIGRTMIN, value), 0);
  EXPECT(sigwaitinfo(&set, &info), SIGRTMIN);
  EXPECT(info.si_value.sival_int, 5);
  EXPECT(info.si_pid, getpid());
  struct timespec brief = {0, 10000000};
  EXPECT(sigtimedwait(&set, &info, &brief), -1);
  EXPECT(errno, EAGAIN);

  /* A timer whose notification is a function in a thread. */
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = onTimer;
  event.sigev_value.sival_int = 3;
  timer_t timer;
  EXPECT(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  struct itimerspec spec = {{0, 0}, {0, 10000000}};
  EXPECT(timer_settime(timer, 0, &spec, NULL), 0);
  for (int i = 0; i < 2000 && !notified; i++) usleep(1000);
  EXPECT(notified, 3);
  EXPECT(timer_delete(timer), 0);

  /* A signal in the middle of a calculation leaves it as it was. */
  uint64_t calm = calculate();
  alarms = 0;
  interval.it_interval.tv_usec = interval.it_value.tv_usec = 1000;
  setitimer(ITIMER_REAL, &interval, NULL);
  long wrong = 0;
  while (alarms < 20) wrong += calculate() != calm;
  EXPECT(wrong, 0);
  interval.it_interval.tv_usec = interval.it_value.tv_usec = 0;
  setitimer(ITIMER_REAL, &interval, NULL);
  return report("signals");
}
