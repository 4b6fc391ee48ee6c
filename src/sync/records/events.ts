import { Mutex } from '../mutex.js';
import { embedded, pointer, record } from '../record.js';
import { WaitQueue } from '../waitQueue.js';

/**
 * What something that can be polled (an end of a pipe, an eventfd, an epoll set) has to tell: threads that wait for it
 * and epoll entries that watch it. See kernel/files/events.ts.
 */
export const EventSource = record({
  /** Threads blocked in read, write, poll or epoll_wait. */
  waiters: embedded(WaitQueue),
  /** Guards `watches`. Nests in the direction of epoll nesting only, which has no cycles. */
  watchLock: embedded(Mutex),
  /** First EpollItem (linked by EpollItem.nextOfSource); watchLock, read atomically. */
  watches: pointer,
  /** First OpenFile with O_ASYNC (linked by OpenFile.nextAsync); watchLock, read atomically. */
  asyncs: pointer,
});
