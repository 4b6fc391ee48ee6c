import {
  Expression,
  type F32,
  type F64,
  f32,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  select,
} from '../wasm/index.js';
import type { Builder, Helper, SourceField } from './builder.js';
import { UNDECIDED } from './floatingPointExactness.js';

/** How floating-point semantics read and write registers, and how they reach the exact slow path. */

const BOX = 0xffff_ffff_0000_0000n;
const CANONICAL_NAN_32 = 0x7fc0_0000;

const I64_LOAD = 0x29;
const F64_LOAD = 0x2b;
const I64_REINTERPRET_F64 = 0xbd;

/** The double whose bits `bits` are; a load is turned into a load of a double. */
export function asDouble(bits: I64): F64 {
  if (bits.opcode === I64_LOAD) {
    const { operands, encoding, first, second } = bits;
    return new Expression('f64', F64_LOAD, operands, encoding, first, second);
  }
  if (bits.opcode === I64_REINTERPRET_F64) return bits.operands[0] as F64;
  return f64.reinterpret_i64(bits);
}

/** The single in a register that is known to be boxed. */
export function asSingle(bits: I64): F32 {
  return f32.reinterpret_i32(i32.wrap_i64(bits));
}

/** Says whether a register holds a properly boxed single. */
export function isBoxed(register: I64): I32 {
  return i64.ge_u(register, i64.const(BOX));
}

/** The register that holds the 32 low bits `bits` as a boxed single. */
export function box(bits: I32): I64 {
  return i64.or(i64.extend_i32_u(bits), i64.const(BOX));
}

export function boxSingle(value: F32): I64 {
  return box(i32.reinterpret_f32(value));
}

/** The bits of the single in `register` (evaluated twice): the canonical NaN unless it is boxed. */
export function unboxedBits(register: I64): I32 {
  return select(isBoxed(register), i32.wrap_i64(register), i32.const(CANONICAL_NAN_32));
}

/** A double operand, held. */
export function double(b: Builder, field: SourceField): F64 {
  return b.hold(asDouble(b.f(field)));
}

/** A single operand, held; the fast tier requires that it is boxed. */
export function single(b: Builder, field: SourceField): F32 {
  return b.hold(f32.reinterpret_i32(singleBits(b, field)));
}

/** The bits of a single operand; the fast tier requires that it is boxed. Not held. */
export function singleBits(b: Builder, field: SourceField): I32 {
  const register = b.hold(b.f(field));
  if (b.exact) return unboxedBits(register);
  b.require(b.isBoxed(field, register));
  return i32.wrap_i64(register);
}

/** Checks a reserved dynamic rounding mode where the mode itself does not matter. */
export function checkRounding(b: Builder): void {
  if (b.dynamicRounding) b.roundingMode();
}

/**
 * The exact slow path (JavaScript): operation (FLOAT_*), rounding mode, three registers; the result register. The flags it
 * would raise are left for `slowFlags`, to be called next.
 */
export const slowResult: Helper<'i64'> = {
  name: 'floatSlow',
  params: ['i32', 'i32', 'i64', 'i64', 'i64'],
  result: 'i64',
};
export const slowFlags: Helper<'i32'> = { name: 'floatFlags', params: [], result: 'i32' };

/** What WebAssembly alone makes of an operation: the destination register, and the flags to raise or UNDECIDED. */
export interface Attempt {
  readonly result: I64;
  readonly flags: I32;
}

/**
 * The exact tier's way through an operation that rounds: `attempt` when the mode is nearest even, the slow path when it is
 * another one or the attempt is undecided. Returns the held destination register; the flags are raised.
 */
export function exactly(
  b: Builder,
  operation: number,
  operands: readonly I64[],
  attempt?: (rm: I32) => Attempt,
  attemptModes: (rm: I32) => I32 = (rm) => i32.eqz(rm),
): I64 {
  const rm = b.roundingMode();
  const result = b.variable('i64');
  const flags = b.variable('i32');
  b.set(flags, i32.const(UNDECIDED));
  if (attempt)
    b.if(attemptModes(rm), () => {
      const tried = attempt(rm);
      b.set(result, tried.result);
      b.set(flags, tried.flags);
    });
  b.if(i32.lt_s(flags, i32.const(0)), () => {
    b.set(result, slowly(b, operation, rm, operands));
    b.set(flags, b.call(slowFlags));
  });
  b.raise(flags);
  return result;
}

/** Calls the slow path for an operation that does not round (comparisons and the like), raising its flags. */
export function exactlyUnrounded(b: Builder, operation: number, operands: readonly I64[]): I64 {
  const result = slowly(b, operation, i32.const(0), operands);
  b.raise(b.call(slowFlags));
  return result;
}

function slowly(b: Builder, operation: number, rm: I32, operands: readonly I64[]): I64 {
  const zero = i64.const(0);
  const [a = zero, c = zero, d = zero] = operands;
  return b.call(slowResult, i32.const(operation), rm, a, c, d);
}
