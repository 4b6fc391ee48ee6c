/* Product of two square matrices of doubles. matmul [N] */
#include "bench.h"

int main(int argc, char **argv) {
  long n = sizeArgument(argc, argv, 1, 128);
  double *a = malloc((size_t)(n * n) * 8), *b = malloc((size_t)(n * n) * 8), *c = calloc((size_t)(n * n), 8);
  uint64_t x = 99;
  for (long i = 0; i < n * n; i++) a[i] = (double)(xorshift(&x) >> 11) / 9007199254740992.0, b[i] = (double)(xorshift(&x) >> 11) / 9007199254740992.0;
  begin();
  for (long i = 0; i < n; i++)
    for (long k = 0; k < n; k++) {
      double f = a[i * n + k];
      for (long j = 0; j < n; j++) c[i * n + j] += f * b[k * n + j];
    }
  end();
  double trace = 0;
  for (long i = 0; i < n; i++) trace += c[i * n + i];
  printf("matmul %.17g %.17g\n", trace, c[n * n - 1]);
}
