import {
  bitLength,
  DZ,
  type FloatFormat,
  type FloatStatus,
  KIND_FINITE,
  KIND_INFINITE,
  KIND_NAN,
  KIND_ZERO,
  NV,
  packInfinity,
  packZero,
  RDN,
  roundAndPack,
  type Unpacked,
  unpack,
} from './softfloat.js';

/**
 * Exact addition, multiplication, division, square root and fused multiply-add on bit patterns, with RISC-V's results: every NaN
 * that comes out is the canonical one, and a signalling NaN operand raises NV. `rm` is a rounding mode 0 … 4.
 */

/** a + b. */
export function softAdd(format: FloatFormat, a: bigint, b: bigint, rm: number, status: FloatStatus): bigint {
  return addUnpacked(format, unpack(format, a), unpack(format, b), rm, status);
}

/** a − b. */
export function softSub(format: FloatFormat, a: bigint, b: bigint, rm: number, status: FloatStatus): bigint {
  return addUnpacked(format, unpack(format, a), unpack(format, b ^ format.signBit), rm, status);
}

function addUnpacked(format: FloatFormat, x: Unpacked, y: Unpacked, rm: number, status: FloatStatus): bigint {
  if (x.kind === KIND_NAN || y.kind === KIND_NAN) return propagateNaN(format, status, x, y);
  if (x.kind === KIND_INFINITE) {
    if (y.kind === KIND_INFINITE && x.negative !== y.negative) return invalid(format, status);
    return packInfinity(format, x.negative);
  }
  if (y.kind === KIND_INFINITE) return packInfinity(format, y.negative);
  return addFinite(format, x, y, rm, status);
}

/** Adds two finite numbers, either of which may be zero. */
function addFinite(format: FloatFormat, x: Unpacked, y: Unpacked, rm: number, status: FloatStatus): bigint {
  if (x.kind === KIND_ZERO && y.kind === KIND_ZERO)
    return packZero(format, x.negative === y.negative ? x.negative : rm === RDN);
  if (x.kind === KIND_ZERO) return roundAndPack(format, y.negative, y.exponent, y.significand, rm, status);
  if (y.kind === KIND_ZERO) return roundAndPack(format, x.negative, x.exponent, x.significand, rm, status);
  const exponent = Math.min(x.exponent, y.exponent);
  const xs = x.significand << BigInt(x.exponent - exponent);
  const ys = y.significand << BigInt(y.exponent - exponent);
  if (x.negative === y.negative) return roundAndPack(format, x.negative, exponent, xs + ys, rm, status);
  if (xs === ys) return packZero(format, rm === RDN);
  return xs > ys
    ? roundAndPack(format, x.negative, exponent, xs - ys, rm, status)
    : roundAndPack(format, y.negative, exponent, ys - xs, rm, status);
}

/** a × b. */
export function softMul(format: FloatFormat, a: bigint, b: bigint, rm: number, status: FloatStatus): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  if (x.kind === KIND_NAN || y.kind === KIND_NAN) return propagateNaN(format, status, x, y);
  const negative = x.negative !== y.negative;
  if (x.kind === KIND_INFINITE || y.kind === KIND_INFINITE) {
    if (x.kind === KIND_ZERO || y.kind === KIND_ZERO) return invalid(format, status);
    return packInfinity(format, negative);
  }
  if (x.kind === KIND_ZERO || y.kind === KIND_ZERO) return packZero(format, negative);
  return roundAndPack(format, negative, x.exponent + y.exponent, x.significand * y.significand, rm, status);
}

/** a ÷ b. */
export function softDiv(format: FloatFormat, a: bigint, b: bigint, rm: number, status: FloatStatus): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  if (x.kind === KIND_NAN || y.kind === KIND_NAN) return propagateNaN(format, status, x, y);
  const negative = x.negative !== y.negative;
  if (x.kind === KIND_INFINITE) {
    if (y.kind === KIND_INFINITE) return invalid(format, status);
    return packInfinity(format, negative);
  }
  if (y.kind === KIND_INFINITE) return packZero(format, negative);
  if (y.kind === KIND_ZERO) {
    if (x.kind === KIND_ZERO) return invalid(format, status);
    status.flags |= DZ;
    return packInfinity(format, negative);
  }
  if (x.kind === KIND_ZERO) return packZero(format, negative);
  // Enough quotient bits for any two significands, then one sticky bit for the remainder.
  const shift = 2 * format.precision + 2;
  const dividend = x.significand << BigInt(shift);
  const quotient = dividend / y.significand;
  const sticky = quotient * y.significand === dividend ? 0n : 1n;
  const exponent = x.exponent - y.exponent - shift - 1;
  return roundAndPack(format, negative, exponent, (quotient << 1n) | sticky, rm, status);
}

/** √a. */
export function softSqrt(format: FloatFormat, a: bigint, rm: number, status: FloatStatus): bigint {
  const x = unpack(format, a);
  if (x.kind === KIND_NAN) return propagateNaN(format, status, x, x);
  if (x.kind === KIND_ZERO) return a;
  if (x.negative) return invalid(format, status);
  if (x.kind === KIND_INFINITE) return a;
  // A radicand of at least 2 × precision + 4 bits with an even exponent.
  let shift = 2 * format.precision + 4 - bitLength(x.significand);
  if (((x.exponent - shift) & 1) !== 0) shift++;
  const radicand = x.significand << BigInt(shift);
  const root = integerSqrt(radicand);
  const sticky = root * root === radicand ? 0n : 1n;
  return roundAndPack(format, false, (x.exponent - shift) / 2 - 1, (root << 1n) | sticky, rm, status);
}

function integerSqrt(value: bigint): bigint {
  let root = BigInt(Math.floor(Math.sqrt(Number(value))));
  root = (root + value / root) >> 1n;
  while (root * root > value) root--;
  while ((root + 1n) * (root + 1n) <= value) root++;
  return root;
}

/** a × b + c with one rounding. Infinity times zero raises NV even when c is a quiet NaN. */
export function softFma(
  format: FloatFormat,
  a: bigint,
  b: bigint,
  c: bigint,
  rm: number,
  status: FloatStatus,
): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  const z = unpack(format, c);
  const impossible =
    (x.kind === KIND_INFINITE && y.kind === KIND_ZERO) || (x.kind === KIND_ZERO && y.kind === KIND_INFINITE);
  if (x.kind === KIND_NAN || y.kind === KIND_NAN || z.kind === KIND_NAN || impossible) {
    if (impossible || z.signalling) status.flags |= NV;
    return propagateNaN(format, status, x, y);
  }
  const negative = x.negative !== y.negative;
  if (x.kind === KIND_INFINITE || y.kind === KIND_INFINITE) {
    if (z.kind === KIND_INFINITE && z.negative !== negative) return invalid(format, status);
    return packInfinity(format, negative);
  }
  if (z.kind === KIND_INFINITE) return packInfinity(format, z.negative);
  const product: Unpacked = {
    kind: x.kind === KIND_ZERO || y.kind === KIND_ZERO ? KIND_ZERO : KIND_FINITE,
    negative,
    exponent: x.exponent + y.exponent,
    significand: x.significand * y.significand,
    signalling: false,
  };
  return addFinite(format, product, z, rm, status);
}

function propagateNaN(format: FloatFormat, status: FloatStatus, x: Unpacked, y: Unpacked): bigint {
  if (x.signalling || y.signalling) status.flags |= NV;
  return format.canonicalNaN;
}

function invalid(format: FloatFormat, status: FloatStatus): bigint {
  status.flags |= NV;
  return format.canonicalNaN;
}
