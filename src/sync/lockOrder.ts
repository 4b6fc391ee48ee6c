import { LockAssertionError } from './mutex.js';

/**
 * The order in which the memory locks are taken: whoever holds one may take those with a higher rank. The page-table locks
 * of an address space are taken in the order of their addresses. Locks of rank 0 are in no order. See memory/README.md.
 */
export const LOCK_RANK = {
  mmap: 1,
  stop: 2,
  filePages: 3,
  pageTable: 4,
  object: 5,
  mmThreads: 6,
  frames: 7,
  heap: 8,
} as const;

const NAMES = ['', ...Object.keys(LOCK_RANK)];

interface Held {
  readonly mutex: number;
  readonly rank: number;
}

/** What each owner holds, as far as this worker has taken it and outside of the hot paths. */
const held = new Map<number, Held[]>();

/**
 * Whether the order is checked: in tests, by GUESTHOUSE_ASSERT_LOCKS=1, which the workers of a process inherit. Otherwise
 * a lock costs one look at this.
 */
export let checksLockOrder =
  (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env
    ?.GUESTHOUSE_ASSERT_LOCKS === '1';

/** Turns the check on or off; returns what it was. */
export function setLockOrderCheck(on: boolean): boolean {
  const before = checksLockOrder;
  checksLockOrder = on;
  held.clear();
  return before;
}

/** `owner` is about to take `mutex`, which it does not hold. Throws LockAssertionError when that breaks the order. */
export function assertLockOrder(mutex: number, rank: number, owner: number): void {
  const mine = held.get(owner) ?? [];
  for (const other of mine) {
    if (rank === 0 || other.rank === 0 || other.rank < rank) continue;
    // Those of two address spaces are never held at once: zapObjectPages goes from one to the next.
    if (other.rank === rank && rank === LOCK_RANK.pageTable && other.mutex < mutex) continue;
    throw new LockAssertionError(`${NAMES[rank]} lock taken under the ${NAMES[other.rank]} lock`);
  }
}

/** `owner` has taken `mutex`. */
export function noteLocked(mutex: number, rank: number, owner: number): void {
  const mine = held.get(owner);
  if (mine === undefined) held.set(owner, [{ mutex, rank }]);
  else mine.push({ mutex, rank });
}

/** `owner` has given `mutex` back, or (owner 0) it has been made new. */
export function noteUnlocked(mutex: number, owner: number): void {
  for (const [who, mine] of held) {
    if (owner !== 0 && who !== owner) continue;
    const at = mine.findLastIndex((one) => one.mutex === mutex);
    if (at >= 0) mine.splice(at, 1);
    if (mine.length === 0) held.delete(who);
  }
}
