import type {
  AmoKind,
  AtomicBits,
  Builder,
  Counter,
  ExitReason,
  Helper,
  HelperCalls,
  LoadKind,
  SourceField,
  StoreBits,
} from '../isa/builder.js';
import { Thread } from '../sync/records/thread.js';
import {
  type Expression,
  type F64,
  type FunctionBuilder,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  select,
  type ValueType,
} from '../wasm/index.js';

/** What code that works on a Thread record needs of the function it is part of. */
export interface HartFrame {
  readonly f: FunctionBuilder;
  /** Address of the Thread record. */
  readonly thread: Local<'i32'>;
  readonly useHelper: HelperCalls;
}

/**
 * What the builders of interpreted and translated code share: values and control inside an instruction, atomics, and the
 * parts of the hart that are in the Thread record for both. Where registers are, how memory is reached, control
 * transferred and an instruction given up, is theirs.
 */
export abstract class HartBuilder implements Builder {
  abstract readonly exact: boolean;
  readonly #temporaries: Local[] = [];
  /** Set once the instruction has left to somewhere: then nothing falls out of its end. */
  ended = false;

  constructor(
    private readonly hart: HartFrame,
    readonly dynamicRounding: boolean,
  ) {}

  // --- registers and fields ---

  abstract x(field: SourceField): I64;
  abstract setX(value: I64): void;
  abstract f(field: SourceField): I64;
  isOrdered(_field: SourceField, value: F64): I32 {
    return f64.eq(value, value);
  }
  isBoxed(_field: SourceField, register: I64): I32 {
    return i64.ge_u(register, i64.const(BOX));
  }
  get sameOperands(): boolean {
    return false;
  }
  get expectsInexact(): boolean {
    return false;
  }
  abstract setF(value: I64): void;
  abstract immediate(): I64;
  abstract pc(): I64;
  abstract nextPc(): I64;

  // --- values and control inside an instruction ---

  hold<T extends ValueType>(value: Expression<T>): Expression<T> {
    const local = this.variable(value.type);
    this.hart.f.set(local, value);
    return local;
  }
  variable<T extends ValueType>(type: T): Local<T> {
    const local = this.hart.f.local(type);
    this.#temporaries.push(local);
    return local;
  }
  set<T extends ValueType>(variable: Local<T>, value: Expression<T>): void {
    this.hart.f.set(variable, value);
  }
  if(condition: I32, whenTrue: () => void, whenFalse?: () => void, likely?: boolean): void {
    this.hart.f.if(condition, whenTrue, whenFalse, likely);
  }
  call<R extends ValueType>(helper: Helper<R>, ...operands: readonly Expression[]): Expression<R> {
    return this.hold(this.hart.useHelper(helper, ...operands));
  }
  abstract require(condition: I32): void;
  abstract legalIf(condition: I32): void;

  // --- memory ---

  load(kind: LoadKind, address: I64): I64 {
    const place = this.readPlace(address, loadBytes(kind));
    return this.hold(LOADS[kind](place));
  }
  abstract store(bits: StoreBits, address: I64, value: I64): void;

  loadReserved(bits: AtomicBits, address: I64): I64 {
    const { f, thread } = this.hart;
    const at = this.hold(address);
    const place = this.atomicReadPlace(at, bits / 8);
    const value = this.hold(bits === 64 ? i64.atomic_load(place) : i64.extend_i32_s(i32.atomic_load(place)));
    f.store('i64.store', thread, at, Thread.reservationAddress);
    f.store('i64.store', thread, value, Thread.reservationValue);
    return value;
  }

  /** As in QEMU: an SC to another address than LR's fails without touching memory; else it is a compare-exchange. */
  storeConditional(bits: AtomicBits, address: I64, value: I64): I64 {
    const { f, thread } = this.hart;
    const at = this.hold(address);
    // Whether it would succeed or not.
    this.mustBeAligned(at, bits / 8);
    const failed = this.variable('i64');
    f.set(failed, i64.const(1));
    f.if(i64.eq(at, i64.load(thread, Thread.reservationAddress)), () => {
      const place = this.atomicWritePlace(at, bits / 8);
      const expected = i64.load(thread, Thread.reservationValue);
      if (bits === 64) {
        const seen = i64.atomic_rmw_cmpxchg(place, expected, value);
        f.set(failed, i64.extend_i32_u(i64.ne(seen, expected)));
      } else {
        const low = i32.wrap_i64(expected);
        const seen = i32.atomic_rmw_cmpxchg(place, low, i32.wrap_i64(value));
        f.set(failed, i64.extend_i32_u(i32.ne(seen, low)));
      }
    });
    f.store('i64.store', thread, i64.const(-1), Thread.reservationAddress);
    return failed;
  }

  amo(kind: AmoKind, bits: AtomicBits, address: I64, value: I64): I64 {
    const at = this.hold(address);
    const operand = this.hold(value);
    const place = this.atomicWritePlace(at, bits / 8);
    if (bits === 64) return this.hold(this.#amo64(kind, place, operand));
    return this.hold(i64.extend_i32_s(this.#amo32(kind, place, this.hold(i32.wrap_i64(operand)))));
  }

  #amo64(kind: AmoKind, place: I32, value: I64): I64 {
    switch (kind) {
      case 'swap':
        return i64.atomic_rmw_xchg(place, value);
      case 'add':
        return i64.atomic_rmw_add(place, value);
      case 'xor':
        return i64.atomic_rmw_xor(place, value);
      case 'and':
        return i64.atomic_rmw_and(place, value);
      case 'or':
        return i64.atomic_rmw_or(place, value);
      default: {
        const pick = { min: i64.lt_s, max: i64.gt_s, minu: i64.lt_u, maxu: i64.gt_u }[kind];
        const old = this.variable('i64');
        this.hart.f.loop((again) => {
          this.set(old, i64.atomic_load(place));
          const seen = i64.atomic_rmw_cmpxchg(place, old, select(pick(old, value), old, value));
          this.hart.f.brIf(again, i64.ne(seen, old));
        });
        return old;
      }
    }
  }

  #amo32(kind: AmoKind, place: I32, value: I32): I32 {
    switch (kind) {
      case 'swap':
        return i32.atomic_rmw_xchg(place, value);
      case 'add':
        return i32.atomic_rmw_add(place, value);
      case 'xor':
        return i32.atomic_rmw_xor(place, value);
      case 'and':
        return i32.atomic_rmw_and(place, value);
      case 'or':
        return i32.atomic_rmw_or(place, value);
      default: {
        const pick = { min: i32.lt_s, max: i32.gt_s, minu: i32.lt_u, maxu: i32.gt_u }[kind];
        const old = this.variable('i32');
        this.hart.f.loop((again) => {
          this.set(old, i32.atomic_load(place));
          const seen = i32.atomic_rmw_cmpxchg(place, old, select(pick(old, value), old, value));
          this.hart.f.brIf(again, i32.ne(seen, old));
        });
        return old;
      }
    }
  }

  fence(): void {
    this.hart.f.fence();
  }

  /** Machine address to load from (any alignment in the exact tier). */
  protected abstract readPlace(address: I64, bytes: number): I32;
  /** Machine address for an aligned atomic access; `address` is held. */
  protected abstract atomicReadPlace(address: I64, bytes: number): I32;
  protected abstract atomicWritePlace(address: I64, bytes: number): I32;
  /** Faults where the address, held, is misaligned; the fast tier gives up. */
  protected mustBeAligned(address: I64, bytes: number): void {
    this.require(i32.eqz(i32.and(i32.wrap_i64(address), i32.const(bytes - 1))));
  }

  // --- control transfer ---

  abstract branch(condition: I32): void;
  abstract jump(): void;
  abstract jumpTo(target: I64): void;
  abstract exit(reason: ExitReason): void;

  // --- floating-point state and counters ---

  fflags(): I32 {
    return i32.load(this.hart.thread, Thread.fflags);
  }
  setFflags(value: I32): void {
    this.hart.f.store('i32.store', this.hart.thread, value, Thread.fflags);
  }
  raise(flags: I32): void {
    this.setFflags(i32.or(this.fflags(), flags));
  }
  frm(): I32 {
    return i32.load(this.hart.thread, Thread.frm);
  }
  setFrm(value: I32): void {
    this.hart.f.store('i32.store', this.hart.thread, value, Thread.frm);
  }
  /** The rounding mode of the instruction word, when that is not dynamic. */
  protected abstract staticRounding(): I32;
  roundingMode(): I32 {
    if (!this.dynamicRounding) return this.hold(this.staticRounding());
    const mode = this.hold(this.frm());
    this.legalIf(i32.lt_u(mode, i32.const(5)));
    return mode;
  }
  hardFloat(): I32 {
    if (!this.dynamicRounding) {
      return i32.and(this.fflags(), i32.eqz(this.staticRounding()));
    }
    // frm stands right behind fflags: one load says "NX set and RNE", whatever the other flags.
    return i64.eq(i64.and(i64.load(this.hart.thread, Thread.fflags, 2), i64.const(~0x1e)), i64.const(1));
  }
  abstract counter(counter: Counter): I64;

  /** Gives the temporaries back. Call it when the instruction is written. */
  finish(): void {
    for (const local of this.#temporaries) this.hart.f.release(local);
    this.#temporaries.length = 0;
  }
}

/** What the upper half of a register with a single in it holds. */
const BOX = 0xffff_ffff_0000_0000n;

if (Thread.frm !== Thread.fflags + 4) throw new Error('frm must follow fflags');

/** Loads at a machine address plus a constant. */
export const LOADS: Readonly<Record<LoadKind, (address: I32, offset?: number) => I64>> = {
  i8: i64.load8_s,
  u8: i64.load8_u,
  i16: i64.load16_s,
  u16: i64.load16_u,
  i32: i64.load32_s,
  u32: i64.load32_u,
  i64: i64.load,
};

/** How many bytes a load reads. */
export function loadBytes(kind: LoadKind): number {
  return Number(kind.slice(1)) / 8;
}
