/* Advisory locks of fcntl(2): where they reach, what F_GETLK tells, waiting for each other. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

static int fd;

static int lock_at(int command, int type, int whence, long start, long length) {
  struct flock lock = {.l_type = type, .l_whence = whence, .l_start = start, .l_len = length};
  return fcntl(fd, command, &lock) == 0 ? 0 : errno;
}

/* What F_GETLK tells another process of a write lock on [start, start + length). */
static struct flock seen_by_child(long start, long length) {
  int ends[2];
  struct flock told = {0};
  if (pipe(ends) != 0) return told;
  pid_t pid = fork();
  if (pid == 0) {
    struct flock lock = {.l_type = F_WRLCK, .l_start = start, .l_len = length};
    if (fcntl(fd, F_GETLK, &lock) != 0) _exit(1);
    _exit(write(ends[1], &lock, sizeof lock) != sizeof lock);
  }
  close(ends[1]);
  if (read(ends[0], &told, sizeof told) != sizeof told) told.l_type = -1;
  close(ends[0]);
  waitpid(pid, 0, 0);
  return told;
}

static int sees(long start, long length, int type, long from, long count) {
  struct flock lock = seen_by_child(start, length);
  if (lock.l_type != type) return 0;
  return type == F_UNLCK || (lock.l_start == from && lock.l_len == count && lock.l_pid == getpid());
}

static void reach(void) {
  /* Relative to the offset and to the end, backwards, and with a negative length. */
  lseek(fd, 20, SEEK_SET);
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_CUR, -10, 5) == 0);
  CHECK(sees(0, 0, F_WRLCK, 10, 5));
  CHECK(sees(0, 10, F_UNLCK, 0, 0));
  CHECK(sees(15, 5, F_UNLCK, 0, 0));
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_END, -1, 1) == 0);
  CHECK(sees(50, 0, F_WRLCK, 99, 1));
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_SET, 40, -3) == 0);
  CHECK(sees(30, 20, F_WRLCK, 37, 3));
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_SET, -1, 1) == EINVAL);
  CHECK(lock_at(F_SETLK, F_UNLCK, SEEK_SET, 0, 0) == 0);
  CHECK(sees(0, 0, F_UNLCK, 0, 0));
}

static void pieces(void) {
  /* The first in the file is told of; neighbours of one kind are one lock. */
  CHECK(lock_at(F_SETLK, F_RDLCK, SEEK_SET, 30, 10) == 0);
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_SET, 10, 10) == 0);
  CHECK(sees(0, 0, F_WRLCK, 10, 10));
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_SET, 20, 5) == 0);
  CHECK(sees(0, 0, F_WRLCK, 10, 15));
  CHECK(lock_at(F_SETLK, F_RDLCK, SEEK_SET, 15, 5) == 0);
  CHECK(sees(0, 0, F_WRLCK, 10, 5));
  CHECK(sees(15, 5, F_RDLCK, 15, 5));
  CHECK(sees(20, 10, F_WRLCK, 20, 5));
  CHECK(lock_at(F_SETLK, F_RDLCK, SEEK_SET, 20, 10) == 0);
  CHECK(sees(15, 1, F_RDLCK, 15, 25));
  CHECK(lock_at(F_SETLK, F_UNLCK, SEEK_SET, 20, 2) == 0);
  CHECK(sees(15, 10, F_RDLCK, 15, 5));
  CHECK(sees(21, 10, F_RDLCK, 22, 18));
  CHECK(lock_at(F_SETLK, F_UNLCK, SEEK_SET, 0, 0) == 0);
}

static void deadlock(void) {
  /* Two processes that wait for each other's lock: the second to ask is told. */
  int ready[2];
  char byte;
  CHECK(pipe(ready) == 0);
  CHECK(lock_at(F_SETLK, F_WRLCK, SEEK_SET, 0, 1) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    int good = lock_at(F_SETLK, F_WRLCK, SEEK_SET, 1, 1) == 0 && write(ready[1], "x", 1) == 1;
    /* Waits until the parent gives up. */
    good &= lock_at(F_SETLKW, F_WRLCK, SEEK_SET, 0, 1) == 0;
    _exit(good ? 0 : 1);
  }
  CHECK(read(ready[0], &byte, 1) == 1);
  /* The child is to wait by then. */
  usleep(200000);
  int told = lock_at(F_SETLKW, F_WRLCK, SEEK_SET, 1, 1);
  CHECK(told == EDEADLK);
  CHECK(lock_at(F_SETLK, F_UNLCK, SEEK_SET, 0, 0) == 0);
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  CHECK(lock_at(F_SETLKW, F_WRLCK, SEEK_SET, 0, 2) == 0);
}

int main(int argc, char **argv) {
  if (argc < 2 || chdir(argv[1]) != 0) return 2;
  fd = open("locked", O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(ftruncate(fd, 100) == 0);
  reach();
  pieces();
  deadlock();
  return report("locks");
}
