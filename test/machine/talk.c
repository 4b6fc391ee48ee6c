/* talk unix|tcp serve|ask WHERE: a server that answers one line with "got LINE", and its client. WHERE is a path or a port. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
  struct sockaddr_un un = {.sun_family = AF_UNIX};
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int local = argc > 3 && strcmp(argv[1], "unix") == 0;
  if (argc < 4) return 2;
  if (local) strncpy(un.sun_path, argv[3], sizeof un.sun_path - 1);
  in.sin_port = htons(atoi(argv[3]));
  struct sockaddr *to = local ? (struct sockaddr *)&un : (struct sockaddr *)&in;
  socklen_t n = local ? sizeof un : sizeof in;
  int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM, 0), one = 1;
  char line[200];
  if (strcmp(argv[2], "serve") == 0) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, to, n) != 0) return perror("bind"), 1;
    if (listen(fd, 5) != 0) return perror("listen"), 1;
    n = sizeof in;
    getsockname(fd, (struct sockaddr *)&in, &n);
    printf("listening %d\n", local ? 0 : ntohs(in.sin_port));
    fflush(stdout);
    int s = accept(fd, NULL, NULL);
    long had = read(s, line, sizeof line);
    if (had < 0) return perror("read"), 1;
    dprintf(s, "got %.*s", (int)had, line);
    /* Exits with the answer perhaps still on its way. */
    return 0;
  }
  if (connect(fd, to, n) != 0) return perror("connect"), 1;
  dprintf(fd, "hello\n");
  long had = read(fd, line, sizeof line);
  if (had < 0) return perror("read"), 1;
  printf("%.*s", (int)had, line);
  return 0;
}
