/*
 * What the probes have in common. A probe prints one line for each thing it tries; compiled for the host and for riscv64
 * it must print the same (test/mm/probes.test.ts). It runs without privileges: what root may do is not compared.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED_ANON (MAP_SHARED | MAP_ANONYMOUS)

static sigjmp_buf probe_resume;
static volatile int probe_signal, probe_code, probe_armed;

static void probe_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  if (!probe_armed) {
    printf("signal %d, code %d, at %p\n", number, info->si_code, info->si_addr);
    fflush(stdout);
    _exit(1);
  }
  probe_signal = number;
  probe_code = info->si_code;
  siglongjmp(probe_resume, 1);
}

/* The signal that an access ends in, as text: "ok", "SIGSEGV 1", ... A read that succeeds says what it has found. */
static const char *touch(volatile void *at, int write) {
  static char text[32];
  unsigned char value = 0;
  probe_signal = 0;
  probe_armed = 1;
  if (!sigsetjmp(probe_resume, 1)) {
    if (write) *(volatile unsigned char *)at = (unsigned char)write;
    else value = *(volatile unsigned char *)at;
  }
  probe_armed = 0;
  if (probe_signal == 0) snprintf(text, sizeof text, write ? "ok" : "%d", value);
  else snprintf(text, sizeof text, "%s %d", probe_signal == SIGBUS ? "SIGBUS" : "SIGSEGV", probe_code);
  return text;
}
#define LOAD(at) touch(at, 0)
#define STORE(at, value) touch(at, value)

static const char *error_name(int number) {
  static char text[16];
  switch (number) {
  case EPERM: return "EPERM";
  case ENOENT: return "ENOENT";
  case ESRCH: return "ESRCH";
  case EINTR: return "EINTR";
  case EIO: return "EIO";
  case EBADF: return "EBADF";
  case EAGAIN: return "EAGAIN";
  case ENOMEM: return "ENOMEM";
  case EACCES: return "EACCES";
  case EFAULT: return "EFAULT";
  case EBUSY: return "EBUSY";
  case EEXIST: return "EEXIST";
  case ENODEV: return "ENODEV";
  case EINVAL: return "EINVAL";
  case ENOTTY: return "ENOTTY";
  case ETXTBSY: return "ETXTBSY";
  case EFBIG: return "EFBIG";
  case ENOSPC: return "ENOSPC";
  case ENOSYS: return "ENOSYS";
  case EOVERFLOW: return "EOVERFLOW";
  case EOPNOTSUPP: return "EOPNOTSUPP";
  case EIDRM: return "EIDRM";
  case EISDIR: return "EISDIR";
  }
  snprintf(text, sizeof text, "errno %d", number);
  return text;
}

/* "ok" or the error's name: for calls whose result is an address or 0. */
static const char *outcome(long result) { return result == -1 ? error_name(errno) : "ok"; }
#define OUTCOME(call) outcome((long)(call))

/* The number itself or the error's name: for calls that count. */
static const char *number(long result) {
  static char text[4][24];
  static int next;
  if (result == -1) return error_name(errno);
  char *at = text[next++ & 3];
  snprintf(at, 24, "%ld", result);
  return at;
}

/* Where an address lies relative to another, in pages. */
static const char *place(void *result, void *base) {
  static char text[40];
  if (result == MAP_FAILED) return error_name(errno);
  snprintf(text, sizeof text, "%ld pages on", ((char *)result - (char *)base) / PAGE);
  return text;
}

static void say(const char *what, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("%s: ", what);
  vprintf(format, arguments);
  printf("\n");
  fflush(stdout);
  va_end(arguments);
}
#define SAY(what, result) say(what, "%s", result)

static void *map(long pages, int prot, int flags) { return mmap(NULL, pages * PAGE, prot, flags, -1, 0); }

/* A new file of `size` bytes, each page filled with its number + 1. The name is removed unless `name` is given. */
static int new_file(const char *name, long size) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", getenv("SCRATCH") ? getenv("SCRATCH") : "/tmp", name ? name : "probe");
  unlink(path);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) {
    perror(path);
    exit(1);
  }
  for (long at = 0; at < size; at += PAGE) {
    char page[PAGE];
    memset(page, (int)(at / PAGE + 1), PAGE);
    if (write(fd, page, size - at < PAGE ? size - at : PAGE) < 0) exit(1);
  }
  if (!name) unlink(path);
  return fd;
}

/* Runs `body` in a child and says how that ended, when it did not end well. */
static void in_child(void (*body)(void)) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    body();
    fflush(stdout);
    _exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) printf("child ended by signal %d\n", WTERMSIG(status));
  else if (WEXITSTATUS(status) != 0) printf("child ended with %d\n", WEXITSTATUS(status));
  fflush(stdout);
}

/* Lines of /proc/PID/maps or smaps of [start, start+pages), with addresses relative to start. */
static void __attribute__((unused)) show_maps(void *start, long pages) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (maps && fgets(line, sizeof line, maps)) {
    unsigned long from, to, offset;
    char permissions[8], device[16], name[256] = "";
    unsigned long inode;
    sscanf(line, "%lx-%lx %7s %lx %15s %lu %255[^\n]", &from, &to, permissions, &offset, device, &inode, name);
    long low = (long)start, high = low + pages * PAGE;
    if ((long)to <= low || (long)from >= high) continue;
    printf("  %ld-%ld %s %lx\n", ((long)from - low) / PAGE, ((long)to - low) / PAGE, permissions, offset);
  }
  if (maps) fclose(maps);
}

static void limit(int which, long value) {
  struct rlimit now;
  getrlimit(which, &now);
  now.rlim_cur = value;
  if (setrlimit(which, &now) < 0) perror("setrlimit");
}

/* Reads a file of /proc whole, without malloc: the heap is a thing to look at. */
static char *contents(const char *path) {
  static char text[1 << 17];
  int fd = open(path, O_RDONLY);
  size_t length = 0;
  ssize_t more = 0;
  while (fd >= 0 && (more = read(fd, text + length, sizeof text - 1 - length)) > 0) length += more;
  if (fd >= 0) close(fd);
  text[length] = 0;
  return text;
}

/* A figure of /proc/self/status in pages. */
static long status_pages(const char *name) {
  char *line = strstr(contents("/proc/self/status"), name);
  return line ? atol(line + strlen(name) + 1) / 4 : -1;
}

static void begin(void) {
  static char stack[65536], output[BUFSIZ];
  setvbuf(stdout, output, _IOFBF, sizeof output);
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = probe_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaltstack(&alternate, NULL);
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  if (geteuid() == 0) {
    if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0) {
      perror("dropping privileges");
      exit(1);
    }
  }
  /* The process would not be dumpable now, and its /proc files root's. */
  syscall(SYS_prctl, 4, 1, 0, 0, 0);
}
