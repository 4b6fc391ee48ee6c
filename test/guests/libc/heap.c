/* malloc by several threads at once, each block checked; sizes from bytes to mapped regions. */
#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

#define BLOCKS 200

static void *exercise(void *argument) {
  uint64_t x = (uintptr_t)argument * 7919 + 1;
  unsigned char *block[BLOCKS] = {0};
  size_t size[BLOCKS] = {0};
  intptr_t wrong = 0;
  for (int i = 0; i < 6000; i++) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    int k = (int)((x >> 33) % BLOCKS);
    unsigned char mark = (unsigned char)(k * 31 + (uintptr_t)argument);
    if (block[k]) {
      size_t n = size[k];
      for (size_t j = 0; j < n; j += n / 8 + 1) wrong += block[k][j] != mark;
      wrong += block[k][n - 1] != mark;
      if (x >> 60 < 4) {
        size_t more = n + (x >> 40) % 5000 + 1;
        block[k] = realloc(block[k], more);
        if (!block[k] || block[k][n - 1] != mark) return (void *)-1L;
        memset(block[k] + n, mark, more - n);
        size[k] = more;
      } else {
        free(block[k]);
        block[k] = NULL;
      }
    } else {
      unsigned kind = (x >> 50) & 63;
      size_t n = kind == 0 ? 200000 + (x >> 20) % 300000 : kind < 8 ? (x >> 20) % 20000 + 1 : (x >> 20) % 300 + 1;
      block[k] = kind == 1 ? memalign(256, n) : kind == 2 ? calloc(1, n) : malloc(n);
      if (!block[k]) return (void *)-2L;
      if (kind == 1 && (uintptr_t)block[k] % 256) wrong++;
      if (kind == 2)
        for (size_t j = 0; j < n; j++) wrong += block[k][j] != 0;
      memset(block[k], mark, n);
      size[k] = n;
    }
  }
  for (int k = 0; k < BLOCKS; k++) free(block[k]);
  return (void *)wrong;
}

/* Blocks that one thread takes and another frees. */
static void *volatile handed[1000];
static void *give(void *argument) {
  for (int i = 0; i < 1000; i++) {
    int *p = malloc(100 + i);
    *p = i;
    __atomic_store_n(&handed[i], p, __ATOMIC_RELEASE);
  }
  return argument;
}

int main(void) {
  pthread_t t[6];
  void *result;
  for (intptr_t i = 0; i < 6; i++) EXPECT(pthread_create(&t[i], NULL, exercise, (void *)i), 0);
  for (int i = 0; i < 6; i++) {
    EXPECT(pthread_join(t[i], &result), 0);
    EXPECT(result, 0);
  }
  EXPECT(exercise((void *)9), 0);
  EXPECT(pthread_create(&t[0], NULL, give, NULL), 0);
  for (int i = 0; i < 1000; i++) {
    int *p;
    while (!(p = __atomic_load_n(&handed[i], __ATOMIC_ACQUIRE))) {}
    if (*p != i) CHECK(0);
    free(p);
  }
  EXPECT(pthread_join(t[0], NULL), 0);
  CHECK(malloc((size_t)1 << 46) == NULL);
  char *big = malloc(64 << 20);
  CHECK(big != NULL);
  big[0] = big[(64 << 20) - 1] = 1;
  big = realloc(big, 100 << 20);
  CHECK(big && big[0] == 1 && big[(64 << 20) - 1] == 1 && big[(100 << 20) - 1] == 0);
  free(big);
#ifdef __GLIBC__
  EXPECT(malloc_trim(0) >= 0, 1);
#endif
  return report("heap");
}
