import type { Counter, ExitReason, SourceField } from '../isa/builder.js';
import { EXIT_EBREAK, EXIT_ECALL, EXIT_FENCE_I, EXIT_ILLEGAL, Thread } from '../sync/records/thread.js';
import { call, type FunctionRef, f64, type I32, type I64, i32, i64, type Local } from '../wasm/index.js';
import type { Handler } from './handlers.js';
import { HartBuilder, type HartFrame } from './hartBuilder.js';
import { RD_MASK, RD_SHIFT, RM_MASK, RM_SHIFT, RS_MASK, RS2_SHIFT } from './slot.js';

/** What both tiers need of the function they write. */
export interface Frame extends HartFrame {
  /** The slot, and its low half. */
  readonly slot: Local<'i64'>;
  readonly low: Local<'i32'>;
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
export abstract class InterpreterBuilder extends HartBuilder {
  constructor(
    protected readonly frame: Frame,
    protected readonly handler: Handler,
  ) {
    super(frame, handler.dynamicRounding);
  }

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

  override roundingMode(): I32 {
    if (!this.handler.instruction.rare) return super.roundingMode();
    const mode = this.variable('i32');
    this.set(mode, this.staticRounding());
    this.if(i32.eq(mode, i32.const(RM_DYNAMIC)), () => this.set(mode, this.frm()));
    this.legalIf(i32.lt_u(mode, i32.const(5)));
    return mode;
  }
  protected staticRounding(): I32 {
    return i32.and(i32.shr_u(this.frame.low, i32.const(RM_SHIFT)), i32.const(RM_MASK));
  }

  counter(counter: Counter): I64 {
    return counter === 'time' ? call(this.frame.time, 'i64') : this.instret();
  }
  /** Instructions retired before this one. */
  protected abstract instret(): I64;
}

/** The rm field that means frm. */
const RM_DYNAMIC = 7;

const REINTERPRET_F64 = i64.reinterpret_f64(f64.const(0)).opcode;
