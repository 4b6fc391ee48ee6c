import { type Expression, type I32, type I64, i32, i64, select } from '../wasm/index.js';
import type { Builder, LoadKind, Semantics, StoreBits } from './builder.js';

/** RV64I and M: arithmetic, memory, control transfer. (Unprivileged ISA manual, chapters 2, 4 and 13.) */

const low = (value: I64): I32 => i32.wrap_i64(value);
/** What every W instruction leaves in rd: 32 bits, sign extended. */
const wide = (value: I32): I64 => i64.extend_i32_s(value);
const flag = (value: I32): I64 => i64.extend_i32_u(value);

type Operation = (a: I64, b: I64) => I64;
const register =
  (operation: Operation): Semantics =>
  (b) =>
    b.setX(operation(b.x('rs1'), b.x('rs2')));
const immediate =
  (operation: Operation): Semantics =>
  (b) =>
    b.setX(operation(b.x('rs1'), b.immediate()));
const load =
  (kind: LoadKind): Semantics =>
  (b) =>
    b.setX(b.load(kind, i64.add(b.x('rs1'), b.immediate())));
const store =
  (bits: StoreBits): Semantics =>
  (b) =>
    b.store(bits, i64.add(b.x('rs1'), b.immediate()), b.x('rs2'));
const branch =
  (condition: (a: I64, b: I64) => I32): Semantics =>
  (b) =>
    b.branch(condition(b.x('rs1'), b.x('rs2')));

const add: Operation = (a, b) => i64.add(a, b);
// In 32 bits, so that what extends the operands is not needed where nothing else uses it.
const addw: Operation = (a, b) => wide(i32.add(low(a), low(b)));
const slt: Operation = (a, b) => flag(i64.lt_s(a, b));
const sltu: Operation = (a, b) => flag(i64.lt_u(a, b));
// wasm takes shift amounts modulo the width, as RISC-V does.
const sllw: Operation = (a, b) => wide(i32.shl(low(a), low(b)));
const srlw: Operation = (a, b) => wide(i32.shr_u(low(a), low(b)));
const sraw: Operation = (a, b) => wide(i32.shr_s(low(a), low(b)));

const LOW_HALF = 0xffff_ffff;

/** High half of the unsigned product, from 32-bit halves. Leaves the operands held. */
function highProduct(b: Builder, x: I64, y: I64): I64 {
  const half = (value: I64): I64 => i64.and(value, i64.const(LOW_HALF));
  const high = (value: I64): I64 => i64.shr_u(value, i64.const(32));
  const cross = b.hold(i64.add(i64.mul(high(x), half(y)), high(i64.mul(half(x), half(y)))));
  const middle = i64.add(i64.mul(half(x), high(y)), half(cross));
  return i64.add(i64.add(i64.mul(high(x), high(y)), high(cross)), high(middle));
}
/** `y` where `x` is negative, else 0. */
const whereNegative = (x: I64, y: I64): I64 => i64.and(i64.shr_s(x, i64.const(63)), y);

const mulhu: Semantics = (b) => {
  const x = b.hold(b.x('rs1'));
  const y = b.hold(b.x('rs2'));
  b.setX(highProduct(b, x, y));
};
const mulhsu: Semantics = (b) => {
  const x = b.hold(b.x('rs1'));
  const y = b.hold(b.x('rs2'));
  b.setX(i64.sub(highProduct(b, x, y), whereNegative(x, y)));
};
const mulh: Semantics = (b) => {
  const x = b.hold(b.x('rs1'));
  const y = b.hold(b.x('rs2'));
  b.setX(i64.sub(i64.sub(highProduct(b, x, y), whereNegative(x, y)), whereNegative(y, x)));
};

/**
 * Division in RISC-V never traps: x / 0 = all ones, x % 0 = x, and the overflowing MIN / −1 = MIN, remainder 0.
 * Dividing by −1 is negation, so 0 and −1 are taken out before wasm's instruction sees them.
 */
function signedDivision<T extends 'i32' | 'i64'>(
  b: Builder,
  x: Expression<T>,
  y: Expression<T>,
  type: T,
  remainder: boolean,
): Expression<T> {
  const ops = (type === 'i32' ? i32 : i64) as unknown as Arithmetic<T>;
  const result = b.variable(type);
  b.if(
    ops.gt_u(ops.add(y, ops.const(1)), ops.const(1)),
    () => b.set(result, remainder ? ops.rem_s(x, y) : ops.div_s(x, y)),
    () =>
      b.set(
        result,
        remainder
          ? select(ops.eqz(y), x, ops.const(0))
          : select(ops.eqz(y), ops.const(-1), ops.sub(ops.const(0), x)),
      ),
  );
  return result;
}

function unsignedDivision<T extends 'i32' | 'i64'>(
  b: Builder,
  x: Expression<T>,
  y: Expression<T>,
  type: T,
  remainder: boolean,
): Expression<T> {
  const ops = (type === 'i32' ? i32 : i64) as unknown as Arithmetic<T>;
  const result = b.variable(type);
  b.if(
    ops.eqz(y),
    () => b.set(result, remainder ? x : ops.const(-1)),
    () => b.set(result, remainder ? ops.rem_u(x, y) : ops.div_u(x, y)),
  );
  return result;
}

interface Arithmetic<T extends 'i32' | 'i64'> {
  const(value: number): Expression<T>;
  add(a: Expression<T>, b: Expression<T>): Expression<T>;
  sub(a: Expression<T>, b: Expression<T>): Expression<T>;
  eqz(a: Expression<T>): I32;
  gt_u(a: Expression<T>, b: Expression<T>): I32;
  div_s(a: Expression<T>, b: Expression<T>): Expression<T>;
  div_u(a: Expression<T>, b: Expression<T>): Expression<T>;
  rem_s(a: Expression<T>, b: Expression<T>): Expression<T>;
  rem_u(a: Expression<T>, b: Expression<T>): Expression<T>;
}

const divide64 =
  (signed: boolean, remainder: boolean): Semantics =>
  (b) => {
    const x = b.hold(b.x('rs1'));
    const y = b.hold(b.x('rs2'));
    b.setX((signed ? signedDivision : unsignedDivision)(b, x, y, 'i64', remainder));
  };
const divide32 =
  (signed: boolean, remainder: boolean): Semantics =>
  (b) => {
    const x = b.hold(low(b.x('rs1')));
    const y = b.hold(low(b.x('rs2')));
    b.setX(wide((signed ? signedDivision : unsignedDivision)(b, x, y, 'i32', remainder)));
  };

export const integerSemantics: Readonly<Record<string, Semantics>> = {
  lui: (b) => b.setX(b.immediate()),
  auipc: (b) => b.setX(i64.add(b.pc(), b.immediate())),

  addi: immediate(add),
  slti: immediate(slt),
  sltiu: immediate(sltu),
  xori: immediate(i64.xor),
  ori: immediate(i64.or),
  andi: immediate(i64.and),
  slli: immediate(i64.shl),
  srli: immediate(i64.shr_u),
  srai: immediate(i64.shr_s),
  addiw: immediate(addw),
  slliw: immediate(sllw),
  srliw: immediate(srlw),
  sraiw: immediate(sraw),

  add: register(add),
  sub: register(i64.sub),
  sll: register(i64.shl),
  slt: register(slt),
  sltu: register(sltu),
  xor: register(i64.xor),
  srl: register(i64.shr_u),
  sra: register(i64.shr_s),
  or: register(i64.or),
  and: register(i64.and),
  addw: register(addw),
  subw: register((a, b) => wide(i32.sub(low(a), low(b)))),
  sllw: register(sllw),
  srlw: register(srlw),
  sraw: register(sraw),

  mul: register(i64.mul),
  mulh,
  mulhsu,
  mulhu,
  mulw: register((a, b) => wide(i32.mul(low(a), low(b)))),
  div: divide64(true, false),
  divu: divide64(false, false),
  rem: divide64(true, true),
  remu: divide64(false, true),
  divw: divide32(true, false),
  divuw: divide32(false, false),
  remw: divide32(true, true),
  remuw: divide32(false, true),

  lb: load('i8'),
  lh: load('i16'),
  lw: load('i32'),
  ld: load('i64'),
  lbu: load('u8'),
  lhu: load('u16'),
  lwu: load('u32'),
  sb: store(8),
  sh: store(16),
  sw: store(32),
  sd: store(64),

  beq: branch(i64.eq),
  bne: branch(i64.ne),
  blt: branch(i64.lt_s),
  bge: branch(i64.ge_s),
  bltu: branch(i64.lt_u),
  bgeu: branch(i64.ge_u),
  jal: (b) => b.jump(),
  jalr: (b) => b.jumpTo(i64.add(b.x('rs1'), b.immediate())),
};
