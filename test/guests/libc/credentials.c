/* What a process may do with files and processes once it is not root any more. Run as root. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"

#define ANN 5001
#define BOB 5002
#define CLUB 6001
#define CAP_VERSION 0x20080522

struct cap_header { unsigned version; int pid; };
struct cap_data { unsigned effective, permitted, inheritable; };

static int error(long result) { return result < 0 ? errno : 0; }

/* Runs `body` in a child; the numbers of its checks come back through a pipe. */
static void in_child(void (*body)(void)) {
  int pipes[2], counts[2] = {0, 1};
  fflush(stdout);
  CHECK(pipe(pipes) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    checks = failures = 0;
    body();
    fflush(stdout);
    counts[0] = checks;
    counts[1] = failures;
    _exit(write(pipes[1], counts, sizeof counts) != sizeof counts);
  }
  close(pipes[1]);
  CHECK(read(pipes[0], counts, sizeof counts) == sizeof counts);
  close(pipes[0]);
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT(status, 0);
  checks += counts[0];
  failures += counts[1];
}

static void become(uid_t uid, gid_t gid) {
  EXPECT(setgroups(0, NULL), 0);
  EXPECT(setresgid(gid, gid, gid), 0);
  EXPECT(setresuid(uid, uid, uid), 0);
}

static void make(const char *path, mode_t mode, uid_t uid, gid_t gid) {
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  CHECK(fd >= 0);
  CHECK(write(fd, "text", 4) == 4);
  close(fd);
  EXPECT(chown(path, uid, gid), 0);
  EXPECT(chmod(path, mode), 0);
}

static void make_directory(const char *path, mode_t mode, uid_t uid, gid_t gid) {
  EXPECT(mkdir(path, 0700), 0);
  EXPECT(chown(path, uid, gid), 0);
  EXPECT(chmod(path, mode), 0);
}

static int mode_of(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0 ? (int)(st.st_mode & 07777) : -1;
}

static int owners(const char *path, uid_t uid, gid_t gid) {
  struct stat st;
  return lstat(path, &st) == 0 && st.st_uid == uid && st.st_gid == gid;
}

static int opened(const char *path, int flags) {
  int fd = open(path, flags, 0644);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

/* --- opening and asking --- */

static void as_ann(void) {
  become(ANN, CLUB);
  EXPECT(opened("rootonly", O_RDONLY), EACCES);
  EXPECT(opened("rootonly", O_WRONLY), EACCES);
  EXPECT(opened("anns", O_RDWR), 0);
  EXPECT(opened("anns", O_RDWR | O_NOATIME), 0);
  EXPECT(opened("bobs", O_RDONLY), 0);
  EXPECT(opened("bobs", O_RDONLY | O_NOATIME), EPERM);
  EXPECT(opened("bobs", O_WRONLY), EACCES);
  EXPECT(opened("bobs", O_RDONLY | O_TRUNC), EACCES);
  EXPECT(opened("bobs", O_PATH), 0);
  EXPECT(opened("clubs", O_RDWR), 0);
  /* The owner's bits count for the owner, though others have more. */
  EXPECT(opened("nothingforann", O_RDONLY), EACCES);
  EXPECT(opened("closed/inside", O_RDONLY), EACCES);
  EXPECT(opened("closed/missing", O_RDONLY), EACCES);
  EXPECT(opened("closed", O_RDONLY | O_DIRECTORY), EACCES);
  EXPECT(opened("unlisted/inside", O_RDONLY), 0);
  EXPECT(opened("unlisted", O_RDONLY | O_DIRECTORY), EACCES);
  EXPECT(opened("listed", O_RDONLY | O_DIRECTORY), 0);
  EXPECT(opened("listed/inside", O_RDONLY), EACCES);
  EXPECT(opened("toclosed", O_RDONLY), EACCES);
  struct stat st;
  EXPECT(error(stat("closed/inside", &st)), EACCES);
  EXPECT(error(stat("closed/..", &st)), EACCES);
  EXPECT(error(stat("closed", &st)), 0);
  EXPECT(error(access("rootonly", F_OK)), 0);
  EXPECT(error(access("rootonly", R_OK)), EACCES);
  EXPECT(error(access("bobs", R_OK)), 0);
  EXPECT(error(access("bobs", W_OK)), EACCES);
  EXPECT(error(access("bobs", X_OK)), EACCES);
  EXPECT(error(access("closed/inside", F_OK)), EACCES);
  EXPECT(error(truncate("bobs", 1)), EACCES);
  EXPECT(error(truncate("anns", 2)), 0);
  EXPECT(error(chdir("closed")), EACCES);
  EXPECT(error(chdir("unlisted")), 0);
  EXPECT(error(chdir("..")), 0);
  EXPECT(error(chroot(".")), EPERM);
  char buffer[64];
  EXPECT(error(readlink("closed/link", buffer, sizeof buffer)), EACCES);
  EXPECT(opened("/proc/self/environ", O_RDONLY), EACCES);  /* since it was root */
  EXPECT(opened("/proc/self/status", O_RDONLY), 0);
}

/* --- names --- */

static void names(void) {
  become(ANN, ANN);
  EXPECT(opened("listed/new", O_WRONLY | O_CREAT), EACCES);
  EXPECT(error(mkdir("listed/new", 0755)), EACCES);
  EXPECT(error(mkdir("listed/inside", 0755)), EEXIST);
  EXPECT(error(mkfifo("listed/new", 0644)), EACCES);
  EXPECT(error(symlink("x", "listed/new")), EACCES);
  EXPECT(error(link("anns", "listed/new")), EACCES);
  EXPECT(error(unlink("listed/inside")), EACCES);
  EXPECT(error(unlink("bobs")), 0);  /* the folder is everybody's */
  EXPECT(error(rmdir("listed")), ENOTEMPTY);
  EXPECT(error(rename("listed/inside", "mine")), EACCES);
  EXPECT(error(rename("anns", "listed/new")), EACCES);
  EXPECT(error(rename("anns", "anns2")), 0);
  EXPECT(error(rename("anns2", "anns")), 0);
  /* A directory that is moved to another one is written itself. */
  EXPECT(error(rename("bobsdirectory", "shared/bobsdirectory")), EACCES);
  EXPECT(error(rename("bobsdirectory", "bobsdirectory2")), 0);
  EXPECT(error(rename("bobsdirectory2", "bobsdirectory")), 0);
  /* Sticky. */
  EXPECT(error(unlink("sticky/bobs")), EPERM);
  EXPECT(error(rename("sticky/bobs", "sticky/else")), EPERM);
  EXPECT(error(unlink("sticky/anns")), 0);
  EXPECT(opened("sticky/new", O_WRONLY | O_CREAT | O_EXCL), 0);
  EXPECT(error(rename("sticky/new", "sticky/bobs")), EPERM);
  EXPECT(error(unlink("sticky/new")), 0);
  /* What is new belongs to who made it. */
  umask(027);
  EXPECT(opened("shared/file", O_WRONLY | O_CREAT), 0);
  EXPECT(mkdir("shared/directory", 0777), 0);
  EXPECT(symlink("nowhere", "shared/link"), 0);
  EXPECT(mkfifo("shared/fifo", 0666), 0);
  CHECK(owners("shared/file", ANN, ANN) && mode_of("shared/file") == 0640);
  CHECK(owners("shared/directory", ANN, ANN) && mode_of("shared/directory") == 0750);
  CHECK(owners("shared/link", ANN, ANN));
  CHECK(owners("shared/fifo", ANN, ANN) && mode_of("shared/fifo") == 0640);
  EXPECT(opened("shared/directory/inside", O_WRONLY | O_CREAT), 0);
  /* In a directory with the set-group-id bit, to its group. */
  EXPECT(opened("clubhouse/file", O_WRONLY | O_CREAT), 0);
  EXPECT(mkdir("clubhouse/directory", 0777), 0);
  CHECK(owners("clubhouse/file", ANN, CLUB));
  CHECK(owners("clubhouse/directory", ANN, CLUB) && mode_of("clubhouse/directory") == 02750);
  int temporary = open("shared", O_RDWR | O_TMPFILE, 0600);
  CHECK(temporary >= 0 || errno == EOPNOTSUPP);
  struct stat st;
  CHECK(temporary < 0 || (fstat(temporary, &st) == 0 && st.st_uid == ANN));
  /* Another's file is linked by those who may write it, and by its owner. */
  EXPECT(error(link("rootonly", "shared/rootonly")), EPERM);
  EXPECT(error(link("anns", "shared/anns")), 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "shared/socket"};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(bind(s, (void *)&address, sizeof address), 0);
  CHECK(owners("shared/socket", ANN, ANN) && mode_of("shared/socket") == 0750);
  EXPECT(listen(s, 1), 0);
  strcpy(address.sun_path, "listed/socket");
  int other = socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT(error(bind(other, (void *)&address, sizeof address)), EACCES);
  strcpy(address.sun_path, "shared/socket");
  EXPECT(chmod("shared/socket", 0500), 0);
  EXPECT(error(connect(other, (void *)&address, sizeof address)), EACCES);
  EXPECT(chmod("shared/socket", 0700), 0);
  EXPECT(connect(other, (void *)&address, sizeof address), 0);
}

static void links_in_sticky_directories(void) {
  become(ANN, ANN);
  /* Bob's link in a sticky directory that all may write: followed by Bob only (fs.protected_symlinks). */
  char setting = '0';
  int fd = open("/proc/sys/fs/protected_symlinks", O_RDONLY);
  CHECK(fd >= 0 && read(fd, &setting, 1) == 1);
  EXPECT(opened("sticky/bobslink", O_RDONLY), setting == '1' ? EACCES : 0);
  EXPECT(opened("sticky/annslink", O_RDONLY), 0);
}

/* --- attributes --- */

static void attributes(void) {
  gid_t groups[] = {CLUB};
  EXPECT(setgroups(1, groups), 0);
  EXPECT(setresgid(ANN, ANN, ANN), 0);
  EXPECT(setresuid(ANN, ANN, ANN), 0);
  EXPECT(error(chmod("rootonly", 0777)), EPERM);
  EXPECT(error(chmod("anns", 0640)), 0);
  EXPECT(error(chown("anns", BOB, -1)), EPERM);
  EXPECT(error(chown("anns", ANN, CLUB)), 0);
  EXPECT(error(chown("anns", -1, 77)), EPERM);
  EXPECT(error(chown("rootonly", -1, CLUB)), EPERM);
  EXPECT(error(chown("rootonly", -1, -1)), 0);
  EXPECT(error(chmod("anns", 02755)), 0);
  EXPECT(mode_of("anns"), 02755);
  EXPECT(error(chown("anns", -1, ANN)), 0);
  EXPECT(mode_of("anns"), 0755);
  /* The set-group-id bit of a group that one is not in. */
  EXPECT(error(chmod("foreigngroup", 02755)), 0);
  EXPECT(mode_of("foreigngroup"), 0755);
  /* Writing takes set-id bits away. */
  EXPECT(chmod("anns", 04755), 0);
  int fd = open("anns", O_RDWR);
  EXPECT(mode_of("anns"), 04755);
  CHECK(write(fd, "x", 1) == 1);
  EXPECT(mode_of("anns"), 0755);
  EXPECT(fchmod(fd, 04755), 0);
  EXPECT(ftruncate(fd, 1), 0);
  EXPECT(mode_of("anns"), 0755);
  close(fd);
  struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, then[2] = {{5, 0}, {5, 0}};
  EXPECT(error(utimensat(AT_FDCWD, "anns", then, 0)), 0);
  EXPECT(error(utimensat(AT_FDCWD, "anns", NULL, 0)), 0);
  EXPECT(error(utimensat(AT_FDCWD, "writable", then, 0)), EPERM);
  EXPECT(error(utimensat(AT_FDCWD, "writable", NULL, 0)), 0);
  EXPECT(error(utimensat(AT_FDCWD, "writable", now, 0)), 0);
  EXPECT(error(utimensat(AT_FDCWD, "rootonly", NULL, 0)), EACCES);
}

/* --- groups and filesystem ids --- */

static void groups(void) {
  gid_t list[] = {CLUB, 77};
  EXPECT(setgroups(2, list), 0);
  EXPECT(setresgid(ANN, ANN, ANN), 0);
  EXPECT(setresuid(ANN, ANN, ANN), 0);
  EXPECT(opened("clubs", O_RDWR), 0);
  EXPECT(opened("closed/inside", O_RDONLY), EACCES);
  EXPECT(error(setgroups(0, NULL)), EPERM);
  EXPECT(error(setresuid(0, -1, -1)), EPERM);
  EXPECT(error(setgid(0)), EPERM);
}

static void filesystem_ids(void) {
  EXPECT(setgroups(0, NULL), 0);
  EXPECT(setfsgid(BOB), 0);
  EXPECT(setfsuid(BOB), 0);
  EXPECT(setfsuid(-1), BOB);
  EXPECT(opened("rootonly", O_RDONLY), EACCES);
  EXPECT(opened("shared/fsuid", O_WRONLY | O_CREAT), 0);
  CHECK(owners("shared/fsuid", BOB, BOB));
  /* access asks by the real ids. */
  EXPECT(access("rootonly", R_OK), 0);
  EXPECT(error(faccessat(AT_FDCWD, "rootonly", R_OK, AT_EACCESS)), EACCES);
  EXPECT(setfsuid(0), BOB);
  EXPECT(opened("rootonly", O_RDONLY), 0);
}

static void effective_ids(void) {
  EXPECT(seteuid(ANN), 0);
  EXPECT(opened("rootonly", O_RDONLY), EACCES);
  EXPECT(access("rootonly", R_OK), 0);
  EXPECT(seteuid(0), 0);
  EXPECT(opened("rootonly", O_RDONLY), 0);
}

/* --- capabilities --- */

static void keep(unsigned set) {
  struct cap_header header = {CAP_VERSION, 0};
  struct cap_data data[2] = {{set, set, 0}, {0, 0, 0}};
  EXPECT(syscall(SYS_capset, &header, data), 0);
}

static void root_without_capabilities(void) {
  keep(0);
  EXPECT(opened("rootonly", O_RDWR), 0);  /* its owner */
  EXPECT(opened("annsprivate", O_RDONLY), EACCES);
  EXPECT(error(chown("rootonly", ANN, -1)), EPERM);
  EXPECT(error(chmod("annsprivate", 0644)), EPERM);
  EXPECT(error(setuid(ANN)), EPERM);
  EXPECT(error(chroot(".")), EPERM);
  EXPECT(error(sethostname("x", 1)), EPERM);
  EXPECT(error(prctl(PR_CAPBSET_DROP, 5, 0, 0, 0)), EPERM);
}

static void read_search(void) {
  EXPECT(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
  EXPECT(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
  EXPECT(setresuid(ANN, ANN, ANN), 0);
  EXPECT(opened("rootonly", O_RDONLY), EACCES);
  keep(1 << 2);  /* CAP_DAC_READ_SEARCH */
  EXPECT(opened("rootonly", O_RDONLY), 0);
  EXPECT(opened("closed/inside", O_RDONLY), 0);
  EXPECT(opened("rootonly", O_WRONLY), EACCES);
  EXPECT(error(unlink("listed/inside")), EACCES);
}

static void bounding(void) {
  EXPECT(prctl(PR_CAPBSET_READ, 5, 0, 0, 0), 1);
  EXPECT(prctl(PR_CAPBSET_DROP, 5, 0, 0, 0), 0);
  EXPECT(prctl(PR_CAPBSET_READ, 5, 0, 0, 0), 0);
  EXPECT(error(prctl(PR_CAPBSET_READ, 77, 0, 0, 0)), EINVAL);
  EXPECT(error(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 5, 0, 0)), EPERM);
  EXPECT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 5, 0, 0), 0);
}

/* --- signals --- */

static void signals(void) {
  fflush(stdout);
  pid_t other = fork();
  if (other == 0) for (;;) pause();
  pid_t same = fork();
  if (same == 0) {
    if (setresuid(ANN, ANN, ANN) != 0) _exit(1);
    for (;;) pause();
  }
  /* Until it is Ann's. */
  char path[64];
  sprintf(path, "/proc/%d", same);
  struct stat st;
  while (stat(path, &st) == 0 && st.st_uid != ANN) sched_yield();
  EXPECT(st.st_uid, ANN);
  become(ANN, ANN);
  EXPECT(error(kill(other, SIGKILL)), EPERM);
  EXPECT(error(kill(other, 0)), EPERM);
  EXPECT(error(kill(other, SIGCONT)), 0);  /* of the same session */
  EXPECT(error(kill(1 << 22, 0)), ESRCH);
  EXPECT(kill(same, SIGKILL), 0);
  EXPECT(waitpid(same, NULL, 0), same);
  EXPECT(error(setpriority(PRIO_PROCESS, other, 5)), EPERM);
  struct sched_param parameter = {0};
  EXPECT(error(syscall(SYS_sched_setscheduler, other, SCHED_BATCH, &parameter)), EPERM);
  cpu_set_t cpus;
  EXPECT(sched_getaffinity(other, sizeof cpus, &cpus), 0);
  EXPECT(error(sched_setaffinity(other, sizeof cpus, &cpus)), EPERM);
  FILE *f = fopen("victims", "a");
  fprintf(f, "%d\n", other);
  fclose(f);
}

/* --- programs --- */

static char self[PATH_MAX];

static void copy_self(const char *to) {
  char bytes[65536];
  ssize_t n;
  int from = open(self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0700);
  CHECK(from >= 0 && out >= 0);
  int good = 1;
  while ((n = read(from, bytes, sizeof bytes)) > 0) good &= write(out, bytes, n) == n;
  CHECK(good);
  close(from);
  close(out);
}

extern char **environ;

/* What a program run by Ann says of its ids. */
static void says(const char *program, const char *expected) {
  int pipes[2];
  char text[128] = "";
  CHECK(pipe(pipes) == 0);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    char *arguments[] = {(char *)program, "ids", NULL};
    dup2(pipes[1], 1);
    execve(program, arguments, environ);
    dprintf(1, "errno %d", errno);
    _exit(1);
  }
  close(pipes[1]);
  ssize_t n, length = 0;
  while ((n = read(pipes[0], text + length, sizeof text - 1 - length)) > 0) length += n;
  close(pipes[0]);
  waitpid(pid, NULL, 0);
  CHECK(strcmp(text, expected) == 0);
  if (strcmp(text, expected) != 0) printf("%s says: %s\n", program, text);
}

static int ids(void) {
  uid_t r, e, s;
  gid_t rg, eg, sg;
  getresuid(&r, &e, &s);
  getresgid(&rg, &eg, &sg);
  struct cap_header header = {CAP_VERSION, 0};
  struct cap_data data[2] = {{0, 0, 0}, {0, 0, 0}};
  syscall(SYS_capget, &header, data);
  printf("%d %d %d %d %d %d %s%s", r, e, s, rg, eg, sg, data[0].effective ? "powers " : "",
         secure_getenv("CREDENTIALS") ? "" : "secure");
  return 0;
}

static void programs(void) {
  become(ANN, ANN);
  setenv("CREDENTIALS", "yes", 1);
  says("./plain", "5001 5001 5001 5001 5001 5001 ");
  says("./rootprogram", "5001 0 0 5001 5001 5001 powers secure");
  says("./bobsprogram", "5001 5002 5002 5001 5001 5001 secure");
  says("./clubsprogram", "5001 5001 5001 5001 6001 6001 secure");
  says("./bobsonly", "errno 13");
  says("./unreadable", "5001 5001 5001 5001 5001 5001 ");
  EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  says("./rootprogram", "5001 5001 5001 5001 5001 5001 ");
}

static void programs_as_root(void) {
  setenv("CREDENTIALS", "yes", 1);
  says("./plain", "0 0 0 0 0 0 powers ");
  says("./bobsprogram", "0 5002 5002 0 0 0 secure");
  says("./rootonly", "errno 13");
}

/* --- chroot --- */

static void another_root(void) {
  char here[PATH_MAX], buffer[PATH_MAX];
  struct stat outside, inside;
  CHECK(getcwd(here, sizeof here) != NULL);
  int old = open(".", O_RDONLY | O_DIRECTORY);
  EXPECT(stat("jail", &outside), 0);
  EXPECT(error(chroot("anns")), ENOTDIR);
  EXPECT(error(chroot("missing")), ENOENT);
  EXPECT(chroot("jail"), 0);
  EXPECT(stat("/", &inside), 0);
  CHECK(inside.st_ino == outside.st_ino);
  EXPECT(stat("/..", &inside), 0);
  CHECK(inside.st_ino == outside.st_ino);
  /* The working directory is outside; names there still lead on. */
  EXPECT(access("anns", F_OK), 0);
  EXPECT(syscall(SYS_getcwd, buffer, sizeof buffer) > 0, 1);
  CHECK(strncmp(buffer, "(unreachable)/", 14) == 0);
  EXPECT(error(access("/anns", F_OK)), ENOENT);
  EXPECT(access("/cell/bed", F_OK), 0);
  EXPECT(chdir("/cell"), 0);
  CHECK(strcmp(getcwd(buffer, sizeof buffer), "/cell") == 0);
  EXPECT(access("../../../cell/bed", F_OK), 0);
  EXPECT(access("absolute", F_OK), 0);      /* a link to /cell/bed */
  EXPECT(error(access("escape", F_OK)), ENOENT);  /* a link to ../../anns */
  ssize_t n = readlink("absolute", buffer, sizeof buffer);
  CHECK(n == 9 && memcmp(buffer, "/cell/bed", 9) == 0);
  EXPECT(opened("/cell/new", O_WRONLY | O_CREAT), 0);
  int status = -1;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) _exit(access("/cell/bed", F_OK) == 0 && access("/anns", F_OK) != 0 ? 7 : 8);
  waitpid(pid, &status, 0);
  EXPECT(WEXITSTATUS(status), 7);
  /* Root gets out again. */
  EXPECT(fchdir(old), 0);
  EXPECT(error(access("../..", F_OK)), 0);
  EXPECT(access("jail/cell/new", F_OK), 0);
  for (int i = 0; i < 64; i++) EXPECT(chdir(".."), 0);
  EXPECT(chroot("."), 0);
  EXPECT(chdir(here), 0);
  EXPECT(access("anns", F_OK), 0);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "ids") == 0) return ids();
  if (argc < 2 || geteuid() != 0) return 2;
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  CHECK(n > 0);
  EXPECT(chdir(argv[1]), 0);
  umask(022);
  EXPECT(mkdir("work", 0777), 0);
  EXPECT(chmod("work", 0777), 0);
  EXPECT(chdir("work"), 0);

  make("rootonly", 0600, 0, 0);
  make("anns", 0600, ANN, ANN);
  make("annsprivate", 0600, ANN, ANN);
  make("bobs", 0644, BOB, BOB);
  make("clubs", 0660, 0, CLUB);
  make("nothingforann", 0066, ANN, ANN);
  make("writable", 0666, BOB, BOB);
  make("foreigngroup", 0644, ANN, 77);
  make_directory("closed", 0755, 0, 0);
  make("closed/inside", 0666, 0, 0);
  EXPECT(symlink("inside", "closed/link"), 0);
  EXPECT(symlink("closed/inside", "toclosed"), 0);
  EXPECT(chmod("closed", 0700), 0);
  make_directory("unlisted", 0755, 0, 0);
  make("unlisted/inside", 0644, 0, 0);
  EXPECT(chmod("unlisted", 0711), 0);
  make_directory("listed", 0755, 0, 0);
  make("listed/inside", 0644, 0, 0);
  make_directory("shared", 0777, 0, 0);
  make_directory("bobsdirectory", 0755, BOB, BOB);
  make_directory("clubhouse", 02777, 0, CLUB);
  make_directory("sticky", 01777, 0, 0);
  make("sticky/bobs", 0666, BOB, BOB);
  make("sticky/anns", 0666, ANN, ANN);
  make("readable", 0644, 0, 0);
  EXPECT(symlink("../readable", "sticky/bobslink"), 0);
  EXPECT(lchown("sticky/bobslink", BOB, BOB), 0);
  EXPECT(symlink("../readable", "sticky/annslink"), 0);
  EXPECT(lchown("sticky/annslink", ANN, ANN), 0);
  make_directory("jail", 0755, 0, 0);
  make_directory("jail/cell", 0755, 0, 0);
  make("jail/cell/bed", 0644, 0, 0);
  EXPECT(symlink("/cell/bed", "jail/cell/absolute"), 0);
  EXPECT(symlink("../../anns", "jail/cell/escape"), 0);
  EXPECT(chmod("listed", 0744), 0);

  EXPECT(chown("readable", 0x80000001u, 0xfffffffeu), 0);
  CHECK(owners("readable", 0x80000001u, 0xfffffffeu));
  EXPECT(chown("readable", -1, 0), 0);
  CHECK(owners("readable", 0x80000001u, 0));
  in_child(as_ann);
  EXPECT(chmod("listed", 0755), 0);
  in_child(names);
  in_child(links_in_sticky_directories);
  in_child(attributes);
  in_child(groups);
  in_child(filesystem_ids);
  in_child(effective_ids);
  in_child(root_without_capabilities);
  in_child(read_search);
  in_child(bounding);

  copy_self("plain");
  copy_self("rootprogram");
  copy_self("bobsprogram");
  copy_self("clubsprogram");
  copy_self("bobsonly");
  copy_self("unreadable");
  EXPECT(chmod("plain", 0755), 0);
  EXPECT(chmod("rootprogram", 04755), 0);
  EXPECT(chown("bobsprogram", BOB, BOB), 0);
  EXPECT(chmod("bobsprogram", 04755), 0);
  EXPECT(chown("clubsprogram", 0, CLUB), 0);
  EXPECT(chmod("clubsprogram", 02755), 0);
  EXPECT(chown("bobsonly", BOB, BOB), 0);
  EXPECT(chmod("unreadable", 0711), 0);
  in_child(programs);
  in_child(programs_as_root);
  in_child(another_root);
  in_child(signals);
  FILE *f = fopen("victims", "r");
  int victim = 0;
  CHECK(f != NULL && fscanf(f, "%d", &victim) == 1);
  EXPECT(victim > 0 ? kill(victim, SIGKILL) : -1, 0);
  return report("credentials");
}
