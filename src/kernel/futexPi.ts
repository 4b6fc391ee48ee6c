import { compareExchangeU32, loadU32 } from '../memory/userAccess.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { monotonicNow, park, parkTicket, unpark } from '../sync/park.js';
import {
  FUTEX_INHERITED,
  FUTEX_LOCK,
  FUTEX_REQUEUE_LOCK,
  FutexBucket,
  FutexWaiter,
} from '../sync/records/futex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { FUTEXES_LEAVING, FUTEXES_LEFT, FUTEXES_OWNED, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import {
  EAGAIN,
  EDEADLK,
  EINVAL,
  EPERM,
  ERESTARTNOINTR,
  ESRCH,
  ETIMEDOUT,
  EWOULDBLOCK,
  SyscallError,
} from './errno.js';
import {
  appendLocked,
  type FutexKey,
  firstKey,
  firstWaiterLocked,
  keyOf,
  lockTwo,
  matches,
  moveLocked,
  releaseLocked,
  secondKey,
  setWaiterKey,
  unlinkLocked,
  unlockTwo,
  waiterPriority,
  wakeDue,
  withdraw,
} from './futexQueue.js';
import type { ThreadContext } from './threadContext.js';
import { withThread } from './withThread.js';

/**
 * Locks with an owner: FUTEX_LOCK_PI and its like (futex(2); kernel/futex/pi.c, kernel/futex/requeue.c). The word holds the
 * owner's thread id; who cannot have the lock queues with the owner's record, and an unlock hands the word to the first
 * waiter. There is nothing to inherit a priority for: host threads are scheduled by the host.
 *
 * Whoever queues has counted itself in Machine.lockWaiters and then looks whether the owner still runs
 * (Thread.futexState); the owner changes its state and then looks for waiters: one of the two sees the other.
 */
export const FUTEX_WAITERS = 0x8000_0000;
export const FUTEX_OWNER_DIED = 0x4000_0000;
export const FUTEX_TID_MASK = 0x3fff_ffff;

/** The owner that a word names, as it was when it was looked for. */
interface Owner {
  readonly tid: number;
  readonly thread: number;
  readonly state: number;
}

const NOBODY: Owner = { tid: 0, thread: 0, state: FUTEXES_LEFT };

/** Who `word` says has the lock. Must be looked for before a bucket is locked. */
function ownerOf(t: ThreadContext, word: number): Owner {
  const tid = word & FUTEX_TID_MASK;
  if (tid === 0 || tid === t.tid) return NOBODY;
  try {
    return withThread(t, tid, (thread) => ({
      tid,
      thread,
      state: t.mem.atomicLoad(thread + Thread.futexState),
    }));
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    return { tid, thread: 0, state: FUTEXES_LEFT };
  }
}

/** What came of an attempt: a result for the guest, or what to do next. */
type Attempt = { readonly result: number } | 'held' | 'again' | 'leaving';

/** How long to wait for a thread that is giving up its locks, milliseconds. */
const LEAVING_PAUSE = 1;

function pause(t: ThreadContext): void {
  park(t.mem, t.thread, parkTicket(t.mem, t.thread), monotonicNow() + LEAVING_PAUSE);
}

/**
 * Takes the lock for thread `tid` if it is free, or finds who has it (futex_lock_pi_atomic): 'held' with the waiters' bit set,
 * and the owner in `holder`. The bucket is locked.
 */
function tryLockLocked(
  t: ThreadContext,
  va: number,
  key: FutexKey,
  tid: number,
  owner: Owner,
  setWaiters: boolean,
): Attempt {
  const { mem } = t;
  for (;;) {
    const word = loadU32(t, va);
    const named = word & FUTEX_TID_MASK;
    if (named === tid) return { result: -EDEADLK };
    const first = firstWaiterLocked(mem, key);
    if (first !== 0) {
      const kind = mem.getU32(first + FutexWaiter.kind);
      if (kind !== FUTEX_LOCK && kind !== FUTEX_INHERITED) return { result: -EINVAL };
      holder.tid = mem.getU32(first + FutexWaiter.ownerTid);
      holder.thread = mem.getU32(first + FutexWaiter.ownerThread);
      // While a death is being dealt with the word may name nobody, or the dead.
      const settled = kind === FUTEX_LOCK && (named !== 0 || (word & FUTEX_OWNER_DIED) === 0);
      return settled && named !== holder.tid ? { result: -EINVAL } : 'held';
    }
    if (named === 0) {
      const wanted = ((word & FUTEX_OWNER_DIED) | tid | (setWaiters ? FUTEX_WAITERS : 0)) >>> 0;
      if (compareExchangeU32(t, va, word, wanted) === word) return { result: 0 };
      continue;
    }
    if (named !== owner.tid) return 'again';
    const marked = (word | FUTEX_WAITERS) >>> 0;
    if (marked !== word && compareExchangeU32(t, va, word, marked) !== word) continue;
    if (owner.state === FUTEXES_LEFT) return { result: -ESRCH };
    if (owner.state === FUTEXES_LEAVING) return 'leaving';
    holder.tid = owner.tid;
    holder.thread = owner.thread;
    return 'held';
  }
}

/** Whom tryLockLocked found to have the lock. */
const holder = { tid: 0, thread: 0 };

/** The owner noted with a waiter, unless it has begun to give its locks up. The bucket is locked. */
function ownerStays(mem: SharedMemory, tid: number, thread: number): boolean {
  return (
    mem.atomicLoad(thread + Thread.futexState) === FUTEXES_OWNED && mem.getU32(thread + Thread.tid) === tid
  );
}

/** Makes the waiter one for the lock that `holder` has. */
function noteHolder(mem: SharedMemory, waiter: number): void {
  mem.setU32(waiter + FutexWaiter.kind, FUTEX_LOCK);
  mem.setU32(waiter + FutexWaiter.ownerTid, holder.tid);
  mem.setU32(waiter + FutexWaiter.ownerThread, holder.thread);
}

/**
 * Whether `thread` waits for itself: follows owners and what they wait for. Nothing is locked; of two threads that close a
 * circle at once, both being queued, at least one sees it.
 */
function waitsForItself(mem: SharedMemory, thread: number, from: number): boolean {
  for (let owner = from, n = 0; n < LONGEST_CHAIN; n++) {
    if (owner === thread) return true;
    const waiter = mem.getU32(owner + Thread.futexWaiter);
    if (mem.atomicLoad(waiter + FutexWaiter.bucket) === 0) return false;
    if (mem.getU32(waiter + FutexWaiter.kind) !== FUTEX_LOCK) return false;
    const next = mem.getU32(waiter + FutexWaiter.ownerThread);
    if (mem.getU32(next + Thread.tid) !== mem.getU32(waiter + FutexWaiter.ownerTid)) return false;
    owner = next;
  }
  return false;
}
/** Linux gives up after as many (max_lock_depth). */
const LONGEST_CHAIN = 1024;

/**
 * FUTEX_LOCK_PI, FUTEX_LOCK_PI2 and (`trylock`) FUTEX_TRYLOCK_PI; `deadline` in monotonic milliseconds. Returns 0, −EDEADLK, −ESRCH (the
 * owner is gone), −EINVAL (others use the word otherwise), −ETIMEDOUT, −EAGAIN (trylock) or −ERESTARTNOINTR.
 */
export function futexLockPi(
  t: ThreadContext,
  va: number,
  deadline: number,
  trylock: boolean,
  shared: boolean,
): number {
  const { mem, thread } = t;
  const key = keyOf(t, va, shared, firstKey);
  const waiter = mem.getU32(thread + Thread.futexWaiter);
  const lock = key.bucket + FutexBucket.lock;
  for (;;) {
    const owner = ownerOf(t, loadU32(t, va));
    lockMutex(mem, lock, thread);
    let attempt: Attempt;
    try {
      attempt = tryLockLocked(t, va, key, t.tid, owner, false);
      if (attempt === 'held') {
        if (trylock) return -EAGAIN;
        if (queueLocked(t, key, waiter)) break;
        attempt = 'again';
      }
    } finally {
      unlockMutex(mem, lock, thread);
    }
    if (typeof attempt === 'object') return attempt.result;
    if (attempt === 'leaving') pause(t);
  }
  if (waitsForItself(mem, thread, mem.getU32(waiter + FutexWaiter.ownerThread)) && leave(t, waiter))
    return -EDEADLK;
  return awaitLock(t, waiter, va, deadline, -ERESTARTNOINTR);
}

/** Queues the caller behind `holder`; false when that has begun to give its locks up. */
function queueLocked(t: ThreadContext, key: FutexKey, waiter: number): boolean {
  const { mem } = t;
  setWaiterKey(mem, waiter, key);
  noteHolder(mem, waiter);
  mem.setU32(waiter + FutexWaiter.priority, waiterPriority(t));
  // With others in the queue the owner is as good as they say: whoever deals with its death sees this waiter, too.
  const first = firstWaiterLocked(mem, key) === 0;
  mem.atomicAdd(MACHINE + Machine.lockWaiters, 1);
  mem.atomicAdd(key.bucket + FutexBucket.waiters, 1);
  if (!first || ownerStays(mem, holder.tid, holder.thread)) {
    appendLocked(mem, key.bucket, waiter);
    return true;
  }
  mem.atomicAdd(key.bucket + FutexBucket.waiters, -1);
  mem.atomicAdd(MACHINE + Machine.lockWaiters, -1);
  return false;
}

/** Leaves the queue; false when the lock has been given to the caller meanwhile. */
function leave(t: ThreadContext, waiter: number): boolean {
  if (!withdraw(t.mem, waiter, t.thread)) return false;
  t.mem.atomicAdd(MACHINE + Machine.lockWaiters, -1);
  return true;
}

/** Waits until the lock at `va` is the caller's; `interrupted` is the result when a signal comes first. */
function awaitLock(
  t: ThreadContext,
  waiter: number,
  va: number,
  deadline: number,
  interrupted: number,
): number {
  const { mem, thread } = t;
  for (;;) {
    const ticket = parkTicket(mem, thread);
    if (mem.atomicLoad(waiter + FutexWaiter.bucket) === 0) {
      mem.atomicAdd(MACHINE + Machine.lockWaiters, -1);
      return 0;
    }
    if (mem.getU32(waiter + FutexWaiter.kind) === FUTEX_INHERITED) return inherit(t, waiter, va);
    if (t.signalPending()) {
      const requeued = mem.getU32(waiter + FutexWaiter.kind) === FUTEX_LOCK;
      if (leave(t, waiter)) return requeued ? interrupted : -ERESTARTNOINTR;
    } else if (!park(mem, thread, ticket, deadline, true)) {
      if (leave(t, waiter)) return -ETIMEDOUT;
    }
  }
}

/**
 * The owner has died and the lock is the caller's: writes that into the word and leaves the queue (fixup_pi_state_owner).
 */
function inherit(t: ThreadContext, waiter: number, va: number): number {
  const { mem, thread } = t;
  const bucket = mem.atomicLoad(waiter + FutexWaiter.bucket) >>> 0;
  lockMutex(mem, bucket + FutexBucket.lock, thread);
  try {
    const mine = (FUTEX_WAITERS | FUTEX_OWNER_DIED | t.tid) >>> 0;
    for (let word = loadU32(t, va); ; ) {
      const seen = compareExchangeU32(t, va, word, mine);
      if (seen === word) return 0;
      word = seen;
    }
  } finally {
    unlinkLocked(mem, bucket, waiter);
    mem.atomicStore(waiter + FutexWaiter.bucket, 0);
    mem.atomicAdd(bucket + FutexBucket.waiters, -1);
    mem.atomicAdd(MACHINE + Machine.lockWaiters, -1);
    unlockMutex(mem, bucket + FutexBucket.lock, thread);
  }
}

/** Every waiter of the key is told that `thread` has the lock now. The bucket is locked. */
function changeOwnerLocked(mem: SharedMemory, key: FutexKey, thread: number): void {
  const tid = mem.getU32(thread + Thread.tid);
  for (let w = mem.getU32(key.bucket + FutexBucket.first); w !== 0; w = mem.getU32(w + FutexWaiter.next)) {
    if (!matches(mem, w, key)) continue;
    mem.setU32(w + FutexWaiter.ownerTid, tid);
    mem.setU32(w + FutexWaiter.ownerThread, thread);
  }
}

/** FUTEX_UNLOCK_PI: hands the lock to the first waiter, or frees it. Returns 0, −EPERM (not the caller's) or −EINVAL. */
export function futexUnlockPi(t: ThreadContext, va: number, shared: boolean): number {
  const { mem, thread } = t;
  if ((loadU32(t, va) & FUTEX_TID_MASK) !== t.tid) return -EPERM;
  const key = keyOf(t, va, shared, firstKey);
  const lock = key.bucket + FutexBucket.lock;
  lockMutex(mem, lock, thread);
  try {
    for (;;) {
      const word = loadU32(t, va);
      if ((word & FUTEX_TID_MASK) !== t.tid) return -EPERM;
      const first = firstWaiterLocked(mem, key);
      let left = 0;
      if (first !== 0) {
        if (mem.getU32(first + FutexWaiter.kind) !== FUTEX_LOCK) return -EINVAL;
        if (mem.getU32(first + FutexWaiter.ownerThread) !== thread) return -EINVAL;
        left = (FUTEX_WAITERS | mem.getU32(mem.getU32(first + FutexWaiter.thread) + Thread.tid)) >>> 0;
      }
      if (compareExchangeU32(t, va, word, left) !== word) continue;
      if (first !== 0) {
        const next = mem.getU32(first + FutexWaiter.thread);
        releaseLocked(mem, key.bucket, first);
        changeOwnerLocked(mem, key, next);
      }
      return 0;
    }
  } finally {
    unlockMutex(mem, lock, thread);
    wakeDue(mem);
  }
}

/**
 * The thread ends or execs and has walked its robust list: locks that it holds and others wait for go to the first waiter each
 * (exit_pi_state_list). `beginLeaving` must have come before the list was walked.
 */
export function leaveLocks(t: ThreadContext): void {
  const { mem, thread } = t;
  if (mem.atomicLoad(MACHINE + Machine.lockWaiters) !== 0) {
    const buckets = mem.getU32(MACHINE + Machine.futexBuckets);
    const count = mem.getU32(MACHINE + Machine.futexBucketCount);
    for (let i = 0; i < count; i++) bequeath(t, buckets + i * FutexBucket.SIZE);
  }
  mem.atomicStore(thread + Thread.futexState, FUTEXES_LEFT);
}

/** From here on nobody queues behind the thread. */
export function beginLeaving(t: ThreadContext): void {
  t.mem.atomicStore(t.thread + Thread.futexState, FUTEXES_LEAVING);
}

/** The thread has a new program and may own locks again. */
export function ownLocksAgain(t: ThreadContext): void {
  t.mem.atomicStore(t.thread + Thread.futexState, FUTEXES_OWNED);
}

function bequeath(t: ThreadContext, bucket: number): void {
  const { mem, thread } = t;
  if (mem.atomicLoad(bucket + FutexBucket.waiters) === 0) return;
  const heirs: number[] = [];
  lockMutex(mem, bucket + FutexBucket.lock, thread);
  for (let w = mem.getU32(bucket + FutexBucket.first); w !== 0; w = mem.getU32(w + FutexWaiter.next)) {
    if (mem.getU32(w + FutexWaiter.kind) !== FUTEX_LOCK) continue;
    if (mem.getU32(w + FutexWaiter.ownerThread) !== thread) continue;
    const heir = mem.getU32(w + FutexWaiter.thread);
    mem.setU32(w + FutexWaiter.kind, FUTEX_INHERITED);
    const key = {
      space: mem.getU32(w + FutexWaiter.space),
      low: mem.getU32(w + FutexWaiter.low),
      high: mem.getI32(w + FutexWaiter.high),
      bucket,
    };
    changeOwnerLocked(mem, key, heir);
    heirs.push(heir);
  }
  unlockMutex(mem, bucket + FutexBucket.lock, thread);
  for (const heir of heirs) unpark(mem, heir);
}

/**
 * FUTEX_WAIT_REQUEUE_PI: waits while the word at `va` is `expected`, to be moved to the lock at `target` by
 * FUTEX_CMP_REQUEUE_PI; returns 0 with that lock held, −EAGAIN, −ETIMEDOUT, −EINVAL, or −EWOULDBLOCK when a signal came while
 * it waited for the lock.
 */
export function futexWaitRequeuePi(
  t: ThreadContext,
  va: number,
  expected: number,
  deadline: number,
  target: number,
  bitset: number,
  shared: boolean,
): number {
  if (va === target || bitset === 0) return -EINVAL;
  const { mem, thread } = t;
  const to = keyOf(t, target, shared, secondKey);
  const key = keyOf(t, va, shared, firstKey);
  if (key.space === to.space && key.low === to.low && key.high === to.high) return -EINVAL;
  const waiter = mem.getU32(thread + Thread.futexWaiter);
  const lock = key.bucket + FutexBucket.lock;
  lockMutex(mem, lock, thread);
  try {
    if (loadU32(t, va) !== expected >>> 0) return -EAGAIN;
    setWaiterKey(mem, waiter, key);
    mem.setU32(waiter + FutexWaiter.bitset, bitset);
    mem.setU32(waiter + FutexWaiter.kind, FUTEX_REQUEUE_LOCK);
    mem.setU32(waiter + FutexWaiter.priority, waiterPriority(t));
    mem.setU32(waiter + FutexWaiter.targetSpace, to.space);
    mem.setU32(waiter + FutexWaiter.targetLow, to.low);
    mem.setI32(waiter + FutexWaiter.targetHigh, to.high);
    mem.atomicAdd(MACHINE + Machine.lockWaiters, 1);
    mem.atomicAdd(key.bucket + FutexBucket.waiters, 1);
    appendLocked(mem, key.bucket, waiter);
  } finally {
    unlockMutex(mem, lock, thread);
  }
  return awaitLock(t, waiter, target, deadline, -EWOULDBLOCK);
}

function targets(mem: SharedMemory, waiter: number, key: FutexKey): boolean {
  return (
    mem.getU32(waiter + FutexWaiter.targetSpace) === key.space &&
    mem.getU32(waiter + FutexWaiter.targetLow) === key.low &&
    mem.getI32(waiter + FutexWaiter.targetHigh) === key.high
  );
}

/**
 * FUTEX_CMP_REQUEUE_PI: gives the lock at `target` to the first waiter of `va` if it is free, and moves up to `requeueCount`
 * others to it (one more when it was not free). Returns how many, −EAGAIN when the word is not `expected`, −EINVAL, −ESRCH or −EDEADLK.
 */
export function futexRequeuePi(
  t: ThreadContext,
  va: number,
  wakeCount: number,
  requeueCount: number,
  target: number,
  expected: number,
  shared: boolean,
): number {
  if (wakeCount !== 1 || requeueCount < 0 || va === target) return -EINVAL;
  const { mem, thread } = t;
  for (;;) {
    const owner = ownerOf(t, loadU32(t, target));
    const from = keyOf(t, va, shared, firstKey);
    const to = keyOf(t, target, shared, secondKey);
    if (from.space === to.space && from.low === to.low && from.high === to.high) return -EINVAL;
    lockTwo(mem, from.bucket, to.bucket, thread);
    let attempt: Attempt;
    try {
      if (loadU32(t, va) !== expected >>> 0) return -EAGAIN;
      attempt = requeueLocked(t, from, to, target, owner, requeueCount);
    } finally {
      unlockTwo(mem, from.bucket, to.bucket, thread);
      wakeDue(mem);
    }
    if (typeof attempt === 'object') return attempt.result;
    if (attempt === 'leaving') pause(t);
  }
}

function requeueLocked(
  t: ThreadContext,
  from: FutexKey,
  to: FutexKey,
  target: number,
  owner: Owner,
  requeueCount: number,
): Attempt {
  const { mem } = t;
  const first = firstWaiterLocked(mem, from);
  if (first === 0) return { result: 0 };
  if (mem.getU32(first + FutexWaiter.kind) !== FUTEX_REQUEUE_LOCK || !targets(mem, first, to))
    return { result: -EINVAL };
  const heir = mem.getU32(first + FutexWaiter.thread);
  const tid = mem.getU32(heir + Thread.tid);
  // The owner may be the caller, which ownerOf takes for nobody: it does not leave meanwhile.
  const known = owner === NOBODY ? { tid: t.tid, thread: t.thread, state: FUTEXES_OWNED } : owner;
  const attempt = tryLockLocked(t, target, to, tid, known, requeueCount > 0);
  if (attempt === 'again' || attempt === 'leaving') return attempt;
  let done = 0;
  if (attempt !== 'held') {
    if (attempt.result < 0) return attempt;
    releaseLocked(mem, from.bucket, first);
    holder.tid = tid;
    holder.thread = heir;
    done = 1;
  } else if (firstWaiterLocked(mem, to) === 0 && !ownerStays(mem, holder.tid, holder.thread)) return 'again';
  let next = 0;
  for (let w = mem.getU32(from.bucket + FutexBucket.first); w !== 0 && done - 1 < requeueCount; w = next) {
    next = mem.getU32(w + FutexWaiter.next);
    if (!matches(mem, w, from)) continue;
    if (mem.getU32(w + FutexWaiter.kind) !== FUTEX_REQUEUE_LOCK || !targets(mem, w, to))
      return { result: -EINVAL };
    noteHolder(mem, w);
    moveLocked(mem, from, to, w);
    done++;
  }
  return { result: done };
}
