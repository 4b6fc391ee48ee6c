import { Thread, TIER_INTERPRETER, TIER_WAITING } from './records/thread.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Parking a guest thread. Every blocking system call waits here and nowhere else, so that whatever ends the wait (a
 * signal, a futex wake, data in a pipe, a timer, a child's end) ends it the same way:
 *
 *   for (;;) {
 *     const ticket = parkTicket(mem, thread);
 *     if (whatWeWaitForIsTrue()) break;
 *     if (interruptedBySignal()) return -EINTR;
 *     if (!park(mem, thread, ticket, deadline)) return -ETIMEDOUT;
 *   }
 *
 * An unpark between taking the ticket and parking makes `park` return at once; wake-ups are therefore never lost, and
 * may be spurious. The thread must be in kernel mode (see safepoint.ts).
 */
export function parkTicket(mem: SharedMemory, thread: number): number {
  return mem.atomicLoad(thread + Thread.parkWord);
}

/**
 * Sleeps until somebody unparks the thread after `ticket` was taken, or until `deadline` (in `monotonicNow()`
 * milliseconds; Infinity for none). Returns false exactly when the deadline has passed.
 */
export function park(mem: SharedMemory, thread: number, ticket: number, deadline = Infinity): boolean {
  const timeout = deadline === Infinity ? Infinity : deadline - monotonicNow();
  if (timeout <= 0) return false;
  mem.setU32(thread + Thread.tier, TIER_WAITING);
  const how = Atomics.wait(mem.i32, (thread + Thread.parkWord) >>> 2, ticket, timeout);
  mem.setU32(thread + Thread.tier, TIER_INTERPRETER);
  return how !== 'timed-out';
}

/** Wakes the thread, or makes its next `park` with an older ticket return at once. */
export function unpark(mem: SharedMemory, thread: number): void {
  const index = (thread + Thread.parkWord) >>> 2;
  Atomics.add(mem.i32, index, 1);
  Atomics.notify(mem.i32, index);
}

/** CLOCK_MONOTONIC in milliseconds (fractional); the same clock in every worker. */
export function monotonicNow(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}
