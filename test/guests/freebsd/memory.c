/* The memory map by FreeBSD's rules, as a program meets them. */
#include "sys.h"

enum { PAGE = 4096, ANON = MAP_ANON | MAP_PRIVATE };

static void load(void *at) { *(volatile char *)at; }
static void store(void *at) { *(volatile char *)at = 1; }

static void arguments(void) {
  long at = map(0, PAGE, RW, ANON);
  TRUE(at > 0);
  static const struct { int result, prot, flags; long length; } rows[] = {
    {EINVAL, 8, ANON, PAGE}, {ENOTSUP, RW | PROT_MAX(PROT_READ), ANON, PAGE}, {EINVAL, RW, ANON, 0},
    {EINVAL, RW, ANON | MAP_SHARED, PAGE}, {EINVAL, RW, ANON | MAP_EXCL, PAGE}, {EINVAL, RW, ANON | 0x100000, PAGE},
    {EINVAL, RW, MAP_GUARD, PAGE}, {EINVAL, 0, MAP_GUARD | MAP_PRIVATE, PAGE}, {EINVAL, PROT_READ, MAP_STACK, 8 * PAGE},
    {EINVAL, RW, MAP_STACK, PAGE}, {EINVAL, RW, ANON | MAP_ALIGNED(11), PAGE}, {EINVAL, RW, ANON | MAP_FIXED, PAGE},
    {ENOMEM, RW, ANON, -1}, {ENOMEM, RW, ANON, 1l << 45}, {EBADF, RW, MAP_PRIVATE, PAGE},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    CHECK(map(0, rows[i].length, rows[i].prot, rows[i].flags), -rows[i].result);
  CHECK(CALL(SYS_mmap, 0, PAGE, RW, ANON, 3, 0), -EINVAL);
  CHECK(CALL(SYS_mmap, 0, PAGE, RW, ANON, -1, PAGE), -EINVAL);
  CHECK(map((void *)at, PAGE, RW, ANON | MAP_FIXED | MAP_EXCL), -ENOMEM);
  CHECK(map((void *)(at + 1), PAGE, RW, ANON | MAP_FIXED), -EINVAL);
  TRUE(map((void *)at, PAGE, RW, ANON) != at);
  CHECK(map(0, PAGE, RW, ANON | MAP_ALIGNED(20)) % (1 << 20), 0);
  TRUE((unsigned long)map(0, PAGE, RW, ANON | MAP_32BIT) < 1ul << 31);
  CHECK(CALL(SYS_munmap, at, 0), -EINVAL);
  CHECK(CALL(SYS_munmap, at + 5, 1), 0);
  CHECK(caught(load, (void *)at), SIGSEGV);
  CHECK(raised.code, 1);
  CHECK(raised.addr, at);
}

static void guards(void) {
  char *at = (char *)map(0, 4 * PAGE, 0, MAP_GUARD);
  CHECK(caught(load, at), SIGSEGV);
  CHECK(raised.code, 2);
  CHECK(CALL(SYS_mprotect, at, 4 * PAGE, RW), 0);
  CHECK(caught(store, at), SIGSEGV);
  CHECK(map(at + PAGE, PAGE, RW, ANON | MAP_FIXED), (long)at + PAGE);
  CHECK(caught(store, at + PAGE), 0);
  CHECK(caught(store, at + 2 * PAGE), SIGSEGV);
  CHECK(CALL(SYS_mlock, at, PAGE), -ENOMEM);

  char *stack = (char *)map(0, 1 << 20, RW, MAP_STACK);
  for (char *p = stack + (1 << 20) - 8; p >= stack + PAGE; p -= PAGE) CHECK(caught(store, p), 0);
  CHECK(caught(store, stack), SIGSEGV);
}

static void protection(void) {
  char *at = (char *)map(0, 4 * PAGE, PROT_READ | PROT_MAX(RW), ANON);
  CHECK(caught(store, at), SIGSEGV);
  CHECK(raised.code, 2);
  CHECK(CALL(SYS_mprotect, at, PAGE, PROT_READ | PROT_EXEC), -EACCES);
  CHECK(CALL(SYS_mprotect, at + 7, 1, RW), 0);
  CHECK(caught(store, at), 0);
  CHECK(CALL(SYS_mprotect, at, PAGE, RW | PROT_MAX(PROT_READ)), -ENOTSUP);
  CHECK(CALL(SYS_mprotect, at, 4 * PAGE, PROT_READ | PROT_MAX(PROT_READ)), 0);
  CHECK(CALL(SYS_mprotect, at, 4 * PAGE, RW), -EACCES);
  CHECK(caught(load, at), 0);
}

static char *areas[5];

static int look_at_areas(void *argument) {
  (void)argument;
  if (caught(load, areas[INHERIT_NONE]) != SIGSEGV) return 1;
  if (areas[INHERIT_ZERO][0] != 0) return 2;
  if (areas[INHERIT_SHARE][0] != 10 || areas[INHERIT_COPY][0] != 11 || areas[4][0] != 14) return 3;
  for (int i = 0; i < 5; i++)
    if (i != INHERIT_NONE) areas[i][0] = 50 + i;
  return 0;
}

static void inheritance(void) {
  for (int i = 0; i < 5; i++) {
    areas[i] = (char *)map(0, PAGE, RW, MAP_ANON | (i == 4 ? MAP_SHARED : MAP_PRIVATE));
    areas[i][0] = 10 + i;
    CHECK(CALL(SYS_minherit, areas[i], PAGE, i == 4 ? INHERIT_COPY : i), 0);
  }
  CHECK(CALL(SYS_minherit, areas[0], PAGE, 9), -EINVAL);
  CHECK(in_child(look_at_areas, 0), 0);
  CHECK(areas[INHERIT_SHARE][0], 50);
  CHECK(areas[INHERIT_COPY][0], 11);
  CHECK(areas[INHERIT_NONE][0], 12);
  CHECK(areas[INHERIT_ZERO][0], 13);
  CHECK(areas[4][0], 14);
}

static void advice(void) {
  char *at = (char *)map(0, 4 * PAGE, RW, ANON);
  for (int i = 0; i < 4; i++) at[i * PAGE] = i + 1;
  CHECK(CALL(SYS_madvise, at, 4 * PAGE, 4), 0);
  CHECK(at[0], 1);
  CHECK(CALL(SYS_madvise, at, 4 * PAGE, 99), -EINVAL);
  char bits[4] = {9, 9, 9, 9};
  char *fresh = (char *)map(0, 4 * PAGE, RW, ANON);
  fresh[PAGE] = 1;
  CHECK(CALL(SYS_mincore, fresh, 4 * PAGE, bits), 0);
  CHECK(bits[0], 0);
  CHECK(bits[1], 0x1f);
  CHECK(CALL(SYS_mincore, 0x8000, PAGE, bits), -ENOMEM);
  CHECK(CALL(SYS_msync, at, PAGE, 3), -EINVAL);
}

static void of_files(const char *folder) {
  CHECK(CALL(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, CALL(SYS_open, folder, O_DIRECTORY), 0), -EINVAL);
  char name[256];
  char *p = name;
  for (const char *q = folder; *q;) *p++ = *q++;
  for (const char *q = "/mapped";;) if (!(*p++ = *q++)) break;
  long fd = CALL(SYS_open, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  TRUE(fd >= 0);
  CHECK(CALL(SYS_ftruncate, fd, PAGE + 100), 0);
  char *at = (char *)CALL(SYS_mmap, 0, 2 * PAGE, RW, MAP_SHARED, fd, 0);
  TRUE((long)at > 0);
  at[PAGE + 50] = 'x';
  CHECK(CALL(SYS_msync, at, 0, 0), 0);
  char byte = 0;
  CHECK(CALL(SYS_lseek, fd, PAGE + 50, 0), PAGE + 50);
  CHECK(CALL(SYS_read, fd, &byte, 1), 1);
  CHECK(byte, 'x');
  CHECK(CALL(SYS_mmap, 0, PAGE, RW, 0, fd, 0), -EINVAL);
  char *odd = (char *)CALL(SYS_mmap, 0, 10, PROT_READ, MAP_PRIVATE, fd, PAGE + 50);
  CHECK((long)odd % PAGE, 50);
  CHECK(*odd, 'x');
  CHECK(CALL(SYS_ftruncate, fd, 0), 0);
  CHECK(caught(load, at), SIGBUS);
  CHECK(raised.code, 3);
  CHECK(CALL(SYS_close, fd), 0);
  CHECK(CALL(SYS_unlink, name), 0);
}

void memory(const char *folder) {
  arguments();
  guards();
  protection();
  inheritance();
  advice();
  of_files(folder);
}
