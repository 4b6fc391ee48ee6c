import { FAULT_MAPERR, UserFault } from '../memory/caller.js';
import { MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { type MappingSnapshot, snapshotMapping } from '../memory/mappingTree.js';
import { allocateBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { unpark } from '../sync/park.js';
import { FUTEX_INHERITED, FutexBucket, FutexWaiter } from '../sync/records/futex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_SHARED } from '../sync/records/mapping.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { EINVAL, SyscallError } from './errno.js';
import type { ThreadContext } from './threadContext.js';

/**
 * The queues of futex(2). Waiters queue in hash buckets in shared memory, keyed by address space and address (private) or
 * by mapped object and place in it (shared), those of a higher real-time priority first. A bucket's lock is held over the
 * look at the futex word; reading the word enters GUEST mode, which is allowed because no thread in GUEST mode ever needs
 * a bucket. Lock order: buckets by ascending address, page-table and frame locks below them.
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
export const firstKey: FutexKey = { space: 0, low: 0, high: 0, bucket: 0 };
export const secondKey: FutexKey = { space: 0, low: 0, high: 0, bucket: 0 };

/**
 * The key of the futex word at `va`. Throws SyscallError EINVAL for a misaligned address, UserFault for a shared one that
 * cannot be read.
 */
export function keyOf(t: ThreadContext, va: number, shared: boolean, key: FutexKey): FutexKey {
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

/** Says whether the waiter waits for this word. */
export function matches(mem: SharedMemory, waiter: number, key: FutexKey): boolean {
  return (
    mem.getU32(waiter + FutexWaiter.low) === key.low &&
    mem.getU32(waiter + FutexWaiter.space) === key.space &&
    mem.getI32(waiter + FutexWaiter.high) === key.high
  );
}

/** Makes the waiter one for `key`; it is in no queue, or about to be moved to another. */
export function setWaiterKey(mem: SharedMemory, waiter: number, key: FutexKey): void {
  mem.setU32(waiter + FutexWaiter.space, key.space);
  mem.setU32(waiter + FutexWaiter.low, key.low);
  mem.setI32(waiter + FutexWaiter.high, key.high);
}

/** Queues the waiter behind those of its own or a higher priority. */
export function appendLocked(mem: SharedMemory, bucket: number, waiter: number): void {
  const priority = mem.getU32(waiter + FutexWaiter.priority);
  let previous = mem.getU32(bucket + FutexBucket.last);
  while (previous !== 0 && mem.getU32(previous + FutexWaiter.priority) < priority)
    previous = mem.getU32(previous + FutexWaiter.previous);
  const next = mem.getU32(previous === 0 ? bucket + FutexBucket.first : previous + FutexWaiter.next);
  mem.setU32(waiter + FutexWaiter.next, next);
  mem.setU32(waiter + FutexWaiter.previous, previous);
  mem.setU32(previous === 0 ? bucket + FutexBucket.first : previous + FutexWaiter.next, waiter);
  mem.setU32(next === 0 ? bucket + FutexBucket.last : next + FutexWaiter.previous, waiter);
  mem.atomicStore(waiter + FutexWaiter.bucket, bucket);
}

/** Takes a waiter out of its bucket's list; FutexWaiter.bucket is the caller's to set. */
export function unlinkLocked(mem: SharedMemory, bucket: number, waiter: number): void {
  const next = mem.getU32(waiter + FutexWaiter.next);
  const previous = mem.getU32(waiter + FutexWaiter.previous);
  if (next !== 0) mem.setU32(next + FutexWaiter.previous, previous);
  else mem.setU32(bucket + FutexBucket.last, previous);
  if (previous !== 0) mem.setU32(previous + FutexWaiter.next, next);
  else mem.setU32(bucket + FutexBucket.first, next);
}

/**
 * Takes the thread's waiter out of whatever bucket it is in by now (requeue may have moved it). Returns false when it
 * had been woken or has inherited what it waits for.
 */
export function withdraw(mem: SharedMemory, waiter: number, owner: number): boolean {
  for (;;) {
    const bucket = mem.atomicLoad(waiter + FutexWaiter.bucket) >>> 0;
    if (bucket === 0) return false;
    lockMutex(mem, bucket + FutexBucket.lock, owner);
    const here = mem.atomicLoad(waiter + FutexWaiter.bucket) >>> 0 === bucket;
    const leaves = here && mem.getU32(waiter + FutexWaiter.kind) !== FUTEX_INHERITED;
    if (leaves) {
      unlinkLocked(mem, bucket, waiter);
      mem.atomicStore(waiter + FutexWaiter.bucket, 0);
      mem.atomicAdd(bucket + FutexBucket.waiters, -1);
    }
    unlockMutex(mem, bucket + FutexBucket.lock, owner);
    if (here) return leaves;
  }
}

/** The first waiter of `key`, or 0; the bucket's lock is held. */
export function firstWaiterLocked(mem: SharedMemory, key: FutexKey): number {
  for (let w = mem.getU32(key.bucket + FutexBucket.first); w !== 0; w = mem.getU32(w + FutexWaiter.next))
    if (matches(mem, w, key)) return w;
  return 0;
}

/** Moves a waiter from one key to another; both buckets are locked. */
export function moveLocked(mem: SharedMemory, from: FutexKey, to: FutexKey, waiter: number): void {
  setWaiterKey(mem, waiter, to);
  if (from.bucket === to.bucket) return;
  unlinkLocked(mem, from.bucket, waiter);
  mem.atomicAdd(to.bucket + FutexBucket.waiters, 1);
  mem.atomicAdd(from.bucket + FutexBucket.waiters, -1);
  appendLocked(mem, to.bucket, waiter);
}

/** Locks the buckets of two keys, which may be the same one. */
export function lockTwo(mem: SharedMemory, a: number, b: number, owner: number): void {
  lockMutex(mem, Math.min(a, b) + FutexBucket.lock, owner);
  if (a !== b) lockMutex(mem, Math.max(a, b) + FutexBucket.lock, owner);
}

export function unlockTwo(mem: SharedMemory, a: number, b: number, owner: number): void {
  unlockMutex(mem, a + FutexBucket.lock, owner);
  if (a !== b) unlockMutex(mem, b + FutexBucket.lock, owner);
}

/** The priority that orders the calling thread among waiters: that of the real-time policies, 0 for all others. */
export function waiterPriority(t: ThreadContext): number {
  return t.mem.getU32(t.thread + Thread.schedulingPriority);
}

/** Threads taken out of their queues whose wake-up is due once the bucket's lock has been given back. */
export const due: number[] = [];

/** Takes a waiter off the queue of its bucket and notes that its thread is to be woken; the lock is held. */
export function releaseLocked(mem: SharedMemory, bucket: number, waiter: number): void {
  due.push(mem.getU32(waiter + FutexWaiter.thread));
  unlinkLocked(mem, bucket, waiter);
  mem.atomicAdd(bucket + FutexBucket.waiters, -1);
  // The last look at the record: its thread may use or free it from here on.
  mem.atomicStore(waiter + FutexWaiter.bucket, 0);
}

/**
 * Wakes the threads taken, with no bucket locked: a wake-up takes longer than all the rest. A thread may be gone by now;
 * its record is never anything but a Thread, so a late unpark does no harm.
 */
export function wakeDue(mem: SharedMemory): void {
  for (const thread of due) unpark(mem, thread);
  due.length = 0;
}
