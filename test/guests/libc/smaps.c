/* /proc/self/maps, smaps, smaps_rollup and statm of memory in known states. With "print", prints the entries. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define PAGE 4096L

static char entry[4000];

/* The entry of smaps that begins at `at`, without its first line's inode, or an empty text. */
static const char *smaps(void *at) {
  char line[400], start[32];
  int inside = 0;
  FILE *file = fopen("/proc/self/smaps", "r");
  snprintf(start, sizeof start, "%08lx-", (long)at);
  entry[0] = 0;
  while (fgets(line, sizeof line, file)) {
    if (strstr(line, " 00:0") || strchr(line, '-') == line + strspn(line, "0123456789abcdef"))
      inside = !strncmp(line, start, strlen(start));
    else if (inside) strcat(entry, line);
  }
  fclose(file);
  return entry;
}

/* A figure of the entry in KiB, or -1. */
static long figure(void *at, const char *name) {
  char wanted[40];
  long value = -1;
  snprintf(wanted, sizeof wanted, "%s:", name);
  const char *found = strstr(smaps(at), wanted);
  if (found) sscanf(found + strlen(wanted), "%ld", &value);
  return value;
}

static int flags(void *at, const char *wanted) {
  const char *found = strstr(smaps(at), "VmFlags: ");
  char text[100];
  snprintf(text, sizeof text, "VmFlags: %s\n", wanted);
  /* Kernels may be built to show soft-dirty pages. */
  char *dirty = found ? strstr((char *)found, " sd ") : NULL;
  if (dirty) memmove(dirty, dirty + 3, strlen(dirty + 3) + 1);
  int same = found && !strncmp(found, text, strlen(text));
  if (!same) printf("%s instead of %s", found, text);
  return same;
}

static const char *const names[] = {
    "Size", "KernelPageSize", "MMUPageSize", "Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty",
    "Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "KSM", "LazyFree", "AnonHugePages",
    "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked"};

int main(int argc, char **argv) {
  /* Every second page of a reservation, so that nothing joins. */
  char *base = mmap(NULL, 40 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  char *a = base + PAGE, *b = base + 6 * PAGE, *s = base + 12 * PAGE, *g = base + 18 * PAGE, *l = base + 26 * PAGE;
  madvise(base, 40 * PAGE, MADV_NOHUGEPAGE);
  mmap(a, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mmap(b, 4 * PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mmap(s, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  mmap(g, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  mmap(l, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  a[0] = a[2 * PAGE] = 1;
  s[PAGE] = 1;
  mlock(l, 2 * PAGE);
  madvise(l + 2 * PAGE, PAGE, MADV_DONTFORK);
  madvise(l + 3 * PAGE, PAGE, MADV_DONTDUMP);
  if (argc > 1 && strcmp(argv[1], "print") == 0) {
    for (char *at = base; at < base + 40 * PAGE; at += PAGE)
      if (*smaps(at)) printf("%ld\n%s", (long)(at - base) / PAGE, entry);
    return 0;
  }

  /* The lines, in their order. */
  const char *at = smaps(a);
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    const char *end = strchr(at, '\n');
    CHECK(end && !strncmp(at, names[i], strlen(names[i])) && at[strlen(names[i])] == ':');
    CHECK(end && end - at == 27 && !strncmp(end - 3, " kB", 3));
    if (!end) break;
    at = end + 1;
  }
  CHECK(!strncmp(at, "THPeligible:           0\nVmFlags: ", 33));

  EXPECT(figure(a, "Size"), 16);
  EXPECT(figure(a, "Rss"), 8);
  EXPECT(figure(a, "Pss"), 8);
  EXPECT(figure(a, "Private_Dirty"), 8);
  EXPECT(figure(a, "Anonymous"), 8);
  EXPECT(figure(a, "Locked"), 0);
  EXPECT(figure(b, "Rss"), 0);
  EXPECT(figure(s, "Rss"), 4);
  EXPECT(figure(s, "Private_Dirty"), 4);
  EXPECT(figure(s, "Anonymous"), 0);
  EXPECT(figure(l, "Size"), 8);
  EXPECT(figure(l, "Locked"), 8);
  CHECK(flags(s, "rd wr sh mr mw me ms "));
  CHECK(figure(base, "Rss") == 0);

  /* statm: total, resident, shared, text, 0, data, 0. */
  long before[7], after[7];
  for (int i = 0; i < 2; i++) {
    long *m = i ? after : before;
    FILE *file = fopen("/proc/self/statm", "r");
    EXPECT(fscanf(file, "%ld %ld %ld %ld %ld %ld %ld", m, m + 1, m + 2, m + 3, m + 4, m + 5, m + 6), 7);
    fclose(file);
    if (i == 0) {
      char *more = mmap(NULL, 300 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      madvise(more, 300 * PAGE, MADV_NOHUGEPAGE);
      memset(more, 1, 200 * PAGE);
    }
  }
  EXPECT(after[0] - before[0], 300);
  CHECK(after[1] - before[1] >= 190 && after[1] - before[1] <= 210);
  CHECK(before[2] > 0 && before[2] < before[1]);
  CHECK(before[3] > 0 && before[3] < before[0]);
  EXPECT(before[4], 0);
  EXPECT(after[5] - before[5], 300);
  EXPECT(before[6], 0);
  return report("smaps");
}
