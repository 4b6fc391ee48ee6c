/* Files and directories with FreeBSD's structures and flags. */
#include "sys.h"

typedef struct {
  uint64_t dev, ino, nlink;
  uint16_t mode, pad0;
  uint32_t uid, gid, pad1;
  uint64_t rdev;
  timespec atime, mtime, ctime, birthtime;
  int64_t size, blocks;
  uint32_t blksize, flags;
  uint64_t gen, spare[10];
} status;
_Static_assert(sizeof(status) == 224, "struct stat");
typedef struct { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type, pad; uint16_t namlen, pad1; char name[]; } dirent;

static char name[512];

static const char *in(const char *folder, const char *file) {
  char *p = name;
  while (*folder) *p++ = *folder++;
  *p++ = '/';
  while ((*p++ = *file++)) ;
  return name;
}

void files(const char *folder) {
  status s;
  CHECK(CALL(SYS_open, in(folder, "missing"), 0), -ENOENT);
  long fd = CALL(SYS_open, in(folder, "file"), O_RDWR | O_CREAT | 0x800, 0640);
  TRUE(fd >= 3);
  CHECK(CALL(SYS_fcntl, fd, 3, 0), O_RDWR);
  CHECK(CALL(SYS_fcntl, fd, 4, O_NONBLOCK | 8), 0);
  CHECK(CALL(SYS_fcntl, fd, 3, 0), O_RDWR | O_NONBLOCK | 8);
  CHECK(CALL(SYS_write, fd, "some text", 9), 9);
  CHECK(CALL(SYS_fstat, fd, &s), 0);
  CHECK(s.size, 9);
  CHECK(s.mode, 0100640);
  CHECK(s.nlink, 1);
  CHECK(CALL(SYS_fstatat, -100, in(folder, "file"), &s, 0x200), 0);
  CHECK(CALL(SYS_fstatat, -100, in(folder, "file"), &s, 0x100), -EINVAL);
  /* struct flock: start, length, pid, type, whence. */
  struct { int64_t start, length; int pid; short type, whence; int sysid; } lock = {0, 5, 0, 3, 0, 0};
  CHECK(CALL(SYS_fcntl, fd, 12, &lock), 0);
  CHECK(CALL(SYS_fcntl, fd, 11, &lock), 0);
  CHECK(lock.type, 2);
  int value = 0;
  CHECK(CALL(SYS_ioctl, fd, 0x402c7413, name), -25);
  CHECK(CALL(SYS_lseek, fd, 4, 0), 4);
  CHECK(CALL(SYS_ioctl, fd, 0x4004667f, &value), 0);
  CHECK(value, 5);
  CHECK(CALL(SYS_dup2, fd, 77), 77);
  CHECK(CALL(SYS_close, 77), 0);
  CHECK(CALL(SYS_close, 77), -EBADF);

  CHECK(CALL(SYS_mkdir, in(folder, "directory"), 0755), 0);
  CHECK(CALL(SYS_openat, -100, in(folder, "file"), O_DIRECTORY), -ENOTDIR);
  long directory = CALL(SYS_open, folder, O_DIRECTORY);
  char buffer[1024];
  long base = -1, entries = 0, bytes;
  int seen = 0;
  while ((bytes = CALL(SYS_getdirentries, directory, buffer, sizeof buffer, &base)) > 0) {
    for (long at = 0; at < bytes; entries++) {
      dirent *d = (dirent *)(buffer + at);
      CHECK(d->reclen % 8, 0);
      CHECK(d->name[d->namlen], 0);
      if (d->namlen == 4 && d->name[0] == 'f') seen += d->type == 8;
      if (d->namlen == 9 && d->name[0] == 'd') seen += d->type == 4;
      at += d->reclen;
    }
  }
  CHECK(bytes, 0);
  CHECK(seen, 2);
  TRUE(entries >= 4 && base > 0);
  CHECK(CALL(SYS_getdirentries, fd, buffer, sizeof buffer, &base), -ENOTDIR);
  CHECK(CALL(SYS_rmdir, in(folder, "directory")), 0);
  CHECK(CALL(SYS_unlink, in(folder, "file")), 0);
}
