/* Reading a number from a text file of /proc. */
#ifndef PROC_FIELD_H
#define PROC_FIELD_H
#include <stdio.h>

/* The number that the last line matching `pattern` (as in scanf, with one %d) has in the file `path`; `none` if no line does. */
static inline int procField(const char *path, const char *pattern, int none) {
  char line[200];
  int number = none;
  FILE *file = fopen(path, "r");
  while (file && fgets(line, sizeof line, file)) sscanf(line, pattern, &number);
  if (file) fclose(file);
  return number;
}
#endif
