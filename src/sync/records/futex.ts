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
});
