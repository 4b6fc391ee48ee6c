/* Random system calls: by several threads with sense, and by one without. */
#include "sys.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define ARENA 64
#define WORDS 64
#define MOST 16

static u8 *arena;
static volatile i32 words[WORDS];
static volatile i32 tids[MOST];
static long rounds, handled;
static int threadCount, finished;
static long events, poll;
static i32 ends[2];

static u64 draw(u64 *state, u64 n) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state % n;
}

static void onSignal(int signal) {
  (void)signal;
  __atomic_fetch_add(&handled, 1, __ATOMIC_RELAXED);
}

/* Touches pages that others map, protect and unmap meanwhile: the probes' own handler leads past faults. */
static void touch(u8 *p, u64 bytes) {
  for (u64 at = 0; at < bytes; at += 512) {
    probeStore(p + at);
    probeLoad(p + at);
  }
}

static void *nothing(void *argument) { return argument; }

static void changeMap(u64 *s, u8 *p, u64 bytes) {
  switch (draw(s, 5)) {
    case 0: mmap(p, bytes, draw(s, 2) ? RW : PROT_READ, ANON | MAP_FIXED, -1, 0); break;
    case 1: sys(__NR_munmap, p, bytes); break;
    case 2: sys(__NR_mprotect, p, bytes, draw(s, 4)); break;
    case 3: sys(__NR_madvise, p, bytes, MADV_DONTNEED); break;
    case 4: {
      long q = mmap(0, bytes, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (isError(q)) break;
      /* It may stand in a hole of the arena, where others map over it. */
      probeStore((void *)q);
      long moved = sys(__NR_mremap, q, bytes, bytes + PAGE, MREMAP_MAYMOVE);
      if (isError(moved)) sys(__NR_munmap, q, bytes);
      else sys(__NR_munmap, moved, bytes + PAGE);
      break;
    }
  }
}

static void useFutex(u64 *s, struct __kernel_timespec *brief) {
  volatile i32 *one = &words[draw(s, WORDS)], *two = &words[draw(s, WORDS)];
  int scope = draw(s, 2) ? FUTEX_PRIVATE_FLAG : 0;
  switch (draw(s, 4)) {
    case 0: futex(one, FUTEX_WAIT | scope, 0, brief, NULL, 0); break;
    case 1: futex(one, FUTEX_WAKE | scope, (long)draw(s, 4), NULL, NULL, 0); break;
    case 2: futex(one, FUTEX_REQUEUE | scope, (long)draw(s, 3), (void *)draw(s, 3), two, 0); break;
    case 3: futex(one, FUTEX_WAKE_OP | scope, 1, (void *)1L, two, FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_EQ, 0)); break;
  }
}

static void useDescriptors(u64 *s) {
  u8 buffer[2048];
  u64 value = 1;
  struct epoll_event seen[4];
  struct __kernel_timespec brief = {0, (long)draw(s, 2) * 1000000};
  switch (draw(s, 8)) {
    case 0: sys(__NR_write, events, &value, 8); break;
    case 1: sys(__NR_read, events, &value, 8); break;
    case 2: sys(__NR_epoll_pwait, poll, seen, 4, 1, NULL, 8); break;
    case 3: sys(__NR_write, ends[1], buffer, draw(s, sizeof buffer)); break;
    case 4: sys(__NR_read, ends[0], buffer, draw(s, sizeof buffer)); break;
    case 5: {
      struct pollfd p[2] = {{.fd = (int)events, .events = POLLIN}, {.fd = ends[0], .events = POLLIN}};
      sys(__NR_ppoll, p, 2, &brief, NULL, 8);
      break;
    }
    case 6: {
      long copy = sys(__NR_dup, events);
      if (copy >= 0) sys(__NR_close, copy);
      break;
    }
    case 7: {
      long maps = sys(__NR_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY);
      if (maps < 0) break;
      while (sys(__NR_read, maps, buffer, sizeof buffer) > 0) {}
      sys(__NR_close, maps);
      break;
    }
  }
}

static void *act(void *argument) {
  u64 state = (u64)argument * 2654435761u + 77, *s = &state;
  u64 me = (u64)argument % MOST;
  tids[me] = (i32)sys(__NR_gettid);
  for (long i = 0; i < rounds; i++) {
    u64 pages = 1 + draw(s, 8);
    u8 *p = arena + draw(s, ARENA - pages) * PAGE;
    struct __kernel_timespec brief = {0, (long)draw(s, 2000000)};
    switch (draw(s, 9)) {
      case 0:
      case 1: changeMap(s, p, pages * PAGE); break;
      case 2:
      case 3: touch(p, pages * PAGE); break;
      case 4: useFutex(s, &brief); break;
      case 5: useDescriptors(s); break;
      case 6: {
        i32 tid = tids[draw(s, (u64)threadCount)];
        if (tid) sys(__NR_tgkill, sys(__NR_getpid), tid, SIGUSR1);
        break;
      }
      case 7: draw(s, 2) ? sys(__NR_nanosleep, &brief, NULL) : sys(__NR_sched_yield); break;
      case 8: {
        /* Not on mapped memory: that could be taken from a hole of the arena. */
        static u8 stacks[MOST][8192] __attribute__((aligned(16)));
        struct thread t;
        if (threadStartOn(&t, nothing, &t, stacks[me], 8192) == 0 && threadJoin(&t) != &t) CHECK(0);
        break;
      }
    }
  }
  tids[me] = 0;
  __atomic_fetch_add(&finished, 1, __ATOMIC_RELAXED);
  return NULL;
}

/* mixture SEED ROUNDS [THREADS] */
int mixtureMain(int argc, char **argv) {
  static struct thread t[MOST];
  u64 seed = argc > 1 ? (u64)number(argv[1]) : 1;
  rounds = argc > 2 ? number(argv[2]) : 200;
  threadCount = argc > 3 ? (int)number(argv[3]) : 8;
  if (threadCount > MOST) threadCount = MOST;
  probeSetup();
  handle(SIGUSR1, onSignal, 0, 0);
  arena = allocate(ARENA * PAGE);
  events = sys(__NR_eventfd2, 0, O_NONBLOCK);
  poll = sys(__NR_epoll_create1, 0);
  EXPECT(sys(__NR_pipe2, ends, O_NONBLOCK), 0);
  struct epoll_event level = {.events = EPOLLIN}, edge = {.events = EPOLLIN | EPOLLET};
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, events, &level), 0);
  EXPECT(sys(__NR_epoll_ctl, poll, EPOLL_CTL_ADD, ends[0], &edge), 0);
  for (int i = 0; i < threadCount; i++) EXPECT(threadStart(&t[i], act, (void *)(seed * MOST + (u64)i)), 0);
  for (int i = 0; i < threadCount; i++) EXPECT(threadJoin(&t[i]), 0);
  EXPECT(finished, threadCount);
  CHECK(handled > 0);
  return report("mixture");
}
