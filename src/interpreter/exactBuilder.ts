import type { ExitReason, StoreBits } from '../isa/builder.js';
import {
  EXIT_ILLEGAL,
  EXIT_MISALIGNED_ATOMIC,
  EXIT_READ_FAULT,
  EXIT_WRITE_FAULT,
  Thread,
} from '../sync/records/thread.js';
import { call, type I32, type I64, i32, type Local } from '../wasm/index.js';
import type { Handler } from './handlers.js';
import { EXITS, type Frame, InterpreterBuilder } from './interpreterBuilder.js';
import type { MemoryHelpers } from './memoryHelpers.js';

/** Code of an exit from the exact tier: negative, so that it cannot be taken for an advance. */
export const exactExit = (reason: number): I32 => i32.const(-reason);

/**
 * The exact tier: a function (thread, slot, pc) → bytes of slots to advance, or minus an EXIT_* reason. It does one
 * instruction that the fast tier gave up, out of line.
 */
export class ExactBuilder extends InterpreterBuilder {
  readonly exact = true;

  constructor(
    frame: Frame,
    handler: Handler,
    private readonly pcLocal: Local<'i64'>,
    private readonly helpers: MemoryHelpers,
  ) {
    super(frame, handler);
  }

  pc(): I64 {
    return this.pcLocal;
  }
  require(): void {}
  legalIf(condition: I32): void {
    const { f, thread } = this.frame;
    f.if(i32.eqz(condition), () => {
      f.store('i32.store', thread, i32.const(0), Thread.exitSize);
      f.return(exactExit(EXIT_ILLEGAL));
    });
  }

  store(bits: StoreBits, address: I64, value: I64): void {
    const { f, thread } = this.frame;
    const done = call(this.helpers.store, 'i32', thread, address, i32.const(bits / 8), value);
    f.if(i32.eqz(done), () => f.return(exactExit(EXIT_WRITE_FAULT)));
  }

  protected readPlace(address: I64, bytes: number): I32 {
    const { f, thread } = this.frame;
    const place = this.hold(call(this.helpers.loadAddress, 'i32', thread, address, i32.const(bytes)));
    f.if(i32.eqz(place), () => f.return(exactExit(EXIT_READ_FAULT)));
    return place;
  }
  protected atomicReadPlace(address: I64, bytes: number): I32 {
    this.mustBeAligned(address, bytes);
    return this.readPlace(address, bytes);
  }
  protected atomicWritePlace(address: I64, bytes: number): I32 {
    const { f, thread } = this.frame;
    this.mustBeAligned(address, bytes);
    const place = this.hold(call(this.helpers.writeAddress, 'i32', thread, address, i32.const(bytes)));
    f.if(i32.eqz(place), () => f.return(exactExit(EXIT_WRITE_FAULT)));
    return place;
  }
  protected override mustBeAligned(address: I64, bytes: number): void {
    const { f, thread } = this.frame;
    f.if(i32.and(i32.wrap_i64(address), i32.const(bytes - 1)), () => {
      f.store('i64.store', thread, address, Thread.exitAddress);
      f.store('i32.store', thread, i32.const(bytes), Thread.exitSize);
      f.return(exactExit(EXIT_MISALIGNED_ATOMIC));
    });
  }

  branch(): never {
    throw new Error('control transfer never gives up');
  }
  jump(): never {
    throw new Error('control transfer never gives up');
  }
  jumpTo(): never {
    throw new Error('control transfer never gives up');
  }
  exit(reason: ExitReason): void {
    this.frame.f.return(exactExit(EXITS[reason]));
    this.ended = true;
  }
  protected instret(): never {
    throw new Error('counters never give up');
  }
}
