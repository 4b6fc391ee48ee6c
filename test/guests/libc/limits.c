/* Resource limits: what getrlimit(2) says, what happens at each, and those of other processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static void limit(int which, rlim_t soft, rlim_t hard) {
  struct rlimit value = {soft, hard};
  EXPECT(setrlimit(which, &value), 0);
}

static int status_of(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

/* Runs `body` in a child; its wait status. */
static int in_child(void (*body)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    body();
    _exit(failures ? 99 : 0);
  }
  return status_of(pid);
}

static volatile int exceeded;
static void note(int signal) { exceeded++; }

static void burn(void) {
  for (volatile long i = 0;; i++) continue;
}

static void cpu_default(void) {
  limit(RLIMIT_CPU, 1, 4);
  burn();
}

static void cpu_handled(void) {
  struct rlimit now;
  signal(SIGXCPU, note);
  limit(RLIMIT_CPU, 1, 3);
  while (exceeded < 1) continue;
  /* The kernel moves the soft limit on. */
  getrlimit(RLIMIT_CPU, &now);
  if (now.rlim_cur != 2) _exit(98);
  burn();
}

static void cpu_inherited(void) {
  limit(RLIMIT_CPU, 1, 4);
  pid_t pid = fork();
  if (pid == 0) burn();
  int status = status_of(pid);
  _exit(WIFSIGNALED(status) ? WTERMSIG(status) : 97);
}

static char file[256];

static void file_size(void) {
  int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
  char bytes[100];
  memset(bytes, 'x', sizeof bytes);
  signal(SIGXFSZ, note);
  limit(RLIMIT_FSIZE, 150, 150);
  EXPECT(write(fd, bytes, 100), 100);
  EXPECT(write(fd, bytes, 100), 50);
  EXPECT(exceeded, 0);
  EXPECT(write(fd, bytes, 100), -1);
  EXPECT(errno, EFBIG);
  EXPECT(exceeded, 1);
  EXPECT(pwrite(fd, bytes, 10, 145), 5);
  EXPECT(ftruncate(fd, 200), -1);
  EXPECT(errno, EFBIG);
  EXPECT(exceeded, 2);
  EXPECT(ftruncate(fd, 150), 0);
  signal(SIGXFSZ, SIG_DFL);
  write(fd, bytes, 10);
  _exit(96);
}

static void descriptors(void) {
  int fds[2];
  limit(RLIMIT_NOFILE, 8, 8);
  while (open("/dev/null", O_RDONLY) >= 0) continue;
  EXPECT(errno, EMFILE);
  EXPECT(dup(0), -1);
  EXPECT(errno, EMFILE);
  EXPECT(dup2(0, 8), -1);
  EXPECT(errno, EBADF);
  EXPECT(fcntl(0, F_DUPFD, 8), -1);
  EXPECT(errno, EINVAL);
  EXPECT(pipe(fds), -1);
  EXPECT(errno, EMFILE);
  EXPECT(dup2(0, 7), 7);
}

static void address_space(void) {
  size_t megabyte = 1 << 20;
  limit(RLIMIT_AS, 300 * megabyte, 300 * megabyte);
  void *some = mmap(0, 100 * megabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(some != MAP_FAILED);
  CHECK(mmap(0, 250 * megabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  EXPECT(errno, ENOMEM);
  munmap(some, 100 * megabyte);
  CHECK(mmap(0, 150 * megabyte, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

static void data(void) {
  size_t megabyte = 1 << 20;
  limit(RLIMIT_DATA, 50 * megabyte, 50 * megabyte);
  CHECK(mmap(0, 60 * megabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
  EXPECT(errno, ENOMEM);
  CHECK(mmap(0, 60 * megabyte, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
  CHECK(sbrk(60 * megabyte) == (void *)-1);
  EXPECT(errno, ENOMEM);
}

static int recurse(int depth) {
  volatile char room[4096];
  room[depth % 4096] = depth;
  return depth > 0 ? recurse(depth - 1) + room[1] : room[0];
}

static void stack(void) {
  limit(RLIMIT_STACK, 1 << 20, 1 << 20);
  recurse(1000);
}

/* As an ordinary user: root is not counted. */
static void *wait_for_it(void *argument) {
  while (*(volatile int *)argument == 0) nap(1);
  return NULL;
}

static void processes(void) {
  int go = 0, pipes[2], started = 0;
  pthread_t threads[8];
  if (getuid() == 0 && setresuid(54321, 54321, 54321) != 0) _exit(95);
  limit(RLIMIT_NPROC, 4, 4);
  EXPECT(pthread_create(&threads[0], NULL, wait_for_it, &go), 0);
  EXPECT(pipe(pipes), 0);
  pid_t children[8];
  for (; started < 8; started++) {
    children[started] = fork();
    if (children[started] < 0) break;
    if (children[started] == 0) {
      char c;
      close(pipes[1]);
      read(pipes[0], &c, 1);
      _exit(0);
    }
  }
  EXPECT(errno, EAGAIN);
  EXPECT(started, 2);
  EXPECT(pthread_create(&threads[1], NULL, wait_for_it, &go), EAGAIN);
  go = 1;
  pthread_join(threads[0], NULL);
  close(pipes[1]);
  for (int i = 0; i < started; i++) EXPECT(status_of(children[i]), 0);
  pid_t again = fork();
  if (again == 0) _exit(0);
  CHECK(again > 0);
  EXPECT(status_of(again), 0);
}

static void others(void) {
  struct rlimit old, set = {100, 200};
  int pipes[2];
  char c;
  EXPECT(pipe(pipes), 0);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    struct rlimit mine;
    close(pipes[1]);
    read(pipes[0], &c, 1);
    getrlimit(RLIMIT_NOFILE, &mine);
    _exit(mine.rlim_cur == 100 && mine.rlim_max == 200 ? 0 : 1);
  }
  EXPECT(prlimit(pid, RLIMIT_NOFILE, &set, &old), 0);
  CHECK(old.rlim_cur > 200);
  EXPECT(prlimit(pid, RLIMIT_NOFILE, NULL, &old), 0);
  EXPECT(old.rlim_cur, 100);
  set.rlim_cur = 201;
  EXPECT(prlimit(pid, RLIMIT_NOFILE, &set, NULL), -1);
  EXPECT(errno, EINVAL);
  EXPECT(prlimit(pid, 16, NULL, &old), -1);
  EXPECT(errno, EINVAL);
  close(pipes[1]);
  EXPECT(status_of(pid), 0);
  EXPECT(prlimit(pid, RLIMIT_NOFILE, NULL, &old), -1);
  EXPECT(errno, ESRCH);
  EXPECT(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, (void *)16), -1);
  EXPECT(errno, EFAULT);
}

static void unprivileged(void) {
  struct rlimit value;
  if (getuid() == 0 && setresuid(54321, 54321, 54321) != 0) _exit(95);
  limit(RLIMIT_CORE, 0, 0);
  value.rlim_cur = value.rlim_max = 1;
  EXPECT(setrlimit(RLIMIT_CORE, &value), -1);
  EXPECT(errno, EPERM);
  EXPECT(prlimit(getppid(), RLIMIT_CORE, NULL, &value), getppid() == 1 || getuid() != 54321 ? 0 : -1);
}

/* RLIMIT_MEMLOCK is for those without CAP_IPC_LOCK. */
static void locked_memory(void) {
  struct rlimit page = {4096, 4096};
  if (setrlimit(RLIMIT_MEMLOCK, &page) != 0) _exit(1);
  char *at = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int root = geteuid() == 0;
  if (root && (mlock(at, 65536) != 0 || mlockall(MCL_CURRENT | MCL_FUTURE) != 0 || munlockall() != 0)) _exit(2);
  if (root && setresuid(1, 1, 1) != 0) _exit(3);
  if (mlock(at, 65536) != -1 || errno != ENOMEM) _exit(4);
  _exit(mlock(at, 4096) == 0 ? 0 : 5);
}

/* What children have used is known once they have been waited for, and then to their parent's parent, too. */
static void usage_of_children(void) {
  enum { SIZE = 24 << 20, KIB = SIZE / 1024 };
  struct rusage of, before;
  getrusage(RUSAGE_CHILDREN, &before);
  if (before.ru_maxrss != 0 || before.ru_minflt != 0) _exit(1);
  int end[2];
  if (pipe(end) != 0) _exit(2);
  pid_t child = fork();
  if (child == 0) {
    if (fork() == 0) {
      char *volatile block = malloc(SIZE);
      memset(block, 1, SIZE);
      /* Without a reader the compiler would leave that out. */
      __asm__ volatile("" : : "r"(block) : "memory");
      _exit(0);
    }
    wait(NULL);
    getrusage(RUSAGE_SELF, &of);
    int small = of.ru_maxrss < KIB;
    getrusage(RUSAGE_CHILDREN, &of);
    _exit(small && of.ru_maxrss >= KIB && of.ru_minflt > 0 ? 0 : 3);
  }
  siginfo_t info;
  waitid(P_PID, child, &info, WEXITED | WNOWAIT);
  getrusage(RUSAGE_CHILDREN, &of);
  if (of.ru_maxrss != 0) _exit(4);
  int status;
  wait4(child, &status, 0, &of);
  if (status != 0) _exit(WEXITSTATUS(status));
  if (of.ru_maxrss < KIB) _exit(5);
  getrusage(RUSAGE_CHILDREN, &of);
  if (of.ru_maxrss < KIB) _exit(6);
  getrusage(RUSAGE_SELF, &of);
  _exit(of.ru_maxrss < KIB && of.ru_maxrss > 0 ? 0 : 7);
}

int main(int argc, char **argv) {
  snprintf(file, sizeof file, "%s/limited", argc > 1 ? argv[1] : "/tmp");
  int status = in_child(cpu_default);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU);
  status = in_child(cpu_handled);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  status = in_child(cpu_inherited);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == SIGXCPU);
  status = in_child(file_size);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
  unlink(file);
  EXPECT(in_child(descriptors), 0);
  EXPECT(in_child(address_space), 0);
  EXPECT(in_child(data), 0);
  status = in_child(stack);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  EXPECT(in_child(processes), 0);
  EXPECT(in_child(unprivileged), 0);
  EXPECT(in_child(locked_memory), 0);
  EXPECT(in_child(usage_of_children), 0);
  others();
  return report("limits");
}
