/* Uses the terminal it is run on in one of several ways; says what happens. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void size(void) {
  struct winsize window;
  ioctl(0, TIOCGWINSZ, &window);
  printf("%d rows of %d columns\n", window.ws_row, window.ws_col);
  fflush(stdout);
}

static volatile sig_atomic_t resized;
static void on_resize(int signal) { resized = signal; }

static void raw(int output) {
  struct termios t;
  tcgetattr(0, &t);
  t.c_lflag &= ~(ICANON | ECHO | ISIG);
  t.c_iflag &= ~(ICRNL | IXON);
  if (!output) t.c_oflag &= ~OPOST;
  tcsetattr(0, TCSADRAIN, &t);
}

/* Says every key in hexadecimal until q. */
static int keys(int output) {
  struct termios before;
  tcgetattr(0, &before);
  raw(output);
  printf("keys:\n");
  fflush(stdout);
  unsigned char key;
  while (read(0, &key, 1) == 1 && key != 'q') {
    printf("<%02x>", key);
    fflush(stdout);
  }
  tcsetattr(0, TCSADRAIN, &before);
  printf("\nend\n");
  return 0;
}

/* Runs a child as the foreground job and says what becomes of it. */
static int job(void) {
  signal(SIGTTOU, SIG_IGN);
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    tcsetpgrp(0, getpid());
    printf("job runs\n");
    fflush(stdout);
    for (;;) pause();
  }
  setpgid(child, child);
  for (int status; waitpid(child, &status, WUNTRACED) == child;) {
    if (WIFSTOPPED(status)) {
      tcsetpgrp(0, getpgrp());
      printf("stopped by %d\n", WSTOPSIG(status));
      fflush(stdout);
      tcsetpgrp(0, child);
      kill(-child, SIGCONT);
      printf("goes on\n");
      fflush(stdout);
    } else {
      tcsetpgrp(0, getpgrp());
      printf("ended by %d\n", WTERMSIG(status));
      return 0;
    }
  }
  return 1;
}

int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "";
  char line[100];
  if (strcmp(way, "about") == 0) {
    printf("%s %s %s\n", ttyname(0), ttyname(1), ttyname(2));
    printf("%d %d\n", tcgetpgrp(0) == getpgrp(), tcgetsid(0) == getsid(0));
    size();
    return 0;
  }
  if (strcmp(way, "line") == 0) {
    printf("line?\n");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) return 1;
    printf("guest: %s", line);
    return 0;
  }
  if (strcmp(way, "ends") == 0) {
    /* End of file ends one read, not the terminal. */
    for (int i = 0; i < 2; i++) {
      printf("read %d\n", i);
      fflush(stdout);
      ssize_t n = read(0, line, sizeof line);
      printf("%zd bytes\n", n);
    }
    return 0;
  }
  if (strcmp(way, "keys") == 0) return keys(1);
  if (strcmp(way, "bytes") == 0) return keys(0);
  if (strcmp(way, "job") == 0) return job();
  if (strcmp(way, "crash") == 0) {
    raw(0);
    *(volatile int *)0 = 1;
  }
  if (strcmp(way, "resize") == 0) {
    signal(SIGWINCH, on_resize);
    size();
    while (!resized) usleep(10000);
    size();
    return 0;
  }
  if (strcmp(way, "waits") == 0) {
    raw(1);
    printf("waits\n");
    fflush(stdout);
    if (read(0, line, 1) == 1) raise(SIGKILL);
  }
  return 2;
}
