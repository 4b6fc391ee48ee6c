import { type F64, f32, f64, type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, Semantics } from './builder.js';
import {
  boxSingle,
  checkRounding,
  double,
  exactly,
  exactlyUnrounded,
  single,
  unboxedBits,
} from './floatingPointAccess.js';
import {
  FLOAT_CONVERT,
  FLOAT_DOUBLE,
  FLOAT_FROM_L,
  FLOAT_FROM_LU,
  FLOAT_FROM_W,
  FLOAT_FROM_WU,
  FLOAT_TO_L,
  FLOAT_TO_LU,
  FLOAT_TO_W,
  FLOAT_TO_WU,
} from './floatingPointExact.js';
import {
  bitsOf,
  integerIsInexact,
  isOrdinary32,
  isWellOrdinary32,
  isZero64,
  judgeDemotion,
  UNDECIDED,
} from './floatingPointExactness.js';

/** Conversions between binary32, binary64 and integers. */

type Integer = 'w' | 'wu' | 'l' | 'lu';

const TO: Readonly<Record<Integer, number>> = {
  w: FLOAT_TO_W,
  wu: FLOAT_TO_WU,
  l: FLOAT_TO_L,
  lu: FLOAT_TO_LU,
};
const FROM: Readonly<Record<Integer, number>> = {
  w: FLOAT_FROM_W,
  wu: FLOAT_FROM_WU,
  l: FLOAT_FROM_L,
  lu: FLOAT_FROM_LU,
};

/** Says whether an integral double is in range of the integer type; false for NaN. */
function inRange(integer: Integer, x: F64): I32 {
  const between = (low: number, high: number) =>
    i32.and(f64.ge(x, f64.const(low)), f64.lt(x, f64.const(high)));
  switch (integer) {
    case 'w':
      return between(-(2 ** 31), 2 ** 31);
    case 'wu':
      return between(0, 2 ** 32);
    case 'l':
      return between(-(2 ** 63), 2 ** 63);
    case 'lu':
      return between(0, 2 ** 64);
  }
}

/** The register with the integer that an integral double in range is. */
function toRegister(integer: Integer, x: F64): I64 {
  switch (integer) {
    case 'w':
      return i64.extend_i32_s(i32.trunc_sat_f64_s(x));
    case 'wu':
      return i64.extend32_s(i64.trunc_sat_f64_s(x));
    case 'l':
      return i64.trunc_sat_f64_s(x);
    case 'lu':
      return i64.trunc_sat_f64_u(x);
  }
}

/**
 * fcvt.{w,wu,l,lu}.{s,d}. Singles go through doubles, which hold them exactly. Fast: towards zero (what C's casts use), in range.
 * The exact tier rounds to an integral double first, except to nearest-away, and leaves the rest to the slow path.
 */
function toInteger(integer: Integer, fromDouble: boolean): Semantics {
  const operation = TO[integer] | (fromDouble ? FLOAT_DOUBLE : 0);
  return (b) => {
    if (!b.exact) {
      b.require(i32.eq(b.roundingMode(), i32.const(1)));
      const x = fromDouble ? double(b, 'rs1') : b.hold(f64.promote_f32(single(b, 'rs1')));
      const whole = b.hold(f64.trunc(x));
      b.require(inRange(integer, whole));
      b.raise(f64.ne(whole, x));
      b.setX(toRegister(integer, whole));
      return;
    }
    const register = b.hold(b.f('rs1'));
    const notAway = (rm: I32) => i32.lt_u(rm, i32.const(4));
    b.setX(
      exactly(
        b,
        operation,
        [register],
        (rm) => {
          const x = b.hold(
            fromDouble
              ? f64.reinterpret_i64(register)
              : f64.promote_f32(f32.reinterpret_i32(unboxedBits(register))),
          );
          const whole = b.variable('f64');
          b.set(whole, f64.nearest(x));
          b.if(i32.eq(rm, i32.const(1)), () => b.set(whole, f64.trunc(x)));
          b.if(i32.eq(rm, i32.const(2)), () => b.set(whole, f64.floor(x)));
          b.if(i32.eq(rm, i32.const(3)), () => b.set(whole, f64.ceil(x)));
          return {
            result: toRegister(integer, whole),
            flags: select(inRange(integer, whole), f64.ne(whole, x), i32.const(UNDECIDED)),
          };
        },
        notAway,
      ),
    );
  };
}

function fromInteger(integer: Integer, toDouble: boolean): Semantics {
  const precision = toDouble ? 53 : 24;
  const unsigned = integer === 'wu' || integer === 'lu';
  const narrow = integer === 'w' || integer === 'wu';
  const operand = (b: Builder): I64 => {
    const x = b.x('rs1');
    if (!narrow) return b.hold(x);
    return b.hold(unsigned ? i64.extend_i32_u(i32.wrap_i64(x)) : i64.extend32_s(x));
  };
  const result = (value: I64): I64 => {
    if (toDouble) return bitsOf(unsigned ? f64.convert_i64_u(value) : f64.convert_i64_s(value));
    return boxSingle(unsigned ? f32.convert_i64_u(value) : f32.convert_i64_s(value));
  };
  if (narrow && toDouble)
    return (b) => {
      checkRounding(b);
      b.setF(result(operand(b)));
    };
  /** 1 when nearest even rounds; only for nonzero values is it ever. */
  const inexact = (b: Builder, value: I64): I32 => {
    if (unsigned) return integerIsInexact(value, precision);
    const sign = b.hold(i64.shr_s(value, i64.const(63)));
    return integerIsInexact(b.hold(i64.sub(i64.xor(value, sign), sign)), precision);
  };
  return (b) => {
    if (b.exact) {
      const value = operand(b);
      b.setF(
        exactly(b, FROM[integer] | (toDouble ? FLOAT_DOUBLE : 0), [value], () => ({
          result: result(value),
          flags: inexact(b, value),
        })),
      );
      return;
    }
    const value = operand(b);
    b.if(i32.eqz(b.hardFloat()), () => {
      b.require(i32.eqz(b.roundingMode()));
      b.require(i32.eqz(inexact(b, value)));
    });
    b.setF(result(value));
  };
}

const doubleToSingle: Semantics = (b) => {
  const x = double(b, 'rs1');
  if (b.exact) {
    b.setF(
      exactly(b, FLOAT_CONVERT | FLOAT_DOUBLE, [bitsOf(x)], () => {
        const r = b.hold(f32.demote_f64(x));
        return { result: boxSingle(r), flags: b.call(judgeDemotion, x, r) };
      }),
    );
    return;
  }
  const r = b.hold(f32.demote_f64(x));
  b.if(i32.eqz(isWellOrdinary32(r)), () => b.require(i32.or(isOrdinary32(r), isZero64(x))), undefined, false);
  b.if(i32.eqz(b.hardFloat()), () => {
    b.require(i32.eqz(b.roundingMode()));
    b.require(f64.eq(f64.promote_f32(r), x));
  });
  b.setF(boxSingle(r));
};

const singleToDouble: Semantics = (b) => {
  checkRounding(b);
  if (b.exact) {
    b.setF(exactlyUnrounded(b, FLOAT_CONVERT, [b.f('rs1')]));
    return;
  }
  const x = single(b, 'rs1');
  b.require(f32.eq(x, x));
  b.setF(bitsOf(f64.promote_f32(x)));
};

/** Semantics of the conversions by mnemonic. */
export const conversionSemantics: Readonly<Record<string, Semantics>> = (() => {
  const rows: Record<string, Semantics> = { 'fcvt.s.d': doubleToSingle, 'fcvt.d.s': singleToDouble };
  for (const integer of ['w', 'wu', 'l', 'lu'] as const) {
    for (const isDouble of [false, true]) {
      const suffix = isDouble ? 'd' : 's';
      rows[`fcvt.${integer}.${suffix}`] = toInteger(integer, isDouble);
      rows[`fcvt.${suffix}.${integer}`] = fromInteger(integer, isDouble);
    }
  }
  return rows;
})();
