/* Following pointers through memory in a random cycle. chase [KIB] [STEPS] */
#include "bench.h"

int main(int argc, char **argv) {
  long kib = sizeArgument(argc, argv, 1, 16), steps = sizeArgument(argc, argv, 2, 5000000);
  long n = kib * 1024 / 64;
  typedef struct Line {
    struct Line *next;
    long index;
    char rest[48];
  } Line;
  Line *lines = malloc((size_t)n * sizeof *lines);
  long *order = malloc((size_t)n * sizeof *order);
  for (long i = 0; i < n; i++) order[i] = i;
  uint64_t x = 7;
  for (long i = n - 1; i > 0; i--) {
    long k = (long)(xorshift(&x) % (uint64_t)(i + 1)), t = order[i];
    order[i] = order[k];
    order[k] = t;
  }
  for (long i = 0; i < n; i++) lines[order[i]].next = &lines[order[(i + 1) % n]], lines[i].index = i;
  begin();
  Line *at = lines;
  for (long i = 0; i < steps; i++) at = at->next;
  end();
  printf("chase ended at %ld\n", at->index);
}
