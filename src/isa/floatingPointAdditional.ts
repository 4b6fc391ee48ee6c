import { Encoding, type F64, f32, f64, type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, Helper, Semantics, SourceField } from './builder.js';
import { asDouble, box, unboxedBits } from './floatingPointAccess.js';
import { bitsOf } from './floatingPointExactness.js';
import {
  boxHalf,
  halfFromDouble,
  halfPattern,
  halfToDouble,
  unboxedHalf,
} from './floatingPointHalfRounding.js';
import {
  isNaN64,
  isSignalling16,
  isSignalling32,
  isSignalling64,
  NV,
  NX,
  roundToIntegral,
} from './floatingPointIntegral.js';

/**
 * Zfa (unprivileged ISA manual, chapter "Additional Floating-Point Instructions"). All of it is exact in WebAssembly's own
 * arithmetic, on doubles for every format, so that there is one tier only.
 */

type Format = 's' | 'd' | 'h';

/** An operand as a double, held, and whether it is a signalling NaN. */
interface Operand {
  readonly value: F64;
  readonly signalling: I32;
}

function operand(b: Builder, format: Format, field: SourceField): Operand {
  const register = b.hold(b.f(field));
  if (format === 'd') {
    const value = b.hold(asDouble(register));
    return { value, signalling: isSignalling64(value) };
  }
  if (format === 's') {
    const bits = b.hold(unboxedBits(register));
    return { value: b.hold(f64.promote_f32(f32.reinterpret_i32(bits))), signalling: isSignalling32(bits) };
  }
  const bits = b.hold(unboxedHalf(register));
  return { value: b.call(halfToDouble, bits), signalling: isSignalling16(bits) };
}

const NAN_32 = 0x7fc0_0000;
const NAN_64 = 0x7ff8_0000_0000_0000n;

/** The register that holds `value`, which the format can represent; a NaN becomes the canonical one. */
function register(b: Builder, format: Format, value: F64): I64 {
  const nan = isNaN64(value);
  if (format === 'd') return select(nan, i64.const(NAN_64), bitsOf(value));
  if (format === 's') {
    const bits = i32.reinterpret_f32(f32.demote_f64(value));
    return box(select(nan, i32.const(NAN_32), bits));
  }
  return boxHalf(halfPattern(b.call(halfFromDouble, value, i32.const(0))));
}

const invalidIf = (condition: I32): I32 => i32.mul(condition, i32.const(NV));

/** fminm, fmaxm: as wasm's own, a NaN wins. */
const minMax =
  (format: Format, kind: 'min' | 'max'): Semantics =>
  (b) => {
    const x = operand(b, format, 'rs1');
    const y = operand(b, format, 'rs2');
    const result = b.hold(f64[kind](x.value, y.value));
    const to = b.hold(register(b, format, result));
    b.raise(invalidIf(i32.or(x.signalling, y.signalling)));
    b.setF(to);
  };

/** fround, froundnx. */
const round =
  (format: Format, raises: boolean): Semantics =>
  (b) => {
    const rm = b.roundingMode();
    const x = operand(b, format, 'rs1');
    const result = b.call(roundToIntegral, x.value, rm);
    const to = b.hold(register(b, format, result));
    // A NaN differs from itself, but not inexactly.
    const inexact = i32.and(f64.ne(result, x.value), f64.eq(x.value, x.value));
    const invalid = invalidIf(x.signalling);
    b.raise(raises ? i32.or(invalid, i32.and(inexact, i32.const(NX))) : invalid);
    b.setF(to);
  };

/** fleq, fltq: quiet comparisons. */
const quietCompare =
  (format: Format, kind: 'le' | 'lt'): Semantics =>
  (b) => {
    const x = operand(b, format, 'rs1');
    const y = operand(b, format, 'rs2');
    b.raise(invalidIf(i32.or(x.signalling, y.signalling)));
    b.setX(i64.extend_i32_u(f64[kind](x.value, y.value)));
  };

/** Positive constants of fli, from number 2 to 29. */
const CONSTANTS: readonly number[] = [
  ...[-16, -15, -8, -7].map((exponent) => 2 ** exponent),
  ...[0.0625, 0.125, 0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875],
  ...[1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 8, 16, 128, 256, 2 ** 15, 2 ** 16],
];
const LEAST_NORMAL: Readonly<Record<Format, number>> = { s: 2 ** -126, d: 2 ** -1022, h: 2 ** -14 };

/** The constants of fli in a format, by number. */
export function loadableConstants(format: Format): readonly number[] {
  return [-1, LEAST_NORMAL[format], ...CONSTANTS, Infinity, Number.NaN];
}

/** number → constant, for those that do not know it when code is generated. */
const constantOf = (format: Format): Helper<'f64'> => ({
  name: `floatConstant.${format}`,
  params: ['i32'],
  result: 'f64',
  define(f) {
    const number = f.param('i32', 0);
    const constants = loadableConstants(format);
    const labels = constants.map(() => f.openBlock()).reverse();
    f.brTable(number, labels, labels[0]);
    for (const constant of constants) {
      f.close();
      f.return(f64.const(constant));
    }
    f.unreachable();
  },
});

const CONST = i64.const(0).opcode;

const loadConstant = (format: Format): Semantics => {
  const helper = constantOf(format);
  return (b) => {
    const number = b.immediate();
    const known = number.opcode === CONST && number.encoding === Encoding.Signed;
    const value = known
      ? f64.const(loadableConstants(format)[number.first])
      : b.call(helper, i32.wrap_i64(number));
    b.setF(register(b, format, value));
  };
};

/** fcvtmod.w.d: towards zero, modulo 2^32; flags as of fcvt.w.d. */
const modularInteger: Helper<'i64'> = {
  name: 'modularInteger',
  params: ['f64'],
  result: 'i64',
  define(f) {
    const x = f.param('f64', 0);
    const magnitude = f.hold(f64.abs(x));
    // NaN is less than nothing; infinities have no low bits either, nor has what is so large.
    f.if(i32.eqz(f64.lt(magnitude, f64.const(2 ** 84))), () => f.return(i64.const(0)));
    f.if(f64.lt(magnitude, f64.const(2 ** 63)), () => f.return(i64.extend32_s(i64.trunc_sat_f64_s(x))));
    const bits = i64.reinterpret_f64(magnitude);
    const significand = i64.or(
      i64.and(bits, i64.const(0x000f_ffff_ffff_ffffn)),
      i64.const(0x0010_0000_0000_0000n),
    );
    const shift = i64.sub(i64.shr_u(bits, i64.const(52)), i64.const(1075));
    const whole = f.hold(i64.shl(significand, shift));
    const negative = f64.lt(x, f64.const(0));
    f.return(i64.extend32_s(select(negative, i64.sub(i64.const(0), whole), whole)));
  },
};

const convertModular: Semantics = (b) => {
  const x = b.hold(asDouble(b.f('rs1')));
  const whole = b.hold(f64.trunc(x));
  const result = b.call(modularInteger, x);
  const fits = i32.and(f64.ge(whole, f64.const(-(2 ** 31))), f64.lt(whole, f64.const(2 ** 31)));
  b.raise(select(fits, f64.ne(whole, x), i32.const(NV)));
  b.setX(result);
};

function rows(format: Format): Record<string, Semantics> {
  return {
    [`fli.${format}`]: loadConstant(format),
    [`fminm.${format}`]: minMax(format, 'min'),
    [`fmaxm.${format}`]: minMax(format, 'max'),
    [`fround.${format}`]: round(format, false),
    [`froundnx.${format}`]: round(format, true),
    [`fleq.${format}`]: quietCompare(format, 'le'),
    [`fltq.${format}`]: quietCompare(format, 'lt'),
  };
}

/** Semantics of Zfa by mnemonic. */
export const additionalFloatSemantics: Readonly<Record<string, Semantics>> = {
  ...rows('s'),
  ...rows('d'),
  ...rows('h'),
  'fcvtmod.w.d': convertModular,
};
