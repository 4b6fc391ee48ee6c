/* Threads by raw clone, and mutexes, conditions and barriers on futexes. */
#include "sys.h"

#define STACK (64 * 1024UL)
#define THREAD_FLAGS                                                                                            \
  (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |            \
   CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

long rawClone(u64 flags, void *stack, volatile i32 *parentTid, void *tls, volatile i32 *childTid);

/* The child finds its struct thread at the top of its stack. */
#ifdef __riscv
__asm__(".text\n"
        "rawClone:\n"
        "  li a7, 220\n"
        "  ecall\n"
        "  beqz a0, 1f\n"
        "  ret\n"
        "1:\n"
        "  ld a0, 0(sp)\n"
        "  call threadMain\n");
#else
__asm__(".text\n"
        "rawClone:\n" /* rdi flags, rsi stack, rdx parentTid, rcx tls, r8 childTid */
        "  mov %r8, %r10\n"
        "  mov %rcx, %r8\n"
        "  mov $56, %eax\n"
        "  syscall\n"
        "  test %eax, %eax\n"
        "  jz 1f\n"
        "  ret\n"
        "1:\n"
        "  mov (%rsp), %rdi\n"
        "  call threadMain\n");
#endif

__attribute__((used, noreturn)) void threadMain(struct thread *t) {
  t->result = t->run(t->argument);
  for (;;) sys(__NR_exit, 0);
}

long threadStartOn(struct thread *t, void *(*run)(void *), void *argument, void *stack, u64 bytes) {
  t->stack = NULL;
  t->run = run;
  t->argument = argument;
  t->result = NULL;
  t->tid = 0;
  u64 *top = (u64 *)((u8 *)stack + bytes - 64);
  *top = (u64)t;
  long tid = rawClone(THREAD_FLAGS, top, &t->tid, &t->local, &t->tid);
  return tid < 0 ? tid : 0;
}

long threadStart(struct thread *t, void *(*run)(void *), void *argument) {
  void *stack = allocate(STACK);
  long result = threadStartOn(t, run, argument, stack, STACK);
  if (result < 0) sys(__NR_munmap, stack, STACK);
  else t->stack = stack;
  return result;
}

void *threadJoin(struct thread *t) {
  i32 tid;
  while ((tid = __atomic_load_n(&t->tid, __ATOMIC_ACQUIRE)) != 0) futex(&t->tid, FUTEX_WAIT, tid, NULL, NULL, 0);
  if (t->stack) sys(__NR_munmap, t->stack, STACK);
  return t->result;
}

long futex(volatile i32 *word, int op, long value, const void *timeout, volatile i32 *word2, long value3) {
  return sys(__NR_futex, word, op, value, timeout, word2, value3);
}

void lock(mutex *m) {
  i32 expected = 0;
  if (__atomic_compare_exchange_n(&m->word, &expected, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(&m->word, 2, __ATOMIC_ACQUIRE) != 0) futex(&m->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void unlock(mutex *m) {
  if (__atomic_exchange_n(&m->word, 0, __ATOMIC_RELEASE) == 2) futex(&m->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void conditionWait(condition *c, mutex *m) {
  i32 sequence = __atomic_load_n(&c->sequence, __ATOMIC_ACQUIRE);
  unlock(m);
  futex(&c->sequence, FUTEX_WAIT_PRIVATE, sequence, NULL, NULL, 0);
  while (__atomic_exchange_n(&m->word, 2, __ATOMIC_ACQUIRE) != 0) futex(&m->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void conditionSignal(condition *c) {
  __atomic_fetch_add(&c->sequence, 1, __ATOMIC_RELEASE);
  futex(&c->sequence, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void conditionBroadcast(condition *c) {
  __atomic_fetch_add(&c->sequence, 1, __ATOMIC_RELEASE);
  futex(&c->sequence, FUTEX_WAKE_PRIVATE, 0x7fffffff, NULL, NULL, 0);
}

void barrierWait(barrier *b) {
  lock(&b->m);
  i32 round = b->round;
  if (++b->arrived == b->size) {
    b->arrived = 0;
    b->round++;
    conditionBroadcast(&b->c);
  } else {
    while (b->round == round) conditionWait(&b->c, &b->m);
  }
  unlock(&b->m);
}
