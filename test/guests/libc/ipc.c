/* System V semaphores and message queues. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

union argument {
  int value;
  struct semid_ds *status;
  unsigned short *all;
  struct seminfo *information;
};

static int error(long result) { return result < 0 ? errno : 0; }

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (nanosleep(&time, &time) < 0 && errno == EINTR) continue;
}

static int exit_code(pid_t pid) {
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int op(int id, int number, int change, int flags) {
  struct sembuf one = {number, change, flags};
  return semop(id, &one, 1) < 0 ? -errno : 0;
}

static int value(int id, int number) { return semctl(id, number, GETVAL); }

static void set(int id, int number, int to) {
  EXPECT(semctl(id, number, SETVAL, (union argument){.value = to}), 0);
}

static void until_waits(int id, int number, int command, int count) {
  while (semctl(id, number, command) != count) nap(1);
}

static void getting(void) {
  key_t key = 0x4711;
  EXPECT(error(semget(key, 3, 0)), ENOENT);
  int id = semget(key, 3, IPC_CREAT | 0600);
  CHECK(id >= 0);
  EXPECT(semget(key, 3, IPC_CREAT | 0600), id);
  EXPECT(semget(key, 0, 0), id);
  EXPECT(error(semget(key, 4, 0)), EINVAL);
  EXPECT(error(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600)), EEXIST);
  EXPECT(error(semget(IPC_PRIVATE, 0, 0600)), EINVAL);
  EXPECT(error(semget(IPC_PRIVATE, -1, 0600)), EINVAL);
  EXPECT(error(semget(IPC_PRIVATE, 32001, 0600)), EINVAL);
  struct semid_ds status;
  EXPECT(semctl(id, 0, IPC_STAT, (union argument){.status = &status}), 0);
  EXPECT(status.sem_nsems, 3);
  EXPECT(status.sem_otime, 0);
  EXPECT(status.sem_perm.mode & 0777, 0600);
  EXPECT(status.sem_perm.cuid, geteuid());
  EXPECT(status.sem_perm.__key, key);
  CHECK(status.sem_ctime > 1000000);
  status.sem_perm.mode = 0640;
  EXPECT(semctl(id, 0, IPC_SET, (union argument){.status = &status}), 0);
  EXPECT(semctl(id, 0, IPC_STAT, (union argument){.status = &status}), 0);
  EXPECT(status.sem_perm.mode & 0777, 0640);
  struct seminfo information;
  CHECK(semctl(0, 0, IPC_INFO, (union argument){.information = &information}) >= 0);
  EXPECT(information.semmsl, 32000);
  EXPECT(information.semvmx, 32767);
  EXPECT(information.semopm, 500);
  EXPECT(semctl(id, 0, IPC_RMID), 0);
  EXPECT(error(semctl(id, 0, IPC_RMID)), EINVAL);
  EXPECT(op(id, 0, 1, 0), -EINVAL);
  EXPECT(error(semget(key, 3, 0)), ENOENT);
}

static void operations(void) {
  int id = semget(IPC_PRIVATE, 3, 0600);
  unsigned short all[3] = {1, 2, 3};
  EXPECT(semctl(id, 0, SETALL, (union argument){.all = all}), 0);
  all[0] = all[1] = all[2] = 9;
  EXPECT(semctl(id, 0, GETALL, (union argument){.all = all}), 0);
  CHECK(all[0] == 1 && all[1] == 2 && all[2] == 3);
  EXPECT(op(id, 0, -1, 0), 0);
  EXPECT(op(id, 0, 0, 0), 0);
  EXPECT(op(id, 0, -1, IPC_NOWAIT), -EAGAIN);
  EXPECT(op(id, 1, 0, IPC_NOWAIT), -EAGAIN);
  EXPECT(op(id, 3, 1, 0), -EFBIG);
  EXPECT(op(id, 0, 32767, 0), 0);
  EXPECT(op(id, 0, 1, 0), -ERANGE);
  set(id, 0, 0);
  EXPECT(error(semctl(id, 0, SETVAL, (union argument){.value = 32768})), ERANGE);
  EXPECT(error(semctl(id, 0, SETVAL, (union argument){.value = -1})), ERANGE);
  EXPECT(error(semctl(id, 3, SETVAL, (union argument){.value = 1})), EINVAL);
  /* All or nothing. */
  struct sembuf two[2] = {{1, -2, 0}, {2, -4, IPC_NOWAIT}};
  EXPECT(error(semop(id, two, 2)), EAGAIN);
  EXPECT(value(id, 1), 2);
  two[1].sem_op = -3;
  EXPECT(semop(id, two, 2), 0);
  EXPECT(value(id, 1) + value(id, 2), 0);
  EXPECT(semctl(id, 2, GETPID), getpid());
  EXPECT(error(semop(id, two, 0)), EINVAL);
  EXPECT(error(semop(id, two, 501)), E2BIG);
  EXPECT(error(semop(id, (void *)16, 1)), EFAULT);
  EXPECT(error(semop(-1, two, 1)), EINVAL);
  struct timespec soon = {0, 20000000}, wrong = {0, 1000000000};
  EXPECT(error(semtimedop(id, two, 2, &soon)), EAGAIN);
  EXPECT(error(semtimedop(id, two, 2, &wrong)), EINVAL);
  EXPECT(semctl(id, 0, IPC_RMID), 0);
}

static void on_signal(int signal) {}

/* Signals a process until it has ended: one of the signals comes while it waits. */
static int interrupted(pid_t pid) {
  int status;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    kill(pid, SIGUSR1);
    nap(10);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void waiting(void) {
  int id = semget(IPC_PRIVATE, 2, 0600);
  pid_t pid = fork();
  if (pid == 0) _exit(op(id, 0, -2, 0) == 0 ? 0 : 1);
  until_waits(id, 0, GETNCNT, 1);
  EXPECT(op(id, 0, 1, 0), 0);
  EXPECT(semctl(id, 0, GETNCNT), 1);
  EXPECT(op(id, 0, 1, 0), 0);
  EXPECT(exit_code(pid), 0);
  EXPECT(semctl(id, 0, GETNCNT), 0);
  set(id, 1, 1);
  pid = fork();
  if (pid == 0) _exit(op(id, 1, 0, 0) == 0 ? 0 : 1);
  until_waits(id, 1, GETZCNT, 1);
  set(id, 1, 0);
  EXPECT(exit_code(pid), 0);
  /* A signal ends it, with SA_RESTART as well. */
  signal(SIGUSR1, on_signal);
  pid = fork();
  if (pid == 0) _exit(op(id, 0, -1, 0) == -EINTR ? 0 : 1);
  EXPECT(interrupted(pid), 0);
  EXPECT(semctl(id, 0, GETNCNT), 0);
  /* A waiter that is killed is counted no more. */
  pid = fork();
  if (pid == 0) op(id, 0, -1, 0);
  until_waits(id, 0, GETNCNT, 1);
  kill(pid, SIGKILL);
  exit_code(pid);
  until_waits(id, 0, GETNCNT, 0);
  pid = fork();
  if (pid == 0) _exit(op(id, 0, -1, 0) == -EIDRM ? 0 : 1);
  until_waits(id, 0, GETNCNT, 1);
  EXPECT(semctl(id, 0, IPC_RMID), 0);
  EXPECT(exit_code(pid), 0);
}

static void undoing(void) {
  int id = semget(IPC_PRIVATE, 2, 0600);
  set(id, 0, 5);
  pid_t pid = fork();
  if (pid == 0) {
    op(id, 0, -3, SEM_UNDO);
    op(id, 0, 1, SEM_UNDO);
    op(id, 1, 4, SEM_UNDO);
    op(id, 1, 1, 0);
    /* Grandchildren undo nothing of ours. */
    pid_t child = fork();
    if (child == 0) _exit(0);
    exit_code(child);
    _exit(value(id, 0) == 3 && value(id, 1) == 5 ? 0 : 1);
  }
  EXPECT(exit_code(pid), 0);
  EXPECT(value(id, 0), 5);
  EXPECT(value(id, 1), 1);
  /* One that is killed lets go, and a waiter gets it. */
  set(id, 0, 1);
  pid = fork();
  if (pid == 0) {
    op(id, 0, -1, SEM_UNDO);
    for (;;) pause();
  }
  while (value(id, 0) != 0) nap(1);
  pid_t waiter = fork();
  if (waiter == 0) _exit(op(id, 0, -1, SEM_UNDO) == 0 ? 0 : 1);
  until_waits(id, 0, GETNCNT, 1);
  kill(pid, SIGKILL);
  exit_code(pid);
  EXPECT(exit_code(waiter), 0);
  EXPECT(value(id, 0), 1);
  /* SETVAL forgets what was to be undone. */
  pid = fork();
  if (pid == 0) {
    op(id, 0, -1, SEM_UNDO);
    set(id, 0, 7);
    _exit(0);
  }
  EXPECT(exit_code(pid), 0);
  EXPECT(value(id, 0), 7);
  /* Never below 0. */
  pid = fork();
  if (pid == 0) {
    op(id, 0, 3, SEM_UNDO);
    op(id, 0, -9, 0);
    _exit(0);
  }
  EXPECT(exit_code(pid), 0);
  EXPECT(value(id, 0), 0);
  EXPECT(semctl(id, 0, IPC_RMID), 0);
}

static int undo_set;
static volatile int clone_tid;
static char clone_stack[65536] __attribute__((aligned(16)));
static int raise_with_undo(void *with_unshare) {
  op(undo_set, 0, 1, SEM_UNDO);
  if (with_unshare) CHECK(unshare(CLONE_SYSVSEM) == 0);
  syscall(SYS_exit, 0);
  return 0;
}
/* A thread that raises the semaphore, and has ended when this returns. */
static void run_raiser(int flags, void *with_unshare) {
  clone_tid = 1;
  flags |= CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_CLEARTID;
  CHECK(clone(raise_with_undo, clone_stack + sizeof clone_stack, flags, with_unshare, NULL, NULL, (pid_t *)&clone_tid) > 0);
  while (clone_tid != 0) nap(1);
}
static int child_shares(void *unused) {
  (void)unused;
  op(undo_set, 0, 1, SEM_UNDO);
  _exit(0);
}

/* What is undone is so when the last one ends that shares the list (CLONE_SYSVSEM). */
static void undo_lists(void) {
  undo_set = semget(IPC_PRIVATE, 1, 0600);
  set(undo_set, 0, 0);
  pid_t pid = fork();
  if (pid == 0) {
    run_raiser(CLONE_SYSVSEM, NULL);
    EXPECT(value(undo_set, 0), 1);
    run_raiser(0, NULL);
    /* Without the list of the others its own has ended with it; the address says that a little before. */
    for (int i = 0; i < 2000 && value(undo_set, 0) != 1; i++) nap(1);
    EXPECT(value(undo_set, 0), 1);
    run_raiser(CLONE_SYSVSEM, "unshare");
    EXPECT(value(undo_set, 0), 2);
    op(undo_set, 0, 10, SEM_UNDO);
    EXPECT(value(undo_set, 0), 12);
    CHECK(unshare(CLONE_SYSVSEM) == 0);
    EXPECT(value(undo_set, 0), 0);
    op(undo_set, 0, 3, SEM_UNDO);
    pid_t child = clone(child_shares, clone_stack + sizeof clone_stack, CLONE_SYSVSEM | SIGCHLD, NULL);
    EXPECT(exit_code(child), 0);
    EXPECT(value(undo_set, 0), 4);
    _exit(failures);
  }
  EXPECT(exit_code(pid), 0);
  EXPECT(value(undo_set, 0), 0);
  EXPECT(semctl(undo_set, 0, IPC_RMID), 0);
}

/* semop is declared as a leaf: without volatile the compiler may keep the counter in a register. */
static volatile long shared_counter;

static void *count_with(void *argument) {
  int id = (intptr_t)argument;
  for (int i = 0; i < 300; i++) {
    op(id, 0, -1, SEM_UNDO);
    shared_counter++;
    op(id, 0, 1, SEM_UNDO);
  }
  return NULL;
}

static void exclusion(void) {
  int id = semget(IPC_PRIVATE, 1, 0600);
  pthread_t threads[4];
  set(id, 0, 1);
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, count_with, (void *)(intptr_t)id);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  EXPECT(shared_counter, 1200);
  EXPECT(value(id, 0), 1);
  EXPECT(semctl(id, 0, IPC_RMID), 0);
}

/* --- messages --- */

struct message {
  long type;
  char text[9000];
};

static struct message m;

static int send_text(int id, long type, const char *text, int flags) {
  m.type = type;
  strcpy(m.text, text);
  return msgsnd(id, &m, strlen(text), flags) < 0 ? -errno : 0;
}

static int receive(int id, long type, int flags) {
  memset(&m, 0, sizeof m);
  ssize_t n = msgrcv(id, &m, 100, type, flags | IPC_NOWAIT);
  return n < 0 ? -errno : (int)n;
}

static void messages(void) {
  key_t key = 0x815;
  EXPECT(error(msgget(key, 0)), ENOENT);
  int id = msgget(key, IPC_CREAT | IPC_EXCL | 0600);
  CHECK(id >= 0);
  EXPECT(error(msgget(key, IPC_CREAT | IPC_EXCL | 0600)), EEXIST);
  EXPECT(send_text(id, 3, "three", 0), 0);
  EXPECT(send_text(id, 1, "one", 0), 0);
  EXPECT(send_text(id, 2, "two", 0), 0);
  EXPECT(send_text(id, 1, "uno", 0), 0);
  EXPECT(send_text(id, 0, "none", 0), -EINVAL);
  struct msqid_ds status;
  EXPECT(msgctl(id, IPC_STAT, &status), 0);
  EXPECT(status.msg_qnum, 4);
  EXPECT(status.__msg_cbytes, 14);
  EXPECT(status.msg_qbytes, 16384);
  EXPECT(status.msg_lspid, getpid());
  EXPECT(status.msg_lrpid, 0);
  EXPECT(receive(id, 4, 0), -ENOMSG);
  EXPECT(receive(id, 2, MSG_COPY), 3);
  CHECK(m.type == 2 && strcmp(m.text, "two") == 0);
  EXPECT(receive(id, 2, 0), 3);
  CHECK(m.type == 2 && strcmp(m.text, "two") == 0);
  EXPECT(receive(id, -3, 0), 3);
  CHECK(m.type == 1 && strcmp(m.text, "one") == 0);
  EXPECT(receive(id, 1, MSG_EXCEPT), 5);
  EXPECT(m.type, 3);
  EXPECT(receive(id, 0, 0), 3);
  EXPECT(m.type, 1);
  EXPECT(receive(id, 0, 0), -ENOMSG);
  EXPECT(send_text(id, 5, "a longer message", 0), 0);
  EXPECT(error(msgrcv(id, &m, 4, 0, 0)), E2BIG);
  EXPECT(msgrcv(id, &m, 4, 0, MSG_NOERROR), 4);
  EXPECT(receive(id, 0, 0), -ENOMSG);
  EXPECT(error(msgsnd(id, &m, 8193, 0)), EINVAL);
  EXPECT(error(msgsnd(id, (void *)16, 5, 0)), EFAULT);
  EXPECT(error(msgrcv(id, &m, -1, 0, 0)), EINVAL);
  EXPECT(error(msgrcv(id, &m, 4, 0, MSG_COPY)), EINVAL);
  m.type = 1;
  EXPECT(msgsnd(id, &m, 8192, 0), 0);
  EXPECT(msgsnd(id, &m, 8192, 0), 0);
  EXPECT(error(msgsnd(id, &m, 1, IPC_NOWAIT)), EAGAIN);
  EXPECT(msgsnd(id, &m, 0, IPC_NOWAIT), 0);
  /* A writer waits for room. */
  pid_t pid = fork();
  if (pid == 0) _exit(send_text(id, 9, "late", 0) == 0 ? 0 : 1);
  nap(30);
  EXPECT(msgrcv(id, &m, 9000, 0, 0), 8192);
  EXPECT(exit_code(pid), 0);
  EXPECT(receive(id, 9, 0), 4);
  EXPECT(msgctl(id, IPC_STAT, &status), 0);
  EXPECT(status.msg_lspid, pid);
  EXPECT(status.msg_lrpid, getpid());
  EXPECT(msgctl(id, IPC_RMID, NULL), 0);
  EXPECT(error(msgctl(id, IPC_STAT, &status)), EINVAL);

  id = msgget(IPC_PRIVATE, 0600);
  pid = fork();
  if (pid == 0) _exit(msgrcv(id, &m, 100, 7, 0) == 5 && strcmp(m.text, "seven") == 0 ? 0 : 1);
  nap(20);
  EXPECT(send_text(id, 6, "six", 0), 0);
  EXPECT(send_text(id, 7, "seven", 0), 0);
  EXPECT(exit_code(pid), 0);
  EXPECT(receive(id, 0, 0), 3);
  pid = fork();
  if (pid == 0) _exit(error(msgrcv(id, &m, 100, 0, 0)) == EINTR ? 0 : 1);
  EXPECT(interrupted(pid), 0);
  pid = fork();
  if (pid == 0) {
    int seen = error(msgrcv(id, &m, 100, 0, 0));
    /* EINVAL when it comes too late. */
    _exit(seen == EIDRM || seen == EINVAL ? 0 : 1);
  }
  nap(60);
  EXPECT(msgctl(id, IPC_RMID, NULL), 0);
  EXPECT(exit_code(pid), 0);
}

static void ping_pong(void) {
  int there = msgget(IPC_PRIVATE, 0600), back = msgget(IPC_PRIVATE, 0600);
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < 300; i++)
      if (msgrcv(there, &m, 100, 0, 0) != 8 || msgsnd(back, &m, 8, 0) != 0) _exit(1);
    _exit(0);
  }
  int wrong = 0;
  for (int i = 0; i < 300; i++) {
    m.type = i + 1;
    wrong += msgsnd(there, &m, 8, 0) != 0 || msgrcv(back, &m, 100, i + 1, 0) != 8 || m.type != i + 1;
  }
  EXPECT(wrong, 0);
  EXPECT(exit_code(pid), 0);
  EXPECT(msgctl(there, IPC_RMID, NULL) + msgctl(back, IPC_RMID, NULL), 0);
}

static int line_with(const char *path, int id) {
  char line[300];
  int found = 0, other;
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "%*d %d", &other) == 1 && other == id) found = 1;
  fclose(file);
  return found;
}

/* What others may do is what the mode says. */
static void permissions(void) {
  int set_id = semget(0x99, 1, IPC_CREAT | 0640), queue = msgget(0x99, IPC_CREAT | 0622);
  CHECK(line_with("/proc/sysvipc/sem", set_id));
  CHECK(line_with("/proc/sysvipc/msg", queue));
  pid_t pid = fork();
  if (pid == 0) {
    if (setgroups(0, NULL) != 0 || setresgid(777, 777, 777) != 0 || setresuid(777, 777, 777) != 0) _exit(geteuid() == 0);
    int right = op(set_id, 0, 1, 0) == -EACCES && op(set_id, 0, 0, 0) == -EACCES &&
                error(semget(0x99, 1, 0600)) == EACCES && error(semctl(set_id, 0, GETVAL)) == EACCES &&
                error(semctl(set_id, 0, IPC_RMID)) == EPERM && send_text(queue, 1, "x", 0) == 0 &&
                receive(queue, 0, 0) == -EACCES && error(msgctl(queue, IPC_RMID, NULL)) == EPERM;
    _exit(right ? 0 : 1);
  }
  EXPECT(exit_code(pid), 0);
  EXPECT(semctl(set_id, 0, IPC_RMID), 0);
  EXPECT(msgctl(queue, IPC_RMID, NULL), 0);
}

int main(void) {
  getting();
  operations();
  waiting();
  undoing();
  undo_lists();
  exclusion();
  messages();
  ping_pong();
  permissions();
  return report("ipc");
}
