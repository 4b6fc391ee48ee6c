/* Files by the C library, sorting, searching, time. argv[1]: a directory that may be written. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int byValue(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

static FILE *sharedFile;
static void *writeLines(void *argument) {
  for (int i = 0; i < 200; i++) fprintf(sharedFile, "%d:%03d\n", (int)(intptr_t)argument, i);
  return NULL;
}

int main(int argc, char **argv) {
  char path[300], line[100];
  snprintf(path, sizeof path, "%s/guest-stdio", argc > 1 ? argv[1] : "/tmp");
  FILE *f = fopen(path, "w+");
  CHECK(f != NULL);
  if (!f) return report("stdio");
  for (int i = 0; i < 5000; i++) fprintf(f, "line %d\n", i);
  EXPECT(ftell(f), 48890);
  rewind(f);
  int n = 0, good = 0;
  while (fgets(line, sizeof line, f)) {
    int value;
    good += sscanf(line, "line %d", &value) == 1 && value == n;
    n++;
  }
  EXPECT(n, 5000);
  EXPECT(good, 5000);
  CHECK(feof(f));
  EXPECT(fseek(f, -9, SEEK_END), 0);
  EXPECT(fread(line, 1, 9, f), 9);
  CHECK(memcmp(line, "ine 4999\n", 9) == 0);
  EXPECT(fseek(f, 5, SEEK_SET), 0);
  EXPECT(fputc('X', f), 'X');
  EXPECT(fflush(f), 0);
  struct stat s;
  EXPECT(fstat(fileno(f), &s), 0);
  EXPECT(s.st_size, 48890);
  fclose(f);
  CHECK(fopen("/nonexistent/x", "r") == NULL);
  EXPECT(errno, ENOENT);

  /* Several threads on one stream: lines stay whole. */
  sharedFile = fopen(path, "w");
  pthread_t t[4];
  for (intptr_t i = 0; i < 4; i++) pthread_create(&t[i], NULL, writeLines, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  fclose(sharedFile);
  f = fopen(path, "r");
  int next[4] = {0}, who, what;
  n = 0;
  while (fscanf(f, "%d:%d\n", &who, &what) == 2) {
    CHECK(who >= 0 && who < 4 && next[who] == what);
    next[who]++;
    n++;
  }
  EXPECT(n, 800);
  fclose(f);

  /* A mapped file. */
  int fd = open(path, O_RDWR);
  char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(map != MAP_FAILED);
  memcpy(map, "MAPPED", 6);
  EXPECT(msync(map, 4096, MS_SYNC), 0);
  EXPECT(pread(fd, line, 6, 0), 6);
  CHECK(memcmp(line, "MAPPED", 6) == 0);
  munmap(map, 4096);
  close(fd);

  DIR *d = opendir(argc > 1 ? argv[1] : "/tmp");
  CHECK(d != NULL);
  int found = 0;
  for (struct dirent *e; (e = readdir(d));) found += strcmp(e->d_name, "guest-stdio") == 0;
  EXPECT(found, 1);
  closedir(d);
  EXPECT(unlink(path), 0);
  EXPECT(access(path, F_OK), -1);

  char *text;
  size_t size;
  f = open_memstream(&text, &size);
  fprintf(f, "%s-%d", "memory", 7);
  fclose(f);
  CHECK(size == 8 && strcmp(text, "memory-7") == 0);
  free(text);

  static int numbers[20000];
  uint32_t x = 1;
  for (int i = 0; i < 20000; i++) numbers[i] = (int)((x = x * 1664525 + 1013904223) >> 8);
  int wanted = numbers[777];
  qsort(numbers, 20000, sizeof *numbers, byValue);
  int ordered = 1;
  for (int i = 1; i < 20000; i++) ordered &= numbers[i - 1] <= numbers[i];
  CHECK(ordered);
  CHECK(bsearch(&wanted, numbers, 20000, sizeof *numbers, byValue) != NULL);

  struct tm tm;
  time_t when = 1234567890;
  gmtime_r(&when, &tm);
  strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S %j %a", &tm);
  printf("%s\n", line);
  EXPECT(timegm(&tm), 1234567890);
  when = 951782400; /* 29 February 2000 */
  gmtime_r(&when, &tm);
  EXPECT(tm.tm_mon * 100 + tm.tm_mday, 129);
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  usleep(10000);
  clock_gettime(CLOCK_MONOTONIC, &b);
  CHECK((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >= 10000000);
  clock_t start = clock();
  for (volatile int i = 0; i < 1000000; i++) {}
  CHECK(clock() >= start);
  CHECK(time(NULL) > 1600000000);

  char *copy = strdup("the quick brown fox jumps over the lazy dog"), *save;
  n = 0;
  for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) n += (int)strlen(w);
  EXPECT(n, 35);
  free(copy);
  CHECK(strstr("needle in a haystack", "hay") != NULL);
  EXPECT(strcasecmp("HeLLo", "hEllO"), 0);
  setenv("GUEST_TEST", "value", 1);
  CHECK(strcmp(getenv("GUEST_TEST"), "value") == 0);
  fprintf(stderr, "to stderr\n");
  return report("stdio");
}
