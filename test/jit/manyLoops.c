// manyLoops LOOPS ROUNDS THREADS: writes that many little functions, each a loop of its own, and has every thread call all of
// them, so that there are more hot places than are kept translated. Each function adds its number to its argument, 300 times.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { WORDS = 8, TURNS = 300 };

static long loops, rounds;
static uint32_t *code;

static uint32_t addi(unsigned rd, unsigned rs1, int immediate) {
  return (uint32_t)immediate << 20 | rs1 << 15 | rd << 7 | 0x13;
}

static void write_loop(long i) {
  enum { A0 = 10, A1 = 11, A2 = 12 };
  uint32_t *at = code + i * WORDS;
  uint32_t number = (uint32_t)i;
  *at++ = (number + 0x800) >> 12 << 12 | A2 << 7 | 0x37;              // lui a2, number
  *at++ = (number & 0xfff) << 20 | A2 << 15 | A2 << 7 | 0x1b;         // addiw a2, a2, number
  *at++ = addi(A1, 0, TURNS);                                         // li a1, TURNS
  *at++ = A2 << 20 | A0 << 15 | A0 << 7 | 0x33;                       // 1: add a0, a0, a2
  *at++ = addi(A1, A1, -1);                                           // addi a1, a1, -1
  *at++ = 0xfe000ce3 | A1 << 15 | 1 << 12;                            // bnez a1, 1b
  *at++ = 0x00008067;                                                 // ret
}

static void *call_all(void *argument) {
  long first = (long)argument, sum = 0;
  for (long round = 0; round < rounds; round++)
    for (long i = 0; i < loops; i++) {
      long at = (i + first) % loops;
      sum = ((long (*)(long))(code + at * WORDS))(sum);
    }
  return (void *)sum;
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  loops = atol(argv[1]);
  rounds = atol(argv[2]);
  long threads = atol(argv[3]);
  code = mmap(0, loops * WORDS * 4, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) return 1;
  for (long i = 0; i < loops; i++) write_loop(i);
  __builtin___clear_cache((char *)code, (char *)(code + loops * WORDS));
  pthread_t thread[64];
  for (long t = 0; t < threads; t++) pthread_create(&thread[t], 0, call_all, (void *)(t * loops / threads));
  long expected = loops * (loops - 1) / 2 * TURNS * rounds;
  for (long t = 0; t < threads; t++) {
    void *sum;
    pthread_join(thread[t], &sum);
    if ((long)sum != expected) {
      printf("%ld, not %ld\n", (long)sum, expected);
      return 1;
    }
  }
  printf("%ld loops: ok\n", loops);
  return 0;
}
