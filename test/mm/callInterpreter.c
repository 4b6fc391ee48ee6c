/*
 * Makes the memory calls that standard input lists, one a line, and prints what each gives, then the contents and the map of
 * what they worked on. Compiled for the host and for riscv64 it must print the same (test/mm/kernel.test.ts). Everything is
 * in units of pages, so that it does so for every page size.
 *
 * A line is the name of a call and up to six arguments: a decimal number, pN (N pages), aN (page N of the arena),
 * sN (the N-th mapping that the system has placed elsewhere), tN (N pages beyond the end of user addresses), bN (page N of
 * the heap), fN (descriptor N), vN (the vector of mincore); any of them may be followed by +M or -M bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE 0x20000000L
#define PAGES 48L
#define FILE_PAGES 6
#define STRAYS 8

static long page;
static sigjmp_buf resume;
static volatile int fault_signal, fault_code;
static volatile long fault_address;
static long strays[STRAYS];
static int stray_count;
static int fds[32];
static unsigned char vector[4096];
static long first_break;

static char output[1 << 20];
static int used;

/* stdio allocates, and so moves the break. */
static void say(const char *format, ...) {
  va_list list;
  va_start(list, format);
  used += vsnprintf(output + used, sizeof output - used, format, list);
  va_end(list);
}

static void flush(void) {
  for (int done = 0; done < used;) {
    int n = write(1, output + done, used - done);
    if (n <= 0) _exit(9);
    done += n;
  }
  used = 0;
}

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  fault_signal = number;
  fault_code = info->si_code;
  fault_address = (long)info->si_addr;
  siglongjmp(resume, 1);
}

static const char *error_name(int error) {
  switch (error) {
  case EINVAL: return "EINVAL";
  case ENOMEM: return "ENOMEM";
  case EACCES: return "EACCES";
  case EFAULT: return "EFAULT";
  case EEXIST: return "EEXIST";
  case EPERM: return "EPERM";
  case EBUSY: return "EBUSY";
  case EAGAIN: return "EAGAIN";
  case EBADF: return "EBADF";
  case ENODEV: return "ENODEV";
  case EOVERFLOW: return "EOVERFLOW";
  case EOPNOTSUPP: return "EOPNOTSUPP";
  case ENOSYS: return "ENOSYS";
  case ETXTBSY: return "ETXTBSY";
  case EFBIG: return "EFBIG";
  case ENXIO: return "ENXIO";
  case EIO: return "EIO";
  default: return "another error"; /* strerror allocates */
  }
}

static void say_result(long value) {
  if (value == -1) say(" = %s\n", error_name(errno));
  else say(" = %ld\n", value);
}

/* An address as the call gave it: where in the arena, or that it is elsewhere. */
static void say_address(long value, int keep) {
  if (value == -1) {
    say(" = %s\n", error_name(errno));
    return;
  }
  if (value >= BASE && value < BASE + 2 * PAGES * page) {
    say(" = page %ld", (value - BASE) / page);
    if ((value - BASE) % page) say(" + %ld", (value - BASE) % page);
    say("\n");
    return;
  }
  say(" = elsewhere\n");
  if (!keep) return;
  if (stray_count < STRAYS) strays[stray_count++] = value;
}

/* The byte at `at`, or minus the fault. */
static int touch(long at, int write, int value) {
  volatile unsigned char *byte = (unsigned char *)at;
  fault_signal = fault_code = 0;
  if (!sigsetjmp(resume, 1)) {
    if (write) *byte = value;
    else value = *byte;
    return value;
  }
  return -(fault_signal * 100 + fault_code);
}

/* The end of user addresses; qemu's is the host's. */
static long task_size(void) {
#ifdef __x86_64__
  return (1L << 47) - 4096;
#else
  return 1L << 36;
#endif
}

static long argument(char **rest) {
  char *text = *rest;
  while (*text == ' ') text++;
  if (!*text) return 0;
  char kind = *text;
  if (kind >= 'a' && kind <= 'z') text++;
  long number = (long)(*text == '-' ? strtoll(text, &text, 10) : (long long)strtoull(text, &text, 10));
  switch (kind) {
  case 'p': number *= page; break;
  case 'a': number = BASE + number * page; break;
  case 's': number = stray_count ? strays[number % stray_count] : BASE; break;
  case 'f': number = fds[number]; break;
  case 'v': number = (long)vector; break;
  case 't': number = task_size() + number * page; break;
  case 'b': number = first_break + number * page; break;
  }
  if (*text == '+' || *text == '-') number += strtoll(text, &text, 10);
  *rest = text;
  return number;
}

/* What every page of the arena shows: a byte, or the fault. */
static void say_contents(const char *who) {
  say("%s:", who);
  for (long i = 0; i < PAGES; i++) {
    int value = touch(BASE + i * page + 5, 0, 0);
    if (value == -1101) say(" .");
    else say(" %d", value);
  }
  say("\n");
}

static void fork_once(void) {
  flush();
  pid_t child = fork();
  if (child < 0) {
    say("fork = %s\n", error_name(errno));
    return;
  }
  if (child == 0) {
    say_contents("child");
    for (long i = 0; i < PAGES; i++) touch(BASE + i * page + 5, 1, 200 + i % 50);
    say_contents("child after writing");
    flush();
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR);
  say("child ended with %x\n", status);
}

static void run(int number, char *line) {
  char *name = line;
  char *rest = line + strcspn(line, " \n");
  if (*rest) *rest++ = 0;
  long a[6];
  say("%d %s", number, name);
  char *shown = rest;
  shown[strcspn(shown, "\n")] = 0;
  say(" %s", shown);
  for (int i = 0; i < 6; i++) a[i] = argument(&rest);
  errno = 0;
  long value;
  if (!strcmp(name, "mmap")) say_address(syscall(SYS_mmap, a[0], a[1], a[2], a[3], a[4], a[5]), 1);
  else if (!strcmp(name, "munmap")) say_result(syscall(SYS_munmap, a[0], a[1]));
  else if (!strcmp(name, "mprotect")) say_result(syscall(SYS_mprotect, a[0], a[1], a[2]));
  else if (!strcmp(name, "mremap")) {
    value = syscall(SYS_mremap, a[0], a[1], a[2], a[3], a[4]);
    /* Kernels differ in which of the two they find first. */
    if (value == -1 && (errno == EINVAL || errno == EFAULT)) {
      say(" = EINVAL or EFAULT\n");
    } else {
      say_address(value, value != a[0]);
      /* What was placed elsewhere has moved: something else may be placed there. */
      for (int i = 0; value != a[0] && value != -1 && i < stray_count; i++)
        if (strays[i] == a[0]) strays[i] = BASE + (PAGES - 1) * page;
    }
  } else if (!strcmp(name, "msync")) say_result(syscall(SYS_msync, a[0], a[1], a[2]));
  else if (!strcmp(name, "madvise")) say_result(syscall(SYS_madvise, a[0], a[1], a[2]));
  else if (!strcmp(name, "mincore")) say_result(syscall(SYS_mincore, a[0], a[1], a[2]));
  else if (!strcmp(name, "mlock")) say_result(syscall(SYS_mlock, a[0], a[1]));
  else if (!strcmp(name, "mlock2")) say_result(syscall(SYS_mlock2, a[0], a[1], a[2]));
  else if (!strcmp(name, "munlock")) say_result(syscall(SYS_munlock, a[0], a[1]));
  else if (!strcmp(name, "mlockall")) say_result(syscall(SYS_mlockall, a[0]));
  else if (!strcmp(name, "munlockall")) say_result(syscall(SYS_munlockall));
  else if (!strcmp(name, "brk")) {
    value = syscall(SYS_brk, a[0]);
    say(" = %ld pages + %ld\n", (value - first_break) / page, (value - first_break) % page);
  } else if (!strcmp(name, "ftruncate")) say_result(ftruncate(a[0], a[1]));
  else if (!strcmp(name, "pwrite")) {
    unsigned char byte = a[1];
    say_result(pwrite(a[0], &byte, 1, a[2]));
  } else if (!strcmp(name, "pread")) {
    unsigned char byte = 0;
    value = pread(a[0], &byte, 1, a[1]);
    say(" byte %d", byte);
    say_result(value);
  } else if (!strcmp(name, "seal")) say_result(fcntl(a[0], F_ADD_SEALS, (int)a[1]));
  else if (!strcmp(name, "read") || !strcmp(name, "write")) {
    value = touch(a[0], *name == 'w', a[1]);
    say(" = %ld", value);
    if (value < 0) say(" at %ld", fault_address - a[0]);
    say("\n");
  } else if (!strcmp(name, "fork")) {
    say("\n");
    fork_once();
  } else {
    say(": unknown\n");
    flush();
    _exit(8);
  }
}

/* What is mapped; neighbours that Linux keeps apart for reasons of its own are joined. */
static void say_map(void) {
  static char text[1 << 16];
  int fd = open("/proc/self/maps", O_RDONLY), length = 0, n;
  while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0) length += n;
  close(fd);
  text[length] = 0;
  char last_access[8] = "";
  unsigned long last_from = 0, last_to = 0, last_offset = 0;
  int last_named = 0;
  /* Of private anonymous memory only: what of a file is in memory is the kernel's own business. */
  static char resident[2 * PAGES + 1];
  memset(resident, '.', 2 * PAGES);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    char access[8];
    *end = 0;
    char *at = line;
    unsigned long from = strtoul(at, &at, 16), to = strtoul(at + 1, &at, 16);
    memcpy(access, at + 1, 4);
    access[4] = 0;
    unsigned long offset = strtoul(at + 6, &at, 16);
    if (from < BASE || to > BASE + 2 * PAGES * page) continue;
    int named = strchr(line, '/') != 0;
    if (!named) offset = 0;
    if (!named && access[3] == 'p') {
      long first = (from - BASE) / page, count = (to - from) / page;
      if (mincore((void *)from, to - from, vector)) say("mincore of the map: %s\n", error_name(errno));
      for (long i = 0; i < count; i++) resident[first + i] = '0' + (vector[i] & 1);
    }
    if (from == last_to && named == last_named && !strcmp(access, last_access) &&
        (!named || offset == last_offset + (last_to - last_from))) {
      last_to = to;
      continue;
    }
    if (last_to)
      say("map %ld-%ld %s %ld\n", (last_from - BASE) / page, (last_to - BASE) / page, last_access, last_offset / page);
    last_from = from, last_to = to, last_offset = offset, last_named = named;
    strcpy(last_access, access);
  }
  if (last_to)
    say("map %ld-%ld %s %ld\n", (last_from - BASE) / page, (last_to - BASE) / page, last_access, last_offset / page);
  say("resident: %s\n", resident);
}

static int file_of_pages(int fd) {
  static char bytes[65536];
  for (int i = 0; i < FILE_PAGES; i++) {
    memset(bytes, 'a' + i, page);
    if (write(fd, bytes, i == FILE_PAGES - 1 ? page / 2 : page) < 0) _exit(7);
  }
  return fd;
}

static void open_everything(void) {
  char name[] = "/tmp/sequenceXXXXXX";
  int fd = mkstemp(name), pair[2], n = 0;
  if (fd < 0) _exit(6);
  fds[n++] = file_of_pages(fd);                          /* 0: read and write */
  fds[n++] = open(name, O_RDONLY);                       /* 1 */
  fds[n++] = open(name, O_WRONLY);                       /* 2 */
  fds[n++] = open(name, O_PATH);                         /* 3 */
  unlink(name);
  fds[n++] = file_of_pages(memfd_create("four", MFD_ALLOW_SEALING)); /* 4 */
  fds[n++] = file_of_pages(memfd_create("five", MFD_ALLOW_SEALING)); /* 5: no writing */
  fcntl(fds[5], F_ADD_SEALS, F_SEAL_WRITE);
  fds[n++] = file_of_pages(memfd_create("six", MFD_ALLOW_SEALING)); /* 6: no writing from now on */
  fcntl(fds[6], F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
  fds[n++] = file_of_pages(memfd_create("seven", MFD_ALLOW_SEALING)); /* 7: of this size for good */
  fcntl(fds[7], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  if (pipe(pair)) _exit(5);
  fds[n++] = pair[0];                                    /* 8 */
  fds[n++] = pair[1];                                    /* 9 */
  fds[n++] = socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -1 : pair[0]; /* 10 */
  fds[n++] = open("/tmp", O_RDONLY | O_DIRECTORY);       /* 11 */
  fds[n++] = open("/dev/null", O_RDWR);                  /* 12 */
  fds[n++] = open("/dev/zero", O_RDWR);                  /* 13 */
  fds[n++] = open("/proc/self/maps", O_RDONLY);          /* 14 */
  fds[n++] = epoll_create1(0);                           /* 15 */
  fds[n++] = eventfd(0, 0);                              /* 16 */
  fds[n++] = -1;                                         /* 17 */
  fds[n++] = 999;                                        /* 18: not open */
  fds[n++] = open("/dev/zero", O_RDONLY);                /* 19 */
}

/* As an ordinary user: root may lock and place as it likes. */
static void drop_privileges(void) {
  struct rlimit limit = {8 << 20, 8 << 20};
  struct { unsigned version; int pid; } header = {0x20080522, 0};
  unsigned none[6] = {0};
  setrlimit(RLIMIT_MEMLOCK, &limit);
  syscall(SYS_capset, &header, none);
}

int main(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  static char text[1 << 20];
  int length = 0, n, number = 0;
  page = sysconf(_SC_PAGESIZE);
  while ((n = read(0, text + length, sizeof text - 1 - length)) > 0) length += n;
  open_everything();
  drop_privileges();
  first_break = (syscall(SYS_brk, 0) + 65535) & ~65535L;
  syscall(SYS_brk, first_break);
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
  for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    run(number++, line);
    if (used > (int)sizeof output / 2) flush();
  }
  say_map();
  say_contents("contents");
  for (int i = 0; i < stray_count; i++) say("stray %d: %d\n", i, touch(strays[i] + 5, 0, 0));
  for (int f = 0; f < 8; f += 4)
    for (int i = 0; i < FILE_PAGES; i++) {
      unsigned char byte;
      if (pread(fds[f], &byte, 1, i * page + 5) == 1) say("file %d page %d: %d\n", f, i, byte);
    }
  flush();
  return 0;
}
