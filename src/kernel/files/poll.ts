import { monotonicNow, parkTicket } from '../../sync/park.js';
import { EventSource } from '../../sync/records/events.js';
import { joinQueue, leaveQueue } from '../../sync/waitQueue.js';
import { EINTR } from '../errno.js';
import { keepNode } from '../leftCall.js';
import { STAYS, type ThreadContext } from '../threadContext.js';
import { parkInCall } from '../waiting.js';
import { POLLERR, POLLHUP, READABLE, WRITABLE } from './events.js';
import { operationsOf } from './openFile.js';

/** A file to be polled and the POLL* bits of interest; ERR and HUP always are. `file` is 0 for none. */
export interface PollRequest {
  readonly file: number;
  readonly events: number;
}

/** What holds of a file now, of what poll(2) can be asked. */
export function pollFile(t: ThreadContext, file: number): number {
  return operationsOf(t.mem, file).poll?.(t.mem, file, t.thread) ?? READABLE | WRITABLE;
}

/**
 * Waits until something of interest holds of one of the files, or `deadline` (monotonic milliseconds; −Infinity: do not
 * wait) passes. The caller holds references to the files. Returns the bits of each file (all 0: the time is over), or
 * −EINTR when a signal came first.
 */
export function pollFiles(
  t: ThreadContext,
  requests: readonly PollRequest[],
  deadline: number,
): number[] | number {
  const { mem, thread } = t;
  const look = (): { bits: number[]; any: boolean; next: number } => {
    let any = false;
    let next = Infinity;
    const bits = requests.map(({ file, events }) => {
      if (file === 0) return 0;
      const found = pollFile(t, file) & (events | POLLERR | POLLHUP);
      if (found !== 0) any = true;
      else next = Math.min(next, operationsOf(mem, file).deadline?.(mem, file, thread) ?? Infinity);
      return found;
    });
    return { bits, any, next };
  };
  const first = look();
  if (first.any || deadline === -Infinity) return first.bits;
  const nodes: number[] = [];
  try {
    for (const { file, events } of requests) {
      if (file === 0) continue;
      const operations = operationsOf(mem, file);
      const source = operations.eventSource?.(mem, file) ?? 0;
      if (source !== 0) nodes.push(joinQueue(mem, source + EventSource.waiters, thread));
      if (events & READABLE) operations.interest?.(t, file);
    }
    for (;;) {
      const ticket = parkTicket(mem, thread);
      const { bits, any, next } = look();
      if (any) return bits;
      if (t.signalPending()) return -EINTR;
      if (!parkInCall(t, ticket, Math.min(deadline, next)) && monotonicNow() >= deadline) {
        return look().bits;
      }
    }
  } finally {
    for (const node of nodes) {
      if (t.leaving === STAYS) leaveQueue(mem, node);
      else keepNode(t, node);
    }
  }
}
