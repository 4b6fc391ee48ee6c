/* What a receiver is told of packets beside their bytes: when they came, where they were sent to, how far they may go. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

static union { struct cmsghdr header; char bytes[512]; } control;
static struct msghdr message;

static int on(int fd, int level, int name) {
  int one = 1, seen = 0;
  socklen_t size = sizeof seen;
  if (setsockopt(fd, level, name, &one, sizeof one) != 0) return errno;
  return getsockopt(fd, level, name, &seen, &size) == 0 && seen == 1 ? 0 : -1;
}

/* Receives one packet with room for `room` bytes of control messages. */
static void receive(int fd, size_t room) {
  static char bytes[16];
  static struct iovec vector = {bytes, sizeof bytes};
  memset(&control, 0, sizeof control);
  memset(&message, 0, sizeof message);
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = room;
  EXPECT(recvmsg(fd, &message, 0), 5);
}

/* The control message of that kind, when it is there and so long. */
static void *told(int level, int type, size_t length) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == level && c->cmsg_type == type && c->cmsg_len == CMSG_LEN(length)) return CMSG_DATA(c);
  return NULL;
}

static int messages(void) {
  int count = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) count++;
  return count;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void version4(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  socklen_t size = sizeof address;
  int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0), ttl = 17, tos = 0x10;
  CHECK(bind(to, (void *)&address, size) == 0 && getsockname(to, (void *)&address, &size) == 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(connect(from, (void *)&address, size) == 0);
  EXPECT(send(from, "plain", 5, 0), 5);
  receive(to, sizeof control);
  EXPECT(messages(), 0);
  EXPECT(on(to, IPPROTO_IP, IP_PKTINFO), 0);
  EXPECT(on(to, IPPROTO_IP, IP_RECVTTL), 0);
  EXPECT(on(to, IPPROTO_IP, IP_RECVTOS), 0);
  EXPECT(on(to, SOL_SOCKET, SO_TIMESTAMP), 0);
  EXPECT(setsockopt(from, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl), 0);
  EXPECT(setsockopt(from, IPPROTO_IP, IP_TOS, &tos, sizeof tos), 0);
  double before = now();
  EXPECT(send(from, "first", 5, 0), 5);
  receive(to, sizeof control);
  EXPECT(messages(), 4);
  struct in_pktinfo *info = told(IPPROTO_IP, IP_PKTINFO, sizeof *info);
  CHECK(info != NULL && info->ipi_ifindex == 1 && info->ipi_addr.s_addr == htonl(INADDR_LOOPBACK));
  int *word = told(IPPROTO_IP, IP_TTL, sizeof *word);
  CHECK(word != NULL && *word == 17);
  unsigned char *byte = told(IPPROTO_IP, IP_TOS, 1);
  CHECK(byte != NULL && *byte == 0x10);
  struct timeval *time = told(SOL_SOCKET, SCM_TIMESTAMP, sizeof *time);
  CHECK(time != NULL && time->tv_sec + time->tv_usec / 1e6 > before - 1 && time->tv_usec < 1000000);
  CHECK(time != NULL && time->tv_sec + time->tv_usec / 1e6 < now() + 1);
  /* In nanoseconds instead. */
  EXPECT(on(to, SOL_SOCKET, SO_TIMESTAMPNS), 0);
  EXPECT(send(from, "other", 5, 0), 5);
  receive(to, sizeof control);
  CHECK(told(SOL_SOCKET, SCM_TIMESTAMP, sizeof(struct timeval)) == NULL);
  CHECK(told(SOL_SOCKET, SCM_TIMESTAMPNS, sizeof(struct timespec)) != NULL);
  /* Too little room. */
  EXPECT(send(from, "short", 5, 0), 5);
  receive(to, CMSG_SPACE(sizeof(struct timespec)));
  EXPECT(messages(), 1);
  CHECK((message.msg_flags & MSG_CTRUNC) != 0);
  close(to);
  close(from);
}

static void version6(void) {
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  socklen_t size = sizeof address;
  int to = socket(AF_INET6, SOCK_DGRAM, 0), from = socket(AF_INET6, SOCK_DGRAM, 0), hops = 9, class_ = 0x20;
  CHECK(bind(to, (void *)&address, size) == 0 && getsockname(to, (void *)&address, &size) == 0);
  CHECK(connect(from, (void *)&address, size) == 0);
  EXPECT(on(to, IPPROTO_IPV6, IPV6_RECVPKTINFO), 0);
  EXPECT(on(to, IPPROTO_IPV6, IPV6_RECVHOPLIMIT), 0);
  EXPECT(on(to, IPPROTO_IPV6, IPV6_RECVTCLASS), 0);
  EXPECT(setsockopt(from, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof hops), 0);
  EXPECT(setsockopt(from, IPPROTO_IPV6, IPV6_TCLASS, &class_, sizeof class_), 0);
  EXPECT(send(from, "first", 5, 0), 5);
  receive(to, sizeof control);
  EXPECT(messages(), 3);
  struct in6_pktinfo *info = told(IPPROTO_IPV6, IPV6_PKTINFO, sizeof *info);
  CHECK(info != NULL && info->ipi6_ifindex == 1 && memcmp(&info->ipi6_addr, &address.sin6_addr, 16) == 0);
  int *word = told(IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof *word);
  CHECK(word != NULL && *word == 9);
  word = told(IPPROTO_IPV6, IPV6_TCLASS, sizeof *word);
  CHECK(word != NULL && *word == 0x20);
  close(to);
  close(from);
}

static void within(int type) {
  int pair[2];
  CHECK(socketpair(AF_UNIX, type, 0, pair) == 0);
  EXPECT(send(pair[0], "early", 5, 0), 5);
  EXPECT(on(pair[1], SOL_SOCKET, SO_TIMESTAMP), 0);
  EXPECT(on(pair[1], SOL_SOCKET, SO_PASSCRED), 0);
  receive(pair[1], sizeof control);
  struct timeval *time = told(SOL_SOCKET, SCM_TIMESTAMP, sizeof *time);
  CHECK((time != NULL) == (type == SOCK_DGRAM));
  CHECK(time == NULL || (time->tv_sec > now() - 60 && time->tv_sec < now() + 2));
  EXPECT(send(pair[0], "later", 5, 0), 5);
  receive(pair[1], sizeof control);
  CHECK((told(SOL_SOCKET, SCM_TIMESTAMP, sizeof *time) != NULL) == (type == SOCK_DGRAM));
  close(pair[0]);
  close(pair[1]);
}

/* Sends five bytes with one control message; the result or -errno. */
static int send_with(int fd, struct sockaddr *to, socklen_t size, int level, int type, int value, size_t length) {
  union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(int))]; } with = {.bytes = {0}};
  struct iovec vector = {"hello", 5};
  struct msghdr out = {.msg_name = to, .msg_namelen = size, .msg_iov = &vector, .msg_iovlen = 1};
  out.msg_control = with.bytes;
  out.msg_controllen = CMSG_SPACE(length);
  with.header.cmsg_level = level;
  with.header.cmsg_type = type;
  with.header.cmsg_len = CMSG_LEN(length);
  memcpy(CMSG_DATA(&with.header), &value, length);
  int sent = sendmsg(fd, &out, 0);
  return sent < 0 ? -errno : sent;
}

/* A packet may go as far, and be of the class, that its sender says of it alone. */
static void said_of_one_packet(void) {
  int to6 = socket(AF_INET6, SOCK_DGRAM, 0), to4 = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct sockaddr *name6 = (struct sockaddr *)&six, *name4 = (struct sockaddr *)&four;
  socklen_t size6 = sizeof six, size4 = sizeof four;
  EXPECT(bind(to4, name4, size4), 0);
  EXPECT(getsockname(to4, name4, &size4), 0);
  EXPECT(on(to4, IPPROTO_IP, IP_RECVTTL), 0);
  EXPECT(on(to4, IPPROTO_IP, IP_RECVTOS), 0);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  EXPECT(send_with(fd, name4, size4, IPPROTO_IP, IP_TTL, 7, sizeof(int)), 5);
  receive(to4, sizeof control);
  int *ttl = told(IPPROTO_IP, IP_TTL, sizeof(int));
  CHECK(ttl && *ttl == 7);
  EXPECT(send_with(fd, name4, size4, IPPROTO_IP, IP_TOS, 0x10, 1), 5);
  receive(to4, sizeof control);
  unsigned char *tos = told(IPPROTO_IP, IP_TOS, 1);
  CHECK(tos && *tos == 0x10);
  ttl = told(IPPROTO_IP, IP_TTL, sizeof(int));
  CHECK(ttl && *ttl == 64);
  EXPECT(send_with(fd, name4, size4, IPPROTO_IP, IP_TTL, 0, sizeof(int)), -EINVAL);
  EXPECT(send_with(fd, name4, size4, IPPROTO_IP, IP_TTL, 256, sizeof(int)), -EINVAL);
  EXPECT(send_with(fd, name4, size4, IPPROTO_IP, IP_TTL, 7, 2), -EINVAL);
  close(fd);
  if (bind(to6, name6, size6) == 0) {
    EXPECT(getsockname(to6, name6, &size6), 0);
    EXPECT(on(to6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT), 0);
    EXPECT(on(to6, IPPROTO_IPV6, IPV6_RECVTCLASS), 0);
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    EXPECT(send_with(fd, name6, size6, IPPROTO_IPV6, IPV6_HOPLIMIT, 9, sizeof(int)), 5);
    receive(to6, sizeof control);
    int *hops = told(IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof(int));
    CHECK(hops && *hops == 9);
    EXPECT(send_with(fd, name6, size6, IPPROTO_IPV6, IPV6_TCLASS, 33, sizeof(int)), 5);
    receive(to6, sizeof control);
    int *class = told(IPPROTO_IPV6, IPV6_TCLASS, sizeof(int));
    CHECK(class && *class == 33);
    hops = told(IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof(int));
    CHECK(hops && *hops == 64);
    EXPECT(send_with(fd, name6, size6, IPPROTO_IPV6, IPV6_HOPLIMIT, -1, sizeof(int)), 5);
    receive(to6, sizeof control);
    hops = told(IPPROTO_IPV6, IPV6_HOPLIMIT, sizeof(int));
    CHECK(hops && *hops == 64);
    EXPECT(send_with(fd, name6, size6, IPPROTO_IPV6, IPV6_HOPLIMIT, 256, sizeof(int)), -EINVAL);
    EXPECT(send_with(fd, name6, size6, IPPROTO_IPV6, IPV6_TCLASS, 1, 1), -EINVAL);
    close(fd);
  }
  close(to6);
  close(to4);
}

int main(void) {
  version4();
  version6();
  said_of_one_packet();
  within(SOCK_DGRAM);
  within(SOCK_STREAM);
  return report("packets");
}
