import { copyOut, readI32, readI64, readU64, writeI32, writeU16, writeU32 } from '../../memory/userAccess.js';
import { SocketEnd } from '../../sync/records/pipe.js';
import {
  EAFNOSUPPORT,
  EINVAL,
  EISCONN,
  ENOPROTOOPT,
  EOPNOTSUPP,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from '../errno.js';
import { closeDescriptor, newDescriptor, withRealFile } from '../files/descriptors.js';
import { releaseOpenFile } from '../files/openFile.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import {
  createSocketPair,
  MSG_TRUNC,
  receiveFrom,
  SHUT_RECEIVE,
  SHUT_SEND,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOCKET_BUFFER,
  sendTo,
  shutdownSocket,
  socketOf,
} from '../files/socketPair.js';
import { UserVector } from '../files/userVector.js';
import type { ThreadContext } from '../threadContext.js';
import { type SyscallTable, syscall } from './syscall.js';
import {
  SYS_accept,
  SYS_accept4,
  SYS_bind,
  SYS_connect,
  SYS_getpeername,
  SYS_getsockname,
  SYS_getsockopt,
  SYS_listen,
  SYS_recvfrom,
  SYS_recvmsg,
  SYS_sendmsg,
  SYS_sendto,
  SYS_setsockopt,
  SYS_shutdown,
  SYS_socket,
  SYS_socketpair,
} from './syscallNumbers.js';

/** Sockets: pairs of AF_UNIX. There is no network and there are no names yet, so socket(2) knows no address family. */

const AF_UNIX = 1;
const TYPE_MASK = 0xf;
const SOCK_CLOEXEC = O_CLOEXEC;
const SOCK_NONBLOCK = O_NONBLOCK;

function socketpair(t: ThreadContext, domain: number, type: number, protocol: number, out: number): number {
  if ((type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  if (domain !== AF_UNIX) return -EAFNOSUPPORT;
  if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
  const kind = type & TYPE_MASK;
  if (kind !== SOCK_STREAM && kind !== SOCK_DGRAM && kind !== SOCK_SEQPACKET) return -ESOCKTNOSUPPORT;
  const [one, two] = createSocketPair(t, kind, type & SOCK_NONBLOCK);
  let first: number;
  try {
    first = newDescriptor(t, one, type & SOCK_CLOEXEC);
  } catch (error) {
    releaseOpenFile(t.mem, two, t.thread);
    throw error;
  }
  let second = -1;
  try {
    second = newDescriptor(t, two, type & SOCK_CLOEXEC);
    writeI32(t, out, first);
    writeI32(t, out + 4, second);
    return 0;
  } catch (error) {
    closeDescriptor(t, first);
    if (second >= 0) closeDescriptor(t, second);
    throw error;
  }
}

function sendto(
  t: ThreadContext,
  fd: number,
  buffer: number,
  length: number,
  flags: number,
  address: number,
): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    // Both ends of a pair are connected: they take no address.
    if (address !== 0) return -EISCONN;
    return sendTo(t, file, UserVector.single(buffer, length), flags | 0);
  });
}

function recvfrom(
  t: ThreadContext,
  fd: number,
  buffer: number,
  length: number,
  flags: number,
  _address: number,
  addressLength: number,
): number {
  return withRealFile(t, fd, (file) => {
    const { result } = receiveFrom(t, file, UserVector.single(buffer, length), flags | 0);
    // The other end has no name.
    if (result >= 0 && addressLength !== 0) writeU32(t, addressLength, 0);
    return result;
  });
}

/** struct msghdr: name, its length, iovec, its length, control, its length, flags; 56 bytes. */
function vectorOf(t: ThreadContext, message: number): UserVector {
  return UserVector.fromIovec(t, readI64(t, message + 16), readU64(t, message + 24));
}

function sendmsg(t: ThreadContext, fd: number, message: number, flags: number): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    // Descriptors and credentials cannot be sent along.
    if (readI64(t, message + 32) !== 0 && readU64(t, message + 40) !== 0) return -EOPNOTSUPP;
    return sendTo(t, file, vectorOf(t, message), flags | 0);
  });
}

function recvmsg(t: ThreadContext, fd: number, message: number, flags: number): number {
  return withRealFile(t, fd, (file) => {
    const { result, truncated } = receiveFrom(t, file, vectorOf(t, message), flags | 0);
    if (result < 0) return result;
    writeU32(t, message + 8, 0);
    writeU32(t, message + 40, 0);
    writeU32(t, message + 44, 0);
    writeU32(t, message + 48, truncated ? MSG_TRUNC : 0);
    return result;
  });
}

/** getsockname and getpeername: the family alone, as for sockets without a name. */
function socketName(t: ThreadContext, fd: number, address: number, length: number): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    const room = readI32(t, length);
    if (room < 0) return -EINVAL;
    if (room >= 2) writeU16(t, address, AF_UNIX);
    writeI32(t, length, 2);
    return 0;
  });
}

const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ERROR = 4;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_KEEPALIVE = 9;
const SO_PEERCRED = 17;
const SO_PROTOCOL = 38;
const SO_ACCEPTCONN = 30;
const SO_DOMAIN = 39;
const SO_REUSEADDR = 2;

function getsockopt(
  t: ThreadContext,
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
): number {
  return withRealFile(t, fd, (file) => {
    const socket = socketOf(t.mem, file);
    if ((level | 0) !== SOL_SOCKET) return -EOPNOTSUPP;
    const room = readI32(t, length);
    if (room < 0) return -EINVAL;
    const answers: Readonly<Record<number, readonly number[]>> = {
      [SO_TYPE]: [t.mem.getU32(socket + SocketEnd.type)],
      [SO_ERROR]: [0],
      [SO_SNDBUF]: [SOCKET_BUFFER],
      [SO_RCVBUF]: [SOCKET_BUFFER],
      [SO_KEEPALIVE]: [0],
      [SO_REUSEADDR]: [0],
      [SO_PROTOCOL]: [0],
      [SO_ACCEPTCONN]: [0],
      [SO_DOMAIN]: [AF_UNIX],
      [SO_PEERCRED]: [
        t.mem.getU32(socket + SocketEnd.pid),
        t.mem.getU32(socket + SocketEnd.uid),
        t.mem.getU32(socket + SocketEnd.gid),
      ],
    };
    const answer = answers[name | 0];
    if (answer === undefined) return -ENOPROTOOPT;
    const bytes = new Uint8Array(Uint32Array.from(answer).buffer);
    const count = Math.min(room, bytes.length);
    copyOut(t, value, bytes.subarray(0, count));
    writeI32(t, length, count);
    return 0;
  });
}

/** Buffer sizes and keep-alive are as they are; everything else is unknown. */
function setsockopt(t: ThreadContext, fd: number, level: number, name: number): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    const harmless = [SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_REUSEADDR];
    return (level | 0) === SOL_SOCKET && harmless.includes(name | 0) ? 0 : -ENOPROTOOPT;
  });
}

function shutdown(t: ThreadContext, fd: number, how: number): number {
  return withRealFile(t, fd, (file) => {
    socketOf(t.mem, file);
    const bits = [SHUT_RECEIVE, SHUT_SEND, SHUT_RECEIVE | SHUT_SEND][how | 0];
    if (bits === undefined) return -EINVAL;
    shutdownSocket(t, file, bits);
    return 0;
  });
}

/** Calls on sockets that listen or connect by name: a pair's end is neither. */
function notForPairs(errno: number): (t: ThreadContext, fd: number) => number {
  return (t, fd) =>
    withRealFile(t, fd, (file) => {
      socketOf(t.mem, file);
      return -errno;
    });
}

export const socketCalls: SyscallTable = {
  [SYS_socket]: syscall('socket', ['int', 'int', 'int'], () => -EAFNOSUPPORT),
  [SYS_socketpair]: syscall(
    'socketpair',
    ['int', 'int', 'int', 'pointer'],
    (t, domain, type, protocol, out) => socketpair(t, domain | 0, type | 0, protocol | 0, out),
  ),
  [SYS_sendto]: syscall('sendto', ['fd', 'buffer', 'size', 'hex', 'pointer', 'uint'], sendto),
  [SYS_recvfrom]: syscall('recvfrom', ['fd', 'pointer', 'size', 'hex', 'pointer', 'pointer'], recvfrom),
  [SYS_sendmsg]: syscall('sendmsg', ['fd', 'pointer', 'hex'], sendmsg),
  [SYS_recvmsg]: syscall('recvmsg', ['fd', 'pointer', 'hex'], recvmsg),
  [SYS_getsockname]: syscall('getsockname', ['fd', 'pointer', 'pointer'], socketName),
  [SYS_getpeername]: syscall('getpeername', ['fd', 'pointer', 'pointer'], socketName),
  [SYS_getsockopt]: syscall('getsockopt', ['fd', 'int', 'int', 'pointer', 'pointer'], getsockopt),
  [SYS_setsockopt]: syscall('setsockopt', ['fd', 'int', 'int', 'pointer', 'uint'], setsockopt),
  [SYS_shutdown]: syscall('shutdown', ['fd', 'int'], shutdown),
  [SYS_bind]: syscall('bind', ['fd', 'pointer', 'uint'], notForPairs(EINVAL)),
  [SYS_listen]: syscall('listen', ['fd', 'int'], notForPairs(EINVAL)),
  [SYS_accept]: syscall('accept', ['fd', 'pointer', 'pointer'], notForPairs(EINVAL)),
  [SYS_accept4]: syscall('accept4', ['fd', 'pointer', 'pointer', 'hex'], notForPairs(EINVAL)),
  [SYS_connect]: syscall('connect', ['fd', 'pointer', 'uint'], notForPairs(EISCONN)),
};
