/* Resource limits, the number of mappings, overcommit, addresses that nobody gets: each in a process of its own. */
#include "probe.h"

static void address_space(void) {
  char *at = map(16, RW, ANON);
  long used = status_pages("VmSize");
  limit(RLIMIT_AS, (used + 64) * PAGE);
  char *first = map(64, PROT_NONE, ANON);
  SAY("up to the limit", OUTCOME(first));
  SAY("one more", OUTCOME(map(1, PROT_NONE, ANON)));
  SAY("one more without reserve", OUTCOME(map(1, PROT_NONE, ANON | MAP_NORESERVE)));
  SAY("one more, shared", OUTCOME(map(1, RW, SHARED_ANON)));
  SAY("over what is there", OUTCOME(mmap(at, 16 * PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("partly over what is there", OUTCOME(mmap(first, 65 * PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("mremap", OUTCOME(mremap(at, 16 * PAGE, 17 * PAGE, MREMAP_MAYMOVE)));
  SAY("mremap by moving", OUTCOME(mremap(at, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE)));
  void *heap = sbrk(0);
  SAY("brk", (char *)syscall(SYS_brk, (char *)heap + 4 * PAGE) == (char *)heap ? "stays" : "moves");
  munmap(first, PAGE);
  SAY("after munmap", OUTCOME(map(1, RW, ANON)));
  SAY("touch", STORE(at, 1));
  SAY("fork", (fflush(stdout), fork() == 0) ? (_exit(0), "") : "ok");
  wait(NULL);
  limit(RLIMIT_AS, 0);
  SAY("nothing is left", OUTCOME(map(1, RW, ANON)));
  SAY("munmap", OUTCOME(munmap(at, PAGE)));
  SAY("mprotect", OUTCOME(mprotect(at + PAGE, PAGE, PROT_READ)));
}

static void growing_stack(void) {
  char *area = map(2048, PROT_NONE, ANON);
  munmap(area, 2048 * PAGE);
  limit(RLIMIT_STACK, 64 * PAGE);
  char *stack = mmap(area + 2000 * PAGE, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  SAY("within", STORE(stack - 60 * PAGE, 1));
  SAY("beyond RLIMIT_STACK", STORE(stack - 61 * PAGE, 1));
  limit(RLIMIT_STACK, 1024 * PAGE);
  SAY("within the new limit", STORE(stack - 100 * PAGE, 1));
  limit(RLIMIT_AS, (status_pages("VmSize") + 10) * PAGE);
  SAY("within RLIMIT_AS", STORE(stack - 110 * PAGE, 1));
  SAY("beyond RLIMIT_AS", STORE(stack - 200 * PAGE, 1));
  limit(RLIMIT_AS, 1L << 40);
  limit(RLIMIT_DATA, 0);
  SAY("no data", STORE(stack - 200 * PAGE, 1));
  limit(RLIMIT_DATA, 1L << 40);
  mmap(stack - 600 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
  SAY("close to a mapping", STORE(stack - 599 * PAGE, 1));
  SAY("in the gap", STORE(stack - 344 * PAGE, 1));
  SAY("above the gap", STORE(stack - 343 * PAGE, 1));
  mmap(stack - 900 * PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0);
  munmap(stack - 600 * PAGE, PAGE);
  SAY("close to what has no access", STORE(stack - 899 * PAGE, 1));
  show_maps(area, 2048);
}

/* The stack that the program was started on. */
static void first_stack(void) {
  char here[16];
  char *base = (char *)((long)here & -PAGE);
  SAY("small at first", status_pages("VmStk") < 256 ? "yes" : "no");
  limit(RLIMIT_STACK, 1 << 20);
  SAY("half the limit below", STORE(base - (1 << 19), 1));
  SAY("has grown", status_pages("VmStk") >= 128 && status_pages("VmStk") < 256 ? "to there" : "otherwise");
  SAY("beyond the limit", STORE(base - (2 << 20), 1));
  limit(RLIMIT_STACK, 4 << 20);
  SAY("within the new limit", STORE(base - (2 << 20), 1));
  SAY("system call", number(read(new_file(NULL, PAGE), base - (3 << 20), 100)));
  for (int i = 0; i < 1000; i++) map(64, i % 2 ? RW : PROT_READ, ANON | MAP_NORESERVE);
  SAY("its room is kept", STORE(base - (4 << 20) + 64 * PAGE, 1));
  fflush(stdout);
  if (fork() == 0) {
    limit(RLIMIT_STACK, 8 << 20);
    SAY("in a child", STORE(base - (6 << 20), 1));
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
}

/* A system call reads and writes below a stack as the program does. */
static void growing_by_system_call(void) {
  char *area = map(2048, PROT_NONE, ANON);
  munmap(area, 2048 * PAGE);
  char *stack = mmap(area + 2000 * PAGE, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  int fd = new_file(NULL, PAGE);
  SAY("read below", number(read(fd, stack - 20 * PAGE, 10)));
  SAY("found", LOAD(stack - 20 * PAGE));
  SAY("write from below", number(write(fd, stack - 40 * PAGE, 10)));
  show_maps(area, 2048);
}

static void data(void) {
  long used = status_pages("VmData");
  limit(RLIMIT_DATA, (used + 32) * PAGE);
  SAY("more data", OUTCOME(map(33, RW, ANON)));
  SAY("not writable", OUTCOME(map(33, PROT_READ, ANON)));
  SAY("shared", OUTCOME(map(33, RW, SHARED_ANON)));
  SAY("a stack", OUTCOME(map(33, RW, ANON | MAP_GROWSDOWN)));
  int fd = new_file(NULL, 64 * PAGE);
  SAY("file", OUTCOME(mmap(NULL, 33 * PAGE, RW, MAP_PRIVATE, fd, 0)));
  char *readable = mmap(NULL, 33 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
  SAY("made writable", OUTCOME(mprotect(readable, 33 * PAGE, RW)));
  SAY("part made writable", OUTCOME(mprotect(readable, 16 * PAGE, RW)));
  SAY("another part made writable", OUTCOME(mprotect(readable + 16 * PAGE, 17 * PAGE, RW)));
  char *at = map(16, RW, ANON);
  SAY("up to the limit", OUTCOME(at));
  SAY("one more", OUTCOME(map(1, RW, ANON)));
  SAY("over what is there", OUTCOME(mmap(at, 16 * PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("mremap", OUTCOME(mremap(at, 16 * PAGE, 17 * PAGE, MREMAP_MAYMOVE)));
  void *heap = sbrk(0);
  SAY("brk", (char *)syscall(SYS_brk, (char *)heap + 4 * PAGE) == (char *)heap ? "stays" : "moves");
  SAY("protected", OUTCOME(mprotect(at, 8 * PAGE, PROT_READ)));
  SAY("eight more", OUTCOME(map(8, RW, ANON)));
  SAY("writable again", OUTCOME(mprotect(at, 8 * PAGE, RW)));
}

static void heap(void) {
  char *start = (char *)syscall(SYS_brk, 0);
  SAY("brk below the heap", (char *)syscall(SYS_brk, start - 64 * 1024 * 1024) == start ? "stays" : "moves");
  SAY("brk at 0", (char *)syscall(SYS_brk, 0) == start ? "stays" : "moves");
  SAY("brk -1", (char *)syscall(SYS_brk, -1) == start ? "stays" : "moves");
  char *end = (char *)syscall(SYS_brk, start + 10 * PAGE);
  SAY("brk", end == start + 10 * PAGE ? "moves" : "stays");
  char *page = (char *)(((long)start + PAGE - 1) & -PAGE);
  SAY("heap", STORE(page + 5 * PAGE, 1));
  end = (char *)syscall(SYS_brk, start + 4 * PAGE);
  SAY("back", end == start + 4 * PAGE ? "moves" : "stays");
  SAY("gone", LOAD(page + 5 * PAGE));
  end = (char *)syscall(SYS_brk, start + 8 * PAGE);
  SAY("forth", LOAD(page + 5 * PAGE));
  SAY("protect a page of the heap", OUTCOME(mprotect(page + 2 * PAGE, PAGE, PROT_READ)));
  end = (char *)syscall(SYS_brk, start + 9 * PAGE);
  SAY("on", end == start + 9 * PAGE ? "moves" : "stays");
  munmap(page + 3 * PAGE, PAGE);
  end = (char *)syscall(SYS_brk, start + PAGE);
  SAY("back over a hole", end == start + PAGE ? "moves" : "stays");
  mmap(page + 12 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
  SAY("towards a mapping", (char *)syscall(SYS_brk, page + 11 * PAGE) == page + 11 * PAGE ? "moves" : "stays");
  SAY("up to a mapping", (char *)syscall(SYS_brk, page + 12 * PAGE) == page + 12 * PAGE ? "moves" : "stays");
  SAY("over a mapping", (char *)syscall(SYS_brk, page + 14 * PAGE) == page + 14 * PAGE ? "moves" : "stays");
  munmap(page + 12 * PAGE, PAGE);
  struct rlimit old;
  getrlimit(RLIMIT_DATA, &old);
  limit(RLIMIT_DATA, 0);
  SAY("no data", (char *)syscall(SYS_brk, page + 20 * PAGE) == page + 20 * PAGE ? "moves" : "stays");
  char *now = (char *)syscall(SYS_brk, 0);
  SAY("no data, back", (char *)syscall(SYS_brk, page + PAGE) == now ? "stays" : "moves");
  setrlimit(RLIMIT_DATA, &old);
  limit(RLIMIT_AS, status_pages("VmSize") * PAGE);
  SAY("no addresses", (char *)syscall(SYS_brk, page + 20 * PAGE) == page + 20 * PAGE ? "moves" : "stays");
}

static void number_of_mappings(void) {
  long most = atol(contents("/proc/sys/vm/max_map_count"));
  long pages = 2 * most, made = 0;
  char *area = map(pages, PROT_NONE, ANON | MAP_NORESERVE);
  for (long i = 1; i < pages && mprotect(area + i * PAGE, PAGE, PROT_READ) == 0; i += 2) made++;
  SAY("splitting ends", error_name(errno));
  /* The program itself, libraries, [vvar] and the like differ. */
  SAY("with", labs(2 * made - most) < 60 ? "max_map_count mappings" : "another number of mappings");
  /* One more may fit, because a split makes two at a time. */
  char *rest = area + (2 * made + 20) * PAGE;
  if (munmap(rest, PAGE) == 0 && munmap(rest + 2 * PAGE, PAGE) == 0) printf("two more\n");
  SAY("split once more", OUTCOME(munmap(rest + 40 * PAGE, PAGE)));
  SAY("unmap at an edge", OUTCOME(munmap(area + (pages - 1) * PAGE, PAGE)));
  SAY("advice that splits", OUTCOME(madvise(rest + 50 * PAGE, PAGE, MADV_DONTFORK)));
  SAY("lock that splits", OUTCOME(mlock(rest + 60 * PAGE, PAGE)));
  SAY("mremap", OUTCOME(mremap(rest + 70 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE)));
  SAY("a new mapping in the middle", OUTCOME(mmap(rest + 80 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("joining", OUTCOME(mprotect(area, 5 * PAGE, PROT_NONE)));
  SAY("split again", OUTCOME(mprotect(rest + 90 * PAGE, PAGE, PROT_READ)));
}

static void map_and_unmap(const char *what, long pages, int prot, int flags) {
  char *at = map(pages, prot, flags);
  SAY(what, OUTCOME(at));
  if (at != MAP_FAILED) munmap(at, pages * PAGE);
}

/* vm.overcommit_memory is 0, Linux's heuristic, here and there. */
static void overcommit(void) {
  printf("%s", contents("/proc/sys/vm/overcommit_memory"));
  map_and_unmap("more than there is", 1L << 28, RW, ANON);
  map_and_unmap("without reserve", 1L << 22, RW, ANON | MAP_NORESERVE);
  map_and_unmap("without access", 1L << 23, PROT_NONE, ANON);
  map_and_unmap("read only", 1L << 22, PROT_READ, ANON);
  char *at = map(1L << 23, PROT_NONE, ANON);
  SAY("made writable", OUTCOME(mprotect(at, (1L << 23) * PAGE, RW)));
  SAY("a page made writable", OUTCOME(mprotect(at, PAGE, RW)));
}

static void low_addresses(void) {
  long lowest = atol(contents("/proc/sys/vm/mmap_min_addr"));
  SAY("below the lowest", OUTCOME(mmap((void *)(lowest - PAGE), PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  char *at = map(1, RW, ANON);
  SAY("mremap below", OUTCOME(mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, lowest - PAGE)));
  SAY("the first page", OUTCOME(mmap(NULL, PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("the first byte", LOAD((void *)8));
}

int main(void) {
  begin();
  in_child(address_space);
  in_child(growing_stack);
  in_child(first_stack);
  in_child(growing_by_system_call);
  in_child(data);
  in_child(heap);
  in_child(number_of_mappings);
  in_child(overcommit);
  in_child(low_addresses);
  return 0;
}
