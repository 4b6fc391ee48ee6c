/* What /proc says of memory: maps, smaps, statm, status, pagemap, of the process itself and of another. */
#include "probe.h"
#include <sys/sysmacros.h>

/* Entries of maps or smaps in [start, start + pages), with addresses and names that do not differ from run to run. */
static void entries(const char *path, char *start, long pages) {
  char *text = contents(path), *line;
  int inside = 0;
  while ((line = strsep(&text, "\n")) && *line) {
    unsigned long from, to;
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' ')) {
      inside = from >= (unsigned long)start && to <= (unsigned long)start + pages * PAGE;
      if (inside) {
        char *rest = strchr(line, ' '), *name = strrchr(line, ' ') + 1;
        char *slash = strrchr(name, '/');
        if (strstr(line, "(deleted)")) slash = NULL;
        printf("%ld-%ld%.15s %s", (long)(from - (unsigned long)start) / PAGE,
               (long)(to - (unsigned long)start) / PAGE, rest, slash ? slash : name);
        char *path = strchr(line, '/');
        if (path) printf(", begins in column %ld", (long)(path - line));
        printf("\n");
      }
    } else if (inside && strncmp(line, "ProtectionKey", 13) && strncmp(line, "THPeligible", 11)) {
      /* Soft dirtiness is a matter of the kernel's configuration. */
      char *flag = strncmp(line, "VmFlags", 7) ? NULL : strstr(line, "sd ");
      if (flag) memmove(flag, flag + 3, strlen(flag + 3) + 1);
      printf("  %s\n", line);
    }
  }
}

static char *area;
static int file;

/* Mappings of many kinds side by side, one page between them. */
static void build(void) {
  char *at = area;
  file = new_file("smaps", 8 * PAGE);
  int memory = memfd_create("smaps", 0);
  if (ftruncate(memory, 8 * PAGE) < 0) exit(1);
  struct { int prot, flags, fd; } kinds[] = {
      {RW, ANON, -1},
      {PROT_READ, ANON, -1},
      {PROT_NONE, ANON, -1},
      {RW | PROT_EXEC, ANON, -1},
      {RW, ANON | MAP_NORESERVE, -1},
      {RW, ANON | MAP_LOCKED, -1},
      {RW, ANON | MAP_GROWSDOWN, -1},
      {RW, SHARED_ANON, -1},
      {PROT_READ, SHARED_ANON, -1},
      {RW, MAP_PRIVATE, file},
      {PROT_READ, MAP_PRIVATE, file},
      {RW, MAP_SHARED, file},
      {PROT_READ | PROT_EXEC, MAP_PRIVATE, file},
      {RW, MAP_SHARED, memory},
      {PROT_READ, MAP_SHARED, memory},
      {RW, MAP_PRIVATE, memory},
  };
  for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    at += PAGE;
    char *got = mmap(at, 3 * PAGE, kinds[i].prot, kinds[i].flags | MAP_FIXED, kinds[i].fd,
                     kinds[i].fd == file ? PAGE : 0);
    if (got != at) perror("mmap");
    /* One page written, no more: what is brought in around it is the kernel's own affair for files. */
    if (kinds[i].prot & PROT_WRITE && kinds[i].fd < 0) STORE(at, 'x');
    at += 3 * PAGE;
  }
  char *advised = mmap(at + PAGE, 8 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
  int advice[] = {MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP};
  for (int i = 0; i < 5; i++) madvise(advised + i * PAGE, PAGE, advice[i]);
  syscall(SYS_mlock2, advised + 6 * PAGE, PAGE, 1);
}

static void itself(void) {
  area = map(128, PROT_NONE, ANON);
  munmap(area, 128 * PAGE);
  build();
  char path[256];
  struct stat status;
  fstat(file, &status);
  snprintf(path, sizeof path, "%02x:%02x %lu", major(status.st_dev), minor(status.st_dev), (long)status.st_ino);
  SAY("device and inode", strstr(contents("/proc/self/maps"), path) ? "as in stat" : "others");
  entries("/proc/self/maps", area, 128);
  entries("/proc/self/smaps", area, 128);
}

static void another(void) {
  char path[64], ready;
  int pipes[2];
  if (pipe(pipes) < 0) exit(1);
  fflush(stdout);
  pid_t parent = getpid();
  area = map(128, PROT_NONE, ANON);
  munmap(area, 128 * PAGE);
  if (fork() == 0) {
    if (read(pipes[0], &ready, 1) != 1) exit(1);
    snprintf(path, sizeof path, "/proc/%d/maps", parent);
    entries(path, area, 128);
    snprintf(path, sizeof path, "/proc/%d/smaps", parent);
    entries(path, area, 128);
    snprintf(path, sizeof path, "/proc/%d/task/%d/smaps", parent, parent);
    entries(path, area + 4 * PAGE, 8);
    fflush(stdout);
    _exit(0);
  }
  build();
  if (write(pipes[1], "x", 1) != 1) exit(1);
  wait(NULL);
}

/* The files' names change while they are mapped. */
static void names(void) {
  char path[256], other[300];
  char *at = map(4, PROT_NONE, ANON);
  int fd = new_file("named", PAGE);
  snprintf(path, sizeof path, "%s/named", getenv("SCRATCH") ? getenv("SCRATCH") : "/tmp");
  snprintf(other, sizeof other, "%s renamed", path);
  mmap(at + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
  entries("/proc/self/maps", at, 4);
  if (rename(path, other) < 0) perror("rename");
  entries("/proc/self/maps", at, 4);
  unlink(other);
  entries("/proc/self/maps", at, 4);
  int zero = open("/dev/zero", O_RDWR);
  mmap(at + 2 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, zero, 0);
  entries("/proc/self/maps", at, 4);
}

static void keys(const char *path, int skip) {
  char *text = contents(path), *line;
  printf("%s:", path);
  while ((line = strsep(&text, "\n")) && *line) {
    if (skip-- > 0) continue;
    char *colon = strchr(line, ':');
    if (!colon) continue;
    /* Of x86 alone, or of some configurations. */
    *colon = 0;
    if (!strcmp(line, "untag_mask") || !strncmp(line, "Spec", 4) || !strncmp(line, "x86", 3)) continue;
    printf(" %s", line);
  }
  printf("\n");
}

static long figure(const char *name) { return 4 * status_pages(name); }

static long statm(int which) {
  char *text = contents("/proc/self/statm");
  for (int i = 0; i < which; i++) text = strchr(text, ' ') + 1;
  return atol(text);
}

static void figures(void) {
  keys("/proc/self/status", 0);
  keys("/proc/self/smaps_rollup", 1);
  char *rollup = contents("/proc/self/smaps_rollup");
  char *end = strchr(rollup, '\n'), *first = strchr(rollup, ' ');
  printf("rollup%.20s, name in column %ld, line of %ld\n", first, (long)(strchr(rollup, '[') - rollup), (long)(end - rollup));
  printf("statm has %ld figures\n", ({ long n = 1; for (char *at = contents("/proc/self/statm"); *at; at++) n += *at == ' '; n; }));

  long size = figure("VmSize"), data = figure("VmData"), stack = figure("VmStk"), anon = figure("RssAnon");
  long shared = figure("RssShmem"), locked = figure("VmLck"), total = statm(0), statm_data = statm(5);
  char *at = map(4000, RW, ANON);
  for (int i = 0; i < 3000; i++) at[i * PAGE] = 1;
  char *object = map(20, RW, SHARED_ANON);
  for (int i = 0; i < 10; i++) object[i * PAGE] = 1;
  mlock(object, 5 * PAGE);
  map(7, RW, ANON | MAP_GROWSDOWN);
  map(9, PROT_READ, ANON);
  printf("size %ld data %ld stack %ld anonymous %ld shared %ld locked %ld\n", figure("VmSize") - size,
         figure("VmData") - data, figure("VmStk") - stack, figure("RssAnon") - anon, figure("RssShmem") - shared,
         figure("VmLck") - locked);
  printf("statm size %ld data %ld\n", statm(0) - total, statm(5) - statm_data);
  SAY("VmData and VmStk are statm's data", figure("VmData") + figure("VmStk") == 4 * statm(5) ? "yes" : "no");
  SAY("VmRSS", figure("VmRSS") == figure("RssAnon") + figure("RssFile") + figure("RssShmem") ? "sum" : "no sum");
  SAY("VmPeak", figure("VmPeak") == figure("VmSize") ? "VmSize" : "more");
  long peak = figure("VmPeak");
  munmap(at, 4000 * PAGE);
  SAY("VmPeak", figure("VmPeak") == peak ? "stays" : "changes");
  printf("VmSize %ld\n", figure("VmSize") - size);
  SAY("VmHWM", figure("VmHWM") >= figure("VmRSS") + 10000 ? "stays" : "follows");
  printf("VmSwap %ld VmPin %ld\n", figure("VmSwap"), figure("VmPin"));
  SAY("VmPTE", figure("VmPTE") > 0 ? "some" : "none");

}

int main(void) {
  begin();
  in_child(itself);
  in_child(another);
  in_child(names);
  in_child(figures);
  return 0;
}
