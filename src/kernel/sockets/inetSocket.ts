import { withMutex } from '../../sync/mutex.js';
import { NETWORK_HOST, NETWORK_NONE } from '../../sync/records/machine.js';
import {
  SOCKET_CONNECTED,
  SOCKET_CONNECTING,
  SOCKET_LISTENING,
  SOCKET_UNCONNECTED,
  Socket,
  Sockets,
} from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_NET_BIND_SERVICE, capable } from '../capabilities.js';
import {
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EALREADY,
  ECONNREFUSED,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  ENETUNREACH,
  EOPNOTSUPP,
} from '../errno.js';
import { WRITABLE } from '../files/events.js';
import type { ThreadContext } from '../threadContext.js';
import { awaitHost } from './awaitHost.js';
import { askHost, HostOperation } from './hostRequests.js';
import {
  ANY_4,
  ANY_6,
  anyAddress,
  familyOfAddress,
  type InetAddress,
  isAny,
  isLoopback,
  isVersion4,
  LOOPBACK_4,
  LOOPBACK_6,
  localInet,
  parseInetAddress,
  setLocalInet,
  setRemoteInet,
} from './inetAddress.js';
import {
  claimPort,
  ephemeralPort,
  findPort,
  isBoundIdly,
  isLocal,
  mayListen,
  networkOf,
} from './inetPorts.js';
import { unbindLocked } from './names.js';
import {
  addWaiting,
  closeSocket,
  createSocket,
  dropSocket,
  failSocket,
  familyOf,
  hasOption,
  isTcp,
  joinSockets,
  retainSocket,
  setPeer,
  setState,
  signalSocket,
  stateOf,
  takeError,
  waitOnSocket,
} from './socket.js';
import {
  AF_INET,
  AF_INET6,
  AF_UNSPEC,
  OPTION_CONNECT_PENDING,
  OPTION_V6_ONLY,
  SOCK_STREAM,
} from './socketNumbers.js';
import { socketsGlobal } from './socketsGlobal.js';
import { interruptedResult, timeoutDeadline } from './socketTimeouts.js';

/**
 * AF_INET and AF_INET6 (man 7 ip, tcp, udp): binding, listening and connecting. Guests of a machine reach each other by the
 * loopback without the host. Beyond that, as far as the machine's network goes, the main thread has sockets of the host.
 */

/** net.ipv4.ip_unprivileged_port_start. */
const FIRST_UNPRIVILEGED = 1024;
/** Connections may wait at a listener beyond its backlog: there is no one to send a SYN again. */
const MOST_WAITING = 4096;

/** Whether the machine lets guests have an address of their own: the loopback, or what the host has. */
function mayBind(mem: SharedMemory, address: string): boolean {
  return isAny(address) || isLoopback(address) || networkOf(mem) === NETWORK_HOST;
}

/** bind(2). Returns 0 or −errno. */
export function bindInet(t: ThreadContext, socket: number, bytes: Uint8Array): number {
  const { mem } = t;
  const family = familyOf(mem, socket);
  const wanted = parseBind(family, bytes);
  if (typeof wanted === 'number') return wanted;
  if (mem.getU32(socket + Socket.localPort) !== 0 || stateOf(mem, socket) !== SOCKET_UNCONNECTED)
    return -EINVAL;
  if (!mayBind(mem, wanted.address)) return -EADDRNOTAVAIL;
  if (isVersion4(wanted.address) && family === AF_INET6 && hasOption(mem, socket, OPTION_V6_ONLY))
    return -EINVAL;
  if (wanted.port !== 0 && wanted.port < FIRST_UNPRIVILEGED && !capable(t, CAP_NET_BIND_SERVICE))
    return -EACCES;
  return bindAddress(t, socket, wanted);
}

function parseBind(family: number, bytes: Uint8Array): InetAddress | number {
  // AF_UNSPEC with no address is taken for AF_INET (man 7 ip does not say so, the kernel does).
  if (family === AF_INET && familyOfAddress(bytes) === AF_UNSPEC && bytes.length >= 16) {
    const as4 = Uint8Array.from(bytes);
    as4[0] = AF_INET;
    const wanted = parseInetAddress(AF_INET, as4);
    return wanted.address === ANY_4 ? wanted : -EAFNOSUPPORT;
  }
  return parseInetAddress(family, bytes);
}

/** Gives a socket its own address, in the machine and with the host. */
function bindAddress(t: ThreadContext, socket: number, wanted: InetAddress): number {
  const { mem, thread } = t;
  if (networkOf(mem) === NETWORK_NONE) return claimPort(mem, socket, wanted, thread);
  if (wanted.port !== 0) {
    const result = claimPort(mem, socket, wanted, thread);
    if (result < 0) return result;
  } else setLocalInet(mem, socket, wanted);
  const errno = awaitHost(t, socket, HostOperation.Bind);
  if (errno === 0) {
    // The host has chosen a port.
    if (wanted.port === 0) return claimPort(mem, socket, localInet(mem, socket), thread);
    return 0;
  }
  const global = socketsGlobal(mem, thread);
  withMutex(mem, global + Sockets.lock, thread, () => unbindLocked(mem, socket, thread));
  setLocalInet(mem, socket, { address: anyAddress(familyOf(mem, socket)), port: 0, scope: 0 });
  return -errno;
}

/** Gives a socket a port unless it has one. Returns 0 or −errno. */
export function bindAutomatically(t: ThreadContext, socket: number): number {
  const { mem } = t;
  if (mem.getU32(socket + Socket.localPort) !== 0) return 0;
  return bindAddress(t, socket, { address: localInet(mem, socket).address, port: 0, scope: 0 });
}

/** listen(2). */
export function listenInet(t: ThreadContext, socket: number): number {
  const { mem, thread } = t;
  if (!isTcp(mem, socket)) return -EOPNOTSUPP;
  const state = stateOf(mem, socket);
  if (state === SOCKET_LISTENING) return 0;
  if (state !== SOCKET_UNCONNECTED) return -EINVAL;
  const result = bindAutomatically(t, socket);
  if (result < 0) return result;
  if (!mayListen(mem, socket, thread)) return -EADDRINUSE;
  setState(mem, socket, SOCKET_LISTENING);
  if (networkOf(mem) !== NETWORK_NONE) {
    retainSocket(mem, socket);
    askHost(mem, socket, HostOperation.Listen, 0, thread);
  }
  return 0;
}

/** Where a connect or a packet to `to` goes: unspecified addresses mean this machine. */
export function destinationOf(to: InetAddress): InetAddress {
  if (to.address === ANY_4) return { ...to, address: LOOPBACK_4 };
  if (to.address === ANY_6) return { ...to, address: LOOPBACK_6 };
  return to;
}

/** The source address that is used for a destination of this machine, by a socket bound to `local`. */
export function sourceFor(local: string, destination: string): string {
  if (!isAny(local)) return local;
  if (!isLoopback(destination)) return destination;
  return isVersion4(destination) ? LOOPBACK_4 : LOOPBACK_6;
}

/** Whether the machine's network leads to an address at all; else −errno. */
export function reaches(mem: SharedMemory, socket: number, address: string): number {
  if (familyOf(mem, socket) === AF_INET6 && isVersion4(address) && hasOption(mem, socket, OPTION_V6_ONLY))
    return -ENETUNREACH;
  return isLoopback(address) || networkOf(mem) === NETWORK_HOST ? 0 : -ENETUNREACH;
}

/** connect(2) of TCP. Returns 0 or −errno. */
export function connectTcp(t: ThreadContext, socket: number, bytes: Uint8Array, noWait: boolean): number {
  const { mem, thread } = t;
  if (familyOfAddress(bytes) === AF_UNSPEC) return disconnectTcp(t, socket);
  const to = destinationOf(parseInetAddress(familyOf(mem, socket), bytes));
  const pending = hasOption(mem, socket, OPTION_CONNECT_PENDING);
  const deadline = timeoutDeadline(t, socket, Socket.sendTimeout);
  switch (stateOf(mem, socket)) {
    case SOCKET_CONNECTED:
      if (!pending) return -EISCONN;
      mem.atomicAnd(socket + Socket.options, ~OPTION_CONNECT_PENDING);
      return 0;
    case SOCKET_LISTENING:
      return -EISCONN;
    case SOCKET_CONNECTING:
      return noWait ? -EALREADY : awaitConnect(t, socket, deadline);
  }
  if (pending) {
    mem.atomicAnd(socket + Socket.options, ~OPTION_CONNECT_PENDING);
    const errno = takeError(mem, socket);
    if (errno !== 0) return -errno;
  }
  const reached = reaches(mem, socket, to.address);
  if (reached < 0) return reached;
  const finish = (errno: number): number => {
    if (!noWait) return 0 - errno;
    // A connection without waiting is told of by poll and SO_ERROR, as soon as it may have been.
    mem.atomicOr(socket + Socket.options, OPTION_CONNECT_PENDING);
    if (errno !== 0) failSocket(mem, socket, errno, thread);
    return -EINPROGRESS;
  };
  const listener = isLocal(mem, to.address) ? findPort(mem, SOCK_STREAM, to, undefined, thread) : 0;
  if (listener !== 0) {
    try {
      return finish(connectWithin(t, socket, listener, to) ? 0 : ECONNREFUSED);
    } finally {
      dropSocket(mem, listener, thread);
    }
  }
  const idle = isLocal(mem, to.address) && isBoundIdly(mem, SOCK_STREAM, to, thread);
  if (networkOf(mem) === NETWORK_NONE || idle) return finish(ECONNREFUSED);
  setRemoteInet(mem, socket, to);
  setState(mem, socket, SOCKET_CONNECTING);
  retainSocket(mem, socket);
  askHost(mem, socket, HostOperation.Connect, 0, thread);
  if (!noWait) return awaitConnect(t, socket, deadline);
  mem.atomicOr(socket + Socket.options, OPTION_CONNECT_PENDING);
  return -EINPROGRESS;
}

/** Waits for the main thread to have connected a socket. */
function awaitConnect(t: ThreadContext, socket: number, deadline: number): number {
  const { mem } = t;
  const connected = (): boolean => stateOf(mem, socket) !== SOCKET_CONNECTING;
  const outcome = waitOnSocket(t, socket, connected, { deadline, stays: true });
  if (outcome === 'interrupted') return interruptedResult(deadline);
  if (outcome === 'timed-out') return -EINPROGRESS;
  mem.atomicAnd(socket + Socket.options, ~OPTION_CONNECT_PENDING);
  return stateOf(mem, socket) === SOCKET_CONNECTED ? 0 : -(takeError(mem, socket) || ECONNREFUSED);
}

/** connect(2) with AF_UNSPEC: only what was never connected is left as it is. */
function disconnectTcp(t: ThreadContext, socket: number): number {
  return stateOf(t.mem, socket) === SOCKET_UNCONNECTED ? 0 : -EOPNOTSUPP;
}

/** Connects two guests' sockets; false when the listener has gone or too many wait. */
function connectWithin(t: ThreadContext, socket: number, listener: number, to: InetAddress): boolean {
  const { mem, thread } = t;
  const before = localInet(mem, socket);
  const from: InetAddress = {
    address: sourceFor(before.address, to.address),
    port: before.port === 0 ? ephemeralPort(mem, thread) : before.port,
    scope: 0,
  };
  const child = createInetChild(mem, listener, to, from, thread);
  setLocalInet(mem, socket, from);
  setRemoteInet(mem, socket, to);
  joinSockets(mem, socket, child, thread);
  setState(mem, child, SOCKET_CONNECTED);
  setState(mem, socket, SOCKET_CONNECTED);
  if (
    mem.atomicLoad(listener + Socket.waiting) < MOST_WAITING &&
    addWaiting(mem, listener, child, thread, true)
  ) {
    signalSocket(mem, socket, WRITABLE, thread);
    return true;
  }
  setState(mem, socket, SOCKET_UNCONNECTED);
  setPeer(mem, child, 0, thread);
  setPeer(mem, socket, 0, thread);
  setLocalInet(mem, socket, before);
  closeSocket(mem, child, 0, thread);
  return false;
}

/** The listener's end of a new connection, with its options. */
export function createInetChild(
  mem: SharedMemory,
  listener: number,
  local: InetAddress,
  remote: InetAddress,
  owner: number,
): number {
  const child = createSocket(
    mem,
    familyOf(mem, listener),
    SOCK_STREAM,
    mem.getU32(listener + Socket.protocol),
    owner,
  );
  mem.atomicStore(
    child + Socket.options,
    mem.atomicLoad(listener + Socket.options) & ~OPTION_CONNECT_PENDING,
  );
  mem.u8.copyWithin(child + Socket.values, listener + Socket.values, listener + Socket.values + 96);
  for (const field of [Socket.sendBuffer, Socket.receiveBuffer, Socket.linger, Socket.lowWater])
    mem.setU32(child + field, mem.getU32(listener + field));
  setLocalInet(mem, child, local);
  setRemoteInet(mem, child, remote);
  return child;
}
