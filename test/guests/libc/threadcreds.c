/* Credentials are a thread's own: the system calls change those of one thread, the C library's functions those of all. Run as root. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "procField.h"

static char file[4096];
static pthread_barrier_t together;
static volatile int otherTid;

static int capabilities(void) {
  uint32_t header[2] = {0x20080522, 0}, data[6];
  return syscall(SYS_capget, header, data) == 0 && data[0] != 0;
}
static int userInStatus(int tid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
  return procField(path, "Uid: %d", -1);
}
static int mayOpen(void) {
  int fd = open(file, O_RDONLY);
  if (fd >= 0) close(fd);
  return fd >= 0 ? 0 : errno;
}
static void *inherits(void *unused) {
  (void)unused;
  EXPECT(syscall(SYS_getuid), 1000);
  EXPECT(mayOpen(), EACCES);
  return NULL;
}

static void *other(void *unused) {
  (void)unused;
  otherTid = (int)syscall(SYS_gettid);
  pthread_t child;
  gid_t groups[] = {7, 8}, seen[10];
  EXPECT(syscall(SYS_setgroups, 2, groups), 0);
  EXPECT(syscall(SYS_prctl, PR_CAPBSET_DROP, 0, 0, 0, 0), 0);
  EXPECT(syscall(SYS_setresgid, 1001, 1001, 1001), 0);
  EXPECT(syscall(SYS_setresuid, 1000, 1000, 1000), 0);
  EXPECT(syscall(SYS_getuid), 1000);
  EXPECT(syscall(SYS_getegid), 1001);
  EXPECT(getgroups(10, seen), 2);
  CHECK(!capabilities());
  EXPECT(mayOpen(), EACCES);
  EXPECT(syscall(SYS_setresuid, 0, 0, 0) < 0 ? errno : 0, EPERM);
  CHECK(pthread_create(&child, NULL, inherits, NULL) == 0);
  pthread_join(child, NULL);
  int status, pid = fork();
  if (pid == 0) _exit(syscall(SYS_getuid) == 1000 && syscall(SYS_getgid) == 1001 && getgroups(10, seen) == 2 && !capabilities());
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 1);
  pthread_barrier_wait(&together);
  /* The first thread looks, and becomes somebody else. */
  pthread_barrier_wait(&together);
  EXPECT(syscall(SYS_getuid), 1000);
  pthread_barrier_wait(&together);
  return NULL;
}

/* Goes along with the first thread until that one is somebody else. */
static void *third(void *unused) {
  (void)unused;
  pthread_barrier_wait(&together);
  EXPECT(syscall(SYS_getuid), 0);
  CHECK(capabilities());
  pthread_barrier_wait(&together);
  EXPECT(syscall(SYS_geteuid), 0);
  EXPECT(mayOpen(), 0);
  pthread_barrier_wait(&together);
  return NULL;
}

static void *reports(void *program) {
  char *arguments[] = {program, "executed", NULL};
  syscall(SYS_setresuid, 1002, 1003, 1004);
  /* What it has lost with its effective user would keep it from its own program. */
  execv("/proc/self/exe", arguments);
  _exit(99);
}

static void *broadcasts(void *unused) {
  (void)unused;
  pthread_barrier_wait(&together);
  EXPECT(setresuid(1000, 1000, 0), 0);
  pthread_barrier_wait(&together);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "executed") == 0) {
    uid_t r, e, s;
    getresuid(&r, &e, &s);
    _exit(r == 1002 && e == 1003 && s == 1003 && getpid() == (int)syscall(SYS_gettid) ? 42 : 1);
  }
  snprintf(file, sizeof file, "%s/secret", argc > 1 ? argv[1] : "/tmp");
  close(open(file, O_CREAT | O_WRONLY, 0600));
  chmod(file, 0600);
  pthread_t one, two;
  gid_t none[] = {0}, seen[10];
  CHECK(setgroups(1, none) == 0);
  pthread_barrier_init(&together, NULL, 3);
  pthread_create(&one, NULL, other, NULL);
  pthread_create(&two, NULL, third, NULL);
  pthread_barrier_wait(&together);
  EXPECT(syscall(SYS_getuid), 0);
  EXPECT(getgroups(10, seen), 1);
  EXPECT(prctl(PR_CAPBSET_READ, 0, 0, 0, 0), 1);
  CHECK(capabilities());
  EXPECT(mayOpen(), 0);
  EXPECT(userInStatus(otherTid), 1000);
  EXPECT(userInStatus(getpid()), 0);
  EXPECT(syscall(SYS_setresuid, -1, 2000, -1), 0);
  CHECK(!capabilities());
  pthread_barrier_wait(&together);
  EXPECT(mayOpen(), EACCES);
  EXPECT(syscall(SYS_setresuid, -1, 0, -1), 0);
  CHECK(capabilities());
  pthread_barrier_wait(&together);
  pthread_join(one, NULL);
  pthread_join(two, NULL);

  /* exec by another thread: the program has that one's. */
  int status, pid = fork();
  if (pid == 0) {
    pthread_create(&one, NULL, reports, argv[0]);
    pause();
  }
  CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 42);

  /* The C library's function is for all threads. */
  pthread_barrier_init(&together, NULL, 2);
  pthread_create(&one, NULL, broadcasts, NULL);
  EXPECT(syscall(SYS_getuid), 0);
  pthread_barrier_wait(&together);
  pthread_barrier_wait(&together);
  EXPECT(syscall(SYS_getuid), 1000);
  EXPECT(userInStatus(getpid()), 1000);
  pthread_join(one, NULL);
  EXPECT(setresuid(0, 0, 0), 0);
  unlink(file);
  return report("threadcreds");
}
