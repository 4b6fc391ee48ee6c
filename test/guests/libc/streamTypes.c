// Says what kind of file the standard output and error are.
#include <stdio.h>
#include <sys/stat.h>

static const char *kind(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return "unknown";
  if (S_ISFIFO(status.st_mode)) return "a pipe";
  if (S_ISSOCK(status.st_mode)) return "a socket";
  return S_ISREG(status.st_mode) ? "a file" : "something else";
}

int main(void) { printf("1 is %s, 2 is %s\n", kind(1), kind(2)); }
