/* System V shared memory: ids and keys, attaching, what the arguments may be, and when a segment goes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

static long pageSize;
#define PAGE pageSize
#define FAILED(call, number)  \
  do {                        \
    errno = 0;                \
    EXPECT((long)(call), -1); \
    EXPECT(errno, number);    \
  } while (0)

static long attached(int id) {
  struct shmid_ds ds;
  return shmctl(id, IPC_STAT, &ds) ? -errno : (long)ds.shm_nattch;
}

/* Whether /proc/self/maps has a line with this address and text. */
static int mapped(void *at, const char *text) {
  char line[400], start[32];
  FILE *maps = fopen("/proc/self/maps", "r");
  int found = 0;
  snprintf(start, sizeof start, "%08lx-", (long)at);
  while (fgets(line, sizeof line, maps))
    if (!strncmp(line, start, strlen(start)) && strstr(line, text)) found = 1;
  fclose(maps);
  return found;
}

int main(void) {
  pageSize = sysconf(_SC_PAGESIZE);
  key_t key = 0x67000000 | (getpid() & 0xffffff);
  struct shmid_ds ds;

  /* Making and finding. */
  FAILED(shmget(key, PAGE, 0600), ENOENT);
  FAILED(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
  FAILED(shmget(IPC_PRIVATE, 0, 0600), EINVAL);
  int id = shmget(key, 3 * PAGE + 100, IPC_CREAT | IPC_EXCL | 0640);
  CHECK(id >= 0);
  EXPECT(shmget(key, 0, 0), id);
  EXPECT(shmget(key, PAGE, IPC_CREAT | 0600), id);
  FAILED(shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  FAILED(shmget(key, 3 * PAGE + 101, 0), EINVAL);
  int other = shmget(IPC_PRIVATE, PAGE, 0600);
  CHECK(other >= 0 && other != id);

  EXPECT(shmctl(id, IPC_STAT, &ds), 0);
  EXPECT(ds.shm_perm.__key, key);
  EXPECT(ds.shm_perm.mode, 0640);
  EXPECT(ds.shm_perm.uid, geteuid());
  EXPECT(ds.shm_perm.cgid, getegid());
  EXPECT(ds.shm_segsz, 3 * PAGE + 100);
  EXPECT(ds.shm_cpid, getpid());
  EXPECT(ds.shm_lpid, 0);
  EXPECT(ds.shm_nattch, 0);
  EXPECT(ds.shm_atime, 0);
  CHECK(ds.shm_ctime > 1000000000);

  /* Attaching: one memory at several places. */
  char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
  CHECK(a != (void *)-1 && b != (void *)-1 && a != b);
  EXPECT(attached(id), 2);
  strcpy(a + 2 * PAGE, "through the other");
  EXPECT(strcmp(b + 2 * PAGE, "through the other"), 0);
  EXPECT(a[4 * PAGE - 1], 0);
  CHECK(mapped(a, "rw-s 00000000"));
  CHECK(mapped(b, "r--s 00000000"));
  char name[60];
  snprintf(name, sizeof name, " %d ", id);
  CHECK(mapped(a, name));
  snprintf(name, sizeof name, " /SYSV%08x (deleted)\n", (unsigned)key);
  CHECK(mapped(a, name));
  FAILED(mprotect(b, PAGE, PROT_READ | PROT_WRITE), EACCES);
  shmctl(id, IPC_STAT, &ds);
  EXPECT(ds.shm_lpid, getpid());
  CHECK(ds.shm_atime >= ds.shm_ctime);
  EXPECT(ds.shm_dtime, 0);

  /* Where. */
  char *hole = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  FAILED(shmat(id, hole, 0), EINVAL);
  FAILED(shmat(id, hole + 5, 0), EINVAL);
  FAILED(shmat(id, hole + 12 * PAGE, 0), EINVAL);
  EXPECT(shmat(id, hole, SHM_REMAP), hole);
  EXPECT(shmat(id, hole + 4 * PAGE + 7, SHM_REMAP | SHM_RND), hole + 4 * PAGE);
  EXPECT(strcmp(hole + 6 * PAGE, "through the other"), 0);
  FAILED(shmat(id, NULL, SHM_REMAP), EINVAL);
  FAILED(shmat(id, (void *)100, SHM_REMAP | SHM_RND), EINVAL);
  FAILED(shmat(-1, NULL, 0), EINVAL);
  FAILED(shmat(0x7fffffff, NULL, 0), EINVAL);
  FAILED(shmat(id, (void *)-PAGE, 0), EINVAL);
  munmap(hole + 8 * PAGE, 8 * PAGE);
  EXPECT(shmat(id, hole + 8 * PAGE, 0), hole + 8 * PAGE);
  EXPECT(attached(id), 5);

  /* Detaching: what is left of the attachment, and nothing else. */
  FAILED(shmdt(hole + PAGE), EINVAL);
  FAILED(shmdt(hole + 1), EINVAL);
  FAILED(shmdt(NULL), EINVAL);
  EXPECT(munmap(hole + PAGE, PAGE), 0);
  EXPECT(attached(id), 6);
  char *own = mmap(hole + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  own[0] = 'x';
  EXPECT(shmdt(hole), 0);
  EXPECT(attached(id), 4);
  EXPECT(own[0], 'x');
  FAILED(shmdt(hole), EINVAL);
  EXPECT(strcmp(hole + 6 * PAGE, "through the other"), 0);
  EXPECT(munmap(hole + 4 * PAGE, 2 * PAGE), 0);
  EXPECT(shmdt(hole + 4 * PAGE), 0);
  EXPECT(attached(id), 3);
  shmctl(id, IPC_STAT, &ds);
  CHECK(ds.shm_dtime >= ds.shm_ctime);

  /* Changing. */
  ds.shm_perm.mode = 0607777;
  EXPECT(shmctl(id, IPC_SET, &ds), 0);
  memset(&ds, 0, sizeof ds);
  EXPECT(shmctl(id, IPC_STAT, &ds), 0);
  EXPECT(ds.shm_perm.mode & 01777, 0777);
  FAILED(syscall(SYS_shmctl, id, IPC_SET, 1L), EFAULT);
  FAILED(syscall(SYS_shmctl, 0x7fffffff, IPC_SET, 1L), EFAULT);
  FAILED(syscall(SYS_shmctl, id, IPC_STAT, 1L), EFAULT);
  FAILED(syscall(SYS_shmctl, 0x7fffffff, IPC_STAT, 1L), EINVAL);
  FAILED(shmctl(id, 99, &ds), EINVAL);
  FAILED(shmctl(-1, IPC_STAT, &ds), EINVAL);
  FAILED(shmctl(-1, IPC_INFO, &ds), EINVAL);

  /* The machine's figures. */
  struct shminfo limits;
  struct shm_info used;
  CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&limits) >= 1);
  EXPECT(limits.shmmin, 1);
  EXPECT(limits.shmmni, 4096);
  int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&used);
  CHECK(highest >= 1 && used.used_ids >= 2 && used.shm_tot >= 5 && used.shm_rss >= 1);
  int seen = 0;
  for (int i = 0; i <= highest; i++) seen += shmctl(i, SHM_STAT, &ds) == id;
  EXPECT(seen, 1);

  /* Removing: the key at once, the memory with the last attachment. */
  EXPECT(shmctl(id, IPC_RMID, NULL), 0);
  EXPECT(shmctl(id, IPC_STAT, &ds), 0);
  EXPECT(ds.shm_perm.mode & SHM_DEST, SHM_DEST);
  EXPECT(ds.shm_perm.__key, IPC_PRIVATE);
  int again = shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600);
  CHECK(again >= 0 && again != id);
  char *late = shmat(id, NULL, 0);
  EXPECT(strcmp(late + 2 * PAGE, "through the other"), 0);
  EXPECT(attached(id), 4);
  EXPECT(shmdt(late), 0);
  EXPECT(shmdt(a), 0);
  EXPECT(shmdt(b), 0);
  EXPECT(attached(id), 1);
  EXPECT(munmap(hole + 8 * PAGE, 4 * PAGE), 0);
  EXPECT(attached(id), -EINVAL);
  FAILED(shmat(id, NULL, 0), EINVAL);
  EXPECT(shmctl(again, IPC_RMID, NULL), 0);
  EXPECT(attached(again), -EINVAL);
  EXPECT(shmctl(other, IPC_RMID, NULL), 0);
  FAILED(shmctl(other, IPC_RMID, NULL), EINVAL);
  return report("shm");
}
