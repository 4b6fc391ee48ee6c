/* Recursive calls. fib [N] */
#include "bench.h"

static long __attribute__((noinline, optimize("no-optimize-sibling-calls"))) fib(long n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

int main(int argc, char **argv) {
  long n = sizeArgument(argc, argv, 1, 30);
  begin();
  long result = fib(n);
  end();
  printf("fib(%ld) = %ld\n", n, result);
}
