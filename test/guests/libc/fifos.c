/* A FIFO whose writer is gone at once: the reader has met it all the same, and reads what it left. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

int main(int argc, char **argv) {
  if (argc < 2 || chdir(argv[1]) != 0) return 2;
  unlink("short");
  CHECK(mkfifo("short", 0600) == 0);
  int good = 0;
  /* A meeting that is missed leaves one side waiting for ever. */
  alarm(100);
  for (int i = 0; i < 2000; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      int fd = open("short", O_WRONLY);
      _exit(write(fd, "left", 4) == 4 ? 0 : 1);
    }
    if (i % 2) usleep(i % 7 * 100);
    int fd = open("short", O_RDONLY);
    char text[8];
    int status = -1;
    good += read(fd, text, sizeof text) == 4 && !memcmp(text, "left", 4) && read(fd, text, 1) == 0;
    close(fd);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  }
  EXPECT(good, 2000);
  return report("fifos");
}
