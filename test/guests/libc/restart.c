/* signal(7), "Interruption of system calls": what each call that waits does when a handler runs, with SA_RESTART and without. */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* linux/futex.h is not there with every C library. */
enum { FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET = 9 };

static volatile sig_atomic_t handled;
/* Told when the handler has run. */
static int told[2];
static void on_signal(int signal) {
  handled++;
  if (write(told[1], "x", 1) < 0) _exit(1);
}

static pid_t victim;
static int in[2], out[2], pair[2], full[2], master, slave, event, full_event, timer, signals, epolls, listener, file;
static const char *directory = ".";
static char own[200], path[220], fifo[220];
static char *buffer;

/* What each call waits for comes after the signal, so that one that is made again has an end. */
#define READS(name, call) static long name(void) { return call; }
READS(read_pipe, read(in[0], buffer, 1))
READS(readv_pipe, readv(in[0], &(struct iovec){buffer, 1}, 1))
READS(read_terminal, read(slave, buffer, 1))
READS(read_eventfd, read(event, buffer, 8))
READS(read_timerfd, read(timer, buffer, 8))
READS(read_signalfd, read(signals, buffer, 128))
READS(write_pipe, write(out[1], buffer, 4096))
READS(write_eventfd, write(full_event, &(long){5}, 8))
READS(recv_socket, recv(pair[0], buffer, 1, 0))
READS(recvmsg_socket, recvmsg(pair[0], &(struct msghdr){.msg_iov = &(struct iovec){buffer, 1}, .msg_iovlen = 1}, 0))
READS(send_socket, send(full[0], buffer, 4096, 0))
READS(accept_socket, accept(listener, NULL, NULL))
READS(flock_file, ({ int fd = open(path, O_RDWR); long r = flock(fd, LOCK_EX); int e = errno; close(fd); errno = e; r; }))
READS(fcntl_lock, fcntl(file, F_SETLKW, &(struct flock){.l_type = F_WRLCK}))
READS(ofd_lock, ({ int fd = open(path, O_RDWR); long r = fcntl(fd, F_OFD_SETLKW, &(struct flock){.l_type = F_WRLCK}); int e = errno; close(fd); errno = e; r; }))
READS(open_fifo, ({ int fd = open(fifo, O_RDONLY); int e = errno; if (fd >= 0) close(fd); errno = e; fd < 0 ? -1 : 0; }))
READS(wait_child, wait4(-1, NULL, 0, NULL))
READS(waitid_child, waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED))
static unsigned word;
READS(futex_wait, syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL))
READS(futex_timed, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &(struct timespec){20}))
READS(futex_bitset, syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 1))
static sem_t semaphore;
READS(wait_semaphore, sem_wait(&semaphore))
#ifdef __GLIBC__
READS(timed_semaphore, ({ struct timespec t; clock_gettime(CLOCK_REALTIME, &t); t.tv_sec += 20; sem_timedwait(&semaphore, &t); }))
#endif
READS(poll_pipe, poll(&(struct pollfd){in[0], POLLIN}, 1, 20000))
READS(ppoll_pipe, ppoll(&(struct pollfd){in[0], POLLIN}, 1, &(struct timespec){20}, NULL))
READS(select_pipe, ({ fd_set set; FD_ZERO(&set); FD_SET(in[0], &set); select(in[0] + 1, &set, NULL, NULL, &(struct timeval){20}); }))
READS(epoll_pipe, epoll_wait(epolls, &(struct epoll_event){0}, 1, 20000))
READS(sleep_nano, nanosleep(&(struct timespec){20}, NULL))
READS(sleep_clock, ({ errno = clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){20}, NULL); errno ? -1 : 0; }))
READS(pause_call, pause())
READS(suspend_call, ({ sigset_t none; sigemptyset(&none); sigsuspend(&none); }))
#ifdef __GLIBC__
READS(wait_signal, ({ sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR2); sigtimedwait(&set, NULL, &(struct timespec){20}); }))
#endif
/* With a timeout on the socket nothing is made again. */
READS(recv_timeout, ({ struct timeval t = {20}; setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t); long r = recv(pair[0], buffer, 1, 0); int e = errno; t.tv_sec = 0; setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t); errno = e; r; }))

enum { AGAIN, NEVER };
static const struct {
  const char *name;
  long (*call)(void);
  /* AGAIN: made again with SA_RESTART; NEVER: EINTR always. */
  int rule;
} calls[] = {
  {"read of a pipe", read_pipe, AGAIN},
  {"readv of a pipe", readv_pipe, AGAIN},
  {"read of a terminal", read_terminal, AGAIN},
  {"read of an eventfd", read_eventfd, AGAIN},
  {"read of a timerfd", read_timerfd, AGAIN},
  {"read of a signalfd", read_signalfd, AGAIN},
  {"write to a pipe", write_pipe, AGAIN},
  {"write to an eventfd", write_eventfd, AGAIN},
  {"recv", recv_socket, AGAIN},
  {"recvmsg", recvmsg_socket, AGAIN},
  {"recv with a timeout", recv_timeout, NEVER},
  {"send", send_socket, AGAIN},
  {"accept", accept_socket, AGAIN},
  {"flock", flock_file, AGAIN},
  {"F_SETLKW", fcntl_lock, AGAIN},
  {"F_OFD_SETLKW", ofd_lock, AGAIN},
  {"open of a FIFO", open_fifo, AGAIN},
  {"wait4", wait_child, AGAIN},
  {"waitid", waitid_child, AGAIN},
  {"FUTEX_WAIT", futex_wait, AGAIN},
  {"FUTEX_WAIT with a timeout", futex_timed, NEVER},
  {"FUTEX_WAIT_BITSET", futex_bitset, AGAIN},
  {"sem_wait", wait_semaphore, AGAIN},
  {"poll", poll_pipe, NEVER},
  {"ppoll", ppoll_pipe, NEVER},
  {"select", select_pipe, NEVER},
  {"epoll_wait", epoll_pipe, NEVER},
  {"nanosleep", sleep_nano, NEVER},
  {"clock_nanosleep", sleep_clock, NEVER},
  {"pause", pause_call, NEVER},
  {"sigsuspend", suspend_call, NEVER},
#ifdef __GLIBC__
  /* musl makes these again itself. */
  {"sem_timedwait", timed_semaphore, NEVER},
  {"sigtimedwait", wait_signal, NEVER},
#endif
};

/* Makes everything that a call may wait for happen. */
static void feed(void) {
  char many[1 << 16];
  long n;
  if (write(in[1], "x", 1) < 0 || write(master, "x\n", 2) < 0) _exit(1);
  if (write(event, &(long){1}, 8) < 0 || write(pair[1], "x", 1) < 0) _exit(1);
  if (read(out[0], many, sizeof many) < 0 || read(full_event, many, 8) < 0) _exit(1);
  while ((n = recv(full[1], many, sizeof many, MSG_DONTWAIT)) > 0) {}
  timerfd_settime(timer, 0, &(struct itimerspec){.it_value = {0, 1}}, NULL);
  struct sockaddr_un address = {AF_UNIX};
  sprintf(address.sun_path + 1, "restart-%d", victim);
  connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, sizeof address);
  kill(victim, SIGUSR2);
  close(open(fifo, O_WRONLY | O_NONBLOCK));
}

/* Whether the process waits. */
static int sleeps(pid_t pid) {
  char name[40], line[300] = "";
  sprintf(name, "/proc/%d/stat", pid);
  int fd = open(name, O_RDONLY);
  if (read(fd, line, sizeof line - 1) < 0) _exit(1);
  close(fd);
  char *end = strrchr(line, ')');
  return end != NULL && end[2] == 'S';
}

/* One call in a process of its own: the signal comes when it waits, and later what it waits for. */
static int run(int which, int flags) {
  victim = getpid();
  sprintf(own, "%s/restart-%d", directory, victim);
  mkdir(own, 0700);
  sprintf(path, "%s/lock", own);
  sprintf(fifo, "%s/fifo", own);
  close(open(path, O_CREAT | O_RDWR, 0600));
  mkfifo(fifo, 0600);
  CHECK(pipe(in) == 0 && pipe(out) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, full) == 0 && openpty(&master, &slave, NULL, NULL, NULL) == 0);
  fcntl(out[1], F_SETFL, O_NONBLOCK);
  while (write(out[1], buffer, 4096) > 0) {}
  fcntl(out[1], F_SETFL, 0);
  while (send(full[0], buffer, 4096, MSG_DONTWAIT) > 0) {}
  event = eventfd(0, 0);
  full_event = eventfd(0, 0);
  if (write(full_event, &(unsigned long){0xfffffffffffffffe}, 8) < 0) return 3;
  timer = timerfd_create(CLOCK_MONOTONIC, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  signals = signalfd(-1, &set, 0);
  epolls = epoll_create1(0);
  epoll_ctl(epolls, EPOLL_CTL_ADD, in[0], &(struct epoll_event){EPOLLIN});
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {AF_UNIX};
  sprintf(address.sun_path + 1, "restart-%d", victim);
  bind(listener, (void *)&address, sizeof address);
  listen(listener, 5);
  sem_init(&semaphore, 1, 0);
  file = open(path, O_RDWR);

  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  sigaction(SIGUSR1, &action, NULL);
  int locks[2];
  CHECK(pipe(locks) == 0 && pipe(told) == 0);
  pid_t helper = fork();
  if (helper == 0) {
    signal(SIGUSR2, SIG_DFL);
    int locked = open(path, O_RDWR);
    flock(locked, LOCK_EX);
    fcntl(locked, F_SETLK, &(struct flock){.l_type = F_WRLCK});
    if (write(locks[1], "x", 1) < 0) _exit(1);
    do usleep(150000);
    while (!sleeps(victim));
    kill(victim, SIGUSR1);
    char byte;
    if (read(told[0], &byte, 1) != 1) _exit(1);
    usleep(50000);
    feed();
    _exit(0);
  }
  char byte;
  CHECK(read(locks[0], &byte, 1) == 1);
  errno = 0;
  long result = calls[which].call();
  int error = errno;
  /* The helper may be at it still. */
  waitpid(helper, NULL, 0);
  unlink(path);
  unlink(fifo);
  rmdir(own);
  if (!handled) return 2;
  if (result == -1) return error == EINTR ? 1 : error == ETIMEDOUT || error == EAGAIN ? 4 : 5;
  return 0;
}

/* Those that wait for a word of memory need somebody in the same memory to change it. */
static void *wake_later(void *unused) {
  while (!handled) usleep(10000);
  usleep(200000);
  for (int i = 0; i < 20; i++) {
    usleep(20000);
    syscall(SYS_futex, &word, FUTEX_WAKE, 1);
    sem_post(&semaphore);
  }
  return NULL;
}

static pid_t attempt(int which, int flags) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_t thread;
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, wake_later, NULL);
    sigdelset(&set, SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    _exit(run(which, flags));
  }
  return child;
}

static void judge(int which, int restarts, int status) {
  static const char *words[] = {"goes on", "EINTR", "no handler has run", "broken", "time is over", "another error"};
  int wanted = !restarts || calls[which].rule == NEVER;
  checks++;
  if (WIFEXITED(status) && WEXITSTATUS(status) == wanted) return;
  failures++;
  printf("FAIL %s %s SA_RESTART: %s\n", calls[which].name, restarts ? "with" : "without",
         WIFEXITED(status) ? words[WEXITSTATUS(status)] : "has died");
}

/* So many at once: they wait most of the time. */
enum { TOGETHER = 6 };

int main(int argc, char **argv) {
  if (argc > 1) directory = argv[1];
  buffer = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int count = 2 * sizeof calls / sizeof calls[0];
  for (int first = 0; first < count; first += TOGETHER) {
    pid_t children[TOGETHER];
    for (int i = first; i < first + TOGETHER && i < count; i++)
      children[i - first] = attempt(i / 2, i % 2 ? SA_RESTART : 0);
    for (int i = first; i < first + TOGETHER && i < count; i++) {
      int status;
      CHECK(waitpid(children[i - first], &status, 0) == children[i - first]);
      judge(i / 2, i % 2, status);
    }
  }
  return report("restart");
}
