import {
  copyIn,
  copyOut,
  readI32,
  readI64,
  readU64,
  write64,
  writeI32,
  writeU32,
} from '../../memory/userAccess.js';
import { monotonicNow } from '../../sync/park.js';
import { Socket } from '../../sync/records/socket.js';
import { EAGAIN, EINVAL, EMSGSIZE, SyscallError } from '../errno.js';
import { withRealFile } from '../files/descriptors.js';
import { releaseOpenFile } from '../files/openFile.js';
import { UserVector } from '../files/userVector.js';
import { familyOf, hasOption, isInet, isStream, socketOf, takeError } from '../sockets/socket.js';
import { peerAddress } from '../sockets/socketAddresses.js';
import {
  AF_UNIX,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  MSG_WAITFORONE,
  OPTION_PASS_CREDENTIALS,
} from '../sockets/socketNumbers.js';
import type { Attached } from '../sockets/socketQueue.js';
import { receiveFrom, sendTo } from '../sockets/transfer.js';
import type { ThreadContext } from '../threadContext.js';
import { readControl, writeControl } from './controlMessages.js';
import { readTimespec } from './structsTime.js';

/** send, recv and their like: struct msghdr and what it points to. */

/** sizeof(struct sockaddr_storage). */
const MOST_ADDRESS = 128;

/** A sockaddr argument. Throws SyscallError(EINVAL) and UserFault. */
export function readAddress(t: ThreadContext, address: number, length: number): Uint8Array {
  const size = length | 0;
  if (size < 0 || size > MOST_ADDRESS) throw new SyscallError(EINVAL);
  const bytes = new Uint8Array(size);
  if (size > 0) copyIn(t, address, bytes);
  return bytes;
}

/** Gives a sockaddr back: what fits of it, and its whole length. */
export function writeAddress(t: ThreadContext, address: number, length: number, bytes: Uint8Array): void {
  const room = readI32(t, length);
  if (room < 0) throw new SyscallError(EINVAL);
  if (room > 0) copyOut(t, address, bytes.subarray(0, room));
  writeI32(t, length, bytes.length);
}

export function sendto(
  t: ThreadContext,
  fd: number,
  buffer: number,
  length: number,
  flags: number,
  address: number,
  addressLength: number,
): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    const to = address === 0 ? undefined : readAddress(t, address, addressLength);
    return sendTo(t, file, UserVector.single(buffer, length), { flags: flags | 0, to });
  });
}

/** Where a received message came from, as recvfrom tells it. */
function sourceOf(t: ThreadContext, socket: number, attached: Attached): Uint8Array {
  if (attached.address !== undefined) return attached.address;
  if (familyOf(t.mem, socket) !== AF_UNIX || !isStream(t.mem, socket)) return NO_ADDRESS;
  const peer = peerAddress(t.mem, socket, t.thread);
  return peer === undefined || peer.length <= 2 ? NO_ADDRESS : peer;
}
const NO_ADDRESS = new Uint8Array(0);

export function recvfrom(
  t: ThreadContext,
  fd: number,
  buffer: number,
  length: number,
  flags: number,
  address: number,
  addressLength: number,
): number {
  return withRealFile(t, fd, (file) => {
    const socket = socketOf(t.mem, file);
    const { result, attached } = receiveFrom(t, file, UserVector.single(buffer, length), flags | 0);
    dropFiles(t, attached);
    if (result >= 0 && address !== 0) writeAddress(t, address, addressLength, sourceOf(t, socket, attached));
    return result;
  });
}

/** Closes descriptors that nobody has asked for. */
function dropFiles(t: ThreadContext, { files }: Attached): void {
  for (const file of files) releaseOpenFile(t.mem, file, t.thread);
}

/** struct msghdr: name, its length, iovec, its length, control, its length, flags; 56 bytes. */
const NAME_LENGTH = 8;
const CONTROL = 32;
const CONTROL_LENGTH = 40;
const FLAGS = 48;

function vectorOf(t: ThreadContext, message: number): UserVector {
  const count = readU64(t, message + 24);
  if (count > 1024) throw new SyscallError(EMSGSIZE);
  return UserVector.fromIovec(t, readI64(t, message + 16), count);
}

function sendMessage(t: ThreadContext, file: number, message: number, flags: number): number {
  const { mem, thread } = t;
  const socket = socketOf(mem, file);
  const name = readI64(t, message);
  const nameLength = readI32(t, message + NAME_LENGTH);
  const to = name === 0 || nameLength === 0 ? undefined : readAddress(t, name, nameLength);
  const vector = vectorOf(t, message);
  const takesFiles = familyOf(mem, socket) === AF_UNIX;
  const { files, credentials, hops, trafficClass } = readControl(
    t,
    readI64(t, message + CONTROL),
    readI64(t, message + CONTROL_LENGTH),
    takesFiles,
    isInet(mem, socket) && !isStream(mem, socket),
  );
  let sent = false;
  try {
    const result = sendTo(t, file, vector, { flags, to, files, credentials, hops, trafficClass });
    // Nothing of a stream goes nowhere, and takes no descriptors along.
    sent = result > 0 || (result === 0 && !isStream(mem, socket));
    return result;
  } finally {
    if (!sent) for (const open of files) releaseOpenFile(mem, open, thread);
  }
}

export function sendmsg(t: ThreadContext, fd: number, message: number, flags: number): number {
  return withRealFile(t, fd, (file) => sendMessage(t, file, message, flags | 0));
}

function receiveMessage(t: ThreadContext, file: number, message: number, flags: number): number {
  const { mem } = t;
  const socket = socketOf(mem, file);
  const name = readI64(t, message);
  const control = readI64(t, message + CONTROL);
  const controlLength = readI64(t, message + CONTROL_LENGTH);
  const vector = vectorOf(t, message);
  if (flags & MSG_ERRQUEUE) return -EAGAIN;
  const received = receiveFrom(t, file, vector, flags);
  if (received.result < 0) return received.result;
  const closeOnExec = (flags & MSG_CMSG_CLOEXEC) !== 0;
  const { used, flags: truncated } = writeControl(t, control, controlLength, received.attached, {
    credentials: familyOf(mem, socket) === AF_UNIX && hasOption(mem, socket, OPTION_PASS_CREDENTIALS),
    closeOnExec,
    told: mem.atomicLoad(socket + Socket.options),
  });
  if (name !== 0) writeAddress(t, name, message + NAME_LENGTH, sourceOf(t, socket, received.attached));
  write64(t, message + CONTROL_LENGTH, used);
  writeU32(t, message + FLAGS, received.flags | truncated | (closeOnExec ? MSG_CMSG_CLOEXEC : 0));
  return received.result;
}

export function recvmsg(t: ThreadContext, fd: number, message: number, flags: number): number {
  return withRealFile(t, fd, (file) => receiveMessage(t, file, message, flags | 0));
}

/** struct mmsghdr: a msghdr and how many bytes were sent or received. */
const MMSG_SIZE = 64;
const MMSG_LENGTH = 56;
/** UIO_MAXIOV. */
const MOST_MESSAGES = 1024;

export function sendmmsg(
  t: ThreadContext,
  fd: number,
  messages: number,
  count: number,
  flags: number,
): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    return forEachMessage(t, count >>> 0, (i) => {
      const message = messages + i * MMSG_SIZE;
      const result = sendMessage(t, file, message, flags | 0);
      if (result >= 0) writeU32(t, message + MMSG_LENGTH, result);
      return result;
    });
  });
}

/** Runs `one` for each message until one fails: how many did not, or the first one's −errno. */
function forEachMessage(t: ThreadContext, count: number, one: (index: number) => number): number {
  let done = 0;
  for (; done < Math.min(count, MOST_MESSAGES); done++) {
    const index = done;
    try {
      // Of a call that is begun again nothing must be done.
      const result = done === 0 ? one(0) : t.keepHost(() => one(index));
      if (result < 0) return done > 0 ? done : result;
    } catch (error) {
      if (done > 0) return done;
      throw error;
    }
  }
  return done;
}

export function recvmmsg(
  t: ThreadContext,
  fd: number,
  messages: number,
  count: number,
  flags: number,
  timeout: number,
): number {
  const deadline = timeout === 0 ? Infinity : monotonicNow() + readTimespec(t, timeout);
  return withRealFile(t, fd, (file) => {
    const socket = socketOf(t.mem, file);
    const errno = takeError(t.mem, socket);
    if (errno !== 0) return -errno;
    let waits = (flags & MSG_DONTWAIT) === 0;
    let late = false;
    return forEachMessage(t, count >>> 0, (i) => {
      // The time is looked at after each message only (man 2 recvmmsg, BUGS).
      if (late) return -EAGAIN;
      const message = messages + i * MMSG_SIZE;
      const own = (flags & ~MSG_WAITFORONE) | (waits ? 0 : MSG_DONTWAIT);
      const result = receiveMessage(t, file, message, own);
      if (result >= 0) writeU32(t, message + MMSG_LENGTH, result);
      if (flags & MSG_WAITFORONE) waits = false;
      if (monotonicNow() >= deadline) late = true;
      return result;
    });
  });
}
