/* Processes: children that end, children that execute this program anew, and what their parent is told. children [TIMES]. */
#include "sys.h"

/* Inlined, because a child of vfork returns to its parent's frame. */
__attribute__((always_inline)) static inline long startChild(u64 flags) { return sys(__NR_clone, flags | SIGCHLD, 0, 0, 0, 0); }

static void waitFor(long child, int wanted) {
  i32 status = -1;
  EXPECT(sys(__NR_wait4, child, &status, 0, NULL), child);
  EXPECT(status, wanted << 8);
}

static noinline void execute(const char *status) {
  const char *arguments[] = {"status", status, NULL}, *variables[] = {"A=1", NULL};
  sys(__NR_execve, "/proc/self/exe", arguments, variables);
  sys(__NR_exit_group, 127);
}

int childrenMain(int argc, char **argv) {
  long times = argc > 1 ? number(argv[1]) : 3;
  static volatile long written = 1;
  for (long i = 0; i < times; i++) {
    long child = startChild(0);
    if (child == 0) {
      written = 100;
      sys(__NR_exit_group, i & 63);
    }
    CHECK(child > 0);
    waitFor(child, i & 63);
    CHECK(written == 1);
    child = startChild(0);
    if (child == 0) execute("5");
    waitFor(child, 5);
    child = startChild(CLONE_VM | CLONE_VFORK);
    if (child == 0) execute("6");
    waitFor(child, 6);
  }
  EXPECT(sys(__NR_wait4, -1, NULL, 0, NULL), -ECHILD);
  return report("children");
}
