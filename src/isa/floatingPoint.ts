import { f32, f64, type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, Semantics } from './builder.js';
import {
  asDouble,
  box,
  boxSingle,
  double,
  exactlyUnrounded,
  single,
  singleBits,
  unboxedBits,
} from './floatingPointAccess.js';
import { arithmeticSemantics } from './floatingPointArithmetic.js';
import { conversionSemantics } from './floatingPointConversion.js';
import { FLOAT_DOUBLE, FLOAT_EQ, FLOAT_LE, FLOAT_LT, FLOAT_MAX, FLOAT_MIN } from './floatingPointExact.js';
import { bitsOf } from './floatingPointExactness.js';

/**
 * The meaning of every F and D instruction (unprivileged ISA manual, chapters 20 and 21). This file has what does not round: loads,
 * stores, moves, sign injection, comparisons, minimum and maximum, classification.
 */

const address = (b: Builder): I64 => i64.add(b.x('rs1'), b.immediate());

const flag = (condition: I32): I64 => i64.extend_i32_u(condition);

const SIGN_64 = 0x8000_0000_0000_0000n;
const SIGN_32 = 0x8000_0000;

type Injection = 'copy' | 'negate' | 'xor';

function signInjection64(kind: Injection): Semantics {
  return (b) => {
    const x = b.f('rs1');
    const y = b.f('rs2');
    if (b.sameOperands) {
      // Moved, negated, or its magnitude.
      const value = asDouble(x);
      return b.setF(kind === 'copy' ? x : bitsOf(kind === 'negate' ? f64.neg(value) : f64.abs(value)));
    }
    if (kind === 'xor') return b.setF(i64.xor(x, i64.and(y, i64.const(SIGN_64))));
    const sign = kind === 'copy' ? y : i64.xor(y, i64.const(-1));
    b.setF(i64.or(i64.and(x, i64.const(SIGN_64 - 1n)), i64.and(sign, i64.const(SIGN_64))));
  };
}

function signInjection32(kind: Injection): Semantics {
  return (b) => {
    const x = singleBits(b, 'rs1');
    const y = singleBits(b, 'rs2');
    if (kind === 'xor') return b.setF(box(i32.xor(x, i32.and(y, i32.const(SIGN_32)))));
    const sign = kind === 'copy' ? y : i32.xor(y, i32.const(-1));
    b.setF(box(i32.or(i32.and(x, i32.const(SIGN_32 - 1)), i32.and(sign, i32.const(SIGN_32)))));
  };
}

type Comparison = 'eq' | 'lt' | 'le';
const COMPARISON = { eq: FLOAT_EQ, lt: FLOAT_LT, le: FLOAT_LE } as const;

function compare64(kind: Comparison): Semantics {
  return (b) => {
    if (b.exact)
      return b.setX(exactlyUnrounded(b, COMPARISON[kind] | FLOAT_DOUBLE, [b.f('rs1'), b.f('rs2')]));
    const x = double(b, 'rs1');
    const y = double(b, 'rs2');
    b.require(i32.and(b.isOrdered('rs1', x), b.isOrdered('rs2', y)));
    b.setX(flag(f64[kind](x, y)));
  };
}

function compare32(kind: Comparison): Semantics {
  return (b) => {
    if (b.exact) return b.setX(exactlyUnrounded(b, COMPARISON[kind], [b.f('rs1'), b.f('rs2')]));
    const x = single(b, 'rs1');
    const y = single(b, 'rs2');
    b.require(i32.and(f32.eq(x, x), f32.eq(y, y)));
    b.setX(flag(f32[kind](x, y)));
  };
}

/** wasm's min and max order −0 below +0 as RISC-V does; they differ on NaNs only. */
function minMax64(kind: 'min' | 'max'): Semantics {
  const operation = kind === 'min' ? FLOAT_MIN : FLOAT_MAX;
  return (b) => {
    if (b.exact) return b.setF(exactlyUnrounded(b, operation | FLOAT_DOUBLE, [b.f('rs1'), b.f('rs2')]));
    const x = double(b, 'rs1');
    const y = double(b, 'rs2');
    b.require(i32.and(b.isOrdered('rs1', x), b.isOrdered('rs2', y)));
    b.setF(bitsOf(f64[kind](x, y)));
  };
}

function minMax32(kind: 'min' | 'max'): Semantics {
  const operation = kind === 'min' ? FLOAT_MIN : FLOAT_MAX;
  return (b) => {
    if (b.exact) return b.setF(exactlyUnrounded(b, operation, [b.f('rs1'), b.f('rs2')]));
    const x = single(b, 'rs1');
    const y = single(b, 'rs2');
    b.require(i32.and(f32.eq(x, x), f32.eq(y, y)));
    b.setF(boxSingle(f32[kind](x, y)));
  };
}

/**
 * Sets one bit of ten: −∞, −normal, −subnormal, −0, +0, +subnormal, +normal, +∞, signalling NaN, quiet NaN. `bits` is a
 * binary64 pattern, or a binary32 one moved to the top.
 */
function classify(b: Builder, bits: I64, least: bigint, infinity: bigint, quiet: bigint): I64 {
  const held = b.hold(bits);
  const magnitude = b.hold(i64.and(held, i64.const(SIGN_64 - 1n)));
  // The four numeric classes as a distance from zero, then mirrored about it.
  const distance = b.hold(
    i32.add(
      i32.add(i64.ne(magnitude, i64.const(0)), i64.ge_u(magnitude, i64.const(least))),
      i64.ge_u(magnitude, i64.const(infinity)),
    ),
  );
  const numeric = select(
    i64.lt_s(held, i64.const(0)),
    i32.sub(i32.const(3), distance),
    i32.add(i32.const(4), distance),
  );
  const nan = i32.add(i32.const(8), i64.ne(i64.and(held, i64.const(quiet)), i64.const(0)));
  const position = select(i64.gt_u(magnitude, i64.const(infinity)), nan, numeric);
  return i64.shl(i64.const(1), i64.extend_i32_u(position));
}

const moves: Readonly<Record<string, Semantics>> = {
  flw: (b) => b.setF(box(i32.wrap_i64(b.load('u32', address(b))))),
  fld: (b) => b.setF(b.load('i64', address(b))),
  fsw: (b) => b.store(32, address(b), b.f('rs2')),
  fsd: (b) => b.store(64, address(b), b.f('rs2')),
  'fmv.x.w': (b) => b.setX(i64.extend32_s(b.f('rs1'))),
  'fmv.w.x': (b) => b.setF(box(i32.wrap_i64(b.x('rs1')))),
  'fmv.x.d': (b) => b.setX(b.f('rs1')),
  'fmv.d.x': (b) => b.setF(b.x('rs1')),
  'fsgnj.d': signInjection64('copy'),
  'fsgnjn.d': signInjection64('negate'),
  'fsgnjx.d': signInjection64('xor'),
  'fsgnj.s': signInjection32('copy'),
  'fsgnjn.s': signInjection32('negate'),
  'fsgnjx.s': signInjection32('xor'),
  'feq.d': compare64('eq'),
  'flt.d': compare64('lt'),
  'fle.d': compare64('le'),
  'feq.s': compare32('eq'),
  'flt.s': compare32('lt'),
  'fle.s': compare32('le'),
  'fmin.d': minMax64('min'),
  'fmax.d': minMax64('max'),
  'fmin.s': minMax32('min'),
  'fmax.s': minMax32('max'),
  'fclass.d': (b) =>
    b.setX(classify(b, b.f('rs1'), 0x0010_0000_0000_0000n, 0x7ff0_0000_0000_0000n, 0x0008_0000_0000_0000n)),
  'fclass.s': (b) => {
    const bits = unboxedBits(b.hold(b.f('rs1')));
    const top = i64.shl(i64.extend_i32_u(bits), i64.const(32));
    b.setX(classify(b, top, 0x0080_0000_0000_0000n, 0x7f80_0000_0000_0000n, 0x0040_0000_0000_0000n));
  },
};

/**
 * Semantics of F and D by mnemonic, for every machine. Where `f64x2.relaxed_madd` is usable, `fusedSemantics` has faster ones
 * (with the same results) for some of them.
 */
export const floatingPointSemantics: Readonly<Record<string, Semantics>> = {
  ...moves,
  ...conversionSemantics,
  ...arithmeticSemantics(false),
};

/** fmul.d, fmadd.d and its kin for machines with a truly fused `f64x2.relaxed_madd`: to be preferred over floatingPointSemantics. */
export const fusedSemantics: Readonly<Record<string, Semantics>> = Object.fromEntries(
  Object.entries(arithmeticSemantics(true)).filter(([name]) => /^f(mul|n?m(add|sub))\.d$/.test(name)),
);
