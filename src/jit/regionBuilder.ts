import { HartBuilder, type HartFrame, LOADS, loadBytes } from '../interpreter/hartBuilder.js';
import type { ExitReason, LoadKind, SourceField, StoreBits } from '../isa/builder.js';
import type { Decoded } from '../isa/instruction.js';
import {
  Encoding,
  Expression,
  type F64,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  Local,
} from '../wasm/index.js';
import type { AccessGroup } from './accessGroups.js';
import type { FloatKinds } from './floatRegisters.js';
import type { GuardedAccess, GuardedGroup, SteadyRounding } from './loopGuards.js';
import type { RegionInstruction } from './regionGraph.js';
import { isWord, isWordOperation, wordsAfter } from './wordRegisters.js';

/** How a region is left: what its function returns. The pc is in Thread.pc. */
export const LEFT_CONTINUE = 0;
/** The instruction at Thread.pc must be done by the interpreter, which must not enter a region for it. */
export const LEFT_ASIDE = 1;

/** What the builders of one region share. */
export interface RegionFrame extends HartFrame {
  /** Registers, where the region uses them; those that hold 32-bit numbers are in `w`, as such. The local that a register is not in is 0. */
  readonly x: readonly (Local<'i64'> | undefined)[];
  readonly w: readonly (Local<'i32'> | undefined)[];
  readonly fp: readonly (Local<'f64'> | undefined)[];
  readonly readTable: Local<'i32'>;
  readonly writeTable: Local<'i32'>;
  /** The table entry that a page at its home is expected to have: the home delta plus one; not 0. */
  readonly homeEntry: number;
  /** By log2 of the access size: the address bits that must be zero. */
  readonly masks: readonly Local<'i64'>[];
  /** Whether NX is set; whether it is and the dynamic rounding mode is RNE. Kept up to date where they change. */
  readonly inexact: Local<'i32'>;
  readonly inexactNearest: Local<'i32'>;
  /** Scratch of memory accesses. */
  readonly address: Local<'i64'>;
  readonly entry: Local<'i32'>;
  readonly hostPageShift: number;
  /**
   * Notes that an exit taken from here on leaves the instruction at `pc` not done, and that `done` instructions have been
   * that are not counted yet; returns the label to branch to for the interpreter to do it.
   */
  asideAt(pc: number, done: number): Label;
  /** Machine address less the home delta of the lowest byte of a group that the block's guard has asked for. */
  placeOf(group: GuardedGroup): I32;
  /** Whether NX was set when the region was formed. */
  readonly expectsInexact: boolean;
  /** An integer register that is not x0, where code is being written. */
  valueOf(register: number): I64;
  /** Reads `inexact` and `inexactNearest` from the Thread record. */
  loadInexact(): void;
  /** Sets both, the rounding mode being the one in the Thread record, as these flags have it. */
  setInexact(fflags: I32): void;
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
    /** Instructions done since the count was last brought up to date. */
    private readonly done: number,
    /** The group that the instruction's access is in, if any. */
    private readonly group: AccessGroup | undefined,
    /** How the access is known to be at home, if it is. */
    private readonly guarded: GuardedAccess | undefined,
    /** What is known where the instruction rounds to nearest even. */
    private readonly steady: SteadyRounding | undefined,
    /** Registers that hold 32-bit numbers, as a mask. */
    private readonly words: number,
    private readonly floats: FloatKinds,
    private readonly end: BlockEnd,
  ) {
    super(region, at.decoded.instruction.usesRm && at.decoded.rm === 7);
  }

  x(field: SourceField): I64 {
    const register = this.at.decoded[field];
    if (register === 0) return i64.const(0);
    return isWord(this.words, register)
      ? i64.extend_i32_s(this.region.w[register]!)
      : this.region.x[register]!;
  }
  setX(value: I64): void {
    const { rd } = this.at.decoded;
    const { f, x, w } = this.region;
    if (rd === 0) {
      f.drop(value);
      return;
    }
    const result = withoutZero(this.#narrowed(value));
    const word = w[rd];
    if (word === undefined) f.set(x[rd]!, result);
    else if (isWord(wordsAfter(this.at, this.words), rd)) {
      f.set(word, wordOf(result));
      f.set(x[rd]!, i64.const(0));
    } else {
      f.set(x[rd]!, result);
      f.set(word, i32.const(0));
    }
  }
  /** A bitwise operation of 32-bit numbers, done in 32 bits. */
  #narrowed(value: I64): I64 {
    if (!isWordOperation(this.at.decoded, this.words)) return value;
    const narrow = BITWISE.get(value.opcode);
    if (narrow === undefined) return value;
    const [a, b] = value.operands as [I64, I64];
    return i64.extend_i32_s(narrow(i32.wrap_i64(a), i32.wrap_i64(b)));
  }
  f(field: SourceField): I64 {
    return i64.reinterpret_f64(this.region.fp[this.at.decoded[field]]!);
  }
  override isOrdered(field: SourceField, value: F64): I32 {
    return this.#isKnown(this.floats.ordered, field) ? i32.const(1) : super.isOrdered(field, value);
  }
  override isBoxed(field: SourceField, register: I64): I32 {
    return this.#isKnown(this.floats.boxed, field) ? i32.const(1) : super.isBoxed(field, register);
  }
  #isKnown(mask: number, field: SourceField): boolean {
    return ((mask >>> this.at.decoded[field]) & 1) !== 0;
  }
  override get sameOperands(): boolean {
    return this.at.decoded.rs1 === this.at.decoded.rs2;
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

  /** What is known when code is written is decided then. */
  override if(condition: I32, whenTrue: () => void, whenFalse?: () => void, likely?: boolean): void {
    const known = truthOf(condition);
    if (known === undefined) super.if(condition, whenTrue, whenFalse, likely);
    else if (known) whenTrue();
    else whenFalse?.();
  }
  require(condition: I32): void {
    if (truthOf(condition) !== true) this.#asideIf(i32.eqz(condition));
  }
  legalIf(condition: I32): void {
    this.#asideIf(i32.eqz(condition));
  }
  #asideIf(condition: I32): void {
    const aside = this.#asideHere();
    this.region.f.brIf(aside, condition, false);
  }

  // --- memory ---

  override load(kind: LoadKind, address: I64): I64 {
    const { f } = this.region;
    const { instruction, immediate } = this.at.decoded;
    const load = LOADS[kind];
    // An integer register is set to it at once; a double is loaded as one.
    const toRegister = instruction.operands.startsWith('d');
    if (this.guarded !== undefined) {
      const { group, offset } = this.guarded;
      const place = this.region.placeOf(group);
      const at = this.#homeOffset(offset);
      if (kind === 'i64' && !toRegister) return i64.reinterpret_f64(this.hold(f64.load(place, at)));
      const value = load(place, at);
      return toRegister ? value : this.hold(value);
    }
    if (this.group !== undefined) {
      const place = this.#groupPlace(this.group);
      const at = immediate - this.group.lowest;
      if (kind === 'i64' && !toRegister) return i64.reinterpret_f64(this.hold(f64.load(place, at)));
      const value = load(place, at);
      return toRegister ? value : this.hold(value);
    }
    if (kind === 'i64' && !toRegister) {
      const double = this.variable('f64');
      this.#access(this.region.readTable, address, 8, (place, offset) =>
        f.set(double, f64.load(place, offset)),
      );
      return i64.reinterpret_f64(double);
    }
    if (toRegister && kind !== 'u32' && kind !== 'i64') {
      const word = this.variable('i32');
      this.#access(this.region.readTable, address, loadBytes(kind), (place, offset) =>
        f.set(word, wordOf(load(place, offset))),
      );
      return kind.startsWith('u') ? i64.extend_i32_u(word) : i64.extend_i32_s(word);
    }
    const value = this.variable('i64');
    this.#access(this.region.readTable, address, loadBytes(kind), (place, offset) =>
      f.set(value, load(place, offset)),
    );
    return value;
  }
  store(bits: StoreBits, address: I64, value: I64): void {
    const { f } = this.region;
    const double = bits === 64 ? doubleOf(value) : undefined;
    const storeAt = (place: I32, offset: number): void =>
      double === undefined
        ? bits === 64
          ? f.store('i64.store', place, value, offset)
          : f.store(STORES[bits], place, i32.wrap_i64(value), offset)
        : f.store('f64.store', place, double, offset);
    const { group, guarded } = this;
    if (guarded !== undefined) storeAt(this.region.placeOf(guarded.group), this.#homeOffset(guarded.offset));
    else if (group !== undefined) storeAt(this.#groupPlace(group), this.at.decoded.immediate - group.lowest);
    else this.#access(this.region.writeTable, address, bits / 8, storeAt);
  }
  #homeOffset(offset: number): number {
    return (this.region.homeEntry - 1 + offset) >>> 0;
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

  /**
   * Does an access at a machine address plus a constant. The page is expected at its home: then its table entry is only
   * compared, and the home delta is part of the instruction that accesses memory.
   */
  #access(
    table: Local<'i32'>,
    address: I64,
    bytes: number,
    write: (place: I32, offset: number) => void,
  ): void {
    const { f, homeEntry } = this.region;
    const aside = this.#asideHere();
    const at = this.#checkedAddress(address, masksIndex(bytes), 0, aside);
    f.if(
      i32.eq(this.#entryOf(table, at), i32.const(homeEntry)),
      () => write(i32.wrap_i64(at), (homeEntry - 1) >>> 0),
      () => write(this.#elsewhere(table, at, aside), 0),
      true,
    );
  }

  /** Machine address of `address`. */
  #place(table: Local<'i32'>, address: I64, bytes: number): I32 {
    const aside = this.#asideHere();
    const at = this.#checkedAddress(address, masksIndex(bytes), 0, aside);
    return this.#elsewhere(table, at, aside);
  }

  /** Machine address of the guest address in `at`, wherever its page is. */
  #elsewhere(table: Local<'i32'>, at: Local<'i64'>, aside: Label): I32 {
    const { f, entry } = this.region;
    f.set(entry, this.#entryOf(table, at));
    f.brIf(aside, i32.eqz(entry), false);
    return i32.add(i32.add(i32.wrap_i64(at), entry), i32.const(-1));
  }

  #asideHere(): Label {
    return this.region.asideAt(this.at.pc, this.done);
  }

  /** The address in a local, known to be within the reach and `remainder` behind a multiple of the size. */
  #checkedAddress(address: I64, mask: number, remainder: number, aside: Label): Local<'i64'> {
    const { f, masks, address: scratch } = this.region;
    const plain = withoutZero(address);
    const at = plain instanceof Local ? (plain as Local<'i64'>) : scratch;
    if (at === scratch) f.set(at, plain);
    f.brIf(aside, i64.ne(i64.and(at, masks[mask]), i64.const(remainder)), false);
    return at;
  }

  /** Machine address of the group's lowest byte; the group's first access finds it out for all. */
  #groupPlace(group: AccessGroup): I32 {
    if (group.place !== undefined) return group.place;
    const { f, masks, homeEntry, entry, readTable, writeTable } = this.region;
    const aside = this.#asideHere();
    const table = group.writes ? writeTable : readTable;
    const place = f.local('i32');
    group.place = place;
    const { lowest, highest, alignment } = group;
    // Aligned and within the reach: the lowest address is so far behind a multiple of the alignment, with no high bits.
    const remainder = (lowest - group.anchor) & (alignment - 1);
    const base = this.x('rs1');
    const address = lowest === 0 ? base : i64.add(base, i64.const(lowest));
    const at = this.#checkedAddress(address, masksIndex(alignment), remainder, aside);
    f.set(place, i32.add(i32.wrap_i64(at), i32.const(homeEntry - 1)));
    const span = highest - lowest;
    if (span >= alignment) {
      // What reaches into the next page must be there too, at the same distance.
      f.if(
        reachesNextPage(this.region, at, span),
        () => {
          const last = i64.add(at, i64.const(span));
          f.brIf(aside, i64.ne(i64.and(last, masks[0]), i64.const(0)), false);
          f.brIf(aside, i32.ne(this.#entryOf(table, last), this.#entryOf(table, at)), false);
        },
        undefined,
        false,
      );
    }
    f.if(
      i32.ne(this.#entryOf(table, at), i32.const(homeEntry)),
      () => {
        f.set(entry, this.#entryOf(table, at));
        f.brIf(aside, i32.eqz(entry), false);
        f.set(place, i32.add(place, i32.sub(entry, i32.const(homeEntry))));
      },
      undefined,
      false,
    );
    return place;
  }

  /** The table entry of the page that `address` is in. */
  #entryOf(table: Local<'i32'>, address: I64): I32 {
    return entryAt(this.region, table, address);
  }

  // --- control transfer ---

  branch(condition: I32): void {
    const { rs1, rs2 } = this.at.decoded;
    const narrow = isWord(this.words, rs1) && isWord(this.words, rs2) && COMPARISONS.get(condition.opcode);
    if (narrow) {
      const [a, b] = condition.operands as [I64, I64];
      this.end.branch(narrow(i32.wrap_i64(a), i32.wrap_i64(b)));
    } else this.end.branch(condition);
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
    this.region.f.br(this.#asideHere());
  }

  // --- floating-point state and counters ---

  override get expectsInexact(): boolean {
    return this.region.expectsInexact;
  }
  override setFflags(value: I32): void {
    if (readsOnly(this.at.decoded)) return;
    const flags = this.hold(value);
    // What copies of a loop rely on stays.
    if (this.steady === 'inexact') this.require(i32.and(flags, i32.const(NX)));
    this.#storeFflags(flags);
  }
  override raise(flags: I32): void {
    this.#storeFflags(this.hold(i32.or(this.fflags(), flags)));
  }
  #storeFflags(flags: I32): void {
    super.setFflags(flags);
    if (this.steady !== 'inexact') this.region.setInexact(flags);
  }
  override setFrm(value: I32): void {
    super.setFrm(value);
    this.region.loadInexact();
  }
  protected staticRounding(): I32 {
    return i32.const(this.at.decoded.rm);
  }
  override roundingMode(): I32 {
    if (!this.dynamicRounding) return this.staticRounding();
    return this.steady === undefined ? super.roundingMode() : i32.const(0);
  }
  override hardFloat(): I32 {
    if (!this.dynamicRounding && this.at.decoded.rm !== 0) return i32.const(0);
    if (this.steady === 'inexact') return i32.const(1);
    return this.dynamicRounding && this.steady === undefined
      ? this.region.inexactNearest
      : this.region.inexact;
  }
  /** Counters are read in the interpreter, where the count is exact. */
  counter(): I64 {
    this.#leave();
    return i64.const(0);
  }
}

const NX = 1;

/** Whether the access of a control and status register leaves that as it is. */
function readsOnly({ instruction: { mnemonic }, rs1, immediate }: Decoded): boolean {
  return /^csrr[sc]:/.test(mnemonic) ? rs1 === 0 : /^csrr[sc]i:/.test(mnemonic) && immediate === 0;
}

/** The entry in a thread's page table for the page that `address`, which is within the reach, is in. */
export function entryAt({ hostPageShift }: RegionFrame, table: Local<'i32'>, address: I64): I32 {
  const page = i32.wrap_i64(i64.shr_u(address, i64.const(hostPageShift)));
  return i32.load(i32.add(table, i32.shl(page, i32.const(2))));
}

/** Whether the byte `span` behind `address` is in the page behind it; `span` is less than a page. */
export function reachesNextPage({ hostPageShift }: RegionFrame, address: I64, span: number): I32 {
  const size = 2 ** hostPageShift;
  return i32.ge_u(i32.and(i32.wrap_i64(address), i32.const(size - 1)), i32.const(size - span));
}

const EQZ = i32.eqz(i32.const(0)).opcode;
const AND = i32.and(i32.const(0), i32.const(0)).opcode;
const CONST_32 = i32.const(0).opcode;

/** What a condition comes to, when that can be seen. */
function truthOf({ opcode, operands, first }: I32): boolean | undefined {
  if (opcode === CONST_32) return first !== 0;
  if (opcode !== EQZ && opcode !== AND) return undefined;
  const [a, b] = (operands as I32[]).map(truthOf);
  if (opcode === EQZ) return a === undefined ? undefined : !a;
  // Conditions are 0 or 1.
  return a === false || b === false ? false : a === true && b === true ? true : undefined;
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

/** The double whose bits these are, when they were made from one. */
function doubleOf(bits: I64): F64 | undefined {
  return bits.opcode === REINTERPRET_F64 ? (bits.operands[0] as F64) : undefined;
}

function doubleFromBits(bits: I64): F64 {
  return doubleOf(bits) ?? f64.reinterpret_i64(bits);
}

function masksIndex(bytes: number): number {
  return 31 - Math.clz32(bytes);
}

/** The loads of 32 bits that give what these of 64 bits give, by opcode. */
const WORD_LOADS: ReadonlyMap<number, number> = new Map([
  [i64.load8_s(i32.const(0)).opcode, i32.load8_s(i32.const(0)).opcode],
  [i64.load8_u(i32.const(0)).opcode, i32.load8_u(i32.const(0)).opcode],
  [i64.load16_s(i32.const(0)).opcode, i32.load16_s(i32.const(0)).opcode],
  [i64.load16_u(i32.const(0)).opcode, i32.load16_u(i32.const(0)).opcode],
  [i64.load32_s(i32.const(0)).opcode, i32.load(i32.const(0)).opcode],
]);

/** The low 32 bits of a value that is a 32-bit number. */
function wordOf(value: I64): I32 {
  const load = WORD_LOADS.get(value.opcode);
  if (load === undefined) return i32.wrap_i64(value);
  const { operands, encoding, first, second } = value;
  return new Expression('i32', load, operands, encoding, first, second);
}

const STORES = { 8: 'i32.store8', 16: 'i32.store16', 32: 'i32.store' } as const;

type Narrow = (a: I32, b: I32) => I32;
const zero = i64.const(0);
/** Operations of 64 bits that give the same of 32-bit numbers, extended, as those of 32 bits; by opcode. */
const BITWISE: ReadonlyMap<number, Narrow> = new Map([
  [i64.and(zero, zero).opcode, i32.and],
  [i64.or(zero, zero).opcode, i32.or],
  [i64.xor(zero, zero).opcode, i32.xor],
]);
const COMPARISONS: ReadonlyMap<number, Narrow> = new Map([
  [i64.eq(zero, zero).opcode, i32.eq],
  [i64.ne(zero, zero).opcode, i32.ne],
  [i64.lt_s(zero, zero).opcode, i32.lt_s],
  [i64.ge_s(zero, zero).opcode, i32.ge_s],
  [i64.lt_u(zero, zero).opcode, i32.lt_u],
  [i64.ge_u(zero, zero).opcode, i32.ge_u],
]);
