/* Takes all of something that it can get, says what the kernel answered, and gives it back. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *wait_at_gate(void *argument) {
  pthread_mutex_lock(&gate);
  pthread_mutex_unlock(&gate);
  return NULL;
}

static int threads(void) {
  static pthread_t all[100000];
  int n = 0, error;
  pthread_mutex_lock(&gate);
  while ((error = pthread_create(&all[n], NULL, wait_at_gate, NULL)) == 0) n++;
  pthread_mutex_unlock(&gate);
  for (int i = 0; i < n; i++) pthread_join(all[i], NULL);
  printf("%d more threads, then %s\n", n, strerrorname_np(error));
  return 0;
}

/*
 * Every process makes processes until it cannot, then ends: all at once, as :(){ :|:& };: does. When one cannot, no other does so
 * either: each that ends would make room for one more, and those that wait for a processor could use it, for ever.
 */
static int processes(void) {
  int open_end[2], answers[2], error = 0, seen;
  if (pipe(open_end) || pipe(answers)) return 1;
  volatile int *full = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t first = fork();
  if (first == 0) {
    close(open_end[0]);
    while (!*full) {
      if (fork() >= 0) continue;
      error = errno;
      *full = 1;
      write(answers[1], &error, sizeof error);
      break;
    }
    _exit(0);
  }
  close(open_end[1]);
  close(answers[1]);
  /* The last of them has ended when nobody holds the pipe any more. */
  char c;
  read(open_end[0], &c, 1);
  int others = 0, again = 0;
  while (read(answers[0], &seen, sizeof seen) == sizeof seen) *(seen == EAGAIN ? &again : &others) += 1;
  while (wait(NULL) > 0) continue;
  printf("%s, %d other answers\n", again > 0 ? "EAGAIN" : "never", others);
  /* A process closes its files before it is gone and counts no more. */
  pid_t pid;
  for (int tries = 0; (pid = fork()) < 0 && tries < 10000; tries++) usleep(1000);
  if (pid == 0) _exit(7);
  int status = 0;
  waitpid(pid, &status, 0);
  printf("then a child ends with %d\n", WEXITSTATUS(status));
  return 0;
}

static int memory(void) {
  size_t piece = 4 << 20, got = 0;
  char *p;
  while ((p = mmap(0, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED) {
    memset(p, 1, piece);
    got += piece;
  }
  int error = errno;
  printf("%s within 48 and 64 MiB: %d\n", strerrorname_np(error), got >= 48 << 20 && got < 64 << 20);
  return 0;
}

/* Two children take 20 MiB each: together with the parent's 20 too much for one tree of 56. */
static int family(void) {
  size_t size = 20 << 20;
  int killed = 0, ended = 0, gate_[2], has[2];
  pipe(gate_);
  pipe(has);
  memset(mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, size);
  for (int i = 0; i < 2; i++) {
    char c;
    if (fork() == 0) {
      char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (p == MAP_FAILED) _exit(errno == ENOMEM ? 12 : 1);
      memset(p, 1, size);
      write(has[1], "h", 1);
      close(gate_[1]);
      read(gate_[0], &c, 1);
      _exit(0);
    }
    /* One after the other: two that grow at once may both find that there is no more. */
    if (i == 0) {
      close(has[1]);
      read(has[0], &c, 1);
    }
  }
  sleep(1);
  close(gate_[1]);
  close(gate_[0]);
  for (int i = 0, status; i < 2; i++) {
    wait(&status);
    if (WIFSIGNALED(status) || WEXITSTATUS(status) == 12) killed++;
    else if (WEXITSTATUS(status) == 0) ended++;
  }
  printf("%d got it, %d did not\n", ended, killed);
  return 0;
}

/* What goes on beside it: computes, and makes processes. */
static int work(void) {
  unsigned sum = 0;
  for (int i = 0; i < 20; i++) {
    for (int k = 0; k < 100000; k++) sum = sum * 31 + k;
    pid_t pid = fork();
    if (pid == 0) _exit(i);
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != i) return 1;
    char *p = malloc(1 << 20);
    memset(p, 1, 1 << 20);
    free(p);
  }
  printf("worked: %08x\n", sum);
  return 0;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "threads") == 0) return threads();
  if (strcmp(what, "processes") == 0) return processes();
  if (strcmp(what, "memory") == 0) return memory();
  if (strcmp(what, "family") == 0) return family();
  return work();
}
