import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { monotonicNow, parkTicket } from '../../sync/park.js';
import { Epoll, EpollItem } from '../../sync/records/epoll.js';
import { EventSource } from '../../sync/records/events.js';
import { FilesGlobal } from '../../sync/records/files.js';
import { FILE_EPOLL, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { joinQueue, leaveQueue } from '../../sync/waitQueue.js';
import { EEXIST, EINTR, EINVAL, ELOOP, ENOENT, EPERM } from '../errno.js';
import { keepNode } from '../leftCall.js';
import { STAYS, type ThreadContext } from '../threadContext.js';
import { parkInCall } from '../waiting.js';
import {
  appendReadyLocked,
  EPOLLET,
  EPOLLEXCLUSIVE,
  EPOLLONESHOT,
  EPOLLWAKEUP,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLOUT,
  READABLE,
  signalEvents,
  unwatchSource,
  watchSource,
} from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { filesGlobal } from './filesGlobal.js';
import { createOpenFile, onRelease, operationsOf, registerKind } from './openFile.js';
import { O_RDWR } from './openFlags.js';

/**
 * epoll: a file that has something to tell puts its entries on the ready lists of the sets that watch it
 * (events.ts); epoll_wait takes entries from that list and asks each file what holds now. Level-triggered entries go
 * back on the list when they were reported, edge-triggered ones wait for the next event.
 *
 * Locks: FilesGlobal.epollLock (topology) → EventSource.watchLock → Epoll.lock, and along nested sets downwards.
 */

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
/** Bits of `events` that are flags rather than events. */
const FLAGS = (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE) >>> 0;
/** What may go along with EPOLLEXCLUSIVE. */
const EXCLUSIVE_OK = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
/** Sets within sets within … at most this deep. */
const MAX_NESTING = 5;

/** An open file on a new, empty set. */
export function createEpoll(mem: SharedMemory, owner: number): number {
  const epoll = allocateBlock(mem, Epoll.SIZE, owner);
  const file = createOpenFile(
    mem,
    { kind: FILE_EPOLL, flags: O_RDWR, path: 'anon_inode:[eventpoll]', object: epoll },
    owner,
  );
  mem.setU32(epoll + Epoll.file, file);
  return file;
}

/** Says whether the open file is an epoll set. */
export function isEpoll(mem: SharedMemory, file: number): boolean {
  return mem.getU32(file + OpenFile.kind) === FILE_EPOLL;
}

function epollOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

/** What epoll_ctl says of a descriptor. */
export interface EpollInterest {
  readonly events: number;
  readonly dataLow: number;
  readonly dataHigh: number;
}

/**
 * epoll_ctl(2) on set `set` for `file`, which is open as descriptor `fd`. The caller holds references to both. Returns 0
 * or −errno.
 */
export function controlEpoll(
  t: ThreadContext,
  set: number,
  operation: number,
  fd: number,
  file: number,
  interest: EpollInterest,
): number {
  const { mem, thread } = t;
  const epoll = epollOf(mem, set);
  const operations = operationsOf(mem, file);
  if (operations.eventSource === undefined) return -EPERM;
  if (set === file) return -EINVAL;
  if (operation < EPOLL_CTL_ADD || operation > EPOLL_CTL_MOD) return -EINVAL;
  const exclusive = (interest.events & EPOLLEXCLUSIVE) !== 0;
  if (exclusive && operation === EPOLL_CTL_MOD) return -EINVAL;
  if (
    exclusive &&
    operation === EPOLL_CTL_ADD &&
    (isEpoll(mem, file) || (interest.events & ~EXCLUSIVE_OK) !== 0)
  )
    return -EINVAL;
  const topology = filesGlobal(mem, thread) + FilesGlobal.epollLock;
  lockMutex(mem, topology, thread);
  try {
    let item = mem.getU32(file + OpenFile.epollItems);
    while (
      item !== 0 &&
      (mem.getU32(item + EpollItem.epoll) !== epoll || mem.getI32(item + EpollItem.fd) !== fd)
    )
      item = mem.getU32(item + EpollItem.nextOfFile);
    if (operation === EPOLL_CTL_ADD) {
      if (item !== 0) return -EEXIST;
      if (isEpoll(mem, file)) {
        const below = nesting(mem, epollOf(mem, file), epoll, 1);
        if (below + 1 + setsAbove(mem, set) > MAX_NESTING) return -ELOOP;
      }
      item = addItem(mem, epoll, fd, file, operations, thread);
    } else if (item === 0) return -ENOENT;
    else if (operation === EPOLL_CTL_MOD && (mem.getU32(item + EpollItem.events) & EPOLLEXCLUSIVE) !== 0)
      return -EINVAL;
    if (operation === EPOLL_CTL_DEL) {
      removeItem(mem, item, thread);
      return 0;
    }
    withMutex(mem, epoll + Epoll.lock, thread, () => {
      mem.setU32(item + EpollItem.dataLow, interest.dataLow);
      mem.setU32(item + EpollItem.dataHigh, interest.dataHigh);
      // ERR and HUP are always of interest; they also mark the entry as armed.
      mem.atomicStore(item + EpollItem.events, interest.events | POLLERR | POLLHUP);
      mem.f64[(item + EpollItem.reported) >>> 3] = -1;
      if (
        (readiness(mem, item, thread) & interest.events) !== 0 ||
        readiness(mem, item, thread) & (POLLERR | POLLHUP)
      )
        appendReadyLocked(mem, epoll, item);
    });
  } finally {
    unlockMutex(mem, topology, thread);
  }
  if (interest.events & READABLE) operations.interest?.(t, file);
  if (mem.atomicLoad(epoll + Epoll.readyFirst) !== 0)
    signalEvents(mem, epoll + Epoll.source, READABLE, thread);
  else if (operations.deadline !== undefined) signalEvents(mem, epoll + Epoll.source, 0, thread);
  return 0;
}

/** Depth of `epoll`'s nested sets; beyond MAX_NESTING when `forbidden` is among them. epollLock is held. */
function nesting(mem: SharedMemory, epoll: number, forbidden: number, depth: number): number {
  if (epoll === forbidden || depth > MAX_NESTING) return MAX_NESTING + 1;
  let deepest = depth;
  for (let i = mem.getU32(epoll + Epoll.items); i !== 0; i = mem.getU32(i + EpollItem.nextOfEpoll)) {
    const file = mem.getU32(i + EpollItem.file);
    if (isEpoll(mem, file))
      deepest = Math.max(deepest, nesting(mem, epollOf(mem, file), forbidden, depth + 1));
  }
  return deepest;
}

/** How deep a set lies within others. epollLock is held. */
function setsAbove(mem: SharedMemory, set: number): number {
  let most = 0;
  for (let i = mem.getU32(set + OpenFile.epollItems); i !== 0; i = mem.getU32(i + EpollItem.nextOfFile)) {
    most = Math.max(most, 1 + setsAbove(mem, mem.getU32(mem.getU32(i + EpollItem.epoll) + Epoll.file)));
  }
  return most;
}

function addItem(
  mem: SharedMemory,
  epoll: number,
  fd: number,
  file: number,
  operations: FileOperations,
  owner: number,
): number {
  const item = allocateBlock(mem, EpollItem.SIZE, owner);
  mem.setU32(item + EpollItem.epoll, epoll);
  mem.setU32(item + EpollItem.file, file);
  mem.setI32(item + EpollItem.fd, fd);
  mem.setU32(item + EpollItem.timed, operations.deadline === undefined ? 0 : 1);
  mem.setU32(item + EpollItem.nextOfFile, mem.getU32(file + OpenFile.epollItems));
  mem.setU32(file + OpenFile.epollItems, item);
  withMutex(mem, epoll + Epoll.lock, owner, () => {
    const first = mem.getU32(epoll + Epoll.items);
    mem.setU32(item + EpollItem.nextOfEpoll, first);
    if (first !== 0) mem.setU32(first + EpollItem.previousOfEpoll, item);
    mem.setU32(epoll + Epoll.items, item);
    if (operations.deadline !== undefined)
      mem.setI32(epoll + Epoll.timedItems, mem.getI32(epoll + Epoll.timedItems) + 1);
  });
  const source = operations.eventSource?.(mem, file) ?? 0;
  mem.setU32(item + EpollItem.source, source);
  if (source !== 0) watchSource(mem, source, item, owner);
  return item;
}

/** Takes an entry out of its set, its file and its source. epollLock is held. */
function removeItem(mem: SharedMemory, item: number, owner: number): void {
  const source = mem.getU32(item + EpollItem.source);
  if (source !== 0) unwatchSource(mem, source, item, owner);
  const epoll = mem.getU32(item + EpollItem.epoll);
  withMutex(mem, epoll + Epoll.lock, owner, () => {
    const next = mem.getU32(item + EpollItem.nextOfEpoll);
    const previous = mem.getU32(item + EpollItem.previousOfEpoll);
    if (next !== 0) mem.setU32(next + EpollItem.previousOfEpoll, previous);
    if (previous !== 0) mem.setU32(previous + EpollItem.nextOfEpoll, next);
    else mem.setU32(epoll + Epoll.items, next);
    if (mem.getU32(item + EpollItem.timed))
      mem.setI32(epoll + Epoll.timedItems, mem.getI32(epoll + Epoll.timedItems) - 1);
    if (mem.getU32(item + EpollItem.ready) !== 0) removeReadyLocked(mem, epoll, item);
  });
  const file = mem.getU32(item + EpollItem.file);
  let link = file + OpenFile.epollItems;
  while (mem.getU32(link) !== item) link = mem.getU32(link) + EpollItem.nextOfFile;
  mem.setU32(link, mem.getU32(item + EpollItem.nextOfFile));
  freeBlock(mem, item, owner);
}

function removeReadyLocked(mem: SharedMemory, epoll: number, item: number): void {
  let previous = 0;
  let at = mem.getU32(epoll + Epoll.readyFirst);
  while (at !== item) {
    previous = at;
    at = mem.getU32(at + EpollItem.nextReady);
  }
  const next = mem.getU32(item + EpollItem.nextReady);
  if (previous === 0) mem.atomicStore(epoll + Epoll.readyFirst, next);
  else mem.setU32(previous + EpollItem.nextReady, next);
  if (next === 0) mem.setU32(epoll + Epoll.readyLast, previous);
  mem.setU32(item + EpollItem.ready, 0);
}

/** What holds of an entry's file now. The file cannot go away: its release waits for Epoll.lock or epollLock. */
function readiness(mem: SharedMemory, item: number, owner: number): number {
  const file = mem.getU32(item + EpollItem.file);
  return operationsOf(mem, file).poll?.(mem, file, owner) ?? READABLE;
}

/** Puts timers that have expired on the ready list; returns when the next one will. Epoll.lock is held. */
function expireTimers(mem: SharedMemory, epoll: number, owner: number): number {
  let next = Infinity;
  if (mem.getI32(epoll + Epoll.timedItems) === 0) return next;
  const now = monotonicNow();
  for (let i = mem.getU32(epoll + Epoll.items); i !== 0; i = mem.getU32(i + EpollItem.nextOfEpoll)) {
    if (mem.getU32(i + EpollItem.timed) === 0 || mem.getU32(i + EpollItem.events) === 0) continue;
    const file = mem.getU32(i + EpollItem.file);
    const deadline = operationsOf(mem, file).deadline?.(mem, file, owner) ?? Infinity;
    if (deadline > now) {
      next = Math.min(next, deadline);
      continue;
    }
    const edge = (mem.getU32(i + EpollItem.events) & EPOLLET) !== 0;
    if (edge && mem.f64[(i + EpollItem.reported) >>> 3] === deadline) continue;
    mem.f64[(i + EpollItem.reported) >>> 3] = deadline;
    appendReadyLocked(mem, epoll, i);
  }
  return next;
}

/** An event as epoll_wait reports it. */
export type ReportedEvent = EpollInterest;

/** Takes up to `max` events off the ready list. */
function collect(
  mem: SharedMemory,
  epoll: number,
  max: number,
  owner: number,
): { events: ReportedEvent[]; next: number } {
  return withMutex(mem, epoll + Epoll.lock, owner, () => {
    const events: ReportedEvent[] = [];
    const again: number[] = [];
    const next = expireTimers(mem, epoll, owner);
    while (events.length < max) {
      const item = mem.getU32(epoll + Epoll.readyFirst);
      if (item === 0) break;
      removeReadyLocked(mem, epoll, item);
      const wanted = mem.getU32(item + EpollItem.events);
      const bits = readiness(mem, item, owner) & wanted & ~FLAGS;
      if (bits === 0) continue;
      events.push({
        events: bits,
        dataLow: mem.getU32(item + EpollItem.dataLow),
        dataHigh: mem.getU32(item + EpollItem.dataHigh),
      });
      if (wanted & EPOLLONESHOT) mem.atomicStore(item + EpollItem.events, 0);
      else if ((wanted & EPOLLET) === 0) again.push(item);
    }
    for (const item of again) appendReadyLocked(mem, epoll, item);
    return { events, next };
  });
}

/**
 * epoll_wait(2): the events of set `set`, at most `max`, waiting for the first until `deadline` (monotonic milliseconds;
 * −Infinity: not at all). An array (empty: the time is over), or −EINTR.
 */
export function waitEpoll(
  t: ThreadContext,
  set: number,
  max: number,
  deadline: number,
): ReportedEvent[] | number {
  const { mem, thread } = t;
  const epoll = epollOf(mem, set);
  const first = collect(mem, epoll, max, thread);
  if (first.events.length > 0 || deadline === -Infinity) return first.events;
  const node = joinQueue(mem, epoll + Epoll.source + EventSource.waiters, thread);
  try {
    for (;;) {
      const ticket = parkTicket(mem, thread);
      const { events, next } = collect(mem, epoll, max, thread);
      if (events.length > 0) return events;
      if (t.signalPending()) return -EINTR;
      if (!parkInCall(t, ticket, Math.min(deadline, next)) && monotonicNow() >= deadline) {
        return collect(mem, epoll, max, thread).events;
      }
    }
  } finally {
    if (t.leaving === STAYS) leaveQueue(mem, node);
    else keepNode(t, node);
  }
}

const epollOperations: FileOperations = {
  poll(mem, file, owner) {
    const epoll = epollOf(mem, file);
    return withMutex(mem, epoll + Epoll.lock, owner, () => {
      expireTimers(mem, epoll, owner);
      let item = mem.getU32(epoll + Epoll.readyFirst);
      while (item !== 0) {
        const next = mem.getU32(item + EpollItem.nextReady);
        const wanted = mem.getU32(item + EpollItem.events);
        if ((readiness(mem, item, owner) & wanted & ~FLAGS) !== 0) return READABLE;
        removeReadyLocked(mem, epoll, item);
        item = next;
      }
      return 0;
    });
  },
  deadline(mem, file, owner) {
    const epoll = epollOf(mem, file);
    return withMutex(mem, epoll + Epoll.lock, owner, () => expireTimers(mem, epoll, owner));
  },
  eventSource(mem, file) {
    return epollOf(mem, file) + Epoll.source;
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    const epoll = epollOf(mem, file);
    withMutex(mem, filesGlobal(mem, owner) + FilesGlobal.epollLock, owner, () => {
      for (;;) {
        const item = mem.getU32(epoll + Epoll.items);
        if (item === 0) break;
        removeItem(mem, item, owner);
      }
    });
    freeBlock(mem, epoll, owner);
  },
};

registerKind(FILE_EPOLL, epollOperations);

onRelease((mem, file, owner) => {
  if (mem.getU32(file + OpenFile.epollItems) === 0) return;
  withMutex(mem, filesGlobal(mem, owner) + FilesGlobal.epollLock, owner, () => {
    for (;;) {
      const item = mem.getU32(file + OpenFile.epollItems);
      if (item === 0) return;
      removeItem(mem, item, owner);
    }
  });
});
