/* inotify: prints the events of what it does to files, one line each. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

static int instance;
static char folder[256];

static int error(long result) { return result < 0 ? errno : 0; }

static const char *const names[] = {"ACCESS",     "MODIFY",   "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN",
                                    "MOVED_FROM", "MOVED_TO", "CREATE", "DELETE",      "DELETE_SELF",   "MOVE_SELF"};

/* Prints what there is to read, and returns how many events that were. */
static int tell(const char *about) {
  char buffer[65536] __attribute__((aligned(8)));
  static uint32_t cookie;
  int count = 0;
  printf("%s:\n", about);
  for (;;) {
    ssize_t n = read(instance, buffer, sizeof buffer);
    if (n < 0) break;
    for (char *p = buffer; p < buffer + n;) {
      struct inotify_event *event = (void *)p;
      printf("  %d", event->wd);
      for (int i = 0; i < 12; i++)
        if (event->mask & 1u << i) printf(" %s", names[i]);
      if (event->mask & IN_ISDIR) printf(" ISDIR");
      if (event->mask & IN_IGNORED) printf(" IGNORED");
      if (event->mask & IN_Q_OVERFLOW) printf(" Q_OVERFLOW");
      if (event->cookie) printf(event->mask & IN_MOVED_TO && event->cookie == cookie ? " (same)" : " (new)");
      cookie = event->cookie;
      if (event->len) printf(" %s [%u]", event->name, event->len);
      printf("\n");
      p += sizeof *event + event->len;
      count++;
    }
  }
  EXPECT(errno, EAGAIN);
  return count;
}

static char *in(const char *name) {
  static char paths[4][512];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, 512, "%s/%s", folder, name);
  return path;
}

static void write_file(const char *path, int flags) {
  int fd = open(path, flags, 0644);
  CHECK(fd >= 0);
  CHECK(write(fd, "hello", 5) == 5);
  close(fd);
}

int main(int argc, char **argv) {
  char bytes[100];
  snprintf(folder, sizeof folder, "%s/watched", argc > 1 ? argv[1] : "/tmp");
  EXPECT(mkdir(folder, 0755), 0);
  EXPECT(error(inotify_init1(1)), EINVAL);
  instance = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  EXPECT(fcntl(instance, F_GETFD), FD_CLOEXEC);
  EXPECT(error(read(instance, bytes, sizeof bytes)), EAGAIN);
  EXPECT(error(inotify_add_watch(instance, folder, 0)), EINVAL);
  EXPECT(error(inotify_add_watch(instance, in("nothing"), IN_ALL_EVENTS)), ENOENT);
  EXPECT(error(inotify_add_watch(1, folder, IN_ALL_EVENTS)), EINVAL);
  EXPECT(error(inotify_add_watch(99, folder, IN_ALL_EVENTS)), EBADF);
  EXPECT(error(inotify_add_watch(instance, folder, IN_MODIFY | IN_MASK_ADD | IN_MASK_CREATE)), EINVAL);
  EXPECT(error(inotify_rm_watch(instance, 1)), EINVAL);

  EXPECT(inotify_add_watch(instance, folder, IN_ALL_EVENTS), 1);
  write_file(in("file"), O_WRONLY | O_CREAT | O_EXCL);
  tell("create and write");
  EXPECT(inotify_add_watch(instance, in("file"), IN_ALL_EVENTS), 2);
  EXPECT(error(inotify_add_watch(instance, in("file"), IN_ALL_EVENTS | IN_ONLYDIR)), ENOTDIR);
  EXPECT(error(inotify_add_watch(instance, in("file"), IN_ALL_EVENTS | IN_MASK_CREATE)), EEXIST);
  int fd = open(in("file"), O_RDONLY);
  read(fd, bytes, 2);
  tell("open and read");
  read(fd, bytes, 100);
  read(fd, bytes, 100);
  close(fd);
  tell("read to the end and close");
  write_file(in("file"), O_WRONLY | O_TRUNC);
  tell("cut and write");
  truncate(in("file"), 2);
  fd = open(in("file"), O_RDWR);
  ftruncate(fd, 1);
  fchmod(fd, 0600);
  close(fd);
  tell("truncate, ftruncate, fchmod");
  chmod(in("file"), 0640);
  chown(in("file"), -1, -1);
  tell("chmod, chown");
  link(in("file"), in("second"));
  unlink(in("second"));
  tell("link and unlink");
  symlink("file", in("symbolic"));
  mkfifo(in("fifo"), 0600);
  mkdir(in("directory"), 0755);
  tell("symlink, mkfifo, mkdir");
  rename(in("file"), in("renamed"));
  tell("rename");
  chmod(in("renamed"), 0644);
  tell("the watch goes with it");
  write_file(in("victim"), O_WRONLY | O_CREAT);
  tell("another one");
  EXPECT(inotify_add_watch(instance, in("victim"), IN_ALL_EVENTS), 3);
  rename(in("renamed"), in("victim"));
  tell("rename onto it");
  EXPECT(inotify_add_watch(instance, in("directory"), IN_ALL_EVENTS), 4);
  rename(in("victim"), in("directory/inside"));
  tell("into a directory");
  rename(in("directory"), in("moved"));
  write_file(in("moved/more"), O_WRONLY | O_CREAT);
  tell("a directory moves");
  DIR *listing = opendir(in("moved"));
  closedir(listing);
  tell("opendir");
  unlink(in("moved/more"));
  unlink(in("moved/inside"));
  tell("unlink");
  rmdir(in("moved"));
  tell("rmdir");

  /* A watch is for the file, whatever its name. */
  write_file(in("first"), O_WRONLY | O_CREAT);
  CHECK(link(in("first"), in("second")) == 0);
  int same = inotify_add_watch(instance, in("first"), IN_ATTRIB | IN_MOVE_SELF);
  EXPECT(inotify_add_watch(instance, in("second"), IN_ATTRIB | IN_MOVE_SELF), same);
  write_file(in("third"), O_WRONLY | O_CREAT);
  int other = inotify_add_watch(instance, in("third"), IN_ATTRIB | IN_MOVE_SELF);
  CHECK(other != same);
  tell("two names of a file");
  EXPECT(syscall(SYS_renameat2, AT_FDCWD, in("first"), AT_FDCWD, in("third"), 2 /* RENAME_EXCHANGE */), 0);
  tell("two files change places");
  EXPECT(inotify_rm_watch(instance, same), 0);
  EXPECT(inotify_rm_watch(instance, other), 0);
  unlink(in("first"));
  unlink(in("second"));
  unlink(in("third"));
  tell("both removed");

  /* What is asked for, added to, and once. */
  EXPECT(inotify_add_watch(instance, folder, IN_CREATE), 1);
  EXPECT(inotify_add_watch(instance, folder, IN_DELETE | IN_MASK_ADD), 1);
  write_file(in("a"), O_WRONLY | O_CREAT);
  unlink(in("a"));
  tell("created and deleted only");
  EXPECT(inotify_add_watch(instance, folder, IN_CREATE | IN_ONESHOT), 1);
  write_file(in("a"), O_WRONLY | O_CREAT);
  write_file(in("b"), O_WRONLY | O_CREAT);
  tell("once");
  int watch = inotify_add_watch(instance, in("a"), IN_MODIFY);
  for (int i = 0; i < 5; i++) write_file(in("a"), O_WRONLY);
  tell("equal events are one");
  EXPECT(inotify_rm_watch(instance, watch), 0);
  EXPECT(error(inotify_rm_watch(instance, watch)), EINVAL);
  tell("removed");

  /* Sizes: 16 bytes and the name, padded to 16. */
  watch = inotify_add_watch(instance, folder, IN_CREATE);
  write_file(in("exactly16bytes__"), O_WRONLY | O_CREAT);
  int available = 0;
  EXPECT(ioctl(instance, FIONREAD, &available), 0);
  EXPECT(available, 48);
  EXPECT(error(read(instance, bytes, 47)), EINVAL);
  EXPECT(read(instance, bytes, 48), 48);

  /* Waiting, in another process. */
  struct pollfd poller = {instance, POLLIN, 0};
  EXPECT(poll(&poller, 1, 0), 0);
  int set = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  epoll_ctl(set, EPOLL_CTL_ADD, instance, &event);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    usleep(30000);
    write_file(in("by-child"), O_WRONLY | O_CREAT);
    _exit(0);
  }
  EXPECT(poll(&poller, 1, 5000), 1);
  EXPECT(poller.revents, POLLIN);
  EXPECT(epoll_wait(set, &event, 1, 5000), 1);
  waitpid(pid, NULL, 0);
  fcntl(instance, F_SETFL, 0);
  EXPECT(read(instance, bytes, sizeof bytes), 32);
  fcntl(instance, F_SETFL, O_NONBLOCK);
  tell("nothing more");

  /* Too many. */
  int files[2] = {open(in("a"), O_RDONLY), open(in("b"), O_RDONLY)};
  inotify_add_watch(instance, folder, IN_ACCESS);
  for (int i = 0; i < 16400; i++) pread(files[i % 2], bytes, 1, 0);
  fflush(stdout);
  static char all[1 << 20] __attribute__((aligned(8)));
  long events = 0, overflows = 0;
  for (ssize_t n; (n = read(instance, all, sizeof all)) > 0;)
    for (char *p = all; p < all + n; p += 16 + ((struct inotify_event *)p)->len) {
      events++;
      overflows += (((struct inotify_event *)p)->mask & IN_Q_OVERFLOW) != 0;
    }
  EXPECT(events, 16385);
  EXPECT(overflows, 1);
  close(instance);
  for (const char *const *name = (const char *const[]){"a", "b", "exactly16bytes__", "by-child", "symbolic", "fifo", NULL}; *name; name++)
    EXPECT(unlink(in(*name)), 0);
  EXPECT(rmdir(folder), 0);
  return report("watching");
}
