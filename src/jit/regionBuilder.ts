import { HartBuilder, type HartFrame, LOADS, loadBytes } from '../interpreter/hartBuilder.js';
import type { ExitReason, LoadKind, SourceField, StoreBits } from '../isa/builder.js';
import { Encoding, f64, type I32, type I64, i32, i64, type Label, type Local } from '../wasm/index.js';
import type { AccessGroup } from './accessGroups.js';
import type { RegionInstruction } from './regionGraph.js';

/** How a region is left: what its function returns. The pc is in Thread.pc. */
export const LEFT_CONTINUE = 0;
/** The instruction at Thread.pc must be done by the interpreter, which must not enter a region for it. */
export const LEFT_ASIDE = 1;

/** What the builders of one region share. */
export interface RegionFrame extends HartFrame {
  /** Registers, where the region uses them. */
  readonly x: readonly (Local<'i64'> | undefined)[];
  readonly fp: readonly (Local<'f64'> | undefined)[];
  readonly readTable: Local<'i32'>;
  readonly writeTable: Local<'i32'>;
  /** Table entry of a page at its home, and the home delta. */
  readonly homeEntry: Local<'i32'>;
  readonly homeDelta: Local<'i32'>;
  /** By log2 of the access size: the address bits that must be zero. */
  readonly masks: readonly Local<'i64'>[];
  /** Whether NX is set; whether it is and the dynamic rounding mode is RNE. Kept up to date where they change. */
  readonly inexact: Local<'i32'>;
  readonly inexactNearest: Local<'i32'>;
  /** Scratch of memory accesses. */
  readonly address: Local<'i64'>;
  readonly entry: Local<'i32'>;
  readonly place: Local<'i32'>;
  readonly hostPageShift: number;
  /**
   * Notes that an exit taken from here on leaves the instruction at `pc`, and `undone` instructions of its block in all, not
   * done; returns the label to branch to for the interpreter to do it.
   */
  asideAt(pc: number, undone: number): Label;
  /** Reads `inexact` and `inexactNearest` from the Thread record. */
  loadInexact(): void;
}

/** How control goes on behind a block's last instruction. */
export interface BlockEnd {
  branch(condition: I32): void;
  jump(): void;
  jumpTo(target: Local<'i64'>): void;
}

/** The builder of translated code: registers in locals, fields as constants. */
export class RegionBuilder extends HartBuilder {
  readonly exact = false;

  constructor(
    private readonly region: RegionFrame,
    private readonly at: RegionInstruction,
    /** Instructions of the block from this one on. */
    private readonly undone: number,
    /** The group that the instruction's access is in, if any. */
    private readonly group: AccessGroup | undefined,
    private readonly end: BlockEnd,
  ) {
    super(region, at.decoded.instruction.usesRm && at.decoded.rm === 7);
  }

  x(field: SourceField): I64 {
    const register = this.at.decoded[field];
    return register === 0 ? i64.const(0) : this.region.x[register]!;
  }
  setX(value: I64): void {
    const { rd } = this.at.decoded;
    if (rd === 0) this.region.f.drop(value);
    else this.region.f.set(this.region.x[rd]!, withoutZero(value));
  }
  f(field: SourceField): I64 {
    return i64.reinterpret_f64(this.region.fp[this.at.decoded[field]]!);
  }
  setF(value: I64): void {
    this.region.f.set(this.region.fp[this.at.decoded.rd]!, doubleFromBits(value));
  }
  immediate(): I64 {
    return i64.const(this.at.decoded.immediate);
  }
  pc(): I64 {
    return i64.const(this.at.pc);
  }
  nextPc(): I64 {
    return i64.const(this.at.pc + this.at.decoded.length);
  }

  require(condition: I32): void {
    this.#asideIf(i32.eqz(condition));
  }
  legalIf(condition: I32): void {
    this.#asideIf(i32.eqz(condition));
  }
  #asideIf(condition: I32): void {
    const aside = this.region.asideAt(this.at.pc, this.undone);
    this.region.f.brIf(aside, condition);
  }

  // --- memory ---

  override load(kind: LoadKind, address: I64): I64 {
    const { group } = this;
    const value =
      group === undefined
        ? LOADS[kind](this.readPlace(address, loadBytes(kind)))
        : LOADS[kind](this.#groupPlace(group), this.at.decoded.immediate - group.lowest);
    // An integer register is set to it at once.
    return this.at.decoded.instruction.operands.startsWith('d') ? value : this.hold(value);
  }
  store(bits: StoreBits, address: I64, value: I64): void {
    const { group } = this;
    if (group !== undefined) {
      const place = this.#groupPlace(group);
      this.region.f.store(STORES[bits], place, value, this.at.decoded.immediate - group.lowest);
      return;
    }
    const place = this.#place(this.region.writeTable, address, bits / 8);
    this.region.f.store(STORES[bits], place, value);
  }
  protected readPlace(address: I64, bytes: number): I32 {
    return this.#place(this.region.readTable, address, bytes);
  }
  protected atomicReadPlace(address: I64, bytes: number): I32 {
    return this.hold(this.readPlace(address, bytes));
  }
  protected atomicWritePlace(address: I64, bytes: number): I32 {
    return this.hold(this.#place(this.region.writeTable, address, bytes));
  }

  /** Translates, guessing that the page is at its home: then the table's entry is only compared, off the critical path. */
  #place(table: Local<'i32'>, address: I64, bytes: number): I32 {
    const { f, masks, entry, homeEntry, homeDelta, place, address: at } = this.region;
    const aside = this.region.asideAt(this.at.pc, this.undone);
    f.set(at, withoutZero(address));
    f.brIf(aside, i64.ne(i64.and(at, masks[Math.log2(bytes)]), i64.const(0)));
    f.set(entry, this.#entryOf(table, at));
    f.set(place, i32.add(i32.wrap_i64(at), homeDelta));
    f.if(i32.ne(entry, homeEntry), () => {
      f.brIf(aside, i32.eqz(entry));
      f.set(place, i32.add(place, i32.sub(entry, homeEntry)));
    });
    return place;
  }

  /** Machine address of the group's lowest byte; the group's first access finds it out for all. */
  #groupPlace(group: AccessGroup): I32 {
    if (group.place !== undefined) return group.place;
    const { f, masks, entry, homeEntry, homeDelta, address: at, readTable, writeTable } = this.region;
    const aside = this.region.asideAt(this.at.pc, this.undone);
    const table = group.writes ? writeTable : readTable;
    const place = f.local('i32');
    group.place = place;
    const { lowest, highest, alignment } = group;
    // Aligned and within the reach: the lowest address is so far behind a multiple of the alignment, with no high bits.
    const remainder = (lowest - group.anchor) & (alignment - 1);
    f.set(at, lowest === 0 ? this.x('rs1') : i64.add(this.x('rs1'), i64.const(lowest)));
    f.brIf(aside, i64.ne(i64.and(at, masks[Math.log2(alignment)]), i64.const(remainder)));
    f.set(entry, this.#entryOf(table, at));
    f.set(place, i32.add(i32.wrap_i64(at), homeDelta));
    if (highest - lowest >= alignment) {
      // What reaches into the next page must be there too, at the same distance.
      f.set(at, i64.add(at, i64.const(highest - lowest)));
      f.brIf(aside, i64.ne(i64.and(at, masks[0]), i64.const(0)));
      f.brIf(aside, i32.ne(this.#entryOf(table, at), entry));
    }
    f.if(i32.ne(entry, homeEntry), () => {
      f.brIf(aside, i32.eqz(entry));
      f.set(place, i32.add(place, i32.sub(entry, homeEntry)));
    });
    return place;
  }

  /** The table entry of the page that `address` is in. */
  #entryOf(table: Local<'i32'>, address: I64): I32 {
    const shifted = i32.wrap_i64(i64.shr_u(address, i64.const(this.region.hostPageShift - 2)));
    return i32.load(i32.add(table, i32.and(shifted, i32.const(-4))));
  }

  // --- control transfer ---

  branch(condition: I32): void {
    this.end.branch(condition);
    this.ended = true;
  }
  jump(): void {
    if (this.at.decoded.rd !== 0) this.setX(this.nextPc());
    this.end.jump();
    this.ended = true;
  }
  jumpTo(target: I64): void {
    const to = this.hold(i64.and(withoutZero(target), i64.const(-2))) as Local<'i64'>;
    if (this.at.decoded.rd !== 0) this.setX(this.nextPc());
    this.end.jumpTo(to);
    this.ended = true;
  }
  exit(_reason: ExitReason): void {
    this.#leave();
    this.ended = true;
  }
  #leave(): void {
    const aside = this.region.asideAt(this.at.pc, this.undone);
    this.region.f.br(aside);
  }

  // --- floating-point state and counters ---

  override setFflags(value: I32): void {
    super.setFflags(value);
    this.region.loadInexact();
  }
  override setFrm(value: I32): void {
    super.setFrm(value);
    this.region.loadInexact();
  }
  protected staticRounding(): I32 {
    return i32.const(this.at.decoded.rm);
  }
  override hardFloat(): I32 {
    if (this.dynamicRounding) return this.region.inexactNearest;
    return this.at.decoded.rm === 0 ? this.region.inexact : i32.const(0);
  }
  /** Counters are read in the interpreter, where the count is exact. */
  counter(): I64 {
    this.#leave();
    return i64.const(0);
  }
}

const ADD = i64.add(i64.const(0), i64.const(0)).opcode;
const CONST = i64.const(0).opcode;
const isZero = ({ opcode, encoding, first }: I64): boolean =>
  opcode === CONST && encoding === Encoding.Signed && first === 0;

/** A sum with 0 as its other operand: that is how registers are moved, and addresses have offsets. */
function withoutZero(value: I64): I64 {
  if (value.opcode !== ADD) return value;
  const [a, b] = value.operands as [I64, I64];
  return isZero(b) ? a : isZero(a) ? b : value;
}

const REINTERPRET_F64 = i64.reinterpret_f64(f64.const(0)).opcode;

function doubleFromBits(bits: I64) {
  return bits.opcode === REINTERPRET_F64 ? (bits.operands[0] as Local<'f64'>) : f64.reinterpret_i64(bits);
}

const STORES = { 8: 'i64.store8', 16: 'i64.store16', 32: 'i64.store32', 64: 'i64.store' } as const;
