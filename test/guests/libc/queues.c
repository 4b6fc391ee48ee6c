/* POSIX message queues. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

static char name[64], text[8192];

static int error(long result) { return result < 0 ? errno : 0; }

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static struct timespec after(long milliseconds) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  time.tv_nsec += milliseconds * 1000000;
  if (time.tv_nsec >= 1000000000) {
    time.tv_nsec -= 1000000000;
    time.tv_sec++;
  }
  return time;
}

static int exit_code(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void opening(void) {
  struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 16}, seen;
  EXPECT(error(mq_open(name, O_RDWR)), ENOENT);
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  CHECK(queue >= 0);
  EXPECT(fcntl(queue, F_GETFD), FD_CLOEXEC);
  EXPECT(error(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes)), EEXIST);
  EXPECT(error(mq_open(name, O_RDWR | O_WRONLY)), EINVAL);
  EXPECT(error(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL)), EACCES);
#ifdef __GLIBC__
  EXPECT(error(mq_open("no-slash", O_RDWR | O_CREAT, 0600, NULL)), EINVAL);
#endif
  EXPECT(error(mq_open("/", O_RDWR | O_CREAT, 0600, NULL)), ENOENT);
  attributes.mq_maxmsg = 0;
  EXPECT(error(mq_open("/other-queue", O_RDWR | O_CREAT, 0600, &attributes)), EINVAL);
  attributes.mq_maxmsg = 3;
  attributes.mq_msgsize = (16 << 20) + 1;
  EXPECT(error(mq_open("/other-queue", O_RDWR | O_CREAT, 0600, &attributes)), EINVAL);
  EXPECT(mq_getattr(queue, &seen), 0);
  EXPECT(seen.mq_maxmsg, 3);
  EXPECT(seen.mq_msgsize, 16);
  EXPECT(seen.mq_curmsgs, 0);
  EXPECT(seen.mq_flags, 0);
  attributes.mq_flags = O_NONBLOCK;
  EXPECT(mq_setattr(queue, &attributes, &seen), 0);
  EXPECT(seen.mq_flags, 0);
  EXPECT(mq_getattr(queue, &seen), 0);
  EXPECT(seen.mq_flags, O_NONBLOCK);
  EXPECT(fcntl(queue, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  attributes.mq_flags = O_APPEND;
  EXPECT(error(mq_setattr(queue, &attributes, NULL)), EINVAL);
  EXPECT(error(mq_getattr(1, &seen)), EBADF);
  /* It lives as long as it is open. */
  EXPECT(mq_unlink(name), 0);
  EXPECT(error(mq_unlink(name)), ENOENT);
  EXPECT(mq_send(queue, "x", 1, 0), 0);
  EXPECT(mq_receive(queue, text, 16, NULL), 1);
  EXPECT(mq_close(queue), 0);
  /* What an ordinary user may have. */
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit limit = {20000, 20000};
    if (setresuid(777, 777, 777) != 0) _exit(geteuid() == 0);
    attributes = (struct mq_attr){.mq_maxmsg = 11, .mq_msgsize = 10};
    if (error(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes)) != EINVAL) _exit(1);
    attributes = (struct mq_attr){.mq_maxmsg = 10, .mq_msgsize = 8193};
    if (error(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes)) != EINVAL) _exit(2);
    setrlimit(RLIMIT_MSGQUEUE, &limit);
    attributes = (struct mq_attr){.mq_maxmsg = 10, .mq_msgsize = 3000};
    if (error(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes)) != EMFILE) _exit(3);
    attributes = (struct mq_attr){.mq_maxmsg = 10, .mq_msgsize = 1000};
    if (mq_open(name, O_RDWR | O_CREAT, 0600, &attributes) < 0) _exit(4);
    mq_unlink(name);
    _exit(0);
  }
  EXPECT(exit_code(pid), 0);
}

static void on_signal(int signal) {}

/* Signals a process until it has ended: one of the signals comes while it waits. */
static int interrupted(pid_t pid) {
  int status;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    kill(pid, SIGUSR1);
    nap(10);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void sending(void) {
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  unsigned priority;
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
  EXPECT(mq_send(queue, "low", 3, 1), 0);
  EXPECT(mq_send(queue, "high", 4, 5), 0);
  EXPECT(mq_send(queue, "higher", 6, 32767), 0);
  EXPECT(mq_send(queue, "high2", 5, 5), 0);
  struct timespec soon = after(30), wrong = {0, 1000000000};
  EXPECT(error(mq_timedsend(queue, "x", 1, 0, &soon)), ETIMEDOUT);
  EXPECT(error(mq_timedsend(queue, "x", 1, 0, &wrong)), EINVAL);
  EXPECT(error(mq_send(queue, "x", 1, 32768)), EINVAL);
  EXPECT(error(mq_send(queue, text, 17, 0)), EMSGSIZE);
  EXPECT(error(mq_receive(queue, text, 15, NULL)), EMSGSIZE);
  struct pollfd poller = {queue, POLLIN | POLLOUT, 0};
  EXPECT(poll(&poller, 1, 0), 1);
  EXPECT(poller.revents, POLLIN);
  char line[100] = {0};
  CHECK(pread(queue, line, 99, 0) > 0 && strncmp(line, "QSIZE:18         NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n", 60) == 0);
  static const char *expected[] = {"higher", "high", "high2", "low"};
  static const unsigned priorities[] = {32767, 5, 5, 1};
  for (int i = 0; i < 4; i++) {
    memset(text, 0, sizeof text);
    EXPECT(mq_receive(queue, text, sizeof text, &priority), strlen(expected[i]));
    CHECK(strcmp(text, expected[i]) == 0 && priority == priorities[i]);
  }
  EXPECT(poll(&poller, 1, 0), 1);
  EXPECT(poller.revents, POLLOUT);
  soon = after(30);
  EXPECT(error(mq_timedreceive(queue, text, sizeof text, NULL, &soon)), ETIMEDOUT);
  mqd_t impatient = mq_open(name, O_RDONLY | O_NONBLOCK);
  EXPECT(error(mq_receive(impatient, text, sizeof text, NULL)), EAGAIN);
  EXPECT(error(mq_send(impatient, "x", 1, 0)), EBADF);
  /* Between processes, with epoll. */
  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN};
  EXPECT(epoll_ctl(set, EPOLL_CTL_ADD, impatient, &event), 0);
  EXPECT(epoll_wait(set, &event, 1, 0), 0);
  pid_t pid = fork();
  if (pid == 0) {
    int wrong_ones = 0;
    nap(20);
    for (int i = 0; i < 300; i++) wrong_ones += mq_send(queue, (char *)&i, sizeof i, i % 3) != 0;
    _exit(wrong_ones != 0);
  }
  EXPECT(epoll_wait(set, &event, 1, 5000), 1);
  long sum = 0;
  for (int i = 0, seen; i < 300; i++) {
    if (mq_receive(queue, text, sizeof text, NULL) != sizeof seen) break;
    memcpy(&seen, text, sizeof seen);
    sum += seen;
  }
  EXPECT(sum, 299 * 300 / 2);
  EXPECT(exit_code(pid), 0);
  /* Interrupted without SA_RESTART. */
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  pid = fork();
  if (pid == 0) _exit(error(mq_receive(queue, text, sizeof text, NULL)) == EINTR ? 0 : 1);
  EXPECT(interrupted(pid), 0);
  mq_close(impatient);
  mq_close(queue);
  close(set);
  EXPECT(mq_unlink(name), 0);
}

static volatile int told, value, code, sender;

static void on_message(int signal, siginfo_t *info, void *context) {
  told++;
  value = info->si_value.sival_int;
  code = info->si_code;
  sender = info->si_pid;
}

static sem_t thread_told;
static int told_value;
static void in_thread(union sigval value) {
  told_value = value.sival_int;
  sem_post(&thread_told);
}

/* SIGEV_THREAD: a thread of the C library's runs a function. */
static void notifying_threads(void) {
  char name[64];
  sprintf(name, "/queues-threads-%d", (int)getpid());
  struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 8};
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 42};
  char text[8];
  event.sigev_notify_function = in_thread;
  sem_init(&thread_told, 0, 0);
  for (int i = 0; i < 2; i++) {
    event.sigev_value.sival_int = 42 + i;
    EXPECT(mq_notify(queue, &event), 0);
    EXPECT(error(mq_notify(queue, &event)), EBUSY);
    EXPECT(mq_send(queue, "text", 4, 0), 0);
    while (sem_wait(&thread_told) < 0 && errno == EINTR) continue;
    EXPECT(told_value, 42 + i);
    EXPECT(mq_receive(queue, text, sizeof text, NULL), 4);
  }
  EXPECT(mq_notify(queue, &event), 0);
  EXPECT(mq_notify(queue, NULL), 0);
  EXPECT(mq_unlink(name), 0);
  EXPECT(mq_close(queue), 0);
}

static void notifying(void) {
  struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 77};
  sigaction(SIGUSR2, &action, NULL);
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
  EXPECT(mq_notify(queue, &event), 0);
  EXPECT(error(mq_notify(queue, &event)), EBUSY);
  pid_t pid = fork();
  if (pid == 0) {
    if (error(mq_notify(queue, &event)) != EBUSY) _exit(1);
    _exit(mq_send(queue, "x", 1, 0) != 0);
  }
  EXPECT(exit_code(pid), 0);
  while (told == 0) nap(1);
  EXPECT(value, 77);
  EXPECT(code, SI_MESGQ);
  EXPECT(sender, pid);
  /* Once, and only for a queue that was empty. */
  EXPECT(mq_notify(queue, &event), 0);
  EXPECT(mq_send(queue, "x", 1, 0), 0);
  nap(10);
  EXPECT(told, 1);
  mq_receive(queue, text, sizeof text, NULL);
  mq_receive(queue, text, sizeof text, NULL);
  EXPECT(mq_send(queue, "x", 1, 0), 0);
  while (told == 1) nap(1);
  mq_receive(queue, text, sizeof text, NULL);
  /* Registered by one that has gone, and taken back. */
  pid = fork();
  if (pid == 0) _exit(mq_notify(queue, &event) != 0);
  EXPECT(exit_code(pid), 0);
  EXPECT(mq_notify(queue, &event), 0);
  EXPECT(mq_notify(queue, NULL), 0);
  EXPECT(mq_send(queue, "x", 1, 0), 0);
  nap(10);
  EXPECT(told, 2);
  mq_receive(queue, text, sizeof text, NULL);
  /* Closing a descriptor takes it back. */
  int again = dup(queue);
  EXPECT(mq_notify(queue, &event), 0);
  EXPECT(close(again), 0);
  EXPECT(mq_notify(queue, &event), 0);
  event.sigev_signo = 65;
  EXPECT(error(mq_notify(queue, &event)), EINVAL);
  event.sigev_notify = 99;
  EXPECT(error(mq_notify(queue, &event)), EINVAL);
  EXPECT(error(mq_notify(1, NULL)), EBADF);
  mq_close(queue);
  mq_unlink(name);
}

int main(void) {
  snprintf(name, sizeof name, "/guesthouse-%d", getpid());
  opening();
  sending();
  notifying();
  notifying_threads();
  return report("queues");
}
