/* Files and shared memory seen by several processes: mappings, write-back, truncation, System V and POSIX shared memory. */
#include "probe.h"
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/uio.h>

static void between(int fd, const char *what, long at) {
  char byte = 0;
  ssize_t got = pread(fd, &byte, 1, at);
  printf("%s: %s %d\n", what, number(got), byte);
}

/* The file is what every descriptor, mapping and process sees alike. */
static void coherence(void) {
  int fd = new_file("coherent", 4 * PAGE + 100);
  char path[256];
  snprintf(path, sizeof path, "%s/coherent", getenv("SCRATCH") ? getenv("SCRATCH") : "/tmp");
  int other = open(path, O_RDONLY);
  char *shared = mmap(NULL, 6 * PAGE, RW, MAP_SHARED, fd, 0);
  char *copy = mmap(NULL, 6 * PAGE, RW, MAP_PRIVATE, fd, 0);
  char *second = mmap(NULL, 6 * PAGE, PROT_READ, MAP_SHARED, other, 0);
  STORE(shared, 'a');
  between(other, "read after a store", 0);
  SAY("another mapping", LOAD(second));
  SAY("untouched copy", LOAD(copy));
  STORE(copy + PAGE, 'p');
  if (pwrite(fd, "w", 1, PAGE) != 1 || pwrite(fd, "w", 1, 2 * PAGE) != 1) exit(1);
  SAY("store in a copy stays", LOAD(copy + PAGE));
  SAY("write seen by a mapping", LOAD(shared + PAGE));
  SAY("write seen by a copy that was not written", LOAD(copy + 2 * PAGE));
  SAY("last page", LOAD(shared + 4 * PAGE + 99));
  SAY("behind the end in the last page", LOAD(shared + 4 * PAGE + 100));
  SAY("store there", STORE(shared + 4 * PAGE + 100, 'z'));
  between(fd, "is not in the file", 4 * PAGE + 100);
  SAY("beyond the last page", LOAD(shared + 5 * PAGE));
  SAY("store beyond", STORE(copy + 5 * PAGE, 1));
  if (ftruncate(fd, 2 * PAGE) < 0) exit(1);
  SAY("cut: inside", LOAD(shared + PAGE));
  SAY("cut: beyond", LOAD(shared + 3 * PAGE));
  SAY("cut: copy beyond", LOAD(copy + 2 * PAGE));
  SAY("cut: copy inside", LOAD(copy + PAGE));
  SAY("read into what is cut", number(read(other, shared + 3 * PAGE, 10)));
  if (ftruncate(fd, 4 * PAGE) < 0) exit(1);
  SAY("longer again", LOAD(shared + 3 * PAGE));
  SAY("store", STORE(shared + 3 * PAGE, 'l'));
  between(other, "in the file", 3 * PAGE);
  fflush(stdout);
  if (fork() == 0) {
    STORE(shared + 2 * PAGE, 'c');
    STORE(copy + 3 * PAGE, 'c');
    munmap(shared, 6 * PAGE);
    _exit(0);
  }
  wait(NULL);
  SAY("store of a child", LOAD(shared + 2 * PAGE));
  SAY("in its copy", LOAD(copy + 3 * PAGE));
  unlink(path);
  SAY("removed", STORE(shared, 'r'));
  between(fd, "still there", 0);
  munmap(shared, 6 * PAGE);
  between(fd, "after munmap", 0);
  int appending = new_file("appended", PAGE);
  fcntl(appending, F_SETFL, O_APPEND);
  char *at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, appending, 0);
  SAY("append", number(write(appending, "xyz", 3)));
  SAY("shows", LOAD(at + PAGE + 2));
  fflush(stdout);
  close(appending);
  SAY("closed", STORE(at + PAGE, 'q'));
  SAY("shows", LOAD(at + PAGE));
}

/* shm_open is open in /dev/shm. */
static void posix(void) {
  char path[64];
  snprintf(path, sizeof path, "/dev/shm/probe-%d", getpid());
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  SAY("shm_open", OUTCOME(fd));
  SAY("again", OUTCOME(open(path, O_RDWR | O_CREAT | O_EXCL, 0600)));
  char *at = mmap(NULL, 4 * PAGE, RW, MAP_SHARED, fd, 0);
  SAY("empty", LOAD(at));
  SAY("size", OUTCOME(ftruncate(fd, 2 * PAGE)));
  SAY("first", LOAD(at));
  SAY("third", LOAD(at + 2 * PAGE));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    int by_name = open(path, O_RDWR);
    char *here = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, by_name, 0);
    STORE(here + PAGE, 's');
    while (*(volatile char *)here != 'g') usleep(100);
    STORE(here + PAGE, 't');
    _exit(0);
  }
  while (*(volatile char *)(at + PAGE) != 's') usleep(100);
  SAY("from the child", LOAD(at + PAGE));
  STORE(at, 'g');
  wait(NULL);
  SAY("from the child", LOAD(at + PAGE));
  SAY("unlink", OUTCOME(unlink(path)));
  SAY("gone", OUTCOME(open(path, O_RDWR)));
  SAY("still mapped", LOAD(at + PAGE));
  struct stat status;
  fstat(fd, &status);
  printf("links %ld size %ld\n", (long)status.st_nlink, (long)status.st_size);
}

static void system_v(void) {
  int id = shmget(IPC_PRIVATE, 3 * PAGE + 5, IPC_CREAT | 0600);
  SAY("shmget", OUTCOME(id));
  char *at = shmat(id, NULL, 0);
  SAY("shmat", OUTCOME(at));
  SAY("end", STORE(at + 3 * PAGE + 5, 'e'));
  char *readable = shmat(id, NULL, SHM_RDONLY);
  SAY("read only", LOAD(readable + 3 * PAGE + 5));
  SAY("store", STORE(readable, 1));
  SAY("mprotect", OUTCOME(mprotect(readable, PAGE, RW)));
  /* /proc/sysvipc/shm, this segment's line. */
  char *text = contents("/proc/sysvipc/shm"), *line = strsep(&text, "\n");
  printf("%s\n", line);
  while ((line = strsep(&text, "\n")) && *line) {
    int key, shmid, mode;
    long size, attached, rss, swap;
    int cpid, lpid, uid, gid, cuid, cgid;
    long atime, dtime, ctime;
    int n = sscanf(line, "%d %d %o %ld %d %d %ld %d %d %d %d %ld %ld %ld %ld %ld", &key, &shmid, &mode, &size, &cpid,
                   &lpid, &attached, &uid, &gid, &cuid, &cgid, &atime, &dtime, &ctime, &rss, &swap);
    if (shmid != id) continue;
    printf("%d figures: key %d mode %o size %ld own %d %d attached %ld atime %d dtime %d ctime %d rss %ld swap %ld length %ld\n",
           n, key, mode, size, cpid == getpid(), lpid == getpid(), attached, atime > 0, dtime > 0, ctime > 0, rss, swap,
           (long)strlen(line));
  }
  SAY("remove", OUTCOME(shmctl(id, IPC_RMID, NULL)));
  SAY("still there", LOAD(at + 3 * PAGE + 5));
  SAY("attach removed", OUTCOME(shmat(id, NULL, 0)));
  SAY("dt", OUTCOME(shmdt(readable)));
  SAY("dt", OUTCOME(shmdt(at)));
  SAY("twice", OUTCOME(shmdt(at)));
  SAY("attach gone", OUTCOME(shmat(id, NULL, 0)));
}

/* Reading and writing another process. */
static void process_vm(void) {
  char *shared = map(1, RW, SHARED_ANON);
  char *at = map(4, RW, ANON);
  memset(at, 'm', PAGE);
  memset(at + PAGE, 'n', PAGE);
  munmap(at + 2 * PAGE, PAGE);
  mprotect(at + 3 * PAGE, PAGE, PROT_READ);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    while (*(volatile char *)shared != 'x') usleep(100);
    SAY("the child finds", LOAD(at + 10));
    SAY("protected", LOAD(at + 3 * PAGE));
    fflush(stdout);
    _exit(0);
  }
  char here[3 * 4096] = "";
  struct iovec mine = {here, sizeof here}, theirs = {at, 2 * PAGE};
  SAY("read", number(process_vm_readv(child, &mine, 1, &theirs, 1, 0)));
  printf("%d %d\n", here[0], here[PAGE]);
  struct iovec over = {at + PAGE, 3 * PAGE};
  SAY("over a hole", number(process_vm_readv(child, &mine, 1, &over, 1, 0)));
  struct iovec hole = {at + 2 * PAGE, PAGE};
  SAY("in a hole", number(process_vm_readv(child, &mine, 1, &hole, 1, 0)));
  struct iovec several[2] = {{at, 100}, {at + PAGE, 100}};
  struct iovec into[3] = {{here, 50}, {here + 1000, 50}, {here + 2000, 90}};
  SAY("scattered", number(process_vm_readv(child, into, 3, several, 2, 0)));
  printf("%d %d %d\n", here[0], here[1000], here[2000 + 60]);
  SAY("flags", number(process_vm_readv(child, &mine, 1, &theirs, 1, 1)));
  SAY("no process", number(process_vm_readv(99999999, &mine, 1, &theirs, 1, 0)));
  SAY("nothing", number(process_vm_readv(child, &mine, 0, &theirs, 1, 0)));
  SAY("nothing there", number(process_vm_readv(child, &mine, 1, &theirs, 0, 0)));
  struct iovec bad = {(void *)8, 100};
  SAY("bad buffer", number(process_vm_readv(child, &bad, 1, &theirs, 1, 0)));
  SAY("too many", number(process_vm_readv(child, &mine, 2000, &theirs, 1, 0)));
  strcpy(here, "written into another");
  struct iovec text = {here, 20};
  SAY("write", number(process_vm_writev(child, &text, 1, &theirs, 1, 0)));
  struct iovec protected = {at + 3 * PAGE, 20};
  SAY("write where it may not", number(process_vm_writev(child, &text, 1, &protected, 1, 0)));
  SAY("of itself", number(process_vm_readv(getpid(), &mine, 1, &theirs, 1, 0)));
  *(volatile char *)shared = 'x';
  waitpid(child, NULL, 0);
  SAY("of one that has ended", number(process_vm_readv(child, &mine, 1, &theirs, 1, 0)));
}

int main(void) {
  begin();
  in_child(coherence);
  in_child(posix);
  in_child(system_v);
  in_child(process_vm);
  return 0;
}
