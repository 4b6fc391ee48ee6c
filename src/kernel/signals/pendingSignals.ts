import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { unpark } from '../../sync/park.js';
import { FilesGlobal } from '../../sync/records/files.js';
import { Guest, INIT_PID } from '../../sync/records/guest.js';
import {
  GuestSignals,
  PendingSignals,
  QueuedSignal,
  Sighand,
  SignalAction,
  ThreadSignals,
} from '../../sync/records/signals.js';
import { ATTENTION_SIGNAL, Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { READABLE, signalEvents } from '../files/events.js';
import { existingFilesGlobal } from '../files/filesGlobal.js';
import { getLimit, RLIMIT_SIGPENDING } from '../guestRecords.js';
import { infoCode, SIGINFO_SIZE, type SigInfo } from './sigInfo.js';
import {
  defaultAction,
  highBit,
  lowBit,
  SI_TIMER,
  SI_USER,
  SIG_DFL,
  SIG_IGN,
  SIGCONT,
  SIGKILL,
  SIGRTMIN,
  STOP_LOW,
  SYNCHRONOUS_LOW,
  UNBLOCKABLE_LOW,
} from './signalNumbers.js';

/**
 * Sending signals and taking them: kernel/signal.c in small. All state is guarded by the Sighand's lock, taken after
 * Guest.threadsLock. ATTENTION_SIGNAL is set on a thread exactly while a signal that it does not block is pending for it
 * or for its guest (Linux: TIF_SIGPENDING); several threads may have it for one signal of the guest, the first takes it.
 */

/** Most signals queued per target (RLIMIT_SIGPENDING's default is much larger; this bounds kernel memory). */
const QUEUE_LIMIT = 4096;

/** Address of the action of `signal`. */
export function actionOf(sighand: number, signal: number): number {
  return sighand + Sighand.actions + signal * SignalAction.SIZE;
}

/** The signal would be dropped by its action (the caller has made sure that it is not blocked). */
function ignoredLocked(mem: SharedMemory, sighand: number, signal: number): boolean {
  const action = actionOf(sighand, signal);
  const handler = mem.getU64(action + SignalAction.handler);
  if (handler === SIG_IGN) return signal !== SIGKILL;
  if (handler !== SIG_DFL) return false;
  const byDefault = defaultAction(signal);
  return byDefault === 'ignore' || byDefault === 'continue';
}

function blocks(mem: SharedMemory, signals: number, signal: number): boolean {
  return (
    (mem.getU32(signals + ThreadSignals.blockedLow) & lowBit(signal)) !== 0 ||
    (mem.getU32(signals + ThreadSignals.blockedHigh) & highBit(signal)) !== 0
  );
}

/** Whether the calling thread blocks or ignores a signal, and so wants no part in what it stands for (n_tty: is_ignored). */
export function turnsDown(
  t: { readonly mem: SharedMemory; readonly signals: number; readonly sighand: number },
  signal: number,
): boolean {
  const { mem, signals, sighand } = t;
  const handler = mem.getU64(actionOf(sighand, signal) + SignalAction.handler);
  return blocks(mem, signals, signal) || handler === SIG_IGN;
}

/** The thread waits for the signal in sigtimedwait. */
function awaits(mem: SharedMemory, signals: number, signal: number): boolean {
  return (
    (mem.getU32(signals + ThreadSignals.waitingLow) & lowBit(signal)) !== 0 ||
    (mem.getU32(signals + ThreadSignals.waitingHigh) & highBit(signal)) !== 0
  );
}

/** Wakes `thread` for a signal. */
function notifyThread(mem: SharedMemory, thread: number): void {
  mem.atomicOr(thread + Thread.attention, ATTENTION_SIGNAL);
  unpark(mem, thread);
}

/**
 * Adds a signal to a pending set. Returns false when it merges with one that is pending, or when the queue is full and
 * the signal's kind may not be lost (the caller answers EAGAIN for those of sigqueue).
 */
function enqueueLocked(
  mem: SharedMemory,
  pending: number,
  signal: number,
  info: SigInfo,
  timer: number,
  timerSequence: number,
  limit: number,
  owner: number,
): 'queued' | 'merged' | 'full' {
  const low = mem.getU32(pending + PendingSignals.low);
  const high = mem.getU32(pending + PendingSignals.high);
  const already = (low & lowBit(signal)) !== 0 || (high & highBit(signal)) !== 0;
  if (already && signal < SIGRTMIN) return 'merged';
  // Of the other signals there is one of each at most; so there is of those that kill(2) sends when there is no room.
  const alone = signal < SIGRTMIN || (!already && infoCode(info) === SI_USER);
  if (mem.getU32(pending + PendingSignals.count) >= limit && !alone) return 'full';
  const entry = allocateBlock(mem, QueuedSignal.SIZE, owner);
  mem.setU32(entry + QueuedSignal.signal, signal);
  mem.setU32(entry + QueuedSignal.timer, timer);
  mem.setU32(entry + QueuedSignal.timerSequence, timerSequence);
  mem.u8.set(info, entry + QueuedSignal.info);
  let link = pending + PendingSignals.first;
  while (mem.getU32(link) !== 0) link = mem.getU32(link) + QueuedSignal.next;
  mem.setU32(link, entry);
  mem.setU32(pending + PendingSignals.count, mem.getU32(pending + PendingSignals.count) + 1);
  mem.setU32(pending + PendingSignals.low, low | lowBit(signal));
  mem.setU32(pending + PendingSignals.high, high | highBit(signal));
  return 'queued';
}

/** Takes every pending instance of the signals in (low, high) out of the set and frees them. */
function flushLocked(mem: SharedMemory, pending: number, low: number, high: number, owner: number): void {
  let link = pending + PendingSignals.first;
  for (let entry = mem.getU32(link); entry !== 0; entry = mem.getU32(link)) {
    const signal = mem.getU32(entry + QueuedSignal.signal);
    if ((lowBit(signal) & low) !== 0 || (highBit(signal) & high) !== 0) {
      mem.setU32(link, mem.getU32(entry + QueuedSignal.next));
      freeBlock(mem, entry, owner);
      mem.setU32(pending + PendingSignals.count, mem.getU32(pending + PendingSignals.count) - 1);
    } else {
      link = entry + QueuedSignal.next;
    }
  }
  mem.setU32(pending + PendingSignals.low, mem.getU32(pending + PendingSignals.low) & ~low);
  mem.setU32(pending + PendingSignals.high, mem.getU32(pending + PendingSignals.high) & ~high);
}

export type SendResult = 'sent' | 'ignored' | 'full';

/**
 * Sends a signal to `thread`, or to the whole guest when `thread` is 0. `owner` is the caller's lock token; it holds
 * neither Guest.threadsLock nor the Sighand's lock. `timer` and its sequence number are those of a timer that sends.
 * 'full' is answered only for queued signals that may not be lost (sigqueue's EAGAIN).
 */
export function sendSignal(
  mem: SharedMemory,
  owner: number,
  guest: number,
  thread: number,
  signal: number,
  info: SigInfo,
  timer = 0,
  timerSequence = 0,
): SendResult {
  lockMutex(mem, guest + Guest.threadsLock, owner);
  try {
    return sendSignalLocked(mem, owner, guest, thread, signal, info, timer, timerSequence);
  } finally {
    unlockMutex(mem, guest + Guest.threadsLock, owner);
  }
}

/** sendSignal for a caller that holds Guest.threadsLock. */
export function sendSignalLocked(
  mem: SharedMemory,
  owner: number,
  guest: number,
  thread: number,
  signal: number,
  info: SigInfo,
  timer = 0,
  timerSequence = 0,
): SendResult {
  const result = postSignalLocked(mem, owner, guest, thread, signal, info, timer, timerSequence);
  if (result === 'sent') tellSignalFds(mem, owner);
  return result;
}

/** Signalfds have a source of events in common; their locks are not to be taken under the Sighand's. */
function tellSignalFds(mem: SharedMemory, owner: number): void {
  const files = existingFilesGlobal(mem);
  if (files === 0 || mem.atomicLoad(files + FilesGlobal.signalFds) === 0) return;
  signalEvents(mem, files + FilesGlobal.signalSource, READABLE, owner);
}

function postSignalLocked(
  mem: SharedMemory,
  owner: number,
  guest: number,
  thread: number,
  signal: number,
  info: SigInfo,
  timer: number,
  timerSequence: number,
): SendResult {
  if (mem.getU32(guest + Guest.threads) === 0) return 'ignored';
  // Init has no handlers, and what would end or stop a process does not get to it (SIGNAL_UNKILLABLE).
  if (mem.getU32(guest + Guest.pid) === INIT_PID) return 'ignored';
  const sighand = mem.getU32(guest + Guest.sighand);
  lockMutex(mem, sighand + Sighand.lock, owner);
  try {
    const shared = mem.getU32(guest + Guest.signals);
    if (signal === SIGCONT || signal === SIGKILL) resumeStopped(mem, guest, shared, owner, signal);
    else if ((lowBit(signal) & STOP_LOW) !== 0) flushAll(mem, guest, shared, lowBit(SIGCONT), owner);

    const target = chooseThread(mem, guest, thread, signal);
    const first = thread !== 0 ? thread : mem.getU32(guest + Guest.threads);
    const looksAt = target !== 0 ? target : first;
    if (
      !blocks(mem, mem.getU32(looksAt + Thread.signals), signal) &&
      !awaits(mem, mem.getU32(looksAt + Thread.signals), signal) &&
      ignoredLocked(mem, sighand, signal)
    ) {
      return 'ignored';
    }
    const pending =
      thread !== 0
        ? mem.getU32(thread + Thread.signals) + ThreadSignals.pending
        : shared + GuestSignals.pending;
    const [allowed] = getLimit(mem, guest, RLIMIT_SIGPENDING);
    const limit = Math.min(allowed, QUEUE_LIMIT);
    const result = enqueueLocked(mem, pending, signal, info, timer, timerSequence, limit, owner);
    // A timer whose signal was pending for another reason has none of its own that somebody could take.
    if (result === 'merged') return timer !== 0 ? 'ignored' : 'sent';
    if (result === 'full') {
      const code = infoCode(info);
      if (signal >= SIGRTMIN && code !== SI_USER && code !== SI_TIMER) return 'full';
      return 'ignored';
    }
    if (target !== 0) notifyThread(mem, target);
    return 'sent';
  } finally {
    unlockMutex(mem, sighand + Sighand.lock, owner);
  }
}

/** The thread to be told of the signal: one that does not block it or waits for it; 0 when all block it. */
function chooseThread(mem: SharedMemory, guest: number, thread: number, signal: number): number {
  const wants = (t: number) => {
    const signals = mem.getU32(t + Thread.signals);
    return awaits(mem, signals, signal) || !blocks(mem, signals, signal);
  };
  if (thread !== 0) return wants(thread) ? thread : 0;
  let found = 0;
  const pid = mem.getU32(guest + Guest.pid);
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
    if (!wants(t)) continue;
    // The main thread is preferred, then one that has nothing else to deal with.
    if (mem.getU32(t + Thread.tid) === pid) return t;
    if (found === 0 || (mem.atomicLoad(found + Thread.attention) & ATTENTION_SIGNAL) !== 0) found = t;
  }
  return found;
}

/** SIGCONT and SIGKILL: pending stops are forgotten, stopped threads go on. */
function resumeStopped(
  mem: SharedMemory,
  guest: number,
  shared: number,
  owner: number,
  signal: number,
): void {
  if (signal === SIGCONT) flushAll(mem, guest, shared, STOP_LOW, owner);
  mem.setU32(shared + GuestSignals.resumed, mem.getU32(shared + GuestSignals.resumed) + 1);
  if (mem.atomicExchange(shared + GuestSignals.stopped, 0) === 0) return;
  if (signal === SIGCONT) mem.atomicStore(guest + Guest.continued, 1);
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest))
    unpark(mem, t);
}

function flushAll(mem: SharedMemory, guest: number, shared: number, low: number, owner: number): void {
  flushLocked(mem, shared + GuestSignals.pending, low, 0, owner);
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest))
    flushLocked(mem, mem.getU32(t + Thread.signals) + ThreadSignals.pending, low, 0, owner);
}

/** Sets or clears ATTENTION_SIGNAL of `thread` from what is pending. The caller holds the Sighand's lock. */
export function recalculateAttention(mem: SharedMemory, thread: number): void {
  const signals = mem.getU32(thread + Thread.signals);
  const shared = mem.getU32(mem.getU32(thread + Thread.guest) + Guest.signals);
  const own = signals + ThreadSignals.pending;
  const all = shared + GuestSignals.pending;
  const low =
    (mem.getU32(own + PendingSignals.low) | mem.getU32(all + PendingSignals.low)) &
    ~mem.getU32(signals + ThreadSignals.blockedLow);
  const high =
    (mem.getU32(own + PendingSignals.high) | mem.getU32(all + PendingSignals.high)) &
    ~mem.getU32(signals + ThreadSignals.blockedHigh);
  if ((low | high) !== 0 || mem.atomicLoad(shared + GuestSignals.stopped) !== 0) {
    mem.atomicOr(thread + Thread.attention, ATTENTION_SIGNAL);
  } else if ((mem.atomicLoad(thread + Thread.attention) & ATTENTION_SIGNAL) !== 0) {
    mem.atomicAnd(thread + Thread.attention, ~ATTENTION_SIGNAL);
  }
}

/** Whether a signal is pending that will end the calling thread's guest (fatal_signal_pending). */
export function fatalSignalPending(t: {
  readonly mem: SharedMemory;
  readonly thread: number;
  readonly guest: number;
  readonly signals: number;
  readonly sighand: number;
}): boolean {
  const { mem, signals } = t;
  if ((mem.atomicLoad(t.thread + Thread.attention) & ATTENTION_SIGNAL) === 0) return false;
  const shared = mem.getU32(t.guest + Guest.signals) + GuestSignals.pending;
  const own = signals + ThreadSignals.pending;
  lockMutex(mem, t.sighand + Sighand.lock, t.thread);
  let fatal = false;
  for (let signal = 1; signal <= 64 && !fatal; signal++) {
    const pending =
      ((mem.getU32(own + PendingSignals.low) | mem.getU32(shared + PendingSignals.low)) & lowBit(signal)) |
      ((mem.getU32(own + PendingSignals.high) | mem.getU32(shared + PendingSignals.high)) & highBit(signal));
    if (pending === 0 || blocks(mem, signals, signal)) continue;
    const action = defaultAction(signal);
    fatal =
      mem.getU64(actionOf(t.sighand, signal) + SignalAction.handler) === SIG_DFL &&
      (action === 'terminate' || action === 'core');
  }
  unlockMutex(mem, t.sighand + Sighand.lock, t.thread);
  return fatal;
}

/** Which signals are pending for `thread` or its guest, as words; blocked ones too. The caller holds the Sighand's lock. */
export function pendingLocked(mem: SharedMemory, thread: number): readonly [low: number, high: number] {
  const own = mem.getU32(thread + Thread.signals) + ThreadSignals.pending;
  const shared = mem.getU32(mem.getU32(thread + Thread.guest) + Guest.signals) + GuestSignals.pending;
  return [
    mem.getU32(own + PendingSignals.low) | mem.getU32(shared + PendingSignals.low),
    mem.getU32(own + PendingSignals.high) | mem.getU32(shared + PendingSignals.high),
  ];
}

/** A signal taken from a pending set. */
export interface TakenSignal {
  readonly signal: number;
  readonly info: SigInfo;
  readonly timer: number;
  readonly timerSequence: number;
}

/**
 * Takes the next pending signal of the thread within the set (low, high): its own before the guest's, synchronous
 * ones first, then by number. The caller holds the Sighand's lock.
 */
export function takeSignalLocked(
  mem: SharedMemory,
  thread: number,
  low: number,
  high: number,
  owner: number,
): TakenSignal | undefined {
  const own = mem.getU32(thread + Thread.signals) + ThreadSignals.pending;
  const shared = mem.getU32(mem.getU32(thread + Thread.guest) + Guest.signals) + GuestSignals.pending;
  return takeLocked(mem, own, low, high, owner) ?? takeLocked(mem, shared, low, high, owner);
}

function takeLocked(
  mem: SharedMemory,
  pending: number,
  low: number,
  high: number,
  owner: number,
): TakenSignal | undefined {
  const lowSet = mem.getU32(pending + PendingSignals.low) & low;
  const highSet = mem.getU32(pending + PendingSignals.high) & high;
  if ((lowSet | highSet) === 0) return undefined;
  const killSet = lowSet & lowBit(SIGKILL);
  const synchronous = lowSet & SYNCHRONOUS_LOW;
  const from = killSet || synchronous || lowSet;
  const signal = from !== 0 ? 32 - Math.clz32(from & -from) : 64 - Math.clz32(highSet & -highSet);

  let link = pending + PendingSignals.first;
  let taken: TakenSignal | undefined;
  let more = false;
  for (let entry = mem.getU32(link); entry !== 0; entry = mem.getU32(link)) {
    if (mem.getU32(entry + QueuedSignal.signal) !== signal) {
      link = entry + QueuedSignal.next;
    } else if (taken === undefined) {
      const at = entry + QueuedSignal.info;
      taken = {
        signal,
        info: mem.u8.slice(at, at + SIGINFO_SIZE),
        timer: mem.getU32(entry + QueuedSignal.timer),
        timerSequence: mem.getU32(entry + QueuedSignal.timerSequence),
      };
      mem.setU32(link, mem.getU32(entry + QueuedSignal.next));
      freeBlock(mem, entry, owner);
      mem.setU32(pending + PendingSignals.count, mem.getU32(pending + PendingSignals.count) - 1);
    } else {
      more = true;
      break;
    }
  }
  if (!more) {
    mem.setU32(pending + PendingSignals.low, mem.getU32(pending + PendingSignals.low) & ~lowBit(signal));
    mem.setU32(pending + PendingSignals.high, mem.getU32(pending + PendingSignals.high) & ~highBit(signal));
  }
  return taken;
}

/** Frees every pending signal of a set: its thread or guest is gone. */
export function discardSignals(mem: SharedMemory, pending: number, owner: number): void {
  flushLocked(mem, pending, ~0, ~0, owner);
}

/**
 * Drops the pending instances of a signal whose action now ignores it (POSIX 3.3.1.3), and says whether it does. The
 * caller holds Guest.threadsLock and the Sighand's lock.
 */
export function dropIgnoredLocked(
  mem: SharedMemory,
  guest: number,
  sighand: number,
  signal: number,
  owner: number,
): boolean {
  if (!ignoredLocked(mem, sighand, signal)) return false;
  flushLocked(
    mem,
    mem.getU32(guest + Guest.signals) + GuestSignals.pending,
    lowBit(signal),
    highBit(signal),
    owner,
  );
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
    const own = mem.getU32(t + Thread.signals) + ThreadSignals.pending;
    flushLocked(mem, own, lowBit(signal), highBit(signal), owner);
  }
  return true;
}

/**
 * Sets the blocked mask of the calling thread (SIGKILL and SIGSTOP stay out of it). A signal of the guest that it was to
 * take and now blocks goes to the others.
 */
export function setBlocked(mem: SharedMemory, thread: number, low: number, high: number): void {
  const guest = mem.getU32(thread + Thread.guest);
  const sighand = mem.getU32(thread + Thread.sighand);
  const signals = mem.getU32(thread + Thread.signals);
  const shared = mem.getU32(guest + Guest.signals) + GuestSignals.pending;
  low &= ~UNBLOCKABLE_LOW;
  lockMutex(mem, sighand + Sighand.lock, thread);
  mem.setU32(signals + ThreadSignals.blockedLow, low);
  mem.setU32(signals + ThreadSignals.blockedHigh, high);
  recalculateAttention(mem, thread);
  const handedOn =
    (mem.getU32(shared + PendingSignals.low) & low) | (mem.getU32(shared + PendingSignals.high) & high);
  unlockMutex(mem, sighand + Sighand.lock, thread);
  if (handedOn === 0 || mem.getI32(guest + Guest.threadCount) === 1) return;
  lockMutex(mem, guest + Guest.threadsLock, thread);
  retargetLocked(mem, guest, thread, thread);
  unlockMutex(mem, guest + Guest.threadsLock, thread);
}

/**
 * Tells every thread of the guest but `except` of the guest's pending signals that it does not block: `except`, which was
 * told of them, blocks them now or ends. The caller holds Guest.threadsLock.
 */
export function retargetLocked(mem: SharedMemory, guest: number, except: number, owner: number): void {
  const shared = mem.getU32(guest + Guest.signals) + GuestSignals.pending;
  const sighand = mem.getU32(guest + Guest.sighand);
  lockMutex(mem, sighand + Sighand.lock, owner);
  if ((mem.getU32(shared + PendingSignals.low) | mem.getU32(shared + PendingSignals.high)) !== 0) {
    for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
      if (t === except) continue;
      recalculateAttention(mem, t);
      if ((mem.atomicLoad(t + Thread.attention) & ATTENTION_SIGNAL) !== 0) unpark(mem, t);
    }
  }
  unlockMutex(mem, sighand + Sighand.lock, owner);
}
