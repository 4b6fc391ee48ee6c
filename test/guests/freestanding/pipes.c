/* Pipes, eventfd, poll and epoll. */
#include "sys.h"

static i32 ends[2];

static void *writeLater(void *argument) {
  sleepNs(20000000);
  sys(__NR_write, (long)argument, "hello", 5);
  return NULL;
}

static void *drain(void *argument) {
  static u8 buffer[4096];
  u64 total = 0;
  for (;;) {
    long n = sys(__NR_read, (long)argument, buffer, sizeof buffer);
    if (n <= 0) return (void *)(n < 0 ? n : (long)total);
    total += n;
  }
}

static void pipes(void) {
  static struct thread t;
  u8 buffer[16];
  EXPECT(sys(__NR_pipe2, ends, 0x10000000), -EINVAL);
  EXPECT(sys(__NR_pipe2, NULL, 0), -EFAULT);
  EXPECT(sys(__NR_pipe2, ends, O_CLOEXEC), 0);
  EXPECT(sys(__NR_fcntl, ends[0], F_GETFD), FD_CLOEXEC);
  EXPECT(threadStart(&t, writeLater, (void *)(long)ends[1]), 0);
  EXPECT(sys(__NR_read, ends[0], buffer, 16), 5);
  CHECK(sameBytes(buffer, "hello", 5));
  threadJoin(&t);
  EXPECT(sys(__NR_lseek, ends[0], 0, 0), -ESPIPE);
  EXPECT(sys(__NR_write, ends[0], "x", 1), -EBADF);
  EXPECT(sys(__NR_read, ends[1], buffer, 1), -EBADF);
  /* More than fits. */
  u64 bytes = 300000;
  u8 *data = allocate(bytes);
  EXPECT(threadStart(&t, drain, (void *)(long)ends[0]), 0);
  EXPECT(sys(__NR_write, ends[1], data, bytes), bytes);
  EXPECT(sys(__NR_close, ends[1]), 0);
  EXPECT(threadJoin(&t), bytes);
  EXPECT(sys(__NR_read, ends[0], buffer, 1), 0);
  EXPECT(sys(__NR_close, ends[0]), 0);
  /* Without waiting. */
  EXPECT(sys(__NR_pipe2, ends, O_NONBLOCK), 0);
  EXPECT(sys(__NR_read, ends[0], buffer, 1), -EAGAIN);
  long room = 0, n;
  while ((n = sys(__NR_write, ends[1], data, 4096)) > 0) room += n;
  EXPECT(n, -EAGAIN);
  EXPECT(room, 65536);
  i32 queued = 0;
  EXPECT(sys(__NR_ioctl, ends[0], 0x541b /* FIONREAD */, &queued), 0);
  EXPECT(queued, 65536);
  EXPECT(sys(__NR_close, ends[0]), 0);
  EXPECT(sys(__NR_close, ends[1]), 0);
  EXPECT(sys(__NR_close, ends[1]), -EBADF);
}

static void polling(void) {
  static struct thread t;
  u8 buffer[16];
  struct __kernel_timespec zero = {0, 0}, brief = {0, 20000000};
  EXPECT(sys(__NR_pipe2, ends, 0), 0);
  struct pollfd p[3] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLOUT}, {.fd = -1, .events = POLLIN}};
  EXPECT(sys(__NR_ppoll, p, 3, &zero, NULL, 8), 1);
  EXPECT(p[0].revents, 0);
  EXPECT(p[1].revents, POLLOUT);
  EXPECT(p[2].revents, 0);
  u64 start = now();
  EXPECT(sys(__NR_ppoll, p, 1, &brief, NULL, 8), 0);
  CHECK(now() - start >= 19000000);
  EXPECT(threadStart(&t, writeLater, (void *)(long)ends[1]), 0);
  brief.tv_sec = 10;
  EXPECT(sys(__NR_ppoll, p, 1, &brief, NULL, 8), 1);
  EXPECT(p[0].revents, POLLIN);
  threadJoin(&t);
  EXPECT(sys(__NR_read, ends[0], buffer, 16), 5);
  EXPECT(sys(__NR_close, ends[1]), 0);
  EXPECT(sys(__NR_ppoll, p, 1, &zero, NULL, 8), 1);
  EXPECT(p[0].revents, POLLHUP);
  p[1].fd = 900;
  EXPECT(sys(__NR_ppoll, p + 1, 1, &zero, NULL, 8), 1);
  EXPECT(p[1].revents, POLLNVAL);
  EXPECT(sys(__NR_ppoll, 16, 1, &zero, NULL, 8), -EFAULT);
  EXPECT(sys(__NR_close, ends[0]), 0);
  /* pselect with sets. */
  EXPECT(sys(__NR_pipe2, ends, 0), 0);
  u64 in[2] = {1UL << ends[0], 0}, outSet[2] = {1UL << ends[1], 0};
  EXPECT(sys(__NR_pselect6, ends[1] + 1, in, outSet, NULL, &zero, NULL), 1);
  EXPECT(in[0], 0);
  EXPECT(outSet[0], 1UL << ends[1]);
  sys(__NR_write, ends[1], "x", 1);
  in[0] = 1UL << ends[0];
  EXPECT(sys(__NR_pselect6, ends[1] + 1, in, NULL, NULL, NULL, NULL), 1);
  EXPECT(in[0], 1UL << ends[0]);
  EXPECT(sys(__NR_close, ends[0]), 0);
  EXPECT(sys(__NR_close, ends[1]), 0);
}

static void *writeEvent(void *argument) {
  u64 value = 3;
  sleepNs(20000000);
  sys(__NR_write, (long)argument, &value, 8);
  return NULL;
}

static void events(void) {
  static struct thread t;
  u64 value = 0;
  long fd = sys(__NR_eventfd2, 5, O_NONBLOCK);
  CHECK(fd >= 0);
  EXPECT(sys(__NR_read, fd, &value, 8), 8);
  EXPECT(value, 5);
  EXPECT(sys(__NR_read, fd, &value, 8), -EAGAIN);
  EXPECT(sys(__NR_read, fd, &value, 4), -EINVAL);
  value = -1UL;
  EXPECT(sys(__NR_write, fd, &value, 8), -EINVAL);
  value = -2UL;
  EXPECT(sys(__NR_write, fd, &value, 8), 8);
  value = 1;
  EXPECT(sys(__NR_write, fd, &value, 8), -EAGAIN);
  EXPECT(sys(__NR_close, fd), 0);
  fd = sys(__NR_eventfd2, 0, 0);
  EXPECT(threadStart(&t, writeEvent, (void *)fd), 0);
  EXPECT(sys(__NR_read, fd, &value, 8), 8);
  EXPECT(value, 3);
  threadJoin(&t);
  EXPECT(sys(__NR_close, fd), 0);
  fd = sys(__NR_eventfd2, 2, 1 /* EFD_SEMAPHORE */);
  EXPECT(sys(__NR_read, fd, &value, 8), 8);
  EXPECT(value, 1);
  EXPECT(sys(__NR_read, fd, &value, 8), 8);
  EXPECT(value, 1);
  EXPECT(sys(__NR_close, fd), 0);
}

static void epolls(void) {
  static struct thread t;
  long poll = sys(__NR_epoll_create1, O_CLOEXEC);
  CHECK(poll >= 0);
  EXPECT(sys(__NR_epoll_create1, 77), -EINVAL);
  EXPECT(sys(__NR_pipe2, ends, O_NONBLOCK), 0);
  struct epoll_event event = {.events = EPOLLIN, .data = 0x1234567890UL}, seen[4];
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, ends[0], &event), 0);
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, ends[0], &event), -EEXIST);
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_MOD, ends[1], &event), -ENOENT);
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_DEL, ends[1], NULL), -ENOENT);
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, poll, &event), -EINVAL);
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, 900, &event), -EBADF);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 0);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 0, 0, NULL, 8), -EINVAL);
  EXPECT(sys(__NR_epoll_pwait, ends[0], seen, 4, 0, NULL, 8), -EINVAL);
  EXPECT(threadStart(&t, writeLater, (void *)(long)ends[1]), 0);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 10000, NULL, 8), 1);
  EXPECT(seen[0].events, EPOLLIN);
  EXPECT(seen[0].data, 0x1234567890UL);
  threadJoin(&t);
  /* Level: it stays. Edge: it comes once, and again with new data. */
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 1);
  event.events = EPOLLIN | EPOLLET;
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_MOD, ends[0], &event), 0);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 1);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 0);
  sys(__NR_write, ends[1], "x", 1);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 1);
  /* One shot. */
  event.events = EPOLLIN | EPOLLONESHOT;
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_MOD, ends[0], &event), 0);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 1);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 0);
  sys(__NR_write, ends[1], "x", 1);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 0);
  /* Several, and a timeout. */
  long counter = sys(__NR_eventfd2, 1, 0);
  event.events = EPOLLIN | EPOLLOUT;
  event.data = 7;
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, counter, &event), 0);
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 0, NULL, 8), 1);
  EXPECT(seen[0].events, EPOLLIN | EPOLLOUT);
  EXPECT(seen[0].data, 7);
  EXPECT(sys(__NR_close, counter), 0);
  u64 start = now();
  EXPECT(sys(__NR_epoll_pwait, poll, seen, 4, 20, NULL, 8), 0);
  CHECK(now() - start >= 19000000);
  sys(__NR_close, ends[0]);
  sys(__NR_close, ends[1]);
  sys(__NR_close, poll);
}

int pipesMain(int argc, char **argv) {
  (void)argc, (void)argv;
  pipes();
  polling();
  events();
  epolls();
  return report("pipes");
}
