/* Records, strings, calls and branches in the mix of old systems programs, in code of our own. dhrystonelike [ROUNDS] */
#include <string.h>

#include "bench.h"

typedef enum { ONE, TWO, THREE, FOUR } Kind;

typedef struct Record {
  struct Record *link;
  Kind kind, other;
  int number;
  char text[31];
} Record;

static Record *first, *second;
static int global, array1[50], array2[50][50];
static char letter1, letter2;
static int flag;

static Kind __attribute__((noinline)) classify(char a, char b) {
  char copy = a;
  if (copy != b) return ONE;
  letter1 = copy;
  return TWO;
}

static int __attribute__((noinline)) compareTexts(const char *a, const char *b) {
  int i = 2;
  char c = 'A';
  while (i <= 2)
    if (classify(a[i], b[i + 1]) == ONE) {
      c = 'A';
      i++;
    }
  if (c >= 'W' && c < 'Z') i = 7;
  if (strcmp(a, b) > 0) {
    global = i + 7;
    return 1;
  }
  return 0;
}

static Kind __attribute__((noinline)) next(Kind k) {
  switch (k) {
    case ONE: return global > 100 ? ONE : FOUR;
    case TWO: return global > 100 ? ONE : FOUR;
    case THREE: return TWO;
    default: return THREE;
  }
}

static void __attribute__((noinline)) sum(int a, int b, int *result) { *result = a + 2 + b; }

static void __attribute__((noinline)) fillArrays(int *a, int b[50][50], int i, int value) {
  int at = i + 5;
  a[at] = value;
  a[at + 1] = a[at];
  a[at + 30] = at;
  for (int k = at; k <= at + 1; k++) b[at][k] = at;
  b[at][at - 1]++;
  b[at + 20][at] = a[at];
  global = 5;
}

static void __attribute__((noinline)) follow(Record *r) {
  Record *n = r->link;
  *n = *first;
  r->number = 5;
  n->number = r->number;
  n->link = r->link;
  if (n->kind == ONE) {
    n->number = 6;
    n->other = next(r->other);
    n->link = first->link;
    sum(n->number, 10, &n->number);
  } else {
    *r = *n;
  }
}

int main(int argc, char **argv) {
  long rounds = sizeArgument(argc, argv, 1, 200000);
  static Record a, b;
  first = &a;
  second = &b;
  first->link = second;
  first->kind = ONE;
  first->other = THREE;
  first->number = 40;
  strcpy(first->text, "A STRING OF THIRTY CHARACTERS.");
  char text1[31], text2[31];
  strcpy(text1, "THE PROGRAM'S STRING, THE 1ST.");
  uint64_t hash = 0;
  begin();
  for (long r = 0; r < rounds; r++) {
    int x = 2, y = 3, z = 0;
    flag = 1;
    letter1 = 'A';
    letter2 = 'B';
    strcpy(text2, "THE PROGRAM'S STRING, THE 2ND.");
    Kind k = TWO;
    flag = !compareTexts(text1, text2);
    while (x < y) {
      z = 5 * x - y;
      sum(x, y, &z);
      x++;
    }
    fillArrays(array1, array2, x, z);
    follow(first);
    for (char c = 'A'; c <= letter2; c++)
      if (k == classify(c, 'C')) k = ONE;
    y = y * x;
    x = y / (z ? z : 1);
    y = 7 * (y - z) - x;
    hash = mixHash(hash, (uint64_t)(x + y + z + flag + (int)k + array1[8] + first->number));
  }
  end();
  printf("dhrystonelike %016llx\n", (unsigned long long)hash);
}
