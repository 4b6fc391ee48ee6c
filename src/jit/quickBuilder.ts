import { HartBuilder, type HartFrame } from '../interpreter/hartBuilder.js';
import type { ExitReason, SourceField, StoreBits } from '../isa/builder.js';
import type { Decoded } from '../isa/instruction.js';
import { f64, type I32, type I64, i32, i64, type Local, type ValueType } from '../wasm/index.js';

/** What the builder of a template works with. */
export interface QuickFrame extends HartFrame {
  readonly readTable: Local<'i32'>;
  readonly writeTable: Local<'i32'>;
  /** The offsets that entries of the tables have, as a mask. */
  readonly tableMask: Local<'i32'>;
  /** The address bits beyond the reach. */
  readonly beyond: Local<'i64'>;
  /** Scratch of memory accesses. */
  readonly address: Local<'i64'>;
  readonly entry: Local<'i32'>;
  readonly hostPageShift: number;
  /** What stands for the instruction's own address, its immediate, and the offset of a register in the Thread record. */
  pcConstant(): I64;
  immediateConstant(decoded: Decoded): I64;
  offsetOf(field: SourceField | 'rd', float: boolean): number;
  /** Leaves the region for the interpreter to do the instruction. */
  aside(): void;
  /** Is told which scratch locals are used. */
  noteLocal(local: Local): void;
}

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
    return register === 0 ? i64.const(0) : i64.load(this.frame.thread, this.frame.offsetOf(field, false));
  }
  setX(value: I64): void {
    const { f, thread } = this.frame;
    const { rd } = this.decoded;
    if (rd === 0) f.drop(value);
    else f.store('i64.store', thread, withoutZero(value), this.frame.offsetOf('rd', false));
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
    this.#asideIf(i32.eqz(condition));
  }
  legalIf(condition: I32): void {
    this.#asideIf(i32.eqz(condition));
  }
  #asideIf(condition: I32): void {
    this.frame.f.if(condition, () => this.frame.aside());
  }

  // --- memory ---

  store(bits: StoreBits, address: I64, value: I64): void {
    const place = this.#place(this.frame.writeTable, address, bits / 8);
    this.frame.f.store(STORES[bits], place, value);
  }
  protected readPlace(address: I64, bytes: number): I32 {
    return this.#place(this.frame.readTable, address, bytes);
  }
  protected atomicReadPlace(address: I64, bytes: number): I32 {
    return this.hold(this.readPlace(address, bytes));
  }
  protected atomicWritePlace(address: I64, bytes: number): I32 {
    return this.hold(this.#place(this.frame.writeTable, address, bytes));
  }

  /**
   * Machine address of `address`. Leaves where it is misaligned or beyond the reach, or the table has nothing there. An address beyond the reach
   * finds some other entry of the table, which does no harm.
   */
  #place(table: Local<'i32'>, address: I64, bytes: number): I32 {
    const { f, beyond, tableMask, hostPageShift, entry, address: at } = this.frame;
    f.set(at, withoutZero(address));
    const offset = i32.and(i32.wrap_i64(i64.shr_u(at, i64.const(hostPageShift - 2))), tableMask);
    f.set(entry, i32.load(i32.add(table, offset)));
    const mask = bytes === 1 ? beyond : i64.or(beyond, i64.const(bytes - 1));
    this.#asideIf(i32.or(i32.eqz(entry), i64.ne(i64.and(at, mask), i64.const(0))));
    return i32.add(i32.add(i32.wrap_i64(at), entry), i32.const(-1));
  }

  // --- control transfer: the links of jumps are whose business it is to go on ---

  branch(condition: I32): void {
    this.end.branch(condition);
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

/** A sum with 0 as its second operand: that is how registers are moved, and addresses have offsets. */
function withoutZero(value: I64): I64 {
  if (value.opcode !== ADD) return value;
  const [a, b] = value.operands as [I64, I64];
  return b.opcode === CONST && b.first === 0 && b.bytes === undefined ? a : value;
}
