import { loadU32 } from '../memory/userAccess.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { park, parkTicket } from '../sync/park.js';
import { FUTEX_PLAIN, FutexBucket, FutexWaiter } from '../sync/records/futex.js';
import { EAGAIN, ERESTARTSYS, ETIMEDOUT } from './errno.js';
import { appendLocked, type FutexKey, keyOf, setWaiterKey, waiterPriority, withdraw } from './futexQueue.js';
import type { ThreadContext } from './threadContext.js';

/** One of the words that futex_waitv(2) waits for. */
export interface WaitedWord {
  readonly va: number;
  readonly expected: number;
  readonly shared: boolean;
}

/** The most words of one wait. */
export const FUTEX_WAITV_MAX = 128;

/**
 * futex_waitv(2): waits for any of several words until `deadline` (monotonic milliseconds); kernel/futex/waitwake.c,
 * futex_wait_multiple. Returns the place of a word that was woken, −EAGAIN when one has another value, −ETIMEDOUT or −ERESTARTSYS.
 */
export function futexWaitAny(t: ThreadContext, words: readonly WaitedWord[], deadline: number): number {
  const { mem, thread } = t;
  const keys = words.map(({ va, shared }) =>
    keyOf(t, va, shared, { space: 0, low: 0, high: 0, bucket: 0 } satisfies FutexKey),
  );
  const waiters = allocateBlock(mem, words.length * FutexWaiter.SIZE, thread);
  let queued = 0;
  /** Leaves all queues. Returns the last word that had been woken, or −1. */
  const leave = (): number => {
    let woken = -1;
    for (let i = 0; i < queued; i++) if (!withdraw(mem, waiters + i * FutexWaiter.SIZE, thread)) woken = i;
    queued = 0;
    return woken;
  };
  const instead = (result: number): number => {
    const woken = leave();
    return woken >= 0 ? woken : result;
  };
  try {
    let ticket = parkTicket(mem, thread);
    for (; queued < words.length; queued++)
      if (!queue(t, waiters + queued * FutexWaiter.SIZE, keys[queued], words[queued]))
        return instead(-EAGAIN);
    for (;;) {
      const woken = keys.some(
        (_, i) => mem.atomicLoad(waiters + i * FutexWaiter.SIZE + FutexWaiter.bucket) === 0,
      );
      if (woken) return leave();
      if (t.signalPending()) return instead(-ERESTARTSYS);
      if (!park(mem, thread, ticket, deadline, true)) return instead(-ETIMEDOUT);
      ticket = parkTicket(mem, thread);
    }
  } finally {
    leave();
    freeBlock(mem, waiters, thread);
  }
}

/** Queues a waiter, if the word is still what is expected. */
function queue(t: ThreadContext, waiter: number, key: FutexKey, word: WaitedWord): boolean {
  const { mem, thread } = t;
  mem.setU32(waiter + FutexWaiter.thread, thread);
  mem.setU32(waiter + FutexWaiter.bitset, 0xffff_ffff);
  mem.setU32(waiter + FutexWaiter.kind, FUTEX_PLAIN);
  mem.setU32(waiter + FutexWaiter.priority, waiterPriority(t));
  setWaiterKey(mem, waiter, key);
  mem.atomicAdd(key.bucket + FutexBucket.waiters, 1);
  let is = false;
  lockMutex(mem, key.bucket + FutexBucket.lock, thread);
  try {
    is = loadU32(t, word.va) === word.expected;
    if (is) appendLocked(mem, key.bucket, waiter);
    return is;
  } finally {
    unlockMutex(mem, key.bucket + FutexBucket.lock, thread);
    if (!is) mem.atomicAdd(key.bucket + FutexBucket.waiters, -1);
  }
}
