import { SOCKET_LISTENING, Socket } from '../../sync/records/socket.js';
import { EAGAIN, EINVAL, EOPNOTSUPP, SyscallError } from '../errno.js';
import { WRITABLE } from '../files/events.js';
import type { ThreadContext } from '../threadContext.js';
import { isConnectionBased, signalSocket, stateOf, takeWaiting, waitOnSocket } from './socket.js';
import { interruptedResult, timeoutDeadline } from './socketTimeouts.js';

/**
 * accept(2): the oldest connection that waits at a listener, whose reference is the caller's. Throws SyscallError, for a signal
 * too.
 */
export function acceptSocket(t: ThreadContext, listener: number, noWait: boolean): number {
  const { mem, thread } = t;
  if (!isConnectionBased(mem, listener)) throw new SyscallError(EOPNOTSUPP);
  const deadline = timeoutDeadline(t, listener, Socket.receiveTimeout);
  for (;;) {
    if (stateOf(mem, listener) !== SOCKET_LISTENING) throw new SyscallError(EINVAL);
    const child = takeWaiting(mem, listener, thread);
    if (child !== 0) {
      // There is a place in the queue again.
      signalSocket(mem, listener, WRITABLE, thread);
      return child;
    }
    if (noWait) throw new SyscallError(EAGAIN);
    const ready = (): boolean =>
      mem.atomicLoad(listener + Socket.waiting) > 0 || stateOf(mem, listener) !== SOCKET_LISTENING;
    const outcome = waitOnSocket(t, listener, ready, { deadline });
    if (outcome === 'interrupted') throw new SyscallError(-interruptedResult(deadline));
    if (outcome === 'timed-out') throw new SyscallError(EAGAIN);
  }
}
