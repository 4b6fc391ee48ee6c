import { atomicUpdateU32, loadU32 } from '../memory/userAccess.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { parkTicket } from '../sync/park.js';
import { FUTEX_PLAIN, FutexBucket, FutexWaiter } from '../sync/records/futex.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { EAGAIN, EINVAL, ENOSYS, ERESTARTSYS, ETIMEDOUT, SyscallError } from './errno.js';
import {
  appendLocked,
  type FutexKey,
  firstKey,
  keyOf,
  lockTwo,
  matches,
  moveLocked,
  releaseLocked,
  secondKey,
  setWaiterKey,
  unlockTwo,
  waiterPriority,
  wakeDue,
  withdraw,
} from './futexQueue.js';
import type { ThreadContext } from './threadContext.js';
import { parkInCall } from './waiting.js';

/** futex(2): waiting for a word, and waking. The operations on locks with an owner are in futexPi.ts. */

/**
 * FUTEX_WAIT and FUTEX_WAIT_BITSET: waits while the word at `va` is `expected`, until woken or `deadline` (monotonic
 * milliseconds). Returns 0, −EAGAIN, −ETIMEDOUT or −ERESTARTSYS.
 */
export function futexWait(
  t: ThreadContext,
  va: number,
  expected: number,
  deadline: number,
  bitset: number,
  shared: boolean,
): number {
  if (bitset === 0) return -EINVAL;
  const { mem, thread } = t;
  const waiter = mem.getU32(thread + Thread.futexWaiter);
  if (t.takeResumed()) return awaitWake(t, waiter, parkTicket(mem, thread), deadline);
  const key = keyOf(t, va, shared, firstKey);
  const { bucket } = key;
  const lock = bucket + FutexBucket.lock;

  // Counted before the word is read: a waker that changed the word before that, and then sees no waiter, is right.
  mem.atomicAdd(bucket + FutexBucket.waiters, 1);
  let queued = false;
  let ticket = 0;
  lockMutex(mem, lock, thread);
  try {
    if (loadU32(t, va) !== expected >>> 0) return -EAGAIN;
    setWaiterKey(mem, waiter, key);
    mem.setU32(waiter + FutexWaiter.bitset, bitset);
    mem.setU32(waiter + FutexWaiter.kind, FUTEX_PLAIN);
    mem.setU32(waiter + FutexWaiter.priority, waiterPriority(t));
    ticket = parkTicket(mem, thread);
    appendLocked(mem, bucket, waiter);
    queued = true;
  } finally {
    unlockMutex(mem, lock, thread);
    if (!queued) mem.atomicAdd(bucket + FutexBucket.waiters, -1);
  }

  return awaitWake(t, waiter, ticket, deadline);
}

/** Waits until the thread's waiter has been taken off its queue, since `ticket`; the result of futexWait. */
function awaitWake(t: ThreadContext, waiter: number, since: number, deadline: number): number {
  const { mem, thread } = t;
  for (let ticket = since; ; ) {
    if (mem.atomicLoad(waiter + FutexWaiter.bucket) === 0) return 0;
    if (t.signalPending()) return withdraw(mem, waiter, thread) ? -ERESTARTSYS : 0;
    if (!parkInCall(t, ticket, deadline, true)) return withdraw(mem, waiter, thread) ? -ETIMEDOUT : 0;
    ticket = parkTicket(mem, thread);
  }
}

/**
 * Takes up to `count` waiters of `key` whose bitset meets `bitset` off the queue; the bucket's lock is held. −EINVAL when it
 * comes upon one that waits for a lock (FUTEX_LOCK_PI and its like).
 */
function takeLocked(mem: SharedMemory, key: FutexKey, count: number, bitset: number): number {
  const { bucket } = key;
  let taken = 0;
  let next = 0;
  for (let w = mem.getU32(bucket + FutexBucket.first); w !== 0 && taken < count; w = next) {
    next = mem.getU32(w + FutexWaiter.next);
    if (!matches(mem, w, key)) continue;
    if (mem.getU32(w + FutexWaiter.kind) !== FUTEX_PLAIN) return -EINVAL;
    if ((mem.getU32(w + FutexWaiter.bitset) & bitset) === 0) continue;
    releaseLocked(mem, bucket, w);
    taken++;
  }
  return taken;
}

/** FUTEX_WAKE and FUTEX_WAKE_BITSET. Returns how many were woken. */
export function futexWake(
  t: ThreadContext,
  va: number,
  count: number,
  bitset: number,
  shared: boolean,
): number {
  if (bitset === 0) return -EINVAL;
  const { mem } = t;
  const key = keyOf(t, va, shared, firstKey);
  if (mem.atomicLoad(key.bucket + FutexBucket.waiters) === 0) return 0;
  const lock = key.bucket + FutexBucket.lock;
  lockMutex(mem, lock, t.thread);
  const woken = takeLocked(mem, key, Math.max(count, 1), bitset);
  unlockMutex(mem, lock, t.thread);
  wakeDue(mem);
  return woken;
}

/**
 * FUTEX_REQUEUE and FUTEX_CMP_REQUEUE (`expected` undefined for the former): wakes up to `wakeCount` waiters of `va` and
 * moves up to `requeueCount` others to `target`. Returns woken + moved, or −EAGAIN.
 */
export function futexRequeue(
  t: ThreadContext,
  va: number,
  wakeCount: number,
  requeueCount: number,
  target: number,
  expected: number | undefined,
  shared: boolean,
): number {
  if (wakeCount < 0 || requeueCount < 0) return -EINVAL;
  const { mem, thread } = t;
  const from = keyOf(t, va, shared, firstKey);
  const to = keyOf(t, target, shared, secondKey);
  let moved = 0;
  lockTwo(mem, from.bucket, to.bucket, thread);
  try {
    if (expected !== undefined && loadU32(t, va) !== expected >>> 0) return -EAGAIN;
    const woken = takeLocked(mem, from, wakeCount, ~0);
    if (woken < 0) return woken;
    let next = 0;
    for (let w = mem.getU32(from.bucket + FutexBucket.first); w !== 0 && moved < requeueCount; w = next) {
      next = mem.getU32(w + FutexWaiter.next);
      if (!matches(mem, w, from)) continue;
      if (mem.getU32(w + FutexWaiter.kind) !== FUTEX_PLAIN) return -EINVAL;
      moved++;
      moveLocked(mem, from, to, w);
    }
    return woken + moved;
  } finally {
    unlockTwo(mem, from.bucket, to.bucket, thread);
    wakeDue(mem);
  }
}

/** The arithmetic of FUTEX_WAKE_OP's `op` word applied to `word`: futex_atomic_op_inuser. */
function wakeOpResult(op: number, operand: number, word: number): number {
  switch (op) {
    case 0:
      return operand;
    case 1:
      return (word + operand) | 0;
    case 2:
      return word | operand;
    case 3:
      return word & ~operand;
    case 4:
      return word ^ operand;
    default:
      throw new SyscallError(ENOSYS);
  }
}

function wakeOpCompares(comparison: number, old: number, argument: number): boolean {
  switch (comparison) {
    case 0:
      return old === argument;
    case 1:
      return old !== argument;
    case 2:
      return old < argument;
    case 3:
      return old <= argument;
    case 4:
      return old > argument;
    case 5:
      return old >= argument;
    default:
      throw new SyscallError(ENOSYS);
  }
}

/** FUTEX_WAKE_OP: changes the word at `second` by `encoded`, wakes waiters of `va`, and of `second` if the comparison holds. */
export function futexWakeOp(
  t: ThreadContext,
  va: number,
  wakeCount: number,
  wakeCount2: number,
  second: number,
  encoded: number,
  shared: boolean,
): number {
  const { mem, thread } = t;
  const op = (encoded >>> 28) & 7;
  const comparison = (encoded >>> 24) & 15;
  const compareWith = (encoded << 20) >> 20;
  let operand = (encoded << 8) >> 20;
  if ((encoded & 0x8000_0000) !== 0) operand = 1 << (operand & 31);

  const key = keyOf(t, va, shared, firstKey);
  const key2 = keyOf(t, second, shared, secondKey);
  lockTwo(mem, key.bucket, key2.bucket, thread);
  try {
    wakeOpCompares(comparison, 0, 0);
    wakeOpResult(op, 0, 0);
    const old = atomicUpdateU32(t, second, (word) => wakeOpResult(op, operand, word | 0)) | 0;
    const woken = takeLocked(mem, key, Math.max(wakeCount, 1), ~0);
    if (woken < 0 || !wakeOpCompares(comparison, old, compareWith)) return woken;
    const more = takeLocked(mem, key2, Math.max(wakeCount2, 1), ~0);
    return more < 0 ? more : woken + more;
  } finally {
    unlockTwo(mem, key.bucket, key2.bucket, thread);
    wakeDue(mem);
  }
}
