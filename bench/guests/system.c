/*
 * What the kernel does, by rate. system KIND [TIMES] [THREADS]: syscall, threads, futex, map, protect, fault, pipe, mutex, spin.
 * Threads have all started when the time begins. find and fixed: the third argument is how many mappings there are besides.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

static long times, threads;
static const char *kind;
static int word;
static int ends[2][2];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static pthread_barrier_t barrier;
/* When each thread began: who waits for them may come late. */
static struct timespec begun[64];

static void *nothing(void *argument) { return argument; }

static void turn(int from, int to) {
  while (__atomic_load_n(&word, __ATOMIC_ACQUIRE) != from)
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, to, NULL, NULL, 0);
  __atomic_store_n(&word, to, __ATOMIC_RELEASE);
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *pong(void *argument) {
  char c;
  for (long i = 0; i < times; i++)
    if (kind[0] == 'f') {
      turn(1, 0);
    } else {
      if (read(ends[0][0], &c, 1) != 1 || write(ends[1][1], &c, 1) != 1) return (void *)1;
    }
  return argument;
}

#define STEP 65536
static char *field;

/* So many mappings that the kernel cannot join, with gaps too small for 64 KiB between them. */
static void scatter(long mappings) {
  field = mmap(NULL, (size_t)mappings * STEP, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  munmap(field, (size_t)mappings * STEP);
  for (long i = 0; i < mappings; i++)
    if (mmap(field + i * STEP, STEP / 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) exit(1);
}

static void *work(void *argument) {
  long n = times / threads;
  if (threads > 1) {
    pthread_barrier_wait(&barrier);
    clock_gettime(CLOCK_MONOTONIC, &begun[(long)argument]);
  }
  if (!strcmp(kind, "map")) {
    for (long i = 0; i < n; i++) {
      volatile char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      p[4096] = 1;
      munmap((void *)p, 65536);
    }
  } else if (!strcmp(kind, "protect")) {
    char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < n; i++) mprotect(p + 16384, 4096, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ);
    munmap(p, 65536);
  } else if (!strcmp(kind, "fault")) {
    for (long done = 0; done < n;) {
      long pages = n - done < 1024 ? n - done : 1024;
      volatile char *p = mmap(NULL, (size_t)pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      for (long i = 0; i < pages; i++) p[i * 4096] = 1;
      munmap((void *)p, (size_t)pages * 4096);
      done += pages;
    }
  } else if (!strcmp(kind, "mutex")) {
    for (long i = 0; i < n; i++) {
      pthread_mutex_lock(&mutex);
      counter++;
      pthread_mutex_unlock(&mutex);
    }
  } else if (!strcmp(kind, "spin")) {
    uint64_t x = 1 + (uintptr_t)argument, sum = 0;
    for (long i = 0; i < n; i++) sum += xorshift(&x) & 255;
    __atomic_fetch_add(&counter, (long)sum, __ATOMIC_RELAXED);
  } else {
    for (long i = 0; i < n; i++) syscall(SYS_getppid);
  }
  return argument;
}

int main(int argc, char **argv) {
  kind = argc > 1 ? argv[1] : "syscall";
  times = sizeArgument(argc, argv, 2, 10000);
  threads = sizeArgument(argc, argv, 3, 1);
  pthread_t t[64];
  begin();
  if (!strcmp(kind, "find") || !strcmp(kind, "fixed")) {
    scatter(threads);
    begin();
    uint64_t x = 1;
    for (long i = 0; i < times; i++) {
      if (kind[2] == 'n') {
        munmap(mmap(NULL, STEP, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), STEP);
      } else {
        /* Between two of them, taken at random. */
        char *at = field + xorshift(&x) % (uint64_t)threads * STEP + STEP / 2;
        if (mmap(at, STEP / 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at) return 1;
        munmap(at, STEP / 4);
      }
    }
  } else if (!strcmp(kind, "threads")) {
    for (long i = 0; i < times; i++) {
      if (pthread_create(&t[0], NULL, nothing, NULL)) return 1;
      pthread_join(t[0], NULL);
    }
  } else if (!strcmp(kind, "futex") || !strcmp(kind, "pipe")) {
    if (pipe(ends[0]) || pipe(ends[1])) return 1;
    char c = 'x';
    pthread_create(&t[0], NULL, pong, NULL);
    for (long i = 0; i < times; i++)
      if (kind[0] == 'f') {
        turn(0, 1);
      } else {
        if (write(ends[0][1], &c, 1) != 1 || read(ends[1][0], &c, 1) != 1) return 1;
      }
    pthread_join(t[0], NULL);
  } else if (threads == 1) {
    work(NULL);
  } else {
    if (threads > 64) return 2;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    for (long i = 0; i < threads; i++) pthread_create(&t[i], NULL, work, (void *)i);
    for (long i = 0; i < threads; i++) pthread_join(t[i], NULL);
    benchStart = begun[0];
    for (long i = 1; i < threads; i++)
      if (begun[i].tv_sec < benchStart.tv_sec || (begun[i].tv_sec == benchStart.tv_sec && begun[i].tv_nsec < benchStart.tv_nsec))
        benchStart = begun[i];
  }
  end();
  printf("%s %ld times, %ld threads\n", kind, times, threads);
}
