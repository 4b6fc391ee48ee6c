/* Fast Fourier transforms of a power of two, forth and back. fft [LOG2] [ROUNDS] */
#include <math.h>

#include "bench.h"

static void transform(double *re, double *im, long n, const double *cosine, const double *sine, int inverse) {
  for (long i = 1, k = 0; i < n; i++) {
    long bit = n >> 1;
    for (; k & bit; bit >>= 1) k ^= bit;
    k ^= bit;
    if (i < k) {
      double t = re[i];
      re[i] = re[k], re[k] = t;
      t = im[i], im[i] = im[k], im[k] = t;
    }
  }
  for (long size = 2; size <= n; size *= 2)
    for (long start = 0; start < n; start += size)
      for (long k = 0; k < size / 2; k++) {
        long a = start + k, b = a + size / 2, w = k * (n / size);
        double c = cosine[w], s = inverse ? sine[w] : -sine[w];
        double x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x, im[b] = im[a] - y;
        re[a] += x, im[a] += y;
      }
}

int main(int argc, char **argv) {
  long n = 1L << sizeArgument(argc, argv, 1, 13), rounds = sizeArgument(argc, argv, 2, 3);
  double *re = malloc((size_t)n * 8), *im = malloc((size_t)n * 8), *c = malloc((size_t)n * 8), *s = malloc((size_t)n * 8);
  uint64_t x = 5;
  /* The unit circle by repeated halving of the angle, so that no library's sine decides the last digit. */
  c[0] = 1, s[0] = 0;
  double stepC = -1, stepS = 0;
  for (long m = n / 2; m >= 1; m /= 2) {
    for (long i = m; i < n; i += 2 * m) {
      c[i] = c[i - m] * stepC - s[i - m] * stepS;
      s[i] = c[i - m] * stepS + s[i - m] * stepC;
    }
    double half = sqrt((1 + stepC) / 2);
    stepS = half == 0 ? 1 : stepS / (2 * half);
    stepC = half;
  }
  for (long i = 0; i < n; i++) re[i] = (double)(xorshift(&x) >> 12) / 4503599627370496.0 - 0.5, im[i] = 0;
  begin();
  for (long r = 0; r < rounds; r++) {
    transform(re, im, n, c, s, 0);
    transform(re, im, n, c, s, 1);
    for (long i = 0; i < n; i++) re[i] /= (double)n, im[i] /= (double)n;
  }
  end();
  printf("fft %.9f %.9f\n", re[1], re[n - 1]);
}
