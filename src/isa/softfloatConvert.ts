import {
  type FloatFormat,
  type FloatStatus,
  KIND_INFINITE,
  KIND_NAN,
  KIND_ZERO,
  NV,
  NX,
  packInfinity,
  packZero,
  roundAndPack,
  roundShift,
  unpack,
} from './softfloat.js';

/**
 * Converts a floating-point number to an integer of `width` bits (32 or 64), rounding in mode `rm`, and returns it as the 64-bit
 * register pattern (32-bit results sign-extended, the unsigned ones too). Out of range raises NV alone and saturates;
 * NaN counts as the largest value.
 */
export function softToInteger(
  format: FloatFormat,
  bits: bigint,
  width: 32 | 64,
  signed: boolean,
  rm: number,
  status: FloatStatus,
): bigint {
  const x = unpack(format, bits);
  const size = BigInt(width);
  const largest = signed ? (1n << (size - 1n)) - 1n : (1n << size) - 1n;
  const smallest = signed ? -(1n << (size - 1n)) : 0n;
  let result: bigint;
  if (x.kind === KIND_ZERO) return 0n;
  if (x.kind === KIND_NAN || (x.kind === KIND_INFINITE && !x.negative) || x.exponent > 64) {
    status.flags |= NV;
    result = x.kind !== KIND_NAN && x.negative ? smallest : largest;
  } else if (x.kind === KIND_INFINITE) {
    status.flags |= NV;
    result = smallest;
  } else {
    let exact = true;
    let magnitude: bigint;
    if (x.exponent >= 0) magnitude = x.significand << BigInt(x.exponent);
    else {
      const shift = BigInt(-x.exponent);
      magnitude = roundShift(x.significand, shift, x.negative, rm);
      exact = magnitude << shift === x.significand;
    }
    result = x.negative ? -magnitude : magnitude;
    if (result > largest || result < smallest) {
      status.flags |= NV;
      result = x.negative ? smallest : largest;
    } else if (!exact) status.flags |= NX;
  }
  return BigInt.asUintN(64, width === 32 ? BigInt.asIntN(32, result) : result);
}

/** Converts an integer, given as the exact number it stands for, to a floating-point number. Zero becomes +0. */
export function softFromInteger(format: FloatFormat, value: bigint, rm: number, status: FloatStatus): bigint {
  if (value === 0n) return 0n;
  return roundAndPack(format, value < 0n, 0, value < 0n ? -value : value, rm, status);
}

/** Converts between formats. NaNs become the canonical one; signalling ones raise NV. */
export function softConvert(
  from: FloatFormat,
  to: FloatFormat,
  bits: bigint,
  rm: number,
  status: FloatStatus,
): bigint {
  const x = unpack(from, bits);
  if (x.kind === KIND_NAN) {
    if (x.signalling) status.flags |= NV;
    return to.canonicalNaN;
  }
  if (x.kind === KIND_INFINITE) return packInfinity(to, x.negative);
  if (x.kind === KIND_ZERO) return packZero(to, x.negative);
  return roundAndPack(to, x.negative, x.exponent, x.significand, rm, status);
}
