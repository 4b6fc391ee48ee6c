/* Unix sockets: names, listening, packets, descriptors and credentials that go along. Its argument is a folder to write in. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

static const char *folder;

static socklen_t named(struct sockaddr_un *a, const char *name) {
  memset(a, 0, sizeof *a);
  a->sun_family = AF_UNIX;
  if (name[0] == '@') {
    memcpy(a->sun_path + 1, name + 1, strlen(name) - 1);
    return offsetof(struct sockaddr_un, sun_path) + strlen(name);
  }
  snprintf(a->sun_path, sizeof a->sun_path, "%s/%s", folder, name);
  return offsetof(struct sockaddr_un, sun_path) + strlen(a->sun_path) + 1;
}

static int bind_to(int fd, const char *name) {
  struct sockaddr_un a;
  socklen_t n = named(&a, name);
  return bind(fd, (struct sockaddr *)&a, n) == 0 ? 0 : -errno;
}

static int connect_to(int fd, const char *name) {
  struct sockaddr_un a;
  socklen_t n = named(&a, name);
  return connect(fd, (struct sockaddr *)&a, n) == 0 ? 0 : -errno;
}

static int result(long r) { return r < 0 ? -errno : (int)r; }

static int events(int fd, int wanted) {
  struct pollfd p = {fd, wanted, 0};
  poll(&p, 1, 0);
  return p.revents;
}

static int int_option(int fd, int name) {
  int v = -1;
  socklen_t n = sizeof v;
  return getsockopt(fd, SOL_SOCKET, name, &v, &n) == 0 ? v : -errno;
}

static int listener(int type, const char *name, int backlog) {
  int fd = socket(AF_UNIX, type, 0);
  CHECK(fd >= 0);
  EXPECT(bind_to(fd, name), 0);
  EXPECT(result(listen(fd, backlog)), 0);
  return fd;
}

static volatile sig_atomic_t pipes;
static void on_pipe(int s) { (void)s; pipes++; }
static void on_alarm(int s) { (void)s; }

/* --- names --- */

static void names(void) {
  struct sockaddr_un a;
  socklen_t n = sizeof a;
  struct stat st;
  char path[200];
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(getsockname(fd, (struct sockaddr *)&a, &n), 0);
  EXPECT(n, 2);
  EXPECT(result(getpeername(fd, (struct sockaddr *)&a, &n)), -ENOTCONN);
  EXPECT(result(listen(fd, 1)), -EINVAL);
  EXPECT(events(fd, POLLIN | POLLOUT), POLLOUT | POLLHUP);
  EXPECT(bind_to(fd, "one"), 0);
  EXPECT(bind_to(fd, "two"), -EINVAL);
  snprintf(path, sizeof path, "%s/one", folder);
  EXPECT(stat(path, &st), 0);
  CHECK(S_ISSOCK(st.st_mode));
  EXPECT(result(open(path, O_RDWR)), -ENXIO);
  n = sizeof a;
  EXPECT(getsockname(fd, (struct sockaddr *)&a, &n), 0);
  EXPECT(n, 3 + strlen(path));
  CHECK(strcmp(a.sun_path, path) == 0);
  int other = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(bind_to(other, "one"), -EADDRINUSE);
  EXPECT(bind_to(other, "none/x"), -ENOENT);
  EXPECT(connect_to(other, "one"), -ECONNREFUSED);
  EXPECT(connect_to(other, "absent"), -ENOENT);
  EXPECT(listen(fd, 5), 0);
  EXPECT(int_option(fd, SO_ACCEPTCONN), 1);
  EXPECT(events(fd, POLLIN | POLLOUT), 0);
  EXPECT(connect_to(other, "one"), 0);
  EXPECT(connect_to(other, "one"), -EISCONN);
  EXPECT(events(fd, POLLIN), POLLIN);
  n = sizeof a;
  EXPECT(getpeername(other, (struct sockaddr *)&a, &n), 0);
  CHECK(strcmp(a.sun_path, path) == 0);
  int got = accept(fd, (struct sockaddr *)&a, &n);
  CHECK(got >= 0);
  EXPECT(n, 2);
  n = sizeof a;
  EXPECT(getsockname(got, (struct sockaddr *)&a, &n), 0);
  CHECK(strcmp(a.sun_path, path) == 0);
  int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
  EXPECT(connect_to(datagram, "one"), -EPROTOTYPE);
  EXPECT(result(listen(datagram, 1)), -EOPNOTSUPP);
  EXPECT(result(accept(datagram, NULL, NULL)), -EOPNOTSUPP);
  EXPECT(result(accept(other, NULL, NULL)), -EINVAL);
  close(fd);
  int third = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(connect_to(third, "one"), -ECONNREFUSED);
  EXPECT(unlink(path), 0);
  EXPECT(connect_to(third, "one"), -ENOENT);
  EXPECT(result(write(got, "x", 1)), 1);
  EXPECT(result(read(other, path, 9)), 1);
  close(got), close(other), close(third), close(datagram);

  /* Abstract names are in no file system, and all their bytes count. */
  fd = listener(SOCK_STREAM, "@hidden", 3);
  other = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(connect_to(other, "@hidde"), -ECONNREFUSED);
  EXPECT(connect_to(other, "@hidden"), 0);
  third = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(bind_to(third, "@hidden"), -EADDRINUSE);
  a.sun_family = AF_UNIX;
  EXPECT(bind(third, (struct sockaddr *)&a, sizeof(sa_family_t)), 0);
  n = sizeof a;
  EXPECT(getsockname(third, (struct sockaddr *)&a, &n), 0);
  EXPECT(n, 8);
  EXPECT(a.sun_path[0], 0);
  close(fd), close(other), close(third);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(bind_to(fd, "@hidden"), 0);
  close(fd);
  EXPECT(result(socket(AF_UNIX, SOCK_STREAM, 99)), -EPROTONOSUPPORT);
  EXPECT(result(socket(AF_UNIX, 9, 0)), -ESOCKTNOSUPPORT);
}

/* --- streams --- */

static void *late_accept(void *arg) {
  usleep(50000);
  return (void *)(long)accept(*(int *)arg, NULL, NULL);
}

static void backlog(void) {
  int fd = listener(SOCK_STREAM, "backlog", 1), c[4], i;
  for (i = 0; i < 4; i++) c[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  EXPECT(connect_to(c[0], "backlog"), 0);
  EXPECT(connect_to(c[1], "backlog"), 0);
  EXPECT(connect_to(c[2], "backlog"), -EAGAIN);
  /* One that waits for its place. */
  pthread_t thread;
  pthread_create(&thread, NULL, late_accept, &fd);
  int waiting = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(connect_to(waiting, "backlog"), 0);
  void *got;
  pthread_join(thread, &got);
  CHECK((long)got >= 0);
  /* What was sent before it was accepted is there, and what was not accepted is reset. */
  EXPECT(result(write(c[1], "early", 5)), 5);
  int second = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  EXPECT(fcntl(second, F_GETFD), FD_CLOEXEC);
  CHECK(fcntl(second, F_GETFL) & O_NONBLOCK);
  char b[16];
  EXPECT(result(read(second, b, sizeof b)), 5);
  EXPECT(result(read(second, b, sizeof b)), -EAGAIN);
  close(fd);
  EXPECT(result(read(waiting, b, 1)), -ECONNRESET);
  EXPECT(result(read(waiting, b, 1)), 0);
  for (i = 0; i < 4; i++) close(c[i]);
  close((int)(long)got), close(second), close(waiting);
  fd = listener(SOCK_STREAM | SOCK_NONBLOCK, "@backlog", 5);
  EXPECT(result(accept(fd, NULL, NULL)), -EAGAIN);
  close(fd);
}

static void ends(void) {
  int p[2];
  char b[16];
  EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
  EXPECT(events(p[0], POLLIN | POLLOUT | POLLRDHUP), POLLOUT);
  EXPECT(result(write(p[0], "abcdef", 6)), 6);
  EXPECT(result(recv(p[1], b, 3, MSG_PEEK)), 3);
  int count;
  EXPECT(ioctl(p[1], FIONREAD, &count), 0);
  EXPECT(count, 6);
  EXPECT(shutdown(p[0], SHUT_WR), 0);
  EXPECT(events(p[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
  EXPECT(result(recv(p[1], b, 16, MSG_WAITALL)), 6);
  EXPECT(result(recv(p[1], b, 16, 0)), 0);
  pipes = 0;
  EXPECT(result(write(p[0], "x", 1)), -EPIPE);
  EXPECT(pipes, 1);
  EXPECT(result(send(p[0], "x", 1, MSG_NOSIGNAL)), -EPIPE);
  EXPECT(pipes, 1);
  EXPECT(result(write(p[1], "y", 1)), 1);
  close(p[1]);
  EXPECT(events(p[0], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
  EXPECT(result(read(p[0], b, 9)), 1);
  EXPECT(result(read(p[0], b, 9)), 0);
  close(p[0]);

  /* Closing with something unread resets the other end. */
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  EXPECT(result(write(p[0], "unread", 6)), 6);
  close(p[1]);
  EXPECT(int_option(p[0], SO_ERROR), ECONNRESET);
  EXPECT(int_option(p[0], SO_ERROR), 0);
  EXPECT(result(send(p[0], "x", 1, MSG_NOSIGNAL)), -EPIPE);
  close(p[0]);

  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(result(send(fd, "x", 1, MSG_NOSIGNAL)), -ENOTCONN);
  EXPECT(result(read(fd, b, 1)), -EINVAL);
  close(fd);
  EXPECT(result(send(0x7ffffff, "x", 1, 0)), -EBADF);
  EXPECT(result(send(STDOUT_FILENO, "x", 1, 0)), -ENOTSOCK);

  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  EXPECT(shutdown(p[0], SHUT_RD), 0);
  EXPECT(result(read(p[0], b, 1)), 0);
  EXPECT(result(send(p[1], "x", 1, MSG_NOSIGNAL)), -EPIPE);
  EXPECT(result(shutdown(p[0], 7)), -EINVAL);
  EXPECT(shutdown(p[0], SHUT_WR), 0);
  EXPECT(events(p[1], POLLRDHUP), POLLRDHUP | POLLHUP);
  close(p[0]), close(p[1]);
}

struct job {
  int fd;
  long bytes;
};

static void *drain(void *arg) {
  struct job *j = arg;
  static char b[30000];
  long n;
  while ((n = read(j->fd, b, sizeof b)) > 0) {
    for (long i = 0; i < n; i++)
      if (b[i] != (char)((j->bytes + i) * 7)) CHECK(0);
    j->bytes += n;
  }
  return NULL;
}

static void much(void) {
  int p[2];
  enum { TOTAL = 3 << 20 };
  static char b[100000];
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  struct job j = {p[1], 0};
  pthread_t thread;
  pthread_create(&thread, NULL, drain, &j);
  long sent = 0;
  while (sent < TOTAL) {
    long n = TOTAL - sent < (long)sizeof b ? TOTAL - sent : (long)sizeof b;
    for (long i = 0; i < n; i++) b[i] = (char)((sent + i) * 7);
    EXPECT(write(p[0], b, n), n);
    sent += n;
  }
  close(p[0]);
  pthread_join(thread, NULL);
  EXPECT(j.bytes, TOTAL);
  close(p[1]);

  /* A full queue: no more than some buffers' worth, and writable again once most of it was read. */
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p);
  int set = epoll_create1(0);
  struct epoll_event e = {EPOLLOUT | EPOLLET, {.fd = 7}}, out;
  EXPECT(epoll_ctl(set, EPOLL_CTL_ADD, p[0], &e), 0);
  EXPECT(epoll_wait(set, &out, 1, 0), 1);
  long in = 0, n;
  while ((n = write(p[0], b, 4096)) > 0) in += n;
  EXPECT(errno, EAGAIN);
  CHECK(in > 100000 && in < 1000000);
  EXPECT(events(p[0], POLLOUT), 0);
  EXPECT(epoll_wait(set, &out, 1, 0), 0);
  long back = 0;
  while (back < in && (n = read(p[1], b, 4096)) > 0) back += n;
  EXPECT(back, in);
  EXPECT(epoll_wait(set, &out, 1, 1000), 1);
  EXPECT(out.data.fd, 7);
  EXPECT(events(p[0], POLLOUT), POLLOUT);
  close(set), close(p[0]), close(p[1]);
}

/* --- packets --- */

static void packets(void) {
  char b[64];
  struct sockaddr_un a;
  socklen_t n = sizeof a, len;
  int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
  EXPECT(bind_to(server, "server"), 0);
  EXPECT(bind_to(client, "client"), 0);
  len = named(&a, "server");
  EXPECT(result(send(client, "x", 1, 0)), -ENOTCONN);
  EXPECT(result(sendto(client, "hello", 5, 0, (struct sockaddr *)&a, len)), 5);
  EXPECT(result(sendto(client, "", 0, 0, (struct sockaddr *)&a, len)), 0);
  EXPECT(result(sendto(client, "truncated", 9, 0, (struct sockaddr *)&a, len)), 9);
  memset(&a, 0, sizeof a);
  EXPECT(result(recvfrom(server, b, sizeof b, 0, (struct sockaddr *)&a, &n)), 5);
  struct sockaddr_un expected;
  len = named(&expected, "client");
  EXPECT(n, len);
  CHECK(memcmp(&a, &expected, n) == 0);
  EXPECT(result(recv(server, b, sizeof b, 0)), 0);
  struct iovec iov = {b, 4};
  struct msghdr m = {0};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  EXPECT(result(recvmsg(server, &m, MSG_PEEK)), 4);
  EXPECT(m.msg_flags, MSG_TRUNC);
  EXPECT(result(recvmsg(server, &m, MSG_TRUNC)), 9);
  EXPECT(result(recv(server, b, 4, MSG_DONTWAIT)), -EAGAIN);
  EXPECT(sendto(server, "back", 4, 0, (struct sockaddr *)&a, len), 4);
  EXPECT(recv(client, b, sizeof b, 0), 4);
  /* A connected one takes packets of its peer only. */
  EXPECT(connect_to(client, "server"), 0);
  int third = socket(AF_UNIX, SOCK_DGRAM, 0);
  EXPECT(connect_to(third, "client"), -EPERM);
  EXPECT(result(sendto(third, "x", 1, 0, (struct sockaddr *)&a, len)), -EPERM);
  EXPECT(result(send(client, "12345678", 8, 0)), 8);
  EXPECT(recv(server, b, sizeof b, 0), 8);
  static char big[400000];
  EXPECT(result(send(client, big, sizeof big, 0)), -EMSGSIZE);
  /* So many may wait at a server. */
  int sent = 0;
  while (send(client, "q", 1, MSG_DONTWAIT) == 1) sent++;
  EXPECT(errno, EAGAIN);
  CHECK(sent >= 11);
  EXPECT(events(client, POLLOUT), 0);
  EXPECT(recv(server, b, 1, 0), 1);
  EXPECT(events(client, POLLOUT), POLLOUT);
  close(server);
  EXPECT(result(send(client, "x", 1, 0)), -ECONNREFUSED);
  EXPECT(result(send(client, "x", 1, 0)), -ENOTCONN);
  close(client), close(third);

  int p[2];
  EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, p), 0);
  EXPECT(send(p[0], "one", 3, 0), 3);
  close(p[0]);
  EXPECT(recv(p[1], b, 9, 0), 3);
  EXPECT(result(recv(p[1], b, 9, MSG_DONTWAIT)), -EAGAIN);
  EXPECT(result(send(p[1], "x", 1, 0)), -ECONNREFUSED);
  close(p[1]);

  int fd = listener(SOCK_SEQPACKET, "sequenced", 4);
  int c = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  EXPECT(result(recv(c, b, 1, 0)), -ENOTCONN);
  EXPECT(connect_to(c, "sequenced"), 0);
  int s = accept(fd, NULL, NULL);
  EXPECT(send(c, "first", 5, 0), 5);
  EXPECT(send(c, "second", 6, 0), 6);
  EXPECT(recv(s, b, 3, 0), 3);
  EXPECT(recv(s, b, 30, 0), 6);
  close(c);
  EXPECT(recv(s, b, 30, 0), 0);
  EXPECT(result(send(s, "x", 1, MSG_NOSIGNAL)), -EPIPE);
  close(s), close(fd);
}

static void many_messages(void) {
  int p[2], i;
  socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
  char b[4][8];
  struct iovec iov[4];
  struct mmsghdr m[4];
  memset(m, 0, sizeof m);
  for (i = 0; i < 4; i++) {
    snprintf(b[i], 8, "m%d", i);
    iov[i].iov_base = b[i];
    iov[i].iov_len = 2 + i;
    m[i].msg_hdr.msg_iov = &iov[i];
    m[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT(sendmmsg(p[0], m, 3, 0), 3);
  EXPECT(m[2].msg_len, 4);
  for (i = 0; i < 4; i++) iov[i].iov_len = 8;
  EXPECT(recvmmsg(p[1], m, 4, MSG_WAITFORONE, NULL), 3);
  EXPECT(m[0].msg_len, 2);
  EXPECT(m[2].msg_len, 4);
  EXPECT(result(recvmmsg(p[1], m, 4, MSG_DONTWAIT, NULL)), -EAGAIN);
  close(p[0]), close(p[1]);
}

/* --- descriptors and credentials --- */

union control {
  char bytes[CMSG_SPACE(sizeof(int) * 8) + CMSG_SPACE(sizeof(struct ucred))];
  struct cmsghdr align;
};

static long send_files(int to, const void *data, size_t n, const int *fds, int count) {
  union control c;
  struct iovec iov = {(void *)data, n};
  struct msghdr m = {0};
  memset(&c, 0, sizeof c);
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = c.bytes;
  m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
  struct cmsghdr *h = CMSG_FIRSTHDR(&m);
  h->cmsg_level = SOL_SOCKET;
  h->cmsg_type = SCM_RIGHTS;
  h->cmsg_len = CMSG_LEN(sizeof(int) * count);
  memcpy(CMSG_DATA(h), fds, sizeof(int) * count);
  return result(sendmsg(to, &m, 0));
}

/* What came: bytes; descriptors to fds, their number to *count; flags. */
static long receive_files(int from, void *data, size_t n, int *fds, int *count, int *flags, size_t room) {
  union control c;
  struct iovec iov = {data, n};
  struct msghdr m = {0};
  m.msg_iov = &iov;
  m.msg_iovlen = 1;
  m.msg_control = c.bytes;
  m.msg_controllen = room;
  long r = result(recvmsg(from, &m, *flags));
  *flags = m.msg_flags;
  *count = 0;
  if (r < 0) return r;
  for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
    if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS) {
      *count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      memcpy(fds, CMSG_DATA(h), *count * sizeof(int));
    }
  return r;
}

static void descriptors(void) {
  int p[2], q[2], fds[8], count, flags, i;
  char b[64];
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  CHECK(pipe(q) == 0);
  /* They come with the first byte of their message; bytes of later ones are not read along. */
  EXPECT(write(p[0], "before", 6), 6);
  EXPECT(send_files(p[0], "with", 4, &q[1], 1), 4);
  EXPECT(write(p[0], "after", 5), 5);
  flags = MSG_CMSG_CLOEXEC;
  long n = receive_files(p[1], b, sizeof b, fds, &count, &flags, sizeof(union control));
  EXPECT(n, 10);
  EXPECT(count, 1);
  EXPECT(flags, MSG_CMSG_CLOEXEC);
  EXPECT(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
  EXPECT(write(fds[0], "through", 7), 7);
  EXPECT(read(q[0], b, 64), 7);
  close(fds[0]);
  flags = 0;
  EXPECT(receive_files(p[1], b, sizeof b, fds, &count, &flags, sizeof(union control)), 5);
  EXPECT(count, 0);
  /* More than there is room for: the rest is closed. */
  int three[3] = {q[0], q[1], q[0]};
  EXPECT(send_files(p[0], "x", 1, three, 3), 1);
  flags = 0;
  EXPECT(receive_files(p[1], b, sizeof b, fds, &count, &flags, CMSG_LEN(2 * sizeof(int))), 1);
  EXPECT(count, 2);
  EXPECT(flags, MSG_CTRUNC);
  for (i = 0; i < count; i++) close(fds[i]);
  EXPECT(send_files(p[0], "x", 1, three, 3), 1);
  EXPECT(read(p[1], b, 1), 1); /* read takes none */
  int bad = 999;
  EXPECT(send_files(p[0], "x", 1, &bad, 1), -EBADF);
  /* Looked at, they are copies. */
  EXPECT(send_files(p[0], "peek", 4, &q[1], 1), 4);
  flags = MSG_PEEK;
  EXPECT(receive_files(p[1], b, sizeof b, fds, &count, &flags, sizeof(union control)), 4);
  EXPECT(count, 1);
  close(fds[0]);
  flags = 0;
  EXPECT(receive_files(p[1], b, 2, fds, &count, &flags, sizeof(union control)), 2);
  EXPECT(count, 1);
  close(fds[0]);
  flags = 0;
  EXPECT(receive_files(p[1], b, 9, fds, &count, &flags, sizeof(union control)), 2);
  EXPECT(count, 0);
  close(q[0]);
  pipes = 0;
  EXPECT(result(write(q[1], "x", 1)), -EPIPE); /* no copy of the other end is left */
  close(q[1]), close(p[0]), close(p[1]);

  /* From a process that is gone when they are received. */
  socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
  pid_t child = fork();
  if (child == 0) {
    char name[200];
    snprintf(name, sizeof name, "%s/passed", folder);
    int file = open(name, O_CREAT | O_RDWR, 0600);
    if (write(file, "from the child", 14) != 14) _exit(1);
    lseek(file, 5, SEEK_SET);
    _exit(send_files(p[0], "f", 1, &file, 1) == 1 ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  close(p[0]);
  flags = 0;
  EXPECT(receive_files(p[1], b, sizeof b, fds, &count, &flags, sizeof(union control)), 1);
  EXPECT(count, 1);
  EXPECT(read(fds[0], b, 64), 9);
  CHECK(memcmp(b, "the child", 9) == 0);
  close(fds[0]), close(p[1]);

  /* A socket sent through itself is forgotten, not kept for ever. */
  for (i = 0; i < 50; i++) {
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    EXPECT(send_files(p[0], "s", 1, &p[1], 1), 1);
    close(p[0]), close(p[1]);
  }
}

static void credentials(void) {
  int p[2], on = 1;
  struct ucred u;
  socklen_t n = sizeof u;
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  EXPECT(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &u, &n), 0);
  EXPECT(u.pid, getpid());
  EXPECT(u.uid, geteuid());
  EXPECT(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  EXPECT(int_option(p[1], SO_PASSCRED), 1);
  pid_t child = fork();
  if (child == 0) _exit(write(p[0], "c", 1) == 1 ? 0 : 1);
  int status;
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  EXPECT(write(p[0], "p", 1), 1);
  /* Bytes of different senders are kept apart. */
  for (int i = 0; i < 2; i++) {
    union control c;
    char b[8];
    struct iovec iov = {b, 8};
    struct msghdr m = {0};
    m.msg_iov = &iov;
    m.msg_iovlen = 1;
    m.msg_control = c.bytes;
    m.msg_controllen = sizeof c;
    EXPECT(recvmsg(p[1], &m, 0), 1);
    EXPECT(b[0], i == 0 ? 'c' : 'p');
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h != NULL && h->cmsg_type == SCM_CREDENTIALS);
    if (h) {
      memcpy(&u, CMSG_DATA(h), sizeof u);
      EXPECT(u.pid, i == 0 ? child : getpid());
      EXPECT(u.uid, getuid());
    }
  }
  close(p[0]), close(p[1]);

  int fd = listener(SOCK_STREAM, "@who", 1);
  child = fork();
  if (child == 0) {
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect_to(c, "@who") != 0) _exit(1);
    n = sizeof u;
    if (getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &n) != 0 || u.pid != getppid()) _exit(2);
    char b;
    _exit(read(c, &b, 1) == 1 ? 0 : 3);
  }
  int s = accept(fd, NULL, NULL);
  n = sizeof u;
  EXPECT(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &n), 0);
  EXPECT(u.pid, child);
  EXPECT(write(s, "x", 1), 1);
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  close(s), close(fd);
}

/* --- options, time and signals --- */

static void options(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM, 0), v = 8192;
  EXPECT(int_option(fd, SO_TYPE), SOCK_STREAM);
  EXPECT(int_option(fd, SO_DOMAIN), AF_UNIX);
  EXPECT(int_option(fd, SO_PROTOCOL), 0);
  EXPECT(int_option(fd, SO_ACCEPTCONN), 0);
  EXPECT(int_option(fd, SO_SNDBUF), 212992);
  EXPECT(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, sizeof v), 0);
  EXPECT(int_option(fd, SO_SNDBUF), 16384);
  v = 1;
  EXPECT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &v, sizeof v), 0);
  EXPECT(int_option(fd, SO_RCVBUF), 2304);
  EXPECT(int_option(fd, 9999), -ENOPROTOOPT);
  EXPECT(result(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, 2)), -EINVAL);
  EXPECT(result(getsockopt(fd, 6, 1, &v, &(socklen_t){4})), -EOPNOTSUPP);
  close(fd);
}

static void *poke(void *arg) {
  usleep(60000);
  if (write(*(int *)arg, "z", 1) != 1) CHECK(0);
  return NULL;
}

static void waiting(void) {
  int p[2];
  char b[4];
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  struct timeval tv = {0, 30000}, seen;
  socklen_t n = sizeof seen;
  EXPECT(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv), 0);
  EXPECT(getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &seen, &n), 0);
  EXPECT(seen.tv_sec, 0);
  CHECK(seen.tv_usec >= 30000 && seen.tv_usec <= 40000);
  EXPECT(result(read(p[0], b, 1)), -EAGAIN);
  /* A signal ends a call with a timeout, whatever SA_RESTART says; one without goes on. */
  struct sigaction act = {0};
  act.sa_handler = on_alarm;
  act.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &act, NULL);
  tv.tv_sec = 5;
  setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  struct itimerval it = {{0, 0}, {0, 20000}};
  setitimer(ITIMER_REAL, &it, NULL);
  EXPECT(result(read(p[0], b, 1)), -EINTR);
  tv.tv_sec = tv.tv_usec = 0;
  setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
  pthread_t thread;
  pthread_create(&thread, NULL, poke, &p[1]);
  setitimer(ITIMER_REAL, &it, NULL);
  EXPECT(result(read(p[0], b, 1)), 1);
  pthread_join(thread, NULL);
  act.sa_flags = 0;
  sigaction(SIGALRM, &act, NULL);
  setitimer(ITIMER_REAL, &it, NULL);
  EXPECT(result(recv(p[0], b, 1, 0)), -EINTR);
  /* accept and connect wait the same way. */
  int fd = listener(SOCK_STREAM, "@slow", 0);
  setitimer(ITIMER_REAL, &it, NULL);
  EXPECT(result(accept(fd, NULL, NULL)), -EINTR);
  int c = socket(AF_UNIX, SOCK_STREAM, 0), d = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(connect_to(c, "@slow"), 0);
  tv.tv_usec = 30000;
  setsockopt(d, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
  EXPECT(connect_to(d, "@slow"), -EAGAIN);
  close(fd), close(c), close(d), close(p[0]), close(p[1]);
}

static void edges(void) {
  int fd = listener(SOCK_STREAM | SOCK_NONBLOCK, "@edges", 8), set = epoll_create1(0);
  struct epoll_event e = {EPOLLIN | EPOLLRDHUP | EPOLLET, {.fd = fd}}, out[4];
  epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
  EXPECT(epoll_wait(set, out, 4, 0), 0);
  int c = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(connect_to(c, "@edges"), 0);
  EXPECT(epoll_wait(set, out, 4, 0), 1);
  EXPECT(epoll_wait(set, out, 4, 0), 0);
  int s = accept(fd, NULL, NULL);
  e.data.fd = s;
  epoll_ctl(set, EPOLL_CTL_ADD, s, &e);
  EXPECT(write(c, "1", 1), 1);
  EXPECT(epoll_wait(set, out, 4, 0), 1);
  EXPECT(write(c, "2", 1), 1);
  EXPECT(epoll_wait(set, out, 4, 0), 1);
  EXPECT(out[0].events, EPOLLIN);
  shutdown(c, SHUT_WR);
  EXPECT(epoll_wait(set, out, 4, 0), 1);
  EXPECT(out[0].events, EPOLLIN | EPOLLRDHUP);
  close(c);
  EXPECT(epoll_wait(set, out, 4, 0), 1);
  EXPECT(out[0].events, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
  close(s), close(fd), close(set);
}

/* As long as a socket lives, no other file gets the inode number of its removed name (by which servers know their own name). */
static void a_removed_name(void) {
  struct sockaddr_un a;
  char path[200];
  int fd = socket(AF_UNIX, SOCK_STREAM, 0), same = 0;
  socklen_t size = named(&a, "removed");
  EXPECT(bind(fd, (struct sockaddr *)&a, size), 0);
  struct stat before, after;
  EXPECT(stat(a.sun_path, &before), 0);
  EXPECT(unlink(a.sun_path), 0);
  for (int i = 0; i < 8; i++) {
    snprintf(path, sizeof path, "%s/other%d", folder, i);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    EXPECT(stat(path, &after), 0);
    same += after.st_ino == before.st_ino && after.st_dev == before.st_dev;
    unlink(path);
  }
  EXPECT(same, 0);
  close(fd);
}

int main(int argc, char **argv) {
  folder = argc > 1 ? argv[1] : ".";
  struct sigaction act = {0};
  act.sa_handler = on_pipe;
  sigaction(SIGPIPE, &act, NULL);
  names();
  backlog();
  ends();
  much();
  packets();
  many_messages();
  descriptors();
  credentials();
  options();
  waiting();
  edges();
  a_removed_name();
  return report("unixsockets");
}
