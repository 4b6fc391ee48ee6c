/* Files and directories below one that the argument names. */
#include "sys.h"

struct entry {
  u64 ino;
  i64 next;
  u16 size;
  u8 type;
  char name[];
};

/* Whether a directory lists the name, and as what type (0: not there). */
static int listed(const char *directory, const char *name, int *count) {
  static u8 buffer[2048];
  long fd = sys(__NR_openat, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return -1;
  int type = 0, entries = 0;
  long n;
  while ((n = sys(__NR_getdents64, fd, buffer, sizeof buffer)) > 0)
    for (long at = 0; at < n;) {
      struct entry *e = (struct entry *)(buffer + at);
      entries++;
      if (same(e->name, name)) type = e->type;
      at += e->size;
    }
  EXPECT(n, 0);
  sys(__NR_close, fd);
  if (count) *count = entries;
  return type;
}

/* files DIRECTORY: an empty directory that may be written. */
int filesMain(int argc, char **argv) {
  const char *directory = argc > 1 ? argv[1] : "/tmp";
  u8 buffer[256];
  struct stat s;
  int count;
  EXPECT(sys(__NR_chdir, "/nonexistent"), -ENOENT);
  EXPECT(sys(__NR_chdir, directory), 0);
  CHECK(sys(__NR_getcwd, buffer, sizeof buffer) > 0);
  CHECK(same((char *)buffer, directory));

  /* Making, writing, reading. */
  EXPECT(sys(__NR_openat, AT_FDCWD, "none", O_RDONLY), -ENOENT);
  long fd = sys(__NR_openat, AT_FDCWD, "a", O_RDWR | O_CREAT | O_EXCL, 0640);
  CHECK(fd >= 3);
  EXPECT(sys(__NR_openat, AT_FDCWD, "a", O_RDWR | O_CREAT | O_EXCL, 0640), -EEXIST);
  EXPECT(sys(__NR_openat, AT_FDCWD, "a", O_RDONLY | O_DIRECTORY), -ENOTDIR);
  EXPECT(sys(__NR_write, fd, "hello, world", 12), 12);
  EXPECT(sys(__NR_lseek, fd, 0, 1), 12);
  EXPECT(sys(__NR_lseek, fd, 7, 0), 7);
  EXPECT(sys(__NR_read, fd, buffer, 100), 5);
  CHECK(sameBytes(buffer, "world", 5));
  EXPECT(sys(__NR_lseek, fd, -3, 2), 9);
  EXPECT(sys(__NR_lseek, fd, -30, 2), -EINVAL);
  EXPECT(sys(__NR_lseek, fd, 0, 9), -EINVAL);
  EXPECT(sys(__NR_pread64, fd, buffer, 5, 0), 5);
  CHECK(sameBytes(buffer, "hello", 5));
  EXPECT(sys(__NR_pwrite64, fd, "H", 1, 0), 1);
  EXPECT(sys(__NR_pread64, fd, buffer, 5, -1), -EINVAL);
  EXPECT(sys(__NR_lseek, fd, 0, 1), 9);
  struct iovec v[2] = {{buffer, 3}, {buffer + 10, 3}};
  EXPECT(sys(__NR_lseek, fd, 0, 0), 0);
  EXPECT(sys(__NR_readv, fd, v, 2), 6);
  CHECK(sameBytes(buffer, "Hel", 3) && sameBytes(buffer + 10, "lo,", 3));
  EXPECT(sys(__NR_preadv, fd, v, 2, 7, 0), 5);
  CHECK(sameBytes(buffer, "wor", 3) && sameBytes(buffer + 10, "ld", 2));
  EXPECT(sys(__NR_readv, fd, v, -1), -EINVAL);
  EXPECT(sys(__NR_fstat, fd, &s), 0);
  EXPECT(s.st_size, 12);
  EXPECT(s.st_mode, 0100640);
  EXPECT(s.st_nlink, 1);
  CHECK(s.st_ino != 0);
  EXPECT(sys(__NR_ftruncate, fd, 5000), 0);
  EXPECT(sys(__NR_pread64, fd, buffer, 10, 4995), 5);
  EXPECT(buffer[0] | buffer[4], 0);
  EXPECT(sys(__NR_ftruncate, fd, -1), -EINVAL);
  EXPECT(sys(__NR_ftruncate, fd, 3), 0);
  EXPECT(sys(__NR_lseek, fd, 0, 2), 3);
  /* Appending. */
  long appending = sys(__NR_openat, AT_FDCWD, "a", O_WRONLY | O_APPEND);
  EXPECT(sys(__NR_write, appending, "++", 2), 2);
  EXPECT(sys(__NR_read, appending, buffer, 1), -EBADF);
  EXPECT(sys(__NR_fcntl, appending, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
  EXPECT(sys(__NR_close, appending), 0);
  EXPECT(sys(__NR_pread64, fd, buffer, 10, 0), 5);
  CHECK(sameBytes(buffer, "Hel++", 5));

  /* Descriptors. */
  long copy = sys(__NR_dup, fd);
  CHECK(copy > fd);
  EXPECT(sys(__NR_lseek, copy, 2, 0), 2);
  EXPECT(sys(__NR_lseek, fd, 0, 1), 2);
  EXPECT(sys(__NR_dup3, fd, 50, O_CLOEXEC), 50);
  EXPECT(sys(__NR_fcntl, 50, F_GETFD), FD_CLOEXEC);
  EXPECT(sys(__NR_fcntl, 50, F_SETFD, 0), 0);
  EXPECT(sys(__NR_fcntl, 50, F_GETFD), 0);
  EXPECT(sys(__NR_dup3, fd, fd, 0), -EINVAL);
  EXPECT(sys(__NR_dup3, 77, 50, 0), -EBADF);
  EXPECT(sys(__NR_fcntl, fd, F_DUPFD, 60), 60);
  EXPECT(sys(__NR_fcntl, fd, F_DUPFD, -1), -EINVAL);
  EXPECT(sys(__NR_close, 60), 0);
  EXPECT(sys(__NR_close, 50), 0);
  EXPECT(sys(__NR_close, copy), 0);
  EXPECT(sys(__NR_close, copy), -EBADF);
  EXPECT(sys(__NR_close, fd), 0);
  EXPECT(sys(__NR_read, fd, buffer, 1), -EBADF);

  /* Directories. */
  EXPECT(sys(__NR_mkdirat, AT_FDCWD, "d", 0750), 0);
  EXPECT(sys(__NR_mkdirat, AT_FDCWD, "d", 0750), -EEXIST);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "d", &s, 0), 0);
  EXPECT(s.st_mode, 0040750);
  EXPECT(listed(".", "a", &count), 8);
  EXPECT(listed(".", "d", NULL), 4);
  EXPECT(listed(".", "..", NULL), 4);
  EXPECT(listed(".", "none", NULL), 0);
  EXPECT(count, 4);
  long at = sys(__NR_openat, AT_FDCWD, "d", O_RDONLY | O_DIRECTORY);
  CHECK(at >= 0);
  char name[8] = "f00";
  for (int i = 0; i < 100; i++) {
    name[1] = (char)('0' + i / 10), name[2] = (char)('0' + i % 10);
    long file = sys(__NR_openat, at, name, O_WRONLY | O_CREAT, 0600);
    CHECK(file >= 0);
    sys(__NR_close, file);
  }
  EXPECT(listed("d", "f57", &count), 8);
  EXPECT(count, 102);
  EXPECT(sys(__NR_unlinkat, at, "f57", 0), 0);
  EXPECT(sys(__NR_unlinkat, at, "f57", 0), -ENOENT);
  EXPECT(listed("d", "f57", &count), 0);
  EXPECT(count, 101);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "d", AT_REMOVEDIR), -ENOTEMPTY);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "d", 0), -EISDIR);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "a", AT_REMOVEDIR), -ENOTDIR);
  EXPECT(sys(__NR_openat, AT_FDCWD, "d", O_RDWR), -EISDIR);
  EXPECT(sys(__NR_openat, AT_FDCWD, "a/b", O_RDONLY), -ENOTDIR);
  EXPECT(sys(__NR_read, at, buffer, 1), -EISDIR);

  /* Names. */
  EXPECT(sys(__NR_renameat2, AT_FDCWD, "a", at, "moved", 0), 0);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "a", &s, 0), -ENOENT);
  EXPECT(sys(__NR_newfstatat, at, "moved", &s, 0), 0);
  EXPECT(s.st_size, 5);
  EXPECT(sys(__NR_renameat2, at, "moved", at, "f00", 1 /* RENAME_NOREPLACE */), -EEXIST);
  EXPECT(sys(__NR_linkat, at, "moved", AT_FDCWD, "hard", 0), 0);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "hard", &s, 0), 0);
  EXPECT(s.st_nlink, 2);
  EXPECT(sys(__NR_symlinkat, "d/moved", AT_FDCWD, "soft"), 0);
  EXPECT(sys(__NR_readlinkat, AT_FDCWD, "soft", buffer, 100), 7);
  CHECK(sameBytes(buffer, "d/moved", 7));
  EXPECT(sys(__NR_readlinkat, AT_FDCWD, "soft", buffer, 3), 3);
  EXPECT(sys(__NR_readlinkat, AT_FDCWD, "hard", buffer, 100), -EINVAL);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "soft", &s, 0), 0);
  EXPECT(s.st_mode & 0170000, 0100000);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "soft", &s, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT(s.st_mode & 0170000, 0120000);
  EXPECT(s.st_size, 7);
  EXPECT(listed(".", "soft", NULL), 10);
  EXPECT(sys(__NR_openat, AT_FDCWD, "soft", O_RDONLY | O_NOFOLLOW), -ELOOP);
  fd = sys(__NR_openat, AT_FDCWD, "soft", O_RDONLY);
  EXPECT(sys(__NR_read, fd, buffer, 10), 5);
  EXPECT(sys(__NR_newfstatat, fd, "", &s, AT_EMPTY_PATH), 0);
  EXPECT(s.st_size, 5);
  struct statx x;
  EXPECT(sys(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x), 0);
  EXPECT(x.stx_size, 5);
  EXPECT(x.stx_mode, s.st_mode);
  EXPECT(x.stx_ino, s.st_ino);
  EXPECT(sys(__NR_close, fd), 0);
  EXPECT(sys(__NR_symlinkat, "loop", AT_FDCWD, "loop"), 0);
  EXPECT(sys(__NR_openat, AT_FDCWD, "loop", O_RDONLY), -ELOOP);
  EXPECT(sys(__NR_symlinkat, "nowhere", AT_FDCWD, "dangling"), 0);
  EXPECT(sys(__NR_openat, AT_FDCWD, "dangling", O_RDONLY), -ENOENT);
  EXPECT(sys(__NR_openat, AT_FDCWD, "", O_RDONLY), -ENOENT);
  static char longName[5000];
  memset(longName, 'x', 4999);
  EXPECT(sys(__NR_openat, AT_FDCWD, longName, O_RDONLY), -ENAMETOOLONG);
  longName[300] = 0;
  EXPECT(sys(__NR_openat, AT_FDCWD, longName, O_RDONLY), -ENAMETOOLONG);
  EXPECT(sys(__NR_faccessat, AT_FDCWD, "hard", 4), 0);
  EXPECT(sys(__NR_faccessat, AT_FDCWD, "none", 0), -ENOENT);
  EXPECT(sys(__NR_faccessat, AT_FDCWD, "hard", 99), -EINVAL);
  EXPECT(sys(__NR_fchmodat, AT_FDCWD, "hard", 0400), 0);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "hard", &s, 0), 0);
  EXPECT(s.st_mode, 0100400);
  EXPECT(sys(__NR_fchmodat, AT_FDCWD, "hard", 0600), 0);

  /* Times. */
  struct __kernel_timespec times[2] = {{1000000000, 500000000}, {1234567890, 250000000}};
  EXPECT(sys(__NR_utimensat, AT_FDCWD, "hard", times, 0), 0);
  EXPECT(sys(__NR_newfstatat, AT_FDCWD, "hard", &s, 0), 0);
  EXPECT(s.st_mtime, 1234567890);
  EXPECT(s.st_atime, 1000000000);

  /* A file that has no name any more. */
  fd = sys(__NR_openat, AT_FDCWD, "gone", O_RDWR | O_CREAT, 0600);
  EXPECT(sys(__NR_write, fd, "data", 4), 4);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "gone", 0), 0);
  EXPECT(sys(__NR_pread64, fd, buffer, 10, 0), 4);
  EXPECT(sys(__NR_fstat, fd, &s), 0);
  EXPECT(s.st_nlink, 0);
  EXPECT(sys(__NR_close, fd), 0);

  /* Devices. */
  fd = sys(__NR_openat, AT_FDCWD, "/dev/null", O_RDWR);
  EXPECT(sys(__NR_write, fd, "data", 4), 4);
  EXPECT(sys(__NR_read, fd, buffer, 4), 0);
  EXPECT(sys(__NR_close, fd), 0);
  fd = sys(__NR_openat, AT_FDCWD, "/dev/zero", O_RDWR);
  buffer[3] = 1;
  EXPECT(sys(__NR_read, fd, buffer, 4), 4);
  EXPECT(buffer[3], 0);
  EXPECT(sys(__NR_close, fd), 0);
  fd = sys(__NR_openat, AT_FDCWD, "/dev/urandom", O_RDONLY);
  EXPECT(sys(__NR_read, fd, buffer, 32), 32);
  EXPECT(sys(__NR_close, fd), 0);

  /* /proc */
  long exe = sys(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", buffer, 200);
  CHECK(exe > 0 && buffer[0] == '/');
  fd = sys(__NR_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  CHECK(sys(__NR_read, fd, buffer, 200) > 6);
  CHECK(sys(__NR_close, fd) == 0);
  fd = sys(__NR_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
  CHECK(fd >= 0);
  u64 lines = 0;
  long n;
  while ((n = sys(__NR_read, fd, buffer, 200)) > 0)
    for (long i = 0; i < n; i++) lines += buffer[i] == '\n';
  CHECK(lines >= 3);
  EXPECT(sys(__NR_close, fd), 0);

  /* Clearing up. */
  for (int i = 0; i < 100; i++) {
    name[1] = (char)('0' + i / 10), name[2] = (char)('0' + i % 10);
    sys(__NR_unlinkat, at, name, 0);
  }
  EXPECT(sys(__NR_unlinkat, at, "moved", 0), 0);
  EXPECT(sys(__NR_close, at), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "d", AT_REMOVEDIR), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "hard", 0), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "soft", 0), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "loop", 0), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, "dangling", 0), 0);
  listed(".", "x", &count);
  EXPECT(count, 2);
  return report("files");
}
