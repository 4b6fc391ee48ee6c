/* The Mandelbrot set on a square grid. mandelbrot [N] */
#include "bench.h"

int main(int argc, char **argv) {
  long n = sizeArgument(argc, argv, 1, 150), inside = 0;
  uint64_t hash = 0;
  begin();
  for (long y = 0; y < n; y++)
    for (long x = 0; x < n; x++) {
      double cr = 3.0 * (double)x / (double)n - 2.0, ci = 2.0 * (double)y / (double)n - 1.0, r = 0, i = 0;
      int k = 0;
      while (k < 100 && r * r + i * i <= 4) {
        double t = r * r - i * i + cr;
        i = 2 * r * i + ci;
        r = t;
        k++;
      }
      inside += k == 100;
      hash = mixHash(hash, (uint64_t)k);
    }
  end();
  printf("mandelbrot %ld %016llx\n", inside, (unsigned long long)hash);
}
