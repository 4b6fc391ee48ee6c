import { closeSync } from 'node:fs';
import { UserFault } from '../../memory/caller.js';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { EventSource } from '../../sync/records/events.js';
import { FILE_PIPE, OpenFile } from '../../sync/records/openFile.js';
import { Pipe, STREAM_INPUT, Stream } from '../../sync/records/pipe.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EPERM, EPIPE, ERESTARTSYS } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { POLLERR, POLLHUP, READABLE, signalEvents, WRITABLE } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { DEV_PIPE, madeStatus, S_IFIFO, statusOfHost } from './fileStatus.js';
import { uniqueId } from './filesGlobal.js';
import { fstatHost } from './hostAccess.js';
import { flagsOf, registerKind } from './openFile.js';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from './openFlags.js';
import { raiseBrokenPipe } from './raise.js';
import { askCoordinator } from './streamRequests.js';
import type { ByteVector } from './userVector.js';

/**
 * Pipes in shared memory. Bytes go through a buffer of the worker's own on their way between guest memory and the ring,
 * so that Pipe.lock is never held while guest memory is touched (a page fault may need the main thread, and the main
 * thread takes Pipe.lock for streams).
 */

/** Writes of up to this many bytes are not torn apart. */
export const PIPE_BUF = 4096;
const DEFAULT_CAPACITY = 65536;
/** fs.pipe-max-size. */
const MAX_CAPACITY = 1 << 20;
const BOUNCE = 65536;

const bounce = new Uint8Array(BOUNCE);

/** Makes a pipe without ends. */
export function createPipe(mem: SharedMemory, owner: number): number {
  const pipe = allocateBlock(mem, Pipe.SIZE, owner);
  mem.setU32(pipe + Pipe.capacity, DEFAULT_CAPACITY);
  mem.setU32(pipe + Pipe.id, uniqueId(mem, owner));
  return pipe;
}

/** The EventSource that hears of the pipe. */
export function sourceOf(pipe: number): number {
  return pipe + Pipe.source;
}

/**
 * Counts one more end in; `access` is O_RDONLY, O_WRONLY or O_RDWR. Says whether the other side had an end at that moment: it may be
 * gone the next.
 */
export function attachPipe(mem: SharedMemory, pipe: number, access: number, owner: number): boolean {
  const met = withMutex(mem, pipe + Pipe.lock, owner, () => {
    mem.setI32(pipe + Pipe.refs, mem.getI32(pipe + Pipe.refs) + 1);
    if (access !== O_WRONLY) {
      mem.atomicAdd(pipe + Pipe.readers, 1);
      mem.setU32(pipe + Pipe.readerOpens, mem.getU32(pipe + Pipe.readerOpens) + 1);
    }
    if (access !== O_RDONLY) {
      mem.atomicAdd(pipe + Pipe.writers, 1);
      mem.setU32(pipe + Pipe.writerOpens, mem.getU32(pipe + Pipe.writerOpens) + 1);
    }
    return mem.atomicLoad(pipe + (access === O_WRONLY ? Pipe.readers : Pipe.writers)) > 0;
  });
  signalEvents(mem, sourceOf(pipe), 0, owner);
  return met;
}

/** Counts an end out and tells the other side; the last one frees the pipe. */
export function detachPipe(mem: SharedMemory, pipe: number, access: number, owner: number): void {
  lockMutex(mem, pipe + Pipe.lock, owner);
  if (access !== O_WRONLY) mem.atomicAdd(pipe + Pipe.readers, -1);
  if (access !== O_RDONLY) mem.atomicAdd(pipe + Pipe.writers, -1);
  const refs = mem.getI32(pipe + Pipe.refs) - 1;
  unlockMutex(mem, pipe + Pipe.lock, owner);
  // The reference is still held, so that the pipe cannot go while the others are told.
  if (refs > 0) signalEvents(mem, sourceOf(pipe), READABLE | WRITABLE | POLLHUP | POLLERR, owner);
  dropPipe(mem, pipe, owner);
}

/** Gives one reference (without an end) back. */
export function dropPipe(mem: SharedMemory, pipe: number, owner: number): void {
  lockMutex(mem, pipe + Pipe.lock, owner);
  const left = mem.getI32(pipe + Pipe.refs) - 1;
  mem.setI32(pipe + Pipe.refs, left);
  unlockMutex(mem, pipe + Pipe.lock, owner);
  if (left > 0) return;
  const buffer = mem.getU32(pipe + Pipe.buffer);
  if (buffer !== 0) freeBlock(mem, buffer, owner);
  const stream = mem.getU32(pipe + Pipe.stream);
  if (stream !== 0) freeBlock(mem, stream, owner);
  freeBlock(mem, pipe, owner);
}

/** One more reference without an end. */
export function holdPipe(mem: SharedMemory, pipe: number, owner: number): void {
  withMutex(mem, pipe + Pipe.lock, owner, () => {
    mem.setI32(pipe + Pipe.refs, mem.getI32(pipe + Pipe.refs) + 1);
  });
}

/** Bytes in the pipe. */
export function pipeUsed(mem: SharedMemory, pipe: number): number {
  return mem.atomicLoad(pipe + Pipe.used);
}

/** Copies the first bytes of the pipe, which `takes` says to take out as well. Returns how many there were. */
function copyBytes(mem: SharedMemory, pipe: number, into: Uint8Array, takes: boolean, owner: number): number {
  lockMutex(mem, pipe + Pipe.lock, owner);
  const used = mem.getU32(pipe + Pipe.used);
  const count = Math.min(used, into.length);
  if (count > 0) {
    const capacity = mem.getU32(pipe + Pipe.capacity);
    const head = mem.getU32(pipe + Pipe.head);
    const buffer = mem.getU32(pipe + Pipe.buffer);
    const first = Math.min(count, capacity - head);
    into.set(mem.u8.subarray(buffer + head, buffer + head + first));
    if (first < count) into.set(mem.u8.subarray(buffer, buffer + count - first), first);
    if (takes) {
      mem.setU32(pipe + Pipe.head, (head + count) % capacity);
      mem.atomicStore(pipe + Pipe.used, used - count);
    }
  }
  unlockMutex(mem, pipe + Pipe.lock, owner);
  return count;
}

/** Takes up to `into.length` bytes out without waiting; returns how many. Does not tell writers. */
export function takeBytes(mem: SharedMemory, pipe: number, into: Uint8Array, owner: number): number {
  return copyBytes(mem, pipe, into, true, owner);
}

/** Appends what fits of `bytes` (all of it or nothing when `atomic`); returns how many bytes. */
export function putBytes(
  mem: SharedMemory,
  pipe: number,
  bytes: Uint8Array,
  owner: number,
  atomic: boolean,
): number {
  // Allocated outside the lock's critical part would race; the heap is a leaf, so it may be taken inside.
  lockMutex(mem, pipe + Pipe.lock, owner);
  try {
    const capacity = mem.getU32(pipe + Pipe.capacity);
    const used = mem.getU32(pipe + Pipe.used);
    const room = capacity - used;
    const count = atomic && room < bytes.length ? 0 : Math.min(room, bytes.length);
    if (count === 0) return 0;
    let buffer = mem.getU32(pipe + Pipe.buffer);
    if (buffer === 0) {
      buffer = allocateBlock(mem, capacity, owner);
      mem.setU32(pipe + Pipe.buffer, buffer);
    }
    const tail = (mem.getU32(pipe + Pipe.head) + used) % capacity;
    const first = Math.min(count, capacity - tail);
    mem.u8.set(bytes.subarray(0, first), buffer + tail);
    if (first < count) mem.u8.set(bytes.subarray(first, count), buffer);
    mem.atomicStore(pipe + Pipe.used, used + count);
    return count;
  } finally {
    unlockMutex(mem, pipe + Pipe.lock, owner);
  }
}

/** No more bytes will come. */
export function noWriters(mem: SharedMemory, pipe: number): boolean {
  return mem.atomicLoad(pipe + Pipe.writers) <= 0;
}

/** Nobody will read what is written. */
export function noReaders(mem: SharedMemory, pipe: number): boolean {
  return mem.atomicLoad(pipe + Pipe.readers) <= 0;
}

/** Reads as read(2) on a pipe does: waits for the first byte only. */
export function readPipe(t: ThreadContext, pipe: number, into: ByteVector, nonBlocking: boolean): number {
  const { mem, thread } = t;
  if (into.length === 0) return 0;
  for (;;) {
    let done = 0;
    while (done < into.length && pipeUsed(mem, pipe) > 0) {
      // Nothing is taken out that could not be delivered.
      if (done === 0) into.probe(t, 'write');
      const chunk = bounce.subarray(0, Math.min(BOUNCE, into.length - done));
      const taken = takeBytes(mem, pipe, chunk, thread);
      if (taken === 0) break;
      const copied = into.copyOut(t, done, chunk.subarray(0, taken));
      done += copied;
      if (copied < taken) break;
    }
    if (done > 0) {
      signalEvents(mem, sourceOf(pipe), WRITABLE, thread);
      noteTaken(t, pipe);
      return done;
    }
    if (noWriters(mem, pipe)) {
      if (pipeUsed(mem, pipe) > 0) continue;
      return 0;
    }
    noteWanted(t, pipe);
    if (nonBlocking) return -EAGAIN;
    const outcome = waitInQueue(
      t,
      sourceOf(pipe) + EventSource.waiters,
      () => pipeUsed(mem, pipe) > 0 || noWriters(mem, pipe),
    );
    if (outcome === 'interrupted') return -ERESTARTSYS;
  }
}

/**
 * Copies what follows the first `done` bytes of `from` into `chunk`: all of it, or, where memory ends, as many whole pages of the write as
 * could be read (as Linux fills a pipe by pages, and drops one that it could not fill).
 */
function beforeFault(t: ThreadContext, from: ByteVector, done: number, chunk: Uint8Array): number {
  let had: number;
  try {
    had = from.copyIn(t, done, chunk);
  } catch (fault) {
    if (!(fault instanceof UserFault)) throw fault;
    had = 0;
  }
  return had === chunk.length ? had : Math.max(0, Math.floor((done + had) / PIPE_BUF) * PIPE_BUF - done);
}

/**
 * Writes as write(2) on a pipe does: all of it, unless it is non-blocking or a signal comes. `some`: what there is room for, waiting
 * for any (vmsplice).
 */
export function writePipe(
  t: ThreadContext,
  pipe: number,
  from: ByteVector,
  nonBlocking: boolean,
  some = false,
): number {
  const { mem, thread } = t;
  if (from.length === 0) return 0;
  const atomic = !some && from.length <= PIPE_BUF;
  let done = t.takeProgress();
  // Bytes of the bounce buffer that are not in the pipe yet are copied again after a wait.
  for (;;) {
    if (noReaders(mem, pipe)) {
      if (done > 0) return done;
      raiseBrokenPipe(t);
      return -EPIPE;
    }
    const chunk = bounce.subarray(0, Math.min(BOUNCE, from.length - done));
    const had = beforeFault(t, from, done, chunk);
    if (had === 0) return done > 0 ? done : -EFAULT;
    const put = putBytes(mem, pipe, chunk.subarray(0, had), thread, atomic);
    if (put > 0) {
      done += put;
      noteAppended(t, pipe);
      signalEvents(mem, sourceOf(pipe), READABLE, thread);
      if (done === from.length || (put === had && had < chunk.length)) return done;
      continue;
    }
    if (nonBlocking || (some && done > 0)) return done > 0 ? done : -EAGAIN;
    const needed = atomic ? from.length : 1;
    const outcome = waitInQueue(
      t,
      sourceOf(pipe) + EventSource.waiters,
      () => mem.getU32(pipe + Pipe.capacity) - pipeUsed(mem, pipe) >= needed || noReaders(mem, pipe),
      { progress: done },
    );
    if (outcome === 'interrupted') return done > 0 ? done : -ERESTARTSYS;
  }
}

/** A reader has found nothing: the main thread, if it is the other end, may start to read the host. */
function noteWanted(t: ThreadContext, pipe: number): void {
  const stream = t.mem.getU32(pipe + Pipe.stream);
  if (stream !== 0) askCoordinator(t.mem, stream, t.thread, t.ring);
}

/** A reader has made room. */
function noteTaken(t: ThreadContext, pipe: number): void {
  const { mem } = t;
  const stream = mem.getU32(pipe + Pipe.stream);
  if (stream !== 0 && mem.getU32(stream + Stream.direction) === STREAM_INPUT && pipeUsed(mem, pipe) === 0)
    askCoordinator(mem, stream, t.thread, t.ring);
}

function noteAppended(t: ThreadContext, pipe: number): void {
  const stream = t.mem.getU32(pipe + Pipe.stream);
  if (stream !== 0) askCoordinator(t.mem, stream, t.thread, t.ring);
}

/** POLL* bits of a pipe for an end with the given access mode. */
export function pollPipe(mem: SharedMemory, pipe: number, access: number): number {
  let bits = 0;
  if (access !== O_WRONLY) {
    if (pipeUsed(mem, pipe) > 0) bits |= READABLE;
    // A FIFO that has never had a writer is not hung up.
    if (noWriters(mem, pipe) && mem.getU32(pipe + Pipe.writerOpens) > 0) bits |= POLLHUP;
  }
  if (access !== O_RDONLY) {
    if (noReaders(mem, pipe)) bits |= POLLERR | WRITABLE;
    else if (mem.getU32(pipe + Pipe.capacity) - pipeUsed(mem, pipe) >= PIPE_BUF) bits |= WRITABLE;
  }
  return bits;
}

/** tee(2): puts what is in pipe `from` into pipe `to` as well, as much as there is room for. Returns how much. */
export function teePipe(
  t: ThreadContext,
  from: number,
  to: number,
  length: number,
  nonBlocking: boolean,
): number {
  const { mem, thread } = t;
  const room = (): boolean => mem.getU32(to + Pipe.capacity) > pipeUsed(mem, to) || noReaders(mem, to);
  const bytes = (): boolean => pipeUsed(mem, from) > 0 || noWriters(mem, from);
  for (;;) {
    const piece = bounce.subarray(0, Math.min(BOUNCE, length));
    const had = copyBytes(mem, from, piece, false, thread);
    if (had > 0) {
      if (noReaders(mem, to)) {
        raiseBrokenPipe(t);
        return -EPIPE;
      }
      const put = putBytes(mem, to, piece.subarray(0, had), thread, false);
      if (put > 0) {
        noteAppended(t, to);
        signalEvents(mem, sourceOf(to), READABLE, thread);
        return put;
      }
    } else {
      if (noWriters(mem, from) && pipeUsed(mem, from) === 0) return 0;
      noteWanted(t, from);
    }
    if (nonBlocking) return -EAGAIN;
    const [pipe, ready] = had > 0 ? [to, room] : [from, bytes];
    const waiters = sourceOf(pipe) + EventSource.waiters;
    const outcome = waitInQueue(t, waiters, ready);
    if (outcome === 'interrupted') return -ERESTARTSYS;
  }
}

/** F_SETPIPE_SZ: returns the new capacity or −errno. */
export function resizePipe(mem: SharedMemory, pipe: number, wanted: number, owner: number): number {
  if (wanted < 0) return -EINVAL;
  let capacity = PIPE_BUF;
  while (capacity < wanted && capacity <= MAX_CAPACITY) capacity *= 2;
  if (capacity > MAX_CAPACITY) return -EPERM;
  return withMutex(mem, pipe + Pipe.lock, owner, () => {
    const used = mem.getU32(pipe + Pipe.used);
    if (used > capacity) return -EBUSY;
    const before = mem.getU32(pipe + Pipe.buffer);
    if (before !== 0) {
      const old = mem.getU32(pipe + Pipe.capacity);
      const head = mem.getU32(pipe + Pipe.head);
      const buffer = allocateBlock(mem, capacity, owner);
      const first = Math.min(used, old - head);
      mem.u8.copyWithin(buffer, before + head, before + head + first);
      mem.u8.copyWithin(buffer + first, before, before + used - first);
      freeBlock(mem, before, owner);
      mem.setU32(pipe + Pipe.buffer, buffer);
      mem.setU32(pipe + Pipe.head, 0);
    }
    mem.setU32(pipe + Pipe.capacity, capacity);
    return capacity;
  });
}

function accessOf(mem: SharedMemory, file: number): number {
  return flagsOf(mem, file) & O_ACCMODE;
}

const pipeOperations: FileOperations = {
  read(t, file, into) {
    if (accessOf(t.mem, file) === O_WRONLY) return -EBADF;
    return readPipe(t, objectOf(t.mem, file), into, mustNotWait(t, file));
  },
  write(t, file, from) {
    if (accessOf(t.mem, file) === O_RDONLY) return -EBADF;
    return writePipe(t, objectOf(t.mem, file), from, mustNotWait(t, file));
  },
  poll(mem, file) {
    return pollPipe(mem, objectOf(mem, file), accessOf(mem, file));
  },
  eventSource(mem, file) {
    return sourceOf(objectOf(mem, file));
  },
  interest(t, file) {
    if (accessOf(t.mem, file) !== O_WRONLY && pipeUsed(t.mem, objectOf(t.mem, file)) === 0)
      noteWanted(t, objectOf(t.mem, file));
  },
  status(t, file) {
    const hostFd = t.mem.getI32(file + OpenFile.hostFd);
    if (hostFd >= 0) return statusOfHost(t, fstatHost(hostFd));
    return madeStatus({
      dev: DEV_PIPE,
      ino: BigInt(t.mem.getU32(objectOf(t.mem, file) + Pipe.id)),
      mode: S_IFIFO | 0o600,
    });
  },
  available(mem, file) {
    return pipeUsed(mem, objectOf(mem, file));
  },
  release(mem, file, owner) {
    const pipe = objectOf(mem, file);
    const hostFd = mem.getI32(file + OpenFile.hostFd);
    if (hostFd >= 0) closeSync(hostFd);
    const stream = mem.getU32(pipe + Pipe.stream);
    if (stream === 0) return detachPipe(mem, pipe, accessOf(mem, file), owner);
    // The main thread must hear of the last end's closing, and may free the stream as soon as it has.
    holdPipe(mem, pipe, owner);
    detachPipe(mem, pipe, accessOf(mem, file), owner);
    askCoordinator(mem, stream, owner);
    dropPipe(mem, pipe, owner);
  },
};

function objectOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

registerKind(FILE_PIPE, pipeOperations);
