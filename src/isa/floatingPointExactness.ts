import { type F32, type F64, f32, f64, type I32, type I64, i32, i64 } from '../wasm/index.js';
import type { Helper } from './builder.js';

/**
 * Deciding in WebAssembly whether a result that was rounded to nearest even is exact, so that the inexact flag is right without
 * the slow path. All of it rests on error-free transformations (the error of a sum is a number; the product of two
 * significands fits in 106 bits, of which comparing 64 suffices) inside the exponent ranges where those hold.
 */

/** What a judge says: the flags to raise (0 or NX), or this: ask the slow path. */
export const UNDECIDED = -1;

const FRACTION = 0x000f_ffff_ffff_ffffn;
const IMPLICIT = 0x0010_0000_0000_0000n;
export const LEAST_NORMAL_64 = 2 ** -1022;
export const LEAST_NORMAL_32 = 2 ** -126;

/** A double's bits. */
export function bitsOf(x: F64): I64 {
  return i64.reinterpret_f64(x);
}

/** |x| < ∞, false for NaN. */
export function isFinite64(x: F64): I32 {
  return f64.lt(f64.abs(x), f64.const(Infinity));
}
export function isFinite32(x: F32): I32 {
  return f32.lt(f32.abs(x), f32.const(Infinity));
}

/**
 * Finite and larger than the least normal number: a rounded result like that neither overflowed nor underflowed. (The least
 * normal number itself may be the rounded form of something tiny.)
 */
export function isOrdinary64(x: F64): I32 {
  return i32.and(f64.gt(f64.abs(x), f64.const(LEAST_NORMAL_64)), isFinite64(x));
}
export function isOrdinary32(x: F32): I32 {
  return i32.and(f32.gt(f32.abs(x), f32.const(LEAST_NORMAL_32)), isFinite32(x));
}

/** Ordinary, and not just so: what this says no to may be ordinary still. One comparison of integers. */
export function isWellOrdinary64(x: F64): I32 {
  const high = i32.wrap_i64(i64.shr_u(bitsOf(x), i64.const(32)));
  // The exponent, without the sign, is from 2 to 0x7fe.
  const exponent = i32.sub(i32.shl(high, i32.const(1)), i32.const(2 << 21));
  return i32.lt_u(exponent, i32.const((0x7fd << 21) | 0));
}
export function isWellOrdinary32(x: F32): I32 {
  const exponent = i32.sub(i32.shl(i32.reinterpret_f32(x), i32.const(1)), i32.const(2 << 24));
  return i32.lt_u(exponent, i32.const((0xfd << 24) | 0));
}

/** Not subnormal, not zero. (True for infinities and NaNs, which callers exclude otherwise.) */
export function isNormal64(x: F64): I32 {
  return i64.ge_u(i64.shl(bitsOf(x), i64.const(1)), i64.const(IMPLICIT << 1n));
}

/** The rounding error of `sum` = x + y: Knuth's TwoSum. A NaN or infinity when it overflowed on the way. */
export function sumError64(x: F64, y: F64, sum: F64, hold: (e: F64) => F64): F64 {
  const yPart = hold(f64.sub(sum, x));
  return f64.add(f64.sub(x, f64.sub(sum, yPart)), f64.sub(y, yPart));
}
export function sumError32(x: F32, y: F32, sum: F32, hold: (e: F32) => F32): F32 {
  const yPart = hold(f32.sub(sum, x));
  return f32.add(f32.sub(x, f32.sub(sum, yPart)), f32.sub(y, yPart));
}

function significand(x: F64): I64 {
  return i64.or(i64.and(bitsOf(x), i64.const(FRACTION)), i64.const(IMPLICIT));
}

function biasedExponent(x: F64): I64 {
  return i64.and(i64.shr_u(bitsOf(x), i64.const(52)), i64.const(0x7ff));
}

/**
 * 1 unless x × y is exactly `target`, for three normal numbers of which `target` is known to be x × y up to a few units in the
 * last place. Comparing the products of significands modulo 2^64 is enough then.
 */
export function productDiffers(x: F64, y: F64, target: F64): I32 {
  const shift = i64.sub(
    i64.add(biasedExponent(target), i64.const(1075)),
    i64.add(biasedExponent(x), biasedExponent(y)),
  );
  return i64.ne(i64.mul(significand(x), significand(y)), i64.shl(significand(target), shift));
}

type Judge = Helper<'i32'>;

/** Judges x + y = r (for differences the caller negates y). */
export const judgeSum64: Judge = {
  name: 'judgeSum64',
  params: ['f64', 'f64', 'f64'],
  result: 'i32',
  define(f) {
    const [x, y, r] = [f.param('f64', 0), f.param('f64', 1), f.param('f64', 2)];
    f.if(isFinite64(r), () => {
      const error = f.hold(sumError64(x, y, r, (e) => f.hold(e)));
      f.if(isFinite64(error), () => f.return(f64.ne(error, f64.const(0))));
    });
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges x × y = r. */
export const judgeProduct64: Judge = {
  name: 'judgeProduct64',
  params: ['f64', 'f64', 'f64'],
  result: 'i32',
  define(f) {
    const [x, y, r] = [f.param('f64', 0), f.param('f64', 1), f.param('f64', 2)];
    f.if(i32.and(isOrdinary64(r), i32.and(isNormal64(x), isNormal64(y))), () =>
      f.return(productDiffers(x, y, r)),
    );
    f.if(i32.and(isZero64(r), i32.or(isZero64(x), isZero64(y))), () => f.return(i32.const(0)));
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges x ÷ y = r. */
export const judgeQuotient64: Judge = {
  name: 'judgeQuotient64',
  params: ['f64', 'f64', 'f64'],
  result: 'i32',
  define(f) {
    const [x, y, r] = [f.param('f64', 0), f.param('f64', 1), f.param('f64', 2)];
    f.if(i32.and(isOrdinary64(r), i32.and(isNormal64(x), isNormal64(y))), () =>
      f.return(productDiffers(r, y, x)),
    );
    f.if(i32.and(isZero64(r), isZero64(x)), () => f.return(i32.const(0)));
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges √x = r. */
export const judgeRoot64: Judge = {
  name: 'judgeRoot64',
  params: ['f64', 'f64'],
  result: 'i32',
  define(f) {
    const [x, r] = [f.param('f64', 0), f.param('f64', 1)];
    f.if(i32.and(isOrdinary64(r), isNormal64(x)), () => f.return(productDiffers(r, r, x)));
    f.if(isZero64(x), () => f.return(i32.const(0)));
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges x × y + z computed as a product and a sum: decided when the product is exact. */
export const judgeFused64: Judge = {
  name: 'judgeFused64',
  params: ['f64', 'f64', 'f64'],
  result: 'i32',
  define(f, use) {
    const [x, y, z] = [f.param('f64', 0), f.param('f64', 1), f.param('f64', 2)];
    const product = f.hold(f64.mul(x, y));
    f.if(i32.eqz(use(judgeProduct64, x, y, product)), () =>
      f.return(use(judgeSum64, product, z, f64.add(product, z))),
    );
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges x + y = r. */
export const judgeSum32: Judge = {
  name: 'judgeSum32',
  params: ['f32', 'f32', 'f32'],
  result: 'i32',
  define(f) {
    const [x, y, r] = [f.param('f32', 0), f.param('f32', 1), f.param('f32', 2)];
    f.if(isFinite32(r), () => {
      const error = f.hold(sumError32(x, y, r, (e) => f.hold(e)));
      f.if(isFinite32(error), () => f.return(f32.ne(error, f32.const(0))));
    });
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges x × y = r: products of singles are exact doubles. */
export const judgeProduct32: Judge = {
  name: 'judgeProduct32',
  params: ['f32', 'f32', 'f32'],
  result: 'i32',
  define(f) {
    const [x, y, r] = [f.param('f32', 0), f.param('f32', 1), f.param('f32', 2)];
    const zeroOperand = i32.or(isZero32(x), isZero32(y));
    f.if(i32.or(isOrdinary32(r), i32.and(isZero32(r), zeroOperand)), () =>
      f.return(f64.ne(f64.promote_f32(r), f64.mul(f64.promote_f32(x), f64.promote_f32(y)))),
    );
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges x ÷ y = r. */
export const judgeQuotient32: Judge = {
  name: 'judgeQuotient32',
  params: ['f32', 'f32', 'f32'],
  result: 'i32',
  define(f) {
    const [x, y, r] = [f.param('f32', 0), f.param('f32', 1), f.param('f32', 2)];
    f.if(i32.and(isOrdinary32(r), isFinite32(y)), () =>
      f.return(f64.ne(f64.promote_f32(x), f64.mul(f64.promote_f32(r), f64.promote_f32(y)))),
    );
    f.if(i32.and(isZero32(r), isZero32(x)), () => f.return(i32.const(0)));
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges √x = r. */
export const judgeRoot32: Judge = {
  name: 'judgeRoot32',
  params: ['f32', 'f32'],
  result: 'i32',
  define(f) {
    const [x, r] = [f.param('f32', 0), f.param('f32', 1)];
    f.if(i32.or(isOrdinary32(r), isZero32(x)), () =>
      f.return(f64.ne(f64.promote_f32(x), f64.mul(f64.promote_f32(r), f64.promote_f32(r)))),
    );
    f.return(i32.const(UNDECIDED));
  },
};

/** Judges r = x rounded from binary64 to binary32. */
export const judgeDemotion: Judge = {
  name: 'judgeDemotion',
  params: ['f64', 'f32'],
  result: 'i32',
  define(f) {
    const [x, r] = [f.param('f64', 0), f.param('f32', 1)];
    f.if(i32.or(isOrdinary32(r), isZero64(x)), () => f.return(f64.ne(f64.promote_f32(r), x)));
    f.return(i32.const(UNDECIDED));
  },
};

/** 1 when the magnitude (an unsigned integer) has more significant bits than `precision`. */
export function integerIsInexact(magnitude: I64, precision: number): I32 {
  return i64.lt_u(i64.add(i64.clz(magnitude), i64.ctz(magnitude)), i64.const(64 - precision));
}

export function isZero64(x: F64): I32 {
  return f64.eq(x, f64.const(0));
}
export function isZero32(x: F32): I32 {
  return f32.eq(x, f32.const(0));
}
