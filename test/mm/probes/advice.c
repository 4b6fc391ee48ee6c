/* madvise, mlock and its relatives, mincore, msync: every value, on every kind of mapping, and the argument checks. */
#include "probe.h"

static void resident(const char *what, void *at, long pages) {
  unsigned char there[64];
  if (mincore(at, pages * PAGE, there) < 0) {
    SAY(what, error_name(errno));
    return;
  }
  printf("%s: ", what);
  for (long i = 0; i < pages; i++) printf("%d", there[i] & 1);
  printf("\n");
}

static void every_advice(void) {
  int file = new_file(NULL, 8 * PAGE);
  int memory = memfd_create("x", 0);
  if (ftruncate(memory, 8 * PAGE) < 0) exit(1);
  for (int advice = -1; advice < 30; advice++) {
    /* KSM (12, 13), huge pages (14, 15, 25): kernels are built with and without. Guards (26, 27): since 6.13. */
    if ((advice >= 12 && advice <= 15) || (advice >= 25 && advice <= 27)) continue;
    struct { const char *name; char *at; } kinds[] = {
        {"private", map(8, RW, ANON)},
        {"private, read only", map(8, PROT_READ, ANON)},
        {"private, none", map(8, PROT_NONE, ANON)},
        {"shared", map(8, RW, SHARED_ANON)},
        {"file, private", mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, file, 0)},
        {"file, shared", mmap(NULL, 8 * PAGE, RW, MAP_SHARED, file, 0)},
        {"memory file", mmap(NULL, 8 * PAGE, RW, MAP_SHARED, memory, 0)},
        {"memory file, read only", mmap(NULL, 8 * PAGE, PROT_READ, MAP_SHARED, memory, 0)},
        {"memory file, private", mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, memory, 0)},
        {"locked", map(8, RW, ANON | MAP_LOCKED)},
        {"grows down", map(8, RW, ANON | MAP_GROWSDOWN)},
    };
    for (unsigned k = 0; k < sizeof kinds / sizeof *kinds; k++) {
      char *at = kinds[k].at;
      for (int i = 0; i < 8; i++) STORE(at + i * PAGE, 'a' + i);
      printf("advice %d %s: %s", advice, kinds[k].name, OUTCOME(madvise(at + 2 * PAGE, 3 * PAGE, advice)));
      /* MADV_FREE (8) drops pages when it likes. */
      if (advice != 8 && strcmp(kinds[k].name, "private, none")) printf(" %s", LOAD(at + 2 * PAGE));
      printf(" %s\n", LOAD(at + 5 * PAGE));
      printf("  length 0 %s,", OUTCOME(madvise(at, 0, advice)));
      printf(" unaligned %s,", OUTCOME(madvise(at + 1, PAGE, advice)));
      printf(" odd length %s,", OUTCOME(madvise(at, 10, advice)));
      printf(" overflow %s,", OUTCOME(madvise(at, -1UL, advice)));
      printf(" long %s,", OUTCOME(madvise(at, -PAGE * 20, advice)));
      munmap(at + 4 * PAGE, PAGE);
      printf(" hole %s,", OUTCOME(madvise(at + 2 * PAGE, 4 * PAGE, advice)));
      printf(" only a hole %s,", OUTCOME(madvise(at + 4 * PAGE, PAGE, advice)));
      printf(" end in a hole %s,", OUTCOME(madvise(at + 2 * PAGE, 3 * PAGE, advice)));
      printf(" high %s\n", OUTCOME(madvise((void *)-PAGE, PAGE, advice)));
      munmap(at, 8 * PAGE);
    }
  }
}

static void populating(void) {
  int file = new_file(NULL, 2 * PAGE);
  for (int advice = 22; advice <= 23; advice++) {
    for (int prot = 0; prot < 8; prot++) {
      char *at = map(2, prot, ANON);
      printf("populate %d prot %d: %s", advice, prot, OUTCOME(madvise(at, 2 * PAGE, advice)));
      at = mmap(NULL, 2 * PAGE, prot, MAP_PRIVATE, file, 0);
      printf(" %s\n", OUTCOME(madvise(at, 2 * PAGE, advice)));
    }
    char *beyond = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
    SAY("populate beyond the end", OUTCOME(madvise(beyond, 4 * PAGE, advice)));
    char *several = map(6, RW, ANON);
    mprotect(several + 2 * PAGE, PAGE, PROT_NONE);
    SAY("populate over what cannot be", OUTCOME(madvise(several, 6 * PAGE, advice)));
    resident("pages", several, 6);
    munmap(several + 2 * PAGE, PAGE);
    SAY("populate over a hole", OUTCOME(madvise(several, 6 * PAGE, advice)));
  }
  char *lazily = map(4, RW, ANON | MAP_NORESERVE);
  resident("fresh", lazily, 4);
  resident("MAP_POPULATE", map(4, RW, ANON | MAP_POPULATE), 4);
  resident("MAP_POPULATE, none", map(4, PROT_NONE, ANON | MAP_POPULATE), 4);
  resident("MAP_POPULATE, read", map(4, PROT_READ, ANON | MAP_POPULATE), 4);
  resident("MAP_POPULATE, MAP_NONBLOCK", map(4, RW, ANON | MAP_POPULATE | MAP_NONBLOCK), 4);
  resident("MAP_LOCKED", map(4, RW, ANON | MAP_LOCKED), 4);
  resident("shared MAP_POPULATE", map(4, RW, SHARED_ANON | MAP_POPULATE), 4);
}

static void dropping(void) {
  char *at = map(4, RW, ANON);
  for (int i = 0; i < 4; i++) at[i * PAGE] = 5;
  madvise(at, 2 * PAGE, MADV_DONTNEED);
  resident("after MADV_DONTNEED", at, 4);
  SAY("dropped", LOAD(at));
  char *shared = map(4, RW, SHARED_ANON);
  for (int i = 0; i < 4; i++) shared[i * PAGE] = 5;
  madvise(shared, 2 * PAGE, MADV_DONTNEED);
  SAY("shared memory stays", LOAD(shared));
  madvise(shared, 2 * PAGE, MADV_REMOVE);
  SAY("until it is removed", LOAD(shared));
  int file = new_file("dropped", 4 * PAGE);
  char *of_file = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, file, 0);
  char *copy = mmap(NULL, 4 * PAGE, RW, MAP_PRIVATE, file, 0);
  STORE(of_file, 'S');
  STORE(copy + PAGE, 'C');
  SAY("file", OUTCOME(madvise(of_file, 2 * PAGE, MADV_DONTNEED)));
  SAY("file keeps what was written", LOAD(of_file));
  SAY("copy", OUTCOME(madvise(copy, 2 * PAGE, MADV_DONTNEED)));
  SAY("copy shows the file again", LOAD(copy + PAGE));
  SAY("remove of a file", OUTCOME(madvise(of_file + 2 * PAGE, PAGE, MADV_REMOVE)));
  SAY("is a hole", LOAD(of_file + 2 * PAGE));
  char byte = 1;
  SAY("in the file too", number(pread(file, &byte, 1, 2 * PAGE)));
  printf("%d\n", byte);
  SAY("copy shows it", LOAD(copy + 2 * PAGE));
}

static void at_fork(void) {
  char *at = map(6, RW, ANON);
  for (int i = 0; i < 6; i++) at[i * PAGE] = 10 + i;
  char *shared = map(1, RW, SHARED_ANON);
  madvise(at + PAGE, PAGE, MADV_DONTFORK);
  madvise(at + 2 * PAGE, PAGE, MADV_WIPEONFORK);
  SAY("wipe on fork, shared", OUTCOME(madvise(shared, PAGE, MADV_WIPEONFORK)));
  madvise(at + 3 * PAGE, 2 * PAGE, MADV_WIPEONFORK);
  madvise(at + 4 * PAGE, PAGE, MADV_KEEPONFORK);
  madvise(shared, PAGE, MADV_DONTFORK);
  fflush(stdout);
  if (fork() == 0) {
    for (int i = 0; i < 6; i++) SAY("in a child", LOAD(at + i * PAGE));
    SAY("shared, in a child", LOAD(shared));
    if (fork() == 0) {
      at[2 * PAGE] = 9;
      SAY("in its child", LOAD(at + 2 * PAGE));
      _exit(0);
    }
    wait(NULL);
    show_maps(at, 6);
    _exit(0);
  }
  wait(NULL);
  madvise(at + PAGE, PAGE, MADV_DOFORK);
  show_maps(at, 6);
}

/* Locked pages come in when they become writable. */
static void locked_and_protected(void) {
  char *at = map(8, PROT_NONE, ANON | MAP_LOCKED);
  mprotect(at + PAGE, 2 * PAGE, RW);
  resident("locked, made writable", at, 8);
  mprotect(at + 4 * PAGE, 2 * PAGE, PROT_READ);
  resident("locked, made readable", at, 8);
  mprotect(at, 8 * PAGE, RW);
  resident("locked, all made writable", at, 8);
  at = map(4, PROT_NONE, ANON);
  syscall(SYS_mlock2, at, 4 * PAGE, 1);
  mprotect(at, 4 * PAGE, RW);
  resident("locked on fault, made writable", at, 4);
  at = map(4, PROT_NONE, SHARED_ANON | MAP_LOCKED);
  mprotect(at, 4 * PAGE, RW);
  resident("shared and locked, made writable", at, 4);
}

static void locking(void) {
  limit(RLIMIT_MEMLOCK, 8 * PAGE);
  char *at = map(16, RW, ANON);
  SAY("lock nothing", OUTCOME(mlock(at, 0)));
  SAY("lock", OUTCOME(mlock(at, 4 * PAGE)));
  resident("locked", at, 8);
  SAY("lock unaligned", OUTCOME(mlock(at + 4 * PAGE + 100, 10)));
  SAY("lock again", OUTCOME(mlock(at, 5 * PAGE)));
  SAY("lock too much", OUTCOME(mlock(at, 9 * PAGE)));
  SAY("lock too much more", OUTCOME(mlock(at + 8 * PAGE, 4 * PAGE)));
  SAY("map too much", OUTCOME(map(4, RW, ANON | MAP_LOCKED)));
  SAY("map", OUTCOME(map(3, RW, ANON | MAP_LOCKED)));
  SAY("lock on fault", OUTCOME(syscall(SYS_mlock2, at + 8 * PAGE, PAGE, 1)));
  SAY("mlock2 flag", OUTCOME(syscall(SYS_mlock2, at, PAGE, 2)));
  SAY("mlock2 flag and too much", OUTCOME(syscall(SYS_mlock2, at, 90 * PAGE, 2)));
  SAY("unlock", OUTCOME(munlock(at, 16 * PAGE)));
  SAY("on fault", OUTCOME(syscall(SYS_mlock2, at + 8 * PAGE, 2 * PAGE, 1)));
  resident("on fault", at + 8 * PAGE, 2);
  SAY("mremap of locked", OUTCOME(mremap(at + 8 * PAGE, 2 * PAGE, 20 * PAGE, MREMAP_MAYMOVE)));
  SAY("unlock a hole", (munmap(at + 12 * PAGE, PAGE), OUTCOME(munlock(at, 16 * PAGE))));
  SAY("lock a hole", OUTCOME(mlock(at + 11 * PAGE, 3 * PAGE)));
  munlock(at + 13 * PAGE, PAGE);
  SAY("lock only a hole", OUTCOME(mlock(at + 12 * PAGE, PAGE)));
  SAY("lock overflow", OUTCOME(mlock(at, -1UL)));
  SAY("lock -4096", OUTCOME(mlock(at, -PAGE)));
  SAY("unlock overflow", OUTCOME(munlock(at, -PAGE)));
  SAY("lock what cannot be read", OUTCOME(mlock(map(1, PROT_NONE, ANON), PAGE)));
  SAY("msync invalidate", OUTCOME(msync(at + 11 * PAGE, PAGE, MS_INVALIDATE)));
  munlock(at, 12 * PAGE);
  SAY("mlockall 0", OUTCOME(mlockall(0)));
  SAY("mlockall 8", OUTCOME(mlockall(8)));
  SAY("mlockall on fault", OUTCOME(mlockall(4)));
  SAY("mlockall current, too much", OUTCOME(mlockall(MCL_CURRENT)));
  SAY("mlockall future", OUTCOME(mlockall(MCL_FUTURE)));
  char *later = map(4, RW, ANON);
  resident("mapped later", later, 4);
  SAY("too much later", OUTCOME(map(9, RW, ANON)));
  SAY("none later", OUTCOME(map(9, PROT_NONE, ANON)));
  SAY("mlockall future on fault", OUTCOME(mlockall(MCL_FUTURE | 4)));
  munmap(later, 4 * PAGE);
  resident("on fault", map(3, RW, ANON), 3);
  SAY("munlockall", OUTCOME(munlockall()));
  resident("unlocked", map(3, RW, ANON), 3);
  limit(RLIMIT_MEMLOCK, 0);
  SAY("no right to lock", OUTCOME(mlock(at, PAGE)));
  SAY("nothing", OUTCOME(mlock(at, 0)));
  SAY("mlock2 flag", OUTCOME(syscall(SYS_mlock2, at, PAGE, 2)));
  SAY("mlockall", OUTCOME(mlockall(MCL_FUTURE)));
  SAY("mlockall 0", OUTCOME(mlockall(0)));
  SAY("MAP_LOCKED", OUTCOME(map(1, RW, ANON | MAP_LOCKED)));
  SAY("MAP_LOCKED, no type", OUTCOME(map(1, RW, MAP_ANONYMOUS | MAP_LOCKED)));
  SAY("unlock", OUTCOME(munlock(at, PAGE)));
  SAY("munlockall", OUTCOME(munlockall()));
}

static void residency(void) {
  unsigned char there[16];
  char *at = map(8, RW, ANON);
  SAY("mincore unaligned", OUTCOME(mincore(at + 1, PAGE, there)));
  SAY("mincore nothing", OUTCOME(mincore(at, 0, there)));
  SAY("mincore nothing, bad vector", OUTCOME(mincore(at, 0, NULL)));
  SAY("mincore bad vector", OUTCOME(mincore(at, PAGE, NULL)));
  SAY("mincore odd length", OUTCOME(mincore(at, 1, there)));
  SAY("mincore overflow", OUTCOME(mincore(at, -1UL, there)));
  SAY("mincore high", OUTCOME(mincore((void *)-PAGE, PAGE, there)));
  munmap(at + 4 * PAGE, PAGE);
  memset(there, 7, sizeof there);
  SAY("mincore hole", OUTCOME(mincore(at + 2 * PAGE, 5 * PAGE, there)));
  printf("%d %d %d %d\n", there[0], there[1], there[2], there[3]);
  SAY("mincore hole, bad vector", OUTCOME(mincore(at + 4 * PAGE, PAGE, NULL)));
  SAY("mincore none", OUTCOME(mincore(map(2, PROT_NONE, ANON), 2 * PAGE, there)));
}

static void syncing(void) {
  int file = new_file(NULL, 8 * PAGE);
  char *at = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, file, 0);
  for (int flags = 0; flags < 10; flags++) {
    printf("msync %d: %s,", flags, OUTCOME(msync(at, PAGE, flags)));
    printf(" unaligned %s,", OUTCOME(msync(at + 1, PAGE, flags)));
    printf(" nothing %s,", OUTCOME(msync(at, 0, flags)));
    printf(" overflow %s,", OUTCOME(msync(at, -1UL, flags)));
    printf(" -4096 %s,", OUTCOME(msync(at, -PAGE, flags)));
    printf(" high %s,", OUTCOME(msync((void *)-PAGE, PAGE, flags)));
    printf(" anonymous %s\n", OUTCOME(msync(map(1, PROT_NONE, ANON), PAGE, flags)));
  }
  munmap(at + 4 * PAGE, PAGE);
  STORE(at + 3 * PAGE, 'x');
  STORE(at + 5 * PAGE, 'y');
  SAY("msync hole", OUTCOME(msync(at + 3 * PAGE, 3 * PAGE, MS_SYNC)));
  char bytes[2];
  if (pread(file, bytes, 1, 3 * PAGE) != 1 || pread(file, bytes + 1, 1, 5 * PAGE) != 1) exit(1);
  printf("%.2s\n", bytes);
  SAY("msync only a hole", OUTCOME(msync(at + 4 * PAGE, PAGE, MS_SYNC)));
  mlock(at, PAGE);
  SAY("msync invalidate, locked", OUTCOME(msync(at, PAGE, MS_INVALIDATE)));
  SAY("msync invalidate, later locked", (mlock(at + 2 * PAGE, PAGE), munlock(at, PAGE), OUTCOME(msync(at, 4 * PAGE, MS_INVALIDATE | MS_SYNC))));
  SAY("hole, then locked", (mlock(at + 5 * PAGE, PAGE), munlock(at, 4 * PAGE), OUTCOME(msync(at + 3 * PAGE, 3 * PAGE, MS_INVALIDATE))));
}

int main(void) {
  begin();
  every_advice();
  populating();
  dropping();
  at_fork();
  residency();
  syncing();
  locked_and_protected();
  locking();
  return 0;
}
