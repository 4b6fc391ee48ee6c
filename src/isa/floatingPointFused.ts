import { Encoding, Expression, type F32, type F64, f32, f64, i32, i64, select } from '../wasm/index.js';
import type { Helper } from './builder.js';
import { isOrdinary32, isZero64, sumError64, UNDECIDED } from './floatingPointExactness.js';

/** Fused multiply-add to nearest even, for machines without one in WebAssembly and (binary32) for all. */

/**
 * x × y + z by `f64x2.relaxed_madd`: fused where the machine's is (`probeFusedMultiplyAdd` says so), which is then the only place
 * where this may be used.
 */
export function relaxedMultiplyAdd(x: F64, y: F64, z: F64): F64 {
  const splat = (value: F64) => new Expression('v128', 0xfd, [value], Encoding.Index, 0x14);
  // Opcodes behind the prefix 0xfd are LEB128 numbers: relaxed_madd is 0x107; extract_lane 0x21 takes a lane number.
  const fused = new Expression('v128', 0xfd, [splat(x), splat(y), splat(z)], Encoding.Index, 0x107);
  return new Expression('f64', 0xfd, [fused], Encoding.Pair, 0x21, 0);
}

/** The value next to `sum` on the side of `error`, unless `sum` is exact or its last bit is set: rounding to odd. */
export function toOdd(sum: F64, error: F64): F64 {
  const bits = i64.reinterpret_f64(sum);
  // One unit away from zero when the signs agree, else one towards it.
  const step = select(
    i64.lt_s(i64.xor(bits, i64.reinterpret_f64(error)), i64.const(0)),
    i64.const(-1),
    i64.const(1),
  );
  const even = i64.eqz(i64.and(bits, i64.const(1)));
  const change = i32.and(f64.ne(error, f64.const(0)), even);
  return f64.reinterpret_i64(i64.add(bits, select(change, step, i64.const(0))));
}

const SPLIT = 2 ** 27 + 1;

/**
 * x × y + z rounded once to nearest even, by the method of Boldo and Melquiond ("Emulation of FMA and correctly rounded sums:
 * proved algorithms using rounding to odd", 2008): the exact product as two doubles, the sum of three with the inner one
 * rounded to odd. NaN where an exponent is too extreme for the steps to be error-free.
 */
export const softwareMultiplyAdd: Helper<'f64'> = {
  name: 'softwareMultiplyAdd',
  params: ['f64', 'f64', 'f64'],
  result: 'f64',
  define(f) {
    const [x, y, z] = [f.param('f64', 0), f.param('f64', 1), f.param('f64', 2)];
    const hold = (value: F64) => f.hold(value);
    const product = hold(f64.mul(x, y));
    const within = (value: F64, low: number, high: number) =>
      i32.and(f64.ge(f64.abs(value), f64.const(low)), f64.le(f64.abs(value), f64.const(high)));
    const low = 2 ** -800;
    const high = 2 ** 900;
    const safe = i32.and(
      within(product, low, high),
      i32.and(within(x, low, high), i32.and(within(y, low, high), within(z, low, high))),
    );
    f.if(i32.eqz(safe), () => {
      f.if(i32.or(isZero64(x), isZero64(y)), () => f.return(f64.add(product, z)));
      // A zero addend leaves the product as it is, if that was not rounded into the subnormal range.
      f.if(i32.and(f64.eq(z, f64.const(0)), within(product, low, high)), () => f.return(product));
      f.return(f64.const(Number.NaN));
    });
    const high27 = (value: F64) => {
      const scaled = hold(f64.mul(value, f64.const(SPLIT)));
      return hold(f64.sub(scaled, f64.sub(scaled, value)));
    };
    const xHigh = high27(x);
    const xLow = hold(f64.sub(x, xHigh));
    const yHigh = high27(y);
    const yLow = hold(f64.sub(y, yHigh));
    let rest = f64.sub(product, f64.mul(xHigh, yHigh));
    rest = f64.sub(rest, f64.mul(xLow, yHigh));
    rest = f64.sub(rest, f64.mul(xHigh, yLow));
    const productLow = hold(f64.sub(f64.mul(xLow, yLow), rest));
    const addendHigh = hold(f64.add(z, productLow));
    const addendLow = hold(sumError64(z, productLow, addendHigh, hold));
    const sumHigh = hold(f64.add(product, addendHigh));
    const sumLow = hold(sumError64(product, addendHigh, sumHigh, hold));
    const tail = hold(f64.add(addendLow, sumLow));
    const tailError = hold(sumError64(addendLow, sumLow, tail, hold));
    f.return(f64.add(sumHigh, toOdd(tail, tailError)));
  },
};

/** x × y + z of singles, rounded once: the product is an exact double, the sum is rounded to odd before it is demoted. */
export const multiplyAdd32: Helper<'f32'> = {
  name: 'multiplyAdd32',
  params: ['f32', 'f32', 'f32'],
  result: 'f32',
  define(f) {
    const [x, y, z] = [f.param('f32', 0), f.param('f32', 1), f.param('f32', 2)];
    const product = f.hold(f64.mul(f64.promote_f32(x), f64.promote_f32(y)));
    const addend = f.hold(f64.promote_f32(z));
    const sum = f.hold(f64.add(product, addend));
    const error = f.hold(sumError64(product, addend, sum, (e) => f.hold(e)));
    f.return(f32.demote_f64(toOdd(sum, error)));
  },
};

/** Judges r = x × y + z of singles, rounded once. */
export const judgeFused32: Helper<'i32'> = {
  name: 'judgeFused32',
  params: ['f32', 'f32', 'f32', 'f32'],
  result: 'i32',
  define(f) {
    const [x, y, z, r] = [f.param('f32', 0), f.param('f32', 1), f.param('f32', 2), f.param('f32', 3)];
    const product = f.hold(f64.mul(f64.promote_f32(x), f64.promote_f32(y)));
    const addend = f.hold(f64.promote_f32(z));
    const sum = f.hold(f64.add(product, addend));
    f.if(i32.or(isOrdinary32(r), f64.eq(sum, f64.const(0))), () => {
      const error = sumError64(product, addend, sum, (e) => f.hold(e));
      f.return(fusedIsInexact32(r, sum, f.hold(error)));
    });
    f.return(i32.const(UNDECIDED));
  },
};

/** 1 unless `result` is the exact value of `sum` + `error`. */
export function fusedIsInexact32(result: F32, sum: F64, error: F64): Expression<'i32'> {
  return i32.or(f64.ne(error, f64.const(0)), f64.ne(f64.promote_f32(result), sum));
}
