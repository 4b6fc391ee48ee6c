/* A family that outlives its parents: children with children, sessions of their own and orphans; says when all are there. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static void settle(int ready) {
  if (write(ready, "x", 1) != 1) _exit(1);
  for (;;) pause();
}

int main(int argc, char **argv) {
  int pipes[2];
  char byte;
  if (pipe(pipes) != 0) return 1;
  for (int i = 0; i < 3; i++) {
    if (fork() != 0) continue;
    signal(SIGTERM, SIG_IGN);
    setsid();
    for (int j = 0; j < 2; j++)
      if (fork() == 0) settle(pipes[1]);
    /* The first one ends: its children are orphans. */
    if (i == 0) _exit(0);
    settle(pipes[1]);
  }
  for (int i = 0; i < 8; i++)
    if (read(pipes[0], &byte, 1) != 1) return 1;
  printf("ready\n");
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "leave") == 0) return 0;
  for (;;) pause();
}
