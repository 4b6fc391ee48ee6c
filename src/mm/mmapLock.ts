import type { Caller } from '../memory/caller.js';
import { hotPaths } from '../memory/hotPaths/hotPaths.js';
import { assertLockOrder, checksLockOrder, LOCK_RANK, noteLocked, noteUnlocked } from '../sync/lockOrder.js';
import { assertLocked, holdsMutex, initMutex, LockAssertionError, Mutex } from '../sync/mutex.js';
import { Mm } from '../sync/records/mm.js';

/** The mmap mutex of the caller's address space. Recursive; page faults do not take it. */

/** Takes the mmap mutex, or takes it once more. KERNEL mode. */
export function mmapLock(c: Caller): void {
  const { mem, mm, thread } = c;
  const lock = mm + Mm.mmapLock;
  if (mem.getU32(lock + Mutex.owner) !== thread) {
    if (checksLockOrder) assertLockOrder(lock, LOCK_RANK.mmap, thread);
    hotPaths(mem).lockMap(mm, thread);
    if (checksLockOrder) noteLocked(lock, LOCK_RANK.mmap, thread);
  } else mem.setU32(lock + Mutex.depth, mem.getU32(lock + Mutex.depth) + 1);
}

/** Gives one level back. Throws LockAssertionError when the caller does not hold it. */
export function mmapUnlock(c: Caller): void {
  const { mem, mm } = c;
  const lock = mm + Mm.mmapLock;
  assertLocked(mem, lock, c.thread);
  const depth = mem.getU32(lock + Mutex.depth);
  if (depth === 1) {
    if (checksLockOrder) noteUnlocked(lock, c.thread);
    hotPaths(mem).unlockMap(mm);
  } else mem.setU32(lock + Mutex.depth, depth - 1);
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
    initMutex(c.mem, c.mm + Mm.mmapLock, LOCK_RANK.mmap);
    return;
  }
  assertLocked(c.mem, c.mm + Mm.mmapLock, c.thread);
  mmapUnlock(c);
}
