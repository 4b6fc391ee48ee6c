import { closeSync } from 'node:fs';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex, withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { EventSource } from '../../sync/records/events.js';
import { Guest } from '../../sync/records/guest.js';
import { FILE_SOCKET, OpenFile } from '../../sync/records/openFile.js';
import {
  SOCKET_CLOSED,
  SOCKET_CONNECTED,
  SOCKET_LISTENING,
  SOCKET_UNCONNECTED,
  Socket,
  Sockets,
  URGENT_VALID,
} from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { freeText } from '../../sync/text.js';
import { ECONNRESET, ENOTCONN, ENOTSOCK, SyscallError } from '../errno.js';
import {
  POLLERR,
  POLLHUP,
  POLLPRI,
  POLLRDBAND,
  POLLRDHUP,
  READABLE,
  signalEvents,
  WRITABLE,
} from '../files/events.js';
import { uniqueId } from '../files/filesGlobal.js';
import { createOpenFile, releaseOpenFile } from '../files/openFile.js';
import { O_NONBLOCK, O_RDWR } from '../files/openFlags.js';
import type { ThreadContext } from '../threadContext.js';
import { type WaitOptions, type WaitOutcome, waitInQueue } from '../waiting.js';
import { tellHost } from './hostRequests.js';
import { unbindLocked } from './names.js';
import { collectUnreachable } from './rights.js';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  OPTION_CONNECT_PENDING,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from './socketNumbers.js';
import { type Credentials, discardQueueLocked, readableBytes } from './socketQueue.js';
import { socketsGlobal } from './socketsGlobal.js';

/** The life of a socket: made, connected to another one, shut down, closed. */

/** net.core.wmem_default and rmem_default. */
const DEFAULT_BUFFER = 212_992;
/** What tcp_wmem and tcp_rmem begin with. */
const TCP_SEND_BUFFER = 16_384;
const TCP_RECEIVE_BUFFER = 131_072;

/** Makes a socket with one reference. */
export function createSocket(
  mem: SharedMemory,
  family: number,
  type: number,
  protocol: number,
  owner: number,
): number {
  const socket = allocateBlock(mem, Socket.SIZE, owner);
  const tcp = (family === AF_INET || family === AF_INET6) && type === SOCK_STREAM;
  mem.setI32(socket + Socket.refs, 1);
  mem.setU32(socket + Socket.family, family);
  mem.setU32(socket + Socket.type, type);
  mem.setU32(socket + Socket.protocol, protocol);
  mem.setU32(socket + Socket.sendBuffer, tcp ? TCP_SEND_BUFFER : DEFAULT_BUFFER);
  mem.setU32(socket + Socket.receiveBuffer, tcp ? TCP_RECEIVE_BUFFER : DEFAULT_BUFFER);
  mem.setI32(socket + Socket.linger, -1);
  mem.setU32(socket + Socket.lowWater, 1);
  mem.setU32(socket + Socket.peerUid, 0xffff_ffff);
  mem.setU32(socket + Socket.peerGid, 0xffff_ffff);
  mem.setU32(socket + Socket.id, uniqueId(mem, owner));
  return socket;
}

/** The calling process as credentials name it. */
export function ownCredentials(t: ThreadContext): Credentials {
  const { mem, guest } = t;
  return {
    pid: mem.getU32(guest + Guest.pid),
    uid: mem.getU32(t.cred + Cred.uids + 4),
    gid: mem.getU32(t.cred + Cred.gids + 4),
  };
}

/** Notes who made the socket, or made it listen. */
export function noteCredentials(t: ThreadContext, socket: number): void {
  const { pid, uid, gid } = ownCredentials(t);
  t.mem.setU32(socket + Socket.pid, pid);
  t.mem.setU32(socket + Socket.uid, uid);
  t.mem.setU32(socket + Socket.gid, gid);
}

/** An open file on a socket, whose reference it takes over. `flags` may hold O_NONBLOCK. */
export function openSocket(t: ThreadContext, socket: number, flags: number): number {
  const { mem, thread } = t;
  const path = `socket:[${mem.getU32(socket + Socket.id)}]`;
  const file = createOpenFile(
    mem,
    { kind: FILE_SOCKET, flags: O_RDWR | (flags & O_NONBLOCK), path, object: socket },
    thread,
  );
  const global = socketsGlobal(mem, thread);
  withMutex(mem, global + Sockets.lock, thread, () => {
    mem.setU32(socket + Socket.file, file);
    const first = mem.getU32(global + Sockets.all);
    mem.setU32(socket + Socket.nextOfAll, first);
    mem.setU32(socket + Socket.previousOfAll, 0);
    if (first !== 0) mem.setU32(first + Socket.previousOfAll, socket);
    mem.setU32(global + Sockets.all, socket);
  });
  return file;
}

/** The Socket behind an open file. Throws SyscallError(ENOTSOCK). */
export function socketOf(mem: SharedMemory, file: number): number {
  if (mem.getU32(file + OpenFile.kind) !== FILE_SOCKET) throw new SyscallError(ENOTSOCK);
  return mem.getU32(file + OpenFile.object);
}

export function familyOf(mem: SharedMemory, socket: number): number {
  return mem.getU32(socket + Socket.family);
}

export function stateOf(mem: SharedMemory, socket: number): number {
  return mem.atomicLoad(socket + Socket.state);
}

export function isStream(mem: SharedMemory, socket: number): boolean {
  return mem.getU32(socket + Socket.type) === SOCK_STREAM;
}

/** A connection comes before data: streams and sequenced packets. */
export function isConnectionBased(mem: SharedMemory, socket: number): boolean {
  const type = mem.getU32(socket + Socket.type);
  return type === SOCK_STREAM || type === SOCK_SEQPACKET;
}

export function isInet(mem: SharedMemory, socket: number): boolean {
  const family = mem.getU32(socket + Socket.family);
  return family === AF_INET || family === AF_INET6;
}

export function isTcp(mem: SharedMemory, socket: number): boolean {
  return isInet(mem, socket) && isStream(mem, socket);
}

export function isShut(mem: SharedMemory, socket: number, bits: number): boolean {
  return (mem.atomicLoad(socket + Socket.shut) & bits) === bits;
}

export function hasOption(mem: SharedMemory, socket: number, option: number): boolean {
  return (mem.atomicLoad(socket + Socket.options) & option) !== 0;
}

/** Takes the pending error, which is gone then; 0: none. */
export function takeError(mem: SharedMemory, socket: number): number {
  if (mem.atomicLoad(socket + Socket.error) === 0) return 0;
  return mem.atomicExchange(socket + Socket.error, 0);
}

export function retainSocket(mem: SharedMemory, socket: number): void {
  mem.atomicAdd(socket + Socket.refs, 1);
}

/** Gives a reference back; the last one frees the record. No lock is held. */
export function dropSocket(mem: SharedMemory, socket: number, owner: number): void {
  if (mem.atomicAdd(socket + Socket.refs, -1) !== 1) return;
  freeText(mem, mem.getU32(socket + Socket.name), owner);
  const hostEnd = mem.getU32(socket + Socket.hostEnd);
  if (hostEnd !== 0) dropSocket(mem, hostEnd, owner);
  freeBlock(mem, socket, owner);
}

/** The socket at the other end with a reference for the caller, or 0. */
export function acquirePeer(mem: SharedMemory, socket: number, owner: number): number {
  lockMutex(mem, socket + Socket.lock, owner);
  const peer = mem.getU32(socket + Socket.peer);
  if (peer !== 0) retainSocket(mem, peer);
  unlockMutex(mem, socket + Socket.lock, owner);
  return peer;
}

/** Makes `peer` (or 0) the other end of `socket`; what was it before is let go. */
export function setPeer(mem: SharedMemory, socket: number, peer: number, owner: number): void {
  if (peer !== 0) retainSocket(mem, peer);
  lockMutex(mem, socket + Socket.lock, owner);
  const before = mem.getU32(socket + Socket.peer);
  mem.atomicStore(socket + Socket.peer, peer);
  unlockMutex(mem, socket + Socket.lock, owner);
  if (before !== 0) dropSocket(mem, before, owner);
}

/** Makes two sockets the ends of one connection. */
export function joinSockets(mem: SharedMemory, one: number, two: number, owner: number): void {
  setPeer(mem, one, two, owner);
  setPeer(mem, two, one, owner);
  const copyCredentials = (from: number, to: number): void => {
    mem.setU32(to + Socket.peerPid, mem.getU32(from + Socket.pid));
    mem.setU32(to + Socket.peerUid, mem.getU32(from + Socket.uid));
    mem.setU32(to + Socket.peerGid, mem.getU32(from + Socket.gid));
  };
  if (mem.getU32(one + Socket.family) !== AF_UNIX) return;
  copyCredentials(one, two);
  copyCredentials(two, one);
}

/** Changes a socket's state and tells of it. */
export function setState(mem: SharedMemory, socket: number, state: number): void {
  mem.atomicStore(socket + Socket.state, state);
}

/** Says that something has happened to a socket. */
export function signalSocket(mem: SharedMemory, socket: number, mask: number, owner: number): void {
  signalEvents(mem, socket + Socket.source, mask, owner);
}

/** Ends directions of a socket, as its own side or the other one wants it, and tells of it. */
export function shutDirections(mem: SharedMemory, socket: number, bits: number, owner: number): void {
  mem.atomicOr(socket + Socket.shut, bits);
  signalSocket(mem, socket, READABLE | WRITABLE | POLLRDHUP | POLLHUP, owner);
}

/** Sets the pending error of a socket and tells of it. */
export function failSocket(mem: SharedMemory, socket: number, errno: number, owner: number): void {
  mem.atomicStore(socket + Socket.error, errno);
  signalSocket(mem, socket, READABLE | WRITABLE | POLLERR, owner);
}

/** What the other end sees when `bits` of `socket` are shut down: the bits of its own that follow. */
export function mirrored(mem: SharedMemory, socket: number, bits: number): number {
  // TCP does not tell the sender that nobody receives.
  const receive = bits & SHUT_RECEIVE && !isInet(mem, socket) ? SHUT_SEND : 0;
  return (bits & SHUT_SEND ? SHUT_RECEIVE : 0) | receive;
}

/** Waits until `ready()` holds, a signal is pending or the deadline passes. Unless the call stays, its descriptor is the socket's. */
export function waitOnSocket(
  t: ThreadContext,
  socket: number,
  ready: () => boolean,
  options: WaitOptions,
): WaitOutcome {
  return waitInQueue(t, socket + Socket.source + EventSource.waiters, ready, options);
}

/** shutdown(2) of the directions `bits`. Returns 0 or −errno. */
export function shutSocket(mem: SharedMemory, socket: number, bits: number, owner: number): number {
  const peer = acquirePeer(mem, socket, owner);
  if (stateOf(mem, socket) === SOCKET_LISTENING && isTcp(mem, socket) && bits & SHUT_RECEIVE) {
    // TCP's way of stopping to listen.
    if (peer !== 0) dropSocket(mem, peer, owner);
    stopListening(mem, socket, owner);
    return 0;
  }
  if (isInet(mem, socket) && stateOf(mem, socket) !== SOCKET_CONNECTED) {
    if (peer !== 0) dropSocket(mem, peer, owner);
    // Whoever waits for packets is woken all the same.
    if (!isTcp(mem, socket)) shutDirections(mem, socket, bits, owner);
    return -ENOTCONN;
  }
  shutDirections(mem, socket, bits, owner);
  if (peer === 0) return 0;
  const theirs = mirrored(mem, socket, bits);
  if (isConnectionBased(mem, socket) && theirs !== 0) shutDirections(mem, peer, theirs, owner);
  tellHost(mem, peer, owner);
  dropSocket(mem, peer, owner);
  return 0;
}

/** Makes a listener an ordinary socket again; connections that nobody has accepted are reset. */
function stopListening(mem: SharedMemory, listener: number, owner: number): void {
  setState(mem, listener, SOCKET_UNCONNECTED);
  resetWaiting(mem, listener, owner);
}

function resetWaiting(mem: SharedMemory, listener: number, owner: number): void {
  for (let child = takeWaiting(mem, listener, owner); child !== 0; child = takeWaiting(mem, listener, owner))
    closeSocket(mem, child, ECONNRESET, owner);
  // Those who wait for a place in the queue, too.
  signalSocket(mem, listener, READABLE | WRITABLE | POLLHUP, owner);
}

/** Whether what is queued at a socket are packets. */
export function hasPackets(mem: SharedMemory, socket: number): boolean {
  return !isStream(mem, socket);
}

/** Takes the oldest connection out of a listener's queue; its reference is the caller's. 0: there is none. */
export function takeWaiting(mem: SharedMemory, listener: number, owner: number): number {
  lockMutex(mem, listener + Socket.lock, owner);
  const child = mem.getU32(listener + Socket.waitingFirst);
  if (child !== 0) {
    const next = mem.getU32(child + Socket.nextWaiting);
    mem.setU32(listener + Socket.waitingFirst, next);
    if (next === 0) mem.setU32(listener + Socket.waitingLast, 0);
    mem.setU32(child + Socket.nextWaiting, 0);
    mem.atomicAdd(listener + Socket.waiting, -1);
  }
  unlockMutex(mem, listener + Socket.lock, owner);
  return child;
}

/** Whether one more connection may wait at the listener. */
export function hasBacklog(mem: SharedMemory, listener: number): boolean {
  return mem.atomicLoad(listener + Socket.waiting) <= mem.atomicLoad(listener + Socket.backlog);
}

/**
 * Puts a connection, whose reference it takes over, into a listener's queue; false when it listens no more or the queue is full
 * (`anyway`: however many there are).
 */
export function addWaiting(
  mem: SharedMemory,
  listener: number,
  child: number,
  owner: number,
  anyway = false,
): boolean {
  const added = withMutex(mem, listener + Socket.lock, owner, () => {
    if (stateOf(mem, listener) !== SOCKET_LISTENING) return false;
    if (!anyway && !hasBacklog(mem, listener)) return false;
    const last = mem.getU32(listener + Socket.waitingLast);
    if (last === 0) mem.setU32(listener + Socket.waitingFirst, child);
    else mem.setU32(last + Socket.nextWaiting, child);
    mem.setU32(listener + Socket.waitingLast, child);
    mem.atomicAdd(listener + Socket.waiting, 1);
    return true;
  });
  if (added) signalSocket(mem, listener, READABLE, owner);
  return added;
}

/**
 * Closes a socket: nobody receives from it or sends to it any more, its name is free, connections that nobody has accepted are
 * reset. `reset` is the error that the other end gets then. Takes over the caller's reference. No lock is held.
 */
export function closeSocket(mem: SharedMemory, socket: number, reset: number, owner: number): void {
  const global = socketsGlobal(mem, owner);
  let files: number[] = [];
  let unread = false;
  let wasListening = false;
  withMutex(mem, global + Sockets.lock, owner, () => {
    lockMutex(mem, socket + Socket.lock, owner);
    wasListening = stateOf(mem, socket) === SOCKET_LISTENING;
    unread = mem.getI32(socket + Socket.used) > 0;
    setState(mem, socket, SOCKET_CLOSED);
    unlockMutex(mem, socket + Socket.lock, owner);
    unbindLocked(mem, socket, owner);
    const pinned = mem.getI32(socket + Socket.pinned) - 1;
    mem.setI32(socket + Socket.pinned, 0);
    if (pinned >= 0) closeSync(pinned);
    if (mem.getU32(socket + Socket.file) !== 0) {
      mem.setU32(socket + Socket.file, 0);
      const next = mem.getU32(socket + Socket.nextOfAll);
      const previous = mem.getU32(socket + Socket.previousOfAll);
      if (next !== 0) mem.setU32(next + Socket.previousOfAll, previous);
      if (previous !== 0) mem.setU32(previous + Socket.nextOfAll, next);
      else mem.setU32(global + Sockets.all, next);
    }
    files = discardQueueLocked(mem, socket, hasPackets(mem, socket), owner);
  });
  if (wasListening) resetWaiting(mem, socket, owner);
  const peer = acquirePeer(mem, socket, owner);
  if (peer !== 0) {
    if (isConnectionBased(mem, socket) && stateOf(mem, peer) !== SOCKET_CLOSED) {
      const errno = unread ? ECONNRESET : reset;
      if (errno !== 0) mem.atomicStore(peer + Socket.error, errno);
      shutDirections(mem, peer, isInet(mem, socket) && errno === 0 ? SHUT_RECEIVE : SHUT_BOTH, owner);
      if (errno !== 0) signalSocket(mem, peer, POLLERR, owner);
    } else {
      // Senders that wait for room here are to see that nobody reads any more.
      signalSocket(mem, peer, WRITABLE, owner);
    }
    tellHost(mem, peer, owner);
    setPeer(mem, socket, 0, owner);
    dropSocket(mem, peer, owner);
  }
  signalSocket(mem, socket, READABLE | WRITABLE | POLLHUP, owner);
  const hostEnd = mem.getU32(socket + Socket.hostEnd);
  if (hostEnd !== 0) tellHost(mem, hostEnd, owner);
  dropSocket(mem, socket, owner);
  for (const file of files) releaseOpenFile(mem, file, owner);
  collectUnreachable(mem, owner);
}

/** POLL* bits of a socket now (net/unix/af_unix.c, net/ipv4/tcp.c and net/core/datagram.c have the rules). */
export function pollSocket(mem: SharedMemory, socket: number, owner: number): number {
  const state = stateOf(mem, socket);
  if (state === SOCKET_LISTENING) return mem.atomicLoad(socket + Socket.waiting) > 0 ? READABLE : 0;
  const shut = mem.atomicLoad(socket + Socket.shut);
  let bits = 0;
  if (mem.atomicLoad(socket + Socket.error) !== 0) bits |= POLLERR;
  if (readableBytes(mem, socket) > 0) bits |= READABLE;
  if (mem.atomicLoad(socket + Socket.urgent) === URGENT_VALID) bits |= POLLPRI | POLLRDBAND;
  if (shut & SHUT_RECEIVE) bits |= READABLE | POLLRDHUP;
  if (shut === SHUT_BOTH) bits |= POLLHUP;
  if (isConnectionBased(mem, socket)) {
    if (state === SOCKET_UNCONNECTED) {
      // A connect that did not wait has failed.
      if (hasOption(mem, socket, OPTION_CONNECT_PENDING)) bits |= READABLE | POLLRDHUP;
      return bits | POLLHUP | WRITABLE;
    }
    if (state !== SOCKET_CONNECTED) return bits;
    if (bits & POLLERR && isInet(mem, socket)) bits |= READABLE | WRITABLE;
  }
  if (shut & SHUT_SEND || hasRoom(mem, socket, owner)) bits |= WRITABLE;
  return bits;
}

/** How many bytes may wait at the other end of what `socket` sends. */
export function sendLimit(mem: SharedMemory, socket: number, peer: number): number {
  const own = mem.getU32(socket + Socket.sendBuffer);
  return isInet(mem, socket) ? own + mem.getU32(peer + Socket.receiveBuffer) : own;
}

/** Whether poll calls a socket writable: a good part of the room at its peer is free. */
function hasRoom(mem: SharedMemory, socket: number, owner: number): boolean {
  // A stream's peer stays as long as the stream is open; that of datagrams may be another one at any moment.
  if (isConnectionBased(mem, socket)) {
    const peer = mem.atomicLoad(socket + Socket.peer) >>> 0;
    return peer === 0 || hasRoomAt(mem, socket, peer);
  }
  const peer = acquirePeer(mem, socket, owner);
  if (peer === 0) return true;
  const room = hasRoomAt(mem, socket, peer);
  dropSocket(mem, peer, owner);
  return room;
}

function hasRoomAt(mem: SharedMemory, socket: number, peer: number): boolean {
  const limit = sendLimit(mem, socket, peer);
  const part = isInet(mem, socket) ? 2 : 4;
  const free = (): boolean =>
    mem.atomicLoad(peer + Socket.used) * part <= limit && packetFits(mem, socket, peer);
  if (free()) return true;
  // Whoever has looked is to be told.
  mem.atomicStore(peer + Socket.wanted, limit);
  return free();
}

/** net.unix.max_dgram_qlen: so many packets and one may wait at a socket that is not connected to their sender. */
const MOST_PACKETS = 11;

/** How many packets of `socket` may wait at `other`. */
export function packetLimit(mem: SharedMemory, socket: number, other: number): number {
  return mem.atomicLoad(other + Socket.peer) >>> 0 === socket ? 0x7fff_ffff : MOST_PACKETS;
}

function packetFits(mem: SharedMemory, socket: number, peer: number): boolean {
  if (mem.getU32(socket + Socket.type) !== SOCK_DGRAM || isInet(mem, socket)) return true;
  return mem.atomicLoad(peer + Socket.packets) < packetLimit(mem, socket, peer);
}
