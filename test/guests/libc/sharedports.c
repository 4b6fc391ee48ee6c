/* Sockets that share a port (SO_REUSEPORT): who gets what. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "check.h"

static struct sockaddr_in at(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  return a;
}

static int bind_to(int fd, int port) {
  struct sockaddr_in a = at(port);
  return bind(fd, (struct sockaddr *)&a, sizeof a);
}

static int port_of(int fd) {
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  return getsockname(fd, (struct sockaddr *)&a, &n) == 0 ? ntohs(a.sin_port) : -1;
}

static void share(int fd) {
  int one = 1;
  EXPECT(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
}

/* Sockets that share a port each get a part of what comes; what comes from one port goes to one of them. */
static void a_shared_port(void) {
  enum { SHARERS = 3, CALLS = 96 };
  int port = 0, listeners[SHARERS], got[SHARERS] = {0};
  for (int i = 0; i < SHARERS; i++) {
    listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    share(listeners[i]);
    EXPECT(bind_to(listeners[i], port), 0);
    EXPECT(listen(listeners[i], CALLS), 0);
    port = port_of(listeners[i]);
  }
  for (int call = 0; call < CALLS; call++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), accepted = -1;
    struct sockaddr_in to = at(port);
    EXPECT(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    while (accepted < 0)
      for (int i = 0; i < SHARERS && accepted < 0; i++)
        if ((accepted = accept(listeners[i], NULL, NULL)) >= 0) got[i]++;
    close(accepted);
    close(fd);
  }
  for (int i = 0; i < SHARERS; i++) {
    CHECK(got[i] > 0);
    close(listeners[i]);
  }
  int ports[SHARERS], sender = socket(AF_INET, SOCK_DGRAM, 0);
  port = 0;
  for (int i = 0; i < SHARERS; i++) {
    ports[i] = socket(AF_INET, SOCK_DGRAM, 0);
    share(ports[i]);
    EXPECT(bind_to(ports[i], port), 0);
    port = port_of(ports[i]);
  }
  struct sockaddr_in to = at(port);
  for (int i = 0; i < 8; i++) EXPECT(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
  int with = 0, packets = 0;
  char bytes[4];
  for (int i = 0; i < SHARERS; i++) {
    int here = 0;
    while (recv(ports[i], bytes, 4, MSG_DONTWAIT) == 1) here++;
    with += here > 0;
    packets += here;
    close(ports[i]);
  }
  EXPECT(with, 1);
  EXPECT(packets, 8);
  close(sender);
}

int main(void) {
  a_shared_port();
  return report("sharedports");
}
