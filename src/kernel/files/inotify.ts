import { allocateBlock, freeBlock, hasKernelMemory } from '../../sync/heap.js';
import { initMutex, withMutex } from '../../sync/mutex.js';
import { EventSource } from '../../sync/records/events.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { Inotify, InotifyEvent, InotifyTable, InotifyWatch } from '../../sync/records/inotify.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_HOST, FILE_HOST_DIRECTORY, FILE_INOTIFY, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText, freeText, textString } from '../../sync/text.js';
import { EAGAIN, EEXIST, EINVAL, ENOSPC, ERESTARTSYS } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { READABLE, signalEvents } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { hasProcFd, pathOfDescriptor } from './hostAccess.js';
import { createOpenFile, flagsOf, onClose, registerKind } from './openFile.js';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY } from './openFlags.js';

/**
 * inotify(7): what guests do to files and directories of the host. A watch is for a place, named by its path on the host, which
 * follows renames by guests; nothing is told of what the host's own processes do, nor of other links of a file.
 */

export const IN_ACCESS = 0x1;
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_CLOSE_NOWRITE = 0x10;
export const IN_OPEN = 0x20;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
const IN_ALL_EVENTS = 0xfff;
const IN_UNMOUNT = 0x2000;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
export const IN_ONLYDIR = 0x100_0000;
export const IN_DONT_FOLLOW = 0x200_0000;
const IN_EXCL_UNLINK = 0x400_0000;
const IN_MASK_CREATE = 0x1000_0000;
const IN_MASK_ADD = 0x2000_0000;
export const IN_ISDIR = 0x4000_0000;
const IN_ONESHOT = 0x8000_0000;
const KNOWN =
  IN_ALL_EVENTS |
  IN_UNMOUNT |
  IN_Q_OVERFLOW |
  IN_IGNORED |
  IN_ONLYDIR |
  IN_DONT_FOLLOW |
  IN_EXCL_UNLINK |
  IN_MASK_CREATE |
  IN_MASK_ADD |
  IN_ISDIR |
  IN_ONESHOT;

/** struct inotify_event without the name, and what names are padded to. */
const HEADER = 16;
/** max_queued_events, and the most watches of the machine. */
const MOST_EVENTS = 16384;
const MOST_WATCHES = 65536;

function tableOf(mem: SharedMemory, owner: number): number {
  const existing = mem.atomicLoad(MACHINE + Machine.inotify) >>> 0;
  if (existing !== 0) return existing;
  const made = allocateBlock(mem, InotifyTable.SIZE, owner);
  initMutex(mem, made + InotifyTable.lock);
  const seen = mem.atomicCompareExchange(MACHINE + Machine.inotify, 0, made) >>> 0;
  if (seen === 0) return made;
  freeBlock(mem, made, owner);
  return seen;
}

/** The table when anything is watched, else 0: whoever has something to tell asks first. */
function watchedTable(mem: SharedMemory): number {
  const table = mem.atomicLoad(MACHINE + Machine.inotify) >>> 0;
  return table !== 0 && mem.atomicLoad(table + InotifyTable.count) > 0 ? table : 0;
}

/** Whether anything is watched at all. */
export function isWatching(mem: SharedMemory): boolean {
  return watchedTable(mem) !== 0;
}

/** An open file on a new instance. */
export function createInotify(mem: SharedMemory, flags: number, owner: number): number {
  const object = allocateBlock(mem, Inotify.SIZE, owner);
  return createOpenFile(
    mem,
    { kind: FILE_INOTIFY, flags: O_RDONLY | (flags & O_NONBLOCK), path: 'anon_inode:inotify', object },
    owner,
  );
}

function inotifyOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

/** Whether an open file is an instance. */
export function isInotify(mem: SharedMemory, file: number): boolean {
  return mem.getU32(file + OpenFile.kind) === FILE_INOTIFY;
}

/** 0 or −EINVAL: whether a mask can be asked for (inotify_add_watch). */
export function checkMask(mask: number): number {
  if ((mask & ~KNOWN) !== 0 || (mask & KNOWN) === 0) return -EINVAL;
  return (mask & IN_MASK_CREATE) !== 0 && (mask & IN_MASK_ADD) !== 0 ? -EINVAL : 0;
}

/** Watches the place at `hostPath`, or changes what is watched there. The watch descriptor, −EEXIST or −ENOSPC. */
export function addWatch(
  t: ThreadContext,
  file: number,
  hostPath: string,
  identity: FileIdentity,
  mask: number,
): number {
  const { mem, thread } = t;
  const table = tableOf(mem, thread);
  const inotify = inotifyOf(mem, file);
  const kept = mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK);
  return withMutex(mem, table + InotifyTable.lock, thread, () => {
    for (let w = mem.getU32(table + InotifyTable.first); w !== 0; w = mem.getU32(w + InotifyWatch.next)) {
      // By what is there: a watch of something that has just been replaced ends only when that has been told.
      if (mem.getU32(w + InotifyWatch.inotify) !== inotify || !isWatchOf(mem, w, hostPath, identity))
        continue;
      if (mask & IN_MASK_CREATE) return -EEXIST;
      const before = mask & IN_MASK_ADD ? mem.getU32(w + InotifyWatch.mask) : 0;
      mem.setU32(w + InotifyWatch.mask, (before | kept) >>> 0);
      return mem.getI32(w + InotifyWatch.descriptor);
    }
    if (mem.atomicLoad(table + InotifyTable.count) >= MOST_WATCHES || !hasKernelMemory(mem, hostPath.length))
      return -ENOSPC;
    const watch = allocateBlock(mem, InotifyWatch.SIZE, thread);
    const descriptor = mem.getI32(inotify + Inotify.lastWatch) + 1;
    mem.setI32(inotify + Inotify.lastWatch, descriptor);
    mem.setU32(watch + InotifyWatch.inotify, inotify);
    mem.setI32(watch + InotifyWatch.descriptor, descriptor);
    mem.setU32(watch + InotifyWatch.mask, kept >>> 0);
    mem.setU32(watch + InotifyWatch.path, allocateText(mem, hostPath, thread));
    mem.set64(watch + InotifyWatch.dev, identity.dev);
    mem.set64(watch + InotifyWatch.ino, identity.ino);
    mem.setU32(watch + InotifyWatch.next, mem.getU32(table + InotifyTable.first));
    mem.setU32(table + InotifyTable.first, watch);
    mem.atomicAdd(table + InotifyTable.count, 1);
    return descriptor;
  });
}

/** inotify_rm_watch(2): 0 or −EINVAL. */
export function removeWatch(t: ThreadContext, file: number, descriptor: number): number {
  const { mem, thread } = t;
  const table = tableOf(mem, thread);
  const inotify = inotifyOf(mem, file);
  const found = withMutex(mem, table + InotifyTable.lock, thread, () => {
    for (let w = mem.getU32(table + InotifyTable.first); w !== 0; w = mem.getU32(w + InotifyWatch.next)) {
      if (mem.getU32(w + InotifyWatch.inotify) !== inotify) continue;
      if (mem.getI32(w + InotifyWatch.descriptor) !== descriptor) continue;
      dropLocked(mem, table, w, thread);
      return true;
    }
    return false;
  });
  if (!found) return -EINVAL;
  signalEvents(mem, inotify + Inotify.source, READABLE, thread);
  return 0;
}

function isSame(mem: SharedMemory, watch: number, { dev, ino }: FileIdentity): boolean {
  return mem.getU64(watch + InotifyWatch.ino) === ino && mem.getU64(watch + InotifyWatch.dev) === dev;
}

/** Whether a watch is for what is at `hostPath`; what Guesthouse makes itself has no identity. */
function isWatchOf(mem: SharedMemory, watch: number, hostPath: string, identity: FileIdentity): boolean {
  return identity.ino === 0 ? pathOf(mem, watch) === hostPath : isSame(mem, watch, identity);
}

function pathOf(mem: SharedMemory, watch: number): string {
  return textString(mem, mem.getU32(watch + InotifyWatch.path));
}

function unlinkLocked(mem: SharedMemory, table: number, watch: number, owner: number): void {
  let link = table + InotifyTable.first;
  while (mem.getU32(link) !== watch) link = mem.getU32(link) + InotifyWatch.next;
  mem.setU32(link, mem.getU32(watch + InotifyWatch.next));
  mem.atomicAdd(table + InotifyTable.count, -1);
  freeText(mem, mem.getU32(watch + InotifyWatch.path), owner);
  freeBlock(mem, watch, owner);
}

/** Ends a watch: IN_IGNORED. */
function dropLocked(mem: SharedMemory, table: number, watch: number, owner: number): void {
  const inotify = mem.getU32(watch + InotifyWatch.inotify);
  queueLocked(mem, inotify, mem.getI32(watch + InotifyWatch.descriptor), IN_IGNORED, 0, '', owner);
  unlinkLocked(mem, table, watch, owner);
}

/** Bytes of an event as read(2) gives it. */
function eventSize(nameLength: number): number {
  return HEADER + (nameLength === 0 ? 0 : Math.ceil((nameLength + 1) / HEADER) * HEADER);
}

function nameOf(mem: SharedMemory, event: number): string {
  const at = event + InotifyEvent.SIZE;
  return Buffer.from(mem.u8.slice(at, at + mem.getU32(event + InotifyEvent.nameLength))).toString('latin1');
}

/** Queues an event, unless the last one is the same; one that does not fit any more is an overflow. */
function queueLocked(
  mem: SharedMemory,
  inotify: number,
  descriptor: number,
  mask: number,
  cookie: number,
  name: string,
  owner: number,
): void {
  const last = mem.getU32(inotify + Inotify.last);
  const count = mem.getU32(inotify + Inotify.events);
  if (last !== 0) {
    const lastMask = mem.getU32(last + InotifyEvent.mask);
    const same =
      lastMask === mask >>> 0 &&
      mem.getI32(last + InotifyEvent.descriptor) === descriptor &&
      nameOf(mem, last) === name;
    if (same && (lastMask & IN_IGNORED) === 0) return;
    if (count > MOST_EVENTS) return;
  }
  const full = count >= MOST_EVENTS || !hasKernelMemory(mem, InotifyEvent.SIZE + name.length);
  const text = full ? '' : name;
  const event = allocateBlock(mem, InotifyEvent.SIZE + text.length, owner);
  mem.setI32(event + InotifyEvent.descriptor, full ? -1 : descriptor);
  mem.setU32(event + InotifyEvent.mask, full ? IN_Q_OVERFLOW : mask >>> 0);
  mem.setU32(event + InotifyEvent.cookie, full ? 0 : cookie);
  mem.setU32(event + InotifyEvent.nameLength, text.length);
  mem.u8.set(Buffer.from(text, 'latin1'), event + InotifyEvent.SIZE);
  if (last === 0) mem.setU32(inotify + Inotify.first, event);
  else mem.setU32(last + InotifyEvent.next, event);
  mem.setU32(inotify + Inotify.last, event);
  mem.setU32(inotify + Inotify.events, count + 1);
  mem.setU32(inotify + Inotify.bytes, mem.getU32(inotify + Inotify.bytes) + eventSize(text.length));
}

/** Which file it is: numbers, as HostFile has them. */
export interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

/** What happened to a place: to the entry of its directory, to itself, or both. */
export interface FileEvent {
  readonly mask: number;
  readonly directory?: boolean;
  readonly cookie?: number;
  /** Tell the watches of its directory, with its name. */
  readonly parent?: boolean;
  /** Tell the watches of the place itself. */
  readonly self?: boolean;
  /** The file there, whatever its names: without it the path says which watches are its own. */
  readonly identity?: FileIdentity;
  /** The place is gone: its own watches end. */
  readonly gone?: boolean;
}

/** Tells the watches of a host path and of its directory. KERNEL mode, no lock held. */
export function notifyPlace(mem: SharedMemory, hostPath: string, event: FileEvent, owner: number): void {
  const table = watchedTable(mem);
  if (table === 0) return;
  const slash = hostPath.lastIndexOf('/');
  const parent = hostPath.slice(0, slash) || '/';
  const name = hostPath.slice(slash + 1);
  const mask = (event.mask | (event.directory ? IN_ISDIR : 0)) >>> 0;
  const told = new Set<number>();
  withMutex(mem, table + InotifyTable.lock, owner, () => {
    for (const asEntry of [true, false]) {
      if (asEntry ? !event.parent : !event.self) continue;
      for (let w = mem.getU32(table + InotifyTable.first), next = 0; w !== 0; w = next) {
        next = mem.getU32(w + InotifyWatch.next);
        const { identity } = event;
        const concerned =
          asEntry || identity === undefined
            ? pathOf(mem, w) === (asEntry ? parent : hostPath)
            : isSame(mem, w, identity);
        if (!concerned) continue;
        const inotify = mem.getU32(w + InotifyWatch.inotify);
        const wanted = mem.getU32(w + InotifyWatch.mask);
        if ((wanted & event.mask & IN_ALL_EVENTS) !== 0) {
          const descriptor = mem.getI32(w + InotifyWatch.descriptor);
          queueLocked(mem, inotify, descriptor, mask, event.cookie ?? 0, asEntry ? name : '', owner);
          told.add(inotify);
          if ((wanted & IN_ONESHOT) !== 0) {
            dropLocked(mem, table, w, owner);
            continue;
          }
        }
        if (!asEntry && event.gone) {
          dropLocked(mem, table, w, owner);
          told.add(inotify);
        }
      }
    }
  });
  for (const inotify of told) signalEvents(mem, inotify + Inotify.source, READABLE, owner);
}

/** A file or directory of the host, as lstat has it. */
interface HostStatus {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly nlink: bigint;
}

function identityOf({ dev, ino }: HostStatus): FileIdentity {
  return { dev: Number(dev), ino: Number(ino) };
}

/** A name of something has gone, and with its last one the thing itself (which `stats` described before). */
function notifyGone(
  mem: SharedMemory,
  hostPath: string,
  stats: HostStatus,
  directory: boolean,
  owner: number,
): void {
  const identity = identityOf(stats);
  if (directory || stats.nlink === 1n)
    notifyPlace(mem, hostPath, { mask: IN_DELETE_SELF, self: true, identity, gone: true }, owner);
}

/** Something has been removed; `stats` are those of before. */
export function notifyRemoved(
  mem: SharedMemory,
  hostPath: string,
  stats: HostStatus | undefined,
  directory: boolean,
  owner: number,
): void {
  if (stats === undefined || !isWatching(mem)) return;
  const identity = identityOf(stats);
  if (!directory) notifyPlace(mem, hostPath, { mask: IN_ATTRIB, self: true, identity }, owner);
  notifyGone(mem, hostPath, stats, directory, owner);
  notifyPlace(mem, hostPath, { mask: IN_DELETE, directory, parent: true }, owner);
}

/** Something has been renamed, in place of what `replaced` describes. */
export function notifyMoved(
  mem: SharedMemory,
  from: string,
  to: string,
  directory: boolean,
  replaced: HostStatus | undefined,
  owner: number,
): void {
  const table = watchedTable(mem);
  if (table === 0) return;
  const cookie = mem.atomicAdd(table + InotifyTable.lastCookie, 1) + 1;
  notifyPlace(mem, from, { mask: IN_MOVED_FROM, directory, cookie, parent: true }, owner);
  notifyPlace(mem, to, { mask: IN_MOVED_TO, directory, cookie, parent: true }, owner);
  if (replaced !== undefined)
    notifyPlace(mem, to, { mask: IN_ATTRIB, self: true, identity: identityOf(replaced) }, owner);
  notifyPlace(mem, from, { mask: IN_MOVE_SELF, self: true }, owner);
  if (replaced !== undefined) notifyGone(mem, to, replaced, directory, owner);
  withMutex(mem, table + InotifyTable.lock, owner, () => moveWatchesLocked(mem, table, from, to, owner));
}

/** Two things have changed places (RENAME_EXCHANGE). */
export function notifyExchanged(
  mem: SharedMemory,
  [one, oneDirectory]: readonly [string, boolean],
  [other, otherDirectory]: readonly [string, boolean],
  owner: number,
): void {
  const table = watchedTable(mem);
  if (table === 0) return;
  for (const [from, to, directory] of [
    [one, other, oneDirectory],
    [other, one, otherDirectory],
  ] as const) {
    const cookie = mem.atomicAdd(table + InotifyTable.lastCookie, 1) + 1;
    notifyPlace(mem, from, { mask: IN_MOVED_FROM, directory, cookie, parent: true }, owner);
    notifyPlace(mem, to, { mask: IN_MOVED_TO, directory, cookie, parent: true }, owner);
    notifyPlace(mem, from, { mask: IN_MOVE_SELF, self: true }, owner);
  }
  withMutex(mem, table + InotifyTable.lock, owner, () => {
    // No path of a host has a zero byte.
    const between = '\0';
    moveWatchesLocked(mem, table, one, between, owner);
    moveWatchesLocked(mem, table, other, one, owner);
    moveWatchesLocked(mem, table, between, other, owner);
  });
}

/** Watches of what was moved, and of what is in it, go with it. */
function moveWatchesLocked(mem: SharedMemory, table: number, from: string, to: string, owner: number): void {
  for (let w = mem.getU32(table + InotifyTable.first); w !== 0; w = mem.getU32(w + InotifyWatch.next)) {
    const path = pathOf(mem, w);
    if (path !== from && !path.startsWith(`${from}/`)) continue;
    const before = mem.getU32(w + InotifyWatch.path);
    mem.setU32(w + InotifyWatch.path, allocateText(mem, to + path.slice(from.length), owner));
    freeText(mem, before, owner);
  }
}

/** Tells what was done with an open file or directory of the host; other kinds have no place. */
export function notifyFile(mem: SharedMemory, file: number, mask: number, owner: number): void {
  if (!isWatching(mem) || !hasProcFd) return;
  const kind = mem.getU32(file + OpenFile.kind);
  const directory = kind === FILE_HOST_DIRECTORY;
  if (!directory && kind !== FILE_HOST) return;
  const fd = directory
    ? mem.getI32(file + OpenFile.hostFd)
    : mem.getI32(mem.getU32(file + OpenFile.hostFile) + HostFile.hostFd);
  // A name that is gone is still told of.
  const path = pathOfDescriptor(fd).replace(/ \(deleted\)$/, '');
  const hostFile = mem.getU32(file + OpenFile.hostFile);
  const identity = directory
    ? undefined
    : { dev: mem.getU64(hostFile + HostFile.dev), ino: mem.getU64(hostFile + HostFile.ino) };
  const event = { mask, directory, parent: true, self: true };
  notifyPlace(mem, path, identity === undefined ? event : { ...event, identity }, owner);
}

onClose((mem, file, owner) => {
  if (!isWatching(mem)) return;
  const writes = (flagsOf(mem, file) & O_ACCMODE) !== O_RDONLY;
  notifyFile(mem, file, writes ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE, owner);
});

/** Takes as many whole events as fit into `length` bytes; −EINVAL when not even the first one does. */
function takeEvents(t: ThreadContext, inotify: number, length: number): Uint8Array | number {
  const { mem, thread } = t;
  const table = tableOf(mem, thread);
  return withMutex(mem, table + InotifyTable.lock, thread, () => {
    const out = Buffer.alloc(Math.min(length, mem.getU32(inotify + Inotify.bytes)));
    let done = 0;
    for (;;) {
      const event = mem.getU32(inotify + Inotify.first);
      if (event === 0) break;
      const nameLength = mem.getU32(event + InotifyEvent.nameLength);
      const size = eventSize(nameLength);
      if (done + size > length) {
        if (done === 0) return -EINVAL;
        break;
      }
      out.writeInt32LE(mem.getI32(event + InotifyEvent.descriptor), done);
      out.writeUInt32LE(mem.getU32(event + InotifyEvent.mask), done + 4);
      out.writeUInt32LE(mem.getU32(event + InotifyEvent.cookie), done + 8);
      out.writeUInt32LE(size - HEADER, done + 12);
      out.write(nameOf(mem, event), done + HEADER, 'latin1');
      done += size;
      const next = mem.getU32(event + InotifyEvent.next);
      // Atomic: readiness is looked at without the lock.
      mem.atomicStore(inotify + Inotify.first, next);
      if (next === 0) mem.setU32(inotify + Inotify.last, 0);
      mem.setU32(inotify + Inotify.events, mem.getU32(inotify + Inotify.events) - 1);
      mem.setU32(inotify + Inotify.bytes, mem.getU32(inotify + Inotify.bytes) - size);
      freeBlock(mem, event, thread);
    }
    return out.subarray(0, done);
  });
}

const inotifyOperations: FileOperations = {
  read(t, file, into) {
    const { mem } = t;
    const inotify = inotifyOf(mem, file);
    const ready = (): boolean => mem.atomicLoad(inotify + Inotify.first) !== 0;
    for (;;) {
      const events = takeEvents(t, inotify, into.length);
      if (typeof events === 'number') return events;
      if (events.length > 0) return into.copyOut(t, 0, events);
      if (mustNotWait(t, file)) return -EAGAIN;
      const waiters = inotify + Inotify.source + EventSource.waiters;
      if (waitInQueue(t, waiters, ready) === 'interrupted') return -ERESTARTSYS;
    }
  },
  poll(mem, file) {
    return mem.atomicLoad(inotifyOf(mem, file) + Inotify.first) !== 0 ? READABLE : 0;
  },
  eventSource(mem, file) {
    return inotifyOf(mem, file) + Inotify.source;
  },
  available(mem, file) {
    return mem.getU32(inotifyOf(mem, file) + Inotify.bytes);
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    const inotify = inotifyOf(mem, file);
    const table = tableOf(mem, owner);
    withMutex(mem, table + InotifyTable.lock, owner, () => {
      for (let w = mem.getU32(table + InotifyTable.first), next = 0; w !== 0; w = next) {
        next = mem.getU32(w + InotifyWatch.next);
        if (mem.getU32(w + InotifyWatch.inotify) === inotify) unlinkLocked(mem, table, w, owner);
      }
    });
    for (let event = mem.getU32(inotify + Inotify.first); event !== 0; ) {
      const next = mem.getU32(event + InotifyEvent.next);
      freeBlock(mem, event, owner);
      event = next;
    }
    freeBlock(mem, inotify, owner);
  },
};

registerKind(FILE_INOTIFY, inotifyOperations);
