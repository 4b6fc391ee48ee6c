/* The memory map: what the kernel promises about mmap, munmap, mprotect, mremap, brk and madvise. */
#include "sys.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void fill(u8 *p, u64 n, u32 seed) {
  for (u64 i = 0; i < n; i++) p[i] = (u8)(seed = seed * 1103515245 + 12345, seed >> 16);
}

static int filled(const u8 *p, u64 n, u32 seed) {
  for (u64 i = 0; i < n; i++)
    if (p[i] != (u8)(seed = seed * 1103515245 + 12345, seed >> 16)) return 0;
  return 1;
}

static int zero(const u8 *p, u64 n) {
  for (u64 i = 0; i < n; i++)
    if (p[i]) return 0;
  return 1;
}

static void mapping(void) {
  u8 *p = allocate(4 * PAGE);
  CHECK(((u64)p & (PAGE - 1)) == 0);
  CHECK(zero(p, 4 * PAGE));
  fill(p, 4 * PAGE, 1);
  CHECK(filled(p, 4 * PAGE, 1));

  EXPECT(mmap(0, 0, RW, ANON, -1, 0), -EINVAL);
  EXPECT(mmap(0, PAGE, RW, MAP_ANONYMOUS, -1, 0), -EINVAL);
  EXPECT(mmap(0, PAGE, RW, MAP_PRIVATE, -1, 0), -EBADF);
  EXPECT(mmap(0, PAGE, RW, MAP_PRIVATE, 12345, 0), -EBADF);
  EXPECT(mmap(0, PAGE, RW, MAP_PRIVATE, 0, 1), -EINVAL);
  EXPECT(mmap(0, 1UL << 60, RW, ANON, -1, 0), -ENOMEM);
  EXPECT(mmap(0, -1UL, RW, ANON, -1, 0), -ENOMEM);
  EXPECT(mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0), -EINVAL);
  EXPECT(mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), -EEXIST);
  EXPECT(mmap(1UL << 62, PAGE, RW, ANON | MAP_FIXED, -1, 0), -ENOMEM);

  /* A hint that is free is honoured, one that is taken isn't. */
  EXPECT(sys(__NR_munmap, p + PAGE, PAGE), 0);
  EXPECT(mmap(p + PAGE, PAGE, RW, ANON, -1, 0), p + PAGE);
  CHECK(zero(p + PAGE, PAGE));
  long other = mmap(p + PAGE, PAGE, RW, ANON, -1, 0);
  CHECK(!isError(other) && (u8 *)other != p + PAGE);
  EXPECT(sys(__NR_munmap, other, PAGE), 0);

  /* MAP_FIXED takes the place of what was there. */
  p[2 * PAGE] = 77;
  EXPECT(mmap(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), p + 2 * PAGE);
  CHECK(zero(p + 2 * PAGE, PAGE));
  CHECK(!zero(p, PAGE));
  CHECK(!zero(p + 3 * PAGE, PAGE));

  /* Unmapping. */
  EXPECT(sys(__NR_munmap, p + 1, PAGE), -EINVAL);
  EXPECT(sys(__NR_munmap, p, 0), -EINVAL);
  EXPECT(sys(__NR_munmap, p, 1), 0);
  EXPECT(probeLoad(p), SIGSEGV);
  EXPECT(probeCode, SEGV_MAPERR);
  EXPECT(probeAddress, p);
  EXPECT(probeStore(p + PAGE - 1), SIGSEGV);
  EXPECT(probeAddress, p + PAGE - 1);
  EXPECT(probeLoad(p + PAGE), 0);
  EXPECT(sys(__NR_munmap, p, 4 * PAGE), 0);
  EXPECT(sys(__NR_munmap, p, 4 * PAGE), 0);
  EXPECT(probeLoad(p + 3 * PAGE), SIGSEGV);
}

static void protection(void) {
  u8 *p = allocate(6 * PAGE);
  fill(p, 6 * PAGE, 2);
  EXPECT(sys(__NR_mprotect, p + PAGE, PAGE, PROT_READ), 0);
  EXPECT(sys(__NR_mprotect, p + 2 * PAGE, PAGE, PROT_NONE), 0);
  EXPECT(probeStore(p + PAGE), SIGSEGV);
  EXPECT(probeCode, SEGV_ACCERR);
  EXPECT(probeAddress, p + PAGE);
  EXPECT(probeLoad(p + PAGE), 0);
  EXPECT(probeLoad(p + 2 * PAGE + 5), SIGSEGV);
  EXPECT(probeCode, SEGV_ACCERR);
  EXPECT(probeAddress, p + 2 * PAGE + 5);
  EXPECT(probeStore(p + 3 * PAGE), 0);
  p[3 * PAGE] = 0;
  /* The contents outlive PROT_NONE. */
  EXPECT(sys(__NR_mprotect, p, 6 * PAGE, RW), 0);
  EXPECT(probeStore(p + 2 * PAGE), 0);
  fill(p, 6 * PAGE, 3);
  CHECK(filled(p, 6 * PAGE, 3));
  /* PROT_WRITE brings reading with it. */
  EXPECT(sys(__NR_mprotect, p, PAGE, PROT_WRITE), 0);
  EXPECT(probeLoad(p), 0);
  EXPECT(sys(__NR_mprotect, p + 1, PAGE, RW), -EINVAL);
  EXPECT(sys(__NR_mprotect, p, 0, RW), 0);
  EXPECT(sys(__NR_mprotect, p, PAGE, 0x1000), -EINVAL);
  /* Over a hole: what comes before it is done, the rest isn't. */
  EXPECT(sys(__NR_munmap, p + 2 * PAGE, PAGE), 0);
  EXPECT(sys(__NR_mprotect, p, 6 * PAGE, PROT_READ), -ENOMEM);
  EXPECT(probeStore(p + 4 * PAGE), 0);
  EXPECT(sys(__NR_munmap, p, 6 * PAGE), 0);
  EXPECT(sys(__NR_mprotect, p, PAGE, PROT_READ), -ENOMEM);
}

static void remapping(void) {
  u8 *p = allocate(8 * PAGE);
  fill(p, 8 * PAGE, 4);
  /* Shrink in place. */
  EXPECT(sys(__NR_mremap, p, 8 * PAGE, 4 * PAGE, 0), p);
  EXPECT(probeLoad(p + 4 * PAGE), SIGSEGV);
  CHECK(filled(p, 4 * PAGE, 4));
  /* Grow in place: behind it is free. */
  EXPECT(sys(__NR_mremap, p, 4 * PAGE, 6 * PAGE, 0), p);
  CHECK(filled(p, 4 * PAGE, 4));
  CHECK(zero(p + 4 * PAGE, 2 * PAGE));
  /* Can't grow in place: something stands behind it. */
  EXPECT(mmap(p + 6 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p + 6 * PAGE);
  EXPECT(sys(__NR_mremap, p, 6 * PAGE, 7 * PAGE, 0), -ENOMEM);
  u8 *q = (u8 *)sys(__NR_mremap, p, 6 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
  CHECK(!isError(q) && q != p);
  if (isError(q)) return;
  CHECK(filled(q, 4 * PAGE, 4));
  CHECK(zero(q + 4 * PAGE, 60 * PAGE));
  EXPECT(probeLoad(p), SIGSEGV);
  EXPECT(sys(__NR_munmap, p + 6 * PAGE, PAGE), 0);
  /* To a fixed place. */
  EXPECT(sys(__NR_mremap, q, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p), p);
  CHECK(filled(p, 4 * PAGE, 4));
  EXPECT(probeLoad(q), SIGSEGV);
  EXPECT(probeLoad(q + 4 * PAGE), 0);
  EXPECT(sys(__NR_mremap, p + 1, PAGE, PAGE, 0), -EINVAL);
  EXPECT(sys(__NR_mremap, p, PAGE, 0, 0), -EINVAL);
  EXPECT(sys(__NR_mremap, p, PAGE, PAGE, 0x80), -EINVAL);
  EXPECT(sys(__NR_mremap, p, PAGE, PAGE, MREMAP_FIXED, q), -EINVAL);
  EXPECT(sys(__NR_munmap, q, 64 * PAGE), 0);
  EXPECT(sys(__NR_mremap, q, PAGE, 2 * PAGE, MREMAP_MAYMOVE), -EFAULT);
  EXPECT(sys(__NR_munmap, p, 8 * PAGE), 0);
}

/* Where qemu-riscv64 7.2 is known to answer otherwise than the kernel. */
static void remappingStrict(void) {
  u8 *p = allocate(4 * PAGE);
  /* Over several mappings. */
  EXPECT(sys(__NR_mprotect, p + PAGE, PAGE, PROT_READ), 0);
  EXPECT(sys(__NR_mremap, p, 3 * PAGE, 6 * PAGE, MREMAP_MAYMOVE), -EFAULT);
  EXPECT(probeLoad(p), 0);
  EXPECT(probeLoad(p + 2 * PAGE), 0);
  /* Each page keeps its protection over a move. */
  u8 *q = (u8 *)sys(__NR_mremap, p + PAGE, PAGE, PAGE * 20, MREMAP_MAYMOVE);
  CHECK(!isError(q));
  EXPECT(probeStore(q), SIGSEGV);
  EXPECT(probeLoad(q), 0);
  EXPECT(probeLoad(p + PAGE), SIGSEGV);
  EXPECT(sys(__NR_munmap, q, PAGE * 20), 0);
  EXPECT(sys(__NR_munmap, p, PAGE * 4), 0);
#ifdef __riscv
  /* Code that may not be read. */
  p = allocate(PAGE);
  *(u32 *)p = 0x00008067; /* ret */
  sys(__NR_riscv_flush_icache, p, p + PAGE, 0);
  EXPECT(sys(__NR_mprotect, p, PAGE, PROT_EXEC), 0);
  ((void (*)(void))(void *)p)();
  EXPECT(probeLoad(p), SIGSEGV);
  EXPECT(probeCode, SEGV_ACCERR);
  EXPECT(sys(__NR_munmap, p, PAGE), 0);
#endif
}

static void breaking(void) {
  u8 *start = (u8 *)sys(__NR_brk, 0);
  CHECK(start != NULL);
  EXPECT(sys(__NR_brk, start + 10 * PAGE + 5), start + 10 * PAGE + 5);
  CHECK(zero(start, 10 * PAGE + 5));
  fill(start, 10 * PAGE + 5, 5);
  CHECK(filled(start, 10 * PAGE + 5, 5));
  EXPECT(sys(__NR_brk, start + 2 * PAGE), start + 2 * PAGE);
  CHECK(filled(start, 2 * PAGE, 5));
  EXPECT(sys(__NR_brk, start + 4 * PAGE), start + 4 * PAGE);
  u8 *whole = (u8 *)(((u64)start + 2 * PAGE + PAGE - 1) & -PAGE);
  CHECK(zero(whole, PAGE));
  EXPECT(sys(__NR_brk, start - PAGE), start + 4 * PAGE);
  EXPECT(sys(__NR_brk, 1UL << 60), start + 4 * PAGE);
  EXPECT(sys(__NR_brk, start), start);
}

static void advice(void) {
  u8 *p = allocate(4 * PAGE);
  fill(p, 4 * PAGE, 6);
  EXPECT(sys(__NR_madvise, p + PAGE, PAGE, MADV_DONTNEED), 0);
  CHECK(zero(p + PAGE, PAGE));
  CHECK(!zero(p, PAGE) && !zero(p + 2 * PAGE, PAGE));
  EXPECT(sys(__NR_madvise, p, PAGE, MADV_WILLNEED), 0);
  EXPECT(sys(__NR_madvise, p, PAGE, MADV_NORMAL), 0);
  EXPECT(sys(__NR_madvise, p + 1, PAGE, MADV_DONTNEED), -EINVAL);
  EXPECT(sys(__NR_madvise, p, PAGE, 9999), -EINVAL);
  EXPECT(sys(__NR_madvise, p, 0, MADV_DONTNEED), 0);
  EXPECT(sys(__NR_munmap, p + 2 * PAGE, PAGE), 0);
  EXPECT(sys(__NR_madvise, p, 4 * PAGE, MADV_DONTNEED), -ENOMEM);
  u8 resident[4];
  p[0] = 1;
  EXPECT(sys(__NR_mincore, p, PAGE, resident), 0);
  EXPECT(resident[0] & 1, 1);
  EXPECT(sys(__NR_mincore, p, 4 * PAGE, resident), -ENOMEM);
  EXPECT(sys(__NR_mincore, p + 1, PAGE, resident), -EINVAL);
  EXPECT(sys(__NR_munmap, p, 4 * PAGE), 0);
}

static void files(const char *path) {
  long fd = sys(__NR_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  if (fd < 0) return;
  u8 *pattern = allocate(3 * PAGE);
  fill(pattern, 3 * PAGE, 7);
  EXPECT(sys(__NR_write, fd, pattern, 2 * PAGE + 100), 2 * PAGE + 100);

  u8 *mine = (u8 *)mmap(0, 4 * PAGE, RW, MAP_PRIVATE, fd, 0);
  u8 *ours = (u8 *)mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0);
  u8 *second = (u8 *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
  CHECK(!isError(mine) && !isError(ours) && !isError(second));
  CHECK(sameBytes(ours, pattern, 2 * PAGE + 100));
  CHECK(sameBytes(mine, pattern, 2 * PAGE + 100));
  CHECK(sameBytes(second, pattern + PAGE, PAGE));
  CHECK(zero(mine + 2 * PAGE + 100, PAGE - 100));
  CHECK(zero(ours + 2 * PAGE + 100, PAGE - 100));
  /* Beyond the last page of the file. */
  EXPECT(probeLoad(ours + 3 * PAGE), SIGBUS);
  EXPECT(probeCode, BUS_ADRERR);
  EXPECT(probeAddress, ours + 3 * PAGE);
  EXPECT(probeStore(mine + 3 * PAGE + 8), SIGBUS);

  /* Private stores stay private, shared ones are seen everywhere. */
  mine[PAGE] = (u8)~pattern[PAGE];
  EXPECT(ours[PAGE], pattern[PAGE]);
  ours[PAGE + 1] = (u8)~pattern[PAGE + 1];
  EXPECT(second[1], (u8)~pattern[PAGE + 1]);
  u8 seen[4];
  EXPECT(sys(__NR_pread64, fd, seen, 2, PAGE), 2);
  EXPECT(seen[0], pattern[PAGE]);
  EXPECT(seen[1], (u8)~pattern[PAGE + 1]);
  EXPECT(mine[PAGE], (u8)~pattern[PAGE]);
  /* A write to the file is seen in the shared mapping, and in the untouched page of the private one. */
  EXPECT(sys(__NR_pwrite64, fd, "xyz", 3, 20), 3);
  CHECK(sameBytes(ours + 20, "xyz", 3));
  CHECK(sameBytes(mine + 20, "xyz", 3));
  EXPECT(sys(__NR_msync, ours, PAGE, MS_SYNC), 0);
  EXPECT(sys(__NR_msync, ours, PAGE, MS_ASYNC), 0);
  EXPECT(sys(__NR_msync, ours + 1, PAGE, MS_SYNC), -EINVAL);
  EXPECT(sys(__NR_msync, ours, PAGE, MS_SYNC | MS_ASYNC), -EINVAL);
  EXPECT(sys(__NR_msync, ours, PAGE, 64), -EINVAL);
  /* Dropping the private copy brings the file back. */
  EXPECT(sys(__NR_madvise, mine + PAGE, PAGE, MADV_DONTNEED), 0);
  EXPECT(mine[PAGE], pattern[PAGE]);
  /* Another page appears when the file grows. */
  EXPECT(sys(__NR_ftruncate, fd, 4 * PAGE), 0);
  EXPECT(probeLoad(ours + 3 * PAGE), 0);
  CHECK(zero(ours + 3 * PAGE, PAGE));
  /* And goes when it shrinks. */
  EXPECT(sys(__NR_ftruncate, fd, PAGE), 0);
  EXPECT(probeLoad(ours + PAGE), SIGBUS);
  EXPECT(probeLoad(second), SIGBUS);
  EXPECT(sys(__NR_ftruncate, fd, 2 * PAGE), 0);
  CHECK(zero(ours + PAGE, PAGE));

  EXPECT(sys(__NR_munmap, ours, 4 * PAGE), 0);
  EXPECT(sys(__NR_close, fd), 0);
  EXPECT(second[0], 0);
  fd = sys(__NR_openat, AT_FDCWD, path, O_RDONLY);
  EXPECT(mmap(0, PAGE, RW, MAP_SHARED, fd, 0), -EACCES);
  u8 *copy = (u8 *)mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0);
  CHECK(!isError(copy));
  if (!isError(copy)) {
    copy[0] ^= 255;
    CHECK(sameBytes(copy + 20, "xyz", 3));
    EXPECT(sys(__NR_munmap, copy, PAGE), 0);
  }
  copy = (u8 *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(!isError(copy));
  EXPECT(sys(__NR_mprotect, copy, PAGE, RW), -EACCES);
  EXPECT(sys(__NR_munmap, copy, PAGE), 0);
  EXPECT(sys(__NR_close, fd), 0);
  EXPECT(sys(__NR_munmap, mine, 4 * PAGE), 0);
  EXPECT(sys(__NR_munmap, second, PAGE), 0);
  EXPECT(sys(__NR_munmap, pattern, 3 * PAGE), 0);
  fd = sys(__NR_openat, AT_FDCWD, path, O_WRONLY);
  EXPECT(mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), -EACCES);
  EXPECT(sys(__NR_close, fd), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, path, 0), 0);
}

/* Accesses over the border of two pages, by the engine and by the kernel. */
static void borders(void) {
  u8 *p = allocate(3 * PAGE);
  for (u64 offset = PAGE - 8; offset <= PAGE; offset++) {
    volatile u64 *wide = (volatile u64 *)(p + offset);
    *wide = 0x0123456789abcdefUL + offset;
    EXPECT(*wide, 0x0123456789abcdefUL + offset);
    EXPECT(p[offset], (u8)(0xef + offset));
    EXPECT(p[offset + 7], 0x01);
  }
  EXPECT(sys(__NR_munmap, p + 2 * PAGE, PAGE), 0);
  long ends[2];
#ifdef __NR_pipe2
  EXPECT(sys(__NR_pipe2, ends, 0), 0);
#endif
  i32 *fds = (i32 *)ends;
  fill(p, 2 * PAGE, 9);
  EXPECT(sys(__NR_write, fds[1], p + PAGE - 3, 6), 6);
  EXPECT(sys(__NR_read, fds[0], p + PAGE - 5, 6), 6);
  /* The part that can be read is written, or nothing is. */
  EXPECT(sys(__NR_write, fds[1], p + 2 * PAGE, 1), -EFAULT);
  sys(__NR_close, fds[0]);
  sys(__NR_close, fds[1]);
  EXPECT(sys(__NR_munmap, p, 2 * PAGE), 0);
}

/* memory DIRECTORY [strict] */
int memoryMain(int argc, char **argv) {
  char path[256];
  const char *directory = argc > 1 ? argv[1] : "/tmp";
  u64 n = length(directory);
  memcpy(path, directory, n);
  memcpy(path + n, "/guesthouse-memory", 19);
  probeSetup();
  mapping();
  protection();
  remapping();
  breaking();
  advice();
  borders();
  files(path);
  if (argc > 2 && same(argv[2], "strict")) remappingStrict();
  return report("memory");
}

/* cycle TIMES [BYTES]: maps, touches and unmaps; memory must come back. */
int cycleMain(int argc, char **argv) {
  long times = argc > 1 ? number(argv[1]) : 1000;
  u64 bytes = argc > 2 ? number(argv[2]) : 65536;
  for (long i = 0; i < times; i++) {
    u8 *p = allocate(bytes);
    for (u64 at = 0; at < bytes; at += PAGE) {
      if (p[at]) {
        out("cycle %ld: page not zero\n", i);
        return 1;
      }
      p[at] = 1;
    }
    if (sys(__NR_munmap, p, bytes)) return 1;
  }
  out("cycled %ld times\n", times);
  return 0;
}

/* hog: maps and touches until there is no more, then goes on working. */
int hogMain(int argc, char **argv) {
  u64 piece = argc > 1 ? (u64)number(argv[1]) : 16UL << 20;
  int touch = !(argc > 2 && same(argv[2], "untouched"));
  u64 pieces = 0;
  u8 *last = NULL;
  long address;
  for (;;) {
    address = mmap(0, piece, RW, ANON, -1, 0);
    if (isError(address)) break;
    if (touch)
      for (u64 at = 0; at < piece; at += PAGE) ((volatile u8 *)address)[at] = 1;
    last = (u8 *)address;
    if (++pieces > 1 << 20) break;
  }
  out("mmap ended with %ld\n", address);
  CHECK(pieces > 0);
  EXPECT(sys(__NR_munmap, last, piece), 0);
  u8 *again = (u8 *)mmap(0, piece, RW, ANON, -1, 0);
  CHECK(!isError(again));
  if (!isError(again)) again[0] = 1;
  return report("hog");
}

/* reserve [MIB]: address space without access costs nothing; parts of it are put to use. */
int reserveMain(int argc, char **argv) {
  u64 bytes = (argc > 1 ? (u64)number(argv[1]) : 2048) << 20;
  probeSetup();
  long address = mmap(0, bytes, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
  CHECK(!isError(address));
  if (isError(address)) return report("reserve");
  u8 *p = (u8 *)address;
  EXPECT(probeLoad(p), SIGSEGV);
  EXPECT(probeCode, SEGV_ACCERR);
  EXPECT(probeStore(p + bytes - 1), SIGSEGV);
  for (u64 at = 0; at < bytes; at += bytes / 16) {
    EXPECT(sys(__NR_mprotect, p + at, 4 * PAGE, RW), 0);
    for (u64 i = 0; i < 4 * PAGE; i += 64) *(u64 *)(p + at + i) = at + i;
  }
  for (u64 at = 0; at < bytes; at += bytes / 16)
    for (u64 i = 0; i < 4 * PAGE; i += 64)
      if (*(u64 *)(p + at + i) != at + i) CHECK(0);
  EXPECT(mmap(p + bytes / 2 + 64 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), p + bytes / 2 + 64 * PAGE);
  EXPECT(probeStore(p + bytes / 2 + 64 * PAGE), 0);
  EXPECT(probeStore(p + bytes / 2 + 65 * PAGE), SIGSEGV);
  EXPECT(sys(__NR_munmap, p, bytes), 0);
  EXPECT(probeLoad(p), SIGSEGV);
  EXPECT(probeCode, SEGV_MAPERR);
  return report("reserve");
}
