/* The three kinds of work that CoreMark made popular, in code of our own: a linked list, matrices, a state machine, with a CRC
   over what they find. coremarklike [ROUNDS] */
#include "bench.h"

static uint16_t crc16(uint16_t crc, uint16_t value) {
  for (int i = 0; i < 16; i++) {
    int bit = (crc ^ value) & 1;
    crc >>= 1;
    value >>= 1;
    if (bit) crc ^= 0xa001;
  }
  return crc;
}

typedef struct Node {
  struct Node *next;
  int16_t key, data;
} Node;

static Node nodes[400];

static Node *buildList(int seed) {
  for (int i = 0; i < 400; i++) {
    nodes[i].next = i + 1 < 400 ? &nodes[(i * 7 + 7) % 400 ? (i + 1) : 0] : NULL;
    nodes[i].key = (int16_t)((i * 7919 + seed) % 1009);
    nodes[i].data = (int16_t)(i ^ seed);
  }
  return nodes;
}

static Node *reverse(Node *list) {
  Node *back = NULL;
  while (list) {
    Node *next = list->next;
    list->next = back;
    back = list;
    list = next;
  }
  return back;
}

static Node *mergeSort(Node *list, int (*compare)(const Node *, const Node *)) {
  if (!list || !list->next) return list;
  Node *slow = list, *fast = list->next;
  while (fast && fast->next) slow = slow->next, fast = fast->next->next;
  Node *second = slow->next;
  slow->next = NULL;
  Node *a = mergeSort(list, compare), *b = mergeSort(second, compare), head, *tail = &head;
  while (a && b) {
    Node **from = compare(a, b) <= 0 ? &a : &b;
    tail = tail->next = *from;
    *from = (*from)->next;
  }
  tail->next = a ? a : b;
  return head.next;
}

static int byKey(const Node *a, const Node *b) { return a->key - b->key; }
static int byData(const Node *a, const Node *b) { return a->data - b->data; }

#define N 24
static int16_t left[N][N], right[N][N];
static int32_t product[N][N];

static uint16_t matrices(int seed, uint16_t crc) {
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) left[i][k] = (int16_t)(i * seed + k), right[i][k] = (int16_t)(k * seed - i);
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) {
      int32_t sum = 0;
      for (int j = 0; j < N; j++) sum += left[i][j] * right[j][k];
      product[i][k] = sum;
    }
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) {
      int32_t bits = product[i][k] >> 2 & 0x3fff;
      crc = crc16(crc, (uint16_t)(bits * ((product[i][k] >> 5) & 0x7f)));
    }
  return crc;
}

enum State { START, SIGN, DIGITS, POINT, FRACTION, EXPONENT, EXPONENT_DIGITS, WORD, BAD, STATES };
static long visits[STATES];

static void scan(const char *text) {
  enum State s = START;
  for (; *text; text++) {
    char c = *text;
    int digit = c >= '0' && c <= '9';
    if (c == ',' || c == ' ') {
      s = START;
    } else {
      switch (s) {
        case START: s = digit ? DIGITS : c == '-' || c == '+' ? SIGN : c == '.' ? POINT : c >= 'a' && c <= 'z' ? WORD : BAD; break;
        case SIGN: s = digit ? DIGITS : c == '.' ? POINT : BAD; break;
        case DIGITS: s = digit ? DIGITS : c == '.' ? FRACTION : c == 'e' ? EXPONENT : BAD; break;
        case POINT: s = digit ? FRACTION : BAD; break;
        case FRACTION: s = digit ? FRACTION : c == 'e' ? EXPONENT : BAD; break;
        case EXPONENT: s = digit || c == '-' ? EXPONENT_DIGITS : BAD; break;
        case EXPONENT_DIGITS: s = digit ? EXPONENT_DIGITS : BAD; break;
        case WORD: s = c >= 'a' && c <= 'z' ? WORD : BAD; break;
        default: break;
      }
    }
    visits[s]++;
  }
}

static const char text[] =
    "12,-5,3.14,1e10,.5,+7,abc,1.2.3,5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e3,-.123e-2,-87e+832,+0.6e-12,"
    "T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^ word other words 42 +-";

int main(int argc, char **argv) {
  long rounds = sizeArgument(argc, argv, 1, 300);
  uint16_t crc = 0;
  begin();
  for (long r = 0; r < rounds; r++) {
    Node *list = mergeSort(reverse(buildList((int)(r % 97))), r & 1 ? byKey : byData);
    for (Node *n = list; n; n = n->next)
      if (n->key & 4) crc = crc16(crc, (uint16_t)n->data);
    list = mergeSort(list, byData);
    crc = crc16(crc, (uint16_t)list->key);
    crc = matrices((int)(r % 31) + 1, crc);
    for (int i = 0; i < 8; i++) scan(text);
    for (int s = 0; s < STATES; s++) crc = crc16(crc, (uint16_t)visits[s]);
  }
  end();
  printf("coremarklike %04x\n", crc);
}
