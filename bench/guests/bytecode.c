/* An interpreter of a small stack machine, with a switch and with a table of functions. bytecode [ITERATIONS] */
#include "bench.h"

enum { PUSH, ADD, SUB, MUL, XOR, SHIFT, DUP, SWAP, LOAD, STORE, JNZ, LESS, HALT };

typedef struct {
  const int *code;
  long pc, sp, steps;
  int64_t stack[32], local[8];
} Machine;

/* local0 = count; local1 = hash; while (local0) { hash = (hash * 31 + local0) ^ (hash >> 7); local0--; } */
static const int program[] = {
    LOAD, 1, PUSH, 31, MUL, LOAD, 0, ADD, LOAD, 1, SHIFT, 7, XOR, STORE, 1, LOAD, 0, PUSH, 1, SUB, DUP, STORE, 0, JNZ, 0, HALT,
};

static int64_t __attribute__((noinline)) bySwitch(Machine *m) {
  for (;;) {
    m->steps++;
    int64_t *s = &m->stack[m->sp], t;
    switch (m->code[m->pc++]) {
      case PUSH: s[0] = m->code[m->pc++], m->sp++; break;
      case ADD: s[-2] += s[-1], m->sp--; break;
      case SUB: s[-2] -= s[-1], m->sp--; break;
      case MUL: s[-2] = (int64_t)((uint64_t)s[-2] * (uint64_t)s[-1]), m->sp--; break;
      case XOR: s[-2] ^= s[-1], m->sp--; break;
      case SHIFT: s[-1] = (int64_t)((uint64_t)s[-1] >> m->code[m->pc++]); break;
      case DUP: s[0] = s[-1], m->sp++; break;
      case SWAP: t = s[-1], s[-1] = s[-2], s[-2] = t; break;
      case LOAD: s[0] = m->local[m->code[m->pc++]], m->sp++; break;
      case STORE: m->local[m->code[m->pc++]] = s[-1], m->sp--; break;
      case JNZ: m->sp--, m->pc = s[-1] ? m->code[m->pc] : m->pc + 1; break;
      case LESS: s[-2] = s[-2] < s[-1], m->sp--; break;
      case HALT: return m->local[1];
    }
  }
}

#define OP(name, body) \
  static int op##name(Machine *m) { \
    int64_t *s = &m->stack[m->sp]; \
    (void)s; \
    body; \
    return 1; \
  }
OP(Push, s[0] = m->code[m->pc++]; m->sp++)
OP(Add, s[-2] += s[-1]; m->sp--)
OP(Sub, s[-2] -= s[-1]; m->sp--)
OP(Mul, s[-2] = (int64_t)((uint64_t)s[-2] * (uint64_t)s[-1]); m->sp--)
OP(Xor, s[-2] ^= s[-1]; m->sp--)
OP(Shift, s[-1] = (int64_t)((uint64_t)s[-1] >> m->code[m->pc++]))
OP(Dup, s[0] = s[-1]; m->sp++)
OP(Swap, int64_t t = s[-1]; s[-1] = s[-2]; s[-2] = t)
OP(Load, s[0] = m->local[m->code[m->pc++]]; m->sp++)
OP(Store, m->local[m->code[m->pc++]] = s[-1]; m->sp--)
OP(Jnz, m->sp--; m->pc = s[-1] ? m->code[m->pc] : m->pc + 1)
OP(Less, s[-2] = s[-2] < s[-1]; m->sp--)
static int opHalt(Machine *m) { return m->steps < 0; }

static int (*const operations[])(Machine *) = {opPush, opAdd, opSub,   opMul, opXor,  opShift, opDup,
                                               opSwap, opLoad, opStore, opJnz, opLess, opHalt};

static int64_t __attribute__((noinline)) byTable(Machine *m) {
  do m->steps++;
  while (operations[m->code[m->pc++]](m));
  return m->local[1];
}

int main(int argc, char **argv) {
  long n = sizeArgument(argc, argv, 1, 300000);
  Machine a = {.code = program, .local = {n, 1}}, b = a;
  begin();
  int64_t x = bySwitch(&a), y = byTable(&b);
  end();
  printf("bytecode %016llx %016llx, %ld steps\n", (unsigned long long)x, (unsigned long long)y, a.steps + b.steps);
  return x != y;
}
