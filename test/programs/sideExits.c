/* A hot loop that leaves its region for the interpreter in several ways; the argument says for how many rounds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static char bytes[64];

int main(int argc, char **argv) {
  long rounds = argc > 1 ? atol(argv[1]) : 1000;
  long sum = 0;
  volatile double tiny = 1e-308;
  for (long i = 0; i < rounds; i++) {
    long value;
    sum += i ^ (sum << 1);
    if (i % 64 == 0) {
      /* Misaligned, and twice. */
      __asm__ volatile("ld %0, 1(%1)" : "=r"(value) : "r"(bytes));
      sum += value;
      __asm__ volatile("ld %0, 3(%1)" : "=r"(value) : "r"(bytes));
      sum += value;
    }
    if (i % 1024 == 0) sum += syscall(SYS_getuid);
    if (i % 128 == 0) {
      /* A result below the least normal number. */
      volatile double product = tiny * 0.3;
      sum += product > 0;
    }
  }
  printf("%ld\n", sum);
  return 0;
}
