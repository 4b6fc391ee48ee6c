import { EventSource } from '../../sync/records/events.js';
import { Socket } from '../../sync/records/socket.js';
import type { ThreadContext } from '../threadContext.js';
import { waitInQueue } from '../waiting.js';
import { askHost, type HostOperation } from './hostRequests.js';

const PENDING = -1;

/** Has the main thread do something with a socket and waits for it, whatever signals come: its errno, 0 for success. */
export function awaitHost(t: ThreadContext, socket: number, operation: HostOperation, argument = 0): number {
  const { mem, thread } = t;
  mem.atomicStore(socket + Socket.hostResult, PENDING);
  askHost(mem, socket, operation, argument, thread);
  waitInQueue(
    t,
    socket + Socket.source + EventSource.waiters,
    () => mem.atomicLoad(socket + Socket.hostResult) !== PENDING,
    { stays: true, uninterruptible: true },
  );
  return mem.atomicLoad(socket + Socket.hostResult);
}
