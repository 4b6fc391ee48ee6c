import { type F64, f64, type I32, i32, i64 } from '../wasm/index.js';
import type { Helper } from './builder.js';

/** Rounding to whole numbers in any mode, entirely in WebAssembly: what Zfa and Zfh share. */

/** A finite double rounded to a whole number in mode 0 … 4; keeps the sign of zero. Infinities stay; NaN is NaN. */
export const roundToIntegral: Helper<'f64'> = {
  name: 'roundToIntegral',
  params: ['f64', 'i32'],
  result: 'f64',
  define(f) {
    const x = f.param('f64', 0);
    const rm = f.param('i32', 1);
    const is = (mode: number): I32 => i32.eq(rm, i32.const(mode));
    f.if(i32.eqz(rm), () => f.return(f64.nearest(x)));
    f.if(is(1), () => f.return(f64.trunc(x)));
    f.if(is(2), () => f.return(f64.floor(x)));
    f.if(is(3), () => f.return(f64.ceil(x)));
    // To nearest, halves away from zero. The difference of a number and its whole part is exact.
    const whole = f.hold(f64.trunc(x));
    f.if(f64.ge(f64.abs(f64.sub(x, whole)), f64.const(0.5)), () =>
      f.return(f64.add(whole, f64.copysign(f64.const(1), x))),
    );
    f.return(whole);
  },
};

export const NX = 1;
export const NV = 16;
export const DZ = 8;
export const OF = 4;
export const UF = 2;

/** 1 when the pattern of a binary64, binary32 (or binary16, in 32 bits) is a signalling NaN; `bits` is evaluated twice. */
export function isSignalling64(x: F64): I32 {
  const bits = i64.reinterpret_f64(x);
  const magnitude = i64.and(bits, i64.const(0x7fff_ffff_ffff_ffffn));
  return i32.and(
    i64.gt_u(magnitude, i64.const(0x7ff0_0000_0000_0000n)),
    i64.lt_u(magnitude, i64.const(0x7ff8_0000_0000_0000n)),
  );
}
export function isSignalling32(bits: I32): I32 {
  const magnitude = i32.and(bits, i32.const(0x7fff_ffff));
  return i32.and(i32.gt_u(magnitude, i32.const(0x7f80_0000)), i32.lt_u(magnitude, i32.const(0x7fc0_0000)));
}
export function isSignalling16(bits: I32): I32 {
  const magnitude = i32.and(bits, i32.const(0x7fff));
  return i32.and(i32.gt_u(magnitude, i32.const(0x7c00)), i32.lt_u(magnitude, i32.const(0x7e00)));
}
/** 1 for any NaN. `x` is evaluated twice. */
export const isNaN64 = (x: F64): I32 => f64.ne(x, x);
