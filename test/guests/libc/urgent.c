/* Urgent data (MSG_OOB, SIGURG) and signals that tell of descriptors (O_ASYNC, F_SETSIG, F_SETOWN_EX). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

#ifndef SIOCATMARK
#define SIOCATMARK 0x8905
#endif

static int error(long result) { return result < 0 ? errno : 0; }

static volatile sig_atomic_t urgents;
static void on_urgent(int signal) { (void)signal; urgents++; }

static int events_of(int fd, short wanted) {
  struct pollfd poll_ = {fd, wanted, 0};
  return poll(&poll_, 1, 0) < 0 ? -1 : poll_.revents;
}

static int mark(int fd) {
  int at = -1;
  return ioctl(fd, SIOCATMARK, &at) < 0 ? -errno : at;
}

static int waiting(int fd) {
  int count = -1;
  return ioctl(fd, FIONREAD, &count) < 0 ? -errno : count;
}

/* What one read gives, as text; "!" and the error when it fails. */
static const char *got(int fd, int flags) {
  static char text[64];
  ssize_t n = recv(fd, text, sizeof text - 1, flags | MSG_DONTWAIT);
  if (n < 0) sprintf(text, "!%d", errno);
  else text[n] = 0;
  return text;
}

#define GOT(fd, flags, wanted)                                              \
  do {                                                                      \
    const char *text_ = got(fd, flags);                                     \
    CHECK(strcmp(text_, wanted) == 0);                                      \
    if (strcmp(text_, wanted) != 0) printf("line %d: got %s\n", __LINE__, text_); \
  } while (0)

/* A connection on the loopback: what one end sends the other has, once poll says so. */
static void connection(int ends[2]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(listener, (void *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, (void *)&address, &length) == 0);
  ends[0] = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(connect(ends[0], (void *)&address, sizeof address), 0);
  ends[1] = accept(listener, NULL, NULL);
  CHECK(ends[1] >= 0);
  close(listener);
}

static void arrived(int fd, short what) {
  struct pollfd poll_ = {fd, what, 0};
  EXPECT(poll(&poll_, 1, 20000), 1);
}

static void urgent_bytes(int inet) {
  int ends[2];
  if (inet) connection(ends);
  else CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  int from = ends[0], to = ends[1];
  EXPECT(mark(to), 0);
  GOT(to, MSG_OOB, "!22");
  EXPECT(fcntl(to, F_SETOWN, getpid()), 0);
  EXPECT(fcntl(to, F_GETOWN), getpid());
  int before = urgents;
  EXPECT(send(from, "abc", 3, 0), 3);
  EXPECT(send(from, "xyU", 3, MSG_OOB), 3);
  EXPECT(send(from, "def", 3, 0), 3);
  arrived(to, POLLPRI);
  EXPECT(urgents - before, 1);
  /* Wait until the rest is there as well. */
  while (waiting(to) < 5) sched_yield();
  CHECK(events_of(to, POLLIN | POLLPRI) == (POLLIN | POLLPRI));
  EXPECT(mark(to), 0);
  GOT(to, MSG_OOB | MSG_PEEK, "U");
  GOT(to, 0, "abcxy");
  EXPECT(mark(to), 1);
  GOT(to, MSG_OOB, "U");
  GOT(to, MSG_OOB, "!22");
  EXPECT(events_of(to, POLLPRI), 0);
  arrived(to, POLLIN);
  GOT(to, 0, "def");
  EXPECT(mark(to), 0);

  /* Read past: nobody gets it any more. */
  EXPECT(send(from, "1", 1, 0), 1);
  EXPECT(send(from, "U", 1, MSG_OOB), 1);
  EXPECT(send(from, "2", 1, 0), 1);
  arrived(to, POLLPRI);
  GOT(to, 0, "1");
  arrived(to, POLLIN);
  GOT(to, 0, "2");
  GOT(to, MSG_OOB, "!22");

  /* In line. */
  int on = 1;
  EXPECT(setsockopt(to, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on), 0);
  EXPECT(send(from, "1", 1, 0), 1);
  EXPECT(send(from, "U", 1, MSG_OOB), 1);
  arrived(to, POLLPRI);
  GOT(to, MSG_OOB, "!22");
  GOT(to, 0, "1");
  EXPECT(mark(to), 1);
  GOT(to, 0, "U");
  EXPECT(mark(to), 0);
  GOT(to, 0, "!11");
  close(from);
  close(to);
}

static void refused(void) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
  EXPECT(error(send(pair[0], "x", 1, MSG_OOB)), EOPNOTSUPP);
  EXPECT(error(recv(pair[0], pair, 1, MSG_OOB | MSG_DONTWAIT)), EOPNOTSUPP);
  int udp = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  EXPECT(error(sendto(udp, "x", 1, MSG_OOB, (void *)&address, sizeof address)), EOPNOTSUPP);
  close(udp);
  close(pair[0]);
  close(pair[1]);
}

/* --- O_ASYNC --- */

static int asynchronous(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC); }

/* The next of the signals, or 0. */
static int next(const sigset_t *set, siginfo_t *info) {
  struct timespec none = {0, 0};
  int signal = sigtimedwait(set, info, &none);
  return signal < 0 ? 0 : signal;
}

static void readiness(int reader, int writer, int both) {
  sigset_t set;
  siginfo_t info;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  sigaddset(&set, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  /* Nobody is named: no signal. */
  EXPECT(asynchronous(reader), 0);
  CHECK((fcntl(reader, F_GETFL) & O_ASYNC) != 0);
  CHECK(write(writer, "a", 1) == 1);
  EXPECT(next(&set, &info), 0);
  EXPECT(fcntl(reader, F_SETOWN, getpid()), 0);
  CHECK(write(writer, "b", 1) == 1);
  EXPECT(next(&set, &info), SIGIO);
  EXPECT(next(&set, &info), 0);
  EXPECT(fcntl(reader, F_SETSIG, SIGRTMIN + 1), 0);
  EXPECT(fcntl(reader, F_GETSIG), SIGRTMIN + 1);
  CHECK(write(writer, "c", 1) == 1);
  EXPECT(next(&set, &info), SIGRTMIN + 1);
  EXPECT(info.si_code, POLL_IN);
  EXPECT(info.si_fd, reader);
  EXPECT(info.si_band, POLLIN | POLLRDNORM);
  EXPECT(error(fcntl(reader, F_SETSIG, 65)), EINVAL);
  /* A thread. */
  struct f_owner_ex owner = {F_OWNER_TID, (int)syscall(SYS_gettid)}, seen = {-1, -1};
  EXPECT(fcntl(reader, F_SETOWN_EX, &owner), 0);
  EXPECT(fcntl(reader, F_GETOWN_EX, &seen), 0);
  CHECK(seen.type == F_OWNER_TID && seen.pid == owner.pid);
  CHECK(write(writer, "d", 1) == 1);
  EXPECT(next(&set, &info), SIGRTMIN + 1);
  /* A process group, and ids that nobody has. */
  EXPECT(fcntl(reader, F_SETOWN, -getpgrp()), 0);
  EXPECT(fcntl(reader, F_GETOWN), -getpgrp());
  EXPECT(error(fcntl(reader, F_SETOWN, 4194303)), ESRCH);
  owner.type = 9;
  EXPECT(error(fcntl(reader, F_SETOWN_EX, &owner)), EINVAL);
  EXPECT(fcntl(reader, F_SETOWN, getpid()), 0);
  /* Not after it was turned off. */
  int off = 0;
  EXPECT(ioctl(reader, FIOASYNC, &off), 0);
  EXPECT(fcntl(reader, F_GETFL) & O_ASYNC, 0);
  CHECK(write(writer, "e", 1) == 1);
  EXPECT(next(&set, &info), 0);
  EXPECT(fcntl(reader, F_SETFL, O_ASYNC | O_NONBLOCK), 0);
  /* A child's end of it tells the parent. */
  pid_t pid = fork();
  if (pid == 0) _exit(write(writer, "f", 1) != 1);
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT(status, 0);
  EXPECT(next(&set, &info), SIGRTMIN + 1);
  EXPECT(info.si_fd, reader);
  char text[16];
  EXPECT(read(reader, text, sizeof text), 6);
  /* The end. */
  close(writer);
  int signal = next(&set, &info);
  EXPECT(signal, SIGRTMIN + 1);
  CHECK(info.si_code == POLL_HUP || (!both && info.si_code == POLL_IN));
  while (next(&set, &info) != 0) continue;
  close(reader);
}

int main(void) {
  struct sigaction action = {.sa_handler = on_urgent};
  sigaction(SIGURG, &action, NULL);
  urgent_bytes(1);
  urgent_bytes(0);
  refused();
  int ends[2];
  CHECK(pipe(ends) == 0);
  readiness(ends[0], ends[1], 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  readiness(ends[0], ends[1], 1);
  return report("urgent");
}
