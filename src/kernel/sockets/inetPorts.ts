import { withMutex } from '../../sync/mutex.js';
import { MACHINE, Machine, NETWORK_HOST } from '../../sync/records/machine.js';
import { SOCKET_LISTENING, Socket, Sockets } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EADDRINUSE } from '../errno.js';
import {
  ANY_4,
  ANY_6,
  type InetAddress,
  isAny,
  isLoopback,
  isVersion4,
  localInet,
  remoteInet,
  setLocalInet,
} from './inetAddress.js';
import { hostAddresses } from './interfaces.js';
import { bindNameLocked, findBoundLocked, keyOfPort } from './names.js';
import { hasOption, isInet, retainSocket, stateOf } from './socket.js';
import { OPTION_REUSE_ADDRESS, OPTION_REUSE_PORT, OPTION_V6_ONLY, SOCK_DGRAM } from './socketNumbers.js';
import { socketsGlobal } from './socketsGlobal.js';

/** Ports of the machine: which guest's socket has which, and who is meant by an address. */

/** net.ipv4.ip_local_port_range. */
const FIRST_EPHEMERAL = 32768;
const LAST_EPHEMERAL = 60999;

/** What of the host's network the machine's guests reach: NETWORK_*. */
export function networkOf(mem: SharedMemory): number {
  return mem.getU32(MACHINE + Machine.network);
}

/** Whether an address is this machine's own: the loopback, and with the host's network the host's addresses. */
export function isLocal(mem: SharedMemory, address: string): boolean {
  if (isLoopback(address) || isAny(address)) return true;
  return networkOf(mem) === NETWORK_HOST && hostAddresses().has(address);
}

/** Whether a socket bound to `bound` gets what is sent to `address`. */
function receives(mem: SharedMemory, socket: number, address: string): boolean {
  const bound = localInet(mem, socket).address;
  if (bound === address) return true;
  if (bound === ANY_4) return isVersion4(address);
  if (bound !== ANY_6) return false;
  return !isVersion4(address) || !hasOption(mem, socket, OPTION_V6_ONLY);
}

function overlap(mem: SharedMemory, socket: number, one: string, other: number): boolean {
  const two = localInet(mem, other).address;
  const only = (of: number): boolean => hasOption(mem, of, OPTION_V6_ONLY);
  if (one === two) return true;
  if (one === ANY_6) return !isVersion4(two) || !only(socket);
  if (two === ANY_6) return !isVersion4(one) || !only(other);
  return (one === ANY_4 && isVersion4(two)) || (two === ANY_4 && isVersion4(one));
}

/** Whether another socket's port keeps `socket` from having it too. Sockets.lock is held. */
function conflicts(
  mem: SharedMemory,
  socket: number,
  at: InetAddress,
  listens: boolean,
  owner: number,
): boolean {
  const type = mem.getU32(socket + Socket.type);
  const both = (other: number, option: number): boolean =>
    hasOption(mem, socket, option) && hasOption(mem, other, option);
  const blocking = (other: number): boolean => {
    if (other === socket || !isInet(mem, other) || mem.getU32(other + Socket.type) !== type) return false;
    if (mem.getU32(other + Socket.localPort) !== at.port || !overlap(mem, socket, at.address, other))
      return false;
    if (both(other, OPTION_REUSE_PORT)) return false;
    const active = type !== SOCK_DGRAM && (listens || stateOf(mem, other) === SOCKET_LISTENING);
    return listens
      ? active && stateOf(mem, other) === SOCKET_LISTENING
      : !both(other, OPTION_REUSE_ADDRESS) || active;
  };
  return findBoundLocked(mem, keyOfPort(type, at.port), blocking, owner).length > 0;
}

/** Gives a socket an address and port (0: any that is free). Returns 0 or −EADDRINUSE. */
export function claimPort(mem: SharedMemory, socket: number, wanted: InetAddress, owner: number): number {
  const global = socketsGlobal(mem, owner);
  return withMutex(mem, global + Sockets.lock, owner, () => {
    const take = (at: InetAddress): number => {
      if (conflicts(mem, socket, at, false, owner)) return -EADDRINUSE;
      setLocalInet(mem, socket, at);
      bindNameLocked(mem, socket, keyOfPort(mem.getU32(socket + Socket.type), at.port), owner);
      return 0;
    };
    if (wanted.port !== 0) return take(wanted);
    for (let n = FIRST_EPHEMERAL; n <= LAST_EPHEMERAL; n++)
      if (take({ ...wanted, port: nextPortLocked(mem, global) }) === 0) return 0;
    return -EADDRINUSE;
  });
}

function nextPortLocked(mem: SharedMemory, global: number): number {
  const last = mem.getU32(global + Sockets.lastPort);
  const next = last < FIRST_EPHEMERAL || last >= LAST_EPHEMERAL ? FIRST_EPHEMERAL : last + 1;
  mem.setU32(global + Sockets.lastPort, next);
  return next;
}

/** A port for the calling end of a connection within the machine, which nobody can be sent to by it. */
export function ephemeralPort(mem: SharedMemory, owner: number): number {
  const global = socketsGlobal(mem, owner);
  return withMutex(mem, global + Sockets.lock, owner, () => nextPortLocked(mem, global));
}

/** Whether a bound TCP socket may begin to listen: no other one of the same port does. */
export function mayListen(mem: SharedMemory, socket: number, owner: number): boolean {
  const global = socketsGlobal(mem, owner);
  return withMutex(
    mem,
    global + Sockets.lock,
    owner,
    () => !conflicts(mem, socket, localInet(mem, socket), true, owner),
  );
}

/** Whether a guests' socket has the port, be it that it does not listen: where nobody answers, the host is not asked then. */
export function isBoundIdly(mem: SharedMemory, type: number, to: InetAddress, owner: number): boolean {
  const global = socketsGlobal(mem, owner);
  const has = (socket: number): boolean =>
    isInet(mem, socket) &&
    mem.getU32(socket + Socket.type) === type &&
    mem.getU32(socket + Socket.localPort) === to.port &&
    receives(mem, socket, to.address);
  return withMutex(
    mem,
    global + Sockets.lock,
    owner,
    () => findBoundLocked(mem, keyOfPort(type, to.port), has, owner).length > 0,
  );
}

/**
 * The guests' socket that gets what is sent to `to` from `from`, with a reference: a listener, or a datagram socket. The one
 * that says most about what it wants is it; those that share a port (SO_REUSEPORT) take turns, but all from one port goes to one.
 * 0: none.
 */
export function findPort(
  mem: SharedMemory,
  type: number,
  to: InetAddress,
  from: InetAddress | undefined,
  owner: number,
): number {
  const score = (socket: number): number => {
    const remote = remoteInet(mem, socket);
    return (localInet(mem, socket).address === to.address ? 2 : 0) + (remote.port !== 0 ? 4 : 0);
  };
  const global = socketsGlobal(mem, owner);
  return withMutex(mem, global + Sockets.lock, owner, () => {
    const found = findBoundLocked(
      mem,
      keyOfPort(type, to.port),
      (socket) => {
        if (!isInet(mem, socket) || mem.getU32(socket + Socket.type) !== type) return false;
        if (mem.getU32(socket + Socket.localPort) !== to.port || !receives(mem, socket, to.address))
          return false;
        if (type !== SOCK_DGRAM) return stateOf(mem, socket) === SOCKET_LISTENING;
        const remote = remoteInet(mem, socket);
        return (
          remote.port === 0 ||
          (from !== undefined && remote.port === from.port && remote.address === from.address)
        );
      },
      owner,
    );
    if (found.length === 0) return 0;
    const highest = Math.max(...found.map(score));
    const equals = found.filter((socket) => score(socket) === highest);
    const shared = equals.every((socket) => hasOption(mem, socket, OPTION_REUSE_PORT));
    // A caller of TCP has no port yet: it gets the one after the last.
    const salt = from?.port ?? mem.getU32(global + Sockets.lastPort);
    const best = shared ? equals[spread(salt, equals.length)] : equals[0];
    retainSocket(mem, best);
    return best;
  });
}

/** Which of `count` sockets gets what comes from a port. */
function spread(port: number, count: number): number {
  return Math.floor(((Math.imul(port, 0x9e37_79b1) >>> 0) / 2 ** 32) * count);
}
