import { type FloatFormat, type FloatStatus, NV } from './softfloat.js';

/** Comparisons, minimum and maximum, classification: everything that never rounds. All on bit patterns. */

function isNaNBits(format: FloatFormat, bits: bigint): boolean {
  return (bits & ~format.signBit) > format.infinity;
}

function isSignalling(format: FloatFormat, bits: bigint): boolean {
  return isNaNBits(format, bits) && (bits & format.quietBit) === 0n;
}

/** The order of non-NaN patterns as an integer: −0 and +0 both map to 0. */
function order(format: FloatFormat, bits: bigint): bigint {
  return (bits & format.signBit) !== 0n ? -(bits ^ format.signBit) : bits;
}

/** FEQ: quiet; only a signalling NaN raises NV. */
export function softEqual(format: FloatFormat, a: bigint, b: bigint, status: FloatStatus): boolean {
  if (isNaNBits(format, a) || isNaNBits(format, b)) {
    if (isSignalling(format, a) || isSignalling(format, b)) status.flags |= NV;
    return false;
  }
  return order(format, a) === order(format, b);
}

/** FLT: signalling; any NaN raises NV. */
export function softLess(format: FloatFormat, a: bigint, b: bigint, status: FloatStatus): boolean {
  if (isNaNBits(format, a) || isNaNBits(format, b)) {
    status.flags |= NV;
    return false;
  }
  return order(format, a) < order(format, b);
}

/** FLE: signalling; any NaN raises NV. */
export function softLessOrEqual(format: FloatFormat, a: bigint, b: bigint, status: FloatStatus): boolean {
  if (isNaNBits(format, a) || isNaNBits(format, b)) {
    status.flags |= NV;
    return false;
  }
  return order(format, a) <= order(format, b);
}

/**
 * FMIN and FMAX: IEEE 754-2019 minimumNumber and maximumNumber. A NaN loses against a number; −0 is below +0; two NaNs give
 * the canonical NaN; signalling ones raise NV.
 */
export function softMinMax(
  format: FloatFormat,
  a: bigint,
  b: bigint,
  maximum: boolean,
  status: FloatStatus,
): bigint {
  if (isSignalling(format, a) || isSignalling(format, b)) status.flags |= NV;
  if (isNaNBits(format, a)) return isNaNBits(format, b) ? format.canonicalNaN : b;
  if (isNaNBits(format, b)) return a;
  const x = order(format, a);
  const y = order(format, b);
  const aIsLess = x < y || (x === y && (a & format.signBit) !== 0n);
  return aIsLess !== maximum ? a : b;
}

/** FCLASS: one bit of ten. */
export function softClassify(format: FloatFormat, bits: bigint): number {
  const negative = (bits & format.signBit) !== 0n;
  const magnitude = bits & ~format.signBit;
  if (magnitude > format.infinity) return (bits & format.quietBit) === 0n ? 0x100 : 0x200;
  if (magnitude === format.infinity) return negative ? 0x001 : 0x080;
  if (magnitude === 0n) return negative ? 0x008 : 0x010;
  if (magnitude < format.implicitBit) return negative ? 0x004 : 0x020;
  return negative ? 0x002 : 0x040;
}
