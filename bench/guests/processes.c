/*
 * Processes, by rate. processes KIND [TIMES [EMULATOR]]: fork, vfork, exec, vforkexec, spawn (each child ends at once and is waited for;
 * exec and spawn start this program again, with EMULATOR where it is given, which says hello to /dev/null); futex, pipe, socket (two
 * processes take turns).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

extern char **environ;
static const char *kind;
static int *word;
static int ends[2][2];

static void turn(int from, int to) {
  while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != from) syscall(SYS_futex, word, FUTEX_WAIT, to, NULL, NULL, 0);
  __atomic_store_n(word, to, __ATOMIC_RELEASE);
  syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* One process's part of a round: says and hears, or hears and says. */
static int play(int first) {
  char c = 'x';
  if (kind[0] == 'f') {
    turn(first ? 0 : 1, first ? 1 : 0);
    return 1;
  }
  int out = ends[first ? 0 : 1][1], in = ends[first ? 1 : 0][0];
  return first ? write(out, &c, 1) == 1 && read(in, &c, 1) == 1 : read(in, &c, 1) == 1 && write(out, &c, 1) == 1;
}

static int takeTurns(long times) {
  word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (kind[0] == 's') {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 1;
    ends[0][1] = ends[1][0] = pair[0];
    ends[1][1] = ends[0][0] = pair[1];
  } else if (pipe(ends[0]) || pipe(ends[1])) {
    return 1;
  }
  pid_t child = fork();
  int good = play(child != 0);
  begin();
  for (long i = 0; good && i < times; i++) good = play(child != 0);
  if (child == 0) _exit(!good);
  end();
  int status;
  return waitpid(child, &status, 0) != child || status != 0 || !good;
}

static int startChildren(long times, char *self, char *emulator) {
  char *plain[] = {self, "hello", NULL}, *emulated[] = {emulator, self, "hello", NULL};
  char *program = emulator ? emulator : self, **arguments = emulator ? emulated : plain;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  int executes = strstr(kind, "exec") != NULL;
  begin();
  for (long i = 0; i < times; i++) {
    pid_t child;
    if (!strcmp(kind, "spawn")) {
      if (posix_spawn(&child, program, &actions, NULL, arguments, environ)) return 1;
    } else {
      child = kind[0] == 'v' ? vfork() : fork();
      if (child == 0) {
        if (executes) {
          dup2(null, 1);
          execve(program, arguments, environ);
        }
        _exit(executes ? 127 : 0);
      }
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) return 1;
  }
  end();
  return 0;
}

int main(int argc, char **argv) {
  kind = argc > 1 ? argv[1] : "fork";
  long times = sizeArgument(argc, argv, 2, 1000);
  if (!strcmp(kind, "hello")) {
    puts("Hello, world");
    return 0;
  }
  int turns = !strcmp(kind, "futex") || !strcmp(kind, "pipe") || !strcmp(kind, "socket");
  if (turns ? takeTurns(times) : startChildren(times, argv[0], argc > 3 ? argv[3] : NULL)) return 1;
  printf("%s %ld times\n", kind, times);
}
