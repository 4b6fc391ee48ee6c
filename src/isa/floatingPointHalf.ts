import { type F64, f32, f64, type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, Semantics, SourceField } from './builder.js';
import { asDouble, box, checkRounding, unboxedBits } from './floatingPointAccess.js';
import { bitsOf, isZero64, sumError64 } from './floatingPointExactness.js';
import { toOdd } from './floatingPointFused.js';
import {
  boxHalf,
  halfFlags,
  halfFromDouble,
  halfPattern,
  halfToDouble,
  unboxedHalf,
} from './floatingPointHalfRounding.js';
import {
  DZ,
  isNaN64,
  isSignalling16,
  isSignalling32,
  isSignalling64,
  NV,
  NX,
  roundToIntegral,
} from './floatingPointIntegral.js';

/**
 * Zfh and Zfhmin: arithmetic of binary16 (unprivileged ISA manual, chapter "Zfh"). Every operation is one of doubles, rounded
 * once more (floatingPointHalfRounding says why that is exact); there is one tier only.
 */

/** An operand: its pattern and its value, both held. */
interface Half {
  readonly bits: I32;
  readonly value: F64;
}

function half(b: Builder, field: SourceField): Half {
  const bits = b.hold(unboxedHalf(b.hold(b.f(field))));
  return { bits, value: b.call(halfToDouble, bits) };
}

const anyOf = (conditions: readonly I32[]): I32 => conditions.reduce((a, c) => i32.or(a, c));
const flagIf = (flag: number, condition: I32): I32 => select(condition, i32.const(flag), i32.const(0));

/** Rounds `result` to rd, and raises what that raises, NV for signalling operands and where `invalid`, and `flags`. */
function finish(
  b: Builder,
  rm: I32,
  operands: readonly Half[],
  result: F64,
  invalid: I32,
  flags: I32 = i32.const(0),
): void {
  const rounded = b.call(halfFromDouble, result, rm);
  const isInvalid = anyOf([...operands.map(({ bits }) => isSignalling16(bits)), invalid]);
  b.raise(i32.or(i32.or(halfFlags(rounded), flagIf(NV, isInvalid)), flags));
  b.setF(boxHalf(halfPattern(rounded)));
}

/** 1 when `result` is NaN and no operand is. */
const madeNaN = (result: F64, operands: readonly Half[]): I32 =>
  i32.and(isNaN64(result), i32.eqz(anyOf(operands.map(({ value }) => isNaN64(value)))));

/** A sum of two that is zero but not of two equal zeros is −0 when rounding down (IEEE 754, 6.3). */
function signOfZero(b: Builder, sum: F64, x: F64, y: F64, rm: I32): F64 {
  const differ = i64.lt_s(i64.xor(bitsOf(x), bitsOf(y)), i64.const(0));
  const negative = i32.and(i32.and(isZero64(sum), differ), i32.eq(rm, i32.const(2)));
  return b.hold(select(negative, f64.const(-0), sum));
}

const sum =
  (subtract: boolean): Semantics =>
  (b) => {
    const rm = b.roundingMode();
    const operands = [half(b, 'rs1'), half(b, 'rs2')];
    const x = operands[0].value;
    const y = subtract ? b.hold(f64.neg(operands[1].value)) : operands[1].value;
    const result = b.hold(f64.add(x, y));
    finish(b, rm, operands, signOfZero(b, result, x, y, rm), madeNaN(result, operands));
  };

const product: Semantics = (b) => {
  const rm = b.roundingMode();
  const operands = [half(b, 'rs1'), half(b, 'rs2')];
  const result = b.hold(f64.mul(operands[0].value, operands[1].value));
  finish(b, rm, operands, result, madeNaN(result, operands));
};

const quotient: Semantics = (b) => {
  const rm = b.roundingMode();
  const operands = [half(b, 'rs1'), half(b, 'rs2')];
  const [x, y] = operands.map(({ value }) => value);
  const result = b.hold(f64.div(x, y));
  // A finite number other than zero, divided by zero.
  const finite = f64.lt(f64.abs(x), f64.const(Infinity));
  const byZero = i32.and(isZero64(y), i32.and(finite, f64.ne(x, f64.const(0))));
  finish(b, rm, operands, result, madeNaN(result, operands), flagIf(DZ, byZero));
};

const squareRoot: Semantics = (b) => {
  const rm = b.roundingMode();
  const operands = [half(b, 'rs1')];
  const result = b.hold(f64.sqrt(operands[0].value));
  finish(b, rm, operands, result, madeNaN(result, operands));
};

/** ±(x × y) ± z: the product is an exact double, the sum is rounded to odd before it is rounded again. */
const fused =
  (negateProduct: boolean, negateAddend: boolean): Semantics =>
  (b) => {
    const rm = b.roundingMode();
    const operands = [half(b, 'rs1'), half(b, 'rs2'), half(b, 'rs3')];
    const [x, y, z] = operands.map(({ value }) => value);
    const p = b.hold(f64.mul(negateProduct ? f64.neg(x) : x, y));
    const addend = negateAddend ? b.hold(f64.neg(z)) : z;
    const rounded = b.hold(f64.add(p, addend));
    const error = b.hold(sumError64(p, addend, rounded, (e) => b.hold(e)));
    // Infinities and NaNs have no error to speak of.
    const finite = f64.lt(f64.abs(rounded), f64.const(Infinity));
    const result = b.hold(select(finite, toOdd(rounded, error), rounded));
    // ∞ × 0 is invalid even when a quiet NaN is added.
    const invalid = i32.or(madeNaN(p, operands.slice(0, 2)), madeNaN(rounded, operands));
    finish(b, rm, operands, signOfZero(b, result, p, addend, rm), invalid);
  };

/** fmin, fmax: a NaN loses against a number. */
const minMax =
  (kind: 'min' | 'max'): Semantics =>
  (b) => {
    const operands = [half(b, 'rs1'), half(b, 'rs2')];
    const [x, y] = operands.map(({ value }) => value);
    const xIsNaN = isNaN64(x);
    const yIsNaN = isNaN64(y);
    const result = b.hold(select(xIsNaN, y, select(yIsNaN, x, f64[kind](x, y))));
    finish(b, i32.const(0), operands, result, i32.const(0));
  };

const compare =
  (kind: 'eq' | 'lt' | 'le'): Semantics =>
  (b) => {
    const x = half(b, 'rs1');
    const y = half(b, 'rs2');
    // Equality is quiet.
    const invalid =
      kind === 'eq'
        ? i32.or(isSignalling16(x.bits), isSignalling16(y.bits))
        : i32.or(isNaN64(x.value), isNaN64(y.value));
    b.raise(flagIf(NV, invalid));
    b.setX(i64.extend_i32_u(f64[kind](x.value, y.value)));
  };

const inject =
  (sign: (x: I32, y: I32) => I32): Semantics =>
  (b) => {
    const x = b.hold(unboxedHalf(b.hold(b.f('rs1'))));
    const y = b.hold(unboxedHalf(b.hold(b.f('rs2'))));
    const magnitude = i32.and(x, i32.const(0x7fff));
    b.setF(boxHalf(i32.or(magnitude, i32.and(sign(x, y), i32.const(0x8000)))));
  };

/** One bit of ten; see classify in floatingPoint.ts. */
const classify: Semantics = (b) => {
  const bits = b.hold(unboxedHalf(b.hold(b.f('rs1'))));
  const magnitude = b.hold(i32.and(bits, i32.const(0x7fff)));
  const distance = b.hold(
    i32.add(
      i32.add(i32.ne(magnitude, i32.const(0)), i32.ge_u(magnitude, i32.const(0x0400))),
      i32.ge_u(magnitude, i32.const(0x7c00)),
    ),
  );
  const numeric = select(
    i32.and(bits, i32.const(0x8000)),
    i32.sub(i32.const(3), distance),
    i32.add(i32.const(4), distance),
  );
  const nan = i32.add(i32.const(8), i32.ge_u(magnitude, i32.const(0x7e00)));
  const position = select(i32.gt_u(magnitude, i32.const(0x7c00)), nan, numeric);
  b.setX(i64.extend_i32_u(i32.shl(i32.const(1), position)));
};

/** The integer types: their range, and what an integral double in it becomes in a register. */
type Integer = 'w' | 'wu' | 'l' | 'lu';
const RANGE: Readonly<Record<Integer, readonly [least: bigint, most: bigint]>> = {
  w: [-(1n << 31n), (1n << 31n) - 1n],
  wu: [0n, (1n << 32n) - 1n],
  l: [-(1n << 63n), (1n << 63n) - 1n],
  lu: [0n, (1n << 64n) - 1n],
};
const inRegister = (integer: Integer, value: bigint): bigint =>
  integer === 'w' || integer === 'wu' ? BigInt.asIntN(32, value) : BigInt.asIntN(64, value);

const toInteger = (integer: Integer): Semantics => {
  const [least, most] = RANGE[integer];
  return (b) => {
    const rm = b.roundingMode();
    const { value } = half(b, 'rs1');
    const whole = b.call(roundToIntegral, value, rm);
    // A half is far from the ends of all ranges but the lower one of the unsigned types.
    const fits = b.hold(
      i32.and(f64.ge(whole, f64.const(Math.max(Number(least), -65536))), f64.lt(whole, f64.const(65536))),
    );
    const low = i64.const(inRegister(integer, least));
    const high = i64.const(inRegister(integer, most));
    const saturated = select(f64.lt(value, f64.const(0)), low, high);
    b.raise(select(fits, i32.and(f64.ne(whole, value), i32.const(NX)), i32.const(NV)));
    b.setX(select(fits, i64.trunc_sat_f64_s(whole), saturated));
  };
};

/** Integers that no double holds exactly are beyond all halves anyway. */
const fromInteger =
  (integer: Integer): Semantics =>
  (b) => {
    const rm = b.roundingMode();
    const x = b.x('rs1');
    const value: F64 = {
      w: f64.convert_i32_s(i32.wrap_i64(x)),
      wu: f64.convert_i32_u(i32.wrap_i64(x)),
      l: f64.convert_i64_s(x),
      lu: f64.convert_i64_u(x),
    }[integer];
    finish(b, rm, [], value, i32.const(0));
  };

const NAN_32 = 0x7fc0_0000;
const NAN_64 = 0x7ff8_0000_0000_0000n;

/** fcvt.s.h, fcvt.d.h: exact. */
const widen =
  (toDouble: boolean): Semantics =>
  (b) => {
    checkRounding(b);
    const { bits, value } = half(b, 'rs1');
    const nan = isNaN64(value);
    b.raise(flagIf(NV, isSignalling16(bits)));
    if (toDouble) b.setF(select(nan, i64.const(NAN_64), bitsOf(value)));
    else b.setF(box(select(nan, i32.const(NAN_32), i32.reinterpret_f32(f32.demote_f64(value)))));
  };

/** fcvt.h.s, fcvt.h.d. */
const narrow =
  (fromDouble: boolean): Semantics =>
  (b) => {
    const rm = b.roundingMode();
    const register: I64 = b.hold(b.f('rs1'));
    let value: F64;
    let signalling: I32;
    if (fromDouble) {
      value = b.hold(asDouble(register));
      signalling = isSignalling64(value);
    } else {
      const bits = b.hold(unboxedBits(register));
      value = b.hold(f64.promote_f32(f32.reinterpret_i32(bits)));
      signalling = isSignalling32(bits);
    }
    finish(b, rm, [], value, signalling);
  };

const address = (b: Builder): I64 => i64.add(b.x('rs1'), b.immediate());

/** Semantics of Zfh and Zfhmin by mnemonic. */
export const halfSemantics: Readonly<Record<string, Semantics>> = {
  flh: (b) => b.setF(boxHalf(i32.wrap_i64(b.load('u16', address(b))))),
  fsh: (b) => b.store(16, address(b), b.f('rs2')),
  'fmv.x.h': (b) => b.setX(i64.extend16_s(b.f('rs1'))),
  'fmv.h.x': (b) => b.setF(boxHalf(i32.and(i32.wrap_i64(b.x('rs1')), i32.const(0xffff)))),
  'fcvt.s.h': widen(false),
  'fcvt.d.h': widen(true),
  'fcvt.h.s': narrow(false),
  'fcvt.h.d': narrow(true),
  'fmadd.h': fused(false, false),
  'fmsub.h': fused(false, true),
  'fnmsub.h': fused(true, false),
  'fnmadd.h': fused(true, true),
  'fadd.h': sum(false),
  'fsub.h': sum(true),
  'fmul.h': product,
  'fdiv.h': quotient,
  'fsqrt.h': squareRoot,
  'fsgnj.h': inject((_x, y) => y),
  'fsgnjn.h': inject((_x, y) => i32.xor(y, i32.const(-1))),
  'fsgnjx.h': inject((x, y) => i32.xor(x, y)),
  'fmin.h': minMax('min'),
  'fmax.h': minMax('max'),
  'feq.h': compare('eq'),
  'flt.h': compare('lt'),
  'fle.h': compare('le'),
  'fclass.h': classify,
  ...Object.fromEntries(
    (['w', 'wu', 'l', 'lu'] as const).flatMap((integer) => [
      [`fcvt.${integer}.h`, toInteger(integer)],
      [`fcvt.h.${integer}`, fromInteger(integer)],
    ]),
  ),
};
