/* Numbers as text and back, by the C library: what printf and strtod say is compared with other systems byte for byte. */
#define _GNU_SOURCE
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "check.h"

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static uint64_t hash = 14695981039346656037u;
static void mix(const char *text) {
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u;
}

int main(void) {
  char text[512];
  static const double values[] = {0.0,  -0.0, 1.0,     0.1,     1.0 / 3, 1e21,    1e22,    123456789.125, 5e-324, DBL_MAX,
                                  DBL_MIN, M_PI, -M_E, 1e100, 1e-100, 0.5, 1.5, 2.5, 9007199254740993.0};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    printf("%g %.17g %a %e %.0f %10.3f %Lg\n", values[i], values[i], values[i], values[i],
           fabs(values[i]) < 1e25 ? values[i] : 0.0, fabs(values[i]) < 1e25 ? values[i] : 0.0, (long double)values[i]);
  printf("%f %f %f\n", INFINITY, -INFINITY, NAN);
  /* Every double survives 17 digits, every float 9, and hexadecimal. */
  for (int i = 0; i < 3000; i++) {
    uint64_t bits = next();
    double d, back;
    memcpy(&d, &bits, 8);
    if (!isfinite(d)) continue;
    snprintf(text, sizeof text, "%.17g", d);
    mix(text);
    back = strtod(text, NULL);
    CHECK(memcmp(&back, &d, 8) == 0);
    snprintf(text, sizeof text, "%a", d);
    back = strtod(text, NULL);
    CHECK(memcmp(&back, &d, 8) == 0);
    uint32_t small = (uint32_t)bits;
    float f, g;
    memcpy(&f, &small, 4);
    if (!isfinite(f)) continue;
    snprintf(text, sizeof text, "%.9g", (double)f);
    mix(text);
    g = strtof(text, NULL);
    CHECK(memcmp(&f, &g, 4) == 0);
    snprintf(text, sizeof text, "%.30Lg", (long double)d / 3);
    snprintf(text, sizeof text, "%.3f", fmod(d, 1e10));
    mix(text);
  }
  /* Elementary functions: good to some digits everywhere. */
  for (int i = 1; i <= 300; i++) {
    double x = i / 7.0;
    snprintf(text, sizeof text, "%.11g %.11g %.11g %.11g %.11g %.11g", sin(x), cos(x), exp(x / 10), log(x), pow(x, 1.7), atan2(x, 3));
    mix(text);
    snprintf(text, sizeof text, "%.5g %.5g %.5g", (double)sinf((float)x), (double)expf((float)x / 10), (double)cbrtf((float)x));
    mix(text);
    CHECK(fabs(sqrt(x) * sqrt(x) - x) < 1e-12);
    CHECK(fma(x, x, -x * x) == fma(x, x, -(x * x)));
  }
  printf("hash %" PRIx64 "\n", hash);
  /* Rounding modes and exceptions. */
  volatile double one = 1, three = 3, zero = 0, big = DBL_MAX;
  fesetround(FE_UPWARD);
  double up = one / three;
  fesetround(FE_DOWNWARD);
  double down = one / three;
  EXPECT(lrint(2.5), 2);
  EXPECT(lrint(-2.5), -3);
  fesetround(FE_TOWARDZERO);
  EXPECT(lrint(-2.7), -2);
  fesetround(FE_TONEAREST);
  EXPECT(lrint(2.5), 2);
  EXPECT(lround(2.5), 3);
  CHECK(up > down && nextafter(down, 1) == up);
  feclearexcept(FE_ALL_EXCEPT);
  volatile double r = one / zero;
  EXPECT(fetestexcept(FE_ALL_EXCEPT), FE_DIVBYZERO);
  feclearexcept(FE_ALL_EXCEPT);
  r = big * big;
  EXPECT(fetestexcept(FE_ALL_EXCEPT), FE_OVERFLOW | FE_INEXACT);
  feclearexcept(FE_ALL_EXCEPT);
  r = zero / zero;
  EXPECT(fetestexcept(FE_ALL_EXCEPT), FE_INVALID);
  CHECK(isnan(r));
  feclearexcept(FE_ALL_EXCEPT);
  r = one + three;
  EXPECT(fetestexcept(FE_ALL_EXCEPT), 0);
  /* Integers. */
  EXPECT(strtol("-0x7fffffffffffffff", NULL, 0), -INT64_MAX);
  EXPECT(strtoul("18446744073709551615", NULL, 10), -1);
  printf("%d %u %ld %lu %x %o %lld %5d|%-5d|%05d|%+d\n", INT32_MIN, UINT32_MAX, INT64_MIN, UINT64_MAX, 0xbeef, 0755, -1LL, 42, 42, 42, 42);
  int a;
  unsigned b;
  char word[10];
  double d;
  EXPECT(sscanf("12 0xff word 2.5e3", "%d %x %9s %lf", &a, &b, word, &d), 4);
  CHECK(a == 12 && b == 255 && strcmp(word, "word") == 0 && d == 2500);
  return report("numbers");
}
