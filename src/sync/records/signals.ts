import { Mutex } from '../mutex.js';
import { array, embedded, i32, pointer, record, u32, u64 } from '../record.js';

/** Signals are numbered 1 … 64; a set keeps signal n in bit n − 1 of its low (1–32) and high (33–64) word. */
export const SIGNAL_COUNT = 64;

/** What a guest does on one signal: struct sigaction of the kernel on RISC-V (no restorer). */
export const SignalAction = record({
  /** SIG_DFL 0, SIG_IGN 1, or the handler's guest address. */
  handler: u64,
  /** SA_* flags as the guest gave them. */
  flags: u64,
  maskLow: u32,
  maskHigh: u32,
});

/** Signal actions; shared by threads with CLONE_SIGHAND. Its lock also guards every signal state of those threads. */
export const Sighand = record({
  /** Threads that refer to it. Atomic. */
  refs: i32,
  /** Guards actions, and ThreadSignals and GuestSignals of its users. Taken after Guest.threadsLock. */
  lock: embedded(Mutex),
  /** By signal number; slot 0 is unused; lock. */
  actions: array({ size: SignalAction.SIZE, align: 8 }, SIGNAL_COUNT + 1),
});

/** Signals pending for one thread or for a whole guest; Sighand.lock. */
export const PendingSignals = record({
  low: u32,
  high: u32,
  /** First QueuedSignal, oldest first. */
  first: pointer,
  /** How many are queued. */
  count: u32,
});

/** One pending signal with its siginfo. */
export const QueuedSignal = record({
  next: pointer,
  signal: u32,
  /** Timer that sent it, or 0, and that timer's sequence number: its overrun count is read when it is taken. */
  timer: pointer,
  timerSequence: u32,
  /** siginfo_t as the guest sees it (128 bytes). */
  info: array(u64, 16),
});

/** Signal state of one thread; Sighand.lock unless said. Writes to `blocked*` are the thread's own. */
export const ThreadSignals = record({
  blockedLow: u32,
  blockedHigh: u32,
  pending: embedded(PendingSignals),
  /** The mask to put back when the signal that ended sigsuspend/ppoll has been dealt with. Own thread. */
  savedLow: u32,
  savedHigh: u32,
  /** 1: saved* is to be put back. Own thread. */
  restoreSaved: u32,
  /** While in sigtimedwait: the signals waited for (not blocked meanwhile). Own thread. */
  waitingLow: u32,
  waitingHigh: u32,
  /** sigaltstack. Own thread. */
  altStack: u64,
  altSize: u64,
  altFlags: u32,
});

/** Signal state of a guest; Sighand.lock. */
export const GuestSignals = record({
  pending: embedded(PendingSignals),
  /** Stopped by SIGSTOP and the like: threads park until SIGCONT. Atomic. */
  stopped: i32,
  /** How often SIGCONT or SIGKILL has come, which undo stops that have been taken but not made. Guest.threadsLock and Sighand.lock. */
  resumed: u32,
});
