/* STREAM's triad over arrays larger than the caches. triad [ROUNDS] [ELEMENTS] */
#include "bench.h"

int main(int argc, char **argv) {
  long rounds = sizeArgument(argc, argv, 1, 5), n = sizeArgument(argc, argv, 2, 1000000);
  double *a = malloc((size_t)n * 8), *b = malloc((size_t)n * 8), *c = malloc((size_t)n * 8);
  for (long i = 0; i < n; i++) a[i] = 0, b[i] = (double)i, c[i] = (double)(n - i);
  begin();
  for (long r = 0; r < rounds; r++) {
    double factor = (double)(r + 3);
    for (long i = 0; i < n; i++) a[i] = b[i] + factor * c[i];
    __asm__ volatile("" ::"r"(a) : "memory");
  }
  end();
  double sum = 0;
  for (long i = 0; i < n; i += 1001) sum += a[i];
  printf("triad %.17g\n", sum);
}
