/* Sessions, process groups and controlling terminals: who may read, write and set a terminal, and who hears of what. */
#define _GNU_SOURCE
#include "check.h"
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t counts[65];
static void count(int signal) { counts[signal]++; }
static void catch(int signal) {
  struct sigaction action = {.sa_handler = count};
  sigaction(signal, &action, NULL);
  counts[signal] = 0;
}
static int seen(int signal) {
  for (int i = 0; i < 4000 && counts[signal] == 0; i++) usleep(5000);
  return counts[signal];
}

/* The result of a call, or -errno. */
#define TRY(call) ({ errno = 0; long r_ = (call); r_ < 0 ? -errno : r_; })

static int master;
static char name[64];

static void open_master(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  CHECK(master >= 0);
  grantpt(master);
  unlockpt(master);
  strcpy(name, ptsname(master));
}

/* What a child reports: its checks count with ours. */
static int pipes[2];
static void finish(void) {
  int result[2] = {checks, failures};
  fflush(stdout);
  if (write(pipes[1], result, sizeof result) < 0) _exit(1);
  _exit(0);
}
static pid_t begin(void) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) checks = failures = 0;
  return child;
}
static void collect(pid_t child) {
  int status, result[2] = {0, 0};
  CHECK(read(pipes[0], result, sizeof result) == sizeof result);
  checks += result[0];
  failures += result[1];
  EXPECT(waitpid(child, &status, 0), child);
  EXPECT(status, 0);
}

/* A place where one process waits for another. */
static void tell(int ends[2]) {
  if (write(ends[1], "x", 1) != 1) _exit(1);
}
static void hear(int ends[2]) {
  char byte;
  if (read(ends[0], &byte, 1) != 1) _exit(1);
}
static int ready[2], go[2];

/* A child in a group of its own that runs `body` and exits with what it says. */
static pid_t job(int (*body)(void), int foreground, int tty) {
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
    tell(ready);
    hear(go);
    _exit(body());
  }
  hear(ready);
  if (foreground) EXPECT(tcsetpgrp(tty, child), 0);
  tell(go);
  return child;
}

/* Waits until the process is an orphan. */
static void await_orphanhood(pid_t parent) {
  while (getppid() == parent) usleep(5000);
}

static int tty;

static void groups(void) {
  pid_t me = getpid();
  EXPECT(TRY(setsid()), me);
  EXPECT(getsid(0), me);
  EXPECT(getpgrp(), me);
  EXPECT(TRY(setsid()), -EPERM);
  EXPECT(TRY(setpgid(0, 0)), -EPERM);
  EXPECT(TRY(setpgid(0, -1)), -EINVAL);
  EXPECT(TRY(setpgid(me, 1 << 21)), -EPERM);
  EXPECT(TRY(setpgid(getppid(), 0)), -ESRCH);
  EXPECT(TRY(setpgid(1 << 21, 0)), -ESRCH);
  EXPECT(TRY(getpgid(1 << 21)), -ESRCH);
  EXPECT(TRY(getsid(1 << 21)), -ESRCH);
  pid_t child = fork();
  if (child == 0) {
    hear(go);
    char numbers[2][16];
    sprintf(numbers[0], "%d", ready[1]);
    sprintf(numbers[1], "%d", go[0]);
    execl("/proc/self/exe", "jobcontrol", "wait", numbers[0], numbers[1], NULL);
    _exit(1);
  }
  EXPECT(TRY(setpgid(child, 1 << 21)), -EPERM);
  EXPECT(TRY(setpgid(child, child)), 0);
  EXPECT(getpgid(child), child);
  EXPECT(TRY(setpgid(child, me)), 0);
  EXPECT(TRY(setpgid(child, 0)), 0);
  EXPECT(getpgid(child), child);
  tell(go);
  hear(ready);
  EXPECT(TRY(setpgid(child, me)), -EACCES);
  tell(go);
  EXPECT(waitpid(child, NULL, 0), child);
  /* A group that a zombie is in exists until the zombie has gone. */
  child = fork();
  if (child == 0) _exit(0);
  setpgid(child, child);
  usleep(50000);
  EXPECT(TRY(kill(-child, 0)), 0);
  EXPECT(waitpid(child, NULL, 0), child);
  EXPECT(TRY(kill(-child, 0)), -ESRCH);
  /* The child of another session. */
  child = fork();
  if (child == 0) {
    setsid();
    tell(ready);
    pause();
    _exit(0);
  }
  hear(ready);
  EXPECT(TRY(setpgid(child, child)), -EPERM);
  EXPECT(getsid(child), child);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  finish();
}

static void controlling(void) {
  EXPECT(TRY(open("/dev/tty", O_RDWR)), -ENXIO);
  int fd = open(name, O_RDWR);
  EXPECT(TRY(open("/dev/tty", O_RDWR)), -ENXIO);
  EXPECT(TRY(ioctl(fd, TIOCSCTTY, 0)), -EPERM);
  EXPECT(TRY(tcgetpgrp(fd)), -ENOTTY);
  EXPECT(TRY(tcgetsid(fd)), -ENOTTY);
  EXPECT(TRY(tcsetpgrp(fd, getpgrp())), -ENOTTY);
  EXPECT(TRY(ioctl(fd, TIOCNOTTY)), -ENOTTY);
  EXPECT(TRY(tcgetpgrp(master)), 0);
  EXPECT(TRY(tcgetsid(master)), -ENOTTY);
  setsid();
  int second = open(name, O_RDWR | O_NOCTTY);
  EXPECT(TRY(open("/dev/tty", O_RDWR)), -ENXIO);
  close(second);
  second = open(name, O_WRONLY);
  EXPECT(TRY(open("/dev/tty", O_RDWR)), -ENXIO);
  close(second);
  close(fd);
  fd = open(name, O_RDWR);
  int own = open("/dev/tty", O_RDWR);
  CHECK(own >= 0);
  EXPECT(tcgetpgrp(fd), getpid());
  EXPECT(tcgetpgrp(own), getpid());
  EXPECT(tcgetsid(fd), getpid());
  EXPECT(tcgetpgrp(master), getpid());
  EXPECT(tcgetsid(master), getpid());
  EXPECT(TRY(ioctl(fd, TIOCSCTTY, 0)), 0);
  EXPECT(TRY(tcsetpgrp(fd, 1 << 21)), -ESRCH);
  EXPECT(TRY(tcsetpgrp(fd, -5)), -EINVAL);
  EXPECT(TRY(tcsetpgrp(fd, getpgid(getppid()))), -EPERM);
  /* Another session cannot have it too. */
  int other = posix_openpt(O_RDWR | O_NOCTTY);
  pid_t child = fork();
  if (child == 0) {
    setsid();
    int slave = open(name, O_RDWR);
    if (TRY(open("/dev/tty", O_RDWR)) != -ENXIO) _exit(1);
    if (TRY(ioctl(slave, TIOCSCTTY, 0)) != -EPERM) _exit(2);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  close(other);
  /* Children have it, and may part from it alone. */
  child = fork();
  if (child == 0) {
    if (TRY(ioctl(fd, TIOCNOTTY)) != 0) _exit(1);
    if (TRY(open("/dev/tty", O_RDWR)) != -ENXIO) _exit(2);
    if (TRY(ioctl(fd, TIOCNOTTY)) != -ENOTTY) _exit(3);
    _exit(0);
  }
  waitpid(child, &status, 0);
  EXPECT(status, 0);
  EXPECT(tcgetpgrp(fd), getpid());
  /* The leader's parting concerns the whole session; its foreground gets SIGHUP and SIGCONT. */
  catch(SIGHUP);
  catch(SIGCONT);
  EXPECT(TRY(ioctl(fd, TIOCNOTTY)), 0);
  EXPECT(seen(SIGHUP), 1);
  EXPECT(seen(SIGCONT), 1);
  EXPECT(TRY(open("/dev/tty", O_RDWR)), -ENXIO);
  EXPECT(TRY(tcgetpgrp(fd)), -ENOTTY);
  EXPECT(TRY(ioctl(fd, TIOCSCTTY, 0)), 0);
  EXPECT(tcgetpgrp(fd), getpid());
  finish();
}

static int reads(void) {
  char byte;
  return read(tty, &byte, 1) == 1 ? byte : 200 + errno;
}
static int writes(void) {
  int result = write(tty, "w", 1) == 1 ? 0 : errno;
  /* The parent is to hear of what was before the end. */
  hear(go);
  return result;
}
static int sets(void) {
  struct termios t;
  tcgetattr(tty, &t);
  return tcsetattr(tty, TCSANOW, &t) == 0 ? 0 : errno;
}
static int takes(void) { return tcsetpgrp(tty, getpgrp()) == 0 ? 0 : errno; }
static int ignores_and_reads(void) {
  signal(SIGTTIN, SIG_IGN);
  return reads() - 200;
}
static int ignores_and_writes(void) {
  signal(SIGTTOU, SIG_IGN);
  return writes();
}
static int blocks_and_takes(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTTOU);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return takes();
}
static int orphaned(int (*body)(void)) {
  /* The grandchild's group has no link to the session once its parent has gone. */
  int result[2];
  CHECK(pipe(result) == 0);
  pid_t child = fork();
  if (child == 0) {
    pid_t parent = getpid();
    if (fork() == 0) {
      setpgid(0, 0);
      signal(SIGTTOU, SIG_DFL);
      tell(ready);
      await_orphanhood(parent);
      int r = body();
      if (write(result[1], &r, sizeof r) < 0) _exit(1);
      _exit(0);
    }
    hear(ready);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  int r = -1;
  CHECK(read(result[0], &r, sizeof r) == sizeof r);
  close(result[0]);
  close(result[1]);
  return r;
}

static int waits(pid_t pid) {
  int status = -1;
  waitpid(pid, &status, WUNTRACED | WCONTINUED);
  return status;
}
#define STOPPED(signal) (((signal) << 8) | 0x7f)
#define CONTINUED 0xffff
#define EXITED(code) ((code) << 8)

static void background(void) {
  setsid();
  tty = open(name, O_RDWR);
  signal(SIGTTOU, SIG_IGN);
  /* A background reader stops, and reads when it comes to the foreground. */
  pid_t child = job(reads, 0, tty);
  EXPECT(waits(child), STOPPED(SIGTTIN));
  EXPECT(tcsetpgrp(tty, child), 0);
  EXPECT(tcgetpgrp(tty), child);
  kill(-child, SIGCONT);
  EXPECT(waits(child), CONTINUED);
  CHECK(write(master, "A\n", 2) == 2);
  EXPECT(waits(child), EXITED('A'));
  EXPECT(tcsetpgrp(tty, getpgrp()), 0);
  tcflush(tty, TCIFLUSH);
  /* One that ignores SIGTTIN, or has nobody to continue it, gets an error. */
  EXPECT(waits(job(ignores_and_reads, 0, tty)), EXITED(EIO));
  EXPECT(orphaned(reads), 200 + EIO);
  /* Writing is free unless TOSTOP says otherwise; setting is not. */
  child = job(writes, 0, tty);
  tell(go);
  EXPECT(waits(child), EXITED(0));
  struct termios t;
  tcgetattr(tty, &t);
  t.c_lflag |= TOSTOP;
  tcsetattr(tty, TCSANOW, &t);
  child = job(writes, 0, tty);
  EXPECT(waits(child), STOPPED(SIGTTOU));
  t.c_lflag &= ~TOSTOP;
  tcsetattr(tty, TCSANOW, &t);
  kill(-child, SIGCONT);
  EXPECT(waits(child), CONTINUED);
  tell(go);
  EXPECT(waits(child), EXITED(0));
  t.c_lflag |= TOSTOP;
  tcsetattr(tty, TCSANOW, &t);
  child = job(ignores_and_writes, 0, tty);
  tell(go);
  EXPECT(waits(child), EXITED(0));
  tell(go);
  EXPECT(orphaned(writes), EIO);
  t.c_lflag &= ~TOSTOP;
  tcsetattr(tty, TCSANOW, &t);
  child = job(sets, 0, tty);
  EXPECT(waits(child), STOPPED(SIGTTOU));
  kill(-child, SIGKILL);
  EXPECT(waits(child), SIGKILL);
  EXPECT(orphaned(sets), EIO);
  child = job(takes, 0, tty);
  EXPECT(waits(child), STOPPED(SIGTTOU));
  EXPECT(tcgetpgrp(tty), getpgrp());
  kill(-child, SIGKILL);
  EXPECT(waits(child), SIGKILL);
  EXPECT(orphaned(takes), ENOTTY);
  child = job(blocks_and_takes, 0, tty);
  EXPECT(waits(child), EXITED(0));
  EXPECT(tcgetpgrp(tty), child);
  EXPECT(tcsetpgrp(tty, getpgrp()), 0);
  finish();
}

static int pauses(void) {
  for (;;) pause();
  return 0;
}

static void keys(void) {
  setsid();
  tty = open(name, O_RDWR);
  signal(SIGTTOU, SIG_IGN);
  catch(SIGINT);
  catch(SIGQUIT);
  catch(SIGTSTP);
  catch(SIGWINCH);
  CHECK(write(master, "typed\003", 6) == 6);
  EXPECT(seen(SIGINT), 1);
  int n = -1;
  EXPECT(ioctl(tty, FIONREAD, &n), 0);
  EXPECT(n, 0);
  CHECK(write(master, "\034", 1) == 1);
  EXPECT(seen(SIGQUIT), 1);
  CHECK(write(master, "\032", 1) == 1);
  EXPECT(seen(SIGTSTP), 1);
  struct winsize size = {10, 20, 0, 0};
  EXPECT(ioctl(master, TIOCSWINSZ, &size), 0);
  EXPECT(seen(SIGWINCH), 1);
  EXPECT(ioctl(master, TIOCSWINSZ, &size), 0);
  usleep(50000);
  EXPECT(counts[SIGWINCH], 1);
  /* NOFLSH keeps what has been typed. */
  struct termios t;
  tcgetattr(tty, &t);
  t.c_lflag |= NOFLSH;
  tcsetattr(tty, TCSANOW, &t);
  counts[SIGINT] = 0;
  CHECK(write(master, "ab\003c\n", 5) == 5);
  EXPECT(seen(SIGINT), 1);
  char line[10];
  EXPECT(read(tty, line, 10), 4);
  /* A job in the foreground is stopped by a key, and continued. */
  pid_t child = job(pauses, 1, tty);
  counts[SIGTSTP] = counts[SIGINT] = 0;
  CHECK(write(master, "\032", 1) == 1);
  EXPECT(waits(child), STOPPED(SIGTSTP));
  kill(-child, SIGCONT);
  EXPECT(waits(child), CONTINUED);
  CHECK(write(master, "\003", 1) == 1);
  EXPECT(waits(child), SIGINT);
  EXPECT(counts[SIGTSTP] + counts[SIGINT], 0);
  child = job(pauses, 1, tty);
  EXPECT(ioctl(master, TIOCSIG, SIGQUIT), 0);
  EXPECT(waits(child) & 0x7f, SIGQUIT);
  /* An orphaned group is not stopped by keys, only by SIGSTOP. */
  int ends[2];
  CHECK(pipe(ends) == 0);
  if (fork() == 0) {
    pid_t parent = getpid();
    if (fork() == 0) {
      setpgid(0, 0);
      tell(ready);
      await_orphanhood(parent);
      kill(0, SIGTSTP);
      kill(0, SIGTTIN);
      kill(0, SIGTTOU);
      if (write(ends[1], "x", 1) < 0) _exit(1);
      _exit(0);
    }
    signal(SIGTSTP, SIG_DFL);
    hear(ready);
    _exit(0);
  }
  char byte = 0;
  EXPECT(read(ends[0], &byte, 1), 1);
  finish();
}

/* A stopped job whose last link to the session goes gets SIGHUP and SIGCONT. */
static void newly_orphaned(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  setsid();
  pid_t child = fork();
  if (child == 0) {
    pid_t grandchild = fork();
    if (grandchild == 0) {
      setpgid(0, 0);
      catch(SIGHUP);
      catch(SIGCONT);
      kill(getpid(), SIGSTOP);
      char result[2] = {seen(SIGHUP), seen(SIGCONT)};
      if (write(ends[1], result, 2) < 0) _exit(1);
      _exit(0);
    }
    int status;
    waitpid(grandchild, &status, WUNTRACED);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  char result[2] = {0, 0};
  EXPECT(read(ends[0], result, 2), 2);
  EXPECT(result[0], 1);
  EXPECT(result[1], 1);
  finish();
}

/* The end of a session leader hangs its terminal up for the session. */
static void leader_ends(void) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t leader = fork();
  if (leader == 0) {
    setsid();
    tty = open(name, O_RDWR);
    if (fork() == 0) {
      catch(SIGHUP);
      if (write(ends[1], "r", 1) < 0) _exit(1);
      char result[3] = {seen(SIGHUP), 0, 0};
      result[1] = TRY(open("/dev/tty", O_RDWR)) == -ENXIO;
      /* The descriptor is a terminal still. */
      result[2] = isatty(tty);
      if (write(ends[1], result, 3) < 0) _exit(1);
      _exit(0);
    }
    char byte;
    if (read(ends[0], &byte, 1) < 0) _exit(1);
    _exit(0);
  }
  waitpid(leader, NULL, 0);
  char result[3] = {0, 0, 0};
  EXPECT(read(ends[0], result, 3), 3);
  EXPECT(result[0], 1);
  EXPECT(result[1], 1);
  EXPECT(result[2], 1);
  finish();
}

/* The close of the master sends SIGHUP to the leader of the session. */
static void master_closes(void) {
  int pty;
  pid_t leader = forkpty(&pty, NULL, NULL, NULL);
  if (leader == 0) {
    close(master);
    catch(SIGHUP);
    catch(SIGCONT);
    if (write(1, "r", 1) < 0) _exit(1);
    int hung = seen(SIGHUP) == 1 && seen(SIGCONT) == 1;
    char byte;
    _exit(hung && read(0, &byte, 1) == 0 && TRY(write(1, "x", 1)) == -EIO && TRY(open("/dev/tty", O_RDWR)) == -ENXIO ? 7 : 1);
  }
  char byte;
  EXPECT(read(pty, &byte, 1), 1);
  close(pty);
  int status;
  EXPECT(waitpid(leader, &status, 0), leader);
  EXPECT(status, EXITED(7));
  finish();
}

/* vhangup takes the terminal from the session and what is open from its owners. */
static void hangs_up(void) {
  setsid();
  tty = open(name, O_RDWR);
  catch(SIGHUP);
  if (TRY(vhangup()) == 0) {
    EXPECT(seen(SIGHUP), 1);
    char byte;
    EXPECT(TRY(read(tty, &byte, 1)), 0);
    EXPECT(TRY(write(tty, "x", 1)), -EIO);
    EXPECT(TRY(tcsetpgrp(tty, getpgrp())), -ENOTTY);
    EXPECT(TRY(open("/dev/tty", O_RDWR)), -ENXIO);
    /* Opened anew, it is as good as ever. */
    int again = open(name, O_RDWR);
    CHECK(write(again, "x", 1) == 1);
    EXPECT(tcgetpgrp(again), getpgrp());
  }
  finish();
}

static void run(void (*part)(void)) {
  open_master();
  pid_t child = begin();
  if (child == 0) {
    part();
    _exit(1);
  }
  collect(child);
  close(master);
}

int main(int argc, char **argv) {
  if (argc == 4) {
    tell((int[2]){-1, atoi(argv[2])});
    hear((int[2]){atoi(argv[3]), -1});
    return 0;
  }
  alarm(60);
  CHECK(pipe(pipes) == 0 && pipe(ready) == 0 && pipe(go) == 0);
  run(groups);
  run(controlling);
  run(background);
  run(keys);
  run(newly_orphaned);
  run(leader_ends);
  run(master_closes);
  run(hangs_up);
  return report("jobcontrol");
}
