import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { Epoll, EpollItem } from '../../sync/records/epoll.js';
import { EventSource } from '../../sync/records/events.js';
import { OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { WaitQueue, wakeQueue } from '../../sync/waitQueue.js';

/** poll(2) and epoll(7) event bits (include/uapi/linux/eventpoll.h; the poll bits are the same numbers). */
export const POLLIN = 0x1;
export const POLLPRI = 0x2;
export const POLLOUT = 0x4;
export const POLLERR = 0x8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;
export const POLLRDNORM = 0x40;
export const POLLRDBAND = 0x80;
export const POLLWRNORM = 0x100;
export const POLLWRBAND = 0x200;
export const POLLMSG = 0x400;
export const POLLRDHUP = 0x2000;
export const EPOLLEXCLUSIVE = 1 << 28;
export const EPOLLWAKEUP = 1 << 29;
export const EPOLLONESHOT = 1 << 30;
export const EPOLLET = 0x8000_0000;

/** What a readable, and what a writable file reports. */
export const READABLE = POLLIN | POLLRDNORM;
export const WRITABLE = POLLOUT | POLLWRNORM;

/**
 * Something has happened at `source`: wakes the threads that wait there, and puts the epoll entries that watch it for
 * any of `mask` on the ready lists of their sets. The caller has made the change visible and holds no lock that epoll
 * takes (Pipe.lock and the like must have been given back).
 */
export function signalEvents(mem: SharedMemory, source: number, mask: number, owner: number): void {
  wakeQueue(mem, source + EventSource.waiters, owner);
  if (mem.atomicLoad(source + EventSource.asyncs) !== 0) signalAsync(mem, source, mask, owner);
  if (mem.atomicLoad(source + EventSource.watches) === 0) return;
  lockMutex(mem, source + EventSource.watchLock, owner);
  // Of the sets that want to be told alone (EPOLLEXCLUSIVE) one is that has somebody waiting.
  let told = false;
  try {
    for (
      let item = mem.getU32(source + EventSource.watches);
      item !== 0;
      item = mem.getU32(item + EpollItem.nextOfSource)
    ) {
      const wanted = mem.getU32(item + EpollItem.events);
      if (wanted === 0 || ((wanted | POLLERR | POLLHUP) & mask) === 0) continue;
      const epoll = mem.getU32(item + EpollItem.epoll);
      if (wanted & EPOLLEXCLUSIVE) {
        if (told) continue;
        told = mem.atomicLoad(epoll + Epoll.source + EventSource.waiters + WaitQueue.first) !== 0;
      }
      lockMutex(mem, epoll + Epoll.lock, owner);
      appendReadyLocked(mem, epoll, item);
      unlockMutex(mem, epoll + Epoll.lock, owner);
      signalEvents(mem, epoll + Epoll.source, READABLE, owner);
    }
  } finally {
    unlockMutex(mem, source + EventSource.watchLock, owner);
  }
}

/** Puts the item at the end of its set's ready list, unless it is there. Epoll.lock is held. */
export function appendReadyLocked(mem: SharedMemory, epoll: number, item: number): void {
  if (mem.getU32(item + EpollItem.ready) !== 0) return;
  mem.setU32(item + EpollItem.ready, 1);
  mem.setU32(item + EpollItem.nextReady, 0);
  const last = mem.getU32(epoll + Epoll.readyLast);
  if (last !== 0) mem.setU32(last + EpollItem.nextReady, item);
  // Atomic, because epoll's own readiness is looked at without the lock.
  else mem.atomicStore(epoll + Epoll.readyFirst, item);
  mem.setU32(epoll + Epoll.readyLast, item);
}

/** Makes `item` hear of the source's events. */
export function watchSource(mem: SharedMemory, source: number, item: number, owner: number): void {
  lockMutex(mem, source + EventSource.watchLock, owner);
  pushLocked(mem, source + EventSource.watches, item, EpollItem.nextOfSource);
  unlockMutex(mem, source + EventSource.watchLock, owner);
}

/** Ends watchSource. */
export function unwatchSource(mem: SharedMemory, source: number, item: number, owner: number): void {
  lockMutex(mem, source + EventSource.watchLock, owner);
  unlinkLocked(mem, source + EventSource.watches, item, EpollItem.nextOfSource);
  unlockMutex(mem, source + EventSource.watchLock, owner);
}

/** Puts a record in front of a source's list; `next` is the record's link. EventSource.watchLock is held. */
function pushLocked(mem: SharedMemory, first: number, record: number, next: number): void {
  mem.setU32(record + next, mem.getU32(first));
  // Atomic, because signalEvents looks for an empty list without the lock.
  mem.atomicStore(first, record);
}

/** Takes a record out of a source's list, if it is there. EventSource.watchLock is held. */
function unlinkLocked(mem: SharedMemory, first: number, record: number, next: number): void {
  let link = first;
  while (mem.getU32(link) !== 0 && mem.getU32(link) !== record) link = mem.getU32(link) + next;
  if (mem.getU32(link) === record) mem.atomicStore(link, mem.getU32(record + next));
}

/** Sends a signal about a source's event; the lock tree's outermost locks are taken. */
type AsyncSignal = (owner: number) => unknown;
let asyncHook: (mem: SharedMemory, file: number, mask: number) => AsyncSignal | undefined = () => undefined;

/** Sets who knows what signal an open file with O_ASYNC sends for an event (asyncSignals.ts). */
export function onAsync(hook: typeof asyncHook): void {
  asyncHook = hook;
}

/** Sends the signals of the source's files with O_ASYNC, with no lock held. */
function signalAsync(mem: SharedMemory, source: number, mask: number, owner: number): void {
  const signals: AsyncSignal[] = [];
  lockMutex(mem, source + EventSource.watchLock, owner);
  for (
    let file = mem.getU32(source + EventSource.asyncs);
    file !== 0;
    file = mem.getU32(file + OpenFile.nextAsync)
  ) {
    const signal = asyncHook(mem, file, mask);
    if (signal !== undefined) signals.push(signal);
  }
  unlockMutex(mem, source + EventSource.watchLock, owner);
  for (const signal of signals) signal(owner);
}

/** Makes an open file hear of the source's events by signals. */
export function addAsync(mem: SharedMemory, source: number, file: number, owner: number): void {
  lockMutex(mem, source + EventSource.watchLock, owner);
  unlinkLocked(mem, source + EventSource.asyncs, file, OpenFile.nextAsync);
  pushLocked(mem, source + EventSource.asyncs, file, OpenFile.nextAsync);
  unlockMutex(mem, source + EventSource.watchLock, owner);
}

/** Ends addAsync, if there was one. */
export function removeAsync(mem: SharedMemory, source: number, file: number, owner: number): void {
  lockMutex(mem, source + EventSource.watchLock, owner);
  unlinkLocked(mem, source + EventSource.asyncs, file, OpenFile.nextAsync);
  unlockMutex(mem, source + EventSource.watchLock, owner);
}
