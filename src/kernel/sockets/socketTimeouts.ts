import { monotonicNow } from '../../sync/park.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINTR, ERESTARTSYS } from '../errno.js';

/** When a call that waits at a socket gives up: SO_RCVTIMEO or SO_SNDTIMEO (`field`), counted from now. Infinity: never. */
export function timeoutDeadline(mem: SharedMemory, socket: number, field: number): number {
  const milliseconds = mem.f64[(socket + field) >>> 3];
  return milliseconds === 0 ? Infinity : monotonicNow() + milliseconds;
}

/** What a call answers that a signal has interrupted: with a timeout it is not restarted (man 7 signal). */
export function interruptedResult(deadline: number): number {
  return deadline === Infinity ? -ERESTARTSYS : -EINTR;
}
