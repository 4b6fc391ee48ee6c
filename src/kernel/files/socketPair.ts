import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { EventSource } from '../../sync/records/events.js';
import { Guest } from '../../sync/records/guest.js';
import { FILE_SOCKET, OpenFile } from '../../sync/records/openFile.js';
import { Pipe, SocketEnd, SocketPair } from '../../sync/records/pipe.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { waitInQueue } from '../../sync/waitQueue.js';
import { EAGAIN, EMSGSIZE, ENOTSOCK, EPIPE, ERESTARTSYS, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { POLLHUP, POLLRDHUP, READABLE, signalEvents, WRITABLE } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { DEV_PIPE, madeStatus, S_IFSOCK } from './fileStatus.js';
import { uniqueId } from './filesGlobal.js';
import { createOpenFile, flagsOf, registerKind } from './openFile.js';
import { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from './openFlags.js';
import {
  attachPipe,
  createPipe,
  detachPipe,
  dropPipe,
  endReading,
  endWriting,
  noReaders,
  noWriters,
  pipeUsed,
  putBytes,
  readPipe,
  takeBytes,
  writePipe,
} from './pipe.js';
import { raiseBrokenPipe } from './raise.js';
import type { ByteVector } from './userVector.js';

/**
 * socketpair(2) of AF_UNIX: two pipes crosswise. Streams are bytes; datagrams and sequenced packets are kept apart by a
 * length before each. Named Unix sockets and passing of descriptors are not built.
 */

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;

export const SHUT_RECEIVE = 1;
export const SHUT_SEND = 2;

export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_NOSIGNAL = 0x4000;

/** Room for datagrams: the kernel's default send buffer. */
export const SOCKET_BUFFER = 212_992;
/** Bytes of a packet's length before it. */
const HEADER = 4;

/** Two open files on the ends of a new pair. `flags` may hold O_NONBLOCK. */
export function createSocketPair(t: ThreadContext, type: number, flags: number): readonly [number, number] {
  const { mem, thread } = t;
  const pair = allocateBlock(mem, SocketPair.SIZE, thread);
  const pipes = [createPipe(mem, thread), createPipe(mem, thread)];
  for (const pipe of pipes) {
    mem.setU32(pipe + Pipe.sharedSource, pair + SocketPair.source);
    mem.setU32(pipe + Pipe.capacity, SOCKET_BUFFER);
  }
  mem.setI32(pair + SocketPair.refs, 2);
  const end = (receive: number, send: number): number => {
    const socket = allocateBlock(mem, SocketEnd.SIZE, thread);
    mem.setU32(socket + SocketEnd.pair, pair);
    mem.setU32(socket + SocketEnd.type, type);
    mem.setU32(socket + SocketEnd.receive, receive);
    mem.setU32(socket + SocketEnd.send, send);
    mem.setU32(socket + SocketEnd.pid, mem.getU32(t.guest + Guest.pid));
    mem.setU32(socket + SocketEnd.uid, mem.getU32(t.guest + Guest.uids + 4));
    mem.setU32(socket + SocketEnd.gid, mem.getU32(t.guest + Guest.gids + 4));
    attachPipe(mem, receive, O_RDONLY, thread);
    attachPipe(mem, send, O_WRONLY, thread);
    const path = `socket:[${uniqueId(mem, thread)}]`;
    return createOpenFile(
      mem,
      { kind: FILE_SOCKET, flags: O_RDWR | (flags & O_NONBLOCK), path, object: socket },
      thread,
    );
  };
  return [end(pipes[0], pipes[1]), end(pipes[1], pipes[0])];
}

/** The SocketEnd behind an open file. Throws SyscallError(ENOTSOCK). */
export function socketOf(mem: SharedMemory, file: number): number {
  if (mem.getU32(file + OpenFile.kind) !== FILE_SOCKET) throw new SyscallError(ENOTSOCK);
  return mem.getU32(file + OpenFile.object);
}

function isStream(mem: SharedMemory, socket: number): boolean {
  return mem.getU32(socket + SocketEnd.type) === SOCK_STREAM;
}

function isShut(mem: SharedMemory, socket: number, bit: number): boolean {
  return (mem.atomicLoad(socket + SocketEnd.shut) & bit) !== 0;
}

function doesNotWait(mem: SharedMemory, file: number, flags: number): boolean {
  return (flagsOf(mem, file) & O_NONBLOCK) !== 0 || (flags & MSG_DONTWAIT) !== 0;
}

/** What a receive gave: its result, and whether a packet was longer than the buffer. */
export interface Received {
  readonly result: number;
  readonly truncated: boolean;
}

/** recv(2) and its like with MSG_* flags. */
export function receiveFrom(t: ThreadContext, file: number, into: ByteVector, flags: number): Received {
  const { mem } = t;
  const socket = socketOf(mem, file);
  const pipe = mem.getU32(socket + SocketEnd.receive);
  const noWait = doesNotWait(mem, file, flags);
  if (isShut(mem, socket, SHUT_RECEIVE)) return { result: 0, truncated: false };
  if (!isStream(mem, socket)) return receivePacket(t, pipe, into, flags, noWait);
  if (flags & MSG_PEEK) {
    if (!awaitBytes(t, pipe, noWait)) return { result: interruptedOr(t, noWait), truncated: false };
    const bytes = new Uint8Array(Math.min(into.length, pipeUsed(mem, pipe)));
    const had = takeBytes(mem, pipe, bytes, t.thread, true);
    return { result: into.copyOut(t, 0, bytes.subarray(0, had)), truncated: false };
  }
  let done = readPipe(t, pipe, into, noWait);
  // MSG_WAITALL goes on until all is there, the other end closes or a signal comes.
  while (flags & MSG_WAITALL && done > 0 && done < into.length) {
    const more = readPipe(t, pipe, into.from(done), noWait);
    if (more <= 0) break;
    done += more;
  }
  return { result: done, truncated: false };
}

function interruptedOr(t: ThreadContext, noWait: boolean): number {
  return noWait && !t.signalPending() ? -EAGAIN : -ERESTARTSYS;
}

/** Waits for bytes or the end; false when there are none and it must not wait or was interrupted. */
function awaitBytes(t: ThreadContext, pipe: number, noWait: boolean): boolean {
  const { mem } = t;
  const ready = (): boolean => pipeUsed(mem, pipe) > 0 || noWriters(mem, pipe);
  if (ready()) return true;
  if (noWait) return false;
  const queue = mem.getU32(pipe + Pipe.sharedSource) + EventSource.waiters;
  return waitInQueue(mem, queue, t.thread, ready, () => t.signalPending()) === 'ready';
}

function receivePacket(
  t: ThreadContext,
  pipe: number,
  into: ByteVector,
  flags: number,
  noWait: boolean,
): Received {
  const { mem, thread } = t;
  for (;;) {
    if (!awaitBytes(t, pipe, noWait)) return { result: interruptedOr(t, noWait), truncated: false };
    const header = new Uint8Array(HEADER);
    if (takeBytes(mem, pipe, header, thread, true) < HEADER) return { result: 0, truncated: false };
    const length = new DataView(header.buffer).getUint32(0, true);
    const packet = new Uint8Array(HEADER + length);
    // Another thread may have taken the packet since: then what is there now begins with another header.
    const had = takeWhole(mem, pipe, packet, (flags & MSG_PEEK) !== 0, thread);
    if (had === undefined) continue;
    if ((flags & MSG_PEEK) === 0) signalEvents(mem, mem.getU32(pipe + Pipe.sharedSource), WRITABLE, thread);
    const payload = had.subarray(HEADER);
    const truncated = payload.length > into.length;
    const copied = into.copyOut(t, 0, payload.subarray(0, Math.min(payload.length, into.length)));
    return { result: truncated && flags & MSG_TRUNC ? payload.length : copied, truncated };
  }
}

/** Takes one packet whose length was just looked at; undefined when it is gone. Packets are taken whole. */
function takeWhole(
  mem: SharedMemory,
  pipe: number,
  packet: Uint8Array,
  peek: boolean,
  owner: number,
): Uint8Array | undefined {
  const length = packet.length - HEADER;
  const matches = (bytes: Uint8Array): boolean =>
    new DataView(bytes.buffer, bytes.byteOffset, HEADER).getUint32(0, true) === length;
  const had = takeBytes(mem, pipe, packet, owner, peek, matches);
  return had === packet.length ? packet : undefined;
}

/** send(2) and its like with MSG_* flags. */
export function sendTo(t: ThreadContext, file: number, from: ByteVector, flags: number): number {
  const { mem, thread } = t;
  const socket = socketOf(mem, file);
  const pipe = mem.getU32(socket + SocketEnd.send);
  const noWait = doesNotWait(mem, file, flags);
  const quiet = (flags & MSG_NOSIGNAL) !== 0;
  if (isShut(mem, socket, SHUT_SEND)) {
    if (!quiet && isStream(mem, socket)) raiseBrokenPipe(t);
    return -EPIPE;
  }
  if (isStream(mem, socket)) return writePipe(t, pipe, from, noWait, quiet);
  if (from.length + HEADER > SOCKET_BUFFER) return -EMSGSIZE;
  const packet = new Uint8Array(HEADER + from.length);
  new DataView(packet.buffer).setUint32(0, from.length, true);
  from.copyIn(t, 0, packet.subarray(HEADER));
  const source = mem.getU32(pipe + Pipe.sharedSource);
  for (;;) {
    if (noReaders(mem, pipe)) {
      if (!quiet && mem.getU32(socket + SocketEnd.type) === SOCK_SEQPACKET) raiseBrokenPipe(t);
      return -EPIPE;
    }
    if (putBytes(mem, pipe, packet, thread, true) > 0) {
      signalEvents(mem, source, READABLE, thread);
      return from.length;
    }
    if (noWait) return -EAGAIN;
    const room = (): boolean => SOCKET_BUFFER - pipeUsed(mem, pipe) >= packet.length || noReaders(mem, pipe);
    const outcome = waitInQueue(mem, source + EventSource.waiters, thread, room, () => t.signalPending());
    if (outcome === 'interrupted') return -ERESTARTSYS;
  }
}

/** shutdown(2): `how` holds SHUT_RECEIVE and SHUT_SEND. */
export function shutdownSocket(t: ThreadContext, file: number, how: number): void {
  const { mem, thread } = t;
  const socket = socketOf(mem, file);
  const before = mem.atomicOr(socket + SocketEnd.shut, how);
  const now = how & ~before;
  if (now & SHUT_RECEIVE) endReading(mem, mem.getU32(socket + SocketEnd.receive), thread);
  if (now & SHUT_SEND) endWriting(mem, mem.getU32(socket + SocketEnd.send), thread);
}

const socketOperations: FileOperations = {
  read: (t, file, into) => receiveFrom(t, file, into, 0).result,
  write: (t, file, from) => sendTo(t, file, from, 0),
  poll(mem, file) {
    const socket = mem.getU32(file + OpenFile.object);
    const receive = mem.getU32(socket + SocketEnd.receive);
    const send = mem.getU32(socket + SocketEnd.send);
    const ended = noWriters(mem, receive) || isShut(mem, socket, SHUT_RECEIVE);
    const closed = noReaders(mem, send) || isShut(mem, socket, SHUT_SEND);
    let bits = 0;
    if (pipeUsed(mem, receive) > 0) bits |= READABLE;
    if (ended) bits |= READABLE | POLLRDHUP;
    if (ended && closed) bits |= POLLHUP;
    if (closed || pipeUsed(mem, send) <= SOCKET_BUFFER / 4) bits |= WRITABLE;
    return bits;
  },
  eventSource(mem, file) {
    return mem.getU32(mem.getU32(file + OpenFile.object) + SocketEnd.pair) + SocketPair.source;
  },
  available(mem, file) {
    return pipeUsed(mem, mem.getU32(mem.getU32(file + OpenFile.object) + SocketEnd.receive));
  },
  status(t, file) {
    return madeStatus({
      dev: DEV_PIPE,
      ino: BigInt(t.mem.getU32(file + OpenFile.id)),
      mode: S_IFSOCK | 0o777,
    });
  },
  release(mem, file, owner) {
    const socket = mem.getU32(file + OpenFile.object);
    const receive = mem.getU32(socket + SocketEnd.receive);
    const send = mem.getU32(socket + SocketEnd.send);
    const pair = mem.getU32(socket + SocketEnd.pair);
    if (isShut(mem, socket, SHUT_RECEIVE)) dropPipe(mem, receive, owner);
    else detachPipe(mem, receive, O_RDONLY, owner);
    if (isShut(mem, socket, SHUT_SEND)) dropPipe(mem, send, owner);
    else detachPipe(mem, send, O_WRONLY, owner);
    freeBlock(mem, socket, owner);
    if (mem.atomicAdd(pair + SocketPair.refs, -1) === 1) freeBlock(mem, pair, owner);
  },
};

registerKind(FILE_SOCKET, socketOperations);
