/*
 * Threads that map, unmap, protect, move, fork, and write files and shared memory over each other, while others read, write
 * and execute pages that were promised to them. Every line of the output is a promise that was broken.
 *
 * usage: mapStress [SEED [STEPS [THREADS [FOLDER [PAGE]]]]], PAGE: bytes to work in rather than a page, where those below are larger
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_THREADS = 16, CODE_PAGES = 8, GATE_PAGES = 6, COUNTERS = 4 };

/* Where nothing is placed by itself: what is unmapped there stays so. */
#define GATES ((void *)0x30000000)
#define ARENA ((void *)0x32000000)

static long page;
static uint32_t first_seed;
static int steps, thread_count;
static char folder[400];
static atomic_int broken;

static __thread sigjmp_buf resume;
static __thread volatile int armed, faults;
static __thread uint32_t state;

static uint32_t pick(uint32_t n) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % n;
}

static void report(const char *what, long a, long b) {
  char line[200];
  int n = snprintf(line, sizeof line, "seed %u: %s (%lx, %lx)\n", first_seed, what, a, b);
  if (write(1, line, n) < 0) _exit(3);
  broken = 1;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  if (!armed) {
    char line[120];
    int n = snprintf(line, sizeof line, "seed %u: signal %d at %p\n", first_seed, number, info->si_addr);
    if (write(1, line, n) < 0) _exit(3);
    _exit(4);
  }
  faults++;
  siglongjmp(resume, 1);
}

/* Reads a word; 0 when that faults. */
static int try_load(volatile uint64_t *at, uint64_t *value) {
  armed = 1;
  int well = 0;
  if (!sigsetjmp(resume, 0)) {
    *value = *at;
    well = 1;
  }
  armed = 0;
  return well;
}

static int try_store(volatile uint64_t *at, uint64_t value) {
  armed = 1;
  int well = 0;
  if (!sigsetjmp(resume, 0)) {
    *at = value;
    well = 1;
  }
  armed = 0;
  return well;
}

/* --- code that is promised: page i returns i + 1, whatever else happens to the page --- */

static unsigned char *code;

static void write_function(unsigned char *at, int value) {
#ifdef __riscv
  uint32_t words[] = {0x00000513u | (uint32_t)value << 20, 0x00008067u};
#else
  unsigned char words[] = {0xb8, (unsigned char)value, 0, 0, 0, 0xc3};
#endif
  memcpy(at, words, sizeof words);
}

static int call(unsigned char *at) {
  int (*function)(void) = (int (*)(void))(uintptr_t)at;
  return function();
}

static void use_code(void) {
  int i = pick(CODE_PAGES);
  unsigned char *at = code + i * page;
  switch (pick(6)) {
  case 0:
    if (mprotect(at, page, PROT_READ | PROT_EXEC)) report("mprotect of code", errno, i);
    break;
  case 1:
    if (mprotect(at, page, PROT_READ | PROT_WRITE | PROT_EXEC)) report("mprotect of code", errno, i);
    break;
  case 2: {
    /* The page is writable now or not: whoever writes writes what is there. Beside the function everybody has a word. */
    uint64_t *word = (uint64_t *)(at + 64) + pick(8);
    try_store(word, pick(1 << 20));
    break;
  }
  }
  for (int n = 0; n < 20; n++)
    if (call(at) != i + 1) report("code of a promised page", call(at), i + 1);
}

/* --- gates: memory whose state a counter tells, 4 states in turn --- */

struct gate {
  _Atomic uint64_t stage; /* 0 writable, 1 changing, 2 closed, 3 changing, ... */
  pthread_mutex_t turn;
  int read_only; /* how it is closed */
};
static struct gate gates[GATE_PAGES];
static char *gate_base;
#define GATE_STRIDE (5 * page)

static uint64_t *gate_word(int i) { return (uint64_t *)(gate_base + i * GATE_STRIDE); }

/* Closes the gate, looks that it stays closed, and opens it again. */
static void turn_gate(int i) {
  struct gate *gate = &gates[i];
  if (pthread_mutex_trylock(&gate->turn)) return;
  uint64_t *word = gate_word(i);
  atomic_fetch_add(&gate->stage, 1);
  int how = pick(4);
  gate->read_only = how == 0;
  if (how == 0) {
    if (mprotect(word, page, PROT_READ)) report("mprotect of a gate", errno, i);
  } else if (how == 1) {
    if (mprotect(word, page, PROT_NONE)) report("mprotect of a gate", errno, i);
  } else if (how == 2) {
    if (munmap(word, page)) report("munmap of a gate", errno, i);
  } else {
    /* Moved away with what it holds. */
    if (mremap(word, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)word + 2 * page) == MAP_FAILED)
      report("mremap of a gate", errno, i);
  }
  uint64_t frozen[8] = {0};
  volatile uint64_t *there = how == 0 ? word : how == 3 ? (uint64_t *)((char *)word + 2 * page) : 0;
  if (there) for (int n = 0; n < 8; n++) frozen[n] = there[n];
  atomic_fetch_add(&gate->stage, 1);
  for (int n = pick(200); n > 0; n--) atomic_thread_fence(memory_order_seq_cst);
  if (there)
    for (int n = 0; n < 8; n++)
      if (there[n] != frozen[n]) report("a write after the gate was closed", how, n);
  atomic_fetch_add(&gate->stage, 1);
  if (how == 0 || how == 1) {
    if (mprotect(word, page, PROT_READ | PROT_WRITE)) report("mprotect of a gate", errno, i);
  } else {
    if (how == 3) munmap((char *)word + 2 * page, page);
    if (mmap(word, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != word)
      report("mmap of a gate", errno, i);
    for (int n = 0; n < 8; n++)
      if (word[n] >> 8 == 0 && word[n] != 0) report("a new page is not empty", word[n], i);
  }
  atomic_fetch_add(&gate->stage, 1);
  pthread_mutex_unlock(&gate->turn);
}

/* Goes through a gate: while it is closed nobody gets through. */
static void use_gate(int me) {
  int i = pick(GATE_PAGES);
  volatile uint64_t *word = gate_word(i) + me % 8;
  for (int n = 0; n < 40; n++) {
    uint64_t before = atomic_load(&gates[i].stage), value;
    int read_only = gates[i].read_only;
    int wrote = n & 1, well = wrote ? try_store(word, 0x100u + me) : try_load(word, &value);
    if (atomic_load(&gates[i].stage) != before) continue;
    if (before % 4 == 2 && well && (wrote || !read_only)) report("through a closed gate", wrote, read_only);
    if (before % 4 == 2 && !well && !wrote && read_only) report("cannot read", i, 0);
    if (before % 4 == 0 && !well) report("an open gate is closed", wrote, i);
  }
}

/* --- memory of one thread alone: nobody else's values in it, nothing lost --- */

struct area {
  uint64_t *at;
  int pages;
  uint64_t mark;
};

static uint64_t *word_of(struct area *area, int i) { return area->at + i * page / 8; }

static void check_area(struct area *area, const char *what) {
  for (int i = 0; i < area->pages; i++)
    if (*word_of(area, i) != area->mark + i) report(what, *word_of(area, i), area->mark + i);
}

static void make_area(struct area *area, int me) {
  area->pages = 1 + pick(12);
  area->at = mmap(0, area->pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area->at == MAP_FAILED) {
    report("mmap", errno, area->pages);
    area->pages = 0;
    return;
  }
  area->mark = ((uint64_t)(me + 1) << 40) + ((uint64_t)pick(1 << 24) << 8);
  for (int i = 0; i < area->pages; i++) {
    if (*word_of(area, i)) report("fresh memory is not empty", *word_of(area, i), i);
    *word_of(area, i) = area->mark + i;
  }
}

static void change_area(struct area *area, int me) {
  if (!area->pages) {
    make_area(area, me);
    return;
  }
  check_area(area, "a write is lost");
  switch (pick(5)) {
  case 0:
    if (munmap(area->at, area->pages * page)) report("munmap", errno, 0);
    area->pages = 0;
    break;
  case 1: {
    int pages = 1 + pick(16);
    void *at = mremap(area->at, area->pages * page, pages * page, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) {
      report("mremap", errno, pages);
      break;
    }
    area->at = at;
    for (int i = area->pages; i < pages; i++) {
      if (*word_of(area, i)) report("grown memory is not empty", *word_of(area, i), i);
      *word_of(area, i) = area->mark + i;
    }
    area->pages = pages;
    break;
  }
  case 2: {
    int i = pick(area->pages);
    if (mprotect(word_of(area, i), page, PROT_READ)) report("mprotect", errno, i);
    if (try_store(word_of(area, i), 1)) report("a write to read-only memory", i, 0);
    if (mprotect(word_of(area, i), page, PROT_READ | PROT_WRITE)) report("mprotect back", errno, i);
    break;
  }
  case 3: {
    int i = pick(area->pages);
    if (madvise(word_of(area, i), page, MADV_DONTNEED)) report("madvise", errno, i);
    if (*word_of(area, i)) report("dropped memory is not empty", *word_of(area, i), i);
    *word_of(area, i) = area->mark + i;
    break;
  }
  default: {
    /* Code of our own, changed and run again. */
    unsigned char *at = mmap(0, page, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) break;
    for (int value = 1; value < 4; value++) {
      write_function(at, value + me);
      __builtin___clear_cache((char *)at, (char *)at + 16);
      if (call(at) != value + me) report("code of our own", call(at), value + me);
    }
    munmap(at, page);
  }
  }
  if (area->pages) check_area(area, "a change is lost");
}

/* --- what all threads and processes count on --- */

static _Atomic uint64_t *shared_counters, *file_counters;
static atomic_ulong counted_shared, counted_file;

static void count(void) {
  int i = pick(COUNTERS);
  atomic_fetch_add(shared_counters + i * page / 8, 1);
  atomic_fetch_add(&counted_shared, 1);
  atomic_fetch_add(file_counters + i * page / 8, 1);
  atomic_fetch_add(&counted_file, 1);
}

/* Everybody maps over everybody: a write lands or faults. */
static char *arena;
static void use_arena(int me) {
  char *at = arena + pick(16) * page;
  long length = (1 + pick(4)) * page;
  switch (pick(5)) {
  case 0: mmap(at, length, pick(2) ? 3 : 1, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
  case 1: munmap(at, length); break;
  case 2: mprotect(at, length, pick(4)); break;
  case 3: madvise(at, length, MADV_DONTNEED); break;
  default: {
    uint64_t value;
    try_store((uint64_t *)at, me);
    if (try_load((uint64_t *)at, &value) && value > MOST_THREADS) report("foreign value in the arena", value, 0);
  }
  }
}

static void fork_once(struct area *areas, int n) {
  pid_t child = fork();
  if (child < 0) {
    if (errno != EAGAIN && errno != ENOMEM) report("fork", errno, 0);
    return;
  }
  if (child == 0) {
    for (int i = 0; i < n; i++) {
      if (!areas[i].pages) continue;
      check_area(&areas[i], "a child lacks memory");
      for (int k = 0; k < areas[i].pages; k++) *word_of(&areas[i], k) = 77;
    }
    for (int i = 0; i < CODE_PAGES; i++)
      if (call(code + i * page) != i + 1) report("code in a child", i, 0);
    atomic_fetch_add(shared_counters, 1);
    atomic_fetch_add(file_counters, 1);
    _exit(broken ? 5 : 0);
  }
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) {
      report("waitpid", errno, 0);
      return;
    }
  if (status) report("a child ended badly", status, 0);
  atomic_fetch_add(&counted_shared, 1);
  atomic_fetch_add(&counted_file, 1);
  for (int i = 0; i < n; i++)
    if (areas[i].pages) check_area(&areas[i], "a child wrote to its parent's memory");
}

static void *work(void *argument) {
  int me = (int)(intptr_t)argument;
  struct area areas[4] = {0};
  state = first_seed * 2654435761u + me * 40503u + 1;
  for (int i = 0; i < steps && !broken; i++) {
    switch (pick(10)) {
    case 0:
    case 1: use_code(); break;
    case 2:
    case 3: use_gate(me); break;
    case 4: turn_gate(pick(GATE_PAGES)); break;
    case 5:
    case 6: change_area(&areas[pick(4)], me); break;
    case 7: count(); break;
    case 8: use_arena(me); break;
    default:
      if (pick(40) == 0) fork_once(areas, 4);
    }
  }
  for (int i = 0; i < 4; i++)
    if (areas[i].pages) munmap(areas[i].at, areas[i].pages * page);
  return 0;
}

static uint64_t sum(_Atomic uint64_t *counters) {
  uint64_t total = 0;
  for (int i = 0; i < COUNTERS; i++) total += counters[i * page / 8];
  return total;
}

int main(int argc, char **argv) {
  page = sysconf(_SC_PAGESIZE);
  first_seed = argc > 1 ? strtoul(argv[1], 0, 10) : 1;
  steps = argc > 2 ? atoi(argv[2]) : 1000;
  thread_count = argc > 3 ? atoi(argv[3]) : 4;
  if (argc > 5) page = strtol(argv[5], 0, 0);
  snprintf(folder, sizeof folder, "%s", argc > 4 ? argv[4] : "/tmp");
  if (thread_count < 1 || thread_count > MOST_THREADS) return 2;

  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  code = mmap(0, CODE_PAGES * page, 7, flags, -1, 0);
  for (int i = 0; i < CODE_PAGES; i++) write_function(code + i * page, i + 1);
  __builtin___clear_cache((char *)code, (char *)code + CODE_PAGES * page);
  gate_base = mmap(GATES, GATE_PAGES * GATE_STRIDE, PROT_NONE, flags | MAP_FIXED, -1, 0);
  for (int i = 0; i < GATE_PAGES; i++) {
    pthread_mutex_init(&gates[i].turn, 0);
    mprotect(gate_word(i), page, PROT_READ | PROT_WRITE);
  }
  arena = mmap(ARENA, 32 * page, PROT_NONE, flags | MAP_FIXED, -1, 0);
  shared_counters = mmap(0, COUNTERS * page, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char path[500];
  snprintf(path, sizeof path, "%s/mapStress.%d", folder, (int)getpid());
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || ftruncate(fd, COUNTERS * page)) {
    perror(path);
    return 2;
  }
  file_counters = mmap(0, COUNTERS * page, 3, MAP_SHARED, fd, 0);

  pthread_t threads[MOST_THREADS];
  for (intptr_t i = 0; i < thread_count; i++)
    if (pthread_create(&threads[i], 0, work, (void *)i)) {
      report("pthread_create", i, 0);
      thread_count = i;
    }
  for (int i = 0; i < thread_count; i++) pthread_join(threads[i], 0);
  if (sum(shared_counters) != counted_shared) report("counts in shared memory", sum(shared_counters), counted_shared);
  if (sum(file_counters) != counted_file) report("counts in a file", sum(file_counters), counted_file);
  uint64_t in_file = 0;
  for (int i = 0; i < COUNTERS; i++) {
    uint64_t value = 0;
    if (pread(fd, &value, 8, i * page) == 8) in_file += value;
  }
  if (in_file != counted_file) report("counts that read(2) sees", in_file, counted_file);
  unlink(path);
  return broken ? 1 : 0;
}
