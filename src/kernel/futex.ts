import { FAULT_MAPERR, UserFault } from '../memory/caller.js';
import { MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { type MappingSnapshot, snapshotMapping } from '../memory/mappingTree.js';
import { atomicUpdateU32, loadU32 } from '../memory/userAccess.js';
import { allocateBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { park, parkTicket, unpark } from '../sync/park.js';
import { FutexBucket, FutexWaiter } from '../sync/records/futex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_SHARED } from '../sync/records/mapping.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { EAGAIN, EINVAL, ENOSYS, ERESTARTSYS, ETIMEDOUT, SyscallError } from './errno.js';
import type { ThreadContext } from './threadContext.js';

/**
 * Futexes: futex(2). Waiters queue in hash buckets in shared memory, keyed by address space and address (private) or
 * by mapped object and place in it (shared). A bucket's lock is held over the look at the futex word; reading the word
 * enters GUEST mode, which is allowed because no thread in GUEST mode ever needs a bucket. Lock order: buckets by
 * ascending address, page-table and frame locks below them.
 */
const BUCKETS = 1024;

/** Makes the machine's buckets. */
export function initFutexes(mem: SharedMemory, owner: number): void {
  mem.setU32(MACHINE + Machine.futexBuckets, allocateBlock(mem, BUCKETS * FutexBucket.SIZE, owner));
  mem.setU32(MACHINE + Machine.futexBucketCount, BUCKETS);
}

/** Makes the waiter record of a new thread. */
export function createFutexWaiter(mem: SharedMemory, thread: number, owner: number): number {
  const waiter = allocateBlock(mem, FutexWaiter.SIZE, owner);
  mem.setU32(waiter + FutexWaiter.thread, thread);
  return waiter;
}

/** What a futex word is known by. */
export interface FutexKey {
  space: number;
  low: number;
  high: number;
  bucket: number;
}

/** One key a worker for each of the two addresses of an operation, so that no call allocates. */
const firstKey: FutexKey = { space: 0, low: 0, high: 0, bucket: 0 };
const secondKey: FutexKey = { space: 0, low: 0, high: 0, bucket: 0 };

/**
 * The key of the futex word at `va`. Throws SyscallError EINVAL for a misaligned address, UserFault for a shared one that
 * cannot be read.
 */
function keyOf(t: ThreadContext, va: number, shared: boolean, key: FutexKey): FutexKey {
  if (va % 4 !== 0) throw new SyscallError(EINVAL);
  if (!shared) {
    key.space = t.mm;
    key.low = va >>> 0;
    key.high = Math.floor(va / 0x1_0000_0000) | 0;
  } else sharedKey(t, va, key);
  const hash = Math.imul((key.low >>> 2) ^ Math.imul(key.high, 0x85ebca6b) ^ key.space, 0x9e3779b1);
  key.bucket = t.mem.getU32(MACHINE + Machine.futexBuckets) + (hash >>> 22) * FutexBucket.SIZE;
  return key;
}

const mapping: MappingSnapshot = { start: 0, end: 0, prot: 0, flags: 0, file: 0, object: 0, offset: 0 };

/**
 * A shared futex: the object mapped there and the place in it. In a private mapping it is the address space's own, but
 * other than a private futex at the same address (as in Linux, FUT_OFF_MMSHARED).
 */
function sharedKey(t: ThreadContext, va: number, key: FutexKey): void {
  const page = Math.floor(va / MIN_PAGE_SIZE);
  if (!(va >= 0) || !snapshotMapping(t.mem, t.mm, page, mapping)) throw new UserFault(va, FAULT_MAPERR);
  let place = va;
  if ((mapping.flags & MAPPING_SHARED) !== 0 && mapping.object !== 0) {
    key.space = mapping.object;
    place = (mapping.offset + page - mapping.start) * MIN_PAGE_SIZE + (va % MIN_PAGE_SIZE);
  } else key.space = t.mm + 1;
  key.low = place >>> 0;
  key.high = Math.floor(place / 0x1_0000_0000) | 0;
}

function matches(mem: SharedMemory, waiter: number, key: FutexKey): boolean {
  return (
    mem.getU32(waiter + FutexWaiter.low) === key.low &&
    mem.getU32(waiter + FutexWaiter.space) === key.space &&
    mem.getI32(waiter + FutexWaiter.high) === key.high
  );
}

function appendLocked(mem: SharedMemory, bucket: number, waiter: number): void {
  const last = mem.getU32(bucket + FutexBucket.last);
  mem.setU32(waiter + FutexWaiter.next, 0);
  mem.setU32(waiter + FutexWaiter.previous, last);
  if (last !== 0) mem.setU32(last + FutexWaiter.next, waiter);
  else mem.setU32(bucket + FutexBucket.first, waiter);
  mem.setU32(bucket + FutexBucket.last, waiter);
  mem.atomicStore(waiter + FutexWaiter.bucket, bucket);
}

/** Takes a waiter out of its bucket's list; FutexWaiter.bucket is the caller's to set. */
function unlinkLocked(mem: SharedMemory, bucket: number, waiter: number): void {
  const next = mem.getU32(waiter + FutexWaiter.next);
  const previous = mem.getU32(waiter + FutexWaiter.previous);
  if (next !== 0) mem.setU32(next + FutexWaiter.previous, previous);
  else mem.setU32(bucket + FutexBucket.last, previous);
  if (previous !== 0) mem.setU32(previous + FutexWaiter.next, next);
  else mem.setU32(bucket + FutexBucket.first, next);
}

/**
 * Takes the thread's waiter out of whatever bucket it is in by now (requeue may have moved it). Returns false when it
 * had been woken.
 */
function withdraw(mem: SharedMemory, waiter: number, owner: number): boolean {
  for (;;) {
    const bucket = mem.atomicLoad(waiter + FutexWaiter.bucket) >>> 0;
    if (bucket === 0) return false;
    lockMutex(mem, bucket + FutexBucket.lock, owner);
    if (mem.atomicLoad(waiter + FutexWaiter.bucket) >>> 0 === bucket) {
      unlinkLocked(mem, bucket, waiter);
      mem.atomicStore(waiter + FutexWaiter.bucket, 0);
      mem.atomicAdd(bucket + FutexBucket.waiters, -1);
      unlockMutex(mem, bucket + FutexBucket.lock, owner);
      return true;
    }
    unlockMutex(mem, bucket + FutexBucket.lock, owner);
  }
}

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
  const key = keyOf(t, va, shared, firstKey);
  const { bucket } = key;
  const waiter = mem.getU32(thread + Thread.futexWaiter);
  const lock = bucket + FutexBucket.lock;

  // Counted before the word is read: a waker that changed the word before that, and then sees no waiter, is right.
  mem.atomicAdd(bucket + FutexBucket.waiters, 1);
  let queued = false;
  let ticket = 0;
  lockMutex(mem, lock, thread);
  try {
    if (loadU32(t, va) !== expected >>> 0) return -EAGAIN;
    mem.setU32(waiter + FutexWaiter.space, key.space);
    mem.setU32(waiter + FutexWaiter.low, key.low);
    mem.setI32(waiter + FutexWaiter.high, key.high);
    mem.setU32(waiter + FutexWaiter.bitset, bitset);
    ticket = parkTicket(mem, thread);
    appendLocked(mem, bucket, waiter);
    queued = true;
  } finally {
    unlockMutex(mem, lock, thread);
    if (!queued) mem.atomicAdd(bucket + FutexBucket.waiters, -1);
  }

  for (;;) {
    if (mem.atomicLoad(waiter + FutexWaiter.bucket) === 0) return 0;
    if (t.signalPending()) return withdraw(mem, waiter, thread) ? -ERESTARTSYS : 0;
    if (!park(mem, thread, ticket, deadline, true)) return withdraw(mem, waiter, thread) ? -ETIMEDOUT : 0;
    ticket = parkTicket(mem, thread);
  }
}

/** Threads taken out of their queues whose wake-up is due once the bucket's lock has been given back. */
const due: number[] = [];

/** Takes up to `count` waiters of `key` whose bitset meets `bitset` off the queue; the bucket's lock is held. */
function takeLocked(mem: SharedMemory, key: FutexKey, count: number, bitset: number): number {
  const { bucket } = key;
  let taken = 0;
  let next = 0;
  for (let w = mem.getU32(bucket + FutexBucket.first); w !== 0 && taken < count; w = next) {
    next = mem.getU32(w + FutexWaiter.next);
    if (!matches(mem, w, key) || (mem.getU32(w + FutexWaiter.bitset) & bitset) === 0) continue;
    due.push(mem.getU32(w + FutexWaiter.thread));
    unlinkLocked(mem, bucket, w);
    mem.atomicAdd(bucket + FutexBucket.waiters, -1);
    mem.atomicStore(w + FutexWaiter.bucket, 0);
    taken++;
  }
  return taken;
}

/**
 * Wakes the threads taken, with no bucket locked: a wake-up takes longer than all the rest. A thread may be gone by now;
 * its record is never anything but a Thread, so a late unpark does no harm.
 */
function wakeDue(mem: SharedMemory): void {
  for (const thread of due) unpark(mem, thread);
  due.length = 0;
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

function lockTwo(mem: SharedMemory, a: number, b: number, owner: number): void {
  lockMutex(mem, Math.min(a, b) + FutexBucket.lock, owner);
  if (a !== b) lockMutex(mem, Math.max(a, b) + FutexBucket.lock, owner);
}

function unlockTwo(mem: SharedMemory, a: number, b: number, owner: number): void {
  unlockMutex(mem, a + FutexBucket.lock, owner);
  if (a !== b) unlockMutex(mem, b + FutexBucket.lock, owner);
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
    const woken = wakeCount === 0 ? 0 : takeLocked(mem, from, wakeCount, ~0);
    let next = 0;
    for (let w = mem.getU32(from.bucket + FutexBucket.first); w !== 0 && moved < requeueCount; w = next) {
      next = mem.getU32(w + FutexWaiter.next);
      if (!matches(mem, w, from)) continue;
      moved++;
      mem.setU32(w + FutexWaiter.space, to.space);
      mem.setU32(w + FutexWaiter.low, to.low);
      mem.setI32(w + FutexWaiter.high, to.high);
      if (from.bucket === to.bucket) continue;
      unlinkLocked(mem, from.bucket, w);
      mem.atomicAdd(to.bucket + FutexBucket.waiters, 1);
      mem.atomicAdd(from.bucket + FutexBucket.waiters, -1);
      appendLocked(mem, to.bucket, w);
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
    let woken = takeLocked(mem, key, Math.max(wakeCount, 1), ~0);
    if (wakeOpCompares(comparison, old, compareWith))
      woken += takeLocked(mem, key2, Math.max(wakeCount2, 1), ~0);
    return woken;
  } finally {
    unlockTwo(mem, key.bucket, key2.bucket, thread);
    wakeDue(mem);
  }
}
