import { BINARY32, BINARY64, type FloatFormat, type FloatStatus } from './softfloat.js';
import { softAdd, softDiv, softFma, softMul, softSqrt, softSub } from './softfloatArithmetic.js';
import { softClassify, softEqual, softLess, softLessOrEqual, softMinMax } from './softfloatCompare.js';
import { softConvert, softFromInteger, softToInteger } from './softfloatConvert.js';

/**
 * What the exact slow path can be asked for: an operation, plus FLOAT_DOUBLE when its format (for conversions from or
 * to integers: the floating-point side; for format conversions: the source) is binary64 rather than binary32.
 */
export const FLOAT_ADD = 0;
export const FLOAT_SUB = 1;
export const FLOAT_MUL = 2;
export const FLOAT_DIV = 3;
export const FLOAT_SQRT = 4;
export const FLOAT_MIN = 5;
export const FLOAT_MAX = 6;
export const FLOAT_MADD = 7;
export const FLOAT_MSUB = 8;
export const FLOAT_NMSUB = 9;
export const FLOAT_NMADD = 10;
export const FLOAT_TO_W = 11;
export const FLOAT_TO_WU = 12;
export const FLOAT_TO_L = 13;
export const FLOAT_TO_LU = 14;
export const FLOAT_FROM_W = 15;
export const FLOAT_FROM_WU = 16;
export const FLOAT_FROM_L = 17;
export const FLOAT_FROM_LU = 18;
export const FLOAT_CONVERT = 19;
export const FLOAT_EQ = 20;
export const FLOAT_LT = 21;
export const FLOAT_LE = 22;
export const FLOAT_CLASS = 23;
export const FLOAT_DOUBLE = 32;

const BOX = 0xffff_ffff_0000_0000n;
const LOW = 0xffff_ffffn;

/** The binary32 pattern in a 64-bit f register: the canonical NaN unless it is properly boxed. */
export function unboxSingle(register: bigint): bigint {
  return (register & BOX) === BOX ? register & LOW : BINARY32.canonicalNaN;
}

/** The f register that holds a binary32 pattern. */
export function boxSingle(bits: bigint): bigint {
  return bits | BOX;
}

/**
 * Executes one floating-point operation exactly. Operands are whole registers (f registers NaN-boxed, x registers as
 * unsigned 64-bit patterns), unused ones anything; `rm` is a rounding mode 0 … 4, never dynamic. Returns the destination register and adds
 * to `status.flags`.
 */
export function executeFloat(
  operation: number,
  rm: number,
  a: bigint,
  b: bigint,
  c: bigint,
  status: FloatStatus,
): bigint {
  const double = (operation & FLOAT_DOUBLE) !== 0;
  const format = double ? BINARY64 : BINARY32;
  const kind = operation & 31;
  if (kind >= FLOAT_FROM_W && kind <= FLOAT_FROM_LU) {
    const result = softFromInteger(format, integerOperand(kind, a), rm, status);
    return double ? result : boxSingle(result);
  }
  if (!double) {
    a = unboxSingle(a);
    b = unboxSingle(b);
    c = unboxSingle(c);
  }
  switch (kind) {
    case FLOAT_TO_W:
      return softToInteger(format, a, 32, true, rm, status);
    case FLOAT_TO_WU:
      return softToInteger(format, a, 32, false, rm, status);
    case FLOAT_TO_L:
      return softToInteger(format, a, 64, true, rm, status);
    case FLOAT_TO_LU:
      return softToInteger(format, a, 64, false, rm, status);
    case FLOAT_CONVERT:
      return double
        ? boxSingle(softConvert(BINARY64, BINARY32, a, rm, status))
        : softConvert(BINARY32, BINARY64, a, rm, status);
    case FLOAT_EQ:
      return softEqual(format, a, b, status) ? 1n : 0n;
    case FLOAT_LT:
      return softLess(format, a, b, status) ? 1n : 0n;
    case FLOAT_LE:
      return softLessOrEqual(format, a, b, status) ? 1n : 0n;
    case FLOAT_CLASS:
      return BigInt(softClassify(format, a));
  }
  const result = arithmetic(kind, format, rm, a, b, c, status);
  return double ? result : boxSingle(result);
}

function integerOperand(kind: number, register: bigint): bigint {
  switch (kind) {
    case FLOAT_FROM_W:
      return BigInt.asIntN(32, register);
    case FLOAT_FROM_WU:
      return BigInt.asUintN(32, register);
    case FLOAT_FROM_L:
      return BigInt.asIntN(64, register);
    default:
      return BigInt.asUintN(64, register);
  }
}

function arithmetic(
  kind: number,
  format: FloatFormat,
  rm: number,
  a: bigint,
  b: bigint,
  c: bigint,
  status: FloatStatus,
): bigint {
  switch (kind) {
    case FLOAT_ADD:
      return softAdd(format, a, b, rm, status);
    case FLOAT_SUB:
      return softSub(format, a, b, rm, status);
    case FLOAT_MUL:
      return softMul(format, a, b, rm, status);
    case FLOAT_DIV:
      return softDiv(format, a, b, rm, status);
    case FLOAT_SQRT:
      return softSqrt(format, a, rm, status);
    case FLOAT_MIN:
      return softMinMax(format, a, b, false, status);
    case FLOAT_MAX:
      return softMinMax(format, a, b, true, status);
    case FLOAT_MADD:
      return softFma(format, a, b, c, rm, status);
    case FLOAT_MSUB:
      return softFma(format, a, b, c ^ format.signBit, rm, status);
    case FLOAT_NMSUB:
      return softFma(format, a ^ format.signBit, b, c, rm, status);
    case FLOAT_NMADD:
      return softFma(format, a ^ format.signBit, b, c ^ format.signBit, rm, status);
    default:
      throw new RangeError(`unknown floating-point operation ${kind}`);
  }
}
