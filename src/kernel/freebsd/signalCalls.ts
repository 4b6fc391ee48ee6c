import { copyIn, copyOut, writeI32 } from '../../memory/userAccess.js';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { Sighand, SignalAction, ThreadSignals } from '../../sync/records/signals.js';
import { Thread } from '../../sync/records/thread.js';
import { EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ERESTARTSYS, SyscallError } from '../errno.js';
import { readTimespec } from '../linux/structsTime.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import { SYS_kill, SYS_tgkill } from '../linux/syscallNumbers.js';
import { awaitSignal, suspendUntilSignal } from '../signals/awaitSignal.js';
import {
  actionOf,
  dropIgnoredLocked,
  pendingLocked,
  recalculateAttention,
  setBlocked,
  type TakenSignal,
} from '../signals/pendingSignals.js';
import { onAltStack } from '../signals/signalFrame.js';
import { SIGKILL, SIGSTOP, UNBLOCKABLE_LOW } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { forgetTimerSignals } from '../timers.js';
import { linuxCall } from './linuxCall.js';
import { freebsdAltStack, popFreebsdContext } from './signalFrame.js';
import { freebsdSignal, linuxSet, linuxSignal, MAX_SIGNAL, putFreebsdSet } from './signalNumbers.js';
import {
  freebsdActionFlags,
  freebsdSigInfo,
  linuxActionFlags,
  MINSIGSTKSZ,
  SIGSET_SIZE,
  Sigaction,
  SS_DISABLE,
  SS_ONSTACK,
  StackT,
} from './structsSignal.js';
import * as SYS from './syscallNumbers.js';

/** Signals: actions, masks, sending, waiting. */
const SIG_BLOCK = 1;
const SIG_UNBLOCK = 2;
const SIG_SETMASK = 3;
const SP = 2;

function readStruct(t: ThreadContext, va: number, size: number): DataView {
  const bytes = new Uint8Array(size);
  copyIn(t, va, bytes);
  return new DataView(bytes.buffer);
}

/** Linux's number of a signal argument. Throws EINVAL for numbers that are none. */
function signalArgument(number: number): number {
  const signal = linuxSignal(number | 0);
  if (signal === 0) throw new SyscallError(EINVAL);
  return signal;
}

function sigaction(t: ThreadContext, number: number, act: number, old: number): number {
  if ((number | 0) <= 0 || (number | 0) > MAX_SIGNAL) return -EINVAL;
  const signal = signalArgument(number);
  const fresh = act === 0 ? undefined : readStruct(t, act, Sigaction.SIZE);
  const { mem, guest, sighand, thread } = t;
  const action = actionOf(sighand, signal);
  const before = new DataView(new ArrayBuffer(Sigaction.SIZE));
  let dropped = false;
  lockMutex(mem, guest + Guest.threadsLock, thread);
  lockMutex(mem, sighand + Sighand.lock, thread);
  try {
    before.setBigUint64(Sigaction.handler, mem.u64[(action + SignalAction.handler) >>> 3], true);
    before.setUint32(Sigaction.flags, freebsdActionFlags(mem.getU32(action + SignalAction.flags)), true);
    const [low, high] = [
      mem.getU32(action + SignalAction.maskLow),
      mem.getU32(action + SignalAction.maskHigh),
    ];
    putFreebsdSet(before, Sigaction.mask, low, high);
    if (fresh !== undefined) {
      const handler = fresh.getBigUint64(Sigaction.handler, true);
      if ((signal === SIGKILL || signal === SIGSTOP) && handler !== 0n) return -EINVAL;
      const mask = linuxSet(fresh, Sigaction.mask);
      mem.u64[(action + SignalAction.handler) >>> 3] = handler;
      mem.set64(action + SignalAction.flags, linuxActionFlags(fresh.getUint32(Sigaction.flags, true)));
      mem.setU32(action + SignalAction.maskLow, mask.low & ~UNBLOCKABLE_LOW);
      mem.setU32(action + SignalAction.maskHigh, mask.high);
      dropped = dropIgnoredLocked(mem, guest, sighand, signal, thread);
      recalculateAttention(mem, thread);
    }
  } finally {
    unlockMutex(mem, sighand + Sighand.lock, thread);
    unlockMutex(mem, guest + Guest.threadsLock, thread);
  }
  if (dropped) forgetTimerSignals(t, signal);
  if (old !== 0) copyOut(t, old, new Uint8Array(before.buffer));
  return 0;
}

function writeSet(t: ThreadContext, va: number, low: number, high: number): void {
  const set = new DataView(new ArrayBuffer(SIGSET_SIZE));
  putFreebsdSet(set, 0, low, high);
  copyOut(t, va, new Uint8Array(set.buffer));
}

function readSet(t: ThreadContext, va: number): { low: number; high: number } {
  return linuxSet(readStruct(t, va, SIGSET_SIZE), 0);
}

function sigprocmask(t: ThreadContext, how: number, set: number, old: number): number {
  const { mem, signals, thread } = t;
  const low = mem.getU32(signals + ThreadSignals.blockedLow);
  const high = mem.getU32(signals + ThreadSignals.blockedHigh);
  if (set !== 0) {
    const fresh = readSet(t, set);
    if ((how | 0) === SIG_BLOCK) setBlocked(mem, thread, low | fresh.low, high | fresh.high);
    else if ((how | 0) === SIG_UNBLOCK) setBlocked(mem, thread, low & ~fresh.low, high & ~fresh.high);
    else if ((how | 0) === SIG_SETMASK) setBlocked(mem, thread, fresh.low, fresh.high);
    else return -EINVAL;
  }
  if (old !== 0) writeSet(t, old, low, high);
  return 0;
}

function sigpending(t: ThreadContext, set: number): number {
  const { mem, sighand, thread } = t;
  const [low, high] = withMutex(mem, sighand + Sighand.lock, thread, () => pendingLocked(mem, thread));
  writeSet(t, set, low, high);
  return 0;
}

function sigsuspend(t: ThreadContext, set: number): number {
  const mask = readSet(t, set);
  return suspendUntilSignal(t, mask.low, mask.high);
}

/** Waits for a signal of the set; the signal it has taken (Linux's), with its siginfo, or −errno. */
function takeSignal(t: ThreadContext, set: number, deadline: number): TakenSignal | number {
  const { low, high } = readSet(t, set);
  const taken = awaitSignal(t, low, high, deadline);
  if (taken === 'interrupted') return -ERESTARTSYS;
  return taken === 'late' ? -EAGAIN : taken;
}

/** sigwait gives its error as its result and is not interrupted by handlers. */
function sigwait(t: ThreadContext, set: number, out: number): number {
  const taken = takeSignal(t, set, Infinity);
  if (typeof taken === 'number') return taken;
  writeI32(t, out, freebsdSignal(taken.signal));
  return 0;
}

function sigtimedwait(t: ThreadContext, set: number, info: number, timeout: number): number {
  const deadline = timeout === 0 ? Infinity : monotonicNow() + readTimespec(t, timeout);
  const taken = takeSignal(t, set, deadline);
  if (typeof taken === 'number') return taken === -ERESTARTSYS ? -EINTR : taken;
  if (info !== 0) copyOut(t, info, freebsdSigInfo(taken.signal, taken.info));
  return freebsdSignal(taken.signal);
}

function sigaltstack(t: ThreadContext, stack: number, old: number): number {
  const { mem, signals, thread } = t;
  const before = freebsdAltStack(t);
  if (stack !== 0) {
    const fresh = readStruct(t, stack, StackT.SIZE);
    const flags = fresh.getUint32(StackT.flags, true);
    const size = Number(fresh.getBigUint64(StackT.size, true));
    if (onAltStack(t, mem.getU64(thread + Thread.x + SP * 8))) return -EPERM;
    if ((flags & ~(SS_DISABLE | SS_ONSTACK)) !== 0) return -EINVAL;
    const off = (flags & SS_DISABLE) !== 0;
    if (!off && size < MINSIGSTKSZ) return -ENOMEM;
    mem.set64(signals + ThreadSignals.altStack, off ? 0 : Number(fresh.getBigUint64(StackT.sp, true)));
    mem.set64(signals + ThreadSignals.altSize, off ? 0 : size);
    mem.setU32(signals + ThreadSignals.altFlags, 0);
  }
  if (old !== 0) copyOut(t, old, before);
  return 0;
}

/** sigreturn(ucontext): goes on where the ucontext says. */
function sigreturn(t: ThreadContext, context: number): number {
  const mask = popFreebsdContext(t, context);
  t.registersReplaced = true;
  t.mem.setI32(t.thread + Thread.syscall, -1);
  setBlocked(t.mem, t.thread, mask.low & ~UNBLOCKABLE_LOW, mask.high);
  return 0;
}

const linuxKill = linuxCall(SYS_kill);
const linuxTgkill = linuxCall(SYS_tgkill);

function kill(t: ThreadContext, pid: number, number: number): number {
  const signal = (number | 0) === 0 ? 0 : signalArgument(number);
  return linuxKill(t, pid, signal, 0, 0, 0, 0);
}

/** To a thread of process `pid`; −1: to all others of the caller's. */
function killThread(t: ThreadContext, pid: number, id: number, number: number): number {
  const signal = (number | 0) === 0 ? 0 : signalArgument(number);
  if (id !== -1) return linuxTgkill(t, pid, id, signal, 0, 0, 0);
  const { mem, guest, thread } = t;
  const others: number[] = [];
  withMutex(mem, guest + Guest.threadsLock, thread, () => {
    for (let o = mem.getU32(guest + Guest.threads); o !== 0; o = mem.getU32(o + Thread.nextInGuest))
      if (o !== thread) others.push(mem.getU32(o + Thread.tid));
  });
  if (others.length === 0) return linuxTgkill(t, pid, 0x7fff_ffff, 0, 0, 0, 0);
  for (const other of others) linuxTgkill(t, pid, other, signal, 0, 0, 0);
  return 0;
}

function pidOf(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.pid);
}

export const signalCalls: SyscallTable = {
  [SYS.SYS_sigaction]: syscall('sigaction', ['int', 'pointer', 'pointer'], sigaction),
  [SYS.SYS_sigprocmask]: syscall('sigprocmask', ['int', 'pointer', 'pointer'], sigprocmask),
  [SYS.SYS_sigpending]: syscall('sigpending', ['pointer'], sigpending),
  [SYS.SYS_sigsuspend]: syscall('sigsuspend', ['pointer'], sigsuspend),
  [SYS.SYS_sigwait]: syscall('sigwait', ['pointer', 'pointer'], sigwait),
  [SYS.SYS_sigtimedwait]: syscall('sigtimedwait', ['pointer', 'pointer', 'timespec'], sigtimedwait),
  [SYS.SYS_sigwaitinfo]: syscall('sigwaitinfo', ['pointer', 'pointer'], (t, set, info) =>
    sigtimedwait(t, set, info, 0),
  ),
  [SYS.SYS_sigaltstack]: syscall('sigaltstack', ['pointer', 'pointer'], sigaltstack),
  [SYS.SYS_sigreturn]: syscall('sigreturn', ['pointer'], sigreturn),
  [SYS.SYS_kill]: syscall('kill', ['int', 'int'], kill),
  [SYS.SYS_thr_kill]: syscall('thr_kill', ['long', 'int'], (t, id, signal) =>
    killThread(t, pidOf(t), id, signal),
  ),
  [SYS.SYS_thr_kill2]: syscall('thr_kill2', ['int', 'long', 'int'], killThread),
};

/** Reads a signal set as Linux's words, or undefined for a null pointer: for pselect and ppoll. */
export function optionalSet(t: ThreadContext, va: number): { low: number; high: number } | undefined {
  return va === 0 ? undefined : readSet(t, va);
}
