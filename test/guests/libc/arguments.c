/* What calls make of arguments that programs seldom give them: each line asks for one error, or one result. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_send_signal 424
#define SYS_pidfd_open 434
#define SYS_pidfd_getfd 438
#endif
#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE (1u << 28)
#endif

struct how { uint64_t flags, mode, resolve; };
enum { NO_XDEV = 1, NO_MAGICLINKS = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16 };

static int error(long result) { return result < 0 ? errno : 0; }

static int opened(int dirfd, const char *path, uint64_t flags, uint64_t resolve) {
  struct how how = {flags, 0, resolve};
  int fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

static void touch(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT, 0644);
  CHECK(fd >= 0 && write(fd, path, strlen(path)) > 0);
  close(fd);
}

static void resolution(void) {
  EXPECT(mkdir("root", 0755), 0);
  EXPECT(mkdir("root/etc", 0755), 0);
  touch("root/etc/name");
  touch("outside");
  EXPECT(symlink("/etc/name", "root/absolute"), 0);
  EXPECT(symlink("../outside", "root/up"), 0);
  EXPECT(symlink("etc/name", "root/relative"), 0);
  EXPECT(symlink("..", "root/etc/dots"), 0);
  int root = open("root", O_RDONLY | O_DIRECTORY);
  EXPECT(opened(root, "etc/name", O_RDONLY, BENEATH), 0);
  EXPECT(opened(root, "etc/../etc/name", O_RDONLY, BENEATH), 0);
  EXPECT(opened(root, "../outside", O_RDONLY, BENEATH), EXDEV);
  EXPECT(opened(root, "up", O_RDONLY, BENEATH), EXDEV);
  EXPECT(opened(root, "absolute", O_RDONLY, BENEATH), EXDEV);
  EXPECT(opened(root, "/etc/name", O_RDONLY, BENEATH), EXDEV);
  EXPECT(opened(root, "relative", O_RDONLY, BENEATH), 0);
  EXPECT(opened(root, "etc/name", O_RDONLY, IN_ROOT), 0);
  EXPECT(opened(root, "/etc/name", O_RDONLY, IN_ROOT), 0);
  EXPECT(opened(root, "absolute", O_RDONLY, IN_ROOT), 0);
  EXPECT(opened(root, "up", O_RDONLY, IN_ROOT), ENOENT);
  EXPECT(opened(root, "../../etc/name", O_RDONLY, IN_ROOT), 0);
  EXPECT(opened(root, "etc/dots/etc/name", O_RDONLY, IN_ROOT), 0);
  EXPECT(opened(root, "/proc/version", O_RDONLY, IN_ROOT), ENOENT);
  EXPECT(opened(root, "etc/name", O_RDONLY, IN_ROOT | BENEATH), EINVAL);
  EXPECT(opened(root, "relative", O_RDONLY, NO_SYMLINKS), ELOOP);
  EXPECT(opened(root, "etc/name", O_RDONLY, NO_SYMLINKS), 0);
  EXPECT(opened(root, "relative", O_RDONLY, NO_MAGICLINKS), 0);
  EXPECT(opened(AT_FDCWD, "/proc/self/exe", O_RDONLY, NO_MAGICLINKS), ELOOP);
  EXPECT(opened(AT_FDCWD, "/proc/self/status", O_RDONLY, NO_MAGICLINKS), 0);
  EXPECT(opened(AT_FDCWD, "/proc/version", O_RDONLY, NO_XDEV), EXDEV);
  EXPECT(opened(root, "etc/name", O_RDONLY, NO_XDEV), 0);
  EXPECT(opened(root, "etc/name", O_RDONLY, 64), EINVAL);
  close(root);
}

static void names(void) {
  char buffer[64];
  int file = open("outside", O_RDONLY);
  EXPECT(error(syscall(SYS_readlinkat, AT_FDCWD, "", buffer, sizeof buffer)), ENOENT);
  EXPECT(error(syscall(SYS_readlinkat, file, "", buffer, sizeof buffer)), ENOENT);
  EXPECT(error(syscall(SYS_fchmodat, file, "", 0777)), ENOENT);
  EXPECT(error(syscall(SYS_fchmodat, file, "x", 0777)), ENOTDIR);
  EXPECT(error(syscall(SYS_mknodat, AT_FDCWD, "node", S_IFDIR | 0755, 0)), EPERM);
  EXPECT(error(syscall(SYS_mknodat, AT_FDCWD, "node", S_IFMT | 0755, 0)), EINVAL);
  EXPECT(error(syscall(SYS_mknodat, AT_FDCWD, "node", S_IFLNK | 0755, 0)), EINVAL);
  EXPECT(error(syscall(SYS_getcwd, NULL, -1L)), EFAULT);
  EXPECT(error(syscall(SYS_getcwd, buffer, 1L)), ERANGE);
  close(file);
  /* A file without a name gets one. */
  int temporary = open(".", O_RDWR | O_TMPFILE, 0600);
  if (temporary >= 0) {
    char path[64];
    CHECK(write(temporary, "kept", 4) == 4);
    sprintf(path, "/proc/self/fd/%d", temporary);
    EXPECT(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    EXPECT(error(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW)), EEXIST);
    close(temporary);
  } else touch("named");
  struct stat st;
  CHECK(stat("named", &st) == 0 && st.st_nlink == 1 && st.st_size > 3);
}

static void sizes(void) {
  int file = open("outside", O_RDWR), pipes[2];
  CHECK(pipe(pipes) == 0);
  EXPECT(error(syscall(SYS_sync_file_range, file, 0L, 1L, 8)), EINVAL);
  EXPECT(error(syscall(SYS_sync_file_range, file, -1L, 1L, 1)), EINVAL);
  EXPECT(error(syscall(SYS_sync_file_range, file, 0L, -1L, 1)), EINVAL);
  EXPECT(error(syscall(SYS_sync_file_range, pipes[0], 0L, 1L, 4)), ESPIPE);
  EXPECT(error(syscall(SYS_sync_file_range, file, 0L, 0L, 7)), 0);
  EXPECT(error(fallocate(file, 1, LLONG_MAX / 1024 * 1024, 1024)), EFBIG);
  EXPECT(error(fallocate(file, 1, 1024, LLONG_MAX / 1024 * 1024)), EFBIG);
  int directory = open(".", O_RDONLY | O_DIRECTORY);
  EXPECT(error(splice(directory, NULL, pipes[1], NULL, 1, 0)), EINVAL);
  close(directory);
  close(pipes[0]);
  close(pipes[1]);
  close(file);
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit limit = {100, 100};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(error(truncate("outside", 200)) == EFBIG && error(truncate("outside", 50)) == 0 ? 0 : 1);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT(status, 0);
}

static void epolls(void) {
  int pipes[2], below[7], above[7];
  struct epoll_event event = {.events = EPOLLIN};
  CHECK(pipe(pipes) == 0);
  /* Five sets within each other, however they came there. */
  for (int i = 0; i < 6; i++) {
    below[i] = epoll_create1(0);
    EXPECT(error(epoll_ctl(below[i], EPOLL_CTL_ADD, i == 0 ? pipes[0] : below[i - 1], &event)), i < 5 ? 0 : ELOOP);
  }
  for (int i = 0; i < 6; i++) above[i] = epoll_create1(0);
  for (int i = 0; i < 5; i++)
    EXPECT(error(epoll_ctl(above[i], EPOLL_CTL_ADD, above[i + 1], &event)), i < 4 ? 0 : ELOOP);
  /* EPOLLEXCLUSIVE. */
  int set = epoll_create1(0);
  event.events = EPOLLIN | EPOLLEXCLUSIVE;
  EXPECT(error(epoll_ctl(set, EPOLL_CTL_ADD, above[5], &event)), EINVAL);
  EXPECT(error(epoll_ctl(set, EPOLL_CTL_ADD, pipes[0], &event)), 0);
  EXPECT(error(epoll_ctl(set, EPOLL_CTL_MOD, pipes[0], &event)), EINVAL);
  event.events = EPOLLIN;
  EXPECT(error(epoll_ctl(set, EPOLL_CTL_MOD, pipes[0], &event)), EINVAL);
  event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
  EXPECT(error(epoll_ctl(set, EPOLL_CTL_ADD, pipes[1], &event)), EINVAL);
  event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLPRI;
  EXPECT(error(epoll_ctl(set, EPOLL_CTL_ADD, pipes[1], &event)), EINVAL);
  CHECK(write(pipes[1], "x", 1) == 1);
  EXPECT(epoll_wait(set, &event, 1, 0), 1);
  for (int i = 0; i < 6; i++) close(below[i]), close(above[i]);
  close(set);
  close(pipes[0]);
  close(pipes[1]);
}

/* Memory that ends in the middle of a write: whole pages of it are written. */
static void faults(void) {
  const long size = 33 * 4096;
  int pipes[2], left = -1;
  CHECK(pipe2(pipes, O_NONBLOCK) == 0);
  CHECK(fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20) > 0);
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *end = memory + size - 4096;
  memset(memory, 'x', size - 4096);
  CHECK(mprotect(end, 4096, PROT_NONE) == 0);
  EXPECT(error(write(pipes[1], end, 10)), EFAULT);
  EXPECT(error(write(pipes[1], end - 100, 200)), EFAULT);
  EXPECT(ioctl(pipes[0], FIONREAD, &left), 0);
  EXPECT(left, 0);
  EXPECT(write(pipes[1], end - 5000, 6000), 4096);
  EXPECT(write(pipes[1], memory, size - 4000), size - 4096);
  EXPECT(ioctl(pipes[0], FIONREAD, &left), 0);
  EXPECT(left, 4096 + size - 4096);
  munmap(memory, size);
  close(pipes[0]);
  close(pipes[1]);
}

static void times(void) {
  struct timespec none = {0, 0}, wrong = {0, -1};
  const int sleepless[] = {CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
  for (int i = 0; i < 4; i++) EXPECT(error(syscall(SYS_clock_nanosleep, sleepless[i], 0, &none, NULL)), EOPNOTSUPP);
  EXPECT(error(syscall(SYS_clock_nanosleep, 99, 0, &none, NULL)), EINVAL);
  EXPECT(error(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wrong, NULL)), EINVAL);
  int slack = prctl(PR_GET_TIMERSLACK);
  CHECK(slack > 0);
  EXPECT(prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0), 0);
  EXPECT(prctl(PR_GET_TIMERSLACK), 1);
  EXPECT(prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0), 0);
  EXPECT(prctl(PR_GET_TIMERSLACK), slack);
}

static void processes(void) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) for (;;) pause();
  char path[64];
  sprintf(path, "/proc/%d", child);
  int directory = open(path, O_RDONLY | O_DIRECTORY), other = open("/proc", O_RDONLY | O_DIRECTORY);
  EXPECT(error(syscall(SYS_pidfd_send_signal, directory, 0, NULL, 0)), 0);
  EXPECT(error(syscall(SYS_pidfd_send_signal, other, 0, NULL, 0)), EBADF);
  EXPECT(error(syscall(SYS_pidfd_getfd, directory, 0, 0)), EBADF);
  EXPECT(error(syscall(SYS_pidfd_send_signal, directory, SIGKILL, NULL, 0)), 0);
  int status = -1;
  EXPECT(waitpid(child, &status, 0), child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT(error(syscall(SYS_pidfd_send_signal, directory, 0, NULL, 0)), ESRCH);
  close(directory);
  close(other);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  EXPECT(chdir(argv[1]), 0);
  resolution();
  names();
  sizes();
  epolls();
  faults();
  times();
  processes();
  return report("arguments");
}
