/* The start of a process, its arguments, its end, and its standard streams. */
#include "sys.h"

int helloMain(int argc, char **argv) {
  (void)argc, (void)argv;
  out("Hello from a RISC-V guest\n");
  return 0;
}

/* stdin to stdout. */
int catMain(int argc, char **argv) {
  (void)argc, (void)argv;
  char *buffer = allocate(65536);
  for (;;) {
    long n = sys(__NR_read, 0, buffer, 65536);
    if (n == -EINTR) continue;
    if (n < 0) return 1;
    if (n == 0) return 0;
    for (long done = 0; done < n;) {
      long wrote = sys(__NR_write, 1, buffer + done, n - done);
      if (wrote < 0) return 1;
      done += wrote;
    }
  }
}

int argsMain(int argc, char **argv) {
  for (int i = 0; i < argc; i++) out("argv[%d]=%s\n", i, argv[i]);
  for (char **e = environment; *e; e++) out("env %s\n", *e);
  return 0;
}

static u64 auxiliary(u64 type) {
  for (u64 *a = auxiliaryVector; a[0] != AT_NULL; a += 2)
    if (a[0] == type) return a[1];
  return 0;
}

extern char _start[];

/* What the kernel tells in the auxiliary vector, and how the stack is aligned. */
int auxvMain(int argc, char **argv) {
  CHECK(PAGE >= 4096 && (PAGE & (PAGE - 1)) == 0);
  EXPECT(auxiliary(AT_ENTRY), _start);
  EXPECT(auxiliary(AT_SECURE), 0);
  EXPECT(auxiliary(AT_CLKTCK), 100);
  CHECK(auxiliary(AT_PHDR) != 0);
  EXPECT(auxiliary(AT_PHENT), 56);
  CHECK(auxiliary(AT_PHNUM) > 0 && auxiliary(AT_PHNUM) < 20);
  EXPECT(auxiliary(AT_UID), sys(__NR_getuid));
  EXPECT(auxiliary(AT_EUID), sys(__NR_geteuid));
  EXPECT(auxiliary(AT_GID), sys(__NR_getgid));
  EXPECT(auxiliary(AT_EGID), sys(__NR_getegid));
#ifdef __riscv
  /* I, M, A, F, D, C */
  EXPECT(auxiliary(AT_HWCAP) & 0x112d, 0x112d);
#endif
  const u64 *random = (const u64 *)auxiliary(AT_RANDOM);
  CHECK(random != NULL);
  if (random) CHECK(random[0] != 0 || random[1] != 0);
  const char *file = (const char *)auxiliary(AT_EXECFN);
  CHECK(file != NULL);
  if (file) {
    long fd = sys(__NR_openat, AT_FDCWD, file, O_RDONLY);
    CHECK(fd >= 0);
    char magic[4];
    EXPECT(sys(__NR_read, fd, magic, 4), 4);
    CHECK(sameBytes(magic, "\177ELF", 4));
    sys(__NR_close, fd);
  }
  EXPECT((u64)(argv - 1) & 7, 0);
  CHECK(argc >= 1);
  EXPECT(argv[argc], 0);
  return report("auxv");
}

int statusMain(int argc, char **argv) { return argc > 1 ? (int)number(argv[1]) : 0; }

/* raise SIGNAL: the default action of a signal that the process sends to itself. */
int raiseMain(int argc, char **argv) {
  int signal = argc > 1 ? (int)number(argv[1]) : SIGTERM;
  long result = sys(__NR_tgkill, sys(__NR_getpid), sys(__NR_gettid), signal);
  out("survived signal %d: %ld\n", signal, result);
  return 0;
}

static void onInterrupt(int signal) {
  out("interrupted by signal %d\n", signal);
  quit(7);
}

/* spin [pause|loop] [catch]: says "ready" and goes on until a signal ends it. */
int spinMain(int argc, char **argv) {
  int pause = argc > 1 && same(argv[1], "pause");
  if (argc > 2 && same(argv[2], "catch")) handle(SIGINT, onInterrupt, 0, 0);
  out("ready\n");
  for (volatile u64 n = 0;; n++)
    if (pause) sleepNs(1000000000UL);
}

/* What the process is told about itself and the machine. */
int identityMain(int argc, char **argv) {
  long pid = sys(__NR_getpid);
  CHECK(pid > 0);
  EXPECT(sys(__NR_gettid), pid);
  CHECK(sys(__NR_getppid) >= 0);
  CHECK(sys(__NR_getsid, 0) >= 0);
  CHECK(sys(__NR_getpgid, 0) >= 0);
  struct new_utsname name;
  EXPECT(sys(__NR_uname, &name), 0);
  CHECK(same(name.sysname, "Linux"));
#ifdef __riscv
  CHECK(same(name.machine, "riscv64"));
#endif
  if (argc > 1) CHECK(same(name.release, argv[1]));
  CHECK(name.release[0] >= '4' && name.release[0] <= '9');
  u8 mask[128];
  memset(mask, 0, sizeof mask);
  long maskBytes = sys(__NR_sched_getaffinity, 0, sizeof mask, mask);
  CHECK(maskBytes >= 8 && maskBytes % 8 == 0);
  CHECK(mask[0] != 0);
  struct rlimit limit;
  EXPECT(sys(__NR_prlimit64, 0, RLIMIT_STACK, NULL, &limit), 0);
  CHECK(limit.rlim_cur >= 64 * 1024);
  EXPECT(sys(__NR_prlimit64, 0, 99, NULL, &limit), -EINVAL);
  EXPECT(sys(__NR_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit), 0);
  CHECK(limit.rlim_cur >= 16);
  u8 first[16], second[16];
  EXPECT(sys(__NR_getrandom, first, 16, 0), 16);
  EXPECT(sys(__NR_getrandom, second, 16, 0), 16);
  CHECK(!sameBytes(first, second, 16));
  EXPECT(sys(__NR_getrandom, first, 16, 0x100), -EINVAL);
  char directory[256];
  long n = sys(__NR_getcwd, directory, sizeof directory);
  CHECK(n >= 2 && directory[0] == '/' && directory[n - 1] == 0);
  EXPECT(sys(__NR_getcwd, directory, 1), -ERANGE);
  CHECK(sys(__NR_prctl, 15, "renamed") == 0);
  char taskName[16];
  memset(taskName, 1, 16);
  EXPECT(sys(__NR_prctl, 16, taskName), 0);
  CHECK(same(taskName, "renamed"));
  struct __kernel_timespec t, u;
  EXPECT(sys(__NR_clock_gettime, 0, &t), 0);
  CHECK(t.tv_sec > 1600000000 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
  EXPECT(sys(__NR_clock_gettime, 1, &t), 0);
  EXPECT(sys(__NR_clock_gettime, 1, &u), 0);
  CHECK(u.tv_sec > t.tv_sec || (u.tv_sec == t.tv_sec && u.tv_nsec >= t.tv_nsec));
  EXPECT(sys(__NR_clock_gettime, 77, &t), -EINVAL);
  EXPECT(sys(__NR_clock_getres, 1, &t), 0);
  EXPECT(t.tv_sec, 0);
  return report("identity");
}

/* A system call that no kernel has. */
int unknownMain(int argc, char **argv) {
  (void)argc, (void)argv;
  EXPECT(sys(1023), -ENOSYS);
  EXPECT(sys(100000), -ENOSYS);
  EXPECT(sys(-1), -ENOSYS);
  EXPECT(sys(0x7fffffffffffffffL), -ENOSYS);
  return report("unknown");
}

/* Reads stdin by bytes and says what it was; writes to both outputs; the kinds of the three descriptors. */
int stdioMain(int argc, char **argv) {
  (void)argc, (void)argv;
  u64 bytes = 0, sum = 0;
  for (;;) {
    u8 buffer[1000];
    long n = sys(__NR_read, 0, buffer, sizeof buffer);
    if (n < 0) {
      out("read: %ld\n", n);
      return 1;
    }
    if (n == 0) break;
    for (long i = 0; i < n; i++) sum = sum * 31 + buffer[i];
    bytes += n;
  }
  out("stdin: %lu bytes, checksum %lx\n", bytes, sum);
  sys(__NR_write, 2, "to stderr\n", 10);
  struct iovec parts[3] = {{"one ", 4}, {"", 0}, {"two\n", 4}};
  long n = sys(__NR_writev, 1, parts, 3);
  out("writev: %ld\n", n);
  out("read after end: %ld\n", sys(__NR_read, 0, &bytes, 1));
  out("descriptor 3: %ld\n", sys(__NR_fcntl, 3, F_GETFD));
  return 0;
}

/* Goes N frames deep into the stack and back. */
static noinline u64 descend(u64 n) {
  volatile u64 frame[12];
  frame[0] = n;
  frame[11] = n ? descend(n - 1) : 0;
  return frame[0] + frame[11];
}

int recursionMain(int argc, char **argv) {
  u64 depth = argc > 1 ? number(argv[1]) : 50000;
  EXPECT(descend(depth), depth * (depth + 1) / 2);
  return report("recursion");
}
