/* Processes: fork, exec, wait, vfork and what they share. Prints nothing that differs between runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

extern char **environ;
static const char *self;

static int wait_for(pid_t pid) {
  int status = -1;
  pid_t got;
  do
    got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  return got == pid ? status : -1;
}

static int exits_with(pid_t pid, int code) {
  int status = wait_for(pid);
  return WIFEXITED(status) && WEXITSTATUS(status) == code;
}

/* --- fork: memory --- */

static int initialised = 1;

static void memory(void) {
  long page = sysconf(_SC_PAGESIZE);
  volatile int *private = mmap(0, 64 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  volatile int *shared = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  volatile char *wiped = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  volatile char *gone = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < 64; i++) private[i * page / 4] = i;
  *wiped = *gone = 'x';
  CHECK(madvise((void *)wiped, page, MADV_WIPEONFORK) == 0);
  CHECK(madvise((void *)gone, page, MADV_DONTFORK) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    int good = initialised == 1 && *wiped == 0;
    for (int i = 0; i < 64; i++) good &= private[i * page / 4] == i;
    for (int i = 0; i < 64; i += 2) private[i * page / 4] = -i;
    initialised = 2;
    /* What was not inherited is not there. */
    int pipes[2];
    if (pipe(pipes)) _exit(2);
    good &= write(pipes[1], (void *)gone, 1) == -1 && errno == EFAULT;
    *shared = 77;
    while (*shared != 78) sched_yield();
    for (int i = 0; i < 64; i++) good &= private[i * page / 4] == (i % 2 ? i : -i);
    _exit(good ? 11 : 1);
  }
  while (*shared != 77) sched_yield();
  int good = initialised == 1 && *wiped == 'x' && *gone == 'x';
  for (int i = 0; i < 64; i++) good &= private[i * page / 4] == i;
  for (int i = 1; i < 64; i += 2) private[i * page / 4] = 1000 + i;
  *shared = 78;
  CHECK(exits_with(pid, 11));
  for (int i = 0; i < 64; i++) good &= private[i * page / 4] == (i % 2 ? 1000 + i : i);
  CHECK(good);
  puts("memory: private copied, shared shared");
}

/* Pages copied for grandchildren and given back in every order. */
static void tree(void) {
  enum { PAGES = 16 };
  long page = sysconf(_SC_PAGESIZE);
  atomic_int *count = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *data = mmap(0, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(data, 1, PAGES * page);
  int depth = 0;
  int children = 0;
  pid_t top = getpid();
  while (depth < 3) {
    pid_t a = fork();
    if (a != 0) {
      children++;
      pid_t b = fork();
      if (b != 0) {
        children++;
        break;
      }
      data[(2 * depth + 1) * page] = 10 + depth;
      data[2 * depth * page] = 2;
    } else {
      data[2 * depth * page] = 20 + depth;
    }
    depth++;
    children = 0;
  }
  int good = 1;
  for (int i = 0; i < 2 * depth; i++) good &= data[i * page] != 1 || i % 2;
  for (int i = 2 * depth; i < PAGES; i++) good &= data[i * page] == 1;
  for (int i = 0; i < children; i++) {
    int status;
    good &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  good &= wait(0) == -1 && errno == ECHILD;
  atomic_fetch_add(count, 1);
  if (getpid() != top) _exit(good ? 0 : 1);
  CHECK(good);
  printf("tree: %d processes\n", atomic_load(count));
}

/* --- wait --- */

static void statuses(void) {
  for (int code = 0; code < 256; code += 51) {
    pid_t pid = fork();
    if (pid == 0) _exit(code);
    CHECK(exits_with(pid, code));
  }
  int signals[] = {SIGKILL, SIGTERM, SIGABRT, SIGUSR1};
  for (int i = 0; i < 4; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      struct rlimit none = {0, 0};
      setrlimit(RLIMIT_CORE, &none);
      raise(signals[i]);
      _exit(1);
    }
    int status = wait_for(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
  }
  /* Not there, not ours, none at all. */
  CHECK(waitpid(-1, 0, WNOHANG) == -1 && errno == ECHILD);
  CHECK(waitpid(getpid(), 0, 0) == -1 && errno == ECHILD);
  CHECK(waitpid(-1, 0, 0x40) == -1 && errno == EINVAL);
  int gate[2];
  CHECK(pipe(gate) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    char byte;
    close(gate[1]);
    _exit(read(gate[0], &byte, 1) == 0 ? 5 : 1);
  }
  CHECK(waitpid(pid, 0, WNOHANG) == 0);
  CHECK(waitpid(pid + 1, 0, WNOHANG) == -1 && errno == ECHILD);
  siginfo_t info;
  memset(&info, 0xff, sizeof info);
  CHECK(waitid(P_PID, pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
  close(gate[0]);
  close(gate[1]);
  CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
  CHECK(info.si_signo == SIGCHLD && info.si_code == CLD_EXITED && info.si_status == 5 && info.si_pid == pid);
  CHECK(kill(pid, 0) == 0); /* a zombie is still somebody */
  struct rusage usage;
  int status;
  CHECK(wait4(pid, &status, 0, &usage) == pid && WEXITSTATUS(status) == 5);
  CHECK(kill(pid, 0) == -1 && errno == ESRCH);
  CHECK(waitid(P_ALL, 0, &info, WNOHANG) == -1 && errno == EINVAL);
  puts("wait: statuses, WNOHANG, WNOWAIT, errors");
}

static void stopping(void) {
  pid_t pid = fork();
  if (pid == 0)
    for (;;) pause();
  int status;
  CHECK(kill(pid, SIGSTOP) == 0);
  CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  CHECK(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0);
  CHECK(kill(pid, SIGCONT) == 0);
  CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
  CHECK(kill(pid, SIGTSTP) == 0);
  siginfo_t info;
  CHECK(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT) == 0 && info.si_code == CLD_STOPPED);
  CHECK(waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_status == SIGTSTP);
  CHECK(kill(pid, SIGKILL) == 0);
  status = wait_for(pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  puts("wait: stopped and continued");
}

/* --- SIGCHLD --- */

static volatile sig_atomic_t told;
static siginfo_t last;

static void on_child(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  last = *info;
  told++;
}

static void child_signal(void) {
  struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_NOCLDSTOP};
  sigset_t block, old;
  sigemptyset(&block);
  sigaddset(&block, SIGCHLD);
  sigprocmask(SIG_BLOCK, &block, &old);
  sigaction(SIGCHLD, &action, 0);
  pid_t pid = fork();
  if (pid == 0) _exit(42);
  while (!told) sigsuspend(&old);
  CHECK(last.si_pid == pid && last.si_code == CLD_EXITED && last.si_status == 42 && last.si_uid == getuid());
  CHECK(exits_with(pid, 42));
  /* A blocked wait is not ended by the SIGCHLD it waits for, with or without SA_RESTART. */
  sigprocmask(SIG_SETMASK, &old, 0);
  pid = fork();
  if (pid == 0) {
    usleep(20000);
    _exit(43);
  }
  CHECK(exits_with(pid, 43));
  signal(SIGCHLD, SIG_IGN);
  for (int i = 0; i < 3; i++)
    if (fork() == 0) _exit(0);
  CHECK(wait(0) == -1 && errno == ECHILD);
  struct sigaction nowait = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGCHLD, &nowait, 0);
  if (fork() == 0) _exit(0);
  CHECK(wait(0) == -1 && errno == ECHILD);
  signal(SIGCHLD, SIG_DFL);
  puts("SIGCHLD: siginfo, ignored, SA_NOCLDWAIT");
}

/* --- exec --- */

static void exec(void) {
  int kept = open("/dev/null", O_RDONLY);
  int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
  char a[16], b[16];
  snprintf(a, sizeof a, "%d", kept);
  snprintf(b, sizeof b, "%d", closed);
  signal(SIGUSR1, SIG_IGN);
  signal(SIGUSR2, (void (*)(int))on_child);
  pid_t pid = fork();
  if (pid == 0) {
    char parent[16];
    snprintf(parent, sizeof parent, "%d", getpid());
    setenv("NUMBER", "forty two", 1);
    execl(self, "renamed", "exec-child", a, b, parent, (char *)0);
    _exit(1);
  }
  CHECK(exits_with(pid, 99));
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
  close(kept);
  close(closed);
  /* What fails leaves the caller as it is. */
  char *none[] = {"x", 0};
  CHECK(execv("/does/not/exist", none) == -1 && errno == ENOENT);
  CHECK(execv("/", none) == -1 && errno == EACCES);
  CHECK(execv("/dev/null", none) == -1 && errno == EACCES);
  CHECK(execv("", none) == -1 && errno == ENOENT);
  char *huge = malloc(200 * 1024);
  memset(huge, 'x', 200 * 1024 - 1);
  huge[200 * 1024 - 1] = 0;
  char *too_long[] = {"x", huge, 0};
  CHECK(execv(self, too_long) == -1 && errno == E2BIG);
  free(huge);
  char **volatile wild = (char **)8;
  CHECK(execve(self, wild, environ) == -1 && errno == EFAULT);
  puts("exec: arguments, descriptors, signals, errors");
}

static int exec_child(int argc, char **argv) {
  if (argc != 5 || strcmp(argv[0], "renamed")) return 1;
  if (fcntl(atoi(argv[2]), F_GETFD) < 0) return 2;
  if (fcntl(atoi(argv[3]), F_GETFD) != -1) return 3;
  if (atoi(argv[4]) != getpid()) return 4;
  if (!getenv("NUMBER") || strcmp(getenv("NUMBER"), "forty two")) return 5;
  struct sigaction action;
  sigaction(SIGUSR1, 0, &action);
  if (action.sa_handler != SIG_IGN) return 6;
  sigaction(SIGUSR2, 0, &action);
  if (action.sa_handler != SIG_DFL) return 7;
  return 99;
}

static void *spin(void *word) {
  for (;;) atomic_fetch_add((atomic_long *)word, 1);
}

static void *sleeper(void *unused) {
  for (;;) pause();
  return unused;
}

static void *execs(void *unused) {
  char pid[16];
  snprintf(pid, sizeof pid, "%d", getpid());
  execl(self, self, "same-pid", pid, (char *)0);
  return unused;
}

/* The thread that execs is not the first one, and others are at work. */
static void exec_from_thread(void) {
  for (int i = 0; i < 5; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      pthread_t thread;
      atomic_long *words = calloc(4, 64);
      for (int k = 0; k < 2; k++) pthread_create(&thread, 0, spin, &words[k]);
      for (int k = 0; k < 2; k++) pthread_create(&thread, 0, sleeper, 0);
      usleep(1000 * i);
      pthread_create(&thread, 0, execs, 0);
      for (;;) pause();
    }
    CHECK(exits_with(pid, 66));
  }
  puts("exec: from a thread among others");
}

/* --- vfork, posix_spawn, clone --- */

static volatile int by_child;

static void vforks(void) {
  for (int i = 1; i <= 5; i++) {
    pid_t pid = vfork();
    if (pid == 0) {
      by_child = i;
      _exit(i);
    }
#ifdef __GLIBC__
    CHECK(by_child == i);
#else
    CHECK(1); /* The musl of the tests has a fork for it on riscv64. */
#endif
    CHECK(exits_with(pid, i));
  }
  pid_t pid = vfork();
  if (pid == 0) {
    execl(self, self, "exit", "23", (char *)0);
    _exit(1);
  }
  CHECK(exits_with(pid, 23));
  char *argv[] = {(char *)self, "exit", "24", 0};
  CHECK(posix_spawn(&pid, self, 0, 0, argv, environ) == 0);
  CHECK(exits_with(pid, 24));
  CHECK(posix_spawn(&pid, "/does/not/exist", 0, 0, argv, environ) == ENOENT);
  puts("vfork: memory shared, parent waits");
}

static int cloned(void *word) {
  *(int *)word = 1234;
  close(0);
  return 17;
}

static void clones(void) {
  static char stack[65536] __attribute__((aligned(16)));
  int word = 0;
  /* CLONE_VM without CLONE_THREAD: one memory, two processes. */
  pid_t pid = clone(cloned, stack + sizeof stack, CLONE_VM | SIGCHLD, &word);
  CHECK(exits_with(pid, 17));
  CHECK(word == 1234 && fcntl(0, F_GETFD) != -1);
  word = 0;
  pid = clone(cloned, stack + sizeof stack, SIGCHLD, &word);
  CHECK(exits_with(pid, 17) && word == 0);
  /* Without a signal: only __WCLONE or __WALL see such a child. */
  pid = clone(cloned, stack + sizeof stack, CLONE_VM, &word);
  CHECK(waitpid(pid, 0, WNOHANG) == -1 && errno == ECHILD);
  int status;
  CHECK(waitpid(pid, &status, __WALL) == pid && WEXITSTATUS(status) == 17);
  puts("clone: CLONE_VM, no signal");
}

/* --- descriptors and pipes --- */

static void pipes(void) {
  int down[2], up[2];
  CHECK(pipe(down) == 0 && pipe(up) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(down[1]);
    close(up[0]);
    unsigned char buffer[4096];
    unsigned sum = 0;
    for (ssize_t n; (n = read(down[0], buffer, sizeof buffer)) > 0;)
      for (ssize_t i = 0; i < n; i++) sum = sum * 31 + buffer[i];
    _exit(write(up[1], &sum, sizeof sum) == sizeof sum ? 0 : 1);
  }
  close(down[0]);
  close(up[1]);
  unsigned sum = 0;
  unsigned char buffer[1000];
  for (int k = 0; k < 500; k++) {
    for (int i = 0; i < 1000; i++) sum = sum * 31 + (buffer[i] = (k * 7 + i) & 255);
    CHECK(write(down[1], buffer, 1000) == 1000);
  }
  close(down[1]);
  unsigned got = 0;
  CHECK(read(up[0], &got, sizeof got) == sizeof got && got == sum);
  CHECK(read(up[0], &got, 1) == 0);
  close(up[0]);
  CHECK(exits_with(pid, 0));
  /* The last reader's end is a signal for the writer. */
  CHECK(pipe(down) == 0);
  pid = fork();
  if (pid == 0) {
    close(down[0]);
    for (;;)
      if (write(down[1], buffer, 1000) < 0) _exit(1);
  }
  usleep(10000);
  close(down[0]);
  close(down[1]);
  int status = wait_for(pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
  /* An eventfd and a file offset are shared. */
  int event = eventfd(0, 0);
  FILE *file = tmpfile();
  int fd = file ? fileno(file) : -1;
  pid = fork();
  if (pid == 0) {
    uint64_t five = 5;
    int good = write(event, &five, 8) == 8;
    if (fd >= 0) good &= write(fd, "child", 5) == 5;
    _exit(good ? 0 : 1);
  }
  uint64_t value = 0;
  CHECK(read(event, &value, 8) == 8 && value == 5);
  CHECK(exits_with(pid, 0));
  if (fd >= 0) CHECK(lseek(fd, 0, SEEK_CUR) == 5);
  if (file) fclose(file);
  close(event);
  puts("pipes, eventfd and offsets between processes");
}

static void pingpong(void) {
  int to[2], from[2];
  CHECK(pipe(to) == 0 && pipe(from) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(to[1]);
    int n = 0;
    char byte;
    while (read(to[0], &byte, 1) == 1 && write(from[1], &byte, 1) == 1) n++;
    _exit(n == 500 ? 0 : 1);
  }
  char byte = 'a';
  for (int i = 0; i < 500; i++) {
    CHECK(write(to[1], &byte, 1) == 1);
    CHECK(read(from[0], &byte, 1) == 1);
  }
  close(to[1]);
  CHECK(exits_with(pid, 0));
  /* A mutex in shared memory. */
  struct both {
    pthread_mutex_t mutex;
    long count;
  } *both = mmap(0, sizeof *both, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&both->mutex, &attributes);
  for (int k = 0; k < 3; k++)
    if (fork() == 0) {
      for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&both->mutex);
        both->count++;
        pthread_mutex_unlock(&both->mutex);
      }
      _exit(0);
    }
  for (int k = 0; k < 3; k++) wait(0);
  CHECK(both->count == 6000);
  pid = fork();
  if (pid == 0) {
    pthread_mutex_lock(&both->mutex);
    _exit(0);
  }
  CHECK(exits_with(pid, 0));
  CHECK(pthread_mutex_lock(&both->mutex) == EOWNERDEAD);
  CHECK(pthread_mutex_consistent(&both->mutex) == 0);
  CHECK(pthread_mutex_unlock(&both->mutex) == 0);
  puts("ping-pong; a robust mutex in shared memory");
}

/* --- families --- */

static void families(void) {
  int pipes[2];
  CHECK(pipe(pipes) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    pid_t parent = getpid();
    if (fork() == 0) {
      /* An orphan: its parent changes. */
      while (getppid() == parent) usleep(1000);
      _exit(write(pipes[1], "o", 1) == 1 ? 0 : 1);
    }
    _exit(0);
  }
  close(pipes[1]);
  CHECK(exits_with(pid, 0));
  char byte = 0;
  CHECK(read(pipes[0], &byte, 1) == 1 && byte == 'o');
  CHECK(read(pipes[0], &byte, 1) == 0);
  close(pipes[0]);
  CHECK(wait(0) == -1 && errno == ECHILD);
  /* Groups and sessions. */
  pid_t group = fork();
  if (group == 0) {
    setpgid(0, 0);
    for (;;) pause();
  }
  setpgid(group, group);
  pid_t second = fork();
  if (second == 0) {
    setpgid(0, group);
    for (;;) pause();
  }
  setpgid(second, group);
  CHECK(getpgid(group) == group && getpgid(second) == group && getsid(second) == getsid(0));
  CHECK(waitpid(-group, 0, WNOHANG) == 0);
  CHECK(kill(-group, SIGTERM) == 0);
  int status;
  for (int i = 0; i < 2; i++)
    CHECK(waitpid(-group, &status, 0) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  CHECK(waitpid(-group, &status, 0) == -1 && errno == ECHILD);
  CHECK(kill(-group, 0) == -1 && errno == ESRCH);
  pid = fork();
  if (pid == 0) _exit(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid() ? 0 : 1);
  CHECK(exits_with(pid, 0));
  puts("families: orphans, groups, sessions");
}

/* --- /proc of another process --- */

static int read_file(const char *format, pid_t pid, char *into, int size) {
  char path[64];
  snprintf(path, sizeof path, format, (int)pid);
  int fd = open(path, O_RDONLY);
  if (fd < 0) return -1;
  int length = 0;
  for (int n; length < size - 1 && (n = read(fd, into + length, size - 1 - length)) > 0;) length += n;
  into[length] = 0;
  close(fd);
  return length;
}

static void seen_from_outside(void) {
  int to[2], from[2];
  CHECK(pipe(to) == 0 && pipe(from) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    for (int fd = 3; fd < 32; fd++) close(fd);
    execl(self, "shown", "wait-for-end", "third", (char *)0);
    _exit(1);
  }
  close(to[0]);
  close(from[1]);
  char byte = 0, text[65536], expected[64], path[64], mine[256];
  CHECK(read(from[0], &byte, 1) == 1 && byte == 'r');
  CHECK(read_file("/proc/%d/cmdline", pid, text, sizeof text) == 25);
  CHECK(!memcmp(text, "shown\0wait-for-end\0third", 25));
  CHECK(read_file("/proc/%d/status", pid, text, sizeof text) > 0);
  snprintf(expected, sizeof expected, "\nPPid:\t%d\n", getpid());
  CHECK(strstr(text, expected) != 0);
  CHECK(read_file("/proc/%d/maps", pid, text, sizeof text) > 0 && strstr(text, "[stack]") != 0);
  snprintf(path, sizeof path, "/proc/%d/exe", pid);
  int a = readlink(path, text, sizeof text), b = readlink("/proc/self/exe", mine, sizeof mine);
  CHECK(a > 0 && a == b && !memcmp(text, mine, a));
  snprintf(path, sizeof path, "/proc/%d/fd/0", pid);
  CHECK(readlink(path, text, sizeof text) > 5 && !memcmp(text, "pipe:", 5));
  snprintf(path, sizeof path, "/proc/%d/fd/7", pid);
  CHECK(readlink(path, text, sizeof text) == -1 && errno == ENOENT);
  close(to[1]);
  CHECK(waitid(P_PID, pid, &(siginfo_t){0}, WEXITED | WNOWAIT) == 0);
  CHECK(read_file("/proc/%d/status", pid, text, sizeof text) > 0 && strstr(text, "\nState:\tZ") != 0);
  CHECK(read_file("/proc/%d/cmdline", pid, text, sizeof text) == 0);
  CHECK(exits_with(pid, 55));
  CHECK(read_file("/proc/%d/status", pid, text, sizeof text) == -1 && errno == ENOENT);
  close(from[0]);
  puts("/proc of a child");
}

static int wait_for_end(void) {
  char byte;
  return write(1, "r", 1) == 1 && read(0, &byte, 1) == 0 ? 55 : 1;
}

/* --- fork while threads are at work --- */

static atomic_int stop_threads;

static void *churn(void *seed) {
  unsigned n = (unsigned)(uintptr_t)seed;
  while (!atomic_load(&stop_threads)) {
    n = n * 1103515245 + 12345;
    char *block = malloc(16 + n % 5000);
    memset(block, n, 16);
    if (n % 64 == 0) {
      void *map = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      memset(map, 1, 65536);
      munmap(map, 65536);
    }
    free(block);
  }
  return 0;
}

static void threaded(void) {
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, churn, (void *)(uintptr_t)(i + 1));
  int good = 0;
  for (int i = 0; i < 200; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      char *block = malloc(1000);
      memset(block, 1, 1000);
      free(block);
      _exit(i % 100);
    }
    good += exits_with(pid, i % 100);
  }
  atomic_store(&stop_threads, 1);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
  CHECK(good == 200);
  puts("fork with threads at work: 200 times");
}

int main(int argc, char **argv) {
  self = "/proc/self/exe";
  if (argc > 1 && !strcmp(argv[1], "exec-child")) return exec_child(argc, argv);
  if (argc > 2 && !strcmp(argv[1], "exit")) return atoi(argv[2]);
  if (argc > 2 && !strcmp(argv[1], "same-pid")) return atoi(argv[2]) == getpid() ? 66 : 1;
  if (argc > 2 && !strcmp(argv[1], "wait-for-end")) return wait_for_end();
  setvbuf(stdout, 0, _IOLBF, 0);
  memory();
  tree();
  statuses();
  stopping();
  child_signal();
  exec();
  exec_from_thread();
  vforks();
  clones();
  pipes();
  pingpong();
  families();
  seen_from_outside();
  threaded();
  return report("processes");
}
