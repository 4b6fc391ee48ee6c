/* Scheduling policies, niceness, processors and capabilities: what is set is told, and inherited. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

#define FAILS(expression, error) CHECK((errno = 0, (expression)) == -1 && errno == (error))
/* musl's functions of these names answer ENOSYS. */
#define setscheduler(pid, policy, param) syscall(SYS_sched_setscheduler, pid, policy, param)
#define getscheduler(pid) syscall(SYS_sched_getscheduler, pid)
#define getparam(pid, param) syscall(SYS_sched_getparam, pid, param)
#define setparam(pid, param) syscall(SYS_sched_setparam, pid, param)
#define RESET_ON_FORK 0x40000000

static int in_child(int (*body)(void)) {
  pid_t pid = fork();
  if (pid == 0) _exit(body());
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int policy(void) { return getscheduler(0); }
static int niceness(void) { return getpriority(PRIO_PROCESS, 0) + 50; }

static void policies(void) {
  struct sched_param none = {.sched_priority = 0}, one = {.sched_priority = 1};
  EXPECT(getscheduler(0), SCHED_OTHER);
  EXPECT(getscheduler(getpid()), SCHED_OTHER);
  FAILS(getscheduler(-1), EINVAL);
  FAILS(getscheduler(0x3fffffff), ESRCH);
  EXPECT(setscheduler(0, SCHED_BATCH, &none), 0);
  EXPECT(getscheduler(0), SCHED_BATCH);
  EXPECT(in_child(policy), SCHED_BATCH);
  FAILS(setscheduler(0, SCHED_BATCH, &one), EINVAL);
  FAILS(setscheduler(0, 4, &none), EINVAL);
  FAILS(setscheduler(0, 99, &none), EINVAL);
  FAILS(setscheduler(0, -1, &none), EINVAL);
  FAILS(setscheduler(0, SCHED_FIFO, &none), EINVAL);
  FAILS(setscheduler(0, SCHED_OTHER, NULL), EINVAL);
  FAILS(setparam(0, &one), EINVAL);
  EXPECT(setparam(0, &none), 0);
  EXPECT(getparam(0, &one), 0);
  EXPECT(one.sched_priority, 0);
  EXPECT(setscheduler(0, SCHED_IDLE | RESET_ON_FORK, &none), 0);
  EXPECT(getscheduler(0), SCHED_IDLE | RESET_ON_FORK);
  EXPECT(in_child(policy), SCHED_IDLE);
  EXPECT(setscheduler(0, SCHED_OTHER, &none), 0);
  EXPECT(syscall(SYS_sched_get_priority_max, SCHED_RR), 99);
  EXPECT(syscall(SYS_sched_get_priority_min, SCHED_RR), 1);
  EXPECT(syscall(SYS_sched_get_priority_max, SCHED_BATCH), 0);
  FAILS(syscall(SYS_sched_get_priority_max, 77), EINVAL);
}

/* struct sched_attr: size, policy, flags (64 bits), nice, priority, three times of 64 bits. */
struct attr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

static void attributes(void) {
  struct attr a;
  memset(&a, 0x55, sizeof a);
  EXPECT(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0), 0);
  CHECK(a.size == sizeof a && a.policy == SCHED_OTHER && a.flags == 0 && a.priority == 0);
  FAILS(syscall(SYS_sched_getattr, 0, &a, sizeof a - 1, 0), EINVAL);
  FAILS(syscall(SYS_sched_getattr, 0, &a, sizeof a, 1), EINVAL);
  memset(&a, 0, sizeof a);
  a.size = sizeof a;
  a.policy = SCHED_BATCH;
  a.nice = 3;
  a.flags = 1;
  EXPECT(syscall(SYS_sched_setattr, 0, &a, 0), 0);
  EXPECT(getscheduler(0), SCHED_BATCH | RESET_ON_FORK);
  EXPECT(niceness(), 53);
  a.size = 20;
  FAILS(syscall(SYS_sched_setattr, 0, &a, 0), E2BIG);
  EXPECT(a.size >= 48, 1);
  struct sched_param none = {.sched_priority = 0};
  EXPECT(setscheduler(0, SCHED_OTHER, &none), 0);
}

static void priorities(void) {
  EXPECT(setpriority(PRIO_PROCESS, 0, 5), 0);
  EXPECT(niceness(), 55);
  EXPECT(in_child(niceness), 55);
  EXPECT(setpriority(PRIO_PROCESS, 0, 100), 0);
  EXPECT(niceness(), 69);
  FAILS(setpriority(3, 0, 0), EINVAL);
  FAILS(setpriority(PRIO_PROCESS, 0x3fffffff, 0), ESRCH);
}

static void processors(void) {
  cpu_set_t all, one, now;
  CPU_ZERO(&all);
  CHECK(sched_getaffinity(0, sizeof all, &all) == 0 && CPU_COUNT(&all) >= 1);
  int first = 0;
  while (!CPU_ISSET(first, &all)) first++;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  EXPECT(sched_setaffinity(0, sizeof one, &one), 0);
  CPU_ZERO(&now);
  CHECK(sched_getaffinity(0, sizeof now, &now) == 0 && CPU_EQUAL(&now, &one));
  CPU_ZERO(&now);
  FAILS(sched_setaffinity(0, sizeof now, &now), EINVAL);
  FAILS(sched_setaffinity(0x3fffffff, sizeof one, &one), ESRCH);
  EXPECT(sched_setaffinity(0, sizeof all, &all), 0);
}

static int may_not_lower(void) {
  if (setpriority(PRIO_PROCESS, 0, 7) != 0 || setuid(1000) != 0) return 1;
  if (setpriority(PRIO_PROCESS, 0, 8) != 0) return 2;
  errno = 0;
  return setpriority(PRIO_PROCESS, 0, 2) == -1 && errno == EACCES ? 0 : 3;
}

/* --- capabilities --- */

struct header {
  uint32_t version;
  int pid;
};
struct data {
  uint32_t effective, permitted, inheritable;
};

static int drops(void) {
  struct header h = {0x20080522, 0};
  struct data d[2], e[2];
  if (syscall(SYS_capget, &h, d) != 0) return 1;
  uint32_t permitted = d[0].permitted;
  if (d[0].effective == 0) return 2;
  d[0].effective = d[1].effective = 0;
  d[0].permitted &= ~1u;
  if (syscall(SYS_capset, &h, d) != 0) return 3;
  if (syscall(SYS_capget, &h, e) != 0 || e[0].effective != 0 || e[0].permitted != (permitted & ~1u)) return 4;
  e[0].permitted |= 1;
  errno = 0;
  if (syscall(SYS_capset, &h, e) != -1 || errno != EPERM) return 5;
  e[0].permitted &= ~1u;
  e[0].effective = 1;
  if (syscall(SYS_capset, &h, e) != -1 || errno != EPERM) return 6;
  h.pid = getppid();
  if (syscall(SYS_capset, &h, d) != -1 || errno != EPERM) return 7;
  h.version = 1;
  if (syscall(SYS_capget, &h, d) != -1 || errno != EINVAL || h.version != 0x20080522) return 8;
  if (syscall(SYS_capget, &h, NULL) != 0) return 9;
  return 0;
}

static int follow_users(void) {
  struct header h = {0x20080522, 0};
  struct data d[2];
  if (seteuid(1000) != 0 || syscall(SYS_capget, &h, d) != 0) return 1;
  if (d[0].effective != 0 || d[0].permitted == 0) return 2;
  if (seteuid(0) != 0 || syscall(SYS_capget, &h, d) != 0 || d[0].effective != d[0].permitted) return 3;
  if (setuid(1000) != 0 || syscall(SYS_capget, &h, d) != 0) return 4;
  return d[0].effective == 0 && d[0].permitted == 0 ? 0 : 5;
}

/* A thread runs on a processor that it may run on. */
static int on_the_last_processor(void) {
  cpu_set_t all = {0}, one;
  if (syscall(SYS_sched_getaffinity, 0, sizeof all, &all) < 0) return 1;
  int last = -1;
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &all)) last = i;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) return 2;
  unsigned cpu = 12345, node = 12345;
  if (syscall(SYS_getcpu, &cpu, &node, NULL) != 0) return 3;
  return (int)cpu == last && node != 12345 ? 0 : 4;
}

/* The slack that a process has is the default of the processes it starts. */
static void *slack_of_thread(void *unused) {
  int slack = prctl(PR_GET_TIMERSLACK);
  prctl(PR_SET_TIMERSLACK, 30000);
  prctl(PR_SET_TIMERSLACK, 0);
  return (void *)(intptr_t)(slack == prctl(PR_GET_TIMERSLACK) ? slack : -1);
}

static int slack_is_inherited(void) {
  int usual = prctl(PR_GET_TIMERSLACK);
  if (prctl(PR_SET_TIMERSLACK, 70000) != 0 || prctl(PR_GET_TIMERSLACK) != 70000) return 1;
  for (int i = 0; i < 3; i++) {
    pthread_t thread;
    void *slack;
    pthread_create(&thread, NULL, slack_of_thread, NULL);
    pthread_join(thread, &slack);
    if ((intptr_t)slack != 70000) return 5;
  }
  pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_GET_TIMERSLACK) != 70000) _exit(2);
    prctl(PR_SET_TIMERSLACK, 30000);
    prctl(PR_SET_TIMERSLACK, 0);
    _exit(prctl(PR_GET_TIMERSLACK) == 70000 ? 0 : 3);
  }
  int status;
  waitpid(child, &status, 0);
  prctl(PR_SET_TIMERSLACK, 0);
  if (prctl(PR_GET_TIMERSLACK) != usual) return 4;
  return WEXITSTATUS(status);
}

/* select tells what is left of its time, unless the personality says that it is not to. */
static int timeouts_that_stay(void) {
  /* The C library's own function may give a copy of the time to the kernel. */
  struct timespec time = {0, 10000};
  if (syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL) != 0 || time.tv_nsec != 0) return 1;
  if (personality(0x4000000) < 0) return 2;
  time.tv_nsec = 10000;
  if (syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL) != 0 || time.tv_nsec != 10000) return 3;
  return personality(0xffffffff) == 0x4000000 ? 0 : 4;
}

/* A timer that should have begun long ago has expired as often as it would have; the count goes up to DELAYTIMER_MAX. */
static int overruns_of_the_past(void) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  sigset_t set;
  timer_t timer;
  struct itimerspec when = {{0, 1}, {0, 0}}, never = {{0, 0}, {0, 0}};
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  if (timer_create(CLOCK_REALTIME, &event, &timer) != 0) return 1;
  clock_gettime(CLOCK_REALTIME, &when.it_value);
  when.it_value.tv_sec -= 10;
  if (timer_settime(timer, TIMER_ABSTIME, &when, NULL) != 0) return 2;
  siginfo_t info;
  if (sigwaitinfo(&set, &info) != SIGUSR1) return 3;
  int count = timer_getoverrun(timer);
  timer_settime(timer, 0, &never, NULL);
  return count == 0x7fffffff ? 0 : 4;
}

/* Anybody may ask how the clock is disciplined. */
static int the_clock_is_told_of(void) {
  struct timex is = {.modes = 0};
  int state = syscall(SYS_adjtimex, &is);
  if (state < 0 || state > 5) return 1;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec - is.time.tv_sec > 60 || is.time.tv_sec > now.tv_sec || is.tick < 9000 || is.tick > 11000) return 2;
  is.modes = 0;
  if (syscall(SYS_clock_adjtime, CLOCK_REALTIME, &is) != state) return 3;
  is.modes = 0;
  if (syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &is) != -1 || errno != EOPNOTSUPP) return 4;
  is.modes = 0x8000;
  if (syscall(SYS_adjtimex, &is) != -1 || errno != EINVAL) return 5;
  if (geteuid() == 0 && setresuid(1, 1, 1) != 0) return 6;
  is.modes = 0x4000;
  is.tick = 10000;
  return syscall(SYS_adjtimex, &is) == -1 && errno == EPERM ? 0 : 7;
}

static int huge_pages(void) {
  if (prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0) != -1 || errno != EINVAL) return 1;
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 1, 0) != -1 || errno != EINVAL) return 2;
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0 || prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) != 1) return 3;
  pid_t child = fork();
  if (child == 0) _exit(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1 ? 0 : 1);
  int status;
  waitpid(child, &status, 0);
  return status == 0 ? 0 : 4;
}

int main(void) {
  policies();
  attributes();
  priorities();
  processors();
  EXPECT(geteuid() == 0 ? in_child(may_not_lower) : 0, 0);
  EXPECT(geteuid() == 0 ? in_child(drops) : 0, 0);
  EXPECT(geteuid() == 0 ? in_child(follow_users) : 0, 0);
  EXPECT(in_child(on_the_last_processor), 0);
  EXPECT(in_child(slack_is_inherited), 0);
  EXPECT(in_child(timeouts_that_stay), 0);
  EXPECT(in_child(overruns_of_the_past), 0);
  EXPECT(in_child(huge_pages), 0);
  EXPECT(in_child(the_clock_is_told_of), 0);
  return report("scheduling");
}
