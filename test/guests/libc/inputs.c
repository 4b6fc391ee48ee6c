/* A call that waits has read its arguments: what another thread writes there meanwhile changes nothing. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

static int pipes[2], other[2], set, queue, file;
static struct pollfd polled;
static fd_set selected;
static struct flock lock;
static struct sembuf operation;
static struct timespec pause_;
static struct { long type; char text[4000]; } message;
static volatile int tid, result, ended;

static void nap(void) {
  struct timespec t = {0, 5000000};
  nanosleep(&t, NULL);
}
static void *polls(void *unused) { result = poll(&polled, 1, -1); return unused; }
static void *selects(void *unused) { result = select(pipes[0] + 1, &selected, NULL, NULL, NULL); return unused; }
static void *locks(void *unused) { result = fcntl(file, F_OFD_SETLKW, &lock) == 0 ? 1 : -errno; return unused; }
static void *operates(void *unused) { result = semop(set, &operation, 1) == 0 ? 1 : -errno; return unused; }
static void *sleeps(void *unused) { result = nanosleep(&pause_, NULL) == 0 ? 1 : -errno; return unused; }
static void *sends(void *unused) { result = msgsnd(queue, &message, sizeof message.text, 0) == 0 ? 1 : -errno; return unused; }

static void *(*body)(void *);
static void *runs(void *unused) {
  tid = (int)syscall(SYS_gettid);
  body(unused);
  ended = 1;
  return NULL;
}
/* Starts a thread in `made`, and waits until it sleeps. */
static pthread_t begin(void *(*made)(void *)) {
  pthread_t thread;
  char path[64], line[300];
  tid = result = ended = 0;
  body = made;
  pthread_create(&thread, NULL, runs, NULL);
  while (tid == 0) nap();
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  for (int asleep = 0; asleep < 3 && !ended;) {
    FILE *stat = fopen(path, "r");
    asleep = stat && fgets(line, sizeof line, stat) && strstr(line, ") S ") ? asleep + 1 : 0;
    if (stat) fclose(stat);
    nap();
  }
  return thread;
}
static int finish(pthread_t thread) {
  pthread_join(thread, NULL);
  return result;
}

int main(int argc, char **argv) {
  char byte = 1, path[4096];
  CHECK(pipe(pipes) == 0 && pipe(other) == 0);

  polled = (struct pollfd){pipes[0], POLLIN, 0};
  pthread_t thread = begin(polls);
  polled.fd = other[0];
  polled.events = 0;
  CHECK(write(pipes[1], &byte, 1) == 1);
  EXPECT(finish(thread), 1);
  EXPECT(polled.revents, POLLIN);
  CHECK(read(pipes[0], &byte, 1) == 1);

  FD_SET(pipes[0], &selected);
  thread = begin(selects);
  FD_ZERO(&selected);
  CHECK(write(pipes[1], &byte, 1) == 1);
  EXPECT(finish(thread), 1);
  CHECK(FD_ISSET(pipes[0], &selected));

  snprintf(path, sizeof path, "%s/inputs", argc > 1 ? argv[1] : "/tmp");
  int holder = open(path, O_CREAT | O_RDWR, 0600);
  file = open(path, O_RDWR);
  struct flock held = {.l_type = F_WRLCK, .l_start = 0, .l_len = 10};
  CHECK(fcntl(holder, F_OFD_SETLK, &held) == 0);
  lock = (struct flock){.l_type = F_WRLCK, .l_start = 5, .l_len = 1};
  thread = begin(locks);
  memset(&lock, 0x55, sizeof lock);
  close(holder);
  EXPECT(finish(thread), 1);
  int third = open(path, O_RDWR);
  held.l_len = 100;
  CHECK(fcntl(third, F_OFD_GETLK, &held) == 0 && held.l_start == 5 && held.l_len == 1);
  unlink(path);

  set = semget(IPC_PRIVATE, 2, 0600);
  operation = (struct sembuf){0, -1, 0};
  thread = begin(operates);
  operation = (struct sembuf){1, -5, IPC_NOWAIT};
  struct sembuf up = {0, 1, 0};
  CHECK(semop(set, &up, 1) == 0);
  EXPECT(finish(thread), 1);
  EXPECT(semctl(set, 0, GETVAL), 0);
  semctl(set, 0, IPC_RMID);

  pause_ = (struct timespec){0, 300000000};
  thread = begin(sleeps);
  pause_ = (struct timespec){1000000, 0};
  EXPECT(finish(thread), 1);

  queue = msgget(IPC_PRIVATE, 0600);
  message.type = 1;
  while (msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT) == 0) nap();
  message.type = 2;
  memset(message.text, 'a', sizeof message.text);
  thread = begin(sends);
  message.type = 3;
  memset(message.text, 'b', sizeof message.text);
  static struct { long type; char text[4000]; } received;
  CHECK(msgrcv(queue, &received, sizeof received.text, 1, 0) == 4000);
  EXPECT(finish(thread), 1);
  CHECK(msgrcv(queue, &received, sizeof received.text, 2, IPC_NOWAIT) == 4000 && received.text[3999] == 'a');
  msgctl(queue, IPC_RMID, NULL);
  return report("inputs");
}
