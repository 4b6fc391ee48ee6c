/**
 * The ground of the exact floating-point slow path: formats, exception flags, taking numbers apart and rounding them back.
 *
 * Everything works on bit patterns held in BigInts and on exact intermediate values `±significand × 2^exponent` with an
 * unbounded integer significand; the one place that rounds is `roundAndPack`. Formats are data, so binary32, binary64
 * share all of it (binary16 does not come here: floatingPointHalf.ts). Source: IEEE 754-2019 and the RISC-V unprivileged manual, chapters F and D.
 */

/** RISC-V rounding modes, as encoded in `rm` and `frm`. */
export const RNE = 0;
export const RTZ = 1;
export const RDN = 2;
export const RUP = 3;
export const RMM = 4;
/** In an instruction's rm field: take the mode of frm. */
export const RM_DYNAMIC = 7;

/** Accrued exceptions, as encoded in `fflags`. */
export const NX = 1;
export const UF = 2;
export const OF = 4;
export const DZ = 8;
export const NV = 16;

/** Collects the exceptions that operations raise; `flags` only ever gains bits. */
export interface FloatStatus {
  flags: number;
}

/** An IEEE 754 interchange format. */
export interface FloatFormat {
  readonly width: number;
  /** Significand bits, the implicit one included. */
  readonly precision: number;
  /** Exponent field of infinities and NaNs. */
  readonly exponentMask: number;
  /** Unbiased exponents of the smallest and largest normal numbers. */
  readonly minExponent: number;
  readonly maxExponent: number;
  readonly fractionBits: bigint;
  readonly fractionMask: bigint;
  /** 2^(precision − 1) and 2^precision. */
  readonly implicitBit: bigint;
  readonly significandLimit: bigint;
  readonly signBit: bigint;
  readonly quietBit: bigint;
  readonly infinity: bigint;
  readonly largestFinite: bigint;
  readonly canonicalNaN: bigint;
}

/** The format of `width` bits, `precision` of them significand (the implicit one included). */
export function makeFormat(width: number, precision: number): FloatFormat {
  const exponentBits = width - precision;
  const fractionBits = BigInt(precision - 1);
  const exponentMask = 2 ** exponentBits - 1;
  const implicitBit = 1n << fractionBits;
  const infinity = BigInt(exponentMask) << fractionBits;
  const quietBit = implicitBit >> 1n;
  return Object.freeze({
    width,
    precision,
    exponentMask,
    minExponent: 2 - 2 ** (exponentBits - 1),
    maxExponent: 2 ** (exponentBits - 1) - 1,
    fractionBits,
    fractionMask: implicitBit - 1n,
    implicitBit,
    significandLimit: implicitBit << 1n,
    signBit: 1n << BigInt(width - 1),
    quietBit,
    infinity,
    largestFinite: infinity - 1n,
    canonicalNaN: infinity | quietBit,
  });
}

export const BINARY32 = makeFormat(32, 24);
export const BINARY64 = makeFormat(64, 53);

export const KIND_ZERO = 0;
export const KIND_FINITE = 1;
export const KIND_INFINITE = 2;
export const KIND_NAN = 3;

/** A number taken apart; a finite nonzero one is `(negative ? −1 : 1) × significand × 2^exponent`. */
export interface Unpacked {
  readonly kind: number;
  readonly negative: boolean;
  readonly exponent: number;
  readonly significand: bigint;
  readonly signalling: boolean;
}

/** Takes a bit pattern apart. Subnormal numbers come out as they are, with fewer significand bits. */
export function unpack(format: FloatFormat, bits: bigint): Unpacked {
  const negative = (bits & format.signBit) !== 0n;
  const biased = Number(bits >> format.fractionBits) & format.exponentMask;
  const fraction = bits & format.fractionMask;
  if (biased === format.exponentMask) {
    if (fraction === 0n)
      return { kind: KIND_INFINITE, negative, exponent: 0, significand: 0n, signalling: false };
    const signalling = (fraction & format.quietBit) === 0n;
    return { kind: KIND_NAN, negative, exponent: 0, significand: 0n, signalling };
  }
  const lowest = format.minExponent - format.precision + 1;
  if (biased !== 0)
    return {
      kind: KIND_FINITE,
      negative,
      exponent: lowest + biased - 1,
      significand: fraction | format.implicitBit,
      signalling: false,
    };
  const kind = fraction === 0n ? KIND_ZERO : KIND_FINITE;
  return { kind, negative, exponent: lowest, significand: fraction, signalling: false };
}

const scratch = new Float64Array(1);
const scratchWords = new Uint32Array(scratch.buffer);

/** The number of bits of a positive BigInt. */
export function bitLength(value: bigint): number {
  let extra = 0;
  scratch[0] = Number(value);
  while (scratch[0] === Infinity) {
    value >>= 960n;
    extra += 960;
    scratch[0] = Number(value);
  }
  const length = (scratchWords[1] >>> 20) - 1022;
  // Number() may have rounded 111…1 up to the next power of two.
  return extra + (length > 53 && value >> BigInt(length - 1) === 0n ? length - 1 : length);
}

/**
 * Divides `value` by 2^shift, rounding to an integer in mode `rm`. `negative` is the sign of the number that `value` is
 * the magnitude of. The caller learns of inexactness by `value & (2^shift − 1)`.
 */
export function roundShift(value: bigint, shift: bigint, negative: boolean, rm: number): bigint {
  const kept = value >> shift;
  const rest = value - (kept << shift);
  if (rest === 0n) return kept;
  switch (rm) {
    case RTZ:
      return kept;
    case RDN:
      return negative ? kept + 1n : kept;
    case RUP:
      return negative ? kept : kept + 1n;
    default: {
      const half = 1n << (shift - 1n);
      if (rest > half) return kept + 1n;
      if (rest < half) return kept;
      return rm === RMM || (kept & 1n) === 1n ? kept + 1n : kept;
    }
  }
}

/** A zero of the given sign. */
export function packZero(format: FloatFormat, negative: boolean): bigint {
  return negative ? format.signBit : 0n;
}

/** An infinity of the given sign. */
export function packInfinity(format: FloatFormat, negative: boolean): bigint {
  return negative ? format.signBit | format.infinity : format.infinity;
}

/**
 * Rounds the exact value `±significand × 2^exponent` (significand > 0) to the format in mode `rm`, and raises OF, UF and NX.
 * Underflow is detected after rounding, as RISC-V wants it.
 */
export function roundAndPack(
  format: FloatFormat,
  negative: boolean,
  exponent: number,
  significand: bigint,
  rm: number,
  status: FloatStatus,
): bigint {
  const { precision, minExponent } = format;
  const sign = negative ? format.signBit : 0n;
  const leading = exponent + bitLength(significand) - 1;
  const unbounded = leading - precision + 1;
  const lowest = minExponent - precision + 1;
  let quantum = Math.max(unbounded, lowest);
  let rounded: bigint;
  if (exponent >= quantum) {
    rounded = significand << BigInt(exponent - quantum);
  } else {
    const shift = BigInt(quantum - exponent);
    rounded = roundShift(significand, shift, negative, rm);
    if (rounded << shift !== significand) {
      status.flags |= NX;
      if (leading < minExponent) {
        // Tiny unless rounding with an unbounded exponent would reach the smallest normal number.
        const reaches =
          leading === minExponent - 1 &&
          exponent < unbounded &&
          roundShift(significand, BigInt(unbounded - exponent), negative, rm) === format.significandLimit;
        if (!reaches) status.flags |= UF;
      }
    }
    if (rounded === format.significandLimit) {
      rounded = format.implicitBit;
      quantum++;
    }
  }
  const resultExponent = quantum + precision - 1;
  if (resultExponent > format.maxExponent) {
    status.flags |= OF | NX;
    const toInfinity = rm === RNE || rm === RMM || rm === (negative ? RDN : RUP);
    return sign | (toInfinity ? format.infinity : format.largestFinite);
  }
  // Adding the implicit bit into the exponent field makes subnormal numbers and carries come out right.
  if (rounded < format.implicitBit) return sign | rounded;
  return sign | ((BigInt(resultExponent - minExponent) << format.fractionBits) + rounded);
}
