/* Pseudo-terminals and their line discipline: what one end makes of what the other does. */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master, slave;
static struct termios cooked;

static void open_pair(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(master >= 0);
  EXPECT(grantpt(master), 0);
  char *name = ptsname(master);
  CHECK(name != NULL);
  errno = 0;
  EXPECT(open(name, O_RDWR | O_NOCTTY), -1);
  EXPECT(errno, EIO);
  EXPECT(unlockpt(master), 0);
  slave = open(name, O_RDWR | O_NOCTTY);
  CHECK(slave >= 0);
  EXPECT(tcgetattr(slave, &cooked), 0);
}

/* Keys have an effect when the kernel gets round to it. */
static void type(const char *keys) {
  EXPECT(write(master, keys, strlen(keys)), strlen(keys));
  usleep(10000);
}

/* What can be read at once, as a C string with control characters made visible. */
static const char *visible(int fd) {
  static char text[4][4096];
  static int turn;
  char *out = text[turn++ & 3], *to = out;
  unsigned char bytes[1000];
  usleep(5000);
  struct pollfd wait = {fd, POLLIN, 0};
  poll(&wait, 1, 100);
  int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  ssize_t n = read(fd, bytes, sizeof bytes);
  fcntl(fd, F_SETFL, flags);
  if (n < 0) return errno == EAGAIN ? "(nothing)" : "(error)";
  if (n == 0) return "(end)";
  for (ssize_t i = 0; i < n; i++) {
    if (bytes[i] == '\n') to += sprintf(to, "\\n");
    else if (bytes[i] == '\r') to += sprintf(to, "\\r");
    else if (bytes[i] == '\t') to += sprintf(to, "\\t");
    else if (bytes[i] == '\b') to += sprintf(to, "\\b");
    else if (bytes[i] < 32 || bytes[i] > 126) to += sprintf(to, "<%02x>", bytes[i]);
    else *to++ = bytes[i];
  }
  *to = 0;
  return out;
}

#define SEES(fd, wanted)                                                    \
  do {                                                                      \
    const char *seen_ = visible(fd);                                        \
    checks++;                                                               \
    if (strcmp(seen_, wanted) != 0) {                                       \
      failures++;                                                           \
      printf("FAIL line %d: read \"%s\", not \"%s\"\n", __LINE__, seen_, wanted); \
    }                                                                       \
  } while (0)

static struct termios settings(void) {
  struct termios now;
  tcgetattr(slave, &now);
  return now;
}
static void set(struct termios wanted) { EXPECT(tcsetattr(slave, TCSANOW, &wanted), 0); }
static void local(tcflag_t off, tcflag_t on) {
  struct termios t = settings();
  t.c_lflag = (t.c_lflag & ~off) | on;
  set(t);
}
static void input(tcflag_t off, tcflag_t on) {
  struct termios t = settings();
  t.c_iflag = (t.c_iflag & ~off) | on;
  set(t);
}
static void output(tcflag_t off, tcflag_t on) {
  struct termios t = settings();
  t.c_oflag = (t.c_oflag & ~off) | on;
  set(t);
}

static void names(void) {
  struct stat by_fd, by_path;
  char *name = ttyname(slave);
  CHECK(name != NULL);
  EXPECT(strcmp(name, ptsname(master)), 0);
  EXPECT(fstat(slave, &by_fd), 0);
  EXPECT(stat(name, &by_path), 0);
  CHECK(S_ISCHR(by_fd.st_mode));
  EXPECT(major(by_fd.st_rdev), 136);
  CHECK(by_fd.st_ino == by_path.st_ino && by_fd.st_dev == by_path.st_dev && by_fd.st_rdev == by_path.st_rdev);
  CHECK((by_fd.st_mode & 0777) == 0620 || (by_fd.st_mode & 0777) == 0600);
  int number = -1, locked = -1;
  EXPECT(ioctl(master, TIOCGPTN, &number), 0);
  EXPECT(minor(by_fd.st_rdev), number);
  EXPECT(ioctl(master, TIOCGPTLCK, &locked), 0);
  EXPECT(locked, 0);
  unsigned device = 0;
  EXPECT(ioctl(slave, TIOCGDEV, &device), 0);
  EXPECT(device, (unsigned)by_fd.st_rdev);
  EXPECT(fstat(master, &by_fd), 0);
  EXPECT(major(by_fd.st_rdev), 5);
  EXPECT(minor(by_fd.st_rdev), 2);
  EXPECT(isatty(master), 1);
  EXPECT(isatty(slave), 1);
  errno = 0;
  EXPECT(lseek(slave, 0, SEEK_CUR), -1);
  EXPECT(errno, ESPIPE);
  EXPECT(fchmod(slave, 0640), 0);
  EXPECT(fstat(slave, &by_fd), 0);
  EXPECT(by_fd.st_mode & 0777, 0640);
  EXPECT(ioctl(slave, TIOCGPTN, &number), -1);
  EXPECT(errno, ENOTTY);
  int peer = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  CHECK(peer >= 0);
  EXPECT(strcmp(ttyname(peer), ptsname(master)), 0);
  close(peer);
}

static void defaults(void) {
  EXPECT(cooked.c_iflag, ICRNL | IXON);
  EXPECT(cooked.c_oflag, OPOST | ONLCR);
  EXPECT(cooked.c_cflag, CS8 | CREAD | B38400);
  EXPECT(cooked.c_lflag, ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
  EXPECT(cfgetospeed(&cooked), B38400);
  static const unsigned char characters[] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0};
  EXPECT(memcmp(cooked.c_cc, characters, sizeof characters), 0);
  struct termios t = cooked;
  t.c_cflag = CS5 | PARENB | B9600;
  EXPECT(tcsetattr(slave, TCSANOW, &t), 0);
  EXPECT(tcgetattr(master, &t), 0);
  EXPECT(t.c_cflag, CS8 | CREAD | B9600);
  EXPECT(cfgetospeed(&t), B9600);
  set(cooked);
  int n = -1;
  EXPECT(ioctl(slave, TIOCGETD, &n), 0);
  EXPECT(n, 0);
  EXPECT(ioctl(slave, TIOCOUTQ, &n), 0);
  EXPECT(n, 0);
  errno = 0;
  EXPECT(ioctl(slave, TIOCMGET, &n), -1);
  EXPECT(errno, ENOTTY);
}

/* Settings that are locked stay. */
static void locks(void) {
  struct termios locked;
  memset(&locked, 0, sizeof locked);
  EXPECT(ioctl(slave, TIOCGLCKTRMIOS, &locked), 0);
  EXPECT(locked.c_lflag, 0);
  locked.c_lflag = ECHO;
  locked.c_cc[VINTR] = 1;
  if (ioctl(slave, TIOCSLCKTRMIOS, &locked) == 0) {
    struct termios t = cooked;
    t.c_lflag &= ~(ECHO | ICANON);
    t.c_cc[VINTR] = t.c_cc[VQUIT] = 9;
    EXPECT(tcsetattr(slave, TCSANOW, &t), 0);
    EXPECT(tcgetattr(slave, &t), 0);
    EXPECT(t.c_lflag & (ECHO | ICANON), ECHO);
    EXPECT(t.c_cc[VINTR], 3);
    EXPECT(t.c_cc[VQUIT], 9);
    memset(&locked, 0, sizeof locked);
    EXPECT(ioctl(slave, TIOCSLCKTRMIOS, &locked), 0);
  }
  set(cooked);
}

static void lines(void) {
  type("hello\r");
  SEES(master, "hello\\r\\n");
  SEES(slave, "hello\\n");
  type("half");
  SEES(master, "half");
  SEES(slave, "(nothing)");
  int n = -1;
  EXPECT(ioctl(slave, FIONREAD, &n), 0);
  EXPECT(n, 0);
  type("\n");
  EXPECT(ioctl(slave, FIONREAD, &n), 0);
  EXPECT(n, 5);
  char two[2];
  EXPECT(read(slave, two, 2), 2);
  EXPECT(memcmp(two, "ha", 2), 0);
  SEES(slave, "lf\\n");
  SEES(master, "\\r\\n");
  /* Two lines are read one by one. */
  type("one\ntwo\n");
  SEES(slave, "one\\n");
  SEES(slave, "two\\n");
  SEES(master, "one\\r\\ntwo\\r\\n");
  /* End of file: behind text it ends the line, alone it is an end. */
  type("abc\004");
  EXPECT(ioctl(slave, FIONREAD, &n), 0);
  EXPECT(n, 3);
  SEES(slave, "abc");
  type("\004");
  SEES(slave, "(end)");
  SEES(slave, "(nothing)");
  type("xyz\004\n");
  char three[3];
  EXPECT(read(slave, three, 3), 3);
  SEES(slave, "\\n");
  SEES(master, "abcxyz\\r\\n");
}

static void editing(void) {
  type("helx\177p\n");
  SEES(master, "helx\\b \\bp\\r\\n");
  SEES(slave, "help\\n");
  type("a\001b\177\177c\n");
  SEES(master, "a^Ab\\b \\b\\b \\b\\b \\bc\\r\\n");
  SEES(slave, "ac\\n");
  type("one two_3  \027x\n");
  SEES(master, "one two_3  \\b \\b\\b \\b\\b \\b\\b \\b\\b \\b\\b \\b\\b \\bx\\r\\n");
  SEES(slave, "one x\\n");
  type("kill me\025ok\n");
  SEES(master, "kill me\\b \\b\\b \\b\\b \\b\\b \\b\\b \\b\\b \\b\\b \\bok\\r\\n");
  SEES(slave, "ok\\n");
  type("re\022print\n");
  SEES(master, "re^R\\r\\nreprint\\r\\n");
  SEES(slave, "reprint\\n");
  type("\026\003\026\004\n");
  SEES(master, "^\\b^C^\\b^D\\r\\n");
  SEES(slave, "<03><04>\\n");
  type("a\tb\177\177c\n");
  SEES(master, "a\\tb\\b \\b\\b\\b\\b\\b\\b\\b\\bc\\r\\n");
  SEES(slave, "ac\\n");
  type("\177\025\027\n");
  SEES(master, "\\r\\n");
  SEES(slave, "\\n");
  /* Without ECHOKE the killed line stays and a new one begins. */
  local(ECHOKE, 0);
  type("gone\025here\n");
  SEES(master, "gone^U\\r\\nhere\\r\\n");
  SEES(slave, "here\\n");
  local(ECHOE, 0);
  type("ab\177c\n");
  SEES(master, "ab^?c\\r\\n");
  SEES(slave, "ac\\n");
  local(0, ECHOPRT | ECHOE);
  type("ab\177\177c\n");
  SEES(master, "ab\\ba/c\\r\\n");
  SEES(slave, "c\\n");
  set(cooked);
  local(ECHO, ECHONL);
  type("secret\n");
  SEES(master, "\\r\\n");
  SEES(slave, "secret\\n");
  local(ECHONL, 0);
  type("secret\n");
  SEES(master, "(nothing)");
  SEES(slave, "secret\\n");
  local(ECHOCTL, ECHO);
  type("\001\n");
  SEES(master, "<01>\\r\\n");
  SEES(slave, "<01>\\n");
  set(cooked);
  /* UTF-8 characters are rubbed out whole. */
  input(0, IUTF8);
  type("a\303\244\342\202\254\177\177b\n");
  SEES(master, "a<c3><a4><e2><82><ac>\\b \\b\\b \\bb\\r\\n");
  SEES(slave, "ab\\n");
  set(cooked);
  struct termios t = cooked;
  t.c_cc[VEOL] = ';';
  t.c_cc[VEOL2] = ':';
  set(t);
  type("a;b:c\n");
  SEES(slave, "a;");
  SEES(slave, "b:");
  SEES(slave, "c\\n");
  SEES(master, "a;b:c\\r\\n");
  t = cooked;
  t.c_cc[VERASE] = 0;
  set(t);
  type("a\177\n");
  SEES(master, "a^?\\r\\n");
  SEES(slave, "a<7f>\\n");
  set(cooked);
}

static void translations(void) {
  input(ICRNL, INLCR);
  local(ICANON | ECHO, 0);
  type("a\rb\n");
  SEES(slave, "a\\rb\\r");
  input(INLCR, IGNCR);
  type("a\rb\n");
  SEES(slave, "ab\\n");
  input(IGNCR, ISTRIP);
  type("\301");
  SEES(slave, "A");
  input(ISTRIP, IUCLC);
  type("ABC");
  SEES(slave, "abc");
  set(cooked);
  EXPECT(write(slave, "a\nb\tc\r", 6), 6);
  SEES(master, "a\\r\\nb\\tc\\r");
  output(ONLCR, 0);
  EXPECT(write(slave, "a\n", 2), 2);
  SEES(master, "a\\n");
  EXPECT(write(slave, "\r", 1), 1);
  output(0, ONOCR);
  EXPECT(write(slave, "\rx\r", 3), 3);
  SEES(master, "\\rx\\r");
  output(ONOCR, OCRNL);
  EXPECT(write(slave, "a\r", 2), 2);
  SEES(master, "a\\n");
  output(OCRNL, OLCUC);
  EXPECT(write(slave, "\rabC\n", 5), 5);
  SEES(master, "\\rABC\\n");
  output(OLCUC, XTABS | ONLCR);
  EXPECT(write(slave, "\n12\t3\t\n", 7), 7);
  SEES(master, "\\r\\n12      3       \\r\\n");
  output(OPOST, 0);
  EXPECT(write(slave, "a\n\t", 3), 3);
  SEES(master, "a\\n\\t");
  set(cooked);
}

static long elapsed(struct timeval from) {
  struct timeval now;
  gettimeofday(&now, NULL);
  return (now.tv_sec - from.tv_sec) * 1000 + (now.tv_usec - from.tv_usec) / 1000;
}

static void patience(void) {
  struct termios t = cooked;
  cfmakeraw(&t);
  char bytes[10];
  struct timeval start;
  struct pollfd wait = {slave, POLLIN, 0};
  t.c_cc[VMIN] = 0;
  t.c_cc[VTIME] = 0;
  set(t);
  EXPECT(read(slave, bytes, 10), 0);
  type("ab");
  EXPECT(read(slave, bytes, 10), 2);
  t.c_cc[VTIME] = 2;
  set(t);
  gettimeofday(&start, NULL);
  EXPECT(read(slave, bytes, 10), 0);
  CHECK(elapsed(start) >= 150);
  t.c_cc[VMIN] = 3;
  t.c_cc[VTIME] = 0;
  set(t);
  type("ab");
  EXPECT(poll(&wait, 1, 50), 0);
  type("c");
  EXPECT(poll(&wait, 1, 1000), 1);
  EXPECT(read(slave, bytes, 10), 3);
  /* Between bytes: what there is when no more comes. */
  t.c_cc[VMIN] = 5;
  t.c_cc[VTIME] = 1;
  set(t);
  type("ab");
  EXPECT(poll(&wait, 1, 1000), 1);
  EXPECT(read(slave, bytes, 10), 2);
  fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
  errno = 0;
  EXPECT(read(slave, bytes, 10), -1);
  EXPECT(errno, EAGAIN);
  fcntl(slave, F_SETFL, O_RDWR);
  set(cooked);
  /* What has been typed in one mode is read in the other. */
  type("typed");
  SEES(master, "typed");
  local(ICANON, 0);
  SEES(slave, "typed");
  type("raw");
  local(0, ICANON);
  SEES(slave, "raw");
  SEES(master, "raw");
  set(cooked);
}

static void flow(void) {
  type("\023");
  fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
  EXPECT(write(slave, "x", 1), -1);
  EXPECT(errno, EAGAIN);
  struct pollfd wait = {slave, POLLOUT, 0};
  EXPECT(poll(&wait, 1, 0), 0);
  type("e");
  SEES(master, "(nothing)");
  type("\021");
  SEES(master, "e");
  EXPECT(write(slave, "x", 1), 1);
  SEES(master, "x");
  EXPECT(tcflow(slave, TCOOFF), 0);
  type("\021");
  EXPECT(write(slave, "x", 1), -1);
  EXPECT(tcflow(slave, TCOON), 0);
  EXPECT(write(slave, "x", 1), 1);
  SEES(master, "x");
  EXPECT(tcflow(slave, TCIOFF), 0);
  SEES(master, "<13>");
  EXPECT(tcflow(slave, TCION), 0);
  SEES(master, "<11>");
  EXPECT(tcflow(slave, 9), -1);
  EXPECT(errno, EINVAL);
  fcntl(slave, F_SETFL, O_RDWR);
  input(0, IXANY);
  type("\023");
  type("q");
  EXPECT(write(slave, "x", 1), 1);
  SEES(master, "qx");
  set(cooked);
  type("\025");
  SEES(master, "\\b \\b\\b \\b");
  /* Flushing. */
  type("line\n");
  SEES(master, "line\\r\\n");
  EXPECT(tcflush(slave, TCIFLUSH), 0);
  SEES(slave, "(nothing)");
  EXPECT(write(slave, "kept", 4), 4);
  usleep(10000);
  /* What has arrived at the other end is not to be had back. */
  EXPECT(tcflush(slave, TCOFLUSH), 0);
  SEES(master, "kept");
  type("line\n");
  struct termios t = cooked;
  EXPECT(tcsetattr(slave, TCSAFLUSH, &t), 0);
  SEES(slave, "(nothing)");
  SEES(master, "line\\r\\n");
  EXPECT(tcflush(slave, 7), -1);
  EXPECT(tcdrain(slave), 0);
  EXPECT(tcsendbreak(slave, 0), 0);
}

static void packets(void) {
  int on = 1;
  EXPECT(ioctl(master, TIOCPKT, &on), 0);
  EXPECT(write(slave, "data", 4), 4);
  SEES(master, "<00>data");
  EXPECT(tcflush(slave, TCIFLUSH), 0);
  SEES(master, "<01>");
  EXPECT(tcflow(slave, TCOOFF), 0);
  struct pollfd wait = {master, POLLIN | POLLPRI, 0};
  EXPECT(poll(&wait, 1, 0), 1);
  EXPECT(wait.revents, POLLIN | POLLPRI);
  SEES(master, "<04>");
  EXPECT(tcflow(slave, TCOON), 0);
  SEES(master, "\\b");
  input(IXON, 0);
  SEES(master, "<10>");
  input(0, IXON);
  SEES(master, " ");
  EXPECT(ioctl(master, TIOCGPKT, &on), 0);
  EXPECT(on, 1);
  on = 0;
  EXPECT(ioctl(master, TIOCPKT, &on), 0);
  EXPECT(write(slave, "data", 4), 4);
  SEES(master, "data");
  EXPECT(ioctl(slave, TIOCPKT, &on), -1);
}

/* More than fits: the writer waits until somebody reads. */
static void filling(void) {
  struct termios t = cooked;
  cfmakeraw(&t);
  set(t);
  char block[1000];
  memset(block, 'x', sizeof block);
  fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
  long put = 0, got = 0;
  for (ssize_t n; (n = write(master, block, sizeof block)) > 0;) put += n;
  EXPECT(errno, EAGAIN);
  CHECK(put >= 4095 && put < 1 << 20);
  struct pollfd wait = {slave, POLLIN, 0};
  for (ssize_t n; poll(&wait, 1, 100) == 1 && (n = read(slave, block, sizeof block)) > 0;) got += n;
  EXPECT(got, put);
  fcntl(master, F_SETFL, O_RDWR);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 200; i++)
      if (write(slave, block, sizeof block) != sizeof block) _exit(1);
    _exit(0);
  }
  for (got = 0; got < 200000;) got += read(master, block, sizeof block);
  EXPECT(got, 200000);
  int status;
  EXPECT(waitpid(child, &status, 0), child);
  EXPECT(status, 0);
  set(cooked);
  /* A line that is too long keeps its beginning, and its end can be typed. */
  memset(block, 'y', sizeof block);
  for (int i = 0; i < 5; i++) EXPECT(write(master, block, sizeof block), sizeof block);
  type("\n");
  char line[6000];
  EXPECT(read(slave, line, sizeof line), 4096);
  EXPECT(line[4095], '\n');
  tcflush(master, TCIFLUSH);
  tcflush(slave, TCIOFLUSH);
}

static volatile sig_atomic_t resized;
static void on_resize(int signal) { resized = signal; }

static void windows(void) {
  struct winsize size = {0};
  EXPECT(ioctl(slave, TIOCGWINSZ, &size), 0);
  EXPECT(size.ws_row, 0);
  size = (struct winsize){25, 80, 3, 4};
  EXPECT(ioctl(master, TIOCSWINSZ, &size), 0);
  memset(&size, 0, sizeof size);
  EXPECT(ioctl(slave, TIOCGWINSZ, &size), 0);
  CHECK(size.ws_row == 25 && size.ws_col == 80 && size.ws_xpixel == 3 && size.ws_ypixel == 4);
}

static void readiness(void) {
  int set = epoll_create1(0);
  struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLET, {0}};
  EXPECT(epoll_ctl(set, EPOLL_CTL_ADD, slave, &event), 0);
  EXPECT(epoll_wait(set, &event, 1, 0), 1);
  EXPECT(event.events, EPOLLOUT);
  type("line\n");
  EXPECT(epoll_wait(set, &event, 1, 1000), 1);
  EXPECT(event.events, EPOLLOUT | EPOLLIN);
  EXPECT(epoll_wait(set, &event, 1, 0), 0);
  SEES(slave, "line\\n");
  struct pollfd wait = {master, POLLIN | POLLOUT, 0};
  EXPECT(poll(&wait, 1, 1000), 1);
  EXPECT(wait.revents, POLLIN | POLLOUT);
  SEES(master, "line\\r\\n");
  EXPECT(poll(&wait, 1, 0), 1);
  EXPECT(wait.revents, POLLOUT);
  close(set);
}

/* The slave's last close is an end for the master, and the next open a beginning. */
static void slave_closes(void) {
  char byte;
  EXPECT(write(slave, "rest", 4), 4);
  close(slave);
  struct pollfd wait = {master, POLLIN, 0};
  EXPECT(poll(&wait, 1, 0), 1);
  EXPECT(wait.revents, POLLIN | POLLHUP);
  SEES(master, "rest");
  errno = 0;
  EXPECT(read(master, &byte, 1), -1);
  EXPECT(errno, EIO);
  EXPECT(poll(&wait, 1, 0), 1);
  EXPECT(wait.revents, POLLHUP);
  slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  CHECK(slave >= 0);
  EXPECT(poll(&wait, 1, 0), 0);
  type("again\n");
  SEES(slave, "again\\n");
  SEES(master, "again\\r\\n");
}

/* The master's close hangs the slave up. */
static void master_closes(void) {
  char name[64], byte;
  strcpy(name, ptsname(master));
  pid_t child = fork();
  if (child == 0) {
    close(master);
    errno = 0;
    ssize_t n = read(slave, &byte, 1);
    _exit(n == -1 && errno == EIO ? 0 : 1);
  }
  usleep(100000);
  close(master);
  int status;
  EXPECT(waitpid(child, &status, 0), child);
  EXPECT(status, 0);
  EXPECT(read(slave, &byte, 1), 0);
  errno = 0;
  EXPECT(write(slave, "x", 1), -1);
  EXPECT(errno, EIO);
  struct termios t;
  EXPECT(tcgetattr(slave, &t), -1);
  EXPECT(errno, EIO);
  struct pollfd wait = {slave, POLLIN | POLLOUT, 0};
  EXPECT(poll(&wait, 1, 0), 1);
  EXPECT(wait.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
  errno = 0;
  EXPECT(open(name, O_RDWR | O_NOCTTY), -1);
  EXPECT(errno, ENOENT);
  close(slave);
}

int main(void) {
  signal(SIGWINCH, on_resize);
  open_pair();
  names();
  defaults();
  locks();
  windows();
  lines();
  editing();
  translations();
  patience();
  flow();
  packets();
  readiness();
  filling();
  slave_closes();
  master_closes();
  return report("terminals");
}
