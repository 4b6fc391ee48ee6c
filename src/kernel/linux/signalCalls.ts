import { copyIn, copyOut, readU32 } from '../../memory/userAccess.js';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { GUEST_ZOMBIE, Guest, INIT_PID } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Sighand, SignalAction, ThreadSignals } from '../../sync/records/signals.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { maySignal } from '../capabilities.js';
import { EAGAIN, EINTR, EINVAL, ENOMEM, EPERM, ESRCH, SyscallError } from '../errno.js';
import { threadByTidLocked } from '../guestRecords.js';
import { awaitSignal, suspendUntilSignal } from '../signals/awaitSignal.js';
import {
  actionOf,
  dropIgnoredLocked,
  pendingLocked,
  recalculateAttention,
  type SendResult,
  sendSignal,
  sendSignalLocked,
  setBlocked,
} from '../signals/pendingSignals.js';
import { infoCode, SI_SIGNO, SIGINFO_SIZE, type SigInfo, sentInfo } from '../signals/sigInfo.js';
import { altStackBytes, onAltStack, popFrame } from '../signals/signalFrame.js';
import {
  lowBit,
  SA_KNOWN,
  SI_TKILL,
  SI_USER,
  SIGKILL,
  SIGSEGV,
  SIGSTOP,
  UNBLOCKABLE_LOW,
} from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { forgetTimerSignals } from '../timers.js';
import {
  KernelSigaction,
  MINSIGSTKSZ,
  SS_AUTODISARM,
  SS_DISABLE,
  SS_ONSTACK,
  StackT,
} from './structsSignal.js';
import { readTimespec } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Signals: actions, masks, sending, waiting. */
const SIGSET_SIZE = 8;
const SIG_BLOCK = 0;
const SIG_UNBLOCK = 1;
const SIG_SETMASK = 2;

function rtSigaction(t: ThreadContext, signalNumber: number, act: number, old: number, size: number): number {
  const signal = signalNumber | 0;
  if (size !== SIGSET_SIZE) return -EINVAL;
  if (act !== 0) copyIn(t, act, freshAction);
  if (signal < 1 || signal > 64) return -EINVAL;
  if (act !== 0 && (signal === SIGKILL || signal === SIGSTOP)) return -EINVAL;

  const { mem, guest, sighand, thread } = t;
  const action = actionOf(sighand, signal);
  if (act === 0) {
    lockMutex(mem, sighand + Sighand.lock, thread);
    copyAction(mem, action);
    unlockMutex(mem, sighand + Sighand.lock, thread);
  } else {
    let dropped = false;
    lockMutex(mem, guest + Guest.threadsLock, thread);
    lockMutex(mem, sighand + Sighand.lock, thread);
    try {
      copyAction(mem, action);
      mem.u8.set(freshAction, action);
      mem.set64(action + SignalAction.flags, (mem.getU32(action + SignalAction.flags) & SA_KNOWN) >>> 0);
      mem.setU32(action + SignalAction.maskLow, mem.getU32(action + SignalAction.maskLow) & ~UNBLOCKABLE_LOW);
      dropped = dropIgnoredLocked(mem, guest, sighand, signal, thread);
      recalculateAttention(mem, thread);
    } finally {
      unlockMutex(mem, sighand + Sighand.lock, thread);
      unlockMutex(mem, guest + Guest.threadsLock, thread);
    }
    if (dropped) forgetTimerSignals(t, signal);
  }
  if (old !== 0) copyOut(t, old, oldAction);
  return 0;
}

/** Actions on their way in and out: posix_spawn asks for that of each signal. The record is laid out as the guest's structure. */
const freshAction = new Uint8Array(KernelSigaction.SIZE);
const oldAction = new Uint8Array(KernelSigaction.SIZE);

function copyAction(mem: SharedMemory, action: number): void {
  for (let i = 0; i < KernelSigaction.SIZE; i++) oldAction[i] = mem.u8[action + i];
}

function rtSigprocmask(t: ThreadContext, how: number, set: number, old: number, size: number): number {
  if (size !== SIGSET_SIZE) return -EINVAL;
  const { mem, signals, thread } = t;
  const low = mem.getU32(signals + ThreadSignals.blockedLow);
  const high = mem.getU32(signals + ThreadSignals.blockedHigh);
  if (set !== 0) {
    const newLow = readU32(t, set);
    const newHigh = readU32(t, set + 4);
    switch (how | 0) {
      case SIG_BLOCK:
        setBlocked(mem, thread, low | newLow, high | newHigh);
        break;
      case SIG_UNBLOCK:
        setBlocked(mem, thread, low & ~newLow, high & ~newHigh);
        break;
      case SIG_SETMASK:
        setBlocked(mem, thread, newLow, newHigh);
        break;
      default:
        return -EINVAL;
    }
  }
  if (old !== 0) writeSet(t, old, low, high);
  return 0;
}

function writeSet(t: ThreadContext, va: number, low: number, high: number): void {
  const bytes = new Uint8Array(SIGSET_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, low >>> 0, true);
  view.setUint32(4, high >>> 0, true);
  copyOut(t, va, bytes);
}

function rtSigpending(t: ThreadContext, set: number, size: number): number {
  if (size > SIGSET_SIZE) return -EINVAL;
  const { mem, signals, sighand, thread } = t;
  const [low, high] = withMutex(mem, sighand + Sighand.lock, thread, () => pendingLocked(mem, thread));
  writeSet(
    t,
    set,
    low & mem.getU32(signals + ThreadSignals.blockedLow),
    high & mem.getU32(signals + ThreadSignals.blockedHigh),
  );
  return 0;
}

function rtSigsuspend(t: ThreadContext, set: number, size: number): number {
  if (size !== SIGSET_SIZE) return -EINVAL;
  return suspendUntilSignal(t, readU32(t, set), readU32(t, set + 4));
}

function rtSigtimedwait(t: ThreadContext, set: number, info: number, timeout: number, size: number): number {
  if (size !== SIGSET_SIZE) return -EINVAL;
  const low = readU32(t, set);
  const high = readU32(t, set + 4);
  const deadline = timeout === 0 ? Infinity : t.deadlineIn(readTimespec(t, timeout));
  const taken = awaitSignal(t, low, high, deadline);
  if (taken === 'interrupted') return -EINTR;
  if (taken === 'late') return -EAGAIN;
  if (info !== 0) copyOut(t, info, taken.info);
  return taken.signal;
}

/** Puts back what the frame at the stack pointer holds; a broken frame is a SIGSEGV. */
function rtSigreturn(t: ThreadContext): number {
  const { mem, thread, signals } = t;
  t.registersReplaced = true;
  mem.setI32(thread + Thread.syscall, -1);
  let popped: ReturnType<typeof popFrame>;
  try {
    popped = popFrame(t);
  } catch {
    popped = undefined;
  }
  if (popped === undefined) {
    // Sent, not forced by return value: the run loop delivers it before any guest code runs.
    forceLater(t, SIGSEGV);
    return 0;
  }
  setBlocked(mem, thread, popped.maskLow, popped.maskHigh);
  const view = new DataView(popped.stack.buffer, popped.stack.byteOffset);
  // Errors are ignored, as in restore_altstack.
  setAltStack(
    t,
    Number(view.getBigUint64(StackT.sp, true)),
    view.getUint32(StackT.flags, true),
    Number(view.getBigUint64(StackT.size, true)),
  );
  mem.setU32(signals + ThreadSignals.restoreSaved, 0);
  return 0;
}

/** A signal of the kernel to the calling thread that cannot be refused: unblocked, and deadly if ignored. */
function forceLater(t: ThreadContext, signal: number): void {
  const { mem, thread, signals, guest } = t;
  const action = actionOf(t.sighand, signal);
  const low = mem.getU32(signals + ThreadSignals.blockedLow);
  withMutex(mem, t.sighand + Sighand.lock, thread, () => {
    if ((low & lowBit(signal)) !== 0 || mem.getU64(action + SignalAction.handler) === 1)
      mem.set64(action + SignalAction.handler, 0);
  });
  setBlocked(mem, thread, low & ~lowBit(signal), mem.getU32(signals + ThreadSignals.blockedHigh));
  sendSignal(mem, thread, guest, thread, signal, sentInfo(signal, 0x80, 0, 0));
}

/** Returns 0 or an errno. */
function setAltStack(t: ThreadContext, base: number, flags: number, size: number): number {
  const { mem, signals, thread } = t;
  if (onAltStack(t, mem.getU64(thread + Thread.x + 2 * 8))) return EPERM;
  const mode = (flags & ~SS_AUTODISARM) >>> 0;
  if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) return EINVAL;
  const off = mode === SS_DISABLE;
  if (!off && size < MINSIGSTKSZ) return ENOMEM;
  mem.set64(signals + ThreadSignals.altStack, off ? 0 : base);
  mem.set64(signals + ThreadSignals.altSize, off ? 0 : size);
  mem.setU32(signals + ThreadSignals.altFlags, flags);
  return 0;
}

function sigaltstack(t: ThreadContext, stack: number, old: number): number {
  const before = altStackBytes(t);
  if (stack !== 0) {
    const bytes = new Uint8Array(StackT.SIZE);
    copyIn(t, stack, bytes);
    const view = new DataView(bytes.buffer);
    const errno = setAltStack(
      t,
      Number(view.getBigUint64(StackT.sp, true)),
      view.getUint32(StackT.flags, true),
      Number(view.getBigUint64(StackT.size, true)),
    );
    if (errno !== 0) return -errno;
  }
  if (old !== 0) copyOut(t, old, before);
  return 0;
}

// --- sending ---

/** The result of a call that has sent a signal. */
export function answer(result: SendResult): number {
  return result === 'full' ? -EAGAIN : 0;
}

/**
 * Sends to every guest that matches, with Machine.guestsLock held. Throws ESRCH when there is none, EPERM when `signal` may be sent to
 * none of them.
 */
function sendToGuests(
  t: ThreadContext,
  signal: number,
  matches: (guest: number) => boolean,
  send: (guest: number) => SendResult,
): number {
  const { mem, thread } = t;
  let found = false;
  let allowed = false;
  let result = 0;
  withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
      if (!matches(g)) continue;
      found = true;
      if (!maySignal(t, g, signal)) continue;
      allowed = true;
      if (mem.atomicLoad(g + Guest.phase) !== GUEST_ZOMBIE) result = answer(send(g));
    }
  });
  if (!found) throw new SyscallError(ESRCH);
  return allowed ? result : -EPERM;
}

/** Whether `pid` is the guest's, or one of its threads': Linux takes either for the process. Machine.guestsLock is held. */
function isNamedBy(t: ThreadContext, guest: number, pid: number): boolean {
  const { mem, thread } = t;
  if (mem.getU32(guest + Guest.pid) === pid) return true;
  return withMutex(mem, guest + Guest.threadsLock, thread, () => threadByTidLocked(mem, guest, pid) !== 0);
}

function pidOf(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.pid);
}

/** The siginfo of a signal that the caller sends. */
export function ownInfo(t: ThreadContext, signal: number, code: number): SigInfo {
  return sentInfo(signal, code, pidOf(t), t.mem.getU32(t.cred + Cred.uids));
}

/** Throws EINVAL unless the number is a signal's, or 0. */
export function validSignal(signal: number): void {
  if (signal < 0 || signal > 64) throw new SyscallError(EINVAL);
}

function kill(t: ThreadContext, pidNumber: number, signalNumber: number): number {
  const { mem, thread, guest } = t;
  const pid = pidNumber | 0;
  const signal = signalNumber | 0;
  validSignal(signal);
  const info = ownInfo(t, signal, SI_USER);
  const send = (g: number): SendResult =>
    signal === 0 ? 'sent' : sendSignal(mem, thread, g, 0, signal, info);
  if (pid === pidOf(t)) return answer(send(guest));
  if (pid > 0) return sendToGuests(t, signal, (g) => isNamedBy(t, g, pid), send);
  if (pid === -1)
    return sendToGuests(t, signal, (g) => g !== guest && mem.getU32(g + Guest.pid) !== INIT_PID, send);
  if (pid === -0x8000_0000) return -ESRCH;
  const group = pid === 0 ? mem.getU32(guest + Guest.pgid) : -pid;
  return sendToGuests(t, signal, (g) => mem.getU32(g + Guest.pgid) === group, send);
}

/** tkill and tgkill: to one thread. `pid` 0: whatever guest it is in. */
function sendToThread(t: ThreadContext, pid: number, tid: number, signal: number, info: SigInfo): number {
  const { mem, thread } = t;
  validSignal(signal);
  const deliver = (g: number): number =>
    withMutex(mem, g + Guest.threadsLock, thread, () => {
      const target = threadByTidLocked(mem, g, tid);
      if (target === 0) return -ESRCH;
      if (!maySignal(t, g, signal)) return -EPERM;
      if (signal === 0) return 0;
      return answer(sendSignalLocked(mem, thread, g, target, signal, info));
    });
  if (pid === pidOf(t)) return deliver(t.guest);
  if (pid === 0) {
    const own = deliver(t.guest);
    if (own !== -ESRCH) return own;
  }
  let result = -ESRCH;
  withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
      if (g === t.guest || (pid !== 0 && mem.getU32(g + Guest.pid) !== pid)) continue;
      if (result === -ESRCH) result = deliver(g);
    }
  });
  return result;
}

function tgkill(t: ThreadContext, pid: number, tid: number, signal: number): number {
  if ((pid | 0) <= 0 || (tid | 0) <= 0) return -EINVAL;
  return sendToThread(t, pid | 0, tid | 0, signal | 0, ownInfo(t, signal | 0, SI_TKILL));
}

function tkill(t: ThreadContext, tid: number, signal: number): number {
  if ((tid | 0) <= 0) return -EINVAL;
  return sendToThread(t, 0, tid | 0, signal | 0, ownInfo(t, signal | 0, SI_TKILL));
}

/** Reads a siginfo the guest made, and makes it one of `signal` if that is given. Positive codes and SI_TKILL would be lies, unless told to itself. */
export function readInfo(t: ThreadContext, va: number, signal: number | undefined, pid: number): SigInfo {
  const info = new Uint8Array(SIGINFO_SIZE);
  copyIn(t, va, info);
  if (signal !== undefined) new DataView(info.buffer).setInt32(SI_SIGNO, signal, true);
  const code = infoCode(info);
  if ((code >= 0 || code === SI_TKILL) && pid !== pidOf(t)) throw new SyscallError(EPERM);
  return info;
}

function rtSigqueueinfo(t: ThreadContext, pidNumber: number, signalNumber: number, uinfo: number): number {
  const { mem, thread, guest } = t;
  const pid = pidNumber | 0;
  const signal = signalNumber | 0;
  const info = readInfo(t, uinfo, signal, pid);
  validSignal(signal);
  const send = (g: number): SendResult =>
    signal === 0 ? 'sent' : sendSignal(mem, thread, g, 0, signal, info);
  if (pid === pidOf(t)) return answer(send(guest));
  return sendToGuests(t, signal, (g) => isNamedBy(t, g, pid), send);
}

function rtTgsigqueueinfo(t: ThreadContext, pid: number, tid: number, signal: number, uinfo: number): number {
  const info = readInfo(t, uinfo, signal | 0, pid | 0);
  if ((pid | 0) <= 0 || (tid | 0) <= 0) return -EINVAL;
  return sendToThread(t, pid | 0, tid | 0, signal | 0, info);
}

export const signalCalls: SyscallTable = {
  [SYS.SYS_rt_sigaction]: syscall('rt_sigaction', ['signal', 'pointer', 'pointer', 'size'], rtSigaction),
  [SYS.SYS_rt_sigprocmask]: syscall('rt_sigprocmask', ['int', 'sigset', 'pointer', 'size'], rtSigprocmask),
  [SYS.SYS_rt_sigpending]: syscall('rt_sigpending', ['pointer', 'size'], rtSigpending),
  [SYS.SYS_rt_sigsuspend]: syscall('rt_sigsuspend', ['sigset', 'size'], rtSigsuspend),
  [SYS.SYS_rt_sigtimedwait]: syscall(
    'rt_sigtimedwait',
    ['sigset', 'pointer', 'timespec', 'size'],
    rtSigtimedwait,
  ),
  [SYS.SYS_rt_sigreturn]: syscall('rt_sigreturn', [], rtSigreturn),
  [SYS.SYS_sigaltstack]: syscall('sigaltstack', ['pointer', 'pointer'], sigaltstack),
  [SYS.SYS_kill]: syscall('kill', ['int', 'signal'], kill),
  [SYS.SYS_tkill]: syscall('tkill', ['int', 'signal'], tkill),
  [SYS.SYS_tgkill]: syscall('tgkill', ['int', 'int', 'signal'], tgkill),
  [SYS.SYS_rt_sigqueueinfo]: syscall('rt_sigqueueinfo', ['int', 'signal', 'pointer'], rtSigqueueinfo),
  [SYS.SYS_rt_tgsigqueueinfo]: syscall(
    'rt_tgsigqueueinfo',
    ['int', 'int', 'signal', 'pointer'],
    rtTgsigqueueinfo,
  ),
};
