/* Five bodies under gravity. nbody [STEPS] */
#include <math.h>

#include "bench.h"

typedef struct {
  double p[3], v[3], mass;
} Body;

static Body bodies[5];

static void setUp(void) {
  uint64_t x = 12345;
  for (int i = 0; i < 5; i++) {
    for (int k = 0; k < 3; k++) {
      bodies[i].p[k] = (double)(xorshift(&x) >> 40) / (1 << 24) * 20 - 10;
      bodies[i].v[k] = (double)(xorshift(&x) >> 40) / (1 << 24) - 0.5;
    }
    bodies[i].mass = i ? 0.01 * i : 30;
  }
}

static double energy(void) {
  double e = 0;
  for (int i = 0; i < 5; i++) {
    Body *a = &bodies[i];
    e += 0.5 * a->mass * (a->v[0] * a->v[0] + a->v[1] * a->v[1] + a->v[2] * a->v[2]);
    for (int k = i + 1; k < 5; k++) {
      Body *b = &bodies[k];
      double x = a->p[0] - b->p[0], y = a->p[1] - b->p[1], z = a->p[2] - b->p[2];
      e -= a->mass * b->mass / sqrt(x * x + y * y + z * z);
    }
  }
  return e;
}

static void __attribute__((noinline)) advance(double dt) {
  for (int i = 0; i < 5; i++)
    for (int k = i + 1; k < 5; k++) {
      Body *a = &bodies[i], *b = &bodies[k];
      double x = a->p[0] - b->p[0], y = a->p[1] - b->p[1], z = a->p[2] - b->p[2];
      double d2 = x * x + y * y + z * z, f = dt / (d2 * sqrt(d2));
      a->v[0] -= x * b->mass * f, a->v[1] -= y * b->mass * f, a->v[2] -= z * b->mass * f;
      b->v[0] += x * a->mass * f, b->v[1] += y * a->mass * f, b->v[2] += z * a->mass * f;
    }
  for (int i = 0; i < 5; i++)
    for (int k = 0; k < 3; k++) bodies[i].p[k] += dt * bodies[i].v[k];
}

int main(int argc, char **argv) {
  long steps = sizeArgument(argc, argv, 1, 100000);
  setUp();
  double before = energy();
  begin();
  for (long i = 0; i < steps; i++) advance(0.001);
  end();
  printf("nbody %.17g %.17g\n", before, energy());
}
