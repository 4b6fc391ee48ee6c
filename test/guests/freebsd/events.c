/* kqueue and sysctl. */
#include "sys.h"

typedef struct { uint64_t ident; short filter; unsigned short flags; unsigned fflags; long data; void *udata; uint64_t ext[4]; } kev;
enum { READ = -1, WRITE = -2, TIMER = -7, USER = -11 };
enum { ADD = 1, DELETE = 2, ENABLE = 4, DISABLE = 8, ONESHOT = 0x10, CLEAR = 0x20, RECEIPT = 0x40, DISPATCH = 0x80, ERROR = 0x4000, END = 0x8000 };
enum { TRIGGER = 0x1000000, FFCOPY = 0xc0000000 };

static long kq;
static kev out[8];

static long change(uint64_t ident, int filter, int flags, unsigned fflags, long data) {
  kev one = {.ident = ident, .filter = filter, .flags = flags, .fflags = fflags, .data = data, .udata = (void *)(ident + 1000)};
  return CALL(SYS_kevent, kq, &one, 1, 0, 0, 0);
}

static long poll_events(void) {
  timespec now = {0, 0};
  return CALL(SYS_kevent, kq, 0, 0, out, 8, &now);
}

static long wait_events(long milliseconds) {
  timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  return CALL(SYS_kevent, kq, 0, 0, out, 8, &t);
}

static void pipes(void) {
  int ends[2];
  CHECK(CALL(SYS_pipe2, ends, O_NONBLOCK), 0);
  CHECK(change(ends[0], READ, ADD | CLEAR, 0, 0), 0);
  CHECK(change(ends[1], WRITE, ADD | CLEAR, 0, 0), 0);
  CHECK(poll_events(), 1);
  CHECK(out[0].filter, WRITE);
  CHECK(out[0].udata, ends[1] + 1000);
  CHECK(poll_events(), 0);
  CALL(SYS_write, ends[1], "abc", 3);
  CHECK(poll_events(), 1);
  CHECK(out[0].filter, READ);
  CHECK(out[0].ident, ends[0]);
  CHECK(out[0].data, 3);
  /* Edge-triggered: nothing until more comes; level-triggered: as long as there is something. */
  CHECK(poll_events(), 0);
  CHECK(change(ends[0], READ, DELETE, 0, 0), 0);
  CHECK(change(ends[0], READ, DELETE, 0, 0), -ENOENT);
  CHECK(change(ends[0], READ, ADD, 0, 0), 0);
  CHECK(poll_events(), 1);
  CHECK(poll_events(), 1);
  CHECK(change(ends[0], READ, DISABLE, 0, 0), 0);
  CHECK(poll_events(), 0);
  CHECK(change(ends[0], READ, ENABLE, 0, 0), 0);
  CHECK(poll_events(), 1);
  CHECK(CALL(SYS_close, ends[1]), 0);
  CHECK(poll_events(), 1);
  TRUE(out[0].flags & END);
  /* Closing a descriptor takes its events away. */
  CHECK(CALL(SYS_close, ends[0]), 0);
  CHECK(poll_events(), 0);
  CHECK(change(ends[0], READ, ADD, 0, 0), -EBADF);
}

/* What closing does to events, in this process and not in its parent. */
static void closing(void) {
  int ends[2], status = 0;
  /* An always-ready file's events go with it; its number's next owner starts anew. */
  long null = CALL(SYS_open, "/dev/null", O_RDWR);
  CHECK(change(null, READ, ADD | CLEAR, 0, 0), 0);
  CHECK(poll_events(), 1);
  CHECK(CALL(SYS_close, null), 0);
  CHECK(CALL(SYS_pipe2, ends, O_NONBLOCK), 0);
  CHECK(ends[0], null);
  CHECK(change(ends[0], READ, ADD | CLEAR, 0, 0), 0);
  CHECK(poll_events(), 0);
  /* A forked child has none of its parent's kqueues, and closes nothing in them. */
  long child = CALL(SYS_fork);
  if (child == 0) {
    CALL(SYS_close, ends[0]);
    CALL(SYS_close, ends[1]);
    CALL(SYS_exit, poll_events() == -EBADF ? 7 : 8);
  }
  CHECK(CALL(SYS_wait4, child, &status, 0, 0), child);
  CHECK(status, 7 << 8);
  CALL(SYS_write, ends[1], "abc", 3);
  CHECK(poll_events(), 1);
  CHECK(out[0].data, 3);
  CHECK(CALL(SYS_close, ends[1]), 0);
  CHECK(poll_events(), 1);
  TRUE(out[0].flags & END);
  CHECK(CALL(SYS_close, ends[0]), 0);
}

static void late_write(void *argument) {
  timespec t = {0, 20000000};
  CALL(SYS_nanosleep, &t, 0);
  if (argument) CALL(SYS_write, (long)argument, "x", 1);
  else change(7, USER, 0, TRIGGER, 0);
}

static void waiting(void) {
  int ends[2];
  thread t;
  CHECK(CALL(SYS_pipe2, ends, 0), 0);
  CHECK(change(ends[0], READ, ADD | ONESHOT, 0, 0), 0);
  start(&t, late_write, (void *)(long)ends[1]);
  CHECK(wait_events(10000), 1);
  CHECK(out[0].filter, READ);
  join(&t);
  CHECK(poll_events(), 0);
  CHECK(change(ends[0], READ, DELETE, 0, 0), -ENOENT);
  CHECK(wait_events(10), 0);

  CHECK(change(7, USER, ADD | CLEAR, FFCOPY | 5, 0), 0);
  CHECK(poll_events(), 0);
  start(&t, late_write, 0);
  CHECK(wait_events(10000), 1);
  CHECK(out[0].filter, USER);
  CHECK(out[0].fflags, 5);
  join(&t);
  CHECK(poll_events(), 0);
  CHECK(change(7, USER, DELETE, 0, 0), 0);

  CHECK(change(1, TIMER, ADD, 0, 5), 0);
  CHECK(wait_events(10000), 1);
  CHECK(out[0].filter, TIMER);
  TRUE(out[0].data >= 1);
  CHECK(wait_events(10000), 1);
  CHECK(change(1, TIMER, DELETE, 0, 0), 0);
  CHECK(change(2, TIMER, ADD | ONESHOT, 4, 500), 0);
  CHECK(wait_events(10000), 1);
  CHECK(out[0].ident, 2);
  CHECK(wait_events(20), 0);
}

static void errors(void) {
  kev changes[3] = {
    {.ident = 99, .filter = READ, .flags = ADD},
    {.ident = 7, .filter = USER, .flags = ADD | RECEIPT},
    {.ident = 1, .filter = -40, .flags = ADD},
  };
  CHECK(CALL(SYS_kevent, kq, changes, 3, out, 8, 0), 3);
  CHECK(out[0].flags & ERROR, ERROR);
  CHECK(out[0].data, EBADF);
  CHECK(out[1].data, 0);
  CHECK(out[2].data, EINVAL);
  CHECK(CALL(SYS_kevent, kq, changes, 1, 0, 0, 0), -EBADF);
  CHECK(CALL(SYS_kevent, 1, 0, 0, out, 8, 0), -EBADF);
  CHECK(CALL(SYS_kevent, kq, 0x1000, 1, out, 8, 0), -EFAULT);
}

static void system_facts(void) {
  int mib[24] = {6, 7}, value = 0;
  size_t size = sizeof value;
  CHECK(CALL(SYS___sysctl, mib, 2, &value, &size, 0, 0), 0);
  CHECK(value, 4096);
  char text[64];
  size = sizeof text;
  CHECK(CALL(SYS___sysctlbyname, "kern.ostype", 11, text, &size, 0, 0), 0);
  CHECK(size, 8);
  CHECK(text[0] == 'F' && text[7] == 0, 1);
  size = 3;
  CHECK(CALL(SYS___sysctlbyname, "kern.ostype", 11, text, &size, 0, 0), -ENOMEM);
  CHECK(CALL(SYS___sysctlbyname, "kern.nonsense", 13, text, &size, 0, 0), -ENOENT);
  int query[2] = {0, 3};
  size = sizeof mib;
  CHECK(CALL(SYS___sysctl, query, 2, mib, &size, "hw.ncpu", 7), 0);
  CHECK(size, 8);
  CHECK(mib[0] == 6 && mib[1] == 3, 1);
  CHECK(CALL(SYS___sysctl, mib, 2, 0, 0, &value, 4), -EPERM);
  CHECK(CALL(400), -ENOSYS);
  /* syscall(2): the number is the first argument. */
  CHECK(CALL(0, SYS_getpid), CALL(SYS_getpid));
}

void events(const char *folder) {
  (void)folder;
  kq = CALL(SYS_kqueue);
  TRUE(kq >= 0);
  pipes();
  closing();
  waiting();
  errors();
  system_facts();
}
