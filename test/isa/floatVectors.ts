/** Operands for floating-point tests: the edges of both formats, and seeded random patterns that are often interesting. */

/** xorshift64*: the same numbers on every machine. */
export class RandomBits {
  private state: bigint;
  constructor(seed: number) {
    this.state = BigInt.asUintN(64, BigInt(seed) * 0x9e37_79b9_7f4a_7c15n + 1n);
  }
  next(): bigint {
    let x = this.state;
    x ^= x >> 12n;
    x = BigInt.asUintN(64, x ^ (x << 25n));
    x ^= x >> 27n;
    this.state = x;
    return BigInt.asUintN(64, x * 0x2545_f491_4f6c_dd1dn);
  }
  below(limit: number): number {
    return Number(this.next() >> 33n) % limit;
  }
}

function edges(width: number, fractionBits: number): bigint[] {
  const f = BigInt(fractionBits);
  const one = 1n << f;
  const bias = (1n << BigInt(width - fractionBits - 2)) - 1n;
  const infinity = ((1n << BigInt(width - fractionBits - 1)) - 1n) << f;
  const at = (exponent: number) => (BigInt(exponent) + bias) << f;
  const values = [
    0n,
    1n, // least subnormal
    2n,
    one - 1n, // greatest subnormal
    one >> 1n,
    one, // least normal
    one + 1n,
    at(-fractionBits),
    at(-fractionBits - 1),
    at(-1),
    at(-1) + 1n,
    at(0) - 1n,
    at(0),
    at(0) + 1n,
    at(0) | (one >> 1n), // 1.5
    at(1), // 2
    at(1) | (one >> 1n), // 3
    at(1) | (one >> 2n), // 2.5
    at(3) | (one >> 2n),
    at(fractionBits) - 1n,
    at(fractionBits),
    at(fractionBits) + 1n,
    at(fractionBits + 1) + 1n,
    at(31) - 1n,
    at(31),
    at(32) - 1n,
    at(32),
    at(63) - 1n,
    at(63),
    at(64) - 1n,
    at(64),
    infinity - one, // greatest power of two
    infinity - 1n, // greatest finite
    infinity,
    infinity + 1n, // signalling NaN
    infinity + (one >> 1n), // quiet NaN
    infinity + (one >> 1n) + 5n,
    infinity + (one >> 1n) - 1n,
  ];
  const sign = 1n << BigInt(width - 1);
  return [...values, ...values.map((v) => v | sign)];
}

export const EDGES_32: readonly bigint[] = edges(32, 23);
export const EDGES_64: readonly bigint[] = edges(64, 52);
/** Some of the exponents are beyond the format: those become other numbers. */
export const EDGES_16: readonly bigint[] = edges(16, 10).map((bits) => BigInt.asUintN(16, bits));

/** Widths of the formats. */
export type Width = 16 | 32 | 64;
const FRACTION_BITS: Readonly<Record<Width, number>> = { 16: 10, 32: 23, 64: 52 };
const EDGES: Readonly<Record<Width, readonly bigint[]>> = { 16: EDGES_16, 32: EDGES_32, 64: EDGES_64 };
/** The edges of a format. */
export const edgesOf = (width: Width): readonly bigint[] => EDGES[width];

/** A random pattern; exponents crowd around 1, the ends of the range and the edges, and fractions are often short. */
export function interesting(random: RandomBits, width: Width): bigint {
  const fractionBits = FRACTION_BITS[width];
  const table = EDGES[width];
  const choice = random.below(16);
  if (choice === 0) return table[random.below(table.length)];
  const f = BigInt(fractionBits);
  let fraction = random.next() & ((1n << f) - 1n);
  if (choice < 5) {
    const cleared = BigInt(random.below(fractionBits + 1));
    fraction = (fraction >> cleared) << cleared;
  } else if (choice === 5) fraction &= 7n;
  else if (choice === 6) fraction |= (1n << f) - 8n;
  const span = 2 ** (width - 1 - fractionBits);
  const bias = span / 2 - 1;
  let exponent: number;
  switch (random.below(8)) {
    case 0:
      exponent = random.below(span);
      break;
    case 1:
      exponent = random.below(4);
      break;
    case 2:
      exponent = span - 1 - random.below(4);
      break;
    case 3:
      exponent = bias + fractionBits - 4 + random.below(16);
      break;
    case 4:
      exponent = (bias >> 1) - 4 + random.below(8);
      break;
    default:
      exponent = bias - 8 + random.below(16);
  }
  const sign = random.next() & 1n;
  exponent = Math.min(Math.max(exponent, 0), span - 1);
  return (sign << BigInt(width - 1)) | (BigInt(exponent) << f) | fraction;
}

/** An f register that holds `bits`: boxed unless it is a double, now and then badly boxed. */
export function register(random: RandomBits, width: Width, bits: bigint): bigint {
  if (width === 64) return bits;
  const size = BigInt(width);
  if (random.below(64) === 0) return ((random.next() >> size) << size) | bits;
  return BigInt.asUintN(64, -1n << size) | bits;
}
