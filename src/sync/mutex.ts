import { assertLockOrder, checksLockOrder, noteLocked, noteUnlocked } from './lockOrder.js';
import { i32, record, u32 } from './record.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * A mutex in shared memory. `owner` tokens are nonzero: the address of the Thread record, or COORDINATOR.
 * It is usable from workers and from Node's main thread (where `Atomics.wait` is allowed).
 */
export const Mutex = record({
  /** 0 free, 1 held, 2 held and somebody waits. Atomic. */
  state: i32,
  /** Token of the holder, 0 when free. Written by the holder only. */
  owner: u32,
  /** How often the holder holds it (recursive locking). Holder only. */
  depth: u32,
  /** How often a locker had to wait in `Atomics.wait`. Atomic; statistics. */
  waits: u32,
  /** LOCK_RANK of lockOrder.ts, or 0; constant. */
  rank: u32,
});

/** The owner token of the main thread. */
export const COORDINATOR = 1;

const SPINS = 100;

/** A broken locking rule: a bug in Guesthouse, never in the guest. The counterpart of QEMU's `abort()`. */
export class LockAssertionError extends Error {
  override name = 'LockAssertionError';
}

/** Takes the mutex, waiting as long as it takes. Not recursive: taking it twice is an assertion failure. */
export function lockMutex(mem: SharedMemory, mutex: number, owner: number): void {
  if (mem.getU32(mutex + Mutex.owner) === owner)
    throw new LockAssertionError('mutex taken twice by one owner');
  if (checksLockOrder) assertLockOrder(mutex, mem.getU32(mutex + Mutex.rank), owner);
  if (mem.atomicCompareExchange(mutex + Mutex.state, 0, 1) !== 0) acquire(mem, mutex);
  if (checksLockOrder) noteLocked(mutex, mem.getU32(mutex + Mutex.rank), owner);
  mem.setU32(mutex + Mutex.owner, owner);
  mem.setU32(mutex + Mutex.depth, 1);
}

/** Takes the mutex, or takes it once more when `owner` already holds it. */
export function lockMutexRecursive(mem: SharedMemory, mutex: number, owner: number): void {
  if (mem.getU32(mutex + Mutex.owner) === owner) {
    mem.setU32(mutex + Mutex.depth, mem.getU32(mutex + Mutex.depth) + 1);
    return;
  }
  if (checksLockOrder) assertLockOrder(mutex, mem.getU32(mutex + Mutex.rank), owner);
  acquire(mem, mutex);
  if (checksLockOrder) noteLocked(mutex, mem.getU32(mutex + Mutex.rank), owner);
  mem.setU32(mutex + Mutex.owner, owner);
  mem.setU32(mutex + Mutex.depth, 1);
}

/** Takes the mutex if it is free; says whether it did. */
export function tryLockMutex(mem: SharedMemory, mutex: number, owner: number): boolean {
  if (mem.atomicCompareExchange(mutex + Mutex.state, 0, 1) !== 0) return false;
  if (checksLockOrder) noteLocked(mutex, mem.getU32(mutex + Mutex.rank), owner);
  mem.setU32(mutex + Mutex.owner, owner);
  mem.setU32(mutex + Mutex.depth, 1);
  return true;
}

/** Gives the mutex back (or one level of it). Unlocking from a non-owner is an assertion failure. */
export function unlockMutex(mem: SharedMemory, mutex: number, owner: number): void {
  if (checksLockOrder || mem.getU32(mutex + Mutex.owner) !== owner) assertLocked(mem, mutex, owner);
  const depth = mem.getU32(mutex + Mutex.depth) - 1;
  mem.setU32(mutex + Mutex.depth, depth);
  if (depth > 0) return;
  if (checksLockOrder) noteUnlocked(mutex, owner);
  mem.setU32(mutex + Mutex.owner, 0);
  if (mem.atomicExchange(mutex + Mutex.state, 0) === 2) {
    Atomics.notify(mem.i32, (mutex + Mutex.state) >>> 2, 1);
  }
}

/** Says whether `owner` holds the mutex. */
export function holdsMutex(mem: SharedMemory, mutex: number, owner: number): boolean {
  return mem.getU32(mutex + Mutex.owner) === owner && mem.atomicLoad(mutex + Mutex.state) !== 0;
}

/** Throws LockAssertionError unless `owner` holds the mutex. */
export function assertLocked(mem: SharedMemory, mutex: number, owner: number): void {
  if (!holdsMutex(mem, mutex, owner)) throw new LockAssertionError('mutex not held by the caller');
}

/** Runs `body` with the mutex held (not recursive) and gives it back however `body` ends. */
export function withMutex<T>(mem: SharedMemory, mutex: number, owner: number, body: () => T): T {
  lockMutex(mem, mutex, owner);
  try {
    return body();
  } finally {
    unlockMutex(mem, mutex, owner);
  }
}

/** Makes the mutex new: free, without history, at its place in the lock order. For records being created, and for the child of a fork. */
export function initMutex(mem: SharedMemory, mutex: number, rank = 0): void {
  if (checksLockOrder) noteUnlocked(mutex, 0);
  mem.setU32(mutex + Mutex.rank, rank);
  mem.setU32(mutex + Mutex.owner, 0);
  mem.setU32(mutex + Mutex.depth, 0);
  mem.setU32(mutex + Mutex.waits, 0);
  mem.atomicStore(mutex + Mutex.state, 0);
}

function acquire(mem: SharedMemory, mutex: number): void {
  const index = (mutex + Mutex.state) >>> 2;
  for (let spin = 0; spin < SPINS; spin++) {
    if (Atomics.compareExchange(mem.i32, index, 0, 1) === 0) return;
  }
  mem.atomicAdd(mutex + Mutex.waits, 1);
  while (Atomics.exchange(mem.i32, index, 2) !== 0) Atomics.wait(mem.i32, index, 2);
}
