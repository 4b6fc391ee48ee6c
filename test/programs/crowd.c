#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * crowd processes N [pause]: N processes, each of which waits in another system call; all are woken and must find what they have waited
 * for. crowd threads N: one process with N threads that sleep. With `pause` they wait until a line comes in.
 */
enum {
  READ, POLL, EPOLL, SELECT, SLEEP, SUSPEND, TIMEDWAIT, SOCKET, FUTEX, LOCK, MESSAGE, SEMAPHORE, EVENT, ACCEPT, CLOSED, WRITE, SEND,
  SLEPT, POLLED, FUTEX_LATE, SIGNAL_LATE, SEMAPHORE_LATE, RESTARTED, KINDS
};

struct message {
  long type;
  char text[8];
};

#define FAR 600
/* More than a pipe and the queues of two sockets hold. */
#define LARGE (1 << 20)

static int *word;
static int bytes[2], ready[2], pair[2], event, lock, queue, semaphores, listener;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void on_signal(int signal) { (void)signal; }

static volatile int handled;
static void on_restart(int signal) {
  (void)signal;
  handled = 1;
}

/* Writes more than fits, which a child of its own takes at leisure. */
static int write_much(int kind) {
  int ends[2];
  if ((kind == WRITE ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) != 0) return 0;
  pid_t reader = fork();
  unsigned char *data = malloc(LARGE);
  if (reader == 0) {
    close(ends[1]);
    size_t done = 0;
    for (ssize_t n; (n = read(ends[0], data, 40000)) > 0; done += n) {
      for (ssize_t i = 0; i < n; i++)
        if (data[i] != (unsigned char)((done + i) * 7 >> 3)) _exit(2);
      if (done < 200000) usleep(2000);
    }
    _exit(done == LARGE ? 0 : 3);
  }
  close(ends[0]);
  for (size_t i = 0; i < LARGE; i++) data[i] = i * 7 >> 3;
  ssize_t written = kind == WRITE ? write(ends[1], data, LARGE) : send(ends[1], data, LARGE, 0);
  close(ends[1]);
  int status;
  return written == LARGE && waitpid(reader, &status, 0) == reader && status == 0;
}

static int waits(int kind) {
  char byte = 0;
  sigset_t set;
  struct timespec far = {FAR, 0}, soon = {0, 150000000}, left = {0, 0};
  double begun = now();
  switch (kind) {
  case READ:
    return read(bytes[0], &byte, 1) == 1 && byte == 'x';
  case POLL: {
    struct pollfd p[2] = {{bytes[0], POLLIN, 0}, {bytes[0], POLLPRI, 0}};
    return poll(p, 2, FAR * 1000) == 1 && p[0].revents == POLLIN && read(bytes[0], &byte, 1) == 1 && byte == 'x';
  }
  case EPOLL: {
    int set = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef}, got;
    epoll_ctl(set, EPOLL_CTL_ADD, bytes[0], &wanted);
    return epoll_wait(set, &got, 1, -1) == 1 && got.events == EPOLLIN && got.data.u64 == wanted.data.u64 &&
           read(bytes[0], &byte, 1) == 1;
  }
  case SELECT: {
    fd_set in;
    FD_ZERO(&in);
    FD_SET(bytes[0], &in);
    struct timeval time = {FAR, 0};
    return select(bytes[0] + 1, &in, 0, 0, &time) == 1 && time.tv_sec < FAR && read(bytes[0], &byte, 1) == 1;
  }
  case SLEEP:
    return nanosleep(&far, &left) == -1 && errno == EINTR && left.tv_sec > 0 && left.tv_sec < FAR;
  case SUSPEND: {
    sigemptyset(&set);
    int result = sigsuspend(&set);
    int error = errno;
    sigprocmask(SIG_BLOCK, 0, &set);
    return result == -1 && error == EINTR && sigismember(&set, SIGUSR1) && sigismember(&set, SIGUSR2);
  }
  case TIMEDWAIT:
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, 0, &far) == SIGUSR1;
  case SOCKET:
    return recv(pair[0], &byte, 1, 0) == 1 && byte == 'y';
  case FUTEX:
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) syscall(SYS_futex, word, FUTEX_WAIT, 0, &far, 0, 0);
    return 1;
  case LOCK: {
    struct flock want = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(lock, F_SETLKW, &want) == 0;
  }
  case MESSAGE: {
    struct message message;
    return msgrcv(queue, &message, 8, 0, 0) == 3 && memcmp(message.text, "abc", 3) == 0;
  }
  case SEMAPHORE: {
    struct sembuf take = {0, -1, 0};
    return semtimedop(semaphores, &take, 1, &far) == 0;
  }
  case EVENT: {
    unsigned long long count;
    return read(event, &count, 8) == 8 && count == 1;
  }
  case ACCEPT: {
    int peer = accept(listener, 0, 0);
    return peer >= 0 && read(peer, &byte, 1) == 1 && byte == 'z';
  }
  case CLOSED: {
    /* Another thread closes the descriptor and puts another file there: the call has the first one. */
    int copy = dup(bytes[0]);
    char status[64];
    snprintf(status, sizeof status, "/proc/self/task/%d/stat", getpid());
    void *close_it(void *fd) {
      char line[512] = "";
      while (strstr(line, ") S ") == NULL) {
        usleep(10000);
        int file = open(status, O_RDONLY);
        line[read(file, line, sizeof line - 1)] = 0;
        close(file);
      }
      dup2(event, *(int *)fd);
      return 0;
    }
    pthread_t other;
    pthread_create(&other, 0, close_it, &copy);
    int right = read(copy, &byte, 1) == 1 && byte == 'x';
    pthread_join(other, 0);
    return right;
  }
  case WRITE:
  case SEND:
    return write_much(kind);
  case SLEPT:
    return nanosleep(&soon, 0) == 0 && now() - begun >= 0.15;
  case POLLED:
    return poll(0, 0, 150) == 0 && now() - begun >= 0.15;
  case FUTEX_LATE: {
    int own = 0;
    return syscall(SYS_futex, &own, FUTEX_WAIT, 0, &soon, 0, 0) == -1 && errno == ETIMEDOUT && now() - begun >= 0.15;
  }
  case SIGNAL_LATE:
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, 0, &soon) == -1 && errno == EAGAIN && now() - begun >= 0.15;
  case SEMAPHORE_LATE: {
    struct sembuf zero = {1, 0, 0};
    return semtimedop(semaphores, &zero, 1, &soon) == -1 && errno == EAGAIN && now() - begun >= 0.15;
  }
  case RESTARTED: {
    struct sigaction action = {.sa_handler = on_restart, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, 0);
    return read(bytes[0], &byte, 1) == 1 && byte == 'x' && handled;
  }
  }
  return 0;
}

static int wants_signal(int kind) {
  return kind == SLEEP || kind == SUSPEND || kind == TIMEDWAIT || kind == RESTARTED;
}

static int wake(int kind, const struct sockaddr_un *name, socklen_t length) {
  unsigned long long one = 1;
  struct message message = {1, "abc"};
  struct sembuf give = {0, 1, 0};
  switch (kind) {
  case READ: case POLL: case EPOLL: case SELECT: case CLOSED: case RESTARTED:
    return write(bytes[1], "x", 1) == 1;
  case SOCKET:
    return send(pair[1], "y", 1, 0) == 1;
  case MESSAGE:
    return msgsnd(queue, &message, 3, 0) == 0;
  case SEMAPHORE:
    return semop(semaphores, &give, 1) == 0;
  case EVENT:
    return write(event, &one, 8) == 8;
  case ACCEPT: {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)name, length) != 0 || write(fd, "z", 1) != 1) return 0;
    return close(fd) == 0;
  }
  }
  return 1;
}

static int processes(int count, int pauses) {
  pid_t *pids = calloc(count, sizeof *pids);
  word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (pipe(bytes) != 0 || pipe(ready) != 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return 2;
  event = eventfd(0, EFD_SEMAPHORE);
  lock = memfd_create("lock", 0);
  struct flock change = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(lock, F_SETLK, &change) != 0) return 3;
  queue = msgget(IPC_PRIVATE, 0600);
  semaphores = semget(IPC_PRIVATE, 2, 0600);
  struct sembuf one = {1, 1, 0};
  if (semop(semaphores, &one, 1) != 0) return 3;
  listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un name = {AF_UNIX, "\0crowd"};
  socklen_t length = sizeof(sa_family_t) + 6;
  if (bind(listener, (struct sockaddr *)&name, length) != 0 || listen(listener, 4096) != 0) return 3;
  signal(SIGUSR1, on_signal);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, 0);
  for (int i = 0; i < count; i++) {
    int kind = i % KINDS;
    pids[i] = fork();
    if (pids[i] < 0) {
      printf("fork %d: %s\n", i, strerror(errno));
      return 4;
    }
    if (pids[i] == 0) {
      if (kind == SLEEP || kind == RESTARTED) sigprocmask(SIG_UNBLOCK, &set, 0);
      if (write(ready[1], "r", 1) != 1) _exit(2);
      _exit(waits(kind) ? 0 : 1);
    }
  }
  char byte;
  for (int i = 0; i < count; i++)
    if (read(ready[0], &byte, 1) != 1) return 5;
  /* Signals that come before the call is made would end nothing. */
  usleep(300000);
  printf("%d wait\n", count);
  fflush(stdout);
  if (pauses) getchar();
  __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);
  change.l_type = F_UNLCK;
  if (fcntl(lock, F_SETLK, &change) != 0) return 6;
  for (int i = 0; i < count; i++)
    if (wants_signal(i % KINDS)) kill(pids[i], SIGUSR1);
  /* Whose read is to be begun again by the handler must not be given its byte before that. */
  usleep(300000);
  for (int i = 0; i < count; i++)
    if (!wake(i % KINDS, &name, length)) return 7;
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    int status, kind = i % KINDS;
    /* Again, since on a busy machine a process may not have begun to sleep. */
    for (siginfo_t info = {0}; kind == SLEEP; usleep(20000)) {
      if (waitid(P_PID, pids[i], &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0) break;
      kill(pids[i], SIGUSR1);
    }
    if (waitpid(pids[i], &status, 0) != pids[i] || status != 0) {
      printf("kind %d: status %x\n", kind, status);
      wrong++;
    }
  }
  msgctl(queue, IPC_RMID, 0);
  semctl(semaphores, 0, IPC_RMID);
  printf("%d wrong\n", wrong);
  return wrong != 0;
}

static int sleeping;

/* Each sleeps in one of three ways, until long after all others do. */
static void *sleeper(void *argument) {
  long i = (long)argument;
  struct timespec time = {FAR, 0};
  double begun = now();
  __atomic_fetch_add(&sleeping, 1, __ATOMIC_SEQ_CST);
  switch (i % 3) {
  case 0: {
    long result = syscall(SYS_nanosleep, &time, 0);
    return (void *)(long)(result == -1 && errno == EINTR);
  }
  case 1:
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    return (void *)1;
  }
  time = (struct timespec){0, 300000000 + i * 100000};
  int result = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, 0);
  return (void *)(long)(result == 0 && now() - begun >= 0.3);
}

static int threads(int count, int pauses) {
  static int own;
  word = &own;
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, 0);
  pthread_t *all = calloc(count, sizeof *all);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  for (long i = 0; i < count; i++) {
    int error = pthread_create(&all[i], &attributes, sleeper, (void *)i);
    if (error != 0) {
      printf("thread %ld: %s\n", i, strerror(error));
      return 4;
    }
  }
  while (__atomic_load_n(&sleeping, __ATOMIC_SEQ_CST) < count) usleep(10000);
  usleep(300000);
  printf("%d sleep\n", count);
  fflush(stdout);
  if (pauses) getchar();
  __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0);
  for (int i = 0; i < count; i += 3) pthread_kill(all[i], SIGUSR1);
  int wrong = 0;
  for (int i = 0; i < count; i++) {
    void *right;
    struct timespec time;
    /* Again, since on a busy machine a thread may not have begun to sleep. */
    do {
      clock_gettime(CLOCK_REALTIME, &time);
      time.tv_sec += 1;
    } while (pthread_timedjoin_np(all[i], &right, &time) != 0 && (i % 3 != 0 || pthread_kill(all[i], SIGUSR1) == 0));
    if (!right) wrong++;
  }
  printf("%d wrong\n", wrong);
  return wrong != 0;
}

int main(int argc, char **argv) {
  if (argc < 3) return 1;
  int count = atoi(argv[2]), pauses = argc > 3;
  return strcmp(argv[1], "threads") == 0 ? threads(count, pauses) : processes(count, pauses);
}
