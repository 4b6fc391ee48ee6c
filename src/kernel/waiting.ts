import { threadsWaiting } from '../sync/hosts.js';
import { park, parkTicket } from '../sync/park.js';
import { joinQueue, leaveQueue } from '../sync/waitQueue.js';
import { flagsOf } from './files/openFile.js';
import { O_NONBLOCK } from './files/openFlags.js';
import { isLong, keepNode } from './leftCall.js';
import { STAYS, type ThreadContext } from './threadContext.js';

/**
 * Waiting in a system call. A thread keeps its worker while it waits, as long as nobody else needs it; when a thread waits for a
 * host, the call is left (leftCall.ts) and the worker goes on with that one: at once, or when sync/hosts.ts wakes the sleeping
 * thread for it. Calls that cannot be begun again, because
 * they have done something by then that they would do twice, say `stays`, or are made within `ThreadContext.keepHost`.
 */

/**
 * `park` in a call that may be begun again: false exactly when `deadline` (monotonic milliseconds) has passed. Throws what
 * `ThreadContext.leave` returns when the thread is to leave its host. No lock is held.
 */
export function parkInCall(t: ThreadContext, ticket: number, deadline = Infinity, soon = false): boolean {
  const { mem, thread, mayLeave } = t;
  if (mayLeave && threadsWaiting(mem) && isLong(deadline)) throw t.leave(ticket, deadline);
  return park(mem, thread, ticket, deadline, soon, mayLeave);
}

/**
 * O_NONBLOCK of an open file, for a call that is about to wait. One that has been waiting goes on, whatever the flag has become.
 */
export function mustNotWait(t: ThreadContext, file: number): boolean {
  return !t.resumed && (flagsOf(t.mem, file) & O_NONBLOCK) !== 0;
}

export type WaitOutcome = 'ready' | 'interrupted' | 'timed-out';

/** How to wait in a queue. */
export interface WaitOptions {
  /** When to give up, monotonic milliseconds. */
  readonly deadline?: number;
  /** Bytes that the call has done: `ThreadContext.takeProgress` says so when it is begun again. */
  readonly progress?: number;
  /** The call cannot be begun again: the thread keeps its host. */
  readonly stays?: boolean;
  /** No signal ends the wait. */
  readonly uninterruptible?: boolean;
}

/**
 * Waits in `queue` until `ready()` holds, a signal is pending, or the deadline passes. `ready` runs without any lock. Unless the
 * call stays, what the queue belongs to must stay as long as the call's descriptors are open.
 */
export function waitInQueue(
  t: ThreadContext,
  queue: number,
  ready: () => boolean,
  { deadline = Infinity, progress = 0, stays = false, uninterruptible = false }: WaitOptions = {},
): WaitOutcome {
  if (ready()) return 'ready';
  const { mem, thread } = t;
  const node = joinQueue(mem, queue, thread);
  try {
    for (;;) {
      const ticket = parkTicket(mem, thread);
      if (ready()) return 'ready';
      if (!uninterruptible && t.signalPending()) return 'interrupted';
      t.progress = progress;
      const woken = stays ? park(mem, thread, ticket, deadline, true) : parkInCall(t, ticket, deadline, true);
      if (!woken) return ready() ? 'ready' : 'timed-out';
    }
  } finally {
    if (t.leaving === STAYS) leaveQueue(mem, node);
    else keepNode(t, node);
  }
}
