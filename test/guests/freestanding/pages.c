/* What the kernel rounds to whole pages, whatever their size: addresses, lengths, protections, ends of files, figures. */
#include "sys.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define HALF (PAGE / 2)

/* Protections hold for target pages exactly: not so where host pages are larger. */
static int exact;

static void addresses(void) {
  /* A reservation, so that what lies around is known. */
  u8 *p = (u8 *)mmap(0, 8 * PAGE, PROT_NONE, ANON, -1, 0);
  CHECK(((u64)p & (PAGE - 1)) == 0);
  /* One byte is one page. */
  EXPECT(mmap(p + PAGE, 1, RW, ANON | MAP_FIXED, -1, 0), p + PAGE);
  EXPECT(probeStore(p + PAGE), 0);
  EXPECT(probeStore(p + 2 * PAGE - 1), 0);
  if (exact) {
    EXPECT(probeLoad(p + 2 * PAGE), SIGSEGV);
    EXPECT(probeLoad(p + PAGE - 1), SIGSEGV);
  }
  EXPECT(mmap(p + 3 * PAGE, PAGE + 1, RW, ANON | MAP_FIXED, -1, 0), p + 3 * PAGE);
  EXPECT(probeStore(p + 5 * PAGE - 1), 0);
  if (exact) EXPECT(probeStore(p + 5 * PAGE), SIGSEGV);
  /* Half pages are no addresses. */
  EXPECT(mmap(p + HALF, PAGE, RW, ANON | MAP_FIXED, -1, 0), -EINVAL);
  EXPECT(mmap(p + HALF, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), -EINVAL);
  EXPECT(sys(__NR_munmap, p + HALF, PAGE), -EINVAL);
  EXPECT(sys(__NR_mprotect, p + HALF, PAGE, RW), -EINVAL);
  EXPECT(sys(__NR_madvise, p + HALF, PAGE, MADV_DONTNEED), -EINVAL);
  EXPECT(sys(__NR_msync, p + HALF, PAGE, MS_SYNC), -EINVAL);
  u8 vector[8];
  EXPECT(sys(__NR_mincore, p + HALF, PAGE, vector), -EINVAL);
  EXPECT(sys(__NR_mremap, p + HALF, PAGE, 2 * PAGE, MREMAP_MAYMOVE), -EINVAL);
  EXPECT(sys(__NR_mremap, p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 6 * PAGE + HALF), -EINVAL);
  /* Lengths are rounded up. */
  EXPECT(sys(__NR_mprotect, p + 3 * PAGE, 1, PROT_READ), 0);
  EXPECT(probeLoad(p + 4 * PAGE - 1), 0);
  if (exact) EXPECT(probeStore(p + 4 * PAGE - 1), SIGSEGV);
  EXPECT(probeStore(p + 4 * PAGE), 0);
  p[PAGE] = p[2 * PAGE - 1] = 1;
  EXPECT(sys(__NR_madvise, p + PAGE, 1, MADV_DONTNEED), 0);
  EXPECT(p[PAGE], 0);
  EXPECT(p[2 * PAGE - 1], 0);
  EXPECT(sys(__NR_munmap, p + 3 * PAGE, 1), 0);
  EXPECT(mmap(p + 3 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), p + 3 * PAGE);
  EXPECT(sys(__NR_munmap, p + PAGE, PAGE + 1), 0);
  EXPECT(mmap(p + 2 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), p + 2 * PAGE);
  EXPECT(sys(__NR_munmap, p, 8 * PAGE), 0);
  /* A hint is rounded down. */
  EXPECT(mmap(p + HALF, PAGE, RW, ANON, -1, 0), p);
  EXPECT(sys(__NR_munmap, p, PAGE), 0);
}

static void residence(void) {
  u8 *p = (u8 *)mmap(0, 4 * PAGE, RW, ANON, -1, 0);
  u8 vector[6] = {9, 9, 9, 9, 9, 9};
  p[0] = 1;
  p[3 * PAGE - 1] = 1;
  EXPECT(sys(__NR_mincore, p, 3 * PAGE + 1, vector), 0);
  EXPECT(vector[0] & 1, 1);
  if (exact) EXPECT(vector[1] & 1, 0);
  EXPECT(vector[2] & 1, 1);
  if (exact) EXPECT(vector[3] & 1, 0);
  EXPECT(vector[4], 9);
  EXPECT(sys(__NR_munmap, p, 4 * PAGE), 0);
}

static void locking(void) {
  struct rlimit old, one = {.rlim_cur = PAGE, .rlim_max = PAGE};
  u8 *p = (u8 *)mmap(0, 2 * PAGE, RW, ANON, -1, 0);
  EXPECT(sys(__NR_prlimit64, 0, RLIMIT_MEMLOCK, &one, &old), 0);
  EXPECT(sys(__NR_mlock, p + 1, 1), 0);
  if (sys(__NR_geteuid) != 0) EXPECT(sys(__NR_mlock, p + PAGE - 1, 2), -ENOMEM);
  EXPECT(sys(__NR_munlock, p + PAGE - 1, 2), 0);
  EXPECT(sys(__NR_munmap, p, 2 * PAGE), 0);
}

static void remapping(void) {
  u8 *p = (u8 *)mmap(0, 6 * PAGE, PROT_NONE, ANON, -1, 0);
  EXPECT(sys(__NR_munmap, p, 6 * PAGE), 0);
  EXPECT(mmap(p, 1, RW, ANON | MAP_FIXED, -1, 0), p);
  p[PAGE - 1] = 3;
  EXPECT(sys(__NR_mremap, p, 1, PAGE + 1, 0), p);
  EXPECT(probeStore(p + 2 * PAGE - 1), 0);
  EXPECT(mmap(p + 2 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0), p + 2 * PAGE);
  EXPECT(sys(__NR_mremap, p, PAGE, 2 * PAGE - 1, 0), -ENOMEM);
  EXPECT(sys(__NR_mremap, p, 2 * PAGE, 2 * PAGE - 1, 0), p);
  u8 *q = (u8 *)sys(__NR_mremap, p, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE);
  CHECK(!isError(q) && ((u64)q & (PAGE - 1)) == 0);
  if (isError(q)) return;
  EXPECT(q[PAGE - 1], 3);
  EXPECT(q[3 * PAGE - 1], 0);
  EXPECT(sys(__NR_mremap, q, 3 * PAGE, 1, 0), q);
  if (exact) EXPECT(probeLoad(q + PAGE), SIGSEGV);
  EXPECT(sys(__NR_munmap, q, PAGE), 0);
  EXPECT(sys(__NR_munmap, p, 3 * PAGE), 0);
}

static void breaking(void) {
  u64 start = sys(__NR_brk, 0);
  u64 whole = (start + PAGE - 1) & -PAGE;
  EXPECT(sys(__NR_brk, whole + 1), whole + 1);
  EXPECT(probeStore((void *)(whole + PAGE - 1)), 0);
  if (exact) EXPECT(probeStore((void *)(whole + PAGE)), SIGSEGV);
  EXPECT(sys(__NR_brk, whole), whole);
  if (exact) EXPECT(probeLoad((void *)whole), SIGSEGV);
  EXPECT(sys(__NR_brk, start), start);
}

/* What lies between the end of a file of `size` bytes and the end of its last page. */
static void fileEnd(long fd, u64 size) {
  u64 end = (size + PAGE - 1) & -PAGE;
  EXPECT(sys(__NR_ftruncate, fd, 0), 0);
  EXPECT(sys(__NR_ftruncate, fd, size), 0);
  u8 *ours = (u8 *)mmap(0, end + PAGE, RW, MAP_SHARED, fd, 0);
  u8 *mine = (u8 *)mmap(0, end + PAGE, RW, MAP_PRIVATE, fd, 0);
  CHECK(!isError(ours) && !isError(mine));
  if (isError(ours) || isError(mine)) return;
  u64 sum = 0;
  for (u64 i = 0; i < end; i += 64) sum += ours[i] + mine[i];
  EXPECT(sum, 0);
  /* Shared by all who map the page, but no part of the file. */
  ours[end - 1] = 7;
  EXPECT(ours[end - 1], 7);
  mine[end - 2] = 8;
  EXPECT(ours[end - 2], 0);
  u8 *again = (u8 *)mmap(0, PAGE, RW, MAP_SHARED, fd, end - PAGE);
  CHECK(!isError(again));
  if (!isError(again)) {
    EXPECT(again[PAGE - 1], 7);
    EXPECT(sys(__NR_munmap, again, PAGE), 0);
  }
  EXPECT(sys(__NR_msync, ours, end, MS_SYNC), 0);
  u8 byte = 9;
  EXPECT(sys(__NR_pread64, fd, &byte, 1, end - 1), size == end ? 1 : 0);
  EXPECT(sys(__NR_lseek, fd, 0, 2), size);
  if (exact) {
    EXPECT(probeLoad(ours + end), SIGBUS);
    EXPECT(probeCode, BUS_ADRERR);
    EXPECT(probeAddress, ours + end);
    EXPECT(probeStore(mine + end), SIGBUS);
    EXPECT(probeLoad(mine + end + PAGE - 1), SIGBUS);
    /* One byte more is one page more. */
    EXPECT(sys(__NR_ftruncate, fd, end + 1), 0);
    EXPECT(probeLoad(ours + end + PAGE - 1), 0);
    EXPECT(probeStore(mine + end), 0);
    EXPECT(sys(__NR_ftruncate, fd, size), 0);
    EXPECT(probeLoad(ours + end), SIGBUS);
    EXPECT(probeLoad(ours + end - 1), 0);
  }
  EXPECT(sys(__NR_munmap, ours, end + PAGE), 0);
  EXPECT(sys(__NR_munmap, mine, end + PAGE), 0);
}

static void files(const char *path) {
  long fd = sys(__NR_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  CHECK(fd >= 0);
  if (fd < 0) return;
  static const u64 fractions[] = {1, 100, 4095, 4096, 4097};
  for (u64 i = 0; i < sizeof fractions / sizeof *fractions; i++) {
    fileEnd(fd, fractions[i]);
    fileEnd(fd, 3 * PAGE + fractions[i]);
  }
  fileEnd(fd, 2 * PAGE - 1);
  EXPECT(sys(__NR_ftruncate, fd, 4 * PAGE), 0);
  u32 mark = 0x12345678;
  EXPECT(sys(__NR_pwrite64, fd, &mark, 4, 2 * PAGE + HALF), 4);
  /* Offsets are whole pages, and need not be whole host pages. */
  EXPECT(mmap(0, PAGE, RW, MAP_PRIVATE, fd, HALF), -EINVAL);
  EXPECT(mmap(0, PAGE, RW, MAP_PRIVATE, fd, 4), -EINVAL);
  u8 *third = (u8 *)mmap(0, PAGE, RW, MAP_SHARED, fd, 2 * PAGE);
  CHECK(!isError(third) && ((u64)third & (PAGE - 1)) == 0);
  if (!isError(third)) {
    EXPECT(*(u32 *)(third + HALF), mark);
    *(u32 *)(third + PAGE - 4) = mark + 1;
    EXPECT(sys(__NR_munmap, third, 1), 0);
  }
  u32 seen = 0;
  EXPECT(sys(__NR_pread64, fd, &seen, 4, 3 * PAGE - 4), 4);
  EXPECT(seen, mark + 1);
  /* One page of it over another mapping's page. */
  u8 *p = allocate(3 * PAGE);
  p[0] = p[2 * PAGE] = 1;
  EXPECT(mmap(p + PAGE, 1, RW, MAP_PRIVATE | MAP_FIXED, fd, 2 * PAGE), p + PAGE);
  EXPECT(*(u32 *)(p + PAGE + HALF), mark);
  EXPECT(*(u32 *)(p + 2 * PAGE - 4), mark + 1);
  EXPECT(p[0], 1);
  EXPECT(p[2 * PAGE], 1);
  EXPECT(sys(__NR_munmap, p, 3 * PAGE), 0);
  EXPECT(sys(__NR_close, fd), 0);
  EXPECT(sys(__NR_unlinkat, AT_FDCWD, path, 0), 0);
  fd = sys(__NR_memfd_create, "pages", 0);
  CHECK(fd >= 0);
  fileEnd(fd, 1);
  fileEnd(fd, 5 * PAGE + 5000);
  EXPECT(sys(__NR_close, fd), 0);
}

static void segments(void) {
  struct shmid64 {
    u64 unused[16];
  } status;
  long id = sys(__NR_shmget, 0, HALF + 1, 01000 | 0600);
  CHECK(id >= 0);
  if (id < 0) return;
  u8 *p = (u8 *)sys(__NR_shmat, id, 0, 0);
  CHECK(!isError(p) && ((u64)p & (PAGE - 1)) == 0);
  EXPECT(probeStore(p + PAGE - 1), 0);
  EXPECT(sys(__NR_shmdt, p + HALF), -EINVAL);
  EXPECT(sys(__NR_shmdt, p), 0);
  EXPECT(sys(__NR_shmat, id, p + HALF, 0), -EINVAL);
  EXPECT(sys(__NR_shmat, id, p + HALF, 020000), p);
  EXPECT(p[PAGE - 1], 0x5a);
  EXPECT(sys(__NR_shmdt, p), 0);
  EXPECT(sys(__NR_shmctl, id, 0, &status), 0);
}

/* A stack that grows by whole pages, and keeps its distance: 256 of them. */
static void growing(void) {
  u8 *p = (u8 *)mmap(0, 512 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
  CHECK(!isError(p));
  if (isError(p)) return;
  EXPECT(sys(__NR_munmap, p, 512 * PAGE), 0);
  u8 *stack = p + 511 * PAGE;
  EXPECT(mmap(stack, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0), stack);
  EXPECT(probeStore(stack - HALF), 0);
  EXPECT(probeStore(stack - PAGE), 0);
  EXPECT(mmap(stack - PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), -EEXIST);
  /* Something accessible below: growth ends 256 pages above it. */
  EXPECT(mmap(p + 200 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), p + 200 * PAGE);
  EXPECT(probeStore(p + (201 + 256) * PAGE), 0);
  if (exact) EXPECT(probeStore(p + (201 + 256) * PAGE - 1), SIGSEGV);
  EXPECT(sys(__NR_munmap, p, 512 * PAGE), 0);
}

/* Reads all of a file into `buffer`; its length. */
static long slurp(const char *path, char *buffer, long size) {
  long fd = sys(__NR_openat, AT_FDCWD, path, O_RDONLY);
  long n = 0, got;
  if (fd < 0) return fd;
  while (n < size - 1 && (got = sys(__NR_read, fd, buffer + n, size - 1 - n)) > 0) n += got;
  buffer[n] = 0;
  sys(__NR_close, fd);
  return n;
}

/* The decimal number at `p`. */
static long decimal(const char *p) {
  long value = 0;
  for (; *p >= '0' && *p <= '9'; p++) value = value * 10 + (*p - '0');
  return value;
}

/* The number after `name` from `text` on, and where it stands; -1 when there is none. */
static long figure(const char **text, const char *name) {
  u64 n = length(name);
  for (const char *p = *text; *p; p++)
    if (sameBytes(p, name, n)) {
      for (p += n; *p == ' ' || *p == '\t'; p++) {}
      *text = p;
      return decimal(p);
    }
  return -1;
}

/* The hexadecimal number at `*p`, which then stands behind it. */
static u64 hexadecimal(const char **p) {
  u64 value = 0;
  for (;; ++*p) {
    if (**p >= '0' && **p <= '9') value = value * 16 + (u64)(**p - '0');
    else if (**p >= 'a' && **p <= 'f') value = value * 16 + (u64)(**p - 'a') + 10;
    else return value;
  }
}

static void figures(void) {
  char *text = allocate(262144);
  CHECK(slurp("/proc/self/smaps", text, 262144) > 0);
  const char *p = text;
  int count = 0;
  for (long kib; (kib = figure(&p, "\nKernelPageSize:")) >= 0; count++) {
    EXPECT(kib, PAGE / 1024);
    EXPECT(figure(&p, "\nMMUPageSize:"), PAGE / 1024);
    if (exact) EXPECT(figure(&p, "\nRss:") % (long)(PAGE / 1024), 0);
  }
  CHECK(count > 3);
  CHECK(slurp("/proc/self/statm", text, 262144) > 0);
  long pages = decimal(text);
  CHECK(slurp("/proc/self/status", text, 262144) > 0);
  p = text;
  EXPECT(pages, figure(&p, "\nVmSize:") / (long)(PAGE / 1024));
  CHECK(slurp("/proc/self/maps", text, 262144) > 0);
  /* Every mapping begins and ends on a page. */
  int odd = 0;
  for (p = text; *p; p++) {
    u64 start = hexadecimal(&p);
    p++;
    odd += ((start | hexadecimal(&p)) & (PAGE - 1)) != 0;
    while (*p != '\n') p++;
  }
  EXPECT(odd, 0);
  EXPECT(sys(__NR_munmap, text, 262144), 0);
}

/* pages DIRECTORY [exact] */
int pagesMain(int argc, char **argv) {
  char path[256];
  const char *directory = argc > 1 ? argv[1] : "/tmp";
  u64 n = length(directory);
  memcpy(path, directory, n);
  memcpy(path + n, "/guesthouse-pages", 18);
  exact = argc > 2 && same(argv[2], "exact");
  out("page size %lu\n", PAGE);
  probeSetup();
  addresses();
  residence();
  locking();
  remapping();
  breaking();
  files(path);
  segments();
  growing();
  figures();
  return report("pages");
}
