import { UserFault } from '../../memory/caller.js';
import { withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import {
  SOCKET_CLOSED,
  SOCKET_CONNECTED,
  SOCKET_CONNECTING,
  SOCKET_UNCONNECTED,
  Socket,
  Sockets,
} from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { realtimeNow } from '../clock.js';
import {
  EAGAIN,
  ECONNREFUSED,
  EINVAL,
  EISCONN,
  EMSGSIZE,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  EPIPE,
} from '../errno.js';
import { signalUrgent } from '../files/asyncSignals.js';
import { POLLPRI, POLLRDBAND, READABLE, WRITABLE } from '../files/events.js';
import { releaseOpenFile, retainOpenFile } from '../files/openFile.js';
import { raiseBrokenPipe } from '../files/raise.js';
import type { ByteVector } from '../files/userVector.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait } from '../waiting.js';
import { tellHost } from './hostRequests.js';
import { sendDatagram } from './inetDatagram.js';
import { sendNetlink } from './netlink.js';
import {
  acquirePeer,
  dropSocket,
  failSocket,
  familyOf,
  hasOption,
  isConnectionBased,
  isInet,
  isShut,
  isStream,
  packetLimit,
  retainSocket,
  sendLimit,
  setPeer,
  signalSocket,
  socketOf,
  stateOf,
  takeError,
  waitOnSocket,
} from './socket.js';
import {
  AF_NETLINK,
  AF_UNIX,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSG_OOB,
  MSG_PEEK,
  MSG_TRUNC,
  MSG_WAITALL,
  OPTION_PASS_CREDENTIALS,
  OPTION_TIMESTAMP,
  OPTION_TIMESTAMP_NS,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SOCK_DGRAM,
} from './socketNumbers.js';
import {
  type Attached,
  type Credentials,
  countInFlightLocked,
  createMark,
  freeMark,
  NEEDS_SOCKETS_LOCK,
  NOTHING_ATTACHED,
  PACKET_HEADER,
  PUT_CLOSED,
  PUT_FULL,
  putPacket,
  putStream,
  readableBytes,
  type Taken,
  takePacket,
  takeStream,
  takeUrgent,
} from './socketQueue.js';
import { socketsGlobal } from './socketsGlobal.js';
import { interruptedResult, timeoutDeadline } from './socketTimeouts.js';
import { packUnixAddress, parseUnixAddress } from './unixAddress.js';
import { findUnix, maySend, nameForCredentials } from './unixSocket.js';

/**
 * Sending and receiving. Bytes pass through a buffer of the worker's own, so that no lock is held while guest memory is
 * touched.
 */

const BOUNCE = 65536;
const bounce = new Uint8Array(BOUNCE);
/** What the kernel keeps of a send buffer for itself. */
const OVERHEAD = 32;

/** What is sent along, and where to. */
export interface Outgoing {
  readonly flags: number;
  /** sockaddr that was given; undefined: none. */
  readonly to?: Uint8Array | undefined;
  /** Open files with a reference each, which the callee takes over when the result is not negative. */
  readonly files?: readonly number[];
  readonly credentials?: Credentials | undefined;
  /** UDP: hop limit and class of this packet; undefined or −1: the socket's. */
  readonly hops?: number | undefined;
  readonly trafficClass?: number | undefined;
}

/** What a receive gave. */
export interface Received {
  /** Bytes, or −errno. */
  readonly result: number;
  /** MSG_TRUNC when a packet was longer than the buffer. */
  readonly flags: number;
  readonly attached: Attached;
}

function failed(errno: number): Received {
  return { result: -errno, flags: 0, attached: NOTHING_ATTACHED };
}

export function doesNotWait(t: ThreadContext, file: number, flags: number): boolean {
  return (flags & MSG_DONTWAIT) !== 0 || mustNotWait(t, file);
}

/** send(2) and its like. */
export function sendTo(t: ThreadContext, file: number, from: ByteVector, outgoing: Outgoing): number {
  const { mem } = t;
  const socket = socketOf(mem, file);
  if (outgoing.flags & MSG_OOB && (!isStream(mem, socket) || from.length === 0)) return -EOPNOTSUPP;
  const noWait = doesNotWait(t, file, outgoing.flags);
  if (isStream(mem, socket)) return sendStream(t, socket, from, outgoing, noWait);
  switch (familyOf(mem, socket)) {
    case AF_UNIX:
      return sendPacket(t, socket, from, outgoing, noWait);
    case AF_NETLINK:
      return sendNetlink(t, socket, from);
    default:
      return sendDatagram(t, socket, from, outgoing, noWait);
  }
}

function brokenPipe(t: ThreadContext, flags: number): number {
  if ((flags & MSG_NOSIGNAL) === 0) raiseBrokenPipe(t);
  return -EPIPE;
}

/** Credentials that go along: those that were given, or the sender's where one side wants them. */
function credentialsFor(
  t: ThreadContext,
  socket: number,
  peer: number,
  given: Credentials | undefined,
): Credentials | undefined {
  const { mem, guest } = t;
  if (given !== undefined || familyOf(mem, socket) !== AF_UNIX) return given;
  const wanted =
    hasOption(mem, socket, OPTION_PASS_CREDENTIALS) ||
    hasOption(mem, peer, OPTION_PASS_CREDENTIALS) ||
    // Nobody has accepted it yet: who does may ask then.
    (mem.getU32(peer + Socket.file) === 0 && mem.getU32(peer + Socket.host) === 0);
  if (!wanted) return undefined;
  return {
    pid: mem.getU32(guest + Guest.pid),
    uid: mem.getU32(t.cred + Cred.uids),
    gid: mem.getU32(t.cred + Cred.gids),
  };
}

/** Runs `put` with a mark of what goes along; the mark is freed when nothing was put. */
function putAttached(t: ThreadContext, attached: Attached, put: (mark: number) => number): number {
  const { mem, thread } = t;
  const mark = createMark(mem, attached, thread);
  if (attached.files.length === 0) {
    const result = put(mark);
    if (result <= 0 && mark !== 0) freeMark(mem, mark, thread);
    return result;
  }
  const global = socketsGlobal(mem, thread);
  return withMutex(mem, global + Sockets.lock, thread, () => {
    countInFlightLocked(mem, attached.files, 1, thread);
    const result = put(mark);
    if (result <= 0) {
      countInFlightLocked(mem, attached.files, -1, thread);
      freeMark(mem, mark, thread);
    }
    return result;
  });
}

/** Waits for the end of a connect under way. Returns 0 or −errno. */
function awaitConnection(t: ThreadContext, socket: number, noWait: boolean, deadline: number): number {
  if (noWait) return -EAGAIN;
  const outcome = waitOnSocket(t, socket, () => stateOf(t.mem, socket) !== SOCKET_CONNECTING, { deadline });
  if (outcome === 'interrupted') return interruptedResult(deadline);
  return outcome === 'timed-out' ? -EAGAIN : 0;
}

function sendStream(
  t: ThreadContext,
  socket: number,
  from: ByteVector,
  { flags, to, files = [], credentials }: Outgoing,
  noWait: boolean,
): number {
  const { mem, thread } = t;
  const inet = isInet(mem, socket);
  const deadline = timeoutDeadline(t, socket, Socket.sendTimeout);
  if (stateOf(mem, socket) === SOCKET_CONNECTING) {
    const result = awaitConnection(t, socket, noWait, deadline);
    if (result < 0) return result;
  }
  if (to !== undefined && !inet) return stateOf(mem, socket) === SOCKET_CONNECTED ? -EISCONN : -EOPNOTSUPP;
  let done = t.takeProgress();
  for (;;) {
    const errno = takeError(mem, socket);
    if (errno !== 0) {
      if (done > 0) {
        mem.atomicStore(socket + Socket.error, errno);
        return done;
      }
      return errno === EPIPE ? brokenPipe(t, flags) : -errno;
    }
    if (isShut(mem, socket, SHUT_SEND)) return done > 0 ? done : brokenPipe(t, flags);
    if (stateOf(mem, socket) !== SOCKET_CONNECTED) return inet ? brokenPipe(t, flags) : -ENOTCONN;
    // A stream's peer stays as long as the stream is open.
    const peer = mem.getU32(socket + Socket.peer);
    let had: number;
    try {
      had = from.copyIn(t, done, bounce.subarray(0, Math.min(BOUNCE, from.length - done)));
    } catch (fault) {
      if (done > 0 && fault instanceof UserFault) return done;
      throw fault;
    }
    if (had === 0) return done;
    const first = done === 0;
    const attached: Attached = {
      files: first ? files : [],
      credentials: credentialsFor(t, socket, peer, first ? credentials : undefined),
      address: undefined,
    };
    const limit = sendLimit(mem, socket, peer);
    // The host's connections have no urgent bytes: Node cannot send them.
    const inMachine = mem.getU32(peer + Socket.host) === 0;
    const urgent = inMachine && (flags & MSG_OOB) !== 0 && done + had === from.length;
    const put = putAttached(t, attached, (mark) =>
      putStream(mem, peer, bounce.subarray(0, had), limit, mark, thread, urgent),
    );
    if (put > 0) {
      done += put;
      if (urgent && done === from.length) tellUrgent(mem, peer, thread);
      if (mem.getU32(peer + Socket.host) !== 0) tellHost(mem, peer, thread);
      else signalSocket(mem, peer, READABLE, thread);
      if (done === from.length || (put === had && had < Math.min(BOUNCE, from.length - done + put)))
        return done;
      continue;
    }
    if (put === PUT_CLOSED) {
      if (!inet) return done > 0 ? done : brokenPipe(t, flags);
      // The other end answers with a reset: this time it looks as if all were sent.
      mem.atomicOr(socket + Socket.shut, SHUT_BOTH);
      failSocket(mem, socket, EPIPE, thread);
      return from.length;
    }
    if (noWait) return done > 0 ? done : -EAGAIN;
    const outcome = waitOnSocket(
      t,
      socket,
      () =>
        mem.atomicLoad(peer + Socket.used) * 2 <= limit ||
        isShut(mem, socket, SHUT_SEND) ||
        mem.atomicLoad(socket + Socket.error) !== 0 ||
        stateOf(mem, peer) === SOCKET_CLOSED,
      // Descriptors have gone along with the first bytes.
      { deadline, progress: done, stays: files.length > 0 },
    );
    if (outcome === 'interrupted') return done > 0 ? done : interruptedResult(deadline);
    if (outcome === 'timed-out') return done > 0 ? done : -EAGAIN;
  }
}

/** SIGURG to whom the open file at the other end names. */
function tellUrgent(mem: SharedMemory, peer: number, owner: number): void {
  const global = socketsGlobal(mem, owner);
  const file = withMutex(mem, global + Sockets.lock, owner, () => {
    const found = mem.getU32(peer + Socket.file);
    if (found !== 0) retainOpenFile(mem, found);
    return found;
  });
  if (file === 0) return;
  signalUrgent(mem, file, owner);
  releaseOpenFile(mem, file, owner);
  signalSocket(mem, peer, POLLPRI | POLLRDBAND, owner);
}

/** Datagrams and sequenced packets of AF_UNIX. */
function sendPacket(
  t: ThreadContext,
  socket: number,
  from: ByteVector,
  { flags, to, files = [], credentials }: Outgoing,
  noWait: boolean,
): number {
  const { mem, thread } = t;
  const sequenced = isConnectionBased(mem, socket);
  nameForCredentials(t, socket);
  const errno = takeError(mem, socket);
  if (errno !== 0) return -errno;
  if (sequenced && stateOf(mem, socket) !== SOCKET_CONNECTED) return -ENOTCONN;
  const named = to !== undefined && !sequenced;
  const deadline = timeoutDeadline(t, socket, Socket.sendTimeout);
  const other = named ? findUnix(t, parseUnixAddress(to), SOCK_DGRAM) : acquirePeer(mem, socket, thread);
  if (other === 0) return -ENOTCONN;
  try {
    if (from.length > mem.getU32(socket + Socket.sendBuffer) - OVERHEAD) return -EMSGSIZE;
    if (isShut(mem, socket, SHUT_SEND)) return sequenced ? brokenPipe(t, flags) : -EPIPE;
    const packet = from.length <= BOUNCE ? bounce.subarray(0, from.length) : new Uint8Array(from.length);
    from.copyIn(t, 0, packet);
    const stamped = (mem.atomicLoad(other + Socket.options) & (OPTION_TIMESTAMP | OPTION_TIMESTAMP_NS)) !== 0;
    const time = stamped ? Math.floor(realtimeNow(mem) * 1000) : 0;
    const attached: Attached = {
      files,
      credentials: credentialsFor(t, socket, other, credentials),
      ...(stamped && { packet: { time, to: new Uint8Array(16), hops: 0, trafficClass: 0 } }),
      address:
        mem.getU32(socket + Socket.name) === 0
          ? undefined
          : packUnixAddress(mem, mem.getU32(socket + Socket.name)),
    };
    for (;;) {
      if (isShut(mem, other, SHUT_RECEIVE)) return sequenced ? brokenPipe(t, flags) : -EPIPE;
      if (!maySend(mem, socket, other)) return -EPERM;
      const limit = mem.getU32(socket + Socket.sendBuffer);
      const most = packetLimit(mem, socket, other);
      const put = putAttached(t, attached, (mark) =>
        putPacket(mem, other, packet, limit, most, mark, thread),
      );
      if (put === PUT_CLOSED) {
        if (sequenced) return brokenPipe(t, flags);
        if (!named) setPeer(mem, socket, 0, thread);
        return -ECONNREFUSED;
      }
      if (put !== PUT_FULL) {
        signalSocket(mem, other, READABLE, thread);
        return from.length;
      }
      if (noWait) return -EAGAIN;
      // bounce is the worker's, which runs nothing else while this thread waits.
      const room = (): boolean =>
        mem.atomicLoad(other + Socket.used) === 0 ||
        (mem.atomicLoad(other + Socket.used) + PACKET_HEADER + packet.length <= limit &&
          mem.atomicLoad(other + Socket.packets) < most) ||
        stateOf(mem, other) === SOCKET_CLOSED ||
        isShut(mem, other, SHUT_RECEIVE);
      const outcome = waitOnSocket(t, other, room, { deadline, stays: true });
      if (outcome === 'interrupted') return interruptedResult(deadline);
      if (outcome === 'timed-out') return -EAGAIN;
    }
  } finally {
    dropSocket(mem, other, thread);
  }
}

/** Runs `take`, and again with Sockets.lock held when it finds descriptors. */
function takeWithFiles(
  t: ThreadContext,
  take: (locked: boolean) => Taken | undefined | typeof NEEDS_SOCKETS_LOCK,
): Taken | undefined {
  const taken = take(false);
  if (taken !== NEEDS_SOCKETS_LOCK) return taken;
  const global = socketsGlobal(t.mem, t.thread);
  const again = withMutex(t.mem, global + Sockets.lock, t.thread, () => take(true));
  return again === NEEDS_SOCKETS_LOCK ? undefined : again;
}

/** Tells whoever sends to `socket` that there is room. */
function tellSenders(t: ThreadContext, socket: number): void {
  const { mem, thread } = t;
  const peer = acquirePeer(mem, socket, thread);
  if (peer !== 0) {
    if (mem.getU32(peer + Socket.host) !== 0) tellHost(mem, peer, thread);
    else signalSocket(mem, peer, WRITABLE, thread);
    dropSocket(mem, peer, thread);
  }
  if (isConnectionBased(mem, socket)) return;
  signalSocket(mem, socket, WRITABLE, thread);
  // Any number of sockets may be connected to this one.
  const global = socketsGlobal(mem, thread);
  const senders = withMutex(mem, global + Sockets.lock, thread, () => {
    const found: number[] = [];
    for (let s = mem.getU32(global + Sockets.all); s !== 0; s = mem.getU32(s + Socket.nextOfAll)) {
      if (s === peer || mem.getU32(s + Socket.peer) !== socket) continue;
      retainSocket(mem, s);
      found.push(s);
    }
    return found;
  });
  for (const sender of senders) {
    signalSocket(mem, sender, WRITABLE, thread);
    dropSocket(mem, sender, thread);
  }
}

/** recv(2) and its like with MSG_* flags. */
export function receiveFrom(t: ThreadContext, file: number, into: ByteVector, flags: number): Received {
  const { mem } = t;
  const socket = socketOf(mem, file);
  if (flags & MSG_OOB) return receiveUrgent(t, socket, into, flags);
  const noWait = doesNotWait(t, file, flags);
  return isStream(mem, socket)
    ? receiveStream(t, socket, into, flags, noWait)
    : receivePacket(t, socket, into, flags, noWait);
}

/** recv(2) with MSG_OOB: the urgent byte. */
function receiveUrgent(t: ThreadContext, socket: number, into: ByteVector, flags: number): Received {
  if (!isStream(t.mem, socket)) return failed(EOPNOTSUPP);
  if (isInet(t.mem, socket) && stateOf(t.mem, socket) === SOCKET_UNCONNECTED) return failed(ENOTCONN);
  const byte = takeUrgent(t.mem, socket, (flags & MSG_PEEK) !== 0, t.thread);
  if (byte < 0) return failed(-byte);
  const result = into.length === 0 ? 0 : into.copyOut(t, 0, Uint8Array.of(byte));
  return { result, flags: into.length === 0 ? MSG_OOB | MSG_TRUNC : MSG_OOB, attached: NOTHING_ATTACHED };
}

/** What a receive answers when the queue is empty and need not be waited for: the end (0), or −errno; undefined: wait. */
function endOrError(mem: SharedMemory, socket: number): number | undefined {
  // After the end has been received, a reset says nothing new to the reader.
  if (mem.atomicLoad(socket + Socket.error) === EPIPE && isInet(mem, socket)) return 0;
  const errno = takeError(mem, socket);
  if (errno !== 0) return -errno;
  if (isShut(mem, socket, SHUT_RECEIVE)) return 0;
  return undefined;
}

function receiveStream(
  t: ThreadContext,
  socket: number,
  into: ByteVector,
  flags: number,
  noWait: boolean,
): Received {
  const { mem, thread } = t;
  const deadline = timeoutDeadline(t, socket, Socket.receiveTimeout);
  const peek = (flags & MSG_PEEK) !== 0;
  const apart = hasOption(mem, socket, OPTION_PASS_CREDENTIALS);
  const lowWater = Math.max(1, Math.min(mem.getU32(socket + Socket.lowWater), into.length));
  const target = flags & MSG_WAITALL ? into.length : lowWater;
  let done = t.takeProgress();
  let attached = NOTHING_ATTACHED;
  const finish = (result: number): Received => ({ result: done > 0 ? done : result, flags: 0, attached });
  for (;;) {
    while (done < into.length) {
      if (mem.atomicLoad(socket + Socket.used) === 0) break;
      if (done === 0) into.probe(t, 'write');
      const chunk = bounce.subarray(0, Math.min(BOUNCE, into.length - done));
      const taken = takeWithFiles(t, (locked) =>
        takeStream(mem, socket, chunk, { peek, apart, locked, more: done > 0 }, thread),
      );
      if (taken === undefined) break;
      if (taken.count === 0) return finish(0);
      if (taken.tellSenders) tellSenders(t, socket);
      const copied = into.copyOut(t, done, chunk.subarray(0, taken.count));
      done += copied;
      if (taken.attached !== NOTHING_ATTACHED) {
        attached = taken.attached;
        return finish(0);
      }
      if (copied < taken.count || peek) return finish(0);
    }
    if (done >= target || into.length === 0) return finish(0);
    const end = endOrError(mem, socket);
    // What came just before the end goes first.
    if (end !== undefined && readableBytes(mem, socket) > 0) continue;
    if (end !== undefined) return finish(end);
    const state = stateOf(mem, socket);
    if (state !== SOCKET_CONNECTED && state !== SOCKET_CONNECTING)
      return finish(isInet(mem, socket) ? -ENOTCONN : -EINVAL);
    if (noWait) return finish(-EAGAIN);
    const outcome = waitOnSocket(t, socket, () => canReceive(mem, socket), { deadline, progress: done });
    if (outcome === 'interrupted') return finish(interruptedResult(deadline));
    if (outcome === 'timed-out') return finish(-EAGAIN);
  }
}

function canReceive(mem: SharedMemory, socket: number): boolean {
  return (
    readableBytes(mem, socket) > 0 ||
    isShut(mem, socket, SHUT_RECEIVE) ||
    mem.atomicLoad(socket + Socket.error) !== 0
  );
}

function receivePacket(
  t: ThreadContext,
  socket: number,
  into: ByteVector,
  flags: number,
  noWait: boolean,
): Received {
  const { mem, thread } = t;
  if (!t.resumed && isConnectionBased(mem, socket) && stateOf(mem, socket) !== SOCKET_CONNECTED)
    return failed(ENOTCONN);
  const deadline = timeoutDeadline(t, socket, Socket.receiveTimeout);
  const peek = (flags & MSG_PEEK) !== 0;
  for (;;) {
    const room = Math.min(into.length, Math.max(BOUNCE, mem.atomicLoad(socket + Socket.used)));
    const buffer = room <= BOUNCE ? bounce.subarray(0, room) : new Uint8Array(room);
    const taken = takeWithFiles(t, (locked) =>
      takePacket(mem, socket, buffer, { peek, apart: false, locked }, thread),
    );
    if (taken !== undefined) {
      if (taken.tellSenders) tellSenders(t, socket);
      const truncated = taken.length > into.length;
      const copied = taken.count === 0 ? 0 : into.copyOut(t, 0, buffer.subarray(0, taken.count));
      const result = flags & MSG_TRUNC ? taken.length : copied;
      return { result, flags: truncated ? MSG_TRUNC : 0, attached: taken.attached };
    }
    const end = endOrError(mem, socket);
    if (end !== undefined && mem.atomicLoad(socket + Socket.used) > 0) continue;
    if (end !== undefined) return { result: end, flags: 0, attached: NOTHING_ATTACHED };
    if (noWait) return failed(EAGAIN);
    const outcome = waitOnSocket(t, socket, () => canReceive(mem, socket), { deadline });
    if (outcome === 'interrupted') return { ...failed(0), result: interruptedResult(deadline) };
    if (outcome === 'timed-out') return failed(EAGAIN);
  }
}
