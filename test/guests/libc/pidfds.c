/* Pidfds of threads: pidfd_open with PIDFD_THREAD, CLONE_PIDFD with CLONE_THREAD, and what each call makes of them (Linux 6.9 and later). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "procField.h"

#define PIDFD_THREAD O_EXCL
enum { SCOPE_DEFAULT = 0, SCOPE_THREAD = 1, SCOPE_GROUP = 2 };

static int result(long r) { return r < 0 ? -errno : (int)r; }
static int openId(int id, int flags) { return result(syscall(434, id, flags)); }
static int sendTo(int fd, int signal, siginfo_t *info, int flags) { return result(syscall(424, fd, signal, info, flags)); }
static int getFd(int fd, int target) { return result(syscall(438, fd, target, 0)); }
static int waitFor(int fd, int options) {
  siginfo_t info;
  return result(waitid(3 /* P_PIDFD */, fd, &info, WEXITED | options));
}
static int events(int fd, int milliseconds) {
  struct pollfd one = {fd, POLLIN, 0};
  int n = poll(&one, 1, milliseconds);
  return n <= 0 ? n : one.revents;
}
static int idInFdInfo(int fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  return procField(path, "Pid: %d", -9);
}

static volatile int threadId, mayEnd, receiver, code;
static void onSignal(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  code = info->si_code;
  receiver = (int)syscall(SYS_gettid);
}
static void *waitingThread(void *unused) {
  threadId = (int)syscall(SYS_gettid);
  while (!mayEnd) usleep(1000);
  return unused;
}
/* Who has received what was sent. */
static int received(int sent) {
  if (sent != 0) return sent;
  while (receiver == 0) usleep(100);
  int who = receiver;
  receiver = 0;
  return who;
}

static void ofThreads(void) {
  pthread_t thread;
  int pipes[2];
  pthread_create(&thread, NULL, waitingThread, NULL);
  while (threadId == 0) usleep(1000);
  struct sigaction action = {.sa_sigaction = onSignal, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);

  EXPECT(openId(threadId, 0), -ENOENT);
  EXPECT(openId(4000000, 0), -ESRCH);
  EXPECT(openId(4000000, PIDFD_THREAD), -ESRCH);
  EXPECT(openId(threadId, PIDFD_THREAD | 1), -EINVAL);
  int ofThread = openId(threadId, PIDFD_THREAD), ofLeader = openId(getpid(), PIDFD_THREAD), ofProcess = openId(getpid(), 0);
  CHECK(ofThread >= 0 && ofLeader >= 0 && ofProcess >= 0);
  EXPECT(fcntl(ofThread, F_GETFL), O_RDWR | PIDFD_THREAD);
  EXPECT(fcntl(ofProcess, F_GETFL), O_RDWR);
  EXPECT(fcntl(ofThread, F_GETFD), FD_CLOEXEC);
  EXPECT(idInFdInfo(ofThread), threadId);
  EXPECT(idInFdInfo(ofProcess), getpid());
  EXPECT(events(ofThread, 0), 0);
  EXPECT(events(ofLeader, 0), 0);

  EXPECT(received(sendTo(ofThread, SIGUSR1, NULL, SCOPE_DEFAULT)), threadId);
  EXPECT(code, SI_TKILL);
  EXPECT(received(sendTo(ofThread, SIGUSR1, NULL, SCOPE_THREAD)), threadId);
  EXPECT(received(sendTo(ofLeader, SIGUSR1, NULL, SCOPE_DEFAULT)), getpid());
  EXPECT(code, SI_TKILL);
  EXPECT(received(sendTo(ofProcess, SIGUSR1, NULL, SCOPE_THREAD)), getpid());
  EXPECT(code, SI_TKILL);
  CHECK(received(sendTo(ofThread, SIGUSR1, NULL, SCOPE_GROUP)) > 0);
  EXPECT(code, SI_USER);
  CHECK(received(sendTo(ofProcess, SIGUSR1, NULL, SCOPE_DEFAULT)) > 0);
  EXPECT(code, SI_USER);
  EXPECT(sendTo(ofThread, SIGUSR1, NULL, 3), -EINVAL);
  EXPECT(sendTo(ofThread, SIGUSR1, NULL, 8), -EINVAL);
  EXPECT(sendTo(ofThread, 65, NULL, 0), -EINVAL);
  EXPECT(sendTo(ofThread, 0, NULL, 0), 0);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = SIGUSR1;
  info.si_code = SI_QUEUE;
  EXPECT(received(sendTo(ofThread, SIGUSR1, &info, 0)), threadId);
  EXPECT(code, SI_QUEUE);
  EXPECT(sendTo(ofThread, SIGUSR2, &info, 0), -EINVAL);
  info.si_code = SI_USER;
  EXPECT(sendTo(ofThread, SIGUSR1, &info, 0), -EPERM);

  EXPECT(waitFor(ofThread, WNOHANG), -ECHILD);
  CHECK(pipe(pipes) == 0);
  int copy = getFd(ofThread, pipes[0]);
  CHECK(copy >= 0);
  close(copy);
  EXPECT(getFd(ofThread, 999), -EBADF);
  struct { void *base; size_t length; } nothing = {0, 0};
  EXPECT(result(syscall(440, ofThread, &nothing, 1, 4, 0)), -ESRCH);

  mayEnd = 1;
  pthread_join(thread, NULL);
  EXPECT(events(ofThread, 10000), POLLIN | POLLHUP);
  EXPECT(sendTo(ofThread, 0, NULL, 0), -ESRCH);
  EXPECT(getFd(ofThread, 0), -ESRCH);
  EXPECT(idInFdInfo(ofThread), -1);
  for (int fd = ofThread; fd <= pipes[1]; fd++) close(fd);
}

static void ofChildren(void) {
  int child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  int ofProcess = openId(child, 0), ofLeader = openId(child, PIDFD_THREAD);
  EXPECT(events(ofProcess, 0), 0);
  kill(child, SIGKILL);
  EXPECT(events(ofProcess, 10000), POLLIN);
  EXPECT(events(ofLeader, 10000), POLLIN);
  EXPECT(sendTo(ofProcess, SIGUSR1, NULL, 0), 0);
  EXPECT(sendTo(ofLeader, SIGUSR1, NULL, 0), 0);
  EXPECT(getFd(ofProcess, 0), -ESRCH);
  EXPECT(waitFor(ofLeader, 0), 0);
  EXPECT(events(ofProcess, 0), POLLIN | POLLHUP);
  EXPECT(events(ofLeader, 0), POLLIN | POLLHUP);
  EXPECT(sendTo(ofProcess, 0, NULL, 0), -ESRCH);
  EXPECT(waitFor(ofProcess, 0), -ECHILD);
  close(ofProcess);
  close(ofLeader);
}

static int ready[2], end[2];
static void *lastThread(void *unused) {
  char byte;
  (void)unused;
  if (read(end[0], &byte, 1) == 1) _exit(7);
  return NULL;
}
/* The first thread of a process ends before another: its pidfd tells of the end of all. */
static void ofFirstThreads(void) {
  char byte;
  int status;
  CHECK(pipe(ready) == 0 && pipe(end) == 0);
  int child = fork();
  if (child == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, lastThread, NULL);
    if (write(ready[1], "r", 1) == 1) syscall(SYS_exit, 3);
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  int ofLeader = openId(child, PIDFD_THREAD);
  EXPECT(events(ofLeader, 50), 0);
  EXPECT(sendTo(ofLeader, 0, NULL, 0), 0);
  CHECK(write(end[1], "e", 1) == 1);
  EXPECT(events(ofLeader, 10000), POLLIN);
  CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
  close(ofLeader);
}

static char stack[65536] __attribute__((aligned(16)));
static int entered(void *unused) {
  (void)unused;
  syscall(SYS_exit, 0);
  return 0;
}
/* A thread with a descriptor from the beginning. */
static void fromClone(void) {
  int fd = -1, flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_FILES | CLONE_FS | CLONE_PIDFD;
  CHECK(clone(entered, stack + sizeof stack, flags, NULL, &fd) > 0);
  CHECK(fd >= 0);
  EXPECT(events(fd, 10000), POLLIN | POLLHUP);
  EXPECT(fcntl(fd, F_GETFL), O_RDWR | PIDFD_THREAD);
  close(fd);
  EXPECT(result(clone(entered, stack + sizeof stack, flags, NULL, (int *)8)), -EFAULT);
  EXPECT(result(clone(entered, stack + sizeof stack, flags | CLONE_PARENT_SETTID, NULL, &fd)), -EINVAL);
}

int main(void) {
  ofThreads();
  ofChildren();
  ofFirstThreads();
  fromClone();
  return report("pidfds");
}
