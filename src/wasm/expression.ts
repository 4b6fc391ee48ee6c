import { ByteWriter } from './byteWriter.js';
import type { FunctionRef, ValueType } from './types.js';

/**
 * A WebAssembly expression tree. Building one emits nothing: a statement of FunctionBuilder that takes it (`set`,
 * `store`, `brIf`, …) writes it out in post-order, and it is evaluated there and then. An expression used twice is
 * evaluated twice; put it in a local when that is not wanted.
 */
export class Expression<T extends ValueType = ValueType> {
  constructor(
    readonly type: T,
    /** One byte, or 0xfc00 / 0xfd00 / 0xfe00 plus the number behind that prefix. */
    readonly opcode: number,
    readonly operands: readonly Expression[],
    /** How `first` and `second` are encoded behind the opcode: the immediates of most instructions take no allocation. */
    readonly encoding: Encoding = Encoding.None,
    readonly first: number = 0,
    readonly second: number = 0,
    /** Immediates encoded already, with Encoding.Bytes. */
    readonly bytes: Uint8Array | undefined = undefined,
  ) {}
}

/** The kinds of immediates. */
export enum Encoding {
  None = 0,
  /** `first` as an unsigned integer. */
  Index = 1,
  /** `first` as a signed integer of 32 bits. */
  Signed = 2,
  /** `first` is the alignment's log2, `second` the offset. */
  Memory = 3,
  /** `first` and `second` as unsigned integers. */
  Pair = 4,
  Bytes = 5,
}

const NO_OPERANDS: readonly Expression[] = [];

export type I32 = Expression<'i32'>;
export type I64 = Expression<'i64'>;
export type F32 = Expression<'f32'>;
export type F64 = Expression<'f64'>;
export type V128 = Expression<'v128'>;

/** Writes `expression` out. */
export function emitExpression(out: ByteWriter, expression: Expression): void {
  const { operands, opcode, encoding, first } = expression;
  for (let i = 0; i < operands.length; i++) emitExpression(out, operands[i]);
  if (opcode < 0x100) out.byte(opcode);
  else emitOpcode(out, opcode);
  switch (encoding) {
    case Encoding.None:
      break;
    case Encoding.Index:
      out.unsigned(first);
      break;
    case Encoding.Signed:
      out.signed32(first);
      break;
    case Encoding.Memory:
    case Encoding.Pair:
      out.unsigned(first);
      out.unsigned(expression.second);
      break;
    case Encoding.Bytes:
      out.bytes(expression.bytes!);
      break;
  }
}

/** Writes an opcode, with its prefix if it has one. */
export function emitOpcode(out: ByteWriter, opcode: number): void {
  if (opcode < 0x100) out.byte(opcode);
  else {
    out.byte(opcode >>> 8);
    // Everything used here is below 0x80 behind 0xfc and 0xfe; SIMD goes beyond and needs two LEB bytes.
    out.unsigned(opcode & 0xff);
  }
}

/** An expression without operands, whose immediates `write` encodes. */
export function encoded<T extends ValueType>(
  type: T,
  opcode: number,
  write: (out: ByteWriter) => void,
): Expression<T> {
  const out = new ByteWriter(16);
  write(out);
  return new Expression(type, opcode, NO_OPERANDS, Encoding.Bytes, 0, 0, out.toBytes());
}

type Unary<A extends ValueType, R extends ValueType> = (a: Expression<A>) => Expression<R>;
type Binary<A extends ValueType, R extends ValueType> = (a: Expression<A>, b: Expression<A>) => Expression<R>;

function unary<A extends ValueType, R extends ValueType>(type: R, opcode: number): Unary<A, R> {
  return (a) => new Expression(type, opcode, [a]);
}
function binary<A extends ValueType, R extends ValueType>(type: R, opcode: number): Binary<A, R> {
  return (a, b) => new Expression(type, opcode, [a, b]);
}
const i32Unary = (opcode: number) => unary<'i32', 'i32'>('i32', opcode);
const i32Binary = (opcode: number) => binary<'i32', 'i32'>('i32', opcode);
const i64Unary = (opcode: number) => unary<'i64', 'i64'>('i64', opcode);
const i64Binary = (opcode: number) => binary<'i64', 'i64'>('i64', opcode);
const i64Compare = (opcode: number) => binary<'i64', 'i32'>('i32', opcode);
const f32Unary = (opcode: number) => unary<'f32', 'f32'>('f32', opcode);
const f32Binary = (opcode: number) => binary<'f32', 'f32'>('f32', opcode);
const f32Compare = (opcode: number) => binary<'f32', 'i32'>('i32', opcode);
const f64Unary = (opcode: number) => unary<'f64', 'f64'>('f64', opcode);
const f64Binary = (opcode: number) => binary<'f64', 'f64'>('f64', opcode);
const f64Compare = (opcode: number) => binary<'f64', 'i32'>('i32', opcode);

/**
 * A load at `address` + `offset`; natural alignment is promised only as a hint, and `align` (log2) overrides it (atomics
 * always need their natural one).
 */
type Load<R extends ValueType> = (address: I32, offset?: number, align?: number) => Expression<R>;
function load<R extends ValueType>(type: R, opcode: number, natural: number): Load<R> {
  return (address, offset = 0, align = natural) =>
    new Expression(type, opcode, [address], Encoding.Memory, align, offset);
}

/** An atomic read-modify-write: evaluates to the value before. */
type ReadModifyWrite<R extends ValueType> = (
  address: I32,
  value: Expression<R>,
  offset?: number,
) => Expression<R>;
function readModifyWrite<R extends ValueType>(type: R, opcode: number, align: number): ReadModifyWrite<R> {
  return (address, value, offset = 0) =>
    new Expression(type, opcode, [address, value], Encoding.Memory, align, offset);
}

/** An atomic compare-exchange: evaluates to the value before; happened when that equals `expected`. */
type CompareExchange<R extends ValueType> = (
  address: I32,
  expected: Expression<R>,
  replacement: Expression<R>,
  offset?: number,
) => Expression<R>;
function compareExchange<R extends ValueType>(type: R, opcode: number, align: number): CompareExchange<R> {
  return (address, expected, replacement, offset = 0) =>
    new Expression(type, opcode, [address, expected, replacement], Encoding.Memory, align, offset);
}

/** The value of the local or parameter with index `index`. */
export function localGet<T extends ValueType>(type: T, index: number): Expression<T> {
  return new Expression(type, 0x20, NO_OPERANDS, Encoding.Index, index);
}

/** Sets the local and evaluates to the value set. */
export function localTee<T extends ValueType>(index: number, value: Expression<T>): Expression<T> {
  return new Expression(value.type, 0x22, [value], Encoding.Index, index);
}

/** `condition ? whenTrue : whenFalse`; evaluates both. */
export function select<T extends ValueType>(
  condition: I32,
  whenTrue: Expression<T>,
  whenFalse: Expression<T>,
): Expression<T> {
  return new Expression(whenTrue.type, 0x1b, [whenTrue, whenFalse, condition]);
}

/** A call of a function with one result (`FunctionBuilder.call` is for those without). */
export function call<R extends ValueType>(
  callee: FunctionRef,
  result: R,
  ...operands: readonly Expression[]
): Expression<R> {
  return new Expression(result, 0x10, operands, Encoding.Index, callee.index);
}

/** A call of entry `index` of the imported table, whose function has the type with index `type` and one result. */
export function callIndirect<R extends ValueType>(
  type: number,
  result: R,
  index: I32,
  ...operands: readonly Expression[]
): Expression<R> {
  return new Expression(result, 0x11, [...operands, index], Encoding.Pair, type, 0);
}

/** The value of global `index`. */
export function globalGet<T extends ValueType>(type: T, index: number): Expression<T> {
  return new Expression(type, 0x23, NO_OPERANDS, Encoding.Index, index);
}

export const i32 = {
  const: (value: number): I32 => new Expression('i32', 0x41, NO_OPERANDS, Encoding.Signed, value | 0),
  load: load('i32', 0x28, 2),
  load8_s: load('i32', 0x2c, 0),
  load8_u: load('i32', 0x2d, 0),
  load16_s: load('i32', 0x2e, 1),
  load16_u: load('i32', 0x2f, 1),
  eqz: unary<'i32', 'i32'>('i32', 0x45),
  eq: i32Binary(0x46),
  ne: i32Binary(0x47),
  lt_s: i32Binary(0x48),
  lt_u: i32Binary(0x49),
  gt_s: i32Binary(0x4a),
  gt_u: i32Binary(0x4b),
  le_s: i32Binary(0x4c),
  le_u: i32Binary(0x4d),
  ge_s: i32Binary(0x4e),
  ge_u: i32Binary(0x4f),
  clz: i32Unary(0x67),
  ctz: i32Unary(0x68),
  popcnt: i32Unary(0x69),
  add: i32Binary(0x6a),
  sub: i32Binary(0x6b),
  mul: i32Binary(0x6c),
  /** Traps on division by zero and on overflow, as div_u, rem_s (zero only) and rem_u do. */
  div_s: i32Binary(0x6d),
  div_u: i32Binary(0x6e),
  rem_s: i32Binary(0x6f),
  rem_u: i32Binary(0x70),
  and: i32Binary(0x71),
  or: i32Binary(0x72),
  xor: i32Binary(0x73),
  shl: i32Binary(0x74),
  shr_s: i32Binary(0x75),
  shr_u: i32Binary(0x76),
  rotl: i32Binary(0x77),
  rotr: i32Binary(0x78),
  /** What was extended is taken back as it was. */
  wrap_i64: (value: I64): I32 =>
    value.opcode === 0xac || value.opcode === 0xad
      ? (value.operands[0] as I32)
      : new Expression('i32', 0xa7, [value]),
  trunc_f32_s: unary<'f32', 'i32'>('i32', 0xa8),
  trunc_f32_u: unary<'f32', 'i32'>('i32', 0xa9),
  trunc_f64_s: unary<'f64', 'i32'>('i32', 0xaa),
  trunc_f64_u: unary<'f64', 'i32'>('i32', 0xab),
  reinterpret_f32: unary<'f32', 'i32'>('i32', 0xbc),
  extend8_s: i32Unary(0xc0),
  extend16_s: i32Unary(0xc1),
  trunc_sat_f32_s: unary<'f32', 'i32'>('i32', 0xfc00),
  trunc_sat_f32_u: unary<'f32', 'i32'>('i32', 0xfc01),
  trunc_sat_f64_s: unary<'f64', 'i32'>('i32', 0xfc02),
  trunc_sat_f64_u: unary<'f64', 'i32'>('i32', 0xfc03),
  atomic_load: load('i32', 0xfe10, 2),
  atomic_rmw_add: readModifyWrite('i32', 0xfe1e, 2),
  atomic_rmw_sub: readModifyWrite('i32', 0xfe25, 2),
  atomic_rmw_and: readModifyWrite('i32', 0xfe2c, 2),
  atomic_rmw_or: readModifyWrite('i32', 0xfe33, 2),
  atomic_rmw_xor: readModifyWrite('i32', 0xfe3a, 2),
  atomic_rmw_xchg: readModifyWrite('i32', 0xfe41, 2),
  atomic_rmw_cmpxchg: compareExchange('i32', 0xfe48, 2),
  /** Sleeps while the i32 at `address` is `expected`, for `timeout` nanoseconds at most (negative: for ever): 0 woken, 1 different, 2 late. */
  atomic_wait: (address: I32, expected: I32, timeout: I64, offset = 0): I32 =>
    new Expression('i32', 0xfe01, [address, expected, timeout], Encoding.Memory, 2, offset),
  /** Wakes up to `count` sleepers at `address`; evaluates to how many. */
  atomic_notify: (address: I32, count: I32, offset = 0): I32 =>
    new Expression('i32', 0xfe00, [address, count], Encoding.Memory, 2, offset),
} as const;

export const i64 = {
  const: (value: number | bigint): I64 =>
    typeof value === 'number' && value === (value | 0)
      ? new Expression('i64', 0x42, NO_OPERANDS, Encoding.Signed, value)
      : encoded('i64', 0x42, (out) => out.signed64(BigInt(value))),
  load: load('i64', 0x29, 3),
  load8_s: load('i64', 0x30, 0),
  load8_u: load('i64', 0x31, 0),
  load16_s: load('i64', 0x32, 1),
  load16_u: load('i64', 0x33, 1),
  load32_s: load('i64', 0x34, 2),
  load32_u: load('i64', 0x35, 2),
  eqz: unary<'i64', 'i32'>('i32', 0x50),
  eq: i64Compare(0x51),
  ne: i64Compare(0x52),
  lt_s: i64Compare(0x53),
  lt_u: i64Compare(0x54),
  gt_s: i64Compare(0x55),
  gt_u: i64Compare(0x56),
  le_s: i64Compare(0x57),
  le_u: i64Compare(0x58),
  ge_s: i64Compare(0x59),
  ge_u: i64Compare(0x5a),
  clz: i64Unary(0x79),
  ctz: i64Unary(0x7a),
  popcnt: i64Unary(0x7b),
  add: i64Binary(0x7c),
  sub: i64Binary(0x7d),
  mul: i64Binary(0x7e),
  /** Traps on division by zero and on overflow, as div_u, rem_s (zero only) and rem_u do. */
  div_s: i64Binary(0x7f),
  div_u: i64Binary(0x80),
  rem_s: i64Binary(0x81),
  rem_u: i64Binary(0x82),
  and: i64Binary(0x83),
  or: i64Binary(0x84),
  xor: i64Binary(0x85),
  shl: i64Binary(0x86),
  shr_s: i64Binary(0x87),
  shr_u: i64Binary(0x88),
  rotl: i64Binary(0x89),
  rotr: i64Binary(0x8a),
  extend_i32_s: unary<'i32', 'i64'>('i64', 0xac),
  extend_i32_u: unary<'i32', 'i64'>('i64', 0xad),
  trunc_f32_s: unary<'f32', 'i64'>('i64', 0xae),
  trunc_f32_u: unary<'f32', 'i64'>('i64', 0xaf),
  trunc_f64_s: unary<'f64', 'i64'>('i64', 0xb0),
  trunc_f64_u: unary<'f64', 'i64'>('i64', 0xb1),
  reinterpret_f64: unary<'f64', 'i64'>('i64', 0xbd),
  extend8_s: i64Unary(0xc2),
  extend16_s: i64Unary(0xc3),
  extend32_s: i64Unary(0xc4),
  trunc_sat_f32_s: unary<'f32', 'i64'>('i64', 0xfc04),
  trunc_sat_f32_u: unary<'f32', 'i64'>('i64', 0xfc05),
  trunc_sat_f64_s: unary<'f64', 'i64'>('i64', 0xfc06),
  trunc_sat_f64_u: unary<'f64', 'i64'>('i64', 0xfc07),
  atomic_load: load('i64', 0xfe11, 3),
  atomic_rmw_add: readModifyWrite('i64', 0xfe1f, 3),
  atomic_rmw_sub: readModifyWrite('i64', 0xfe26, 3),
  atomic_rmw_and: readModifyWrite('i64', 0xfe2d, 3),
  atomic_rmw_or: readModifyWrite('i64', 0xfe34, 3),
  atomic_rmw_xor: readModifyWrite('i64', 0xfe3b, 3),
  atomic_rmw_xchg: readModifyWrite('i64', 0xfe42, 3),
  atomic_rmw_cmpxchg: compareExchange('i64', 0xfe49, 3),
} as const;

export const f32 = {
  const: (value: number): F32 =>
    encoded('f32', 0x43, (out) => out.bytes(new Uint8Array(new Float32Array([value]).buffer))),
  load: load('f32', 0x2a, 2),
  eq: f32Compare(0x5b),
  ne: f32Compare(0x5c),
  lt: f32Compare(0x5d),
  gt: f32Compare(0x5e),
  le: f32Compare(0x5f),
  ge: f32Compare(0x60),
  abs: f32Unary(0x8b),
  neg: f32Unary(0x8c),
  ceil: f32Unary(0x8d),
  floor: f32Unary(0x8e),
  trunc: f32Unary(0x8f),
  nearest: f32Unary(0x90),
  sqrt: f32Unary(0x91),
  add: f32Binary(0x92),
  sub: f32Binary(0x93),
  mul: f32Binary(0x94),
  div: f32Binary(0x95),
  min: f32Binary(0x96),
  max: f32Binary(0x97),
  copysign: f32Binary(0x98),
  convert_i32_s: unary<'i32', 'f32'>('f32', 0xb2),
  convert_i32_u: unary<'i32', 'f32'>('f32', 0xb3),
  convert_i64_s: unary<'i64', 'f32'>('f32', 0xb4),
  convert_i64_u: unary<'i64', 'f32'>('f32', 0xb5),
  demote_f64: unary<'f64', 'f32'>('f32', 0xb6),
  reinterpret_i32: unary<'i32', 'f32'>('f32', 0xbe),
} as const;

export const f64 = {
  const: (value: number): F64 =>
    encoded('f64', 0x44, (out) => out.bytes(new Uint8Array(new Float64Array([value]).buffer))),
  load: load('f64', 0x2b, 3),
  eq: f64Compare(0x61),
  ne: f64Compare(0x62),
  lt: f64Compare(0x63),
  gt: f64Compare(0x64),
  le: f64Compare(0x65),
  ge: f64Compare(0x66),
  abs: f64Unary(0x99),
  neg: f64Unary(0x9a),
  ceil: f64Unary(0x9b),
  floor: f64Unary(0x9c),
  trunc: f64Unary(0x9d),
  nearest: f64Unary(0x9e),
  sqrt: f64Unary(0x9f),
  add: f64Binary(0xa0),
  sub: f64Binary(0xa1),
  mul: f64Binary(0xa2),
  div: f64Binary(0xa3),
  min: f64Binary(0xa4),
  max: f64Binary(0xa5),
  copysign: f64Binary(0xa6),
  convert_i32_s: unary<'i32', 'f64'>('f64', 0xb7),
  convert_i32_u: unary<'i32', 'f64'>('f64', 0xb8),
  convert_i64_s: unary<'i64', 'f64'>('f64', 0xb9),
  convert_i64_u: unary<'i64', 'f64'>('f64', 0xba),
  promote_f32: unary<'f32', 'f64'>('f64', 0xbb),
  reinterpret_i64: unary<'i64', 'f64'>('f64', 0xbf),
} as const;
