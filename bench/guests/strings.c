/* Memory by bytes and by the C library: memcpy, memset, strlen, strchr, memcmp. strings [ROUNDS] */
#include <string.h>

#include "bench.h"

#define BYTES 65536

static char from[BYTES + 1], to[BYTES + 1];

static void __attribute__((noinline)) copyBytes(char *t, const char *f, long n) {
  for (long i = 0; i < n; i++) {
    t[i] = f[i];
    __asm__ volatile("" ::: "memory");
  }
}

static long __attribute__((noinline)) countByte(const char *p, char c) {
  long n = 0;
  for (; *p; p++) n += *p == c;
  return n;
}

int main(int argc, char **argv) {
  long rounds = sizeArgument(argc, argv, 1, 100);
  int bytesOnly = argc > 2 && argv[2][0] == 'b', libraryOnly = argc > 2 && argv[2][0] == 'l';
  uint64_t x = 1, hash = 0;
  for (int i = 0; i < BYTES; i++) from[i] = (char)('a' + xorshift(&x) % 26);
  begin();
  for (long r = 0; r < rounds; r++) {
    if (!libraryOnly) {
      copyBytes(to, from, BYTES);
      hash = mixHash(hash, (uint64_t)countByte(to, (char)('a' + r % 26)));
    }
    if (!bytesOnly) {
      for (int k = 0; k < 8; k++) {
        memcpy(to, from, BYTES);
        hash = mixHash(hash, strlen(to + k * 777));
        hash = mixHash(hash, (uint64_t)memcmp(to, from, BYTES));
        memset(to + k * 64, 'a' + (int)r % 26, 4096);
        char *found = strchr(to + 5000, '~');
        hash = mixHash(hash, found ? 1 : 0);
      }
    }
    from[r % BYTES] ^= 1;
  }
  end();
  printf("strings %016llx\n", (unsigned long long)hash);
}
