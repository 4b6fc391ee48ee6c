/* Processes and signals as files: signalfd, pidfd, and what waits for them. Prints nothing that differs between runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef CLONE_PARENT_SETTID
#define CLONE_PARENT_SETTID 0x100000
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static int pidfd_open_(pid_t pid, unsigned flags) { return syscall(SYS_pidfd_open, pid, flags); }
static int pidfd_send(int fd, int sig, siginfo_t *info, unsigned flags) {
  return syscall(SYS_pidfd_send_signal, fd, sig, info, flags);
}
static int pidfd_getfd_(int fd, int target) { return syscall(SYS_pidfd_getfd, fd, target, 0); }

static int readable(int fd, int timeout) {
  struct pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, timeout) == 1 && (p.revents & POLLIN);
}

static sigset_t set_of(int a, int b) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, a);
  if (b) sigaddset(&set, b);
  return set;
}

/* --- signalfd --- */

static void signalfd_takes_pending_signals(void) {
  sigset_t set = set_of(SIGUSR1, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  CHECK(fd >= 0);
  CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
  struct signalfd_siginfo info[3];
  CHECK(read(fd, info, sizeof info[0] - 1) == -1 && errno == EINVAL);
  CHECK(read(fd, info, sizeof info) == -1 && errno == EAGAIN);
  CHECK(!readable(fd, 0));
  kill(getpid(), SIGUSR1);
  union sigval value = {.sival_int = 7};
  sigqueue(getpid(), SIGRTMIN + 1, value);
  value.sival_int = 8;
  sigqueue(getpid(), SIGRTMIN + 1, value);
  CHECK(readable(fd, 0));
  CHECK(read(fd, info, sizeof info) == sizeof info);
  CHECK(info[0].ssi_signo == SIGUSR1 && info[0].ssi_code == SI_USER && (pid_t)info[0].ssi_pid == getpid());
  CHECK(info[0].ssi_uid == getuid());
  CHECK((int)info[1].ssi_signo == SIGRTMIN + 1 && info[1].ssi_code == SI_QUEUE && info[1].ssi_int == 7);
  CHECK(info[2].ssi_int == 8 && info[2].ssi_ptr == 8);
  sigset_t pending;
  sigpending(&pending);
  CHECK(!sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGRTMIN + 1));
  CHECK(!readable(fd, 0));
  /* The mask may change; what is not in it stays pending. */
  sigset_t other = set_of(SIGUSR2, 0);
  sigprocmask(SIG_BLOCK, &other, NULL);
  kill(getpid(), SIGUSR2);
  CHECK(!readable(fd, 0));
  CHECK(signalfd(fd, &other, 0) == fd);
  CHECK(readable(fd, 0) && read(fd, info, sizeof info) == sizeof info[0] && info[0].ssi_signo == SIGUSR2);
  CHECK(signalfd(0, &other, 0) == -1 && errno == EINVAL);
  CHECK(signalfd(999, &other, 0) == -1 && errno == EBADF);
  CHECK(signalfd(-1, &other, 1) == -1 && errno == EINVAL);
  CHECK(write(fd, info, 8) == -1 && errno == EINVAL);
  close(fd);
}

static void *send_later(void *pid) {
  struct timespec wait = {0, 30000000};
  nanosleep(&wait, NULL);
  kill(*(pid_t *)pid, SIGUSR1);
  return NULL;
}

static void signalfd_wakes_readers_and_epoll(void) {
  sigset_t set = set_of(SIGUSR1, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = signalfd(-1, &set, 0);
  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.u32 = 5}}, got = {0};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  CHECK(epoll_wait(epoll, &got, 1, 0) == 0);
  pid_t pid = getpid();
  pthread_t thread;
  pthread_create(&thread, NULL, send_later, &pid);
  struct signalfd_siginfo info;
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
  pthread_join(thread, NULL);
  pthread_create(&thread, NULL, send_later, &pid);
  CHECK(epoll_wait(epoll, &got, 1, 5000) == 1 && got.data.u32 == 5);
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR1);
  pthread_join(thread, NULL);
  pid_t child = fork();
  if (child == 0) _exit(9);
  CHECK(read(fd, &info, sizeof info) == sizeof info);
  CHECK(info.ssi_signo == SIGCHLD && (pid_t)info.ssi_pid == child && info.ssi_status == 9);
  CHECK(info.ssi_code == CLD_EXITED);
  CHECK(waitpid(child, NULL, 0) == child);
  /* A child reads signals of its own through the descriptor it inherits. */
  child = fork();
  if (child == 0) {
    kill(getpid(), SIGUSR1);
    struct signalfd_siginfo own;
    _exit(read(fd, &own, sizeof own) == sizeof own && (pid_t)own.ssi_pid == getpid() ? 0 : 1);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  CHECK(read(fd, &info, sizeof info) == sizeof info && info.ssi_signo == SIGCHLD);
  close(epoll);
  close(fd);
}

/* --- pidfd --- */

static void pidfd_waits_and_signals(void) {
  sigset_t set = set_of(SIGCHLD, 0);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  CHECK(pidfd_open_(0, 0) == -1 && errno == EINVAL);
  CHECK(pidfd_open_(getpid(), 1) == -1 && errno == EINVAL);
  CHECK(pidfd_open_(0x3fffffff, 0) == -1 && errno == ESRCH);
  int self = pidfd_open_(getpid(), 0);
  CHECK(self >= 0 && fcntl(self, F_GETFD) == FD_CLOEXEC);
  CHECK(!readable(self, 0));
  CHECK(pidfd_send(self, 0, NULL, 0) == 0);
  CHECK(pidfd_send(self, 65, NULL, 0) == -1 && errno == EINVAL);
  CHECK(pidfd_send(0, 0, NULL, 0) == -1 && errno == EBADF);
  char c;
  CHECK(read(self, &c, 1) == -1 && errno == EINVAL);

  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  int fd = pidfd_open_(child, 0);
  CHECK(!readable(fd, 0));
  siginfo_t info;
  memset(&info, 0, sizeof info);
  CHECK(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
  CHECK(pidfd_send(fd, SIGTERM, NULL, 0) == 0);
  CHECK(readable(fd, 5000));
  CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0);
  CHECK(info.si_pid == child && info.si_code == CLD_KILLED && info.si_status == SIGTERM);
  CHECK(readable(fd, 0));
  CHECK(pidfd_send(fd, SIGTERM, NULL, 0) == -1 && errno == ESRCH);
  CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == -1 && errno == ECHILD);
  CHECK(waitid(P_PIDFD, 0, &info, WEXITED) == -1 && errno == EBADF);
  CHECK(waitid(P_PIDFD, 999, &info, WEXITED) == -1 && errno == EBADF);
  close(fd);
  close(self);
}

static void pidfd_that_does_not_wait(void) {
  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  int fd = pidfd_open_(child, O_NONBLOCK);
  siginfo_t info;
  CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == -1 && errno == EAGAIN);
  kill(child, SIGKILL);
  CHECK(readable(fd, 5000));
  CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0 && info.si_status == SIGKILL);
  close(fd);
}

static void pidfd_of_clone(void) {
  int pidfd = -1;
  long child = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd, 0, 0);
  if (child == 0) _exit(pidfd == -1 && fcntl(3, F_GETFD) == -1 ? 4 : 5);
  CHECK(child > 0 && pidfd == 3);
  siginfo_t info;
  CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED) == 0 && info.si_pid == child);
  CHECK(info.si_status == 4 || info.si_status == 5);
  close(pidfd);
  /* struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls. */
  uint64_t args[8] = {CLONE_PIDFD, (uintptr_t)&pidfd, 0, 0, SIGCHLD};
  child = syscall(SYS_clone3, args, sizeof args);
  if (child == 0) _exit(6);
  CHECK(child > 0);
  CHECK(waitid(P_PIDFD, pidfd, &info, WEXITED) == 0 && info.si_status == 6);
  close(pidfd);
  CHECK(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &pidfd, 0, 0) == -1 && errno == EINVAL);
}

static void pidfd_lends_descriptors(void) {
  int ready[2], data[2];
  CHECK(pipe(ready) == 0);
  pid_t child = fork();
  if (child == 0) {
    if (pipe(data) != 0) _exit(1);
    char text[4] = {data[0], data[1]};
    write(ready[1], text, 2);
    for (;;) pause();
  }
  unsigned char fds[2];
  CHECK(read(ready[0], fds, 2) == 2);
  int fd = pidfd_open_(child, 0);
  int from = pidfd_getfd_(fd, fds[0]), to = pidfd_getfd_(fd, fds[1]);
  CHECK(from >= 0 && to >= 0);
  CHECK(write(to, "x", 1) == 1);
  char c = 0;
  CHECK(read(from, &c, 1) == 1 && c == 'x');
  CHECK(pidfd_getfd_(fd, 999) == -1 && errno == EBADF);
  CHECK(pidfd_getfd_(0, 0) == -1 && errno == EBADF);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  CHECK(pidfd_getfd_(fd, fds[0]) == -1 && errno == ESRCH);
  close(from);
  close(to);
  close(fd);
  close(ready[0]);
  close(ready[1]);
}

/* --- what tools read --- */

static long field(const char *path, const char *name) {
  char line[256];
  long value = -1;
  FILE *file = fopen(path, "r");
  if (file == NULL) return -errno;
  while (fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) value = strtol(line + strlen(name), NULL, 10);
  fclose(file);
  return value;
}

static void io_is_counted(void) {
  long before = field("/proc/self/io", "wchar: "), calls = field("/proc/self/io", "syscw: ");
  int pipes[2];
  char text[100] = "";
  CHECK(before >= 0 && calls >= 0 && pipe(pipes) == 0);
  CHECK(write(pipes[1], text, sizeof text) == sizeof text);
  long read_before = field("/proc/self/io", "rchar: ");
  CHECK(read(pipes[0], text, sizeof text) == sizeof text);
  CHECK(field("/proc/self/io", "wchar: ") >= before + 100);
  CHECK(field("/proc/self/io", "syscw: ") > calls);
  CHECK(field("/proc/self/io", "rchar: ") >= read_before + 100);
  close(pipes[0]);
  close(pipes[1]);
}

static void namespaces_have_names(void) {
  static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts"};
  char path[64], text[64];
  for (int i = 0; i < 8; i++) {
    struct stat link, one, parent;
    sprintf(path, "/proc/self/ns/%s", kinds[i]);
    ssize_t n = readlink(path, text, sizeof text - 1);
    CHECK(n > 0 && text[n - 1] == ']');
    CHECK(lstat(path, &link) == 0 && S_ISLNK(link.st_mode));
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &one) == 0);
    text[n > 0 ? n : 0] = 0;
    CHECK(strtoul(strchr(text, '[') + 1, NULL, 10) == one.st_ino);
    /* Parent and child are in the same ones. */
    pid_t pid = fork();
    if (pid == 0) {
      sprintf(path, "/proc/%d/ns/%s", getppid(), kinds[i]);
      _exit(stat(path, &parent) == 0 && parent.st_ino == one.st_ino && parent.st_dev == one.st_dev ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CHECK(status == 0);
    CHECK(setns(fd, CLONE_NEWNS | CLONE_NEWUSER) == -1 && errno == EINVAL);
    close(fd);
  }
}

int main(void) {
  signalfd_takes_pending_signals();
  signalfd_wakes_readers_and_epoll();
  pidfd_waits_and_signals();
  pidfd_that_does_not_wait();
  pidfd_of_clone();
  pidfd_lends_descriptors();
  io_is_counted();
  namespaces_have_names();
  return report("processfiles");
}
