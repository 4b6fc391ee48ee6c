/*
 * A random sequence of memory calls from a seed, with every result printed, then the contents and the map of what it
 * worked on. Compiled for the host and for riscv64, it must print the same (test/mm/kernel.test.ts).
 *
 * usage: mappingSequence SEED STEPS [hostile]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096L
#define BASE 0x8000000L
#define PAGES 48

static unsigned long long state;

static unsigned pick(unsigned n) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (unsigned)((state >> 20) % n);
}
#define ONE_OF(array) (array)[pick(sizeof(array) / sizeof *(array))]

static sigjmp_buf resume;
static volatile int fault_signal, fault_code;

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  fault_signal = number;
  fault_code = info->si_code;
  siglongjmp(resume, 1);
}

static const char *result(long value) {
  if (value != -1) return "ok";
  switch (errno) {
  case EINVAL: return "EINVAL";
  case ENOMEM: return "ENOMEM";
  case EACCES: return "EACCES";
  case EFAULT: return "EFAULT";
  case EEXIST: return "EEXIST";
  case EPERM: return "EPERM";
  case EBUSY: return "EBUSY";
  default: return strerror(errno);
  }
}

/* Kernels differ in which of the two mremap finds first. */
static const char *remap_result(long value) {
  if (value == -1 && (errno == EINVAL || errno == EFAULT)) return "EINVAL or EFAULT";
  return result(value);
}

static const int protections[] = {0, 1, 3, 3, 5, 7, 2, 5};
static const int advices[] = {4, 4, 4, 0, 3, 10, 11, 18, 19, 99, 12345, 22, 23, 16, 17,
                              1, 2, 9, 9, 20, 21, 24};

static const int syncs[] = {1, 2, 4, 5, 0, 6, 8};
static const int remaps[] = {0, 3, 3, 2, 1};
static const long lengths[] = {-1, -PAGE, -PAGE + 1, 1L << 62, (long)(1UL << 63), 0x7ffffffffffff000L, 0};
static const long places[] = {-PAGE, 1L << 62, (long)(1UL << 63), 0x7ffffffffffff000L, -8 * PAGE, 1L << 48};

static void access_page(int step, long page, int write) {
  volatile unsigned char *at = (unsigned char *)(BASE + page * PAGE + 5);
  unsigned char value = 0;
  fault_signal = fault_code = 0;
  if (!sigsetjmp(resume, 1)) {
    if (write) *at = value = pick(255);
    else value = *at;
  }
  printf("%d %s %ld: signal %d code %d value %d\n", step, write ? "write" : "read", page, fault_signal,
         fault_code, fault_signal ? 0 : value);
}

static void hostile(int step) {
  long at = pick(2) ? BASE + pick(PAGES) * PAGE + (pick(4) ? 0 : 100) : ONE_OF(places);
  long length = ONE_OF(lengths);
  unsigned char vector[64];
  int call = pick(6);
  long value;
  errno = 0;
  switch (call) {
  case 0: value = munmap((void *)at, length); break;
  case 1: value = mprotect((void *)at, length, ONE_OF(protections)); break;
  case 2: value = madvise((void *)at, length, 3); break;
  case 3: value = msync((void *)at, length, 4); break;
  case 4: value = mincore((void *)at, length, vector); break;
  default:
    value = (long)mmap((void *)at, length, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  }
  printf("%d hostile %d %lx %lx = %s\n", step, call, at, length, result(value));
}

static void step_once(int step, int fd, int kinds) {
  long page = pick(PAGES - 12), count = 1 + pick(12);
  void *at = (void *)(BASE + page * PAGE);
  long length = count * PAGE, value;
  int protection = ONE_OF(protections);
  unsigned char vector[16];
  errno = 0;
  switch (pick(kinds)) {
  case 0:
  case 1: {
    int kind = pick(4), anonymous = kind < 2;
    int flags = (anonymous ? MAP_ANONYMOUS : 0) | (kind & 1 ? MAP_SHARED : MAP_PRIVATE);
    flags |= pick(3) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    long offset = anonymous ? 0 : pick(5) * PAGE;
    value = (long)mmap(at, length, protection, flags, anonymous ? -1 : fd, offset);
    printf("%d mmap %ld %ld prot %d flags %x = %s %lx\n", step, page, count, protection, flags, result(value),
           value == -1 ? 0 : value);
    break;
  }
  case 2:
    value = munmap(at, length);
    printf("%d munmap %ld %ld = %s\n", step, page, count, result(value));
    break;
  case 3:
  case 4:
    value = mprotect(at, length, protection);
    printf("%d mprotect %ld %ld %d = %s\n", step, page, count, protection, result(value));
    break;
  case 5: {
    long new_count = pick(14), target = BASE + pick(PAGES - 14) * PAGE, old = pick(8) ? length : 0;
    int flags = ONE_OF(remaps);
    /* Since 6.17 Linux moves ranges of several mappings when the size stays. */
    if (flags & MREMAP_FIXED && new_count * PAGE == old) new_count++;
    value = syscall(SYS_mremap, at, old, new_count * PAGE, flags, target);
    printf("%d mremap %ld %ld %ld flags %d to %ld = %s %lx\n", step, page, old / PAGE, new_count, flags,
           (target - BASE) / PAGE, remap_result(value),
           value < BASE || value > BASE + PAGES * PAGE ? 0 : value);
    break;
  }
  case 6: {
    int advice = ONE_OF(advices);
    value = madvise(at, length, advice);
    printf("%d madvise %ld %ld %d = %s\n", step, page, count, advice, result(value));
    break;
  }
  case 7: {
    int flags = ONE_OF(syncs);
    value = msync(at, length, flags);
    printf("%d msync %ld %ld %d = %s\n", step, page, count, flags, result(value));
    break;
  }
  case 8:
    value = mincore(at, length, vector);
    printf("%d mincore %ld %ld = %s\n", step, page, count, result(value));
    break;
  case 9: access_page(step, page, 0); break;
  case 10: access_page(step, page, 1); break;
  case 11: {
    int kind = pick(5);
    /* Unaligned ranges are rounded. */
    long within = pick(3) ? 0 : 100;
    if (kind == 0) value = mlock(at + within, length);
    else if (kind == 1) value = syscall(SYS_mlock2, at + within, length, pick(3));
    else if (kind == 2) value = mlock(at, 0);
    else value = munlock(at + within, length);
    printf("%d lock %d %ld %ld + %ld = %s\n", step, kind, page, count, within, result(value));
    break;
  }
  case 12: {
    if (pick(2)) {
      int flags = MAP_FIXED | MAP_PRIVATE | MAP_GROWSDOWN | (pick(4) ? MAP_ANONYMOUS : 0);
      value = (long)mmap(at, length, 3, flags, fd, 0);
      printf("%d mmap growing %ld %ld = %s\n", step, page, count, result(value));
    } else {
      int grows = pick(4) ? PROT_GROWSDOWN : pick(2) ? PROT_GROWSUP : PROT_GROWSDOWN | PROT_GROWSUP;
      value = mprotect(at, length, protection | grows);
      printf("%d mprotect %ld %ld %x = %s\n", step, page, count, protection | grows, result(value));
    }
    break;
  }
  default: hostile(step);
  }
}

/* What is mapped; neighbours that Linux keeps apart for reasons of its own are joined. */
static void print_map(void) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[400], access[8], last_access[8] = "";
  unsigned long from, to, offset, last_from = 0, last_to = 0, last_offset = 0;
  int named, last_named = 0;
  while (fgets(line, sizeof line, maps)) {
    sscanf(line, "%lx-%lx %s %lx", &from, &to, access, &offset);
    if (from < BASE || to > BASE + (PAGES + 20) * PAGE) continue;
    named = strchr(line, '/') != 0;
    if (!named) offset = 0;
    if (from == last_to && named == last_named && !strcmp(access, last_access) &&
        (!named || offset == last_offset + (last_to - last_from))) {
      last_to = to;
      continue;
    }
    if (last_to) printf("%lx-%lx %s %lx\n", last_from, last_to, last_access, last_offset);
    last_from = from, last_to = to, last_offset = offset, last_named = named;
    strcpy(last_access, access);
  }
  if (last_to) printf("%lx-%lx %s %lx\n", last_from, last_to, last_access, last_offset);
  fclose(maps);
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  char name[] = "/tmp/sequenceXXXXXX";
  int fd = mkstemp(name), steps = atoi(argv[2]);
  if (fd < 0) return perror(name), 1;
  unlink(name);
  for (int i = 0; i < 6; i++) {
    char bytes[PAGE];
    memset(bytes, 'a' + i, PAGE);
    if (write(fd, bytes, i == 5 ? PAGE / 2 : PAGE) < 0) return 1;
  }
  state = strtoull(argv[1], 0, 10) * 2654435761u + 88172645463325252ull;
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  munmap((void *)BASE, PAGES * PAGE);
  for (int i = 0; i < steps; i++) step_once(i, fd, argc > 3 ? 15 : 13);
  for (int i = 0; i < PAGES; i++) access_page(-1, i, 0);
  for (int i = 0; i < 6; i++) {
    unsigned char byte;
    if (pread(fd, &byte, 1, i * PAGE + 5) == 1) printf("file page %d: %d\n", i, byte);
  }
  print_map();
  return 0;
}
