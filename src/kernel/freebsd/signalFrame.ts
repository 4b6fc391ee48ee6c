import { copyIn, copyOut } from '../../memory/userAccess.js';
import { Mm } from '../../sync/records/mm.js';
import { ThreadSignals } from '../../sync/records/signals.js';
import { NO_RESERVATION, Thread } from '../../sync/records/thread.js';
import type { SigInfo } from '../signals/sigInfo.js';
import { onAltStack } from '../signals/signalFrame.js';
import { SA_ONSTACK } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { freebsdSignal, linuxSet, putFreebsdSet } from './signalNumbers.js';
import {
  freebsdSigInfo,
  MC_FP_VALID,
  MCONTEXT_ORDER,
  Mcontext,
  Sigframe,
  SS_DISABLE,
  SS_ONSTACK,
  StackT,
  Ucontext,
} from './structsSignal.js';

/** The frame of a signal handler: sys/riscv/riscv/exec_machdep.c (sendsig, sys_sigreturn). */

/**
 * What handlers return to (locore.S, sigcode): `mv a0, sp; addi a0, a0, SF_UC; 1: li t0, SYS_sigreturn; ecall;
 * li t0, SYS_exit; ecall; j 1b`.
 */
export const FREEBSD_SIGCODE = words(
  0x0001_0513, // mv a0, sp
  0x0005_0513 | (Sigframe.ucontext << 20), // addi a0, a0, SF_UC
  0x0000_0293 | (417 << 20), // li t0, 417
  0x0000_0073, // ecall
  0x0000_0293 | (1 << 20), // li t0, 1
  0x0000_0073, // ecall
  0xff1f_f06f, // j -16
);

function words(...list: number[]): Uint8Array {
  const bytes = new Uint8Array(list.length * 4);
  const view = new DataView(bytes.buffer);
  list.forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  return bytes;
}

/** One frame a worker, filled anew each time. */
const frame = new Uint8Array(Sigframe.SIZE);
const view = new DataView(frame.buffer);
const MACHINE_AT = Sigframe.ucontext + Ucontext.mcontext;

const RA = 1;
const SP = 2;
const A0 = 10;

/** stack_t of the thread. */
export function freebsdAltStack(t: ThreadContext): Uint8Array {
  const { mem, signals, thread } = t;
  const bytes = new Uint8Array(StackT.SIZE);
  const stack = new DataView(bytes.buffer);
  const size = mem.getU64(signals + ThreadSignals.altSize);
  stack.setBigUint64(StackT.sp, mem.u64[(signals + ThreadSignals.altStack) >>> 3], true);
  stack.setBigUint64(StackT.size, BigInt(size), true);
  const on = size > 0 && onAltStack(t, mem.getU64(thread + Thread.x + SP * 8));
  stack.setUint32(StackT.flags, size === 0 ? SS_DISABLE : on ? SS_ONSTACK : 0, true);
  return bytes;
}

/**
 * Writes the frame for Linux's signal `signal` and points the registers at the handler; the mask of the frame is
 * (maskLow, maskHigh). Throws UserFault when the frame cannot be written, with the registers as they were.
 */
export function pushFreebsdFrame(
  t: ThreadContext,
  signal: number,
  handler: bigint,
  flags: number,
  info: SigInfo,
  maskLow: number,
  maskHigh: number,
): void {
  const { mem, thread, signals } = t;
  let top = mem.getU64(thread + Thread.x + SP * 8);
  const alternate = mem.getU64(signals + ThreadSignals.altSize);
  if ((flags & SA_ONSTACK) !== 0 && alternate > 0 && !onAltStack(t, top))
    top = mem.getU64(signals + ThreadSignals.altStack) + alternate;
  const at = Math.floor((top - Sigframe.SIZE) / 16) * 16;

  frame.fill(0);
  frame.set(freebsdSigInfo(signal, info), Sigframe.info);
  putFreebsdSet(view, Sigframe.ucontext + Ucontext.sigmask, maskLow, maskHigh);
  frame.set(freebsdAltStack(t), Sigframe.ucontext + Ucontext.stack);
  putRegisters(t);
  copyOut(t, at, frame);

  mem.set64(thread + Thread.x + RA * 8, mem.getU64(t.mm + Mm.vdso));
  mem.u64[(thread + Thread.pc) >>> 3] = handler;
  mem.set64(thread + Thread.x + SP * 8, at);
  mem.set64(thread + Thread.x + A0 * 8, freebsdSignal(signal));
  mem.set64(thread + Thread.x + (A0 + 1) * 8, at + Sigframe.info);
  mem.set64(thread + Thread.x + (A0 + 2) * 8, at + Sigframe.ucontext);
  mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
}

/** get_mcontext, into the frame. */
function putRegisters({ mem, thread }: ThreadContext): void {
  MCONTEXT_ORDER.forEach((register, i) => {
    view.setBigUint64(MACHINE_AT + i * 8, mem.u64[(thread + Thread.x + register * 8) >>> 3], true);
  });
  view.setBigUint64(MACHINE_AT + Mcontext.sepc, mem.u64[(thread + Thread.pc) >>> 3], true);
  for (let i = 0; i < 32; i++)
    view.setBigUint64(MACHINE_AT + Mcontext.f + i * 16, mem.u64[(thread + Thread.f + i * 8) >>> 3], true);
  const fcsr = (mem.getU32(thread + Thread.frm) << 5) | mem.getU32(thread + Thread.fflags);
  view.setBigUint64(MACHINE_AT + Mcontext.fcsr, BigInt(fcsr), true);
  view.setUint32(MACHINE_AT + Mcontext.flags, MC_FP_VALID, true);
}

/**
 * Puts the registers of the ucontext_t at `address` back and returns its mask, as Linux's low and high word. Throws
 * UserFault with the registers as they were.
 */
export function popFreebsdContext(t: ThreadContext, address: number): { low: number; high: number } {
  const { mem, thread } = t;
  copyIn(t, address, frame.subarray(Sigframe.ucontext));
  MCONTEXT_ORDER.forEach((register, i) => {
    mem.u64[(thread + Thread.x + register * 8) >>> 3] = view.getBigUint64(MACHINE_AT + i * 8, true);
  });
  mem.u64[(thread + Thread.pc) >>> 3] = view.getBigUint64(MACHINE_AT + Mcontext.sepc, true) & ~1n;
  if (view.getUint32(MACHINE_AT + Mcontext.flags, true) & MC_FP_VALID) {
    for (let i = 0; i < 32; i++)
      mem.u64[(thread + Thread.f + i * 8) >>> 3] = view.getBigUint64(MACHINE_AT + Mcontext.f + i * 16, true);
    const fcsr = Number(view.getBigUint64(MACHINE_AT + Mcontext.fcsr, true) & 0xffn);
    mem.setU32(thread + Thread.fflags, fcsr & 31);
    mem.setU32(thread + Thread.frm, fcsr >>> 5);
  }
  mem.u64[(thread + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
  return linuxSet(view, Sigframe.ucontext + Ucontext.sigmask);
}
