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
import { EXIT_EBREAK, EXIT_ECALL, EXIT_FENCE_I, EXIT_ILLEGAL, Thread } from '../sync/records/thread.js';
import {
  call,
  type Expression,
  type FunctionBuilder,
  type FunctionRef,
  f64,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  select,
  type ValueType,
} from '../wasm/index.js';
import type { Handler } from './handlers.js';
import { RD_MASK, RD_SHIFT, RM_MASK, RM_SHIFT, RS_MASK, RS2_SHIFT } from './slot.js';

/** What both tiers need of the function they write. */
export interface Frame {
  readonly f: FunctionBuilder;
  /** Address of the Thread record. */
  readonly thread: Local<'i32'>;
  /** The slot, and its low half. */
  readonly slot: Local<'i64'>;
  readonly low: Local<'i32'>;
  readonly useHelper: HelperCalls;
  /** () → i64: the time CSR. */
  readonly time: FunctionRef;
}

export const EXITS: Readonly<Record<ExitReason, number>> = {
  ecall: EXIT_ECALL,
  ebreak: EXIT_EBREAK,
  illegal: EXIT_ILLEGAL,
  fenceI: EXIT_FENCE_I,
};

/**
 * The builder of the interpreter: registers in the Thread record, fields from the slot. What the tiers share is here; how
 * they reach memory, transfer control and give up is theirs (fastBuilder.ts, exactBuilder.ts).
 */
export abstract class InterpreterBuilder implements Builder {
  abstract readonly exact: boolean;
  readonly dynamicRounding: boolean;
  readonly #temporaries: Local[] = [];
  /** Set once the handler has left to somewhere: then nothing falls out of its end. */
  ended = false;

  constructor(
    protected readonly frame: Frame,
    protected readonly handler: Handler,
  ) {
    this.dynamicRounding = handler.dynamicRounding;
  }

  // --- registers and fields ---

  x(field: SourceField): I64 {
    return i64.load(this.#register(field), Thread.x);
  }
  setX(value: I64): void {
    this.frame.f.store('i64.store', this.#rd(), value, Thread.x);
  }
  f(field: SourceField): I64 {
    return i64.load(this.#register(field), Thread.f);
  }
  setF(value: I64): void {
    // A double's bits need not go through an integer register.
    if (value.opcode === REINTERPRET_F64) {
      this.frame.f.store('f64.store', this.#rd(), value.operands[0], Thread.f);
    } else this.frame.f.store('i64.store', this.#rd(), value, Thread.f);
  }
  immediate(): I64 {
    return i64.shr_s(this.frame.slot, i64.const(32));
  }
  abstract pc(): I64;
  nextPc(): I64 {
    return i64.add(this.pc(), i64.const(this.handler.length));
  }

  #rd(): I32 {
    const { thread, low } = this.frame;
    return i32.add(thread, i32.and(i32.shr_u(low, i32.const(RD_SHIFT)), i32.const(RD_MASK)));
  }
  #register(field: SourceField): I32 {
    const { thread, low, slot } = this.frame;
    switch (field) {
      case 'rs1':
        return i32.add(thread, i32.and(low, i32.const(RS_MASK)));
      case 'rs2':
        return i32.add(thread, i32.and(i32.shr_u(low, i32.const(RS2_SHIFT)), i32.const(RS_MASK)));
      case 'rs3':
        return i32.add(thread, i32.wrap_i64(i64.shr_u(slot, i64.const(32))));
    }
  }

  // --- values and control inside an instruction ---

  hold<T extends ValueType>(value: Expression<T>): Expression<T> {
    const local = this.variable(value.type);
    this.frame.f.set(local, value);
    return local;
  }
  variable<T extends ValueType>(type: T): Local<T> {
    const local = this.frame.f.local(type);
    this.#temporaries.push(local);
    return local;
  }
  set<T extends ValueType>(variable: Local<T>, value: Expression<T>): void {
    this.frame.f.set(variable, value);
  }
  if(condition: I32, whenTrue: () => void, whenFalse?: () => void): void {
    this.frame.f.if(condition, whenTrue, whenFalse);
  }
  call<R extends ValueType>(helper: Helper<R>, ...operands: readonly Expression[]): Expression<R> {
    return this.hold(this.frame.useHelper(helper, ...operands));
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
    const { f, thread } = this.frame;
    const at = this.hold(address);
    const place = this.atomicReadPlace(at, bits / 8);
    const value = this.hold(bits === 64 ? i64.atomic_load(place) : i64.extend_i32_s(i32.atomic_load(place)));
    f.store('i64.store', thread, at, Thread.reservationAddress);
    f.store('i64.store', thread, value, Thread.reservationValue);
    return value;
  }

  /** As in QEMU: an SC to another address than LR's fails without touching memory; else it is a compare-exchange. */
  storeConditional(bits: AtomicBits, address: I64, value: I64): I64 {
    const { f, thread } = this.frame;
    const at = this.hold(address);
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
        this.frame.f.loop((again) => {
          this.set(old, i64.atomic_load(place));
          const seen = i64.atomic_rmw_cmpxchg(place, old, select(pick(old, value), old, value));
          this.frame.f.brIf(again, i64.ne(seen, old));
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
        this.frame.f.loop((again) => {
          this.set(old, i32.atomic_load(place));
          const seen = i32.atomic_rmw_cmpxchg(place, old, select(pick(old, value), old, value));
          this.frame.f.brIf(again, i32.ne(seen, old));
        });
        return old;
      }
    }
  }

  fence(): void {
    this.frame.f.fence();
  }

  /** Machine address to load from (any alignment in the exact tier). */
  protected abstract readPlace(address: I64, bytes: number): I32;
  /** Machine address for an aligned atomic access; `address` is held. */
  protected abstract atomicReadPlace(address: I64, bytes: number): I32;
  protected abstract atomicWritePlace(address: I64, bytes: number): I32;

  // --- control transfer ---

  abstract branch(condition: I32): void;
  abstract jump(): void;
  abstract jumpTo(target: I64): void;
  abstract exit(reason: ExitReason): void;

  // --- floating-point state and counters ---

  fflags(): I32 {
    return i32.load(this.frame.thread, Thread.fflags);
  }
  setFflags(value: I32): void {
    this.frame.f.store('i32.store', this.frame.thread, value, Thread.fflags);
  }
  raise(flags: I32): void {
    this.setFflags(i32.or(this.fflags(), flags));
  }
  frm(): I32 {
    return i32.load(this.frame.thread, Thread.frm);
  }
  setFrm(value: I32): void {
    this.frame.f.store('i32.store', this.frame.thread, value, Thread.frm);
  }
  roundingMode(): I32 {
    if (!this.dynamicRounding) return this.hold(this.#staticRounding());
    const mode = this.hold(this.frm());
    this.legalIf(i32.lt_u(mode, i32.const(5)));
    return mode;
  }
  hardFloat(): I32 {
    if (!this.dynamicRounding) {
      return i32.and(this.fflags(), i32.eqz(this.#staticRounding()));
    }
    // frm stands right behind fflags: one load says "NX set and RNE", whatever the other flags.
    return i64.eq(i64.and(i64.load(this.frame.thread, Thread.fflags, 2), i64.const(~0x1e)), i64.const(1));
  }
  #staticRounding(): I32 {
    return i32.and(i32.shr_u(this.frame.low, i32.const(RM_SHIFT)), i32.const(RM_MASK));
  }

  counter(counter: Counter): I64 {
    return counter === 'time' ? call(this.frame.time, 'i64') : this.instret();
  }
  /** Instructions retired before this one. */
  protected abstract instret(): I64;

  /** Gives the temporaries back. Call it when the handler is written. */
  finish(): void {
    for (const local of this.#temporaries) this.frame.f.release(local);
    this.#temporaries.length = 0;
  }
}

const REINTERPRET_F64 = i64.reinterpret_f64(f64.const(0)).opcode;

if (Thread.frm !== Thread.fflags + 4) throw new Error('frm must follow fflags');

const LOADS: Readonly<Record<LoadKind, (address: I32) => I64>> = {
  i8: (address) => i64.load8_s(address),
  u8: (address) => i64.load8_u(address),
  i16: (address) => i64.load16_s(address),
  u16: (address) => i64.load16_u(address),
  i32: (address) => i64.load32_s(address),
  u32: (address) => i64.load32_u(address),
  i64: (address) => i64.load(address),
};

function loadBytes(kind: LoadKind): number {
  return Number(kind.slice(1)) / 8;
}
