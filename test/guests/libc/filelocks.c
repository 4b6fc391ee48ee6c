/* File locks: fcntl's, of open files, flock; among processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

static char path[256];

static int error(long result) { return result < 0 ? errno : 0; }

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static int exit_code(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int lock(int fd, int command, int type, off_t start, off_t length) {
  struct flock wanted = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &wanted) < 0 ? -errno : 0;
}

/* Who has a lock in the way: F_UNLCK 2 when nobody. */
static struct flock blocker(int fd, int command, int type, off_t start, off_t length) {
  struct flock wanted = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  EXPECT(fcntl(fd, command, &wanted), 0);
  return wanted;
}

/* What another process would be told. */
static int elsewhere(int type, off_t start, off_t length) {
  pid_t pid = fork();
  if (pid == 0) {
    int fd = open(path, O_RDWR);
    _exit(-lock(fd, F_SETLK, type, start, length));
  }
  return exit_code(pid);
}

static int elsewhere_flock(int operation) {
  pid_t pid = fork();
  if (pid == 0) {
    int fd = open(path, O_RDWR);
    _exit(error(flock(fd, operation | LOCK_NB)));
  }
  return exit_code(pid);
}

static void on_signal(int signal) {}

/* Whether /proc/locks tells of a lock of ours. */
static int listed(int fd, const char *kind, const char *mode, long pid, const char *range) {
  char line[200], wanted[100], place[100];
  struct stat status;
  int found = 0;
  fstat(fd, &status);
  FILE *file = fopen("/proc/locks", "r");
  snprintf(wanted, sizeof wanted, "%s ADVISORY  %s %ld ", kind, mode, pid);
  snprintf(place, sizeof place, ":%lu %s\n", (unsigned long)status.st_ino, range);
  while (fgets(line, sizeof line, file)) found |= strstr(line, wanted) != NULL && strstr(line, place) != NULL;
  fclose(file);
  return found;
}

static void posix(void) {
  int fd = open(path, O_RDWR), other = open(path, O_RDONLY), writing = open(path, O_WRONLY);
  EXPECT(lock(fd, F_SETLK, F_WRLCK, 10, 10), 0);
  CHECK(listed(fd, "POSIX ", "WRITE", getpid(), "10 19"));
  EXPECT(elsewhere(F_RDLCK, 0, 10), 0);
  EXPECT(elsewhere(F_RDLCK, 15, 1), EAGAIN);
  EXPECT(elsewhere(F_WRLCK, 20, 0), 0);
  EXPECT(elsewhere(F_WRLCK, 5, 6), EAGAIN);
  EXPECT(elsewhere(F_WRLCK, 30, -10), 0);
  EXPECT(elsewhere(F_WRLCK, 30, -11), EAGAIN);
  /* One's own are no hindrance, and change. */
  EXPECT(lock(fd, F_SETLK, F_RDLCK, 14, 2), 0);
  EXPECT(elsewhere(F_RDLCK, 14, 2), 0);
  EXPECT(elsewhere(F_RDLCK, 13, 2), EAGAIN);
  EXPECT(lock(fd, F_SETLK, F_UNLCK, 10, 4), 0);
  EXPECT(elsewhere(F_WRLCK, 10, 4), 0);
  EXPECT(elsewhere(F_WRLCK, 16, 1), EAGAIN);
  pid_t pid = fork(), parent = getppid();
  if (pid == 0) {
    struct flock found = blocker(fd, F_GETLK, F_WRLCK, 0, 0);
    /* Not inherited. */
    _exit(found.l_pid == getppid() && found.l_start == 14 && found.l_len == 2 && found.l_type == F_RDLCK ? 0 : 1);
  }
  EXPECT(exit_code(pid), 0);
  EXPECT(blocker(fd, F_GETLK, F_WRLCK, 0, 0).l_type, F_UNLCK);
  EXPECT(lock(other, F_SETLK, F_WRLCK, 0, 1), -EBADF);
  EXPECT(lock(writing, F_SETLK, F_RDLCK, 0, 1), -EBADF);
  EXPECT(lock(fd, F_SETLK, F_RDLCK, -1, 1), -EINVAL);
  EXPECT(lock(fd, F_SETLK, F_RDLCK, 5, -6), -EINVAL);
  EXPECT(lock(fd, F_SETLK, 9, 0, 1), -EINVAL);
  EXPECT(lock(99, F_SETLK, F_RDLCK, 0, 1), -EBADF);
  /* Any close of the file lets go. */
  close(other);
  EXPECT(elsewhere(F_WRLCK, 0, 0), 0);
  /* Waits, until the holder ends. */
  int pipes[2];
  char c;
  EXPECT(pipe(pipes), 0);
  pid = fork();
  if (pid == 0) {
    lock(fd, F_SETLK, F_WRLCK, 0, 0);
    write(pipes[1], "x", 1);
    for (;;) pause();
  }
  read(pipes[0], &c, 1);
  EXPECT(lock(fd, F_SETLK, F_RDLCK, 0, 1), -EAGAIN);
  pid_t waiter = fork();
  if (waiter == 0) {
    signal(SIGUSR1, on_signal);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR2, &action, NULL);
    write(pipes[1], "r", 1);
    if (lock(fd, F_SETLKW, F_RDLCK, 0, 1) != -EINTR) _exit(1);
    write(pipes[1], "y", 1);
    _exit(-lock(fd, F_SETLKW, F_WRLCK, 0, 1));
  }
  read(pipes[0], &c, 1);
  /* Until one of them comes while it waits. */
  struct pollfd told = {pipes[0], POLLIN, 0};
  do kill(waiter, SIGUSR2);
  while (poll(&told, 1, 20) == 0);
  read(pipes[0], &c, 1);
  nap(20);
  kill(waiter, SIGUSR1);
  nap(20);
  kill(pid, SIGKILL);
  exit_code(pid);
  EXPECT(exit_code(waiter), 0);
  close(fd);
  close(writing);
  close(pipes[0]);
  close(pipes[1]);
}

static void deadlock(void) {
  int fd = open(path, O_RDWR), pipes[2];
  char c;
  EXPECT(pipe(pipes), 0);
  EXPECT(lock(fd, F_SETLK, F_WRLCK, 0, 1), 0);
  pid_t pid = fork();
  if (pid == 0) {
    lock(fd, F_SETLK, F_WRLCK, 1, 1);
    write(pipes[1], "x", 1);
    _exit(-lock(fd, F_SETLKW, F_WRLCK, 0, 1));
  }
  read(pipes[0], &c, 1);
  nap(60);
  /* Whoever comes last is refused. */
  int refused = lock(fd, F_SETLKW, F_WRLCK, 1, 1) == -EDEADLK;
  EXPECT(lock(fd, F_SETLK, F_UNLCK, 0, 1), 0);
  EXPECT(exit_code(pid), refused ? 0 : EDEADLK);
  EXPECT(lock(fd, F_SETLKW, F_WRLCK, 0, 2), 0);
  close(fd);
  close(pipes[0]);
  close(pipes[1]);
}

static void open_files(void) {
  int fd = open(path, O_RDWR), other = open(path, O_RDWR), same = dup(fd);
  EXPECT(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10), 0);
  CHECK(listed(fd, "OFDLCK", "WRITE", -1, "0 9"));
  EXPECT(lock(other, F_OFD_SETLK, F_RDLCK, 5, 1), -EAGAIN);
  EXPECT(lock(other, F_OFD_SETLK, F_RDLCK, 10, 1), 0);
  EXPECT(lock(same, F_OFD_SETLK, F_RDLCK, 5, 1), 0);
  EXPECT(lock(fd, F_SETLK, F_RDLCK, 0, 1), -EAGAIN);
  struct flock found = blocker(other, F_OFD_GETLK, F_WRLCK, 0, 1);
  EXPECT(found.l_type, F_WRLCK);
  EXPECT(found.l_pid, -1);
  struct flock wrong = {.l_type = F_RDLCK, .l_pid = 5};
  EXPECT(error(fcntl(fd, F_OFD_SETLK, &wrong)), EINVAL);
  /* Kept by fork, and as long as a descriptor is there. */
  close(fd);
  EXPECT(elsewhere(F_RDLCK, 0, 1), EAGAIN);
  int pipes[2];
  char c;
  EXPECT(pipe(pipes), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(pipes[1]);
    read(pipes[0], &c, 1);
    _exit(0);
  }
  close(same);
  EXPECT(elsewhere(F_RDLCK, 0, 1), EAGAIN);
  close(pipes[1]);
  EXPECT(exit_code(pid), 0);
  EXPECT(elsewhere(F_RDLCK, 0, 1), 0);
  close(other);
  close(pipes[0]);
}

static void whole_files(void) {
  int fd = open(path, O_RDONLY), other = open(path, O_RDONLY);
  EXPECT(flock(fd, LOCK_SH), 0);
  EXPECT(flock(other, LOCK_SH), 0);
  CHECK(listed(fd, "FLOCK ", "READ", getpid(), "0 EOF"));
  EXPECT(error(flock(fd, LOCK_EX | LOCK_NB)), EWOULDBLOCK);
  /* The attempt has lost what there was. */
  EXPECT(flock(other, LOCK_EX | LOCK_NB), 0);
  EXPECT(error(flock(fd, LOCK_SH | LOCK_NB)), EWOULDBLOCK);
  EXPECT(elsewhere_flock(LOCK_SH), EWOULDBLOCK);
  /* fcntl's are others. */
  EXPECT(elsewhere(F_WRLCK, 0, 0), 0);
  EXPECT(flock(other, LOCK_UN), 0);
  EXPECT(error(flock(fd, 0)), EINVAL);
  EXPECT(error(flock(99, LOCK_SH)), EBADF);
  /* Two that want more than they share do not wait for each other. */
  EXPECT(flock(fd, LOCK_SH), 0);
  int pipes[2];
  char c;
  EXPECT(pipe(pipes), 0);
  pid_t pid = fork();
  if (pid == 0) {
    int own = open(path, O_RDONLY);
    flock(own, LOCK_SH);
    write(pipes[1], "x", 1);
    _exit(error(flock(own, LOCK_EX)));
  }
  read(pipes[0], &c, 1);
  EXPECT(flock(fd, LOCK_EX), 0);
  EXPECT(flock(fd, LOCK_UN), 0);
  EXPECT(exit_code(pid), 0);
  /* A child has the same lock, and gives it up for both. */
  EXPECT(flock(fd, LOCK_EX), 0);
  pid = fork();
  if (pid == 0) _exit(error(flock(fd, LOCK_UN)));
  EXPECT(exit_code(pid), 0);
  EXPECT(flock(other, LOCK_EX | LOCK_NB), 0);
  close(other);
  EXPECT(elsewhere_flock(LOCK_EX), 0);
  close(fd);
}

static long contended(void) {
  int fd = open(path, O_RDWR);
  pid_t children[3];
  long sum = 0;
  EXPECT(pwrite(fd, &sum, sizeof sum, 0), sizeof sum);
  for (int i = 0; i < 3; i++)
    if ((children[i] = fork()) == 0) {
      int own = open(path, O_RDWR);
      for (int k = 0; k < 100; k++) {
        if (i == 2 ? flock(own, LOCK_EX) : flock(own, LOCK_EX)) _exit(1);
        if (lock(own, F_SETLKW, F_WRLCK, 0, 8)) _exit(1);
        if (pread(own, &sum, sizeof sum, 0) != sizeof sum) _exit(2);
        sum++;
        if (pwrite(own, &sum, sizeof sum, 0) != sizeof sum) _exit(3);
        if (lock(own, F_SETLK, F_UNLCK, 0, 8) || flock(own, LOCK_UN)) _exit(1);
      }
      _exit(0);
    }
  for (int i = 0; i < 3; i++) EXPECT(exit_code(children[i]), 0);
  EXPECT(pread(fd, &sum, sizeof sum, 0), sizeof sum);
  close(fd);
  return sum;
}

int main(int argc, char **argv) {
  snprintf(path, sizeof path, "%s/locked", argc > 1 ? argv[1] : "/tmp");
  close(open(path, O_RDWR | O_CREAT, 0600));
  posix();
  deadlock();
  open_files();
  whole_files();
  EXPECT(contended(), 300);
  unlink(path);
  return report("filelocks");
}
