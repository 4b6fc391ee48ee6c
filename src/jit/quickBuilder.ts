import { HartBuilder, type HartFrame, LOADS, loadBytes } from '../interpreter/hartBuilder.js';
import type { ExitReason, LoadKind, SourceField, StoreBits } from '../isa/builder.js';
import type { Decoded } from '../isa/instruction.js';
import { Thread } from '../sync/records/thread.js';
import { f64, type I32, type I64, i32, i64, type Local, type ValueType } from '../wasm/index.js';

/** What the builder of a template works with. */
export interface QuickFrame extends HartFrame {
  /** Scratch of memory accesses; a load leaves its value in `address`. */
  readonly address: Local<'i64'>;
  readonly entry: Local<'i32'>;
  readonly hostPageShift: number;
  /** What stands for the instruction's own address, its immediate, and the offset of a register in the Thread record. */
  pcConstant(): I64;
  immediateConstant(decoded: Decoded): I64;
  offsetOf(field: SourceField | 'rd', float: boolean): number;
  /** Leaves the region for the interpreter to do the instruction; where `condition` holds, if there is one. */
  aside(condition?: I32): void;
  /** Which of the operands were written last, and are in `address` still. */
  readonly recent: RecentOperands;
  /** Is told that `address` holds what the instruction's rd does. */
  noteResult(): void;
  /** Is told which scratch locals are used. */
  noteLocal(local: Local): void;
}

/** Operands that the instruction before has written, a mask. */
export type RecentOperands = number;
export const RECENT_RS1 = 1;
export const RECENT_RS2 = 2;

/** How control goes on. */
export interface QuickEnd {
  branch(condition: I32): void;
  jump(): void;
  jumpTo(target: I64): void;
}

/**
 * The builder of the first tier: fields as constants, registers in the Thread record. So an exit has nothing to put right, code is the same
 * wherever the instruction stands, and V8's baseline compiler, which keeps little in registers itself, makes short code of it.
 */
export class QuickBuilder extends HartBuilder {
  readonly exact = false;

  constructor(
    private readonly frame: QuickFrame,
    private readonly decoded: Decoded,
    private readonly end: QuickEnd,
  ) {
    super(frame, decoded.instruction.usesRm && decoded.rm === 7);
  }

  override variable<T extends ValueType>(type: T): Local<T> {
    const local = super.variable(type);
    this.frame.noteLocal(local);
    return local;
  }

  x(field: SourceField): I64 {
    const register = this.decoded[field];
    const recent = field === 'rs1' ? RECENT_RS1 : field === 'rs2' ? RECENT_RS2 : 0;
    if ((this.frame.recent & recent) !== 0) return this.frame.address;
    return register === 0 ? i64.const(0) : i64.load(this.frame.thread, this.frame.offsetOf(field, false));
  }
  setX(value: I64): void {
    const { f, thread } = this.frame;
    const { rd } = this.decoded;
    // Loads and calls have been made by now: their values are held.
    if (rd === 0) return;
    f.storeTee('i64.store', thread, withoutZero(value), this.frame.address, this.frame.offsetOf('rd', false));
    this.frame.noteResult();
  }
  f(field: SourceField): I64 {
    return i64.load(this.frame.thread, this.frame.offsetOf(field, true));
  }
  setF(value: I64): void {
    const { f, thread } = this.frame;
    const to = this.frame.offsetOf('rd', true);
    if (value.opcode === REINTERPRET_F64) f.store('f64.store', thread, value.operands[0], to);
    else f.store('i64.store', thread, value, to);
  }
  override get sameOperands(): boolean {
    return this.decoded.rs1 === this.decoded.rs2;
  }
  immediate(): I64 {
    return this.frame.immediateConstant(this.decoded);
  }
  pc(): I64 {
    return this.frame.pcConstant();
  }
  nextPc(): I64 {
    return i64.add(this.pc(), i64.const(this.decoded.length));
  }

  require(condition: I32): void {
    this.frame.aside(i32.eqz(condition));
  }
  legalIf(condition: I32): void {
    this.frame.aside(i32.eqz(condition));
  }

  // --- memory ---

  override load(kind: LoadKind, address: I64): I64 {
    const { f, address: value } = this.frame;
    f.set(value, LOADS[kind](this.readPlace(address, loadBytes(kind))));
    return value;
  }
  store(bits: StoreBits, address: I64, value: I64): void {
    const place = this.#place(Thread.writeTable, address, bits / 8);
    this.frame.f.store(STORES[bits], place, value);
  }
  protected readPlace(address: I64, bytes: number): I32 {
    return this.#place(Thread.readTable, address, bytes);
  }
  protected atomicReadPlace(address: I64, bytes: number): I32 {
    return this.hold(this.readPlace(address, bytes));
  }
  protected atomicWritePlace(address: I64, bytes: number): I32 {
    return this.hold(this.#place(Thread.writeTable, address, bytes));
  }

  /**
   * Machine address of `address`. Leaves where it is misaligned or beyond the reach, or the table, one of the Thread record's, has nothing there. Two
   * branches: V8's baseline compiler makes less of them than of one for both.
   */
  #place(table: number, address: I64, bytes: number): I32 {
    const { f, thread, hostPageShift, entry, address: at } = this.frame;
    f.set(at, withoutZero(address));
    const isBeyond = i64.ge_u(at, i64.load(thread, Thread.reach));
    this.frame.aside(
      bytes === 1 ? isBeyond : i32.or(isBeyond, i32.and(i32.wrap_i64(at), i32.const(bytes - 1))),
    );
    const offset = i32.and(i32.wrap_i64(i64.shr_u(at, i64.const(hostPageShift - 2))), i32.const(-4));
    f.set(entry, i32.load(i32.add(offset, i32.load(thread, table))));
    this.frame.aside(i32.eqz(entry));
    return i32.add(i32.add(i32.wrap_i64(at), entry), i32.const(-1));
  }

  // --- control transfer: the links of jumps are whose business it is to go on ---

  branch(condition: I32): void {
    this.end.branch(withoutComparison(condition));
  }
  jump(): void {
    this.end.jump();
  }
  jumpTo(target: I64): void {
    this.end.jumpTo(i64.and(withoutZero(target), i64.const(-2)));
  }
  exit(_reason: ExitReason): void {
    this.frame.aside();
  }

  protected staticRounding(): I32 {
    return i32.const(this.decoded.rm);
  }
  /** Counters are read in the interpreter, where the count is exact. */
  counter(): I64 {
    this.frame.aside();
    return i64.const(0);
  }
}

const STORES = { 8: 'i64.store8', 16: 'i64.store16', 32: 'i64.store32', 64: 'i64.store' } as const;

const REINTERPRET_F64 = i64.reinterpret_f64(f64.const(0)).opcode;
const ADD = i64.add(i64.const(0), i64.const(0)).opcode;
const CONST = i64.const(0).opcode;

const EQ = i64.eq(i64.const(0), i64.const(0)).opcode;
const NE = i64.ne(i64.const(0), i64.const(0)).opcode;

/** A sum without a 0 in it: that is how registers are moved and loaded with constants, and addresses have offsets. */
function withoutZero(value: I64): I64 {
  if (value.opcode !== ADD) return value;
  const [a, b] = value.operands as [I64, I64];
  if (isZero(b)) return a;
  return isZero(a) ? b : value;
}

/** A comparison with 0 as a test for that. */
function withoutComparison(condition: I32): I32 {
  if (condition.opcode !== EQ && condition.opcode !== NE) return condition;
  const [a, b] = condition.operands as [I64, I64];
  if (!isZero(b)) return condition;
  return condition.opcode === EQ ? i64.eqz(a) : i32.eqz(i64.eqz(a));
}

const isZero = (value: I64): boolean =>
  value.opcode === CONST && value.first === 0 && value.bytes === undefined;
