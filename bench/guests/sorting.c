/* Quicksort, the sieve of Eratosthenes, queens on a chessboard. sorting [ROUNDS] */
#include <string.h>

#include "bench.h"

#define NUMBERS 50000
#define SIEVE 200000

static int numbers[NUMBERS];
static char composite[SIEVE];

static void quicksort(int *a, long low, long high) {
  while (low < high) {
    int pivot = a[(low + high) / 2];
    long i = low, j = high;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) {
        int t = a[i];
        a[i++] = a[j];
        a[j--] = t;
      }
    }
    if (j - low < high - i) {
      quicksort(a, low, j);
      low = i;
    } else {
      quicksort(a, i, high);
      high = j;
    }
  }
}

static long sieve(void) {
  long primes = 0;
  memset(composite, 0, sizeof composite);
  for (long i = 2; i < SIEVE; i++)
    if (!composite[i]) {
      primes++;
      for (long k = 2 * i; k < SIEVE; k += i) composite[k] = 1;
    }
  return primes;
}

static long queens(unsigned all, unsigned columns, unsigned left, unsigned right) {
  if (columns == all) return 1;
  long found = 0;
  for (unsigned free = all & ~(columns | left | right); free;) {
    unsigned bit = free & -free;
    free ^= bit;
    found += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
  }
  return found;
}

int main(int argc, char **argv) {
  long rounds = sizeArgument(argc, argv, 1, 5);
  uint64_t x = 88172645463325252u, hash = 0;
  begin();
  for (long r = 0; r < rounds; r++) {
    for (int i = 0; i < NUMBERS; i++) numbers[i] = (int)(xorshift(&x) >> 33);
    quicksort(numbers, 0, NUMBERS - 1);
    for (int i = 1; i < NUMBERS; i++)
      if (numbers[i - 1] > numbers[i]) return 1;
    hash = mixHash(hash, (uint64_t)numbers[NUMBERS / 2]);
    hash = mixHash(hash, (uint64_t)sieve());
    hash = mixHash(hash, (uint64_t)queens(255, 0, 0, 0));
  }
  end();
  printf("sorting %016llx\n", (unsigned long long)hash);
}
