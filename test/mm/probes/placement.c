/* Where mmap puts what names an address as a wish: hints that can be had, and those that cannot. */
#include "probe.h"

static char *area;
#define AREA 4096L

/* Where a mapping is: its page in the area, or "elsewhere". */
static const char *lies(void *at) {
  static char text[32];
  if (at == MAP_FAILED) return error_name(errno);
  long offset = (char *)at - area;
  if (offset < 0 || offset >= AREA * PAGE) return (uintptr_t)at % PAGE == 0 ? "elsewhere" : "nowhere good";
  snprintf(text, sizeof text, "page %ld", offset / PAGE);
  return offset % PAGE == 0 ? text : "not a page";
}

static void *hinted(long offset, long pages, int flags) {
  return mmap(area + offset, pages * PAGE, RW, ANON | flags, -1, 0);
}

static void away(void *at, long pages) {
  if (at != MAP_FAILED) munmap(at, pages * PAGE);
}

#define HINT(what, offset, pages, flags) \
  do { \
    void *got = hinted(offset, pages, flags); \
    SAY(what, lies(got)); \
    away(got, pages); \
  } while (0)

static void hints(void) {
  HINT("free", 100 * PAGE, 3, 0);
  HINT("in a page", 100 * PAGE + 1, 3, 0);
  HINT("at the end of a page", 100 * PAGE + PAGE - 1, 3, 0);
  hinted(200 * PAGE, 2, MAP_FIXED);
  HINT("taken", 200 * PAGE, 1, 0);
  HINT("taken at its end", 201 * PAGE, 1, 0);
  HINT("taken behind", 198 * PAGE, 3, 0);
  HINT("just before", 198 * PAGE, 2, 0);
  HINT("just after", 202 * PAGE, 2, 0);
  HINT("fixed and free", 300 * PAGE, 1, MAP_FIXED_NOREPLACE);
  HINT("fixed and taken", 200 * PAGE, 1, MAP_FIXED_NOREPLACE);
  HINT("fixed in a page", 300 * PAGE + 1, 1, MAP_FIXED_NOREPLACE);
  munmap(area + 200 * PAGE, PAGE);
  HINT("a hole", 200 * PAGE, 1, 0);
  HINT("more than a hole", 200 * PAGE, 2, 0);
  SAY("beyond everything", lies(mmap((void *)(1L << 62), PAGE, RW, ANON, -1, 0)));
  SAY("the last page", lies(mmap((void *)-PAGE, PAGE, RW, ANON, -1, 0)));
  SAY("the last byte", lies(mmap((void *)-1L, PAGE, RW, ANON, -1, 0)));
  void *first = mmap((void *)1, PAGE, RW, ANON, -1, 0);
  SAY("byte 1", (uintptr_t)first >= 65536 ? "elsewhere" : "low");
  munmap(area + 200 * PAGE, 2 * PAGE);
}

static void files(void) {
  int fd = new_file(NULL, 8 * PAGE);
  void *at = mmap(area + 400 * PAGE + 5, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 3 * PAGE);
  SAY("private", lies(at));
  SAY("shared", lies(mmap(area + 402 * PAGE, PAGE, PROT_READ, MAP_SHARED, fd, PAGE)));
  SAY("taken", lies(mmap(area + 401 * PAGE, PAGE, PROT_READ, MAP_SHARED, fd, PAGE)));
  show_maps(area, AREA);
  munmap(area, AREA * PAGE);
}

static void stacks(void) {
  char *stack = area + 1000 * PAGE;
  SAY("stack", lies(mmap(stack, 2 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0)));
  HINT("256 pages below", (1000 - 257) * PAGE, 1, 0);
  HINT("into the gap", (1000 - 257) * PAGE, 2, 0);
  HINT("in the gap", (1000 - 256) * PAGE, 1, 0);
  HINT("just below", 999 * PAGE, 1, 0);
  HINT("just above", 1002 * PAGE, 1, 0);
  HINT("fixed in the gap", 900 * PAGE, 1, MAP_FIXED);
  HINT("fixed, not replacing, in the gap", 900 * PAGE, 1, MAP_FIXED_NOREPLACE);
  SAY("growing", STORE(stack - 10 * PAGE, 1));
  HINT("256 pages below what has grown", (990 - 257) * PAGE, 1, 0);
  HINT("in the gap of what has grown", (990 - 256) * PAGE, 1, 0);
  hinted(2000 * PAGE, 1, MAP_GROWSDOWN);
  HINT("a stack by hint", 1999 * PAGE, 1, 0);
  SAY("another stack in the gap", lies(hinted(1990 * PAGE, 1, MAP_GROWSDOWN)));
  SAY("another stack", lies(hinted(1700 * PAGE, 1, MAP_GROWSDOWN)));
  show_maps(area, AREA);
  munmap(area, AREA * PAGE);
}

/* What has no hint stays away from stacks and hits nothing. */
static void searches(void) {
  mmap(area + 1000 * PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  mmap(area + 2000 * PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
  int bad = 0;
  for (int i = 0; i < 400; i++) {
    char *at = map(7, RW, ANON);
    if (at == MAP_FAILED) bad++;
    for (int stack = 1000; stack <= 2000; stack += 1000)
      if (at + 7 * PAGE > area + (stack - 256) * PAGE && at < area + (stack + 1) * PAGE) bad++;
    for (int k = 0; k < 7; k++) {
      if (at[k * PAGE]) bad++;
      at[k * PAGE] = 1;
    }
  }
  SAY("in a gap or in use", number(bad));
  char *old = map(4, RW, ANON);
  old[0] = 9;
  char *moved = mremap(old, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, area + 950 * PAGE);
  SAY("mremap into the gap", lies(moved));
  SAY("moved", LOAD(moved));
  SAY("growing up to it", STORE(area + 960 * PAGE, 1));
}

int main(void) {
  begin();
  area = map(AREA, PROT_NONE, ANON | MAP_NORESERVE);
  munmap(area, AREA * PAGE);
  in_child(hints);
  in_child(files);
  in_child(stacks);
  in_child(searches);
  return 0;
}
