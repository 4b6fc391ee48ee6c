import { writeI32 } from '../../memory/userAccess.js';
import { Socket } from '../../sync/records/socket.js';
import {
  EAFNOSUPPORT,
  EINVAL,
  ENOTCONN,
  EOPNOTSUPP,
  EPERM,
  EPROTONOSUPPORT,
  ESOCKTNOSUPPORT,
} from '../errno.js';
import { closeDescriptor, newDescriptor, withRealFile } from '../files/descriptors.js';
import { releaseOpenFile } from '../files/openFile.js';
import { O_CLOEXEC, O_NONBLOCK } from '../files/openFlags.js';
import { acceptSocket } from '../sockets/accept.js';
import { anyAddress, familyOfAddress, setLocalInet } from '../sockets/inetAddress.js';
import { connectUdp } from '../sockets/inetDatagram.js';
import { bindInet, connectTcp, listenInet } from '../sockets/inetSocket.js';
import { bindNetlink, NETLINK_ROUTE, packNetlinkAddress } from '../sockets/netlink.js';
import {
  createSocket,
  familyOf,
  isTcp,
  noteCredentials,
  openSocket,
  shutSocket,
  socketOf,
} from '../sockets/socket.js';
import { localAddress, peerAddress } from '../sockets/socketAddresses.js';
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  AF_UNIX,
  AF_UNSPEC,
  SHUT_BOTH,
  SHUT_RECEIVE,
  SHUT_SEND,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../sockets/socketNumbers.js';
import { doesNotWait } from '../sockets/transfer.js';
import { bindUnix, connectUnix, createUnixPair, disconnectUnix, listenUnix } from '../sockets/unixSocket.js';
import type { ThreadContext } from '../threadContext.js';
import {
  readAddress,
  recvfrom,
  recvmmsg,
  recvmsg,
  sendmmsg,
  sendmsg,
  sendto,
  writeAddress,
} from './messageCalls.js';
import { getsockopt, initOptions, setsockopt } from './socketOptions.js';
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
  SYS_recvmmsg,
  SYS_recvmsg,
  SYS_sendmmsg,
  SYS_sendmsg,
  SYS_sendto,
  SYS_setsockopt,
  SYS_shutdown,
  SYS_socket,
  SYS_socketpair,
} from './syscallNumbers.js';

/** System calls on sockets; what they do is in kernel/sockets. */

const TYPE_MASK = 0xf;
const SOCK_CLOEXEC = O_CLOEXEC;
const SOCK_NONBLOCK = O_NONBLOCK;
/** net.core.somaxconn. */
const MOST_BACKLOG = 4096;

/** Checks the arguments of socket and socketpair; −errno, or 0. */
function checkUnix(kind: number, protocol: number): number {
  if (protocol !== 0 && protocol !== AF_UNIX) return -EPROTONOSUPPORT;
  return [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET].includes(kind) ? 0 : -ESOCKTNOSUPPORT;
}

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/** The protocol of a socket, or −errno when there is no such socket. */
function protocolOf(domain: number, kind: number, protocol: number): number {
  switch (domain) {
    case AF_UNIX:
      return checkUnix(kind, protocol);
    case AF_INET:
    case AF_INET6: {
      if (kind === SOCK_RAW) return -EPERM;
      const usual = kind === SOCK_STREAM ? IPPROTO_TCP : kind === SOCK_DGRAM ? IPPROTO_UDP : 0;
      if (usual === 0) return -ESOCKTNOSUPPORT;
      return protocol === 0 || protocol === usual ? usual : -EPROTONOSUPPORT;
    }
    case AF_NETLINK:
      if (kind !== SOCK_RAW && kind !== SOCK_DGRAM) return -ESOCKTNOSUPPORT;
      return protocol === NETLINK_ROUTE ? NETLINK_ROUTE : -EPROTONOSUPPORT;
    default:
      return -EAFNOSUPPORT;
  }
}

function socket(t: ThreadContext, domain: number, type: number, protocol: number): number {
  if ((type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  const kind = type & TYPE_MASK;
  const number = protocolOf(domain, kind, protocol);
  if (number < 0) return number;
  // Raw sockets of AF_UNIX are datagram sockets.
  const made = createSocket(t.mem, domain, kind === SOCK_RAW ? SOCK_DGRAM : kind, number, t.thread);
  if (domain === AF_INET || domain === AF_INET6)
    setLocalInet(t.mem, made, { address: anyAddress(domain), port: 0, scope: 0 });
  initOptions(t, made);
  noteCredentials(t, made);
  return newDescriptor(t, openSocket(t, made, type & SOCK_NONBLOCK), type & SOCK_CLOEXEC);
}

function socketpair(t: ThreadContext, domain: number, type: number, protocol: number, out: number): number {
  if ((type & ~(TYPE_MASK | SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  const kind = type & TYPE_MASK;
  if (domain !== AF_UNIX) return domain === AF_INET || domain === AF_INET6 ? -EOPNOTSUPP : -EAFNOSUPPORT;
  const bad = checkUnix(kind, protocol);
  if (bad < 0) return bad;
  const pair = createUnixPair(t, kind === SOCK_RAW ? SOCK_DGRAM : kind);
  const [one, two] = pair.map((end) => {
    initOptions(t, end);
    return openSocket(t, end, type & SOCK_NONBLOCK);
  });
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

/** Runs `body` on the socket of a descriptor. */
function withSocket(t: ThreadContext, fd: number, body: (socket: number, file: number) => number): number {
  return withRealFile(t, fd, (file) => body(socketOf(t.mem, file), file));
}

function bind(t: ThreadContext, fd: number, address: number, length: number): number {
  return withSocket(t, fd, (socket) => {
    const bytes = readAddress(t, address, length);
    switch (familyOf(t.mem, socket)) {
      case AF_UNIX:
        return bindUnix(t, socket, bytes);
      case AF_NETLINK:
        return bindNetlink(t, socket, bytes);
      default:
        return bindInet(t, socket, bytes);
    }
  });
}

function listen(t: ThreadContext, fd: number, backlog: number): number {
  return withSocket(t, fd, (socket) => {
    t.mem.atomicStore(socket + Socket.backlog, Math.min(backlog >>> 0, MOST_BACKLOG));
    switch (familyOf(t.mem, socket)) {
      case AF_UNIX:
        return listenUnix(t, socket);
      case AF_NETLINK:
        return -EOPNOTSUPP;
      default:
        return listenInet(t, socket);
    }
  });
}

function accept4(t: ThreadContext, fd: number, address: number, length: number, flags: number): number {
  if ((flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) !== 0) return -EINVAL;
  return withSocket(t, fd, (listener, file) => {
    const child = acceptSocket(t, listener, doesNotWait(t, file, 0));
    const opened = openSocket(t, child, flags & SOCK_NONBLOCK);
    const descriptor = newDescriptor(t, opened, flags & SOCK_CLOEXEC);
    if (address === 0) return descriptor;
    try {
      const peer = peerAddress(t.mem, child, t.thread) ?? new Uint8Array([familyOf(t.mem, child), 0]);
      writeAddress(t, address, length, peer);
    } catch (error) {
      closeDescriptor(t, descriptor);
      throw error;
    }
    return descriptor;
  });
}

function connect(t: ThreadContext, fd: number, address: number, length: number): number {
  return withSocket(t, fd, (socket, file) => {
    const bytes = readAddress(t, address, length);
    const noWait = doesNotWait(t, file, 0);
    switch (familyOf(t.mem, socket)) {
      case AF_UNIX:
        if (familyOfAddress(bytes) === AF_UNSPEC) return disconnectUnix(t, socket);
        return connectUnix(t, socket, bytes, noWait);
      case AF_NETLINK:
        return bindNetlink(t, socket, packNetlinkAddress(0));
      default:
        return isTcp(t.mem, socket) ? connectTcp(t, socket, bytes, noWait) : connectUdp(t, socket, bytes);
    }
  });
}

function shutdown(t: ThreadContext, fd: number, how: number): number {
  return withSocket(t, fd, (socket) => {
    const bits = [SHUT_RECEIVE, SHUT_SEND, SHUT_BOTH][how | 0];
    if (bits === undefined) return -EINVAL;
    return shutSocket(t.mem, socket, bits, t.thread);
  });
}

export const socketCalls: SyscallTable = {
  [SYS_socket]: syscall('socket', ['int', 'int', 'int'], (t, domain, type, protocol) =>
    socket(t, domain | 0, type | 0, protocol | 0),
  ),
  [SYS_socketpair]: syscall(
    'socketpair',
    ['int', 'int', 'int', 'pointer'],
    (t, domain, type, protocol, out) => socketpair(t, domain | 0, type | 0, protocol | 0, out),
  ),
  [SYS_sendto]: syscall('sendto', ['fd', 'buffer', 'size', 'hex', 'pointer', 'uint'], sendto),
  [SYS_recvfrom]: syscall('recvfrom', ['fd', 'pointer', 'size', 'hex', 'pointer', 'pointer'], recvfrom),
  [SYS_sendmsg]: syscall('sendmsg', ['fd', 'pointer', 'hex'], sendmsg),
  [SYS_recvmsg]: syscall('recvmsg', ['fd', 'pointer', 'hex'], recvmsg),
  [SYS_sendmmsg]: syscall('sendmmsg', ['fd', 'pointer', 'uint', 'hex'], sendmmsg),
  [SYS_recvmmsg]: syscall('recvmmsg', ['fd', 'pointer', 'uint', 'hex', 'timespec'], recvmmsg),
  [SYS_getsockname]: syscall('getsockname', ['fd', 'pointer', 'pointer'], (t, fd, address, length) =>
    withSocket(t, fd, (socket) => {
      writeAddress(t, address, length, localAddress(t.mem, socket));
      return 0;
    }),
  ),
  [SYS_getpeername]: syscall('getpeername', ['fd', 'pointer', 'pointer'], (t, fd, address, length) =>
    withSocket(t, fd, (socket) => {
      const bytes = peerAddress(t.mem, socket, t.thread);
      if (bytes === undefined) return -ENOTCONN;
      writeAddress(t, address, length, bytes);
      return 0;
    }),
  ),
  [SYS_getsockopt]: syscall('getsockopt', ['fd', 'int', 'int', 'pointer', 'pointer'], getsockopt),
  [SYS_setsockopt]: syscall('setsockopt', ['fd', 'int', 'int', 'pointer', 'uint'], setsockopt),
  [SYS_shutdown]: syscall('shutdown', ['fd', 'int'], shutdown),
  [SYS_bind]: syscall('bind', ['fd', 'pointer', 'uint'], bind),
  [SYS_listen]: syscall('listen', ['fd', 'int'], listen),
  [SYS_accept]: syscall('accept', ['fd', 'pointer', 'pointer'], (t, fd, address, length) =>
    accept4(t, fd, address, length, 0),
  ),
  [SYS_accept4]: syscall('accept4', ['fd', 'pointer', 'pointer', 'hex'], (t, fd, address, length, flags) =>
    accept4(t, fd, address, length, flags | 0),
  ),
  [SYS_connect]: syscall('connect', ['fd', 'pointer', 'uint'], connect),
};
