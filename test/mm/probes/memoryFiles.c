/* memfd_create and its seals, with mappings of every kind. */
#include "probe.h"

#define SEAL_EXEC 0x20
#define NOEXEC_SEAL 8
#define MFD_EXECUTABLE 0x10

static int new_memory_file(unsigned flags, long pages) {
  int fd = memfd_create("probe", flags);
  if (fd >= 0 && ftruncate(fd, pages * PAGE) < 0) perror("ftruncate");
  return fd;
}

static const char *seals(int fd) { return number(fcntl(fd, F_GET_SEALS)); }

static void creation(void) {
  for (unsigned bit = 0; bit < 32; bit++) {
    char what[40];
    if (bit == 2) continue; /* MFD_HUGETLB: kernels differ */
    int fd = memfd_create("x", 1u << bit);
    snprintf(what, sizeof what, "memfd flag %#x", 1u << bit);
    SAY(what, fd < 0 ? error_name(errno) : seals(fd));
    if (fd < 0) continue;
    struct stat status;
    fstat(fd, &status);
    printf("  mode %o links %ld, descriptor flags %d\n", status.st_mode, (long)status.st_nlink, fcntl(fd, F_GETFD));
    close(fd);
  }
  int both = memfd_create("x", NOEXEC_SEAL | MFD_EXECUTABLE);
  SAY("exec and noexec", number(both < 0 ? -1 : 0));
  char name[300];
  memset(name, 'n', sizeof name);
  for (int length = 248; length <= 251; length++) {
    name[length] = 0;
    SAY("long name", OUTCOME(memfd_create(name, 0)));
    name[length] = 'n';
  }
  SAY("no name", OUTCOME(memfd_create(NULL, 0)));
  int fd = memfd_create("with blank", MFD_ALLOW_SEALING);
  char link[64], path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(path, link, sizeof link - 1);
  link[length < 0 ? 0 : length] = 0;
  SAY("link", link);
  int again = open(path, O_RDONLY);
  SAY("opened again", again < 0 ? error_name(errno) : seals(again));
  SAY("sealed through a descriptor for reading", OUTCOME(fcntl(again, F_ADD_SEALS, F_SEAL_GROW)));
  SAY("mapped through it", OUTCOME(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, again, 0)));
  SAY("for writing", OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED, again, 0)));
  int file = new_file(NULL, PAGE);
  struct { const char *name; int fd; } others[] = {{"/dev/null", open("/dev/null", O_RDWR)},
                                                   {"/dev/null, read only", open("/dev/null", O_RDONLY)},
                                                   {"directory", open("/", O_RDONLY)}};
  for (int i = 0; i < 3; i++) {
    SAY(others[i].name, seals(others[i].fd));
    SAY(others[i].name, OUTCOME(fcntl(others[i].fd, F_ADD_SEALS, 1)));
  }
  close(file);
  SAY("unknown seal", OUTCOME(fcntl(fd, F_ADD_SEALS, 0x40)));
  SAY("no seal", OUTCOME(fcntl(fd, F_ADD_SEALS, 0)));
  SAY("seal", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL)));
  SAY("sealed already", OUTCOME(fcntl(fd, F_ADD_SEALS, 0)));
}

static void sizes(void) {
  for (int seal = 0; seal <= 4; seal++) {
    int fd = new_memory_file(MFD_ALLOW_SEALING, 4);
    char *at = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    STORE(at + 3 * PAGE, 9);
    munmap(at, 4 * PAGE);
    int which[] = {0, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, 0x10};
    printf("seal %d: %s\n", which[seal], OUTCOME(fcntl(fd, F_ADD_SEALS, which[seal])));
    SAY("shrink", OUTCOME(ftruncate(fd, 2 * PAGE)));
    SAY("grow", OUTCOME(ftruncate(fd, 6 * PAGE)));
    SAY("same size", OUTCOME(ftruncate(fd, 4 * PAGE)));
    struct stat status;
    fstat(fd, &status);
    SAY("write inside", number(pwrite(fd, "abc", 3, 100)));
    SAY("write across the end", number(pwrite(fd, "abcdef", 6, status.st_size - 3)));
    SAY("write beyond", number(pwrite(fd, "abc", 3, 8 * PAGE)));
    SAY("allocate inside", OUTCOME(fallocate(fd, 0, 0, PAGE)));
    fstat(fd, &status);
    printf("size %ld blocks %ld\n", (long)status.st_size, (long)status.st_blocks);
    SAY("allocate beyond", OUTCOME(fallocate(fd, 0, 0, 20 * PAGE)));
    SAY("allocate, keep size", OUTCOME(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 30 * PAGE)));
    SAY("punch", OUTCOME(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * PAGE, PAGE)));
    SAY("punch, not keeping", OUTCOME(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 3 * PAGE, PAGE)));
    SAY("zero range", OUTCOME(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE)));
    SAY("collapse", OUTCOME(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE)));
    SAY("allocate nothing", OUTCOME(fallocate(fd, 0, 0, 0)));
    SAY("allocate before", OUTCOME(fallocate(fd, 0, -1, PAGE)));
    fstat(fd, &status);
    printf("size %ld blocks %ld\n", (long)status.st_size, (long)status.st_blocks);
    close(fd);
  }
}

static void holes(void) {
  int fd = new_memory_file(0, 8);
  char *at = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0);
  char *copy = mmap(NULL, 8 * PAGE, RW, MAP_PRIVATE, fd, 0);
  for (int i = 0; i < 8; i++) at[i * PAGE] = 'a' + i;
  STORE(copy + 2 * PAGE, 'P');
  LOAD(copy + 3 * PAGE);
  struct stat status;
  fstat(fd, &status);
  printf("blocks %ld\n", (long)status.st_blocks);
  SAY("punch", OUTCOME(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, 3 * PAGE)));
  for (int i = 1; i < 6; i++) SAY("shared", LOAD(at + i * PAGE));
  for (int i = 1; i < 6; i++) SAY("private", LOAD(copy + i * PAGE));
  fstat(fd, &status);
  printf("blocks %ld\n", (long)status.st_blocks);
  unsigned char there[8];
  mincore(at, 8 * PAGE, there);
  for (int i = 0; i < 8; i++) printf("%d", there[i] & 1);
  printf("\n");
  printf("data at %ld, hole at %ld\n", (long)lseek(fd, 2 * PAGE, SEEK_DATA), (long)lseek(fd, 0, SEEK_HOLE));
  SAY("remove", OUTCOME(madvise(at + 6 * PAGE, PAGE, MADV_REMOVE)));
  SAY("shared", LOAD(at + 6 * PAGE));
  SAY("remove, private", OUTCOME(madvise(copy, PAGE, MADV_REMOVE)));
  mprotect(at, PAGE, PROT_READ);
  SAY("remove, protected", OUTCOME(madvise(at, PAGE, MADV_REMOVE)));
  fstat(fd, &status);
  printf("blocks %ld\n", (long)status.st_blocks);
  SAY("cut", OUTCOME(ftruncate(fd, 5 * PAGE + 10)));
  SAY("last page", LOAD(at + 5 * PAGE));
  SAY("beyond", LOAD(at + 6 * PAGE));
  SAY("private beyond", LOAD(copy + 6 * PAGE));
  SAY("beyond the end in the last page", STORE(at + 5 * PAGE + 20, 4));
  SAY("longer", OUTCOME(ftruncate(fd, 8 * PAGE)));
  SAY("what was beyond", LOAD(at + 5 * PAGE + 20));
  SAY("beyond", LOAD(at + 6 * PAGE));
}

static void seals_and_mappings(void) {
  int types[] = {MAP_SHARED, MAP_PRIVATE, 3};
  int protections[] = {PROT_NONE, PROT_READ, RW, PROT_READ | PROT_EXEC};
  for (int t = 0; t < 3; t++) {
    for (int p = 0; p < 4; p++) {
      for (int readonly = 0; readonly < 2; readonly++) {
        int fd = new_memory_file(MFD_ALLOW_SEALING, 2);
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int by = readonly ? open(path, O_RDONLY) : fd;
        char *at = mmap(NULL, 2 * PAGE, protections[p], types[t], by, 0);
        printf("type %d prot %d %s: %s\n", types[t], protections[p], readonly ? "read only" : "", outcome((long)at));
        SAY("  write seal", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
        SAY("  future write seal", OUTCOME(fcntl(fd, F_ADD_SEALS, 0x10)));
        SAY("  seals", seals(fd));
        if (at != MAP_FAILED) {
          SAY("  store", STORE(at, 7));
          SAY("  read only", OUTCOME(mprotect(at, PAGE, PROT_READ)));
          SAY("  writable", OUTCOME(mprotect(at, PAGE, RW)));
          SAY("  store", STORE(at, 7));
          munmap(at, 2 * PAGE);
        }
        SAY("  write seal", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
        SAY("  seals", seals(fd));
        for (int n = 0; n < 3; n++) {
          char *next = mmap(NULL, PAGE, RW, types[n], fd, 0);
          printf("  then type %d writable: %s", types[n], outcome((long)next));
          next = mmap(NULL, PAGE, PROT_READ, types[n], fd, 0);
          printf(", readable: %s", outcome((long)next));
          if (next != MAP_FAILED) {
            printf(", mprotect %s", OUTCOME(mprotect(next, PAGE, RW)));
            printf(", store %s", STORE(next, 8));
            munmap(next, PAGE);
          }
          printf("\n");
        }
        SAY("  write", number(write(fd, "x", 1)));
        if (by != fd) close(by);
        close(fd);
      }
    }
  }
}

static void in_order(void) {
  int fd = new_memory_file(MFD_ALLOW_SEALING, 2);
  char *at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);
  STORE(at, 1);
  fflush(stdout);
  if (fork() == 0) {
    SAY("write seal in a child", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
    munmap(at, 2 * PAGE);
    SAY("still mapped by the parent", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
    _exit(0);
  }
  wait(NULL);
  SAY("all seals at once", OUTCOME(fcntl(fd, F_ADD_SEALS, 15)));
  SAY("nothing is set", seals(fd));
  munmap(at + PAGE, PAGE);
  SAY("half mapped", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
  mprotect(at, PAGE, PROT_READ);
  SAY("protected", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
  munmap(at, PAGE);
  SAY("unmapped", OUTCOME(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)));
  SAY("the order of refusals: type", OUTCOME(mmap(NULL, PAGE, RW, 0, fd, 0)));
  SAY("grows down", OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_GROWSDOWN, fd, 0)));
  SAY("unknown flag", OUTCOME(mmap(NULL, PAGE, RW, 3 | 0x200, fd, 0)));
  SAY("offset", OUTCOME(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0x7ffffffffffff000L)));
  int executable = new_memory_file(MFD_ALLOW_SEALING | MFD_EXECUTABLE, 1);
  SAY("exec seal", OUTCOME(fcntl(executable, F_ADD_SEALS, SEAL_EXEC)));
  SAY("seals", seals(executable));
  int busy = new_memory_file(MFD_ALLOW_SEALING | MFD_EXECUTABLE, 1);
  mmap(NULL, PAGE, RW, MAP_SHARED, busy, 0);
  SAY("exec seal, mapped", OUTCOME(fcntl(busy, F_ADD_SEALS, SEAL_EXEC)));
  SAY("chmod -x", OUTCOME(fchmod(executable, 0600)));
  SAY("chmod +x", OUTCOME(fchmod(executable, 0777)));
  int plain = new_memory_file(NOEXEC_SEAL, 1);
  SAY("chmod +x", OUTCOME(fchmod(plain, 0777)));
  SAY("chmod", OUTCOME(fchmod(plain, 0640)));
  struct stat status;
  fstat(plain, &status);
  printf("mode %o\n", status.st_mode);
  SAY("seals", seals(plain));
}

int main(void) {
  begin();
  creation();
  sizes();
  holes();
  seals_and_mappings();
  in_order();
  return 0;
}
