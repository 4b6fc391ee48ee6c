/* Leases on files (F_SETLEASE): who may have one, and what others wait for. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

static char path[4096];
static volatile sig_atomic_t signals, code, descriptor, band;
static void on_signal(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  signals++;
  code = info->si_code;
  descriptor = info->si_fd;
  band = (int)info->si_band;
}
static void nap(void) {
  struct timespec t = {0, 5000000};
  nanosleep(&t, NULL);
}
static int lease(int fd, int type) { return fcntl(fd, F_SETLEASE, type) == 0 ? 0 : -errno; }
static int has(int fd) { return fcntl(fd, F_GETLEASE); }
static int try_open(int flags) {
  int fd = open(path, flags | O_NONBLOCK);
  if (fd < 0) return -errno;
  close(fd);
  return 0;
}
/* A process that opens the file, or cuts it, and is through with that after the holder has done `type`. */
static void opened_by_another(int fd, int flags, int type, int told) {
  int status;
  signals = 0;
  pid_t pid = fork();
  if (pid == 0) _exit((flags < 0 ? truncate(path, 3) : open(path, flags)) < 0);
  while (signals == 0) nap();
  EXPECT(has(fd), told);
  EXPECT(waitpid(pid, &status, WNOHANG), 0);
  EXPECT(lease(fd, type), 0);
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT(signals, 1);
}

int main(int argc, char **argv) {
  int pipes[2], status;
  snprintf(path, sizeof path, "%s/leased", argc > 1 ? argv[1] : "/tmp");
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGIO, &action, NULL);
  sigaction(SIGRTMIN, &action, NULL);
  int writer = open(path, O_CREAT | O_RDWR | O_TRUNC, 0666);
  CHECK(writer >= 0 && pipe(pipes) == 0 && fchmod(writer, 0666) == 0);

  EXPECT(has(writer), F_UNLCK);
  EXPECT(lease(writer, F_RDLCK), -EAGAIN);
  EXPECT(lease(writer, F_UNLCK), -EAGAIN);
  EXPECT(lease(writer, 7), -EINVAL);
  EXPECT(lease(pipes[0], F_RDLCK), -EINVAL);
  EXPECT(lease(99, F_RDLCK), -EBADF);
  EXPECT(lease(writer, F_WRLCK), 0);
  EXPECT(has(writer), F_WRLCK);
  EXPECT(lease(writer, F_WRLCK), 0);
  EXPECT(lease(writer, F_UNLCK), 0);
  EXPECT(has(writer), F_UNLCK);
  int reader = open(path, O_RDONLY), second = open(path, O_RDONLY);
  EXPECT(lease(writer, F_WRLCK), -EAGAIN);
  EXPECT(lease(reader, F_RDLCK), -EAGAIN);
  close(writer);

  /* Leases to read are shared, one to write is not. */
  EXPECT(lease(reader, F_WRLCK), -EAGAIN);
  EXPECT(lease(reader, F_RDLCK), 0);
  EXPECT(lease(second, F_RDLCK), 0);
  EXPECT(has(reader), F_RDLCK);
  EXPECT(try_open(O_RDONLY), 0);
  EXPECT(signals, 0);
  close(second);
  EXPECT(lease(reader, F_WRLCK), 0);
  EXPECT(lease(reader, F_RDLCK), 0);

  /* Another's wish to write ends it. */
  EXPECT(fcntl(reader, F_GETOWN), getpid());
  EXPECT(try_open(O_WRONLY), -EAGAIN);
  EXPECT(signals, 1);
  EXPECT(has(reader), F_UNLCK);
  EXPECT(try_open(O_RDWR | O_CREAT), -EAGAIN);
  EXPECT(try_open(O_RDONLY | O_TRUNC), 0);
  EXPECT(signals, 1);
  EXPECT(lease(reader, F_UNLCK), 0);
  EXPECT(try_open(O_WRONLY), 0);
  EXPECT(lease(reader, F_RDLCK), 0);
  opened_by_another(reader, O_WRONLY, F_UNLCK, F_UNLCK);
  EXPECT(lease(reader, F_RDLCK), 0);
  opened_by_another(reader, -1, F_UNLCK, F_UNLCK);

  /* One to write becomes one to read for another reader. */
  EXPECT(fcntl(reader, F_SETSIG, SIGRTMIN), 0);
  EXPECT(lease(reader, F_WRLCK), 0);
  opened_by_another(reader, O_RDONLY, F_RDLCK, F_RDLCK);
  EXPECT(has(reader), F_RDLCK);
  EXPECT(code, 3 /* POLL_MSG */);
  EXPECT(descriptor, reader);
  EXPECT(lease(reader, F_UNLCK), 0);
  EXPECT(lease(reader, F_WRLCK), 0);
  opened_by_another(reader, O_RDWR, F_UNLCK, F_UNLCK);

  /* A signal ends the wait; the lease goes with its open file, however many descriptors there were. */
  EXPECT(lease(reader, F_WRLCK), 0);
  signals = 0;
  pid_t pid = fork();
  if (pid == 0) {
    struct sigaction plain = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    close(reader);
    sigaction(SIGUSR1, &plain, NULL);
    _exit(open(path, O_WRONLY) < 0 ? errno : 0);
  }
  while (signals == 0) nap();
  for (int i = 0; i < 3; i++) nap();
  kill(pid, SIGUSR1);
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == EINTR);
  int copy = dup(reader);
  close(reader);
  EXPECT(has(copy), F_UNLCK);
  EXPECT(try_open(O_WRONLY), -EAGAIN);
  close(copy);
  EXPECT(try_open(O_WRONLY), 0);

  /* Files of others are not leased to everybody. */
  if (getuid() == 0) {
    pid = fork();
    if (pid == 0) {
      if (setresuid(1000, 1000, 1000) != 0) _exit(1);
      int fd = open(path, O_RDONLY);
      _exit(fd >= 0 && lease(fd, F_RDLCK) == -EACCES ? 0 : 2);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  unlink(path);
  return report("leases");
}
