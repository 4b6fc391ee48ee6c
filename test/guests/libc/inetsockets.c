/* TCP and UDP between the threads and processes of a program, on the loopback. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

static int result(long r) { return r < 0 ? -errno : (int)r; }

static struct sockaddr_in at(const char *address, int port) {
  struct sockaddr_in a = {0};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  inet_pton(AF_INET, address, &a.sin_addr);
  return a;
}

static int bind4(int fd, const char *address, int port) {
  struct sockaddr_in a = at(address, port);
  return result(bind(fd, (struct sockaddr *)&a, sizeof a));
}

static int connect4(int fd, const char *address, int port) {
  struct sockaddr_in a = at(address, port);
  return result(connect(fd, (struct sockaddr *)&a, sizeof a));
}

static int port_of(int fd) {
  struct sockaddr_storage a;
  socklen_t n = sizeof a;
  if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) return -errno;
  return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port : ((struct sockaddr_in6 *)&a)->sin6_port);
}

static int events(int fd, int wanted, int timeout) {
  struct pollfd p = {fd, wanted, 0};
  poll(&p, 1, timeout);
  return p.revents;
}

static int int_option(int fd, int level, int name) {
  int v = -1;
  socklen_t n = sizeof v;
  return getsockopt(fd, level, name, &v, &n) == 0 ? v : -errno;
}

static int set_option(int fd, int level, int name, int v) { return result(setsockopt(fd, level, name, &v, sizeof v)); }

static int listener(const char *address, int backlog) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0);
  EXPECT(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
  EXPECT(bind4(fd, address, 0), 0);
  EXPECT(result(listen(fd, backlog)), 0);
  return fd;
}

static void pair(int p[2]) {
  int fd = listener("127.0.0.1", 2);
  p[0] = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(connect4(p[0], "127.0.0.1", port_of(fd)), 0);
  p[1] = accept(fd, NULL, NULL);
  CHECK(p[1] >= 0);
  close(fd);
}

/* --- TCP --- */

static void connections(void) {
  char b[32], text[INET_ADDRSTRLEN];
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(events(fd, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
  EXPECT(result(getpeername(fd, (struct sockaddr *)&a, &n)), -ENOTCONN);
  EXPECT(port_of(fd), 0);
  EXPECT(result(recv(fd, b, 1, 0)), -ENOTCONN);
  EXPECT(result(send(fd, b, 1, MSG_NOSIGNAL)), -EPIPE);
  EXPECT(result(accept(fd, NULL, NULL)), -EINVAL);
  int other = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(result(shutdown(other, SHUT_WR)), -ENOTCONN);
  close(other);
  EXPECT(bind4(fd, "192.0.2.7", 0), -EADDRNOTAVAIL);
  EXPECT(bind4(fd, "127.0.0.1", 0), 0);
  int port = port_of(fd);
  CHECK(port >= 1024);
  EXPECT(bind4(fd, "127.0.0.1", 0), -EINVAL);
  int second = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(bind4(second, "127.0.0.1", port), -EADDRINUSE);
  EXPECT(bind4(second, "0.0.0.0", port), -EADDRINUSE);
  EXPECT(connect4(second, "127.0.0.1", port), -ECONNREFUSED);
  EXPECT(result(listen(fd, 4)), 0);
  EXPECT(int_option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT(events(fd, POLLIN, 0), 0);
  EXPECT(connect4(second, "127.0.0.1", port), 0);
  EXPECT(connect4(second, "127.0.0.1", port), -EISCONN);
  EXPECT(events(fd, POLLIN, 1000), POLLIN);
  n = sizeof a;
  int s = accept4(fd, (struct sockaddr *)&a, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
  CHECK(s >= 0);
  EXPECT(n, sizeof a);
  EXPECT(ntohs(a.sin_port), port_of(second));
  CHECK(strcmp(inet_ntop(AF_INET, &a.sin_addr, text, sizeof text), "127.0.0.1") == 0);
  EXPECT(port_of(s), port);
  n = sizeof a;
  EXPECT(getpeername(second, (struct sockaddr *)&a, &n), 0);
  EXPECT(ntohs(a.sin_port), port);
  EXPECT(result(recv(s, b, 4, 0)), -EAGAIN);
  EXPECT(result(send(second, "hello", 5, 0)), 5);
  EXPECT(events(s, POLLIN | POLLOUT, 1000), POLLIN | POLLOUT);
  EXPECT(result(recv(s, b, 32, MSG_PEEK)), 5);
  int count;
  EXPECT(ioctl(s, FIONREAD, &count), 0);
  EXPECT(count, 5);
  EXPECT(result(recv(s, b, 32, 0)), 5);
  /* Half closed: the other direction goes on. */
  EXPECT(shutdown(second, SHUT_WR), 0);
  EXPECT(events(s, POLLIN | POLLRDHUP, 1000), POLLIN | POLLRDHUP);
  EXPECT(result(recv(s, b, 4, 0)), 0);
  EXPECT(result(send(second, "x", 1, MSG_NOSIGNAL)), -EPIPE);
  EXPECT(result(send(s, "back", 4, 0)), 4);
  EXPECT(result(recv(second, b, 32, 0)), 4);
  close(s);
  EXPECT(result(recv(second, b, 32, 0)), 0);
  EXPECT(events(second, POLLIN | POLLRDHUP, 1000), POLLIN | POLLHUP | POLLRDHUP);
  close(second), close(fd);
}

static void without_waiting(void) {
  int fd = listener("127.0.0.1", 8), port = port_of(fd), set = epoll_create1(0);
  int c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct epoll_event e = {EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLET, {.fd = c}}, out;
  EXPECT(connect4(c, "127.0.0.1", port), -EINPROGRESS);
  epoll_ctl(set, EPOLL_CTL_ADD, c, &e);
  EXPECT(epoll_wait(set, &out, 1, 1000), 1);
  EXPECT(out.events, EPOLLOUT);
  EXPECT(int_option(c, SOL_SOCKET, SO_ERROR), 0);
  EXPECT(connect4(c, "127.0.0.1", port), 0);
  EXPECT(connect4(c, "127.0.0.1", port), -EISCONN);
  int s = accept(fd, NULL, NULL);
  EXPECT(send(s, "1", 1, 0), 1);
  EXPECT(epoll_wait(set, &out, 1, 1000), 1);
  EXPECT(out.events & EPOLLIN, EPOLLIN);
  close(s), close(c), close(fd);
  /* Nobody listens there any more. */
  c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  EXPECT(connect4(c, "127.0.0.1", port), -EINPROGRESS);
  EXPECT(events(c, POLLOUT | POLLIN | POLLRDHUP, 1000), POLLOUT | POLLIN | POLLERR | POLLHUP | POLLRDHUP);
  EXPECT(int_option(c, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  EXPECT(int_option(c, SOL_SOCKET, SO_ERROR), 0);
  close(c);
  c = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(connect4(c, "127.0.0.1", port), -ECONNREFUSED);
  EXPECT(connect4(c, "127.0.0.1", port), -ECONNREFUSED);
  close(c), close(set);
}

static void resets(void) {
  int p[2];
  char b[8];
  pair(p);
  EXPECT(send(p[0], "unread", 6, 0), 6);
  EXPECT(events(p[1], POLLIN, 1000), POLLIN);
  close(p[1]);
  EXPECT(events(p[0], POLLERR, 1000) & POLLERR, POLLERR);
  EXPECT(result(recv(p[0], b, 8, 0)), -ECONNRESET);
  EXPECT(result(recv(p[0], b, 8, 0)), 0);
  EXPECT(result(send(p[0], "x", 1, MSG_NOSIGNAL)), -EPIPE);
  close(p[0]);
  pair(p);
  struct linger l = {1, 0};
  EXPECT(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &l, sizeof l), 0);
  close(p[0]);
  EXPECT(events(p[1], POLLIN, 1000) & POLLERR, POLLERR);
  EXPECT(result(recv(p[1], b, 8, 0)), -ECONNRESET);
  close(p[1]);
  /* The first write to a closed connection seems to succeed, the next one knows. */
  pair(p);
  close(p[1]);
  EXPECT(events(p[0], POLLRDHUP, 1000) & POLLRDHUP, POLLRDHUP);
  EXPECT(result(send(p[0], "x", 1, MSG_NOSIGNAL)), 1);
  events(p[0], 0, 1000);
  EXPECT(result(send(p[0], "x", 1, MSG_NOSIGNAL)), -EPIPE);
  close(p[0]);
}

/* What came before a reset can be read; the connection has no other end any more. */
static void reset_has_no_peer(void) {
  int p[2];
  struct sockaddr_in name;
  socklen_t size = sizeof name;
  char bytes[8];
  pair(p);
  EXPECT(result(getpeername(p[1], (struct sockaddr *)&name, &size)), 0);
  struct linger now = {1, 0};
  EXPECT(setsockopt(p[0], SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  EXPECT(send(p[0], "data", 4, 0), 4);
  EXPECT(close(p[0]), 0);
  CHECK(events(p[1], POLLHUP, 5000) & POLLHUP);
  size = sizeof name;
  EXPECT(result(getpeername(p[1], (struct sockaddr *)&name, &size)), -ENOTCONN);
  EXPECT(result(recv(p[1], bytes, 8, 0)), 4);
  EXPECT(result(recv(p[1], bytes, 8, 0)), -ECONNRESET);
  EXPECT(result(recv(p[1], bytes, 8, 0)), 0);
  EXPECT(result(send(p[1], "x", 1, MSG_NOSIGNAL)), -EPIPE);
  close(p[1]);
  /* An orderly end: as long as one direction is open there is a peer. */
  pair(p);
  EXPECT(shutdown(p[0], SHUT_WR), 0);
  CHECK(events(p[1], POLLIN, 5000) & POLLIN);
  size = sizeof name;
  EXPECT(result(getpeername(p[1], (struct sockaddr *)&name, &size)), 0);
  EXPECT(shutdown(p[1], SHUT_WR), 0);
  CHECK(events(p[1], POLLHUP, 5000) & POLLHUP);
  EXPECT(result(getpeername(p[1], (struct sockaddr *)&name, &size)), -ENOTCONN);
  close(p[0]);
  close(p[1]);
}

static void options(void) {
  char name[16] = "x";
  socklen_t name_size = sizeof name;
  int plain = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(result(getsockopt(plain, SOL_SOCKET, SO_BINDTODEVICE, name, &name_size)), 0);
  EXPECT(name_size, 0);
  close(plain);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(int_option(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
  EXPECT(int_option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
  EXPECT(int_option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
  EXPECT(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT(set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
  EXPECT(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1), 0);
  EXPECT(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT(set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30), 0);
  EXPECT(int_option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT(int_option(fd, IPPROTO_IP, IP_TTL), 64);
  EXPECT(int_option(fd, IPPROTO_TCP, 9999), -ENOPROTOOPT);
  close(fd);
  fd = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT(int_option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
  EXPECT(int_option(fd, IPPROTO_TCP, TCP_NODELAY), -EOPNOTSUPP);
  EXPECT(result(listen(fd, 1)), -EOPNOTSUPP);
  close(fd);
  EXPECT(result(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)), -EPROTONOSUPPORT);
  EXPECT(result(socket(AF_INET, SOCK_SEQPACKET, 0)), -ESOCKTNOSUPPORT);
  EXPECT(result(socket(99, SOCK_STREAM, 0)), -EAFNOSUPPORT);
}

/* --- many clients of a server with epoll --- */

enum { CLIENTS = 8, ROUNDS = 50 };
static int server_port;

static void *client(void *arg) {
  long id = (long)arg;
  int c = socket(AF_INET, SOCK_STREAM, 0), i;
  EXPECT(connect4(c, "127.0.0.1", server_port), 0);
  for (i = 0; i < ROUNDS; i++) {
    char out[64], in[64];
    int n = snprintf(out, sizeof out, "client %ld round %d", id, i);
    if (send(c, out, n, 0) != n || recv(c, in, n, MSG_WAITALL) != n || memcmp(in, out, n)) {
      CHECK(0);
      break;
    }
  }
  close(c);
  return NULL;
}

static void echo_server(void) {
  int fd = listener("0.0.0.0", 64), set = epoll_create1(0), open = 0, ended = 0, i;
  pthread_t threads[CLIENTS];
  server_port = port_of(fd);
  struct epoll_event e = {EPOLLIN, {.fd = fd}}, out[8];
  epoll_ctl(set, EPOLL_CTL_ADD, fd, &e);
  for (i = 0; i < CLIENTS; i++) pthread_create(&threads[i], NULL, client, (void *)(long)i);
  while (ended < CLIENTS) {
    int n = epoll_wait(set, out, 8, 5000);
    if (n <= 0) {
      CHECK(0);
      break;
    }
    for (i = 0; i < n; i++) {
      if (out[i].data.fd == fd) {
        e.data.fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
        CHECK(e.data.fd >= 0);
        epoll_ctl(set, EPOLL_CTL_ADD, e.data.fd, &e);
        open++;
        continue;
      }
      char b[256];
      long r = recv(out[i].data.fd, b, sizeof b, 0);
      if (r > 0) {
        if (send(out[i].data.fd, b, r, 0) != r) CHECK(0);
      } else if (r == 0) {
        close(out[i].data.fd);
        ended++;
      }
    }
  }
  for (i = 0; i < CLIENTS; i++) pthread_join(threads[i], NULL);
  EXPECT(open, CLIENTS);
  close(fd), close(set);
}

static void *pour(void *arg) {
  static char b[100000];
  long left = 4 << 20;
  while (left > 0) {
    long n = write(*(int *)arg, b, left < (long)sizeof b ? left : (long)sizeof b);
    if (n <= 0) {
      CHECK(0);
      break;
    }
    left -= n;
  }
  shutdown(*(int *)arg, SHUT_WR);
  return NULL;
}

static void much(void) {
  int p[2];
  pair(p);
  pthread_t thread;
  pthread_create(&thread, NULL, pour, &p[0]);
  static char b[65536];
  long n, total = 0;
  while ((n = read(p[1], b, sizeof b)) > 0) total += n;
  EXPECT(total, 4 << 20);
  pthread_join(thread, NULL);
  close(p[0]), close(p[1]);
}

/* --- UDP --- */

static void datagrams(void) {
  char b[64];
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT(bind4(s, "127.0.0.1", 0), 0);
  struct sockaddr_in to = at("127.0.0.1", port_of(s));
  EXPECT(result(send(c, "x", 1, 0)), -EDESTADDRREQ);
  EXPECT(result(sendto(c, "one", 3, 0, (struct sockaddr *)&to, sizeof to)), 3);
  EXPECT(result(sendto(c, "", 0, 0, (struct sockaddr *)&to, sizeof to)), 0);
  EXPECT(result(sendto(c, "truncated", 9, 0, (struct sockaddr *)&to, sizeof to)), 9);
  EXPECT(events(s, POLLIN | POLLOUT, 1000), POLLIN | POLLOUT);
  EXPECT(result(recvfrom(s, b, sizeof b, 0, (struct sockaddr *)&a, &n)), 3);
  EXPECT(n, sizeof a);
  EXPECT(ntohs(a.sin_port), port_of(c));
  EXPECT(a.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT(result(recv(s, b, sizeof b, 0)), 0);
  EXPECT(result(recv(s, b, 4, MSG_TRUNC)), 9);
  EXPECT(result(recv(s, b, 4, MSG_DONTWAIT)), -EAGAIN);
  EXPECT(sendto(s, "answer", 6, 0, (struct sockaddr *)&a, n), 6);
  EXPECT(recv(c, b, sizeof b, 0), 6);
  /* Connected: only its peer's packets arrive. */
  int third = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT(connect4(c, "127.0.0.1", port_of(s)), 0);
  n = sizeof a;
  EXPECT(getpeername(c, (struct sockaddr *)&a, &n), 0);
  EXPECT(ntohs(a.sin_port), port_of(s));
  n = sizeof a;
  EXPECT(getsockname(c, (struct sockaddr *)&a, &n), 0);
  EXPECT(a.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  struct sockaddr_in client_at = at("127.0.0.1", port_of(c));
  EXPECT(result(sendto(third, "stray", 5, 0, (struct sockaddr *)&client_at, sizeof client_at)), 5);
  EXPECT(sendto(s, "mine", 4, 0, (struct sockaddr *)&client_at, sizeof client_at), 4);
  EXPECT(recv(c, b, sizeof b, 0), 4);
  EXPECT(result(recv(c, b, sizeof b, MSG_DONTWAIT)), -EAGAIN);
  struct sockaddr none = {0};
  EXPECT(connect(c, &none, sizeof none), 0);
  n = sizeof a;
  EXPECT(result(getpeername(c, (struct sockaddr *)&a, &n)), -ENOTCONN);
  static char big[70000];
  EXPECT(result(sendto(c, big, sizeof big, 0, (struct sockaddr *)&to, sizeof to)), -EMSGSIZE);
  struct sockaddr_in wide = at("255.255.255.255", 9);
  EXPECT(result(sendto(third, "x", 1, 0, (struct sockaddr *)&wide, sizeof wide)), -EACCES);
  /* Nobody there: a connected socket is told. */
  int gone = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT(bind4(gone, "127.0.0.1", 0), 0);
  EXPECT(connect4(third, "127.0.0.1", port_of(gone)), 0);
  close(gone);
  EXPECT(result(send(third, "x", 1, 0)), 1);
  events(third, POLLIN, 1000);
  EXPECT(result(recv(third, b, 1, MSG_DONTWAIT)), -ECONNREFUSED);
  close(s), close(c), close(third);
}

/* --- IPv6 --- */

static void version6(void) {
  struct sockaddr_in6 a = {0}, got;
  socklen_t n = sizeof got;
  char b[8], text[INET6_ADDRSTRLEN];
  int fd = socket(AF_INET6, SOCK_STREAM, 0);
  EXPECT(set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0), 0);
  a.sin6_family = AF_INET6;
  EXPECT(result(bind(fd, (struct sockaddr *)&a, sizeof a)), 0);
  EXPECT(result(listen(fd, 4)), 0);
  int port = port_of(fd);
  /* IPv4 clients come mapped. */
  int c = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(connect4(c, "127.0.0.1", port), 0);
  int s = accept(fd, (struct sockaddr *)&got, &n);
  EXPECT(n, sizeof got);
  CHECK(strcmp(inet_ntop(AF_INET6, &got.sin6_addr, text, sizeof text), "::ffff:127.0.0.1") == 0);
  EXPECT(send(c, "4", 1, 0), 1);
  EXPECT(recv(s, b, 8, 0), 1);
  close(c), close(s);
  c = socket(AF_INET6, SOCK_STREAM, 0);
  a.sin6_port = htons(port);
  a.sin6_addr = in6addr_loopback;
  EXPECT(result(connect(c, (struct sockaddr *)&a, sizeof a)), 0);
  n = sizeof got;
  s = accept(fd, (struct sockaddr *)&got, &n);
  CHECK(strcmp(inet_ntop(AF_INET6, &got.sin6_addr, text, sizeof text), "::1") == 0);
  close(c), close(s), close(fd);
}

/* --- names of hosts, interfaces --- */

static void interfaces(void) {
  struct ifaddrs *list, *i;
  int four = 0, six = 0;
  EXPECT(getifaddrs(&list), 0);
  for (i = list; i; i = i->ifa_next) {
    if (!i->ifa_addr || strcmp(i->ifa_name, "lo")) continue;
    CHECK(i->ifa_flags & IFF_LOOPBACK);
    if (i->ifa_addr->sa_family == AF_INET &&
        ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK)) {
      four++;
      EXPECT(((struct sockaddr_in *)i->ifa_netmask)->sin_addr.s_addr, htonl(0xff000000));
    }
    if (i->ifa_addr->sa_family == AF_INET6) six++;
  }
  freeifaddrs(list);
  EXPECT(four, 1);
  CHECK(six <= 1);
  EXPECT(if_nametoindex("lo"), 1);
  char name[IF_NAMESIZE];
  CHECK(if_indextoname(1, name) && strcmp(name, "lo") == 0);
  EXPECT(if_nametoindex("nothing"), 0);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct ifreq r = {0};
  strcpy(r.ifr_name, "lo");
  EXPECT(ioctl(fd, SIOCGIFADDR, &r), 0);
  EXPECT(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT(ioctl(fd, SIOCGIFFLAGS, &r), 0);
  CHECK(r.ifr_flags & IFF_UP);
  struct ifreq many[8];
  struct ifconf conf = {sizeof many, {(void *)many}};
  EXPECT(ioctl(fd, SIOCGIFCONF, &conf), 0);
  CHECK(conf.ifc_len >= (int)sizeof many[0]);
  CHECK(strcmp(many[0].ifr_name, "lo") == 0);
  close(fd);
  struct addrinfo hints = {0}, *found;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  EXPECT(getaddrinfo("127.0.0.1", "80", &hints, &found), 0);
  EXPECT(ntohs(((struct sockaddr_in *)found->ai_addr)->sin_port), 80);
  freeaddrinfo(found);
}

static void processes(void) {
  int fd = listener("127.0.0.1", 2), port = port_of(fd), status;
  pid_t child = fork();
  if (child == 0) {
    close(fd);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    char b[16];
    if (connect4(c, "127.0.0.1", port) != 0 || recv(c, b, 16, MSG_WAITALL) != 5) _exit(1);
    _exit(memcmp(b, "hello", 5) != 0);
  }
  int s = accept(fd, NULL, NULL);
  EXPECT(send(s, "hello", 5, 0), 5);
  close(s);
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  /* The port is free again at once. */
  close(fd);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
  EXPECT(bind4(fd, "127.0.0.1", port), 0);
  close(fd);
}

int main(void) {
  connections();
  without_waiting();
  resets();
  reset_has_no_peer();
  options();
  echo_server();
  much();
  datagrams();
  version6();
  interfaces();
  processes();
  return report("inetsockets");
}
