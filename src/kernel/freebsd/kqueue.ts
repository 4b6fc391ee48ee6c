import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { Guest } from '../../sync/records/guest.js';
import { Knote, Kqueue } from '../../sync/records/kqueue.js';
import { FILE_KQUEUE, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CLOCK_MONOTONIC, realtimeOffset } from '../clock.js';
import { EBADF, EINVAL, ENOENT } from '../errno.js';
import {
  controlEpoll,
  createEpoll,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  waitEpoll,
} from '../files/epoll.js';
import { createEventFd, setEventFd } from '../files/eventFd.js';
import { EPOLLET, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP } from '../files/events.js';
import type { FileOperations } from '../files/fileOperations.js';
import { anonymousStatus } from '../files/fileStatus.js';
import { acquireFile, listDescriptors } from '../files/filesTable.js';
import { createOpenFile, operationsOf, registerKind, releaseOpenFile } from '../files/openFile.js';
import { O_RDWR } from '../files/openFlags.js';
import { createTimerFd, setTimerFd, takeExpirations } from '../files/timerFd.js';
import type { ThreadContext } from '../threadContext.js';

/**
 * kqueue(2) on the kernel's epoll: each knote is an entry of an epoll set, on the descriptor's file, or on an event or a
 * timer of its own. EVFILT_READ, EVFILT_WRITE, EVFILT_TIMER and EVFILT_USER are built.
 */
export const EVFILT_READ = -1;
export const EVFILT_WRITE = -2;
export const EVFILT_TIMER = -7;
export const EVFILT_USER = -11;

export const EV_ADD = 0x1;
export const EV_DELETE = 0x2;
export const EV_ENABLE = 0x4;
export const EV_DISABLE = 0x8;
export const EV_ONESHOT = 0x10;
export const EV_CLEAR = 0x20;
export const EV_RECEIPT = 0x40;
export const EV_DISPATCH = 0x80;
export const EV_ERROR = 0x4000;
export const EV_EOF = 0x8000;
const KEPT_FLAGS = EV_ONESHOT | EV_CLEAR | EV_DISPATCH;

const NOTE_TRIGGER = 0x0100_0000;
const NOTE_FFCTRLMASK = 0xc000_0000;
const NOTE_FFAND = 0x4000_0000;
const NOTE_FFOR = 0x8000_0000;
const NOTE_FFCOPY = 0xc000_0000;
const NOTE_FFLAGSMASK = 0x00ff_ffff;
const NOTE_SECONDS = 1;
const NOTE_MSECONDS = 2;
const NOTE_USECONDS = 4;
const NOTE_NSECONDS = 8;
const NOTE_ABSTIME = 16;

/** struct kevent. */
export interface Kevent {
  ident: number;
  filter: number;
  flags: number;
  fflags: number;
  data: number;
  udata: bigint;
}

/** An open file on a new kqueue of the caller's process. */
export function createKqueue({ mem, guest, thread: owner }: ThreadContext): number {
  const kqueue = allocateBlock(mem, Kqueue.SIZE, owner);
  mem.setU32(kqueue + Kqueue.pid, mem.getU32(guest + Guest.pid));
  mem.setU32(kqueue + Kqueue.set, createEpoll(mem, owner));
  return createOpenFile(mem, { kind: FILE_KQUEUE, flags: O_RDWR, path: 'kqueue', object: kqueue }, owner);
}

/** Whether the file is a kqueue of the caller's process; a forked child has none of its parent's. */
export function isKqueue({ mem, guest }: ThreadContext, file: number): boolean {
  if (mem.getU32(file + OpenFile.kind) !== FILE_KQUEUE) return false;
  return mem.getU32(kqueueOf(mem, file) + Kqueue.pid) === mem.getU32(guest + Guest.pid);
}

function kqueueOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

// --- knotes; Kqueue.lock is held ---

function findKnote(mem: SharedMemory, kqueue: number, matches: (knote: number) => boolean): number {
  let knote = mem.getU32(kqueue + Kqueue.knotes);
  while (knote !== 0 && !matches(knote)) knote = mem.getU32(knote + Knote.next);
  return knote;
}

function knoteOf(mem: SharedMemory, kqueue: number, ident: number, filter: number): number {
  return findKnote(
    mem,
    kqueue,
    (k) => mem.getU64(k + Knote.ident) === ident && mem.getI32(k + Knote.filter) === filter,
  );
}

/** Runs `body` on the file whose readiness a knote stands for; undefined when the descriptor is closed. */
function withSource<T>(t: ThreadContext, knote: number, body: (file: number) => T): T | undefined {
  const { mem, thread } = t;
  const own = mem.getU32(knote + Knote.source);
  if (own !== 0) return body(own);
  const file = acquireFile(mem, t.files, mem.getU64(knote + Knote.ident), thread);
  if (file === 0) return undefined;
  try {
    return body(file);
  } finally {
    releaseOpenFile(mem, file, thread);
  }
}

function eventsOf(filter: number, flags: number): number {
  const bits = filter === EVFILT_WRITE ? POLLOUT : POLLIN | POLLRDHUP;
  return flags & EV_CLEAR ? bits | EPOLLET : bits;
}

/** ADD, MOD or DEL of the knote's entry in the epoll set. Returns 0 or −errno. */
function control(t: ThreadContext, kqueue: number, knote: number, operation: number): number {
  const { mem } = t;
  const id = mem.getU32(knote + Knote.id);
  const events = eventsOf(mem.getI32(knote + Knote.filter), mem.getU32(knote + Knote.flags));
  const interest = { events, dataLow: id, dataHigh: 0 };
  const set = mem.getU32(kqueue + Kqueue.set);
  return withSource(t, knote, (file) => controlEpoll(t, set, operation, id, file, interest)) ?? -EBADF;
}

function enable(t: ThreadContext, kqueue: number, knote: number, on: boolean): number {
  if ((t.mem.getU32(knote + Knote.enabled) !== 0) === on) return 0;
  t.mem.setU32(knote + Knote.enabled, on ? 1 : 0);
  const result = control(t, kqueue, knote, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL);
  return on ? result : 0;
}

/** A new knote, disabled. Throws OutOfKernelMemory. */
function addKnote(t: ThreadContext, kqueue: number, change: Kevent): number {
  const { mem, thread } = t;
  let source = 0;
  let flags = change.flags & KEPT_FLAGS;
  if (change.filter === EVFILT_USER) source = createEventFd(mem, 0, false, 0, thread);
  else if (change.filter === EVFILT_TIMER) {
    source = createTimerFd(mem, CLOCK_MONOTONIC, 0, thread);
    flags |= EV_CLEAR;
  } else {
    const file = acquireFile(mem, t.files, change.ident, thread);
    // A file that is always ready has nothing to watch.
    if (file !== 0 && operationsOf(mem, file).eventSource === undefined) {
      source = createEventFd(mem, 1, false, 0, thread);
    }
    if (file !== 0) releaseOpenFile(mem, file, thread);
  }
  const knote = allocateBlock(mem, Knote.SIZE, thread);
  const id = mem.getU32(kqueue + Kqueue.lastId) + 1;
  mem.setU32(kqueue + Kqueue.lastId, id);
  mem.setU32(knote + Knote.id, id);
  mem.set64(knote + Knote.ident, change.ident);
  mem.setI32(knote + Knote.filter, change.filter);
  mem.setU32(knote + Knote.flags, flags);
  mem.setU32(knote + Knote.source, source);
  mem.setU32(knote + Knote.next, mem.getU32(kqueue + Kqueue.knotes));
  mem.setU32(kqueue + Kqueue.knotes, knote);
  return knote;
}

function removeKnote(t: ThreadContext, kqueue: number, knote: number): void {
  enable(t, kqueue, knote, false);
  unlinkKnote(t.mem, kqueue, knote, t.thread);
}

function unlinkKnote(mem: SharedMemory, kqueue: number, knote: number, owner: number): void {
  let link = kqueue + Kqueue.knotes;
  while (mem.getU32(link) !== knote) link = mem.getU32(link) + Knote.next;
  mem.setU32(link, mem.getU32(knote + Knote.next));
  const source = mem.getU32(knote + Knote.source);
  if (source !== 0) releaseOpenFile(mem, source, owner);
  freeBlock(mem, knote, owner);
}

// --- changes ---

/** kqueue_register: does what one entry of the change list says. Returns 0 or −errno. */
export function changeKqueue(t: ThreadContext, file: number, change: Kevent): number {
  const { mem, thread } = t;
  const { filter, flags } = change;
  const ofDescriptor = filter === EVFILT_READ || filter === EVFILT_WRITE;
  if (!ofDescriptor && filter !== EVFILT_TIMER && filter !== EVFILT_USER) return -EINVAL;
  if (flags & EV_ADD && flags & EV_DELETE) return -EINVAL;
  if (ofDescriptor && !isOpen(t, change.ident)) return -EBADF;
  const kqueue = kqueueOf(mem, file);
  return withMutex(mem, kqueue + Kqueue.lock, thread, () => {
    let knote = knoteOf(mem, kqueue, change.ident, filter);
    if (knote === 0 && !(flags & EV_ADD)) return -ENOENT;
    if (flags & EV_DELETE) {
      removeKnote(t, kqueue, knote);
      return 0;
    }
    // The descriptor may be another file's by now.
    if (
      knote !== 0 &&
      mem.getU32(knote + Knote.enabled) &&
      control(t, kqueue, knote, EPOLL_CTL_MOD) === -ENOENT
    ) {
      unlinkKnote(mem, kqueue, knote, thread);
      knote = 0;
      if (!(flags & EV_ADD)) return -ENOENT;
    }
    const fresh = knote === 0;
    if (fresh) knote = addKnote(t, kqueue, change);
    mem.u64[(knote + Knote.udata) >>> 3] = BigInt.asUintN(64, change.udata);
    touch(t, knote, change, fresh);
    const off = flags & EV_DISABLE || (!fresh && !(flags & EV_ENABLE) && !mem.getU32(knote + Knote.enabled));
    const result = enable(t, kqueue, knote, !off);
    if (result < 0) unlinkKnote(mem, kqueue, knote, thread);
    return result;
  });
}

function isOpen(t: ThreadContext, fd: number): boolean {
  const file = acquireFile(t.mem, t.files, fd, t.thread);
  if (file !== 0) releaseOpenFile(t.mem, file, t.thread);
  return file !== 0;
}

/** f_touch and f_attach of the filters that have something of their own. */
function touch(t: ThreadContext, knote: number, change: Kevent, fresh: boolean): void {
  const { mem, thread } = t;
  const source = mem.getU32(knote + Knote.source);
  if (change.filter === EVFILT_USER) {
    const given = change.fflags & NOTE_FFLAGSMASK;
    const before = mem.getU32(knote + Knote.fflags);
    const how = (change.fflags & NOTE_FFCTRLMASK) >>> 0;
    let after = fresh ? given : before;
    if (how === NOTE_FFAND) after = before & given;
    else if (how === NOTE_FFOR) after = before | given;
    else if (how === NOTE_FFCOPY) after = given;
    mem.setU32(knote + Knote.fflags, after);
    if (change.fflags & NOTE_TRIGGER) setEventFd(mem, source, 1n, thread);
  } else if (change.filter === EVFILT_TIMER && change.flags & EV_ADD) {
    mem.setU32(knote + Knote.fflags, change.fflags);
    const span = change.data * timerUnit(change.fflags);
    const absolute = (change.fflags & NOTE_ABSTIME) !== 0;
    const deadline = absolute ? span - realtimeOffset(mem) : monotonicNow() + Math.max(span, 1);
    const once = absolute || (mem.getU32(knote + Knote.flags) & EV_ONESHOT) !== 0;
    setTimerFd(mem, source, deadline, once ? 0 : Math.max(span, 1), thread);
  } else mem.setU32(knote + Knote.fflags, change.fflags);
}

/** Milliseconds of a timer's unit. */
function timerUnit(fflags: number): number {
  switch (fflags & (NOTE_SECONDS | NOTE_MSECONDS | NOTE_USECONDS | NOTE_NSECONDS)) {
    case NOTE_SECONDS:
      return 1000;
    case NOTE_USECONDS:
      return 1e-3;
    case NOTE_NSECONDS:
      return 1e-6;
    default:
      return 1;
  }
}

// --- events ---

/**
 * kqueue_scan: up to `max` events, waiting for the first until `deadline` (monotonic milliseconds; −Infinity: not at all).
 * An array (empty: the time is over), or −EINTR.
 */
export function waitKqueue(t: ThreadContext, file: number, max: number, deadline: number): Kevent[] | number {
  const { mem, thread } = t;
  const kqueue = kqueueOf(mem, file);
  const set = mem.getU32(kqueue + Kqueue.set);
  for (;;) {
    const found = waitEpoll(t, set, max, deadline);
    if (typeof found === 'number') return found;
    const events: Kevent[] = [];
    withMutex(mem, kqueue + Kqueue.lock, thread, () => {
      for (const { dataLow, events: bits } of found) {
        const knote = findKnote(mem, kqueue, (k) => mem.getU32(k + Knote.id) === dataLow);
        const event = knote === 0 ? undefined : report(t, kqueue, knote, bits);
        if (event !== undefined) events.push(event);
      }
    });
    // What was found may have been deleted by another thread meanwhile.
    if (events.length > 0 || found.length === 0) return events;
  }
}

/** The event of a knote whose file has reported `bits`, and what the report changes. */
function report(t: ThreadContext, kqueue: number, knote: number, bits: number): Kevent | undefined {
  const { mem, thread } = t;
  const filter = mem.getI32(knote + Knote.filter);
  const flags = mem.getU32(knote + Knote.flags);
  const source = mem.getU32(knote + Knote.source);
  const event: Kevent = {
    ident: mem.getU64(knote + Knote.ident),
    filter,
    flags,
    fflags: mem.getU32(knote + Knote.fflags),
    data: 0,
    udata: mem.u64[(knote + Knote.udata) >>> 3],
  };
  if (filter === EVFILT_TIMER) {
    event.data = takeExpirations(mem, source, thread);
    if (event.data === 0) return undefined;
  } else if (filter === EVFILT_USER) {
    if (flags & EV_CLEAR) {
      setEventFd(mem, source, 0n, thread);
      mem.setU32(knote + Knote.fflags, 0);
    }
  } else if (source === 0) {
    event.data = withSource(t, knote, (file) => operationsOf(mem, file).available?.(mem, file)) ?? 0;
    const ended = filter === EVFILT_READ ? POLLHUP | POLLRDHUP | POLLERR : POLLERR | POLLHUP;
    if (bits & ended) event.flags |= EV_EOF;
  }
  if (flags & EV_ONESHOT) removeKnote(t, kqueue, knote);
  else if (flags & EV_DISPATCH) enable(t, kqueue, knote, false);
  return event;
}

// --- descriptors that are closed ---

/** knote_fdclose: descriptor `fd` is about to be closed, and the events that it names go. */
export function forgetDescriptor(t: ThreadContext, fd: number): void {
  const { mem, thread } = t;
  const file = acquireFile(mem, t.files, fd, thread);
  if (file === 0) return;
  // A file that is always ready is watched by an event of the knote's own.
  const watched =
    mem.getU32(file + OpenFile.epollItems) !== 0 || operationsOf(mem, file).eventSource === undefined;
  releaseOpenFile(mem, file, thread);
  if (watched) forgetDescriptors(t, fd, fd);
}

/** forgetDescriptor for all from `first` to `last`. */
export function forgetDescriptors(t: ThreadContext, first: number, last: number): void {
  const { mem, thread } = t;
  for (const fd of listDescriptors(mem, t.files, thread)) {
    const file = acquireFile(mem, t.files, fd, thread);
    if (file === 0) continue;
    if (isKqueue(t, file)) forgetIn(t, kqueueOf(mem, file), first, last);
    releaseOpenFile(mem, file, thread);
  }
}

function forgetIn(t: ThreadContext, kqueue: number, first: number, last: number): void {
  const { mem, thread } = t;
  withMutex(mem, kqueue + Kqueue.lock, thread, () => {
    for (;;) {
      const knote = findKnote(mem, kqueue, (k) => {
        const filter = mem.getI32(k + Knote.filter);
        const ident = mem.getU64(k + Knote.ident);
        return (filter === EVFILT_READ || filter === EVFILT_WRITE) && ident >= first && ident <= last;
      });
      if (knote === 0) return;
      removeKnote(t, kqueue, knote);
    }
  });
}

const kqueueOperations: FileOperations = {
  poll(mem, file, owner) {
    const set = mem.getU32(kqueueOf(mem, file) + Kqueue.set);
    return operationsOf(mem, set).poll?.(mem, set, owner) ?? 0;
  },
  deadline(mem, file, owner) {
    const set = mem.getU32(kqueueOf(mem, file) + Kqueue.set);
    return operationsOf(mem, set).deadline?.(mem, set, owner) ?? Infinity;
  },
  eventSource(mem, file) {
    const set = mem.getU32(kqueueOf(mem, file) + Kqueue.set);
    return operationsOf(mem, set).eventSource?.(mem, set) ?? 0;
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    const kqueue = kqueueOf(mem, file);
    releaseOpenFile(mem, mem.getU32(kqueue + Kqueue.set), owner);
    for (
      let knote = mem.getU32(kqueue + Kqueue.knotes);
      knote !== 0;
      knote = mem.getU32(kqueue + Kqueue.knotes)
    )
      unlinkKnote(mem, kqueue, knote, owner);
    freeBlock(mem, kqueue, owner);
  },
};

registerKind(FILE_KQUEUE, kqueueOperations);
