/* Parents, children and orphans: who waits for whom, who adopts, who is told; signals with values; timers of a process. */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif
#ifdef __GLIBC__
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define TRY(call) ({ errno = 0; long r_ = (call); r_ < 0 ? -errno : r_; })

static volatile siginfo_t last;
static volatile sig_atomic_t counts[65];
static void note(int signal, siginfo_t *info, void *context) {
  memcpy((void *)&last, info, sizeof last);
  counts[signal]++;
}
static void catch(int signal) {
  struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(signal, &action, NULL);
  counts[signal] = 0;
}
static int seen(int signal, int wanted) {
  for (int i = 0; i < 400 && counts[signal] < wanted; i++) usleep(5000);
  return counts[signal];
}

static int ends[2];
static void say(long value) {
  if (write(ends[1], &value, sizeof value) != sizeof value) _exit(99);
}
static long hear(void) {
  long value = -1;
  CHECK(read(ends[0], &value, sizeof value) == sizeof value);
  return value;
}

static void options(void) {
  siginfo_t info;
  int status;
  EXPECT(TRY(waitid(P_ALL, 0, &info, 0)), -EINVAL);
  EXPECT(TRY(waitid(P_ALL, 0, &info, WEXITED | 0x40)), -EINVAL);
  EXPECT(TRY(waitid(P_PID, 0, &info, WEXITED)), -EINVAL);
  EXPECT(TRY(waitid(P_PID, -1, &info, WEXITED)), -EINVAL);
  EXPECT(TRY(waitid(77, 0, &info, WEXITED)), -EINVAL);
  EXPECT(TRY(waitid(P_ALL, 0, &info, WEXITED)), -ECHILD);
  EXPECT(TRY(waitpid(-1, &status, 0x4)), -EINVAL);
  EXPECT(TRY(waitpid(-1, &status, 0)), -ECHILD);
  EXPECT(TRY(waitpid(1 << 21, &status, 0)), -ECHILD);
  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  memset(&info, 7, sizeof info);
  EXPECT(TRY(waitid(P_PID, child, &info, WEXITED | WNOHANG)), 0);
  EXPECT(info.si_signo, 0);
  EXPECT(info.si_pid, 0);
  EXPECT(TRY(waitpid(child, &status, WNOHANG)), 0);
  EXPECT(TRY(waitpid(-getpgrp(), &status, WNOHANG)), 0);
  EXPECT(TRY(waitpid(0, &status, WNOHANG)), 0);
  EXPECT(TRY(waitid(P_PGID, getpgrp(), &info, WEXITED | WNOHANG)), 0);
  EXPECT(TRY(waitid(P_PGID, 0, &info, WEXITED | WNOHANG)), 0);
  kill(child, SIGSTOP);
  EXPECT(TRY(waitid(P_PID, child, &info, WSTOPPED | WNOWAIT)), 0);
  EXPECT(info.si_signo, SIGCHLD);
  EXPECT(info.si_code, CLD_STOPPED);
  EXPECT(info.si_status, SIGSTOP);
  EXPECT(info.si_pid, child);
  EXPECT(TRY(waitpid(child, &status, WNOHANG)), 0);
  EXPECT(TRY(waitpid(child, &status, WUNTRACED)), child);
  EXPECT(status, (SIGSTOP << 8) | 0x7f);
  EXPECT(TRY(waitpid(child, &status, WUNTRACED | WNOHANG)), 0);
  kill(child, SIGCONT);
  EXPECT(TRY(waitid(P_PID, child, &info, WCONTINUED | WNOWAIT)), 0);
  EXPECT(info.si_code, CLD_CONTINUED);
  EXPECT(info.si_status, SIGCONT);
  EXPECT(TRY(waitpid(child, &status, WCONTINUED)), child);
  EXPECT(status, 0xffff);
  EXPECT(TRY(waitpid(child, &status, WCONTINUED | WNOHANG)), 0);
  /* A stopped process dies of SIGKILL, and only of that at once. */
  kill(child, SIGSTOP);
  EXPECT(TRY(waitpid(child, &status, WUNTRACED)), child);
  kill(child, SIGTERM);
  usleep(50000);
  EXPECT(TRY(waitpid(child, &status, WNOHANG)), 0);
  kill(child, SIGKILL);
  EXPECT(TRY(waitid(P_PID, child, &info, WEXITED | WNOWAIT)), 0);
  EXPECT(info.si_code, CLD_KILLED);
  EXPECT(info.si_status, SIGKILL);
  EXPECT(TRY(waitpid(child, &status, 0)), child);
  EXPECT(status, SIGKILL);
  EXPECT(TRY(waitpid(child, &status, 0)), -ECHILD);
}

static int exits(void *code) { return (int)(long)code; }

static void clones(void) {
  static char stack[65536] __attribute__((aligned(16)));
  int status;
  catch(SIGUSR1);
  pid_t child = clone(exits, stack + sizeof stack, SIGUSR1, (void *)5);
  EXPECT(seen(SIGUSR1, 1), 1);
  EXPECT(last.si_pid, child);
  EXPECT(last.si_code, CLD_EXITED);
  EXPECT(last.si_status, 5);
  EXPECT(TRY(waitpid(child, &status, 0)), -ECHILD);
  EXPECT(TRY(waitpid(child, &status, __WCLONE)), child);
  EXPECT(status, 5 << 8);
  child = clone(exits, stack + sizeof stack, 0, (void *)6);
  EXPECT(TRY(waitpid(child, &status, __WALL)), child);
  EXPECT(status, 6 << 8);
  child = fork();
  if (child == 0) _exit(0);
  EXPECT(TRY(waitpid(child, &status, __WCLONE)), -ECHILD);
  EXPECT(TRY(waitpid(child, &status, __WALL)), child);
  /* execve makes an ordinary child of it. */
  child = syscall(SYS_clone, SIGUSR1, 0, 0, 0, 0);
  if (child == 0) {
    execl("/proc/self/exe", "family", "exit", "3", NULL);
    _exit(1);
  }
  usleep(300000);
  EXPECT(TRY(waitpid(child, &status, 0)), child);
  EXPECT(status, 3 << 8);
}

static pid_t of_thread;
static void *forks(void *lasts) {
  of_thread = fork();
  if (of_thread == 0) {
    if (lasts == NULL) {
      catch(SIGUSR2);
      prctl(PR_SET_PDEATHSIG, SIGUSR2);
      say(1);
      say(seen(SIGUSR2, 1));
      say(last.si_pid == getppid());
      _exit(0);
    }
    _exit(4);
  }
  if (lasts == NULL) hear();
  else {
    int status;
    EXPECT(TRY(waitpid(of_thread, &status, __WNOTHREAD)), of_thread);
    EXPECT(status, 4 << 8);
  }
  return NULL;
}

static void threads(void) {
  pthread_t thread;
  int status;
  pthread_create(&thread, NULL, forks, (void *)1);
  pthread_join(thread, NULL);
  /* The end of the thread that forked is the end of a parent. */
  pthread_create(&thread, NULL, forks, NULL);
  pthread_join(thread, NULL);
  EXPECT(hear(), 1);
  EXPECT(hear(), 1);
  /* Another thread has it now. */
  EXPECT(TRY(waitpid(of_thread, &status, __WNOTHREAD)), of_thread);
  EXPECT(status, 0);
}

static void *forks_and_waits(void *pid) {
  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  *(pid_t *)pid = child;
  while (*(volatile pid_t *)pid != 0) usleep(5000);
  return NULL;
}

static void others(void) {
  pthread_t thread;
  volatile pid_t child = 0;
  pthread_create(&thread, NULL, forks_and_waits, (void *)&child);
  while (child == 0) usleep(5000);
  pid_t pid = child;
  int status;
  EXPECT(TRY(waitpid(pid, &status, WNOHANG)), 0);
  EXPECT(TRY(waitpid(pid, &status, WNOHANG | __WNOTHREAD)), -ECHILD);
  kill(pid, SIGKILL);
  EXPECT(TRY(waitpid(pid, &status, 0)), pid);
  child = 0;
  pthread_join(thread, NULL);
}

static void reapers(void) {
  int flag = -1, status;
  EXPECT(TRY(prctl(PR_GET_CHILD_SUBREAPER, &flag)), 0);
  EXPECT(flag, 0);
  EXPECT(TRY(prctl(PR_SET_CHILD_SUBREAPER, 1)), 0);
  EXPECT(TRY(prctl(PR_GET_CHILD_SUBREAPER, &flag)), 0);
  EXPECT(flag, 1);
  /* The nearest of the ancestors adopts; the attribute itself is not inherited. */
  catch(SIGCHLD);
  pid_t grandparent = getpid();
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_GET_CHILD_SUBREAPER, &flag);
    say(flag);
    pid_t zombie = fork();
    if (zombie == 0) _exit(9);
    usleep(50000);
    pid_t orphan = fork();
    if (orphan == 0) {
      for (int i = 0; i < 1000 && getppid() != grandparent; i++) usleep(5000);
      _exit(getppid() == grandparent ? 8 : 1);
    }
    say(zombie);
    say(orphan);
    _exit(7);
  }
  EXPECT(hear(), 0);
  pid_t zombie = hear(), orphan = hear();
  EXPECT(TRY(waitpid(child, &status, 0)), child);
  EXPECT(status, 7 << 8);
  EXPECT(TRY(waitpid(zombie, &status, 0)), zombie);
  EXPECT(status, 9 << 8);
  EXPECT(TRY(waitpid(orphan, &status, 0)), orphan);
  EXPECT(status, 8 << 8);
  EXPECT(TRY(waitpid(-1, &status, 0)), -ECHILD);
  CHECK(counts[SIGCHLD] >= 1);
  EXPECT(TRY(prctl(PR_SET_CHILD_SUBREAPER, 0)), 0);
  signal(SIGCHLD, SIG_DFL);
}

static void deaths(void) {
  int signal = -1;
  EXPECT(TRY(prctl(PR_SET_PDEATHSIG, 65)), -EINVAL);
  EXPECT(TRY(prctl(PR_SET_PDEATHSIG, SIGUSR1)), 0);
  EXPECT(TRY(prctl(PR_GET_PDEATHSIG, &signal)), 0);
  EXPECT(signal, SIGUSR1);
  pid_t child = fork();
  if (child == 0) {
    prctl(PR_GET_PDEATHSIG, &signal);
    say(signal);
    catch(SIGUSR1);
    pid_t parent = getpid();
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGUSR1);
      say(2);
      say(seen(SIGUSR1, 1));
      say(last.si_pid == parent);
      say(last.si_code);
      _exit(0);
    }
    usleep(100000);
    _exit(0);
  }
  EXPECT(hear(), 0);
  EXPECT(hear(), 2);
  EXPECT(hear(), 1);
  EXPECT(hear(), 1);
  EXPECT(hear(), SI_USER);
  waitpid(child, NULL, 0);
  prctl(PR_SET_PDEATHSIG, 0);
}

static void values(void) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  pid_t me = getpid();
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigaddset(&set, SIGRTMIN + 1);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &old);
  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 41;
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, me, SIGRTMIN, &info)), 0);
  info.si_value.sival_int = 42;
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, me, SIGRTMIN, &info)), 0);
  EXPECT(TRY(syscall(SYS_rt_tgsigqueueinfo, me, syscall(SYS_gettid), SIGRTMIN + 1, &info)), 0);
  EXPECT(TRY(syscall(SYS_rt_tgsigqueueinfo, me, 0, SIGRTMIN + 1, &info)), -EINVAL);
  EXPECT(TRY(syscall(SYS_rt_tgsigqueueinfo, me, 1 << 21, SIGRTMIN + 1, &info)), -ESRCH);
  EXPECT(TRY(syscall(SYS_rt_tgsigqueueinfo, child, me, SIGRTMIN + 1, &info)), -ESRCH);
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, 1 << 21, SIGRTMIN, &info)), -ESRCH);
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, child, 65, &info)), -EINVAL);
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, child, 0, &info)), 0);
  /* Nobody may pretend to be the kernel, or kill(2), but to himself. */
  info.si_code = SI_USER;
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &info)), -EPERM);
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, me, SIGUSR1, &info)), 0);
  info.si_code = SI_TKILL;
  EXPECT(TRY(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &info)), -EPERM);
  EXPECT(TRY(syscall(SYS_rt_tgsigqueueinfo, child, child, SIGUSR1, &info)), -EPERM);
  struct timespec none = {0, 0};
  /* The thread's own come first. */
  EXPECT(sigtimedwait(&set, &info, &none), SIGRTMIN + 1);
  EXPECT(sigtimedwait(&set, &info, &none), SIGUSR1);
  EXPECT(info.si_code, SI_USER);
  EXPECT(sigtimedwait(&set, &info, &none), SIGRTMIN);
  EXPECT(info.si_value.sival_int, 41);
  EXPECT(sigtimedwait(&set, &info, &none), SIGRTMIN);
  EXPECT(info.si_value.sival_int, 42);
  EXPECT(TRY(sigtimedwait(&set, &info, &none)), -EAGAIN);
  EXPECT(TRY(syscall(SYS_rt_sigtimedwait, &set, &info, &(struct timespec){0, -1}, 8)), -EINVAL);
  EXPECT(TRY(syscall(SYS_rt_sigtimedwait, &set, &info, &(struct timespec){0, 1000000000}, 8)), -EINVAL);
  EXPECT(TRY(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 4)), -EINVAL);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  sigprocmask(SIG_SETMASK, &old, NULL);
}

static void burn(long milliseconds) {
  struct timespec now;
  do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < milliseconds);
}

static void timers(void) {
  struct itimerval timer = {{0, 0}, {0, 30000}}, left;
  catch(SIGALRM);
  catch(SIGVTALRM);
  catch(SIGPROF);
  EXPECT(TRY(setitimer(7, &timer, NULL)), -EINVAL);
  timer.it_value.tv_usec = 1000000;
  EXPECT(TRY(setitimer(ITIMER_REAL, &timer, NULL)), -EINVAL);
  timer.it_value.tv_usec = 30000;
  EXPECT(TRY(setitimer(ITIMER_REAL, &timer, NULL)), 0);
  EXPECT(seen(SIGALRM, 1), 1);
  EXPECT(last.si_code, SI_KERNEL);
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  EXPECT(TRY(setitimer(ITIMER_VIRTUAL, &timer, NULL)), 0);
  EXPECT(TRY(setitimer(ITIMER_PROF, &timer, NULL)), 0);
  burn(now.tv_sec * 1000 + now.tv_nsec / 1000000 + 300);
  CHECK(counts[SIGVTALRM] == 1 && counts[SIGPROF] == 1);
  /* alarm and setitimer are one; a fork has none. */
  alarm(100);
  EXPECT(TRY(getitimer(ITIMER_REAL, &left)), 0);
  CHECK(left.it_value.tv_sec >= 98 && left.it_value.tv_sec <= 100);
  pid_t child = fork();
  if (child == 0) _exit(alarm(0));
  int status;
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  CHECK(alarm(0) >= 99);
  /* It goes on across execve. */
  child = fork();
  if (child == 0) {
    signal(SIGALRM, SIG_DFL);
    timer.it_value.tv_usec = 300000;
    setitimer(ITIMER_REAL, &timer, NULL);
    execl("/proc/self/exe", "family", "pause", "0", NULL);
    _exit(1);
  }
  waitpid(child, &status, 0);
  EXPECT(status, SIGALRM);
  /* A timer for one thread, with a value, and what it counts while its signal waits. */
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 2);
  sigprocmask(SIG_BLOCK, &set, &old);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 77};
  event.sigev_notify_thread_id = syscall(SYS_gettid);
  timer_t id;
  EXPECT(TRY(timer_create(CLOCK_MONOTONIC, &event, &id)), 0);
  struct itimerspec often = {{0, 5000000}, {0, 5000000}};
  EXPECT(TRY(timer_settime(id, 0, &often, NULL)), 0);
  usleep(100000);
  siginfo_t info;
  EXPECT(sigwaitinfo(&set, &info), SIGRTMIN + 2);
  EXPECT(info.si_code, SI_TIMER);
  EXPECT(info.si_value.sival_int, 77);
  CHECK(info.si_overrun >= 10);
  CHECK(timer_getoverrun(id) >= 10);
  EXPECT(TRY(timer_delete(id)), 0);
  /* It may have fired since: timer_delete(2) leaves open what becomes of such a signal. */
  struct timespec none = {0, 0};
  sigtimedwait(&set, &info, &none);
  EXPECT(TRY(timer_gettime(id, &often)), -EINVAL);
  event.sigev_notify_thread_id = 1;
  EXPECT(TRY(timer_create(CLOCK_MONOTONIC, &event, &id)), -EINVAL);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 65;
  EXPECT(TRY(timer_create(CLOCK_MONOTONIC, &event, &id)), -EINVAL);
  EXPECT(TRY(timer_create(99, NULL, &id)), -EINVAL);
  sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Words that the kernel clears when these threads have begun to end. */
static volatile int first, second;
static void *leave(void *argument) {
  syscall(SYS_set_tid_address, &second);
  while (argument != NULL && first) sched_yield();
  syscall(SYS_exit, 7);
  return NULL;
}
/* A process whose threads all end by themselves has the status of the last one (Linux 6). */
static void lastOnes(void) {
  for (int later = 0; later < 2; later++) {
    int status;
    pid_t child = fork();
    if (child == 0) {
      pthread_t thread;
      first = second = 1;
      syscall(SYS_set_tid_address, &first);
      if (pthread_create(&thread, NULL, leave, later ? &thread : NULL)) _exit(1);
      while (!later && second) sched_yield();
      syscall(SYS_exit, 3);
    }
    CHECK(waitpid(child, &status, 0) == child);
    EXPECT(status, (later ? 7 : 3) << 8);
    /* The same where a program ends threads and process by its C library. */
    child = fork();
    if (child == 0) {
      pthread_t thread;
      first = second = 1;
      syscall(SYS_set_tid_address, &first);
      if (pthread_create(&thread, NULL, leave, &thread)) _exit(1);
      pthread_exit(NULL);
    }
    CHECK(waitpid(child, &status, 0) == child);
    EXPECT(status, 7 << 8);
  }
}

int main(int argc, char **argv) {
  if (argc == 3) {
    if (strcmp(argv[1], "pause") == 0) pause();
    return atoi(argv[2]);
  }
  CHECK(pipe(ends) == 0);
  options();
  clones();
  threads();
  others();
  reapers();
  deaths();
  values();
  timers();
  lastOnes();
  return report("family");
}
