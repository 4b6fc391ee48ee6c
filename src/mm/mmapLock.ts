import type { Caller } from '../memory/caller.js';
import {
  assertLocked,
  holdsMutex,
  initMutex,
  LockAssertionError,
  lockMutexRecursive,
  unlockMutex,
} from '../sync/mutex.js';
import { Mm } from '../sync/records/mm.js';

/** The mmap mutex of the caller's address space. Recursive; page faults do not take it. */

/** Takes the mmap mutex, or takes it once more. KERNEL mode. */
export function mmapLock(c: Caller): void {
  lockMutexRecursive(c.mem, c.mm + Mm.mmapLock, c.thread);
}

/** Gives one level back. Throws LockAssertionError when the caller does not hold it. */
export function mmapUnlock(c: Caller): void {
  unlockMutex(c.mem, c.mm + Mm.mmapLock, c.thread);
}

/** Whether the caller holds the mmap mutex. */
export function haveMmapLock(c: Caller): boolean {
  return holdsMutex(c.mem, c.mm + Mm.mmapLock, c.thread);
}

/** Before fork: the caller must not hold the mutex (LockAssertionError) and holds it afterwards. */
export function mmapForkStart(c: Caller): void {
  if (haveMmapLock(c)) throw new LockAssertionError('fork while holding the mmap mutex');
  mmapLock(c);
}

/** After fork: the parent gives the mutex back; with `child`, `c.mm` is the new address space and its mutex is made new. */
export function mmapForkEnd(c: Caller, child: boolean): void {
  if (child) {
    initMutex(c.mem, c.mm + Mm.mmapLock);
    return;
  }
  assertLocked(c.mem, c.mm + Mm.mmapLock, c.thread);
  mmapUnlock(c);
}
