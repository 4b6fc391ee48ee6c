/* What /proc tells of processes: of others, of zombies, of process 1. Prints nothing that differs between runs. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

static char text[65536];

/* The whole of /proc/PID/NAME in `text`; its length, or -1. */
static int slurp(int pid, const char *name) {
  char path[128];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int fd = open(path, O_RDONLY);
  if (fd < 0) return -1;
  int length = 0, n;
  while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0) length += n;
  close(fd);
  text[length] = 0;
  return length;
}

/* Field `n` of stat, from 1; those after the name. */
static long stat_field(int pid, int n) {
  if (slurp(pid, "stat") <= 0) return -12345;
  char *at = strrchr(text, ')') + 1;
  for (int i = 3; i < n; i++) at = strchr(at + 1, ' ');
  return strtol(at, NULL, 10);
}

static int has_line(int pid, const char *line) {
  return slurp(pid, "status") > 0 && strstr(text, line) != NULL;
}

/* A process that waits until it is killed, and has said that it is ready. */
static pid_t start(void (*before)(void)) {
  int ready[2];
  pipe(ready);
  pid_t child = fork();
  if (child == 0) {
    if (before) before();
    write(ready[1], "", 1);
    for (;;) pause();
  }
  char c;
  close(ready[1]);
  read(ready[0], &c, 1);
  close(ready[0]);
  return child;
}

static void end(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

static void processes_come_in_order(void) {
  pid_t one = start(NULL), other = start(NULL);
  DIR *dir = opendir("/proc");
  long last = 0;
  int sorted = 1, found = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    if (!isdigit((unsigned char)e->d_name[0])) continue;
    long pid = atol(e->d_name);
    if (pid <= last) sorted = 0;
    last = pid;
    if (pid == 1 || pid == one || pid == other) found++;
  }
  closedir(dir);
  CHECK(sorted);
  CHECK(found == 3);
  end(one);
  end(other);
}

static void ask_for_little(void) {
  umask(027);
  nice(7);
  signal(SIGUSR1, SIG_IGN);
}

static void others_have_their_own_figures(void) {
  umask(022);
  pid_t child = start(ask_for_little);
  CHECK(has_line(child, "\nUmask:\t0027\n"));
  CHECK(has_line(getpid(), "\nUmask:\t0022\n"));
  CHECK(has_line(child, "\nSigIgn:\t0000000000000200\n"));
  EXPECT(stat_field(child, 4), getpid());
  int own = getpriority(PRIO_PROCESS, 0), less = own > 12 ? 19 : own + 7;
  EXPECT(stat_field(child, 18), 20 + less);
  EXPECT(stat_field(child, 19), less);
  EXPECT(stat_field(child, 38), SIGCHLD);
  EXPECT(stat_field(child, 40), 0);
  EXPECT(stat_field(child, 41), SCHED_OTHER);
  EXPECT(stat_field(child, 52), 0);
  EXPECT(stat_field(getpid(), 18), 20 + own);
  EXPECT(stat_field(getpid(), 19), own);
  struct sched_param none = {0};
  EXPECT(syscall(SYS_sched_setscheduler, child, SCHED_BATCH, &none), 0);
  EXPECT(stat_field(child, 41), SCHED_BATCH);
  end(child);
}

static void a_zombie_is_told_of(void) {
  pid_t child = fork();
  if (child == 0) _exit(3);
  siginfo_t info;
  EXPECT(waitid(P_PID, child, &info, WEXITED | WNOWAIT), 0);
  char name[64], expected[128], link[256], path[64];
  slurp(getpid(), "comm");
  strcpy(name, text);
  CHECK(slurp(child, "comm") > 0 && strcmp(text, name) == 0);
  snprintf(expected, sizeof expected, "Name:\t%sState:\tZ (zombie)\n", name);
  CHECK(has_line(child, expected));
  CHECK(has_line(child, "\nThreads:\t1\n"));
  CHECK(has_line(child, "\nFDSize:\t0\n"));
  CHECK(has_line(child, "\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n"));
  CHECK(!has_line(child, "\nVmSize:"));
  CHECK(!has_line(child, "\nUmask:"));
  EXPECT(stat_field(child, 20), 1);
  EXPECT(stat_field(child, 23), 0);
  EXPECT(stat_field(child, 52), 0x300);
  EXPECT(slurp(child, "cmdline"), 0);
  EXPECT(slurp(child, "maps"), 0);
  CHECK(slurp(child, "statm") > 0 && strcmp(text, "0 0 0 0 0 0 0\n") == 0);
  for (const char **what = (const char *[]){"exe", "cwd", "root", NULL}; *what; what++) {
    snprintf(path, sizeof path, "/proc/%d/%s", child, *what);
    CHECK(readlink(path, link, sizeof link) == -1 && errno == ENOENT);
  }
  EXPECT(waitpid(child, NULL, 0), child);
  CHECK(slurp(child, "stat") == -1 && errno == ENOENT);
}

/* struct procmap_query of Linux 6.11. */
struct query {
  uint64_t size, flags, address, start, end, is, page, offset, inode;
  uint32_t major, minor, name_size, build_id_size;
  uint64_t name, build_id;
};
#define PROCMAP_QUERY_ _IOC(_IOC_READ | _IOC_WRITE, 'f', 17, sizeof(struct query))

static int maps_fd;

static int ask(struct query *q, uint64_t flags, uint64_t address, char *name, int room) {
  *q = (struct query){.size = sizeof *q, .flags = flags, .address = address};
  q->name = (uintptr_t)name;
  q->name_size = room;
  return ioctl(maps_fd, PROCMAP_QUERY_, q) == 0 ? 0 : -errno;
}

static void one_mapping_is_asked_for(void) {
  char name[256] = "", *page = mmap(NULL, 8192, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  mprotect(page + 4096, 4096, PROT_NONE);
  struct query q;
  maps_fd = open("/proc/self/maps", O_RDONLY);
  EXPECT(ask(&q, 0, (uintptr_t)name, name, sizeof name), 0);
  CHECK(strcmp(name, "[stack]") == 0 && q.name_size == sizeof "[stack]" && q.is == 3);
  CHECK(q.start <= (uintptr_t)name && (uintptr_t)name < q.end && q.inode == 0);
  EXPECT(ask(&q, 0, (uintptr_t)name, name, 3), -ENAMETOOLONG);
  EXPECT(ask(&q, 0, (uintptr_t)one_mapping_is_asked_for, name, sizeof name), 0);
  struct stat file;
  CHECK(stat(name, &file) == 0 && file.st_ino == q.inode && q.is == 5 && q.build_id_size == 0);
  EXPECT(ask(&q, 0, (uintptr_t)page, NULL, 0), 0);
  CHECK(q.start == (uintptr_t)page && q.end == q.start + 4096 && q.is == 9 && q.name_size == 0 && q.offset == 0);
  EXPECT(ask(&q, 8, (uintptr_t)page + 4096, NULL, 0), 0);
  CHECK(q.is == 8 && q.offset == 4096);
  EXPECT(ask(&q, 1, (uintptr_t)page + 4096, NULL, 0), -ENOENT);
  EXPECT(ask(&q, 0, 8, NULL, 0), -ENOENT);
  EXPECT(ask(&q, 16, 8, NULL, 0), 0);
  CHECK(q.start > 8);
  EXPECT(ask(&q, 16 | 2, (uintptr_t)one_mapping_is_asked_for, NULL, 0), 0);
  CHECK(q.start > (uintptr_t)one_mapping_is_asked_for && (q.is & 2));
  EXPECT(ask(&q, 64, 8, NULL, 0), -EINVAL);
  EXPECT(ask(&q, 0, 8, name, 0), -EINVAL);
  EXPECT(ask(&q, 0, 8, NULL, 8), -EINVAL);
  int other = open("/proc/self/status", O_RDONLY);
  CHECK(ioctl(other, PROCMAP_QUERY_, &q) == -1 && errno == ENOTTY);
  close(other);
  close(maps_fd);
}

/* Who may ask of process 1 depends on who one is; that it is there does not. */
static void process_1_is_there(void) {
  CHECK(access("/proc/1", F_OK) == 0);
  EXPECT(stat_field(1, 4), 0);
  CHECK(has_line(1, "\nPid:\t1\nPPid:\t0\n"));
  CHECK(kill(1, 0) == 0 || errno == EPERM);
  CHECK(getpgid(1) >= 0);
  CHECK(getsid(1) >= 0);
  CHECK(syscall(SYS_sched_getscheduler, 1) >= 0);
  errno = 0;
  CHECK(getpriority(PRIO_PROCESS, 1) >= -20 && errno == 0);
  CHECK(waitpid(1, NULL, WNOHANG) == -1 && errno == ECHILD);
  CHECK(setpgid(1, 1) == -1 && errno == ESRCH);
  struct sysinfo info;
  CHECK(sysinfo(&info) == 0 && info.procs >= 2);
}

/* An orphan's new parent is a process that can be asked for. */
static void an_orphan_has_a_parent(void) {
  int said[2];
  pipe(said);
  pid_t child = fork();
  if (child == 0) {
    pid_t first = getpid();
    if (fork() == 0) {
      while (getppid() == first) usleep(1000);
      pid_t parent = getppid();
      int good = kill(parent, 0) == 0 || errno == EPERM;
      good &= stat_field(getpid(), 4) == parent && stat_field(parent, 4) >= 0;
      write(said[1], &good, sizeof good);
    }
    _exit(0);
  }
  close(said[1]);
  EXPECT(waitpid(child, NULL, 0), child);
  int good = 0;
  CHECK(read(said[0], &good, sizeof good) == sizeof good && good);
  close(said[0]);
}

int main(void) {
  processes_come_in_order();
  others_have_their_own_figures();
  a_zombie_is_told_of();
  one_mapping_is_asked_for();
  process_1_is_there();
  an_orphan_has_a_parent();
  return report("procfiles");
}
