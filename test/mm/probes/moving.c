/* mmremap: every form, its errors and their order, on every kind of mapping. */
#include "probe.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* The C libraries differ in whether they pass the fifth argument on. */
static void *remap(void *old, long old_size, long size, long flags, void *to) {
  return (void *)syscall(SYS_mremap, old, old_size, size, flags, to);
}

static char *filled(long pages, int flags) {
  char *at = map(pages, RW, flags);
  for (long i = 0; i < pages; i++) at[i * PAGE] = (char)('a' + i);
  return at;
}

/* An area with nothing mapped around what is put into it. */
static char *area(long pages) {
  char *at = map(pages, PROT_NONE, ANON | MAP_NORESERVE);
  munmap(at, pages * PAGE);
  return at;
}

static void moved(const char *what, void *result, void *from) {
  if (result == MAP_FAILED) SAY(what, error_name(errno));
  else SAY(what, result == from ? "in place" : "moved");
}

static void flags(void) {
  for (int flag = 0; flag < 32; flag++) {
    char *at = filled(4, ANON);
    char *to = area(16);
    char what[40];
    snprintf(what, sizeof what, "flags %d, same size", flag);
    moved(what, remap(at, 4 * PAGE, 4 * PAGE, flag, to), at);
    at = filled(4, ANON);
    to = area(16);
    snprintf(what, sizeof what, "flags %d, smaller", flag);
    moved(what, remap(at, 4 * PAGE, 2 * PAGE, flag, to), at);
    at = filled(4, ANON);
    to = area(16);
    snprintf(what, sizeof what, "flags %d, nothing", flag);
    moved(what, remap(at, 4 * PAGE, 0, flag, to), at);
    snprintf(what, sizeof what, "flags %d, of nothing", flag);
    moved(what, remap(at, 0, 4 * PAGE, flag, to), at);
    snprintf(what, sizeof what, "flags %d, unaligned", flag);
    moved(what, remap(at + 1, 4 * PAGE, 4 * PAGE, flag, to), at);
    snprintf(what, sizeof what, "flags %d, unaligned target", flag);
    moved(what, remap(at, 4 * PAGE, 4 * PAGE, flag, to + 1), at);
    snprintf(what, sizeof what, "flags %d, overlapping", flag);
    moved(what, remap(at, 2 * PAGE, 2 * PAGE, flag, at + PAGE), at);
    at = filled(4, ANON);
    snprintf(what, sizeof what, "flags %d, target at 0", flag);
    moved(what, remap(at, 2 * PAGE, 2 * PAGE, flag, 0), at);
    snprintf(what, sizeof what, "flags %d, target too high", flag);
    moved(what, remap(at, 2 * PAGE, 2 * PAGE, flag, (void *)-PAGE), at);
    snprintf(what, sizeof what, "flags %d, too long", flag);
    moved(what, remap(at, 2 * PAGE, 1L << 60, flag, to), at);
    snprintf(what, sizeof what, "flags %d, length -1", flag);
    moved(what, remap(at, 2 * PAGE, -1, flag, to), at);
    snprintf(what, sizeof what, "flags %d, old length -1", flag);
    moved(what, remap(at, -1, 2 * PAGE, flag, to), at);
    snprintf(what, sizeof what, "flags %d, old length -4096", flag);
    moved(what, remap(at, -PAGE, 2 * PAGE, flag, to), at);
    munmap(at + PAGE, PAGE);
    snprintf(what, sizeof what, "flags %d, of a hole", flag);
    moved(what, remap(at + PAGE, PAGE, 2 * PAGE, flag, to), at);
    snprintf(what, sizeof what, "flags %d, growing over a hole", flag);
    moved(what, remap(at, 3 * PAGE, 5 * PAGE, flag, to), at);
  }
}

static void in_place(void) {
  char *base = area(64);
  char *at = mmap(base, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
  STORE(at + 3 * PAGE, 'x');
  SAY("grow", place(remap(at, 4 * PAGE, 8 * PAGE, 0, NULL), at));
  SAY("kept", LOAD(at + 3 * PAGE));
  SAY("new", LOAD(at + 7 * PAGE));
  SAY("shrink", place(remap(at, 8 * PAGE, 2 * PAGE, 0, NULL), at));
  SAY("gone", LOAD(at + 3 * PAGE));
  SAY("grow the middle", place(remap(at, PAGE, 3 * PAGE, 0, NULL), at));
  mmap(at + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
  SAY("grow up to a neighbour", place(remap(at, 2 * PAGE, 4 * PAGE, 0, NULL), at));
  SAY("grow into a neighbour", place(remap(at, 4 * PAGE, 5 * PAGE, 0, NULL), at));
  show_maps(base, 64);
  SAY("shrink over several", place(remap(at, 5 * PAGE, 3 * PAGE, 0, NULL), at));
  show_maps(base, 64);
  SAY("odd sizes", place(remap(at, 3 * PAGE - 7, 3 * PAGE + 1, 0, NULL), at));
  show_maps(base, 64);
}

static void moving(void) {
  char *at = filled(4, ANON);
  mprotect(at + PAGE, PAGE, PROT_READ);
  char *to = area(16);
  SAY("over several mappings, growing", place(remap(at, 4 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to));
  SAY("one of them", place(remap(at + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to));
  SAY("value", LOAD(to));
  SAY("protected", STORE(to, 1));
  SAY("grown part is protected too", STORE(to + PAGE, 1));
  SAY("old place", LOAD(at + PAGE));
  show_maps(at, 4);

  char *target = filled(8, ANON);
  char *source = filled(2, ANON);
  SAY("onto others", place(remap(source, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 3 * PAGE), target));
  SAY("before", LOAD(target + 2 * PAGE));
  SAY("first", LOAD(target + 3 * PAGE));
  SAY("second", LOAD(target + 4 * PAGE));
  SAY("after", LOAD(target + 5 * PAGE));

  int fd = new_file(NULL, 8 * PAGE);
  char *file = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 2 * PAGE);
  to = area(16);
  SAY("file", place(remap(file + PAGE, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to));
  for (int i = 0; i < 5; i++) SAY("page", LOAD(to + i * PAGE));
  show_maps(file, 4);
  show_maps(to, 16);

  /* Mappings of one file that are separate because one part was moved join again where they fit. */
  char *again = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
  munmap(again + 2 * PAGE, 2 * PAGE);
  char *other = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 2 * PAGE);
  SAY("beside its neighbour", place(remap(other, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, again + 2 * PAGE), again));
  show_maps(again, 4);
}

static void of_nothing(void) {
  char *shared = filled(4, SHARED_ANON);
  char *second = remap(shared + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE, NULL);
  SAY("second view", OUTCOME(second));
  SAY("shows", LOAD(second));
  STORE(second + PAGE, 'Z');
  SAY("the same", LOAD(shared + 2 * PAGE));
  SAY("of private memory", OUTCOME(remap(map(2, RW, ANON), 0, 2 * PAGE, MREMAP_MAYMOVE, NULL)));
  SAY("without MAYMOVE", OUTCOME(remap(shared, 0, 2 * PAGE, 0, NULL)));
  char *to = area(8);
  SAY("fixed", place(remap(shared, 0, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), to));
  SAY("beyond the end", OUTCOME(remap(shared, 0, 6 * PAGE, MREMAP_MAYMOVE, NULL)));
  char *long_view = remap(shared, 0, 6 * PAGE, MREMAP_MAYMOVE, NULL);
  if (long_view != MAP_FAILED) SAY("there", LOAD(long_view + 5 * PAGE));
  int fd = new_file(NULL, 4 * PAGE);
  char *file = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
  SAY("of a file for reading", OUTCOME(remap(file, 0, 2 * PAGE, MREMAP_MAYMOVE, NULL)));
  SAY("of a private file", OUTCOME(remap(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), 0, PAGE, MREMAP_MAYMOVE, NULL)));
  SAY("DONTUNMAP of nothing", OUTCOME(remap(shared, 0, 0, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL)));
}

static void keeping(void) {
  char *at = filled(4, ANON);
  char *to = remap(at + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  SAY("DONTUNMAP", OUTCOME(to));
  SAY("moved", LOAD(to));
  SAY("left", LOAD(at + PAGE));
  SAY("writable", STORE(at + PAGE, 'n'));
  SAY("neighbour", LOAD(at));
  SAY("apart", LOAD(to));
  char *fixed = area(8);
  SAY("fixed", place(remap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, fixed), fixed));
  SAY("hint", place(remap(at + 3 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, fixed + 4 * PAGE), fixed));
  char *shared = filled(2, SHARED_ANON);
  char *view = remap(shared, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  SAY("shared", OUTCOME(view));
  if (view != MAP_FAILED) {
    SAY("shows", LOAD(view));
    SAY("still", LOAD(shared));
  }
  int fd = new_file(NULL, 2 * PAGE);
  char *file = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
  STORE(file, 'P');
  view = remap(file, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  SAY("private file", OUTCOME(view));
  if (view != MAP_FAILED) {
    SAY("copy", LOAD(view));
    SAY("file again", LOAD(file));
  }
  /* What stays is not locked any more, as far as the old mapping went; what moves is. */
  char *locked = map(8, RW, ANON);
  mlock(locked + 2 * PAGE, 4 * PAGE);
  view = remap(locked + 3 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  SAY("locked", OUTCOME(view));
  for (int i = 0; i < 8; i++) SAY("drop", OUTCOME(madvise(locked + i * PAGE, PAGE, MADV_DONTNEED)));
  SAY("drop moved", OUTCOME(madvise(view, PAGE, MADV_DONTNEED)));
}

static void limits(void) {
  char *at = filled(4, ANON);
  char *to = area(16);
  limit(RLIMIT_AS, 100 * PAGE);
  moved("grow beyond the limit", remap(at, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE, NULL), at);
  moved("same size beyond the limit", remap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to), at);
  moved("keeping beyond the limit", remap(to, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL), to);
  SAY("still there", LOAD(to));
  moved("smaller beyond the limit", remap(to, 4 * PAGE, 2 * PAGE, MREMAP_MAYMOVE, NULL), to);
  moved("grow again", remap(to, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE, NULL), to);
}

int main(void) {
  begin();
  flags();
  in_place();
  moving();
  of_nothing();
  keeping();
  limits();
  return 0;
}
