/* Start-up, output and checks. */
#include "sys.h"

#include <stdarg.h>

char **environment;
u64 *auxiliaryVector;
u64 pageSize = 4096;
int main(int argc, char **argv);

#ifdef __riscv
__asm__(".section .text.start\n"
        ".globl _start\n"
        "_start:\n"
        ".option push\n"
        ".option norelax\n"
        "  la gp, __global_pointer$\n"
        ".option pop\n"
        "  mv a0, sp\n"
        "  andi sp, sp, -16\n"
        "  call begin\n"
        ".text\n");
#else
__asm__(".section .text.start\n"
        ".globl _start\n"
        "_start:\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call begin\n"
        "signalReturn:\n"
        "  mov $15, %eax\n"
        "  syscall\n"
        ".text\n");
extern void signalReturn(void);
#endif

__attribute__((used, noreturn)) void begin(long *stack) {
  int argc = (int)stack[0];
  char **argv = (char **)(stack + 1);
  environment = argv + argc + 1;
  char **end = environment;
  while (*end) end++;
  auxiliaryVector = (u64 *)(end + 1);
  for (u64 *a = auxiliaryVector; a[0] != AT_NULL; a += 2)
    if (a[0] == AT_PAGESZ) pageSize = a[1];
  quit(main(argc, argv));
}

void quit(int status) {
  for (;;) sys(__NR_exit_group, status);
}

/* Kept from becoming calls of themselves. */
#define plain __attribute__((optimize("no-tree-loop-distribute-patterns")))

plain void *memcpy(void *restrict to, const void *restrict from, unsigned long n) {
  u8 *t = to;
  const u8 *f = from;
  if ((((u64)t | (u64)f) & 7) == 0)
    for (; n >= 8; n -= 8, t += 8, f += 8) *(u64 *)t = *(const u64 *)f;
  while (n--) *t++ = *f++;
  return to;
}

plain void *memmove(void *to, const void *from, unsigned long n) {
  u8 *t = to;
  const u8 *f = from;
  if (t <= f) return memcpy(to, from, n);
  while (n--) t[n] = f[n];
  return to;
}

plain void *memset(void *to, int value, unsigned long n) {
  u8 *t = to;
  u64 word = (u8)value * 0x0101010101010101UL;
  while (n && ((u64)t & 7)) *t++ = (u8)value, n--;
  for (; n >= 8; n -= 8, t += 8) *(u64 *)t = word;
  while (n--) *t++ = (u8)value;
  return to;
}

plain int memcmp(const void *a, const void *b, unsigned long n) {
  const u8 *x = a, *y = b;
  for (; n; n--, x++, y++)
    if (*x != *y) return *x - *y;
  return 0;
}

u64 length(const char *text) {
  u64 n = 0;
  while (text[n]) n++;
  return n;
}

int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

int sameBytes(const void *a, const void *b, u64 n) { return memcmp(a, b, n) == 0; }

long number(const char *text) {
  long sign = 1, value = 0;
  if (*text == '-') sign = -1, text++;
  int base = 10;
  if (text[0] == '0' && text[1] == 'x') base = 16, text += 2;
  for (; *text; text++) {
    int digit = *text >= 'a' ? *text - 'a' + 10 : *text - '0';
    value = value * base + digit;
  }
  return sign * value;
}

void out(const char *format, ...) {
  char buffer[1024];
  u64 n = 0;
  va_list arguments;
  va_start(arguments, format);
  for (; *format && n < 1000; format++) {
    if (*format != '%') {
      buffer[n++] = *format;
      continue;
    }
    int wide = 0;
    format++;
    if (*format == 'l') wide = 1, format++;
    if (*format == '%') {
      buffer[n++] = '%';
    } else if (*format == 'c') {
      buffer[n++] = (char)va_arg(arguments, int);
    } else if (*format == 's') {
      const char *text = va_arg(arguments, const char *);
      while (*text && n < 1000) buffer[n++] = *text++;
    } else {
      u64 value;
      int base = *format == 'x' ? 16 : 10;
      if (*format == 'd') {
        long signedValue = wide ? va_arg(arguments, long) : va_arg(arguments, int);
        if (signedValue < 0) buffer[n++] = '-';
        value = signedValue < 0 ? -(u64)signedValue : (u64)signedValue;
      } else {
        value = wide ? va_arg(arguments, u64) : va_arg(arguments, u32);
      }
      char digits[24];
      int d = 0;
      do digits[d++] = "0123456789abcdef"[value % base];
      while (value /= base);
      while (d) buffer[n++] = digits[--d];
    }
  }
  va_end(arguments);
  u64 done = 0;
  while (done < n) {
    long wrote = sys(__NR_write, 1, buffer + done, n - done);
    if (wrote == -EINTR) continue;
    if (wrote <= 0) quit(125);
    done += wrote;
  }
}

static int checks, failures;

void check(int good, const char *what, int line) {
  __atomic_fetch_add(&checks, 1, __ATOMIC_RELAXED);
  if (good) return;
  __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
  out("FAIL line %d: %s\n", line, what);
}

void expect(long seen, long wanted, const char *what, int line) {
  __atomic_fetch_add(&checks, 1, __ATOMIC_RELAXED);
  if (seen == wanted) return;
  __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
  out("FAIL line %d: %s is %ld (0x%lx), not %ld (0x%lx)\n", line, what, seen, seen, wanted, wanted);
}

int report(const char *applet) {
  if (failures) {
    out("%s: %d of %d checks FAILED\n", applet, failures, checks);
    return 1;
  }
  out("%s: %d checks passed\n", applet, checks);
  return 0;
}

void *allocate(u64 bytes) {
  long address = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (isError(address)) {
    out("cannot allocate %lu bytes: %ld\n", bytes, address);
    quit(124);
  }
  return (void *)address;
}

long handle(int signal, void *handler, unsigned long flags, unsigned long mask) {
  struct action action = {.handler = handler, .flags = flags | SA_SIGINFO, .mask = mask};
#ifndef __riscv
  action.flags |= 0x04000000; /* SA_RESTORER */
  action.restorer = (void *)signalReturn;
#endif
  if (handler == SIG_DFL || handler == SIG_IGN) action.flags &= ~(unsigned long)SA_SIGINFO;
  return sys(__NR_rt_sigaction, signal, &action, 0, 8);
}

u64 now(void) {
  struct __kernel_timespec t;
  sys(__NR_clock_gettime, 1, &t);
  return t.tv_sec * 1000000000UL + t.tv_nsec;
}

void sleepNs(u64 nanoseconds) {
  struct __kernel_timespec t = {.tv_sec = nanoseconds / 1000000000UL, .tv_nsec = nanoseconds % 1000000000UL};
  while (sys(__NR_nanosleep, &t, &t) == -EINTR) {}
}
