/* One binary, many programs: the first argument (or the name it is started by) picks the applet. */
#include "sys.h"

#define APPLETS(X) \
  X(hello) X(cat) X(args) X(auxv) X(status) X(raise) X(spin) X(threads) X(count) X(signals) X(timers) X(memory) X(cycle) X(share) \
  X(hog) X(reserve) X(fault) X(recursion) X(pipes) X(files) X(futexes) X(hostile) X(identity) X(stdio) X(unknown) X(races) X(mixture) X(pages) \
  X(children)
#define APPLETS_RISCV(X) X(fp) X(atomics) X(selfmodify) X(registers) X(sweep) X(crossing)

#define DECLARE(name) appletMain name##Main;
#define ENTRY(name) {#name, name##Main},
APPLETS(DECLARE)
#ifdef __riscv
APPLETS_RISCV(DECLARE)
#endif

static const struct {
  const char *name;
  appletMain *run;
} applets[] = {
    APPLETS(ENTRY)
#ifdef __riscv
        APPLETS_RISCV(ENTRY)
#endif
};

int main(int argc, char **argv) {
  if (argc > 0) {
    const char *name = argv[0];
    for (const char *p = name; *p; p++)
      if (*p == '/') name = p + 1;
    for (int skip = 0; skip < 2 && skip < argc; skip++) {
      if (skip == 1) name = argv[1];
      for (u64 i = 0; i < sizeof applets / sizeof *applets; i++)
        if (same(applets[i].name, name)) return applets[i].run(argc - skip, argv + skip);
    }
  }
  out("applets:");
  for (u64 i = 0; i < sizeof applets / sizeof *applets; i++) out(" %s", applets[i].name);
  out("\n");
  return 2;
}
