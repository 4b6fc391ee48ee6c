import type { ExitReason, StoreBits } from '../isa/builder.js';
import { Thread } from '../sync/records/thread.js';
import { type I32, type I64, i32, i64, type Local } from '../wasm/index.js';
import type { Handler } from './handlers.js';
import { EXITS, type Frame, InterpreterBuilder } from './interpreterBuilder.js';

/** Where the fast tier's handlers go, and what they keep in locals of the run function. */
export interface RunFrame extends Frame {
  /** High half: instructions counted, from `start` on; low half: address of the slot. */
  readonly state: Local<'i64'>;
  readonly start: Local<'i64'>;
  /** pc = pcDelta + (slot address >> 2). */
  readonly pcDelta: Local<'i64'>;
  readonly readTable: Local<'i32'>;
  readonly writeTable: Local<'i32'>;
  /** By log2 of the access size: the address bits that must be zero for the fast path. */
  readonly masks: readonly Local<'i64'>[];
  /** Where `goFar` goes, and the pc that `leave` stores. */
  readonly target: Local<'i64'>;
  /** Scratch of memory accesses. */
  readonly address: Local<'i64'>;
  readonly entry: Local<'i32'>;
  readonly hostPageShift: number;
  /** Continues with the slot in `state`. */
  dispatch(): void;
  /** Continues at guest address `target`. */
  goFar(): void;
  /** Leaves when attention is wanted; `state` is at the target of the jump just made. */
  poll(): void;
  /** Leaves with reason and `target` as the pc. */
  leave(reason: number): void;
  /** Makes the system call at `state`, and goes on behind it or leaves. */
  systemCall(): void;
  /** Gives the instruction to the exact tier unless `condition` is zero / is nonzero. */
  giveUpIf(condition: I32): void;
}

/** One instruction, in the high half of `state`. */
export const ONE = 0x1_0000_0000;

/** The fast tier: handlers inside the run function. */
export class FastBuilder extends InterpreterBuilder {
  readonly exact = false;
  /** Set when the handler may give up, so that the exact tier needs it too. */
  givesUp = false;

  constructor(
    private readonly run: RunFrame,
    handler: Handler,
  ) {
    super(run, handler);
  }

  pc(): I64 {
    return currentPc(this.run);
  }

  require(condition: I32): void {
    this.#giveUpIf(i32.eqz(condition));
  }
  legalIf(condition: I32): void {
    this.#giveUpIf(i32.eqz(condition));
  }
  #giveUpIf(condition: I32): void {
    this.givesUp = true;
    this.run.giveUpIf(condition);
  }

  store(bits: StoreBits, address: I64, value: I64): void {
    const place = this.#place(this.run.writeTable, address, bits / 8);
    this.run.f.store(STORES[bits], place, value);
  }
  protected readPlace(address: I64, bytes: number): I32 {
    return this.#place(this.run.readTable, address, bytes);
  }
  protected atomicReadPlace(address: I64, bytes: number): I32 {
    return this.hold(this.readPlace(address, bytes));
  }
  protected atomicWritePlace(address: I64, bytes: number): I32 {
    return this.hold(this.#place(this.run.writeTable, address, bytes));
  }

  /**
   * Translates. One test covers misalignment and the reach (both are masks: the reach is a power of two), one the table
   * entry, which is the distance to the machine address plus one.
   */
  #place(table: Local<'i32'>, address: I64, bytes: number): I32 {
    const { f, masks, hostPageShift, entry } = this.run;
    f.set(this.run.address, address);
    const mask = masks[Math.log2(bytes)];
    this.#giveUpIf(i64.ne(i64.and(this.run.address, mask), i64.const(0)));
    const offset = i32.and(
      i32.wrap_i64(i64.shr_u(this.run.address, i64.const(hostPageShift - 2))),
      i32.const(-4),
    );
    f.set(entry, i32.load(i32.add(table, offset)));
    this.#giveUpIf(i32.eqz(entry));
    return i32.add(i32.add(i32.wrap_i64(this.run.address), entry), i32.const(-1));
  }

  branch(condition: I32): void {
    const { f } = this.run;
    f.if(condition, () => this.#transfer());
    // Not taken: falls through to the next instruction.
  }

  jump(): void {
    if (this.handler.links) this.setX(this.nextPc());
    this.#transfer();
    this.ended = true;
  }

  #transfer(): void {
    const { f, state, target } = this.run;
    if (this.handler.target === 'far') {
      f.set(target, i64.add(this.pc(), this.immediate()));
      f.set(state, i64.add(state, i64.const(ONE)));
      this.run.goFar();
      return;
    }
    f.set(state, i64.add(i64.add(state, this.immediate()), i64.const(ONE)));
    if (this.handler.target === 'backward') this.run.poll();
    this.run.dispatch();
  }

  jumpTo(target: I64): void {
    const { f, state } = this.run;
    f.set(this.run.target, i64.and(target, i64.const(-2)));
    if (this.handler.links) this.setX(this.nextPc());
    f.set(state, i64.add(state, i64.const(ONE)));
    this.run.goFar();
    this.ended = true;
  }

  exit(reason: ExitReason): void {
    const { f, target, state } = this.run;
    if (reason === 'ecall') {
      this.run.systemCall();
      this.ended = true;
      return;
    }
    if (reason === 'fenceI') {
      f.set(target, this.nextPc());
      f.set(state, i64.add(state, i64.const(ONE)));
    } else f.set(target, this.pc());
    this.run.leave(EXITS[reason]);
    this.ended = true;
  }

  protected instret(): I64 {
    return countedInstructions(this.run);
  }

  /** Falls through to the next instruction, unless control has gone elsewhere. */
  override finish(): void {
    super.finish();
    if (this.ended) return;
    this.run.f.set(this.run.state, i64.add(this.run.state, i64.const(ONE + this.handler.length * 4)));
    this.run.dispatch();
  }
}

const STORES = { 8: 'i64.store8', 16: 'i64.store16', 32: 'i64.store32', 64: 'i64.store' } as const;

/** The pc of the slot in `state`. */
export function currentPc(run: Pick<RunFrame, 'state' | 'pcDelta'>): I64 {
  const slotAddress = i64.and(run.state, i64.const(0xffff_ffff));
  return i64.add(i64.shr_u(slotAddress, i64.const(2)), run.pcDelta);
}

/** Thread.instret plus what the high half of `state` has counted since run was entered. */
export function countedInstructions(run: RunFrame): I64 {
  const counted = i64.sub(i64.shr_u(run.state, i64.const(32)), run.start);
  return i64.add(i64.load(run.thread, Thread.instret), counted);
}
