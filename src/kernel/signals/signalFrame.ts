import { copyIn, copyOut } from '../../memory/userAccess.js';
import { Mm } from '../../sync/records/mm.js';
import { ThreadSignals } from '../../sync/records/signals.js';
import { NO_RESERVATION, Thread } from '../../sync/records/thread.js';
import {
  Mcontext,
  RtSigframe,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
  StackT,
  Ucontext,
} from '../linux/structsSignal.js';
import type { ThreadContext } from '../threadContext.js';
import type { SigInfo } from './sigInfo.js';
import { SA_ONSTACK } from './signalNumbers.js';

/** The frame of a signal handler: arch/riscv/kernel/signal.c. */

/** The signal trampoline that handlers return to: `li a7, 139; ecall`. Unwinders recognise these two instructions. */
export const VDSO_RT_SIGRETURN = Uint8Array.of(0x93, 0x08, 0xb0, 0x08, 0x73, 0x00, 0x00, 0x00);

/** One frame a worker, filled anew each time. */
const frame = new Uint8Array(RtSigframe.SIZE);
const view = new DataView(frame.buffer);

const SP = 2;
const RA = 1;
const A0 = 10;

/** Whether `sp` lies in the thread's alternate stack (with SS_AUTODISARM it never counts as being there). */
export function onAltStack(t: ThreadContext, sp: number): boolean {
  const { mem, signals } = t;
  if ((mem.getU32(signals + ThreadSignals.altFlags) & SS_AUTODISARM) !== 0) return false;
  const base = mem.getU64(signals + ThreadSignals.altStack);
  const size = mem.getU64(signals + ThreadSignals.altSize);
  return size > 0 && sp > base && sp - base <= size;
}

/** SS_* as sigaltstack(2) and a frame show them: sas_ss_flags and the kept bits. */
export function altStackFlags(t: ThreadContext, sp: number): number {
  const { mem, signals } = t;
  const kept = mem.getU32(signals + ThreadSignals.altFlags) & SS_AUTODISARM;
  if (mem.getU64(signals + ThreadSignals.altSize) === 0) return (SS_DISABLE | kept) >>> 0;
  return ((onAltStack(t, sp) ? SS_ONSTACK : 0) | kept) >>> 0;
}

/** stack_t of the thread, 24 bytes. */
export function altStackBytes(t: ThreadContext): Uint8Array {
  const { mem, signals, thread } = t;
  const bytes = new Uint8Array(StackT.SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(StackT.sp, mem.u64[(signals + ThreadSignals.altStack) >>> 3], true);
  view.setUint32(StackT.flags, altStackFlags(t, mem.getU64(thread + Thread.x + SP * 8)), true);
  view.setBigUint64(StackT.size, mem.u64[(signals + ThreadSignals.altSize) >>> 3], true);
  return bytes;
}

/**
 * Writes the frame for `signal` and points the registers at the handler; the mask of the frame is (maskLow, maskHigh).
 * Throws UserFault when the frame cannot be written, with the registers as they were.
 */
export function pushFrame(
  t: ThreadContext,
  signal: number,
  handler: bigint,
  flags: number,
  info: SigInfo,
  maskLow: number,
  maskHigh: number,
): void {
  const { mem, thread, signals } = t;
  let sp = mem.getU64(thread + Thread.x + SP * 8);
  const onAlternate = onAltStack(t, sp);
  if ((flags & SA_ONSTACK) !== 0 && !onAlternate && mem.getU64(signals + ThreadSignals.altSize) > 0) {
    sp = mem.getU64(signals + ThreadSignals.altStack) + mem.getU64(signals + ThreadSignals.altSize);
  }
  let at = sp - RtSigframe.SIZE;
  // An overflow of the alternate stack must not run into whatever lies below it.
  if (onAlternate && !onAltStack(t, at)) at = -1;
  else at -= ((at % 16) + 16) % 16;

  frame.fill(0);
  frame.set(info, RtSigframe.info);
  const context = RtSigframe.ucontext;
  frame.set(altStackBytes(t), context + Ucontext.stack);
  view.setUint32(context + Ucontext.sigmask, maskLow >>> 0, true);
  view.setUint32(context + Ucontext.sigmask + 4, maskHigh >>> 0, true);
  const machine = context + Ucontext.mcontext;
  frame.set(mem.u8.subarray(thread + Thread.x, thread + Thread.x + 32 * 8), machine + Mcontext.x);
  view.setBigUint64(machine + Mcontext.pc, mem.u64[(thread + Thread.pc) >>> 3], true);
  frame.set(mem.u8.subarray(thread + Thread.f, thread + Thread.f + 32 * 8), machine + Mcontext.f);
  view.setUint32(
    machine + Mcontext.fcsr,
    (mem.getU32(thread + Thread.frm) << 5) | mem.getU32(thread + Thread.fflags),
    true,
  );
  copyOut(t, at, frame);

  if ((mem.getU32(signals + ThreadSignals.altFlags) & SS_AUTODISARM) !== 0) {
    mem.set64(signals + ThreadSignals.altStack, 0);
    mem.set64(signals + ThreadSignals.altSize, 0);
    mem.setU32(signals + ThreadSignals.altFlags, 0);
  }
  mem.set64(thread + Thread.x + RA * 8, mem.getU64(t.mm + Mm.vdso));
  mem.u64[(thread + Thread.pc) >>> 3] = handler;
  mem.set64(thread + Thread.x + SP * 8, at);
  mem.set64(thread + Thread.x + A0 * 8, signal);
  mem.set64(thread + Thread.x + (A0 + 1) * 8, at + RtSigframe.info);
  mem.set64(thread + Thread.x + (A0 + 2) * 8, at + RtSigframe.ucontext);
  mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
}

/** What rt_sigreturn takes from a frame besides the registers. */
export interface PoppedFrame {
  readonly maskLow: number;
  readonly maskHigh: number;
  /** stack_t as the frame has it. */
  readonly stack: Uint8Array;
}

/**
 * Reads the frame at the stack pointer and puts its registers back. Returns undefined, registers untouched, when it is
 * not a frame (the kernel sends SIGSEGV). Throws UserFault.
 */
export function popFrame(t: ThreadContext): PoppedFrame | undefined {
  const { mem, thread } = t;
  copyIn(t, mem.getU64(thread + Thread.x + SP * 8), frame);
  const context = RtSigframe.ucontext;
  const machine = context + Ucontext.mcontext;
  // Reserved words and an extension list that does not end at once: unknown to this kernel.
  for (let i = 0; i < 12; i += 4) {
    if (view.getUint32(machine + Mcontext.reserved + i, true) !== 0) return undefined;
  }
  mem.u8.set(frame.subarray(machine + 8, machine + 256), thread + Thread.x + 8);
  mem.u64[(thread + Thread.pc) >>> 3] = view.getBigUint64(machine + Mcontext.pc, true) & ~1n;
  mem.u8.set(frame.subarray(machine + Mcontext.f, machine + Mcontext.f + 256), thread + Thread.f);
  const fcsr = view.getUint32(machine + Mcontext.fcsr, true);
  mem.setU32(thread + Thread.fflags, fcsr & 31);
  mem.setU32(thread + Thread.frm, (fcsr >>> 5) & 7);
  mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
  return {
    maskLow: view.getUint32(context + Ucontext.sigmask, true),
    maskHigh: view.getUint32(context + Ucontext.sigmask + 4, true),
    stack: frame.slice(context + Ucontext.stack, context + Ucontext.stack + StackT.SIZE),
  };
}
