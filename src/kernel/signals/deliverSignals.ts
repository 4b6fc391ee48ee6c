import { UserFault } from '../../memory/caller.js';
import { traceSignal } from '../../observe/strace.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { park, parkTicket, unpark } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { GuestSignals, Sighand, SignalAction, ThreadSignals } from '../../sync/records/signals.js';
import { ATTENTION_EXIT, ATTENTION_SIGNAL, Thread } from '../../sync/records/thread.js';
import { EINTR, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS } from '../errno.js';
import { dieBySignal } from '../exit.js';
import { reportContinue, reportStop } from '../family.js';
import { setFreebsdError } from '../freebsd/result.js';
import { pushFreebsdFrame } from '../freebsd/signalFrame.js';
import { SYS_restart_syscall } from '../linux/syscallNumbers.js';
import { inOrphanedGroup } from '../processGroups.js';
import type { ThreadContext } from '../threadContext.js';
import { fillTimerInfo } from '../timers.js';
import {
  actionOf,
  recalculateAttention,
  setBlocked,
  type TakenSignal,
  takeSignalLocked,
} from './pendingSignals.js';
import { faultInfo, type SigInfo } from './sigInfo.js';
import { pushFrame } from './signalFrame.js';
import {
  defaultAction,
  highBit,
  lowBit,
  SA_NODEFER,
  SA_RESETHAND,
  SA_RESTART,
  SI_KERNEL,
  SIG_DFL,
  SIG_IGN,
  SIGSEGV,
  SIGSTOP,
} from './signalNumbers.js';

/** A signal as it is about to be acted on. */
interface Delivery extends TakenSignal {
  readonly handler: bigint;
  readonly flags: number;
  readonly maskLow: number;
  readonly maskHigh: number;
  /** GuestSignals.resumed when it was taken. */
  readonly resumed: number;
}

/**
 * Deals with every signal pending for the thread before it goes back to guest code: arch_do_signal_or_restart. Returns
 * false when the thread must exit instead (its guest's exit status has been set).
 */
export function deliverSignals(t: ThreadContext): boolean {
  const { mem, thread } = t;
  for (;;) {
    if ((mem.atomicLoad(thread + Thread.attention) & ATTENTION_EXIT) !== 0) return false;
    if (mem.atomicLoad(mem.getU32(t.guest + Guest.signals) + GuestSignals.stopped) !== 0) {
      waitWhileStopped(t);
      continue;
    }
    // The first thread that goes on tells the parent. (SIGCONT may have come before any of them had parked.)
    if (
      mem.atomicLoad(t.guest + Guest.continued) !== 0 &&
      mem.atomicExchange(t.guest + Guest.continued, 0) !== 0
    )
      reportContinue(t);
    const delivery = takeNext(t);
    if (delivery === undefined) break;
    if (delivery.timer !== 0) fillTimerInfo(t, delivery);
    if (delivery.handler === BigInt(SIG_IGN)) continue;
    if (delivery.handler === BigInt(SIG_DFL)) {
      const action = defaultAction(delivery.signal);
      if (t.options.strace) traceSignal(t, delivery.signal, delivery.info);
      if (action === 'ignore' || action === 'continue') continue;
      if (action === 'stop') {
        // Nobody would ever continue it.
        if (delivery.signal !== SIGSTOP && inOrphanedGroup(t)) continue;
        stopGuest(t, delivery);
        continue;
      }
      dieBySignal(t, delivery.signal, action === 'core', delivery.info);
      return false;
    }
    if (t.options.strace) traceSignal(t, delivery.signal, delivery.info);
    restartBeforeHandler(t, delivery.flags);
    if (!enterHandler(t, delivery)) return false;
  }
  restartWithoutHandler(t);
  if (mem.getU32(t.signals + ThreadSignals.restoreSaved) !== 0) {
    mem.setU32(t.signals + ThreadSignals.restoreSaved, 0);
    setBlocked(
      mem,
      thread,
      mem.getU32(t.signals + ThreadSignals.savedLow),
      mem.getU32(t.signals + ThreadSignals.savedHigh),
    );
    // What the old mask lets through may be pending.
    if (t.signalPending()) return deliverSignals(t);
  }
  return true;
}

/** Stops every thread of the guest, unless SIGCONT or the end has come since the signal was taken. */
function stopGuest(t: ThreadContext, { signal, resumed }: Delivery): void {
  const { mem, thread, guest } = t;
  lockMutex(mem, guest + Guest.threadsLock, thread);
  if (mem.getU32(mem.getU32(guest + Guest.signals) + GuestSignals.resumed) !== resumed) {
    unlockMutex(mem, guest + Guest.threadsLock, thread);
    return;
  }
  const first = mem.atomicExchange(mem.getU32(guest + Guest.signals) + GuestSignals.stopped, 1) === 0;
  for (
    let other = mem.getU32(guest + Guest.threads);
    other !== 0;
    other = mem.getU32(other + Thread.nextInGuest)
  ) {
    mem.atomicOr(other + Thread.attention, ATTENTION_SIGNAL);
    if (other !== thread) unpark(mem, other);
  }
  unlockMutex(mem, guest + Guest.threadsLock, thread);
  if (first) reportStop(t, signal);
}

/** Parks the thread until SIGCONT, SIGKILL or the end of the guest. */
function waitWhileStopped(t: ThreadContext): void {
  const { mem, thread } = t;
  const stopped = mem.getU32(t.guest + Guest.signals) + GuestSignals.stopped;
  for (;;) {
    const ticket = parkTicket(mem, thread);
    if (mem.atomicLoad(stopped) === 0) break;
    if ((mem.atomicLoad(thread + Thread.attention) & ATTENTION_EXIT) !== 0) break;
    park(mem, thread, ticket);
  }
}

/** Takes the next signal with the action for it, which SA_RESETHAND then resets. */
function takeNext(t: ThreadContext): Delivery | undefined {
  const { mem, thread, sighand, signals } = t;
  lockMutex(mem, sighand + Sighand.lock, thread);
  try {
    const low = ~mem.getU32(signals + ThreadSignals.blockedLow);
    const high = ~mem.getU32(signals + ThreadSignals.blockedHigh);
    const taken = takeSignalLocked(mem, thread, low, high, thread);
    recalculateAttention(mem, thread);
    if (taken === undefined) return undefined;
    const action = actionOf(sighand, taken.signal);
    const flags = mem.getU32(action + SignalAction.flags);
    const delivery = {
      ...taken,
      handler: mem.u64[(action + SignalAction.handler) >>> 3],
      flags,
      maskLow: mem.getU32(action + SignalAction.maskLow),
      maskHigh: mem.getU32(action + SignalAction.maskHigh),
      resumed: mem.getU32(mem.getU32(t.guest + Guest.signals) + GuestSignals.resumed),
    };
    if ((flags & SA_RESETHAND) !== 0 && delivery.handler > 1n)
      mem.set64(action + SignalAction.handler, SIG_DFL);
    return delivery;
  } finally {
    unlockMutex(mem, sighand + Sighand.lock, thread);
  }
}

/** Pushes the frame and blocks what the action says. False: the frame could not be written and the guest is dead. */
function enterHandler(t: ThreadContext, delivery: Delivery): boolean {
  const { mem, thread, signals } = t;
  const { signal, flags } = delivery;
  const blockedLow = mem.getU32(signals + ThreadSignals.blockedLow);
  const blockedHigh = mem.getU32(signals + ThreadSignals.blockedHigh);
  const restore = mem.getU32(signals + ThreadSignals.restoreSaved) !== 0;
  const maskLow = restore ? mem.getU32(signals + ThreadSignals.savedLow) : blockedLow;
  const maskHigh = restore ? mem.getU32(signals + ThreadSignals.savedHigh) : blockedHigh;
  try {
    const push = t.freebsd ? pushFreebsdFrame : pushFrame;
    push(t, signal, delivery.handler, flags, delivery.info, maskLow, maskHigh);
  } catch (error) {
    if (!(error instanceof UserFault)) throw error;
    // force_sigsegv: a SIGSEGV whose own frame fails, or that is blocked or ignored, kills.
    const sp = mem.u64[(thread + Thread.x + 2 * 8) >>> 3];
    if (signal === SIGSEGV) {
      dieBySignal(t, SIGSEGV, true, faultInfo(SIGSEGV, SI_KERNEL, sp));
      return false;
    }
    return forceSignal(t, SIGSEGV, faultInfo(SIGSEGV, SI_KERNEL, 0n));
  }
  mem.setU32(signals + ThreadSignals.restoreSaved, 0);
  const self = (flags & SA_NODEFER) === 0;
  setBlocked(
    mem,
    thread,
    blockedLow | delivery.maskLow | (self ? lowBit(signal) : 0),
    blockedHigh | delivery.maskHigh | (self ? highBit(signal) : 0),
  );
  return true;
}

/**
 * A synchronous signal of the thread itself (a fault): delivered at once, and deadly when it is blocked or ignored.
 * Returns false when the thread must exit.
 */
export function forceSignal(t: ThreadContext, signal: number, info: SigInfo): boolean {
  const { mem, thread, sighand, signals } = t;
  lockMutex(mem, sighand + Sighand.lock, thread);
  const action = actionOf(sighand, signal);
  const handler = mem.u64[(action + SignalAction.handler) >>> 3];
  const flags = mem.getU32(action + SignalAction.flags);
  const maskLow = mem.getU32(action + SignalAction.maskLow);
  const maskHigh = mem.getU32(action + SignalAction.maskHigh);
  const blocked =
    ((mem.getU32(signals + ThreadSignals.blockedLow) & lowBit(signal)) |
      (mem.getU32(signals + ThreadSignals.blockedHigh) & highBit(signal))) !==
    0;
  const caught = handler > 1n && !blocked;
  if (caught && (flags & SA_RESETHAND) !== 0) mem.set64(action + SignalAction.handler, SIG_DFL);
  unlockMutex(mem, sighand + Sighand.lock, thread);
  if (t.options.strace) traceSignal(t, signal, info);
  if (!caught) {
    dieBySignal(t, signal, defaultAction(signal) === 'core', info);
    return false;
  }
  return enterHandler(t, {
    signal,
    info,
    timer: 0,
    timerSequence: 0,
    handler,
    flags,
    maskLow,
    maskHigh,
    resumed: 0,
  });
}

/** A handler is about to run: the interrupted system call ends with EINTR or is made again after it. */
function restartBeforeHandler(t: ThreadContext, flags: number): void {
  const code = t.restart;
  if (code === 0) return;
  t.restart = 0;
  if (code === ERESTARTNOINTR || (code === ERESTARTSYS && (flags & SA_RESTART) !== 0)) repeatCall(t);
  else if (t.freebsd) setFreebsdError(t, EINTR);
  else t.mem.set64(t.thread + Thread.x + 10 * 8, -EINTR);
}

/** No handler runs: the interrupted system call is made again. */
function restartWithoutHandler(t: ThreadContext): void {
  const code = t.restart;
  if (code === 0) return;
  t.restart = 0;
  if (code === ERESTARTSYS || code === ERESTARTNOINTR || code === ERESTARTNOHAND) {
    repeatCall(t);
  } else if (code === ERESTART_RESTARTBLOCK) {
    repeatCall(t);
    if (!t.freebsd) t.mem.set64(t.thread + Thread.x + 17 * 8, SYS_restart_syscall);
  }
}

/** Puts pc and a0 back to the ecall. */
function repeatCall(t: ThreadContext): void {
  const { mem, thread } = t;
  mem.set64(thread + Thread.pc, mem.getU64(thread + Thread.pc) - 4);
  mem.setU32(thread + Thread.x + 10 * 8, t.originalA0Low);
  mem.setU32(thread + Thread.x + 10 * 8 + 4, t.originalA0High);
}
