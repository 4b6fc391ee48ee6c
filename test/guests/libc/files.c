/*
 * What the kernel answers to calls on files, right and wrong ones: one line for each. expected/files.txt is what Linux
 * 6 prints (run natively). argv[1]: an empty directory that may be written.
 */
#define _GNU_SOURCE
/* Wrong arguments are the point. */
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wunused-result"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Warray-bounds"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#define TRY(call)                                                                                   \
  do {                                                                                              \
    errno = 0;                                                                                      \
    long result_ = (long)(call);                                                                    \
    printf("%s = %ld %s\n", #call, result_, result_ < 0 ? strerrorname_np(errno) : "");             \
  } while (0)

static void showStatus(const char *path) {
  struct stat s;
  if (lstat(path, &s) != 0) printf("lstat %s %s\n", path, strerrorname_np(errno));
  else
    printf("lstat %s mode %o links %d size %ld\n", path, s.st_mode, S_ISDIR(s.st_mode) ? 0 : (int)s.st_nlink,
           S_ISDIR(s.st_mode) ? 0 : (long)s.st_size);
}

int main(int argc, char **argv) {
  char b[8192];
  if (argc > 1 && strcmp(argv[1], "executed") == 0) return 77;
  setvbuf(stdout, 0, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  umask(027);
  TRY(chdir(argv[1]));
  TRY(mkdir("w", 0777));
  TRY(chdir("w"));

  /* Regular files. */
  TRY(open("f", O_RDWR|O_CREAT|O_EXCL, 0666));
  int f = 3;
  showStatus("f");
  TRY(write(f, "hello world", 11));
  TRY(lseek(f, 0, SEEK_END));
  TRY(lseek(f, 5, SEEK_SET));
  TRY(read(f, b, 100));
  TRY(lseek(f, -100, SEEK_CUR));
  TRY(lseek(f, 0, 9));
  TRY(pread(f, b, 5, -1));
  TRY(pwrite(f, "X", 1, 100));
  TRY(ftruncate(f, -1));
  TRY(ftruncate(f, 20));
  showStatus("f");
  TRY(open("f", O_RDONLY|O_DIRECTORY));
  TRY(open("f/", O_RDONLY));
  TRY(open("nope", O_RDONLY));
  TRY(open("nope/x", O_CREAT|O_RDWR, 0600));
  TRY(open(".", O_RDWR));
  TRY(open(".", O_CREAT|O_RDONLY, 0600));
  TRY(open("", O_RDONLY));
  TRY(open("f/x", O_RDONLY));
  TRY(open("f", O_CREAT|O_EXCL, 0600));
  TRY(open("f", O_RDONLY|O_NOFOLLOW));
  close(4);

  /* Links. */
  TRY(symlink("f", "l"));
  TRY(symlink("", "e"));
  TRY(symlink("f", "l"));
  TRY(open("l", O_RDONLY|O_NOFOLLOW));
  TRY(open("l", O_RDONLY|O_NOFOLLOW|O_DIRECTORY));
  TRY(open("l", O_CREAT|O_EXCL|O_RDWR, 0600));
  TRY(symlink("loop", "loop"));
  TRY(open("loop", O_RDONLY));
  TRY(stat("loop", (struct stat*)b));
  showStatus("loop");
  TRY(readlink("l", b, 1));
  TRY(readlink("f", b, 10));
  TRY(readlink("l", b, 0));
  TRY(readlink("nope", b, 10));

  /* Directories. */
  TRY(mkdir("d", 0777));
  TRY(mkdir("d", 0777));
  TRY(mkdir("d/", 0777));
  TRY(mkdir("x/y", 0777));
  TRY(mkdir("d/./s/", 0777));
  TRY(mkdir("l", 0777));
  TRY(mkdir("f/x", 0777));
  TRY(mkdir(".", 0777));
  TRY(mkdir("/", 0777));
  TRY(mkdir("d/..", 0777));
  TRY(rmdir("d"));
  TRY(rmdir("f"));
  TRY(rmdir("d/."));
  TRY(rmdir("d/.."));
  TRY(rmdir("d/s/"));
  TRY(rmdir("nope"));
  TRY(rmdir("l"));
  TRY(unlink("d"));
  TRY(unlink("f/"));
  TRY(unlink("d/"));
  TRY(unlink("nope"));
  TRY(unlink("."));
  TRY(unlink("l/"));
  TRY(link("f", "g"));
  TRY(link("f", "g"));
  TRY(link("d", "dd"));
  TRY(link("nope", "x"));
  TRY(link("l", "ll"));
  showStatus("ll");
  TRY(linkat(AT_FDCWD, "l", AT_FDCWD, "lf", AT_SYMLINK_FOLLOW));
  showStatus("lf");
  TRY(link("f", "x/"));
  TRY(link("f", "d"));
  TRY(rename("f", "f2"));
  TRY(rename("f2", "f"));
  TRY(rename("nope", "z"));
  TRY(rename("f", "d"));
  TRY(rename("d", "f"));
  TRY(rename("d", "d/x"));
  TRY(rename("d", "d"));
  TRY(rename("f", "nope/x"));
  TRY(rename("f", "z/"));
  TRY(rename("d", "e1/"));
  TRY(rename("e1", "d"));
  TRY(rename("d/.", "x"));
  TRY(rename("d", "."));
  TRY(rename("g", "f"));
  showStatus("g");
  TRY(mkdir("n1", 0700));
  TRY(mkdir("n2", 0700));
  TRY(open("n2/file", O_CREAT|O_RDWR, 0600));
  close(4);
  TRY(rename("n1", "n2"));
  TRY(rename("n2", "n1"));
  showStatus("n1/file");
  TRY(renameat2(AT_FDCWD, "f", AT_FDCWD, "l", RENAME_NOREPLACE));
  TRY(renameat2(AT_FDCWD, "l", AT_FDCWD, "l9", RENAME_NOREPLACE));
  TRY(rename("l9", "l"));
  TRY(renameat2(AT_FDCWD, "d", AT_FDCWD, "d9", RENAME_NOREPLACE));
  TRY(rename("d9", "d"));

  /* Attributes. */
  TRY(access("f", R_OK|W_OK));
  TRY(access("f", X_OK));
  TRY(access("nope", F_OK));
  TRY(access("l", F_OK));
  TRY(access("f", 99));
  TRY(faccessat(AT_FDCWD, "loop", F_OK, AT_SYMLINK_NOFOLLOW));
  TRY(chmod("f", 04755));
  showStatus("f");
  TRY(chmod("nope", 0));
  TRY(fchmod(f, 0600));
  showStatus("f");
  TRY(fchmodat(AT_FDCWD, "l", 0640, 0));
  showStatus("f");
  TRY(chmod("d", 0700));
  struct timespec ts[2] = {{1000000000, 123456789}, {1500000000, 500000000}};
  TRY(utimensat(AT_FDCWD, "f", ts, 0));
  struct stat s;
  stat("f", &s);
  printf("mtime %ld.%ld atime %ld\n", s.st_mtim.tv_sec, s.st_mtim.tv_nsec, s.st_atim.tv_sec);
  ts[0].tv_nsec=UTIME_OMIT;
  ts[1].tv_nsec=2000000000;
  TRY(utimensat(AT_FDCWD, "f", ts, 0));
  ts[1].tv_nsec=UTIME_OMIT;
  TRY(utimensat(AT_FDCWD, "nope", ts, 0));
  TRY(utimensat(AT_FDCWD, "nope", 0, 0));
  TRY(futimens(f, 0));
  TRY(utimensat(AT_FDCWD, "l", 0, AT_SYMLINK_NOFOLLOW));

  /* Descriptors. */
  TRY(dup2(f, f));
  TRY(dup2(99, 5));
  TRY(dup3(f, f, 0));
  TRY(dup2(f, -1));
  TRY(dup2(f, 1000000));
  TRY(dup3(f, 10, O_CLOEXEC));
  TRY(fcntl(10, F_GETFD));
  TRY(fcntl(10, F_GETFL)&~0100000);
  TRY(fcntl(f, F_DUPFD, 20));
  TRY(fcntl(f, F_DUPFD, -1));
  TRY(fcntl(f, F_DUPFD, 100000000));
  TRY(fcntl(99, F_GETFD));
  TRY(fcntl(f, 9999));
  TRY(close(99));
  TRY(close(-1));
  TRY(close(10));
  TRY(close(20));
  TRY(fcntl(f, F_SETFL, O_APPEND));
  TRY(lseek(f, 0, SEEK_SET));
  TRY(write(f, "END", 3));
  TRY(lseek(f, 0, SEEK_CUR));
  TRY(pwrite(f, "Z", 1, 0));
  TRY(fcntl(f, F_SETFL, 0));

  /* Pipes. */
  int p[2];
  TRY(pipe2(p, O_NONBLOCK));
  TRY(read(p[0], b, 1));
  TRY(write(p[1], b, 8192));
  TRY(ioctl(p[0], FIONREAD, b));
  printf("%d\n", *(int*)b);
  TRY(lseek(p[0], 0, SEEK_SET));
  TRY(pread(p[0], b, 1, 0));
  TRY(ftruncate(p[1], 0));
  TRY(fsync(p[0]));
  TRY(write(p[0], b, 1));
  TRY(read(p[1], b, 1));
  TRY(read(p[0], b, 8192));
  TRY(fcntl(p[0], F_GETPIPE_SZ));
  TRY(ioctl(p[0], TCGETS, b));
  TRY(fallocate(p[1], 0, 0, 1));
  TRY(posix_fadvise(p[0], 0, 0, 0));
  struct pollfd pf[3] = {{p[0], POLLIN|POLLOUT, 0}, {p[1], POLLIN|POLLOUT, 0}, {f, POLLIN|POLLOUT, 0}};
  TRY(poll(pf, 3, 0));
  printf("%x %x %x\n", pf[0].revents, pf[1].revents, pf[2].revents);
  TRY(close(p[1]));
  TRY(poll(pf, 1, 0));
  printf("%x\n", pf[0].revents);
  TRY(read(p[0], b, 1));
  TRY(close(p[0]));
  TRY(pipe(p));
  TRY(close(p[0]));
  TRY(write(p[1], "x", 1));
  pf[0].fd=p[1];
  TRY(poll(pf, 1, 0));
  printf("%x\n", pf[0].revents);
  close(p[1]);
  TRY(pipe2(p, 0x1));
  TRY(pipe((int*)8));

  /* Listing and the *at calls. */
  DIR* d = opendir(".");
  int n = 0;
  struct dirent*e;
  while((e=readdir(d)))n++;
  printf("entries %d\n", n);
  closedir(d);
  int dfd = open("d", O_RDONLY|O_DIRECTORY);
  TRY(read(dfd, b, 1));
  TRY(write(dfd, b, 1));
  TRY(lseek(dfd, 0, SEEK_SET));
  TRY(ftruncate(dfd, 0));
  TRY(fsync(dfd));
  TRY(ioctl(dfd, FIONREAD, b));
  TRY(mmap(0, 4096, PROT_READ, MAP_PRIVATE, dfd, 0)==MAP_FAILED?-1:0);
  TRY(openat(dfd, "../f", O_RDONLY));
  TRY(openat(f, "x", O_RDONLY));
  TRY(openat(98, "x", O_RDONLY));
  TRY(mkdirat(dfd, "in", 0700));
  TRY(unlinkat(dfd, "in", 0));
  TRY(unlinkat(dfd, "in", AT_REMOVEDIR));
  TRY(unlinkat(dfd, "in", 0x999));
  TRY(fstatat(dfd, "", (struct stat*)b, 0));
  TRY(fstatat(dfd, "", (struct stat*)b, AT_EMPTY_PATH));
  TRY(fstatat(AT_FDCWD, "f", (struct stat*)b, 0x8));
  int po = open("f", O_PATH);
  TRY(read(po, b, 1));
  TRY(write(po, b, 1));
  TRY(fchmod(po, 0600));
  TRY(fstat(po, &s));
  TRY(fcntl(po, F_GETFL));
  TRY(lseek(po, 0, 0));
  TRY(ioctl(po, FIONREAD, b));
  TRY(getdents64(po, b, 100));
  TRY(ftruncate(po, 0));
  TRY(fsync(po));
  TRY(dup(po)>0);
  TRY(fchdir(po));
  TRY(syscall(SYS_getcwd, b, 1));
  TRY(fchdir(dfd));
  TRY(fchdir(f));
  TRY(chdir("f"));
  TRY(chdir("nope"));
  TRY(chdir(".."));
  TRY(chdir("w"));

  /* Events. */
  TRY(eventfd(0, 0x9));
  int ev = eventfd(3, EFD_NONBLOCK);
  TRY(read(ev, b, 7));
  TRY(read(ev, b, 8));
  printf("%d\n", b[0]);
  TRY(read(ev, b, 8));
  memset(b, 255, 8);
  TRY(write(ev, b, 8));
  b[0]=254;
  TRY(write(ev, b, 8));
  TRY(write(ev, b, 8));
  TRY(write(ev, b, 4));
  TRY(lseek(ev, 0, 0));
  TRY(fsync(ev));
  TRY(ftruncate(ev, 1));
  int ep = epoll_create1(0);
  struct epoll_event ee = {EPOLLIN, {.u64=7}};
  TRY(epoll_ctl(ep, EPOLL_CTL_ADD, f, &ee));
  TRY(epoll_ctl(ep, EPOLL_CTL_ADD, 99, &ee));
  TRY(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ee));
  TRY(epoll_ctl(ep, EPOLL_CTL_MOD, ev, &ee));
  TRY(epoll_ctl(ep, 99, ev, &ee));
  TRY(epoll_ctl(f, EPOLL_CTL_ADD, ev, &ee));
  TRY(epoll_ctl(ep, EPOLL_CTL_ADD, ev, &ee));
  TRY(epoll_wait(ep, (void*)b, 0, 0));
  TRY(epoll_wait(ep, (void*)b, 4, 0));
  TRY(epoll_wait(ep, (void*)8, 4, 0));
  TRY(epoll_wait(f, (void*)b, 4, 0));
  TRY(read(ep, b, 1));
  TRY(epoll_create1(1));
  TRY(epoll_create(0));
  TRY(epoll_ctl(ep, EPOLL_CTL_DEL, ev, 0));
  TRY(epoll_ctl(ep, EPOLL_CTL_ADD, dfd, &ee));
  int tf = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec its = {{0, 0}, {0, 1000000}}, o;
  TRY(timerfd_create(77, 0));
  TRY(read(tf, b, 8));
  TRY(timerfd_settime(tf, 0, &its, &o));
  usleep(5000);
  TRY(read(tf, b, 8));
  printf("%d\n", b[0]);
  TRY(read(tf, b, 8));
  TRY(timerfd_settime(f, 0, &its, 0));
  its.it_value.tv_nsec=-1;
  TRY(timerfd_settime(tf, 0, &its, 0));
  TRY(timerfd_gettime(tf, &o));
  TRY(read(tf, b, 4));
  TRY(write(tf, b, 8));

  /* Vectors and copies. */
  struct iovec iv[2] = {{b, 2}, {b, -1}};
  TRY(readv(f, iv, 2));
  TRY(readv(f, iv, -1));
  TRY(readv(f, iv, 1025));
  TRY(writev(f, iv, 0));
  iv[1].iov_len=2;
  iv[1].iov_base=(void*)8;
  TRY(writev(f, iv, 2));
  TRY(writev(f, iv+1, 1));
  TRY(read(f, (void*)8, 1));
  TRY(write(f, (void*)8, 1));
  TRY(read(f, (void*)8, 0));
  TRY(write(1, 0, 0));
  TRY(sendfile(1, f, 0, 0));
  TRY(sendfile(f, p[0], 0, 5));
  TRY(copy_file_range(f, 0, f, 0, 3, 0));
  TRY(copy_file_range(dfd, 0, f, 0, 3, 0));

  /* Locks and space. */
  TRY(flock(f, LOCK_EX|LOCK_NB));
  TRY(flock(f, 99));
  int f2 = open("f", O_RDWR);
  TRY(flock(f2, LOCK_SH|LOCK_NB));
  struct flock fl = {F_WRLCK, SEEK_SET, 0, 10, 0};
  TRY(fcntl(f, F_SETLK, &fl));
  fl.l_type=F_RDLCK;
  TRY(fcntl(f2, F_SETLK, &fl));
  TRY(fcntl(f2, F_OFD_SETLK, &fl));
  fl.l_type=9;
  TRY(fcntl(f2, F_SETLK, &fl));
  fl.l_type=F_UNLCK;
  TRY(fcntl(f2, F_GETLK, &fl));
  TRY(fallocate(f, 0, 0, 100));
  showStatus("f");
  TRY(fallocate(f, 0, -1, 5));
  TRY(fallocate(f, FALLOC_FL_KEEP_SIZE, 0, 1000));
  TRY(fallocate(f, FALLOC_FL_PUNCH_HOLE, 0, 10));
  TRY(fallocate(f, FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE, 0, 10));
  showStatus("f");
  TRY(fallocate(dfd, 0, 0, 1));
  TRY(posix_fadvise(f, 0, 0, 99));
  TRY(truncate("f", 5));
  TRY(truncate("d", 5));
  TRY(truncate("nope", 5));
  TRY(truncate("f", -1));
  showStatus("f");
  TRY(lseek(f, 0, SEEK_HOLE));
  TRY(lseek(f, 0, SEEK_DATA));
  TRY(lseek(f, 5, SEEK_DATA));
  TRY(lseek(f, -1, SEEK_DATA));

  /* Nodes, memory files. */
  TRY(mkfifo("fifo", 0666));
  showStatus("fifo");
  TRY(open("fifo", O_WRONLY|O_NONBLOCK));
  int ff = open("fifo", O_RDONLY|O_NONBLOCK);
  TRY(read(ff, b, 1));
  TRY(open("fifo", O_WRONLY|O_NONBLOCK)>0);
  TRY(read(ff, b, 1));
  TRY(mknod("reg", S_IFREG|0644, 0));
  showStatus("reg");
  TRY(statfs("nope", (void*)b));
  TRY(syscall(SYS_close_range, 50, 40, 0));
  TRY(syscall(SYS_close_range, 60, 70, 8));
  TRY(syscall(SYS_openat2, AT_FDCWD, "f", b, 8));
  int m = memfd_create("x", MFD_ALLOW_SEALING);
  TRY(write(m, "abc", 3));
  TRY(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
  TRY(write(m, "abc", 3));
  TRY(ftruncate(m, 100));
  TRY(fcntl(m, F_GET_SEALS));
  TRY(fcntl(f, F_GET_SEALS));
  TRY(fcntl(m, F_ADD_SEALS, 64));
  TRY(memfd_create("x", 0x8000));
  fd_set r;
  FD_ZERO(&r);
  FD_SET(f, &r);
  struct timeval tv = {0, 0};
  TRY(select(f+1, &r, 0, 0, &tv));
  TRY(select(-1, &r, 0, 0, &tv));
  tv.tv_usec=-1;
  TRY(select(f+1, &r, 0, 0, &tv));
  FD_SET(200, &r);
  tv.tv_usec=0;
  TRY(select(201, &r, 0, 0, &tv));
  TRY(ioctl(f, TCGETS, b));
  TRY(ioctl(f, 0x12345, b));
  TRY(ioctl(99, TCGETS, b));
  TRY(isatty(f));
  TRY(ttyname_r(f, b, 10));

  /* Wrong names and pointers. */
  char big[5000];
  memset(big, 'a', 4999);
  big[4999]=0;
  TRY(open(big, O_RDONLY));
  big[300]=0;
  TRY(open(big, O_RDONLY));
  TRY(mkdir(big, 0700));
  TRY(stat(big, &s));
  TRY(open((char*)8, O_RDONLY));
  TRY(stat("f", (struct stat*)8));
  TRY(rename("f", (char*)8));
  TRY(readlink("l", (char*)8, 10));
  TRY(getcwd((char*)8, 100)==0?-1:0);

  /* /dev, /proc, mappings. */
  int de = open("/dev/null", O_RDWR);
  TRY(read(de, b, 1));
  TRY(write(de, b, 5));
  TRY(lseek(de, 5, SEEK_SET));
  TRY(ftruncate(de, 0));
  TRY(fsync(de));
  TRY(mmap(0, 4096, PROT_READ, MAP_PRIVATE, de, 0)==MAP_FAILED?-1:0);
  TRY(open("/dev/null/x", O_RDONLY));
  TRY(open("/dev/zero", O_RDWR|O_TRUNC)>0);
  TRY(open("/dev/full", O_RDWR|O_DIRECTORY));
  TRY(open("/proc/self/nope", O_RDONLY));
  TRY(mkdir("/proc/x", 0700));
  TRY(open("/proc/self/fd/3", O_RDONLY)>0);
  TRY(readlink("/proc/self/exe", b, 0));
  TRY(open("/proc/self/fd/99", O_RDONLY));
  TRY(opendir("/proc/self/task")==0);
  TRY(mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, open("f", O_RDONLY), 0)==MAP_FAILED?-1:0);
  TRY(mmap(0, 4096, PROT_READ, MAP_PRIVATE, open("f", O_WRONLY), 0)==MAP_FAILED?-1:0);
  TRY(mmap(0, 4096, PROT_READ, MAP_PRIVATE, p[0], 0)==MAP_FAILED?-1:0);

  /* Two names that change places. */
  TRY(mkdir("x", 0700));
  TRY(mkdir("x/d", 0700));
  TRY(close(open("x/d/in", O_CREAT|O_WRONLY, 0600)));
  TRY(write(open("x/f", O_CREAT|O_WRONLY, 0600), "text", 4));
  TRY(symlink("nowhere", "x/l"));
  TRY(link("x/f", "x/same"));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/f", RENAME_EXCHANGE));
  showStatus("x/d");
  showStatus("x/f");
  showStatus("x/f/in");
  TRY(renameat2(AT_FDCWD, "x/l", AT_FDCWD, "x/f/in", RENAME_EXCHANGE));
  showStatus("x/l");
  showStatus("x/f/in");
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/same", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/d", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/nope", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/nope", AT_FDCWD, "x/d", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/f", AT_FDCWD, "x/f/in", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/f/in", AT_FDCWD, "x/f", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/f", AT_FDCWD, "x/d/", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/f/", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/d/", AT_FDCWD, "x/f", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/..", RENAME_EXCHANGE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/f", RENAME_EXCHANGE|RENAME_NOREPLACE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/f", RENAME_EXCHANGE|RENAME_WHITEOUT));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/f", 8));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "x/l", RENAME_NOREPLACE));
  TRY(renameat2(AT_FDCWD, "x/d", AT_FDCWD, "/dev/null", RENAME_EXCHANGE));

  /* A mere name of a file leads to the file. */
  char link_[64];
  int name = open("x/same", O_PATH);
  sprintf(link_, "/proc/self/fd/%d", name);
  TRY(read(name, b, 1));
  TRY(open(link_, O_RDWR) > 0);
  TRY(truncate(link_, 2));
  TRY(chmod(link_, 0640));
  showStatus("x/same");
  TRY(symlink("same", "x/link"));
  sprintf(link_, "/proc/self/fd/%d", open("x/link", O_PATH|O_NOFOLLOW));
  TRY(open(link_, O_RDONLY));
  sprintf(link_, "/proc/self/fd/%d", open("x/f", O_PATH));
  TRY(open(link_, O_RDONLY|O_DIRECTORY) > 0);
  sprintf(link_, "/proc/self/fd/%d", open("/dev/null", O_PATH));
  TRY(open(link_, O_RDWR) > 0);
  int program = open("/proc/self/exe", O_PATH), status = 0;
  char *arguments[] = {"files", "executed", NULL};
  if (fork() == 0) {
    syscall(SYS_execveat, program, "", arguments, environ, AT_EMPTY_PATH);
    _exit(errno);
  }
  wait(&status);
  printf("execveat of a name: %d\n", WEXITSTATUS(status));
  return 0;
}
