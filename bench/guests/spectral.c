/* Spectral norm of an infinite matrix's corner. spectral [N] */
#include <math.h>

#include "bench.h"

static double element(long i, long k) { return 1.0 / (double)((i + k) * (i + k + 1) / 2 + i + 1); }

static void multiply(long n, const double *v, double *out, int transposed) {
  for (long i = 0; i < n; i++) {
    double sum = 0;
    for (long k = 0; k < n; k++) sum += (transposed ? element(k, i) : element(i, k)) * v[k];
    out[i] = sum;
  }
}

int main(int argc, char **argv) {
  long n = sizeArgument(argc, argv, 1, 100);
  double *u = malloc((size_t)n * 8), *v = malloc((size_t)n * 8), *t = malloc((size_t)n * 8);
  for (long i = 0; i < n; i++) u[i] = 1;
  begin();
  for (int r = 0; r < 10; r++) {
    multiply(n, u, t, 0);
    multiply(n, t, v, 1);
    multiply(n, v, t, 0);
    multiply(n, t, u, 1);
  }
  end();
  double vbv = 0, vv = 0;
  for (long i = 0; i < n; i++) vbv += u[i] * v[i], vv += v[i] * v[i];
  printf("spectral %.12f\n", sqrt(vbv / vv));
}
