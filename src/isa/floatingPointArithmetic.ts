import { type F32, type F64, f32, f64, type I32, type I64, i32, select } from '../wasm/index.js';
import type { Builder, Helper, Semantics } from './builder.js';
import { asDouble, boxSingle, double, exactly, single, unboxedBits } from './floatingPointAccess.js';
import {
  FLOAT_ADD,
  FLOAT_DIV,
  FLOAT_DOUBLE,
  FLOAT_MADD,
  FLOAT_MSUB,
  FLOAT_MUL,
  FLOAT_NMADD,
  FLOAT_NMSUB,
  FLOAT_SQRT,
  FLOAT_SUB,
} from './floatingPointExact.js';
import {
  bitsOf,
  isFinite32,
  isFinite64,
  isNormal64,
  isOrdinary32,
  isOrdinary64,
  isWellOrdinary32,
  isWellOrdinary64,
  isZero32,
  isZero64,
  judgeFused64,
  judgeProduct32,
  judgeProduct64,
  judgeQuotient32,
  judgeQuotient64,
  judgeRoot32,
  judgeRoot64,
  judgeSum32,
  judgeSum64,
  productDiffers,
  sumError64,
} from './floatingPointExactness.js';
import {
  fusedIsInexact32,
  judgeFused32,
  multiplyAdd32,
  relaxedMultiplyAdd,
  softwareMultiplyAdd,
} from './floatingPointFused.js';

/**
 * Addition, multiplication, division, square root and fused multiply-add.
 *
 * The fast tier computes to nearest even and gives up on results that are not ordinary. While the inexact flag is clear it also
 * finds out whether the result is exact, so that programs on exact data never leave it. The exact tier tries the same
 * with helpers and takes the slow path for the rest.
 */

/**
 * Fast tier: requires an ordinary result, or a zero of which `zeroIsExact` says that it was not rounded to. Zeros are too common
 * in data to give up on.
 */
function requireOrdinary64(b: Builder, r: F64, zeroIsExact: () => I32): void {
  const rest = (): void => b.require(i32.or(isOrdinary64(r), i32.and(isZero64(r), zeroIsExact())));
  b.if(i32.eqz(isWellOrdinary64(r)), rest, undefined, false);
}
function requireOrdinary32(b: Builder, r: F32, zeroIsExact: () => I32): void {
  const rest = (): void => b.require(i32.or(isOrdinary32(r), i32.and(isZero32(r), zeroIsExact())));
  b.if(i32.eqz(isWellOrdinary32(r)), rest, undefined, false);
}

/** Products with larger magnitudes have errors that are numbers. */
const LEAST_WITH_ERROR = 2 ** -900;

/**
 * 1 when r ≈ x × y is not exact; zero products that were accepted are. `fused`: whether `f64x2.relaxed_madd` may be used, which gives the
 * error of the product. Fast tier.
 */
function productIsInexact64(b: Builder, x: F64, y: F64, r: F64, fused: boolean): I32 {
  if (fused) {
    const isSmall = f64.lt(f64.abs(r), f64.const(LEAST_WITH_ERROR));
    b.if(isSmall, () => b.require(isZero64(r)), undefined, false);
    return f64.ne(relaxedMultiplyAdd(x, y, f64.neg(r)), f64.const(0));
  }
  const zero = b.hold(isZero64(r));
  b.require(i32.or(zero, i32.and(isNormal64(x), isNormal64(y))));
  return select(zero, i32.const(0), productDiffers(x, y, r));
}

/**
 * While NX is clear: requires nearest even, and that the result is exact; the exact tier does what is not, which sets NX, and that stays so.
 * Comes before any change of state. `judge` says what `inexact` does, in a few instructions: it calls a helper.
 */
function exactWhenClear(b: Builder, inexact: () => I32, judge = inexact): void {
  const rest = (): void => {
    b.require(i32.eqz(b.roundingMode()));
    b.require(i32.eqz(b.expectsInexact ? judge() : inexact()));
  };
  b.if(i32.eqz(b.hardFloat()), rest, undefined, b.expectsInexact ? false : undefined);
}

interface Binary64 {
  readonly operation: number;
  readonly compute: (x: F64, y: F64) => F64;
  /** Fast tier: requires that the result neither overflowed nor underflowed. */
  readonly accept: (b: Builder, x: F64, y: F64, r: F64) => void;
  /** Fast tier, NX clear: 1 when inexact, after requiring whatever that needs. */
  readonly inexact: (b: Builder, x: F64, y: F64, r: F64) => I32;
  readonly judge: Helper<'i32'>;
  /** What the judge is told of y. */
  readonly judged: (y: F64) => F64;
}

/** A finite sum neither overflowed nor underflowed: subnormal sums are exact. */
const finiteSum64 = (b: Builder, _x: F64, _y: F64, r: F64): void => b.require(isFinite64(r));
const finiteSum32 = (b: Builder, _x: F32, _y: F32, r: F32): void => b.require(isFinite32(r));

const same = <T>(value: T): T => value;

/**
 * 1 when the finite r = x + y, rounded to nearest, is not exact. Of r − x and r − y the one with the larger operand is an exact number (Dekker), and
 * what an exact sum leaves is a number both times.
 */
function sumIsInexact64(_b: Builder, x: F64, y: F64, r: F64): I32 {
  return i32.or(f64.ne(f64.sub(r, x), y), f64.ne(f64.sub(r, y), x));
}

function binary64(row: Binary64): Semantics {
  return (b) => {
    const x = double(b, 'rs1');
    const y = double(b, 'rs2');
    if (b.exact) {
      b.setF(
        exactly(b, row.operation | FLOAT_DOUBLE, [bitsOf(x), bitsOf(y)], () => {
          const r = b.hold(row.compute(x, y));
          return { result: bitsOf(r), flags: b.call(row.judge, x, row.judged(y), r) };
        }),
      );
      return;
    }
    const r = b.hold(row.compute(x, y));
    row.accept(b, x, y, r);
    exactWhenClear(
      b,
      () => row.inexact(b, x, y, r),
      () => b.call(row.judge, x, row.judged(y), r),
    );
    b.setF(bitsOf(r));
  };
}

interface Binary32 {
  readonly operation: number;
  readonly compute: (x: F32, y: F32) => F32;
  readonly accept: (b: Builder, x: F32, y: F32, r: F32) => void;
  readonly inexact: (b: Builder, x: F32, y: F32, r: F32) => I32;
  readonly judge: Helper<'i32'>;
  readonly judged: (y: F32) => F32;
}

function sumIsInexact32(_b: Builder, x: F32, y: F32, r: F32): I32 {
  return i32.or(f32.ne(f32.sub(r, x), y), f32.ne(f32.sub(r, y), x));
}

function binary32(row: Binary32): Semantics {
  return (b) => {
    if (b.exact) {
      const registers = [b.hold(b.f('rs1')), b.hold(b.f('rs2'))];
      b.setF(
        exactly(b, row.operation, registers, () => {
          const [x, y] = registers.map((register) => b.hold(f32.reinterpret_i32(unboxedBits(register))));
          const r = b.hold(row.compute(x, y));
          return { result: boxSingle(r), flags: b.call(row.judge, x, row.judged(y), r) };
        }),
      );
      return;
    }
    const x = single(b, 'rs1');
    const y = single(b, 'rs2');
    const r = b.hold(row.compute(x, y));
    row.accept(b, x, y, r);
    exactWhenClear(b, () => row.inexact(b, x, y, r));
    b.setF(boxSingle(r));
  };
}

const sqrt64: Semantics = (b) => {
  const x = double(b, 'rs1');
  if (b.exact) {
    b.setF(
      exactly(b, FLOAT_SQRT | FLOAT_DOUBLE, [bitsOf(x)], () => {
        const r = b.hold(f64.sqrt(x));
        return { result: bitsOf(r), flags: b.call(judgeRoot64, x, r) };
      }),
    );
    return;
  }
  const r = b.hold(f64.sqrt(x));
  requireOrdinary64(b, r, () => i32.const(0));
  exactWhenClear(
    b,
    () => {
      b.require(isNormal64(x));
      return productDiffers(r, r, x);
    },
    () => b.call(judgeRoot64, x, r),
  );
  b.setF(bitsOf(r));
};

const sqrt32: Semantics = (b) => {
  if (b.exact) {
    const register = b.hold(b.f('rs1'));
    b.setF(
      exactly(b, FLOAT_SQRT, [register], () => {
        const x = b.hold(f32.reinterpret_i32(unboxedBits(register)));
        const r = b.hold(f32.sqrt(x));
        return { result: boxSingle(r), flags: b.call(judgeRoot32, x, r) };
      }),
    );
    return;
  }
  const x = single(b, 'rs1');
  const r = b.hold(f32.sqrt(x));
  requireOrdinary32(b, r, () => i32.const(0));
  exactWhenClear(b, () => f64.ne(f64.promote_f32(x), f64.mul(f64.promote_f32(r), f64.promote_f32(r))));
  b.setF(boxSingle(r));
};

/** Signs of the four fused operations: of the product (given to the first factor) and of the addend. */
interface Signs {
  readonly operation: number;
  readonly negateProduct: boolean;
  readonly negateAddend: boolean;
}

const CANCELS_EXACTLY = 2 ** -900;

/** `fused`: whether `f64x2.relaxed_madd` may be used. */
function fused64({ operation, negateProduct, negateAddend }: Signs, fused: boolean): Semantics {
  const factor = (x: F64): F64 => (negateProduct ? f64.neg(x) : x);
  const addend = (z: F64): F64 => (negateAddend ? f64.neg(z) : z);
  return (b) => {
    if (b.exact) {
      const registers: I64[] = [b.hold(b.f('rs1')), b.hold(b.f('rs2')), b.hold(b.f('rs3'))];
      b.setF(
        exactly(b, operation | FLOAT_DOUBLE, registers, () => {
          const x = b.hold(factor(asDouble(registers[0])));
          const y = b.hold(asDouble(registers[1]));
          const z = b.hold(addend(asDouble(registers[2])));
          return {
            result: bitsOf(f64.add(f64.mul(x, y), z)),
            flags: b.call(judgeFused64, x, y, z),
          };
        }),
      );
      return;
    }
    const x = b.hold(factor(asDouble(b.f('rs1'))));
    const y = double(b, 'rs2');
    const z = b.hold(addend(asDouble(b.f('rs3'))));
    // Zero is exact where both terms are, or where they cancel well above the subnormal range.
    const zeroIsExact = (): I32 =>
      i32.or(i32.or(isZero64(x), isZero64(y)), f64.gt(f64.abs(z), f64.const(CANCELS_EXACTLY)));
    if (fused) {
      const r = b.hold(relaxedMultiplyAdd(x, y, z));
      requireOrdinary64(b, r, zeroIsExact);
      const inexact = (): I32 => {
        const p = b.hold(f64.mul(x, y));
        // A product of zero is exact where a factor is zero.
        const isSmall = f64.lt(f64.abs(p), f64.const(LEAST_WITH_ERROR));
        b.if(isSmall, () => b.require(i32.or(isZero64(x), isZero64(y))), undefined, false);
        b.require(f64.eq(relaxedMultiplyAdd(x, y, f64.neg(p)), f64.const(0)));
        return sumIsInexact64(b, p, z, r);
      };
      exactWhenClear(b, inexact, () => b.call(judgeFused64, x, y, z));
      b.setF(bitsOf(r));
      return;
    }
    const result = b.variable('f64');
    b.if(
      b.hardFloat(),
      () => {
        b.set(result, b.call(softwareMultiplyAdd, x, y, z));
        requireOrdinary64(b, result, zeroIsExact);
      },
      () => {
        b.require(i32.eqz(b.roundingMode()));
        const p = b.hold(f64.mul(x, y));
        requireOrdinary64(b, p, () => i32.or(isZero64(x), isZero64(y)));
        b.require(i32.eqz(productIsInexact64(b, x, y, p, false)));
        b.set(result, f64.add(p, z));
        b.require(isFinite64(result));
        b.require(i32.eqz(sumIsInexact64(b, p, z, result)));
      },
    );
    b.setF(bitsOf(result));
  };
}

const MIDPOINT_BITS = 0x1fff_ffff;
const MIDPOINT = 0x1000_0000;

function fused32({ operation, negateProduct, negateAddend }: Signs): Semantics {
  const factor = (x: F32): F32 => (negateProduct ? f32.neg(x) : x);
  const addend = (z: F32): F32 => (negateAddend ? f32.neg(z) : z);
  return (b) => {
    if (b.exact) {
      const registers: I64[] = [b.hold(b.f('rs1')), b.hold(b.f('rs2')), b.hold(b.f('rs3'))];
      b.setF(
        exactly(b, operation, registers, () => {
          const [p, y, q] = registers.map((register) => b.hold(f32.reinterpret_i32(unboxedBits(register))));
          const x = b.hold(factor(p));
          const z = b.hold(addend(q));
          const r = b.call(multiplyAdd32, x, y, z);
          return { result: boxSingle(r), flags: b.call(judgeFused32, x, y, z, r) };
        }),
      );
      return;
    }
    const x = f64.promote_f32(factor(single(b, 'rs1')));
    const y = f64.promote_f32(single(b, 'rs2'));
    const z = b.hold(f64.promote_f32(addend(single(b, 'rs3'))));
    const product = b.hold(f64.mul(x, y));
    const sum = b.hold(f64.add(product, z));
    const r = b.hold(f32.demote_f64(sum));
    // Rounding twice is only wrong where the double lies exactly between two singles.
    const low = i32.and(i32.wrap_i64(bitsOf(sum)), i32.const(MIDPOINT_BITS));
    requireOrdinary32(b, r, () => isZero64(sum));
    b.require(i32.ne(low, i32.const(MIDPOINT)));
    exactWhenClear(b, () => {
      const error = b.hold(sumError64(product, z, sum, (e) => b.hold(e)));
      return fusedIsInexact32(r, sum, error);
    });
    b.setF(boxSingle(r));
  };
}

const FUSED: Readonly<Record<string, Signs>> = {
  fmadd: { operation: FLOAT_MADD, negateProduct: false, negateAddend: false },
  fmsub: { operation: FLOAT_MSUB, negateProduct: false, negateAddend: true },
  fnmsub: { operation: FLOAT_NMSUB, negateProduct: true, negateAddend: false },
  fnmadd: { operation: FLOAT_NMADD, negateProduct: true, negateAddend: true },
};

/**
 * Semantics of F's and D's arithmetic by mnemonic. `fused` says whether `f64x2.relaxed_madd` is available and truly fused
 * (see probeFusedMultiplyAdd); results are the same either way.
 */
export function arithmeticSemantics(fused: boolean): Record<string, Semantics> {
  const rows: Record<string, Semantics> = {
    'fadd.d': binary64({
      operation: FLOAT_ADD,
      compute: f64.add,
      accept: finiteSum64,
      inexact: sumIsInexact64,
      judge: judgeSum64,
      judged: same,
    }),
    'fsub.d': binary64({
      operation: FLOAT_SUB,
      compute: f64.sub,
      accept: finiteSum64,
      inexact: (b, x, y, r) => sumIsInexact64(b, x, f64.neg(y), r),
      judge: judgeSum64,
      judged: f64.neg,
    }),
    'fmul.d': binary64({
      operation: FLOAT_MUL,
      compute: f64.mul,
      accept: (b, x, y, r) => requireOrdinary64(b, r, () => i32.or(isZero64(x), isZero64(y))),
      inexact: (b, x, y, r) => productIsInexact64(b, x, y, r, fused),
      judge: judgeProduct64,
      judged: same,
    }),
    'fdiv.d': binary64({
      operation: FLOAT_DIV,
      compute: f64.div,
      accept: (b, x, _y, r) => requireOrdinary64(b, r, () => isZero64(x)),
      inexact: (b, x, y, r) => {
        const zero = b.hold(isZero64(r));
        b.require(i32.or(zero, i32.and(isNormal64(x), isNormal64(y))));
        return select(zero, i32.const(0), productDiffers(r, y, x));
      },
      judge: judgeQuotient64,
      judged: same,
    }),
    'fsqrt.d': sqrt64,
    'fadd.s': binary32({
      operation: FLOAT_ADD,
      compute: f32.add,
      accept: finiteSum32,
      inexact: sumIsInexact32,
      judge: judgeSum32,
      judged: same,
    }),
    'fsub.s': binary32({
      operation: FLOAT_SUB,
      compute: f32.sub,
      accept: finiteSum32,
      inexact: (b, x, y, r) => sumIsInexact32(b, x, f32.neg(y), r),
      judge: judgeSum32,
      judged: f32.neg,
    }),
    'fmul.s': binary32({
      operation: FLOAT_MUL,
      compute: f32.mul,
      accept: (b, x, y, r) => requireOrdinary32(b, r, () => i32.or(isZero32(x), isZero32(y))),
      inexact: (_b, x, y, r) => f64.ne(f64.promote_f32(r), f64.mul(f64.promote_f32(x), f64.promote_f32(y))),
      judge: judgeProduct32,
      judged: same,
    }),
    'fdiv.s': binary32({
      operation: FLOAT_DIV,
      compute: f32.div,
      // Zero by infinity would break the test of exactness.
      accept: (b, x, y, r) => requireOrdinary32(b, r, () => i32.and(isZero32(x), isFinite32(y))),
      inexact: (_b, x, y, r) => f64.ne(f64.promote_f32(x), f64.mul(f64.promote_f32(r), f64.promote_f32(y))),
      judge: judgeQuotient32,
      judged: same,
    }),
    'fsqrt.s': sqrt32,
  };
  for (const [name, signs] of Object.entries(FUSED)) {
    rows[`${name}.d`] = fused64(signs, fused);
    rows[`${name}.s`] = fused32(signs);
  }
  return rows;
}
