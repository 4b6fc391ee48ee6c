import { Mutex } from '../mutex.js';
import { embedded, i32, pointer, record, u32 } from '../record.js';

/** One hash bucket of Machine.futexBuckets. */
export const FutexBucket = record({
  lock: embedded(Mutex),
  /** Threads queued or about to be; a waker that sees 0 needs no lock. Atomic. */
  waiters: i32,
  /** First and last FutexWaiter, oldest first; lock. */
  first: pointer,
  last: pointer,
});

/** One thread's place in a bucket. Every thread has one, made with it. */
export const FutexWaiter = record({
  thread: pointer,
  /** The bucket it is queued in, 0 when it has been woken. Atomic; written under the bucket's lock. */
  bucket: i32,
  next: pointer,
  previous: pointer,
  /** What it waits for: Mm record and guest address (private), or SharedObject and place in it (shared); see kernel/futex. */
  space: u32,
  low: u32,
  high: u32,
  bitset: u32,

  // --- Under the bucket's lock while it is queued, else the waiting thread's own. ---
  /** FUTEX_PLAIN … FUTEX_INHERITED. */
  kind: u32,
  /** Real-time priority of the thread when it began to wait. */
  priority: u32,
  /** FUTEX_LOCK: who holds the lock: its id, and its record, which may be another thread's by now. */
  ownerTid: u32,
  ownerThread: pointer,
  /** FUTEX_REQUEUE_LOCK: the lock that the waiter is to be moved to, as `space`, `low` and `high` name a word. */
  targetSpace: u32,
  targetLow: u32,
  targetHigh: u32,
});

/** Waits for the word to change. */
export const FUTEX_PLAIN = 0;
/** Waits for a priority-inheritance lock, which it is given by FUTEX_UNLOCK_PI. */
export const FUTEX_LOCK = 1;
/** Waits for the word, and will be moved to a lock (FUTEX_WAIT_REQUEUE_PI). */
export const FUTEX_REQUEUE_LOCK = 2;
/** Was FUTEX_LOCK, and the owner has died: has the lock, and is still queued until it has written that into the word. */
export const FUTEX_INHERITED = 3;
