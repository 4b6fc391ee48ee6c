/* For the programs of this folder: the size from the command line, and the time of the part that is measured. */
#ifndef BENCH_H
#define BENCH_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct timespec benchStart;

/* The size argument (first is index 1). */
static inline long sizeArgument(int argc, char **argv, int index, long standard) {
  return argc > index ? strtol(argv[index], NULL, 10) : standard;
}

static inline void begin(void) { clock_gettime(CLOCK_MONOTONIC, &benchStart); }

/* "elapsed SECONDS" on stderr, so that stdout stays the same everywhere. */
static inline void end(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double seconds = (double)(now.tv_sec - benchStart.tv_sec) + 1e-9 * (double)(now.tv_nsec - benchStart.tv_nsec);
  fprintf(stderr, "elapsed %.6f\n", seconds);
}

static inline uint64_t mixHash(uint64_t hash, uint64_t value) { return (hash ^ value) * 1099511628211u; }

static inline uint64_t xorshift(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  return *state ^= *state << 17;
}
#endif
