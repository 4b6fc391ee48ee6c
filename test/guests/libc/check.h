/* Checks for the programs of this folder: silent when right, a line when wrong, a summary at the end. */
#ifndef CHECK_H
#define CHECK_H
#include <stdio.h>
#include <stdlib.h>

static int checks, failures;

#define CHECK(condition)                                                    \
  do {                                                                      \
    __atomic_fetch_add(&checks, 1, __ATOMIC_RELAXED);                       \
    if (!(condition)) {                                                     \
      __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);                   \
      printf("FAIL line %d: %s\n", __LINE__, #condition);                   \
    }                                                                       \
  } while (0)

#define EXPECT(expression, wanted)                                          \
  do {                                                                      \
    long seen_ = (long)(expression), wanted_ = (long)(wanted);              \
    __atomic_fetch_add(&checks, 1, __ATOMIC_RELAXED);                       \
    if (seen_ != wanted_) {                                                 \
      __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);                   \
      printf("FAIL line %d: %s is %ld, not %ld\n", __LINE__, #expression, seen_, wanted_); \
    }                                                                       \
  } while (0)

static inline int report(const char *name) {
  printf("%s: %d of %d checks passed\n", name, checks - failures, checks);
  return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
#endif
