/* splice, tee, vmsplice, sendfile, copy_file_range: bytes from file to file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

static char path[256], second[256], text[200];

static long result(long value) { return value < 0 ? -errno : value; }

static int holds(int fd, const char *expected) {
  memset(text, 0, sizeof text);
  return read(fd, text, sizeof text) == (ssize_t)strlen(expected) && strcmp(text, expected) == 0;
}

static void pipes(void) {
  int a[2], b[2], file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(pipe(a) == 0 && pipe(b) == 0);
  write(file, "0123456789", 10);
  loff_t from = 2, to = 20;
  EXPECT(result(splice(file, &from, a[1], NULL, 5, 0)), 5);
  EXPECT(from, 7);
  EXPECT(lseek(file, 0, SEEK_CUR), 10);
  EXPECT(result(splice(a[0], NULL, b[1], NULL, 3, 0)), 3);
  CHECK(holds(b[0], "234"));
  EXPECT(result(splice(a[0], NULL, file, &to, 10, 0)), 2);
  EXPECT(to, 22);
  EXPECT(result(splice(a[0], NULL, b[1], NULL, 3, SPLICE_F_NONBLOCK)), -EAGAIN);
  EXPECT(result(splice(a[0], NULL, b[1], NULL, 0, 0)), 0);
  EXPECT(result(splice(a[0], NULL, b[1], NULL, 3, 64)), -EINVAL);
  EXPECT(result(splice(a[0], NULL, a[1], NULL, 3, 0)), -EINVAL);
  EXPECT(result(splice(file, NULL, file, NULL, 3, 0)), -EINVAL);
  EXPECT(result(splice(a[0], &from, b[1], NULL, 3, 0)), -ESPIPE);
  EXPECT(result(splice(file, NULL, a[1], &from, 3, 0)), -ESPIPE);
  EXPECT(result(splice(a[1], NULL, b[1], NULL, 3, 0)), -EBADF);
  EXPECT(result(splice(a[0], NULL, b[0], NULL, 3, 0)), -EBADF);
  EXPECT(result(splice(99, NULL, b[0], NULL, 3, 0)), -EBADF);
  int appending = open(path, O_WRONLY | O_APPEND);
  write(a[1], "x", 1);
  EXPECT(result(splice(a[0], NULL, appending, NULL, 3, 0)), -EINVAL);
  CHECK(holds(a[0], "x"));
  /* tee leaves what it copies. */
  write(a[1], "tee", 3);
  EXPECT(result(tee(a[0], b[1], 2, 0)), 2);
  CHECK(holds(b[0], "te"));
  CHECK(holds(a[0], "tee"));
  EXPECT(result(tee(a[0], b[1], 2, SPLICE_F_NONBLOCK)), -EAGAIN);
  EXPECT(result(tee(a[0], a[1], 2, 0)), -EINVAL);
  EXPECT(result(tee(file, b[1], 2, 0)), -EINVAL);
  /* vmsplice both ways. */
  char one[] = "vm", two[] = "splice";
  struct iovec pieces[2] = {{one, 2}, {two, 6}};
  EXPECT(result(vmsplice(a[1], pieces, 2, 0)), 8);
  CHECK(holds(a[0], "vmsplice"));
  write(a[1], "ABCDEFGH", 8);
  EXPECT(result(vmsplice(a[0], pieces, 2, 0)), 8);
  CHECK(memcmp(one, "AB", 2) == 0 && memcmp(two, "CDEFGH", 6) == 0);
  EXPECT(result(vmsplice(a[0], pieces, 2, SPLICE_F_NONBLOCK)), -EAGAIN);
  EXPECT(result(vmsplice(file, pieces, 2, 0)), -EBADF);
  EXPECT(result(vmsplice(a[1], pieces, 2, 64)), -EINVAL);
  EXPECT(result(vmsplice(a[1], pieces, 0, 0)), 0);
  EXPECT(result(vmsplice(a[1], pieces, 1025, 0)), -EINVAL);
  static char page[65536] __attribute__((aligned(65536)));
  pieces[0].iov_base = page;
  pieces[0].iov_len = sizeof page;
  EXPECT(result(vmsplice(a[1], pieces, 1, 0)), 65536);
  EXPECT(result(vmsplice(a[1], pieces, 1, SPLICE_F_NONBLOCK)), -EAGAIN);
  close(a[0]);
  signal(SIGPIPE, SIG_IGN);
  EXPECT(result(vmsplice(a[1], pieces, 1, 0)), -EPIPE);
  close(a[1]);
  close(b[0]);
  close(b[1]);
  close(file);
  close(appending);
}

static void files(void) {
  int from = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), to = open(second, O_RDWR | O_CREAT | O_TRUNC, 0600), ends[2];
  write(from, "abcdefghij", 10);
  off_t offset = 3;
  EXPECT(result(sendfile(to, from, &offset, 4)), 4);
  EXPECT(offset, 7);
  lseek(from, 8, SEEK_SET);
  EXPECT(result(sendfile(to, from, NULL, 100)), 2);
  EXPECT(result(sendfile(to, from, NULL, 100)), 0);
  lseek(to, 0, SEEK_SET);
  CHECK(holds(to, "defgij"));
  CHECK(pipe(ends) == 0);
  offset = 0;
  EXPECT(result(sendfile(ends[1], from, &offset, 3)), 3);
  CHECK(holds(ends[0], "abc"));
  EXPECT(result(sendfile(to, 99, NULL, 1)), -EBADF);
  int reading = open(path, O_RDONLY);
  EXPECT(result(sendfile(reading, from, NULL, 1)), -EBADF);
  loff_t in = 5, out = 0;
  EXPECT(result(copy_file_range(from, &in, to, &out, 3, 0)), 3);
  EXPECT(in * 100 + out, 803);
  lseek(to, 0, SEEK_SET);
  CHECK(holds(to, "fghgij"));
  EXPECT(result(copy_file_range(from, &in, to, &out, 3, 1)), -EINVAL);
  EXPECT(result(copy_file_range(from, &in, reading, &out, 3, 0)), -EBADF);
  EXPECT(result(copy_file_range(from, &in, ends[1], NULL, 3, 0)), -EINVAL);
  in = 100;
  EXPECT(result(copy_file_range(from, &in, to, &out, 3, 0)), 0);
  /* Within one file, but not onto itself. */
  in = 0;
  out = 5;
  EXPECT(result(copy_file_range(from, &in, from, &out, 5, 0)), 5);
  in = 0;
  out = 3;
  EXPECT(result(copy_file_range(from, &in, from, &out, 5, 0)), -EINVAL);
  /* As much as there is does not reach that far. */
  in = 0;
  out = 50;
  EXPECT(result(copy_file_range(from, &in, from, &out, 1000, 0)), 10);
  int appending = open(second, O_WRONLY | O_APPEND);
  in = 0;
  EXPECT(result(copy_file_range(from, &in, appending, NULL, 3, 0)), -EBADF);
  int directory = open("/", O_RDONLY | O_DIRECTORY);
  EXPECT(result(copy_file_range(directory, NULL, to, NULL, 3, 0)), -EISDIR);
}

/* Memory goes into a pipe as far as there is room; only a full pipe is waited for. */
static void more_than_a_pipe_holds(void) {
  static char much[100000] __attribute__((aligned(4096))), back[100000];
  int p[2];
  CHECK(pipe(p) == 0 && fcntl(p[1], F_SETPIPE_SZ, 65536) == 65536);
  memset(much, 'x', sizeof much);
  struct iovec vector = {much, sizeof much};
  long in = result(vmsplice(p[1], &vector, 1, 0));
  CHECK(in > 0 && in <= 65536);
  EXPECT(result(vmsplice(p[1], &vector, 1, SPLICE_F_NONBLOCK)), in < 65536 ? 65536 - in : -EAGAIN);
  EXPECT(read(p[0], back, sizeof back), 65536);
  EXPECT(memcmp(much, back, 65536), 0);
  close(p[0]);
  close(p[1]);
}

/* What has no bytes to go anywhere is refused, and not waited for. */
static void to_what_has_no_bytes(void) {
  int p[2], file = open(path, O_RDWR);
  CHECK(pipe(p) == 0);
  sigset_t set;
  sigemptyset(&set);
  int kinds[] = {eventfd(0, 0), epoll_create1(0), timerfd_create(CLOCK_MONOTONIC, 0), signalfd(-1, &set, 0)};
  for (int i = 0; i < 4; i++) {
    CHECK(kinds[i] >= 0);
    EXPECT(result(splice(p[0], NULL, kinds[i], NULL, 1, 0)), -EINVAL);
    EXPECT(result(splice(kinds[i], NULL, p[1], NULL, 1, 0)), -EINVAL);
    EXPECT(result(sendfile(kinds[i], file, NULL, 1)), -EINVAL);
    close(kinds[i]);
  }
  close(p[0]);
  close(p[1]);
  close(file);
}

int main(int argc, char **argv) {
  snprintf(path, sizeof path, "%s/spliced", argc > 1 ? argv[1] : "/tmp");
  snprintf(second, sizeof second, "%s/second", argc > 1 ? argv[1] : "/tmp");
  pipes();
  files();
  more_than_a_pipe_holds();
  to_what_has_no_bytes();
  unlink(path);
  unlink(second);
  return report("splices");
}
