/* The first instructions, printing, and the choice of an applet. */
#include "sys.h"
#include <stdarg.h>

asm(".section .note.tag,\"a\",@note\n"
    ".balign 4\n.4byte 8, 4, 1\n.asciz \"FreeBSD\"\n.4byte 1402000\n"
    ".text\n.globl _start\n_start:\n.option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
    "mv a1, sp\ncall begin\n");

_Atomic long checks, failures;

static size_t length(const char *s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

void *memset(void *to, int value, size_t n) {
  for (char *p = to; n--;) *p++ = value;
  return to;
}
void *memcpy(void *to, const void *from, size_t n) {
  const char *q = from;
  for (char *p = to; n--;) *p++ = *q++;
  return to;
}

void say(const char *format, ...) {
  char line[512];
  size_t n = 0;
  va_list args;
  va_start(args, format);
  for (; *format && n < sizeof line - 32; format++) {
    if (*format != '%') { line[n++] = *format; continue; }
    format++;
    if (*format == 's') {
      for (const char *s = va_arg(args, const char *); *s && n < sizeof line - 32;) line[n++] = *s++;
      continue;
    }
    long value = va_arg(args, long);
    unsigned long rest = value < 0 ? -value : value;
    char digits[24];
    int d = 0;
    do digits[d++] = '0' + rest % 10; while (rest /= 10);
    if (value < 0) line[n++] = '-';
    while (d) line[n++] = digits[--d];
  }
  va_end(args);
  CALL(SYS_write, 1, line, n);
}

void failed(const char *file, int line, const char *what, long is, long should) {
  failures++;
  say("FAIL %s:%d: %s is %d, should be %d\n", file, (long)line, what, is, should);
}

static const struct { const char *name; void (*run)(const char *); } applets[] = {
  {"memory", memory}, {"threads", threads}, {"signals", signals}, {"events", events}, {"files", files},
};

/* argc, argv, envp and the auxiliary vector begin where a0 points; the stack pointer is aligned. */
__attribute__((used)) void begin(long *at, long sp) {
  long argc = *at;
  char **argv = (char **)(at + 1);
  char **envp = argv + argc + 1;
  TRUE(sp % 16 == 0);
  long *auxv = (long *)envp;
  while (*auxv++) ;
  long page = 0, ncpus = 0, vector = 0;
  for (; auxv[0]; auxv += 2) {
    if (auxv[0] == 6) page = auxv[1];
    if (auxv[0] == 19) ncpus = auxv[1];
    if (auxv[0] == 29) vector = auxv[1];
  }
  CHECK(page, 4096);
  TRUE(ncpus > 0);
  CHECK(vector, (long)argv);
  if (argc > 1 && same(argv[1], "hello")) {
    for (long i = 2; i < argc; i++) say("%s\n", argv[i]);
    CALL(SYS_exit, argc);
  }
  for (size_t i = 0; argc > 2 && i < sizeof applets / sizeof *applets; i++) {
    if (!same(argv[1], applets[i].name)) continue;
    applets[i].run(argv[2]);
    if (!failures) say("%s: %d checks passed\n", argv[1], checks);
    CALL(SYS_exit, failures != 0);
  }
  say("usage: memory|threads|signals|events|files FOLDER\n");
  CALL(SYS_exit, 2 + (length(argv[0]) == 0));
}

// --- threads ---

typedef struct {
  void (*start)(void *);
  void *argument;
  char *stack_base;
  size_t stack_size;
  char *tls_base;
  size_t tls_size;
  long *child_tid, *parent_tid;
  int flags;
  void *rtp, *spare[3];
} thr_param;

static void run_thread(void *argument) {
  thread *t = argument;
  long self;
  CALL(SYS_thr_self, &self);
  CHECK(self, t->tid);
  t->run(t->argument);
  CALL(SYS_thr_exit, &t->ended);
}

void start(thread *t, void (*run)(void *), void *argument) {
  t->run = run;
  t->argument = argument;
  t->ended = 0;
  t->stack = map(0, 65536, RW, MAP_ANON | MAP_PRIVATE);
  TRUE(t->stack > 0);
  thr_param param = {
    .start = run_thread, .argument = t, .stack_base = (char *)t->stack, .stack_size = 65536, .tls_base = (char *)t->stack,
    .tls_size = 16, .child_tid = &t->tid,
  };
  CHECK(CALL(SYS_thr_new, &param, sizeof param), 0);
}

void join(thread *t) {
  enum { UMTX_OP_WAIT = 2 };
  while (atomic_load((_Atomic long *)&t->ended) == 0) {
    long result = CALL(SYS__umtx_op, &t->ended, UMTX_OP_WAIT, 0, 0, 0);
    TRUE(result == 0 || result == -EINTR);
  }
}

// --- faults and children ---

siginfo raised;
static void *resume_at[5];


static void on_fault(int signal, siginfo *info, ucontext *context) {
  raised = *info;
  raised.signo = signal;
  (void)context;
  sigset none = {{0}};
  CALL(SYS_sigprocmask, SIG_SETMASK, &none, 0);
  __builtin_longjmp(resume_at, 1);
}

int caught(void (*body)(void *), void *argument) {
  sigact action = {.handler = on_fault, .flags = SA_SIGINFO};
  CALL(SYS_sigaction, SIGSEGV, &action, 0);
  CALL(SYS_sigaction, SIGBUS, &action, 0);
  raised.signo = 0;
  if (__builtin_setjmp(resume_at) == 0) body(argument);
  return raised.signo;
}

int in_child(int (*body)(void *), void *argument) {
  long pid = CALL(SYS_fork);
  if (pid == 0) CALL(SYS_exit, body(argument));
  TRUE(pid > 0);
  int status = -1;
  CHECK(CALL(SYS_wait4, pid, &status, 0, 0), pid);
  return (status & 0x7f) ? -(status & 0x7f) : status >> 8;
}
