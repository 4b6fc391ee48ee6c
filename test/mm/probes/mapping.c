/* mmap, munmap, mprotect: flags, argument checks and their order. */
#include "probe.h"

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 3
#endif
#define NOREPLACE 0x100000
#define SYNC 0x80000

static void types(void) {
  int fd = new_file(NULL, 4 * PAGE);
  for (int type = 0; type < 16; type++) {
    char what[40];
    snprintf(what, sizeof what, "anonymous type %d", type);
    SAY(what, OUTCOME(mmap(NULL, PAGE, RW, type | MAP_ANONYMOUS, -1, 0)));
    snprintf(what, sizeof what, "file type %d", type);
    SAY(what, OUTCOME(mmap(NULL, PAGE, RW, type, fd, 0)));
  }
  for (int bit = 4; bit < 32; bit++) {
    char what[40];
    /* MAP_FIXED and MAP_FIXED_NOREPLACE at 0, MAP_32BIT, MAP_ABOVE4G and huge pages of x86 aside. */
    if (bit == 4 || bit == 5 || bit == 6 || bit == 7 || bit == 18 || bit == 20) continue;
    if (bit != 19) { /* MAP_SYNC: file systems differ in what they say */
      snprintf(what, sizeof what, "private flag %#x", 1u << bit);
      SAY(what, OUTCOME(mmap(NULL, PAGE, RW, MAP_PRIVATE | (1 << bit), fd, 0)));
      snprintf(what, sizeof what, "shared flag %#x", 1u << bit);
      SAY(what, OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED | (1 << bit), fd, 0)));
    }
    snprintf(what, sizeof what, "validated flag %#x", 1u << bit);
    SAY(what, OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | (1 << bit), fd, 0)));
    snprintf(what, sizeof what, "anonymous flag %#x", 1u << bit);
    SAY(what, OUTCOME(mmap(NULL, PAGE, RW, ANON | (1 << bit), -1, 0)));
    snprintf(what, sizeof what, "shared anonymous flag %#x", 1u << bit);
    SAY(what, OUTCOME(mmap(NULL, PAGE, RW, SHARED_ANON | (1 << bit), -1, 0)));
  }
  SAY("MAP_SYNC validated", OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | SYNC, fd, 0)));
  SAY("validated anonymous", OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0)));
  for (int bit = 0; bit < 32; bit++) {
    if (bit == 3) continue;
    char what[40];
    snprintf(what, sizeof what, "protection %#x", 1u << bit);
    SAY(what, OUTCOME(mmap(NULL, PAGE, 1 << bit, ANON, -1, 0)));
    void *at = map(1, PROT_READ, ANON);
    snprintf(what, sizeof what, "mprotect %#x", 1u << bit);
    if (bit < 4 || bit > 6) SAY(what, OUTCOME(mprotect(at, PAGE, 1 << bit)));
  }
  close(fd);
}

static void arguments(void) {
  int fd = new_file(NULL, 4 * PAGE);
  char *at = map(8, RW, ANON);
  SAY("length 0", OUTCOME(mmap(NULL, 0, RW, ANON, -1, 0)));
  SAY("length -1", OUTCOME(mmap(NULL, -1UL, RW, ANON, -1, 0)));
  SAY("length -4096", OUTCOME(mmap(NULL, -4096UL, RW, ANON, -1, 0)));
  SAY("length 0, bad fd", OUTCOME(mmap(NULL, 0, RW, MAP_PRIVATE, 99, 0)));
  SAY("length 0, no type", OUTCOME(mmap(NULL, 0, RW, 0, fd, 0)));
  SAY("offset 1, bad fd", number(syscall(SYS_mmap, NULL, PAGE, RW, MAP_PRIVATE, 99, 1)));
  SAY("bad fd", OUTCOME(mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 0)));
  SAY("bad fd, no type", OUTCOME(mmap(NULL, PAGE, RW, 0, 99, 0)));
  SAY("bad fd, anonymous", OUTCOME(mmap(NULL, PAGE, RW, ANON, 99, 0)));
  SAY("offset, anonymous", OUTCOME(mmap(NULL, PAGE, RW, ANON, -1, 7 * PAGE)));
  SAY("offset near 2^63", OUTCOME(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0x7ffffffffffff000L)));
  SAY("offset near 2^64", OUTCOME(mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, -PAGE)));
  SAY("fixed unaligned", OUTCOME(mmap(at + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("fixed unaligned, no type", OUTCOME(mmap(at + 1, PAGE, RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0)));
  SAY("fixed unaligned, bad fd", OUTCOME(mmap(at + 1, PAGE, RW, MAP_PRIVATE | MAP_FIXED, 99, 0)));
  SAY("fixed too long, unaligned", OUTCOME(mmap(at + 1, 1UL << 60, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("fixed at 0", OUTCOME(mmap(NULL, PAGE, RW, ANON | MAP_FIXED, -1, 0)));
  SAY("fixed at 0, no type", OUTCOME(mmap(NULL, PAGE, RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0)));
  SAY("fixed at 0, noreplace", OUTCOME(mmap(NULL, PAGE, RW, ANON | NOREPLACE, -1, 0)));
  SAY("fixed, no type", OUTCOME(mmap(at, PAGE, RW, MAP_ANONYMOUS | MAP_FIXED, -1, 0)));
  SAY("noreplace, mapped", OUTCOME(mmap(at, PAGE, RW, ANON | NOREPLACE, -1, 0)));
  SAY("noreplace, mapped, no type", OUTCOME(mmap(at, PAGE, RW, MAP_ANONYMOUS | NOREPLACE, -1, 0)));
  SAY("noreplace and fixed, mapped", OUTCOME(mmap(at, PAGE, RW, ANON | NOREPLACE | MAP_FIXED, -1, 0)));
  SAY("noreplace, unaligned", OUTCOME(mmap(at + 5, PAGE, RW, ANON | NOREPLACE, -1, 0)));
  munmap(at + 4 * PAGE, PAGE);
  SAY("noreplace, free", place(mmap(at + 4 * PAGE, PAGE, RW, ANON | NOREPLACE, -1, 0), at));
  munmap(at + 4 * PAGE, PAGE);
  SAY("hint, free", place(mmap(at + 4 * PAGE, PAGE, RW, ANON, -1, 0), at));
  munmap(at + 4 * PAGE, PAGE);
  SAY("hint, unaligned", place(mmap(at + 4 * PAGE - 5, PAGE, RW, ANON, -1, 0), at));
  SAY("grows down, shared anonymous", OUTCOME(mmap(NULL, PAGE, RW, SHARED_ANON | MAP_GROWSDOWN, -1, 0)));
  SAY("grows down, file", OUTCOME(mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0)));

  SAY("munmap length 0", OUTCOME(munmap(at, 0)));
  SAY("munmap unaligned", OUTCOME(munmap(at + 1, PAGE)));
  SAY("munmap length -1", OUTCOME(munmap(at, -1UL)));
  SAY("munmap at -4096", OUTCOME(munmap((void *)-PAGE, PAGE)));
  SAY("munmap of a hole", OUTCOME(munmap(at + 4 * PAGE, PAGE)));
  SAY("munmap twice", OUTCOME(munmap(at + 4 * PAGE, PAGE)));
  SAY("mprotect of a hole", OUTCOME(mprotect(at, 8 * PAGE, PROT_READ)));
  show_maps(at, 8);
  SAY("mprotect length 0", OUTCOME(mprotect(at, 0, 0)));
  SAY("mprotect length 0, unaligned", OUTCOME(mprotect(at + 1, 0, 0)));
  SAY("mprotect length -1", OUTCOME(mprotect(at, -1UL, 0)));
  SAY("mprotect length -4096", OUTCOME(mprotect(at, -PAGE, 0)));
  SAY("mprotect grows both ways", OUTCOME(mprotect(at, PAGE, PROT_GROWSDOWN | PROT_GROWSUP)));
  SAY("mprotect grows down, not a stack", OUTCOME(mprotect(at, PAGE, PROT_GROWSDOWN)));
  SAY("mprotect grows up", OUTCOME(mprotect(at, PAGE, PROT_GROWSUP)));
  SAY("mprotect grows, length 0", OUTCOME(mprotect(at, 0, PROT_GROWSDOWN)));
  SAY("mprotect grows down, hole", OUTCOME(mprotect(at + 4 * PAGE, PAGE, PROT_GROWSDOWN)));
  close(fd);
}

static void access_rights(void) {
  char path[256];
  close(new_file("rights", 4 * PAGE));
  snprintf(path, sizeof path, "%s/rights", getenv("SCRATCH") ? getenv("SCRATCH") : "/tmp");
  int modes[] = {O_RDONLY, O_WRONLY, O_RDWR, O_PATH};
  const char *names[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_PATH"};
  for (int m = 0; m < 4; m++) {
    int fd = open(path, modes[m]);
    int types[] = {MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE};
    for (int t = 0; t < 3; t++) {
      for (int prot = 0; prot < 8; prot++) {
        char *at = mmap(NULL, PAGE, prot, types[t], fd, 0);
        printf("%s type %d prot %d: %s", names[m], types[t], prot, outcome((long)at));
        if (at != MAP_FAILED) {
          for (int later = 0; later < 8; later++) printf(" %s", OUTCOME(mprotect(at, PAGE, later)));
          munmap(at, PAGE);
        }
        printf("\n");
      }
    }
    SAY("no type", OUTCOME(mmap(NULL, PAGE, RW, 0, fd, 0)));
    SAY("grows down", OUTCOME(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, fd, 0)));
    close(fd);
  }
  unlink(path);
}

static void kinds_of_descriptors(void) {
  int pipes[2];
  if (pipe(pipes) < 0) exit(1);
  struct { const char *name; int fd; } kinds[] = {
      {"pipe", pipes[0]},
      {"pipe's other end", pipes[1]},
      {"directory", open("/", O_RDONLY | O_DIRECTORY)},
      {"null", open("/dev/null", O_RDWR)},
      {"zero", open("/dev/zero", O_RDWR)},
      {"zero, read only", open("/dev/zero", O_RDONLY)},
      {"full", open("/dev/full", O_RDWR)},
      {"random", open("/dev/urandom", O_RDONLY)},
      {"maps", open("/proc/self/maps", O_RDONLY)},
      {"status", open("/proc/self/status", O_RDONLY)},
  };
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    SAY(kinds[i].name, OUTCOME(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, kinds[i].fd, 0)));
    SAY(kinds[i].name, OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED, kinds[i].fd, 0)));
    SAY(kinds[i].name, OUTCOME(mmap(NULL, PAGE, RW, 0, kinds[i].fd, 0)));
  }
  char *zero = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, kinds[4].fd, 0);
  SAY("private /dev/zero", LOAD(zero));
  SAY("private /dev/zero", STORE(zero, 3));
  char *offset = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, kinds[4].fd, 5 * PAGE);
  SAY("private /dev/zero at an offset", LOAD(offset + PAGE));
  for (int at = 0; at < 4; at++) {
    char *shared = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, kinds[4].fd, at * PAGE);
    SAY("shared /dev/zero, first page", LOAD(shared));
    SAY("shared /dev/zero, second page", STORE(shared + PAGE, 1));
    SAY("protected", OUTCOME(mprotect(shared, PAGE, 7)));
  }
  char *readable = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, kinds[5].fd, 0);
  SAY("/dev/zero open for reading, mprotect", OUTCOME(mprotect(readable, PAGE, RW)));
  int writable = open("/dev/zero", O_WRONLY);
  SAY("/dev/zero open for writing", OUTCOME(mmap(NULL, PAGE, PROT_WRITE, MAP_PRIVATE, writable, 0)));
  SAY("/dev/zero validated", OUTCOME(mmap(NULL, PAGE, RW, 3 | 0x200, kinds[4].fd, 0)));
  SAY("/dev/zero grows down", OUTCOME(mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, kinds[4].fd, 0)));
}

static void grows_down(void) {
  char *area = map(1024, PROT_NONE, ANON);
  munmap(area, 1024 * PAGE);
  char *stack = mmap(area + 1000 * PAGE, 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  SAY("touch below", STORE(stack - PAGE, 1));
  SAY("touch far below", STORE(stack - 100 * PAGE, 1));
  show_maps(area, 1024);
  SAY("mprotect a page, growing", OUTCOME(mprotect(stack + PAGE, PAGE, PROT_READ | PROT_GROWSDOWN)));
  show_maps(area, 1024);
  SAY("write", STORE(stack - 50 * PAGE, 1));
  SAY("write above", STORE(stack + 2 * PAGE, 1));
}

/* Memory that may be dropped: MAP_DROPPABLE, since Linux 6.11. */
static void droppable(void) {
  int type = 8 | MAP_ANONYMOUS;
  char *at = mmap(NULL, 2 * PAGE, RW, type, -1, 0);
  SAY("droppable", STORE(at, 5));
  SAY("droppable, locked", OUTCOME(mmap(NULL, PAGE, RW, type | MAP_LOCKED, -1, 0)));
  SAY("droppable, grows down", OUTCOME(mmap(NULL, PAGE, RW, type | MAP_GROWSDOWN, -1, 0)));
  SAY("droppable file", OUTCOME(mmap(NULL, PAGE, RW, 8, new_file(NULL, PAGE), 0)));
  SAY("keep on fork", OUTCOME(madvise(at, PAGE, 19)));
  SAY("do dump", OUTCOME(madvise(at, PAGE, 17)));
  SAY("wipe on fork", OUTCOME(madvise(at, PAGE, 18)));
  fflush(stdout);
  if (fork() == 0) {
    SAY("in a child", LOAD(at));
    _exit(0);
  }
  wait(NULL);
}

int main(void) {
  begin();
  types();
  arguments();
  access_rights();
  kinds_of_descriptors();
  grows_down();
  droppable();
  return 0;
}
