import { EINTR, ERESTARTSYS } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';

/** When a call that waits at a socket gives up: SO_RCVTIMEO or SO_SNDTIMEO (`field`), counted from now. Infinity: never. */
export function timeoutDeadline(t: ThreadContext, socket: number, field: number): number {
  const milliseconds = t.mem.f64[(socket + field) >>> 3];
  return milliseconds === 0 ? Infinity : t.deadlineIn(milliseconds);
}

/** What a call answers that a signal has interrupted: with a timeout it is not restarted (man 7 signal). */
export function interruptedResult(deadline: number): number {
  return deadline === Infinity ? -ERESTARTSYS : -EINTR;
}
