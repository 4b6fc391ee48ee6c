/* Users and groups: who may send signals to whom; signals by a thread's number, signals beyond the limit, the core bit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

/* Runs `body` in a child; whether it returned 1. */
static int in_child(int (*body)(void)) {
  pid_t pid = fork();
  if (pid == 0) _exit(body() ? 0 : 1);
  int status = -1;
  return waitpid(pid, &status, 0) == pid && status == 0;
}

static pid_t waiting;

static pid_t start_waiting(uid_t user) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0) return -1;
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setresuid(user, user, user) != 0 || write(ends[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  if (read(ends[0], &byte, 1) != 1) return -1;
  close(ends[0]);
  close(ends[1]);
  return pid;
}

static int stranger(void) {
  int bad = setresuid(1234, 1234, 1234) != 0;
  bad |= kill(waiting, SIGTERM) != -1 || errno != EPERM;
  bad |= kill(waiting, 0) != -1 || errno != EPERM;
  bad |= syscall(SYS_tgkill, waiting, waiting, SIGTERM) != -1 || errno != EPERM;
  union sigval value = {.sival_int = 1};
  bad |= sigqueue(waiting, SIGTERM, value) != -1 || errno != EPERM;
  /* SIGCONT may go to anybody in the session. */
  bad |= kill(waiting, SIGCONT) != 0;
  bad |= kill(999999, 0) != -1 || errno != ESRCH;
  return !bad;
}

static int same_user(void) {
  if (setresuid(4321, 1234, 1234) != 0) return 0;
  return kill(waiting, SIGTERM) == 0;
}

static int groups(void) {
  gid_t list[] = {5, 7, 9}, got[8];
  int bad = setgroups(3, list) != 0 || getgroups(0, 0) != 3 || getgroups(8, got) != 3;
  bad |= got[0] != 5 || got[1] != 7 || got[2] != 9;
  bad |= getgroups(2, got) != -1 || errno != EINVAL;
  bad |= setgroups(0, 0) != 0 || getgroups(8, got) != 0;
  bad |= setgroups(2, list) != 0;
  pid_t pid = fork();
  if (pid == 0) _exit(getgroups(8, got) == 2 && got[1] == 7 ? 0 : 1);
  int status;
  bad |= waitpid(pid, &status, 0) != pid || status != 0;
  bad |= setresuid(1234, 1234, 1234) != 0;
  bad |= setgroups(1, list) != -1 || errno != EPERM;
  return !bad;
}

static atomic_int number, heard;

static void on_signal(int signal) {
  (void)signal;
  atomic_store(&heard, 1);
}

static void *lives(void *unused) {
  (void)unused;
  atomic_store(&number, syscall(SYS_gettid));
  while (!atomic_load(&heard)) usleep(1000);
  return 0;
}

static int by_thread(void) {
  /* The number of any thread names the process. */
  signal(SIGUSR1, on_signal);
  pthread_t thread;
  pthread_create(&thread, 0, lives, 0);
  while (!atomic_load(&number)) usleep(1000);
  int good = kill(atomic_load(&number), SIGUSR1) == 0;
  pthread_join(thread, 0);
  return good;
}

static int beyond_limit(void) {
  struct rlimit none = {0, 0};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, 0);
  int bad = setrlimit(RLIMIT_SIGPENDING, &none) != 0;
  bad |= syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN) != -1 || errno != EAGAIN;
  union sigval value = {.sival_int = 1};
  bad |= sigqueue(getpid(), SIGRTMIN, value) != -1 || errno != EAGAIN;
  /* kill(2) always comes through, once. */
  bad |= kill(getpid(), SIGRTMIN) != 0 || kill(getpid(), SIGTERM) != 0;
  sigset_t pending;
  sigpending(&pending);
  bad |= !sigismember(&pending, SIGRTMIN) || !sigismember(&pending, SIGTERM);
  return !bad;
}

/* How a child ends that the signal kills, when its core may have this size. */
static int status_of(int signal, rlim_t limit, int *code) {
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit core = {limit, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &core);
    raise(signal);
    _exit(0);
  }
  siginfo_t info = {0};
  waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
  *code = info.si_code;
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

static void cores(void) {
  int code;
  CHECK(status_of(SIGQUIT, 0, &code) == SIGQUIT && code == CLD_KILLED);
  CHECK(status_of(SIGTERM, RLIM_INFINITY, &code) == SIGTERM && code == CLD_KILLED);
  int status = status_of(SIGABRT, RLIM_INFINITY, &code);
  CHECK(WTERMSIG(status) == SIGABRT && WCOREDUMP(status) && code == CLD_DUMPED);
}

/* SIGKILL, and SIGCONT, find a process that is just about to stop. */
static void stopped_and_killed(void) {
  int good = 0;
  alarm(100);
  for (int i = 0; i < 300; i++) {
    pid_t pid = fork();
    if (pid == 0)
      for (;;) pause();
    kill(pid, SIGSTOP);
    if (i % 2) kill(pid, SIGCONT);
    kill(pid, SIGKILL);
    int status = 0;
    good += waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL;
  }
  alarm(0);
  CHECK(good == 300);
}

static void sleeps(void) {
  /* /proc tells a process that waits from one that runs. */
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/stat", waiting);
  char state = 0;
  for (int i = 0; i < 1000 && state != 'S'; i++) {
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    char *end = strrchr(text, ')');
    state = end ? end[2] : 0;
    usleep(1000);
  }
  CHECK(state == 'S');
  int fd = open("/proc/self/stat", O_RDONLY);
  ssize_t got = read(fd, text, sizeof text - 1);
  close(fd);
  text[got > 0 ? got : 0] = 0;
  CHECK(strrchr(text, ')')[2] == 'R');
}

int main(int argc, char **argv) {
  if (argc < 2 || chdir(argv[1]) != 0) return 2;
  /* Without privileges there is nobody else to be. */
  int root = geteuid() == 0;
  waiting = start_waiting(root ? 4321 : getuid());
  CHECK(waiting > 0);
  sleeps();
  CHECK(!root || in_child(stranger));
  CHECK(!root || in_child(same_user));
  kill(waiting, SIGKILL);
  CHECK(waitpid(waiting, 0, 0) == waiting);
  CHECK(!root || in_child(groups));
  CHECK(in_child(by_thread));
  CHECK(in_child(beyond_limit));
  cores();
  stopped_and_killed();
  return report("rights");
}
