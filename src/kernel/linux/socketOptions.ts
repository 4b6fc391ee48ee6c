import { copyOut, readI32, readI64, writeI32 } from '../../memory/userAccess.js';
import { SOCKET_CONNECTED, SOCKET_LISTENING, Socket } from '../../sync/records/socket.js';
import { CAP_NET_ADMIN, capable } from '../capabilities.js';
import { EDOM, EINVAL, ENOPROTOOPT, EOPNOTSUPP, EPERM } from '../errno.js';
import { withRealFile } from '../files/descriptors.js';
import { isInet, isTcp, socketOf, stateOf, takeError } from '../sockets/socket.js';
import {
  AF_INET6,
  AF_NETLINK,
  OPTION_BROADCAST,
  OPTION_PACKET_INFO,
  OPTION_PACKET_INFO_6,
  OPTION_PASS_CREDENTIALS,
  OPTION_RECEIVE_CLASS_6,
  OPTION_RECEIVE_HOPS_6,
  OPTION_RECEIVE_TOS,
  OPTION_RECEIVE_TTL,
  OPTION_REUSE_ADDRESS,
  OPTION_REUSE_PORT,
  OPTION_TIMESTAMP,
  OPTION_TIMESTAMP_NEW,
  OPTION_TIMESTAMP_NS,
  OPTION_URGENT_INLINE,
  OPTION_V6_ONLY,
} from '../sockets/socketNumbers.js';
import type { ThreadContext } from '../threadContext.js';

/** getsockopt(2) and setsockopt(2) (man 7 socket, unix, ip, ipv6, tcp, udp). */

const IPPROTO_IP = 0;
const SOL_SOCKET = 1;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPPROTO_IPV6 = 41;
const SOL_NETLINK = 270;

const SO_REUSEADDR = 2;
const SO_TYPE = 3;
const SO_ERROR = 4;
const SO_BROADCAST = 6;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
const SO_LINGER = 13;
const SO_REUSEPORT = 15;
const SO_PASSCRED = 16;
const SO_PEERCRED = 17;
const SO_RCVLOWAT = 18;
const SO_SNDLOWAT = 19;
const SO_OOBINLINE = 10;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
const SO_BINDTODEVICE = 25;
const SO_ACCEPTCONN = 30;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_PROTOCOL = 38;
const SO_DOMAIN = 39;
const IPV6_V6ONLY = 26;
const TCP_MAXSEG = 2;
const TCP_INFO = 11;
const TCP_CONGESTION = 13;

/** net.core.wmem_max and rmem_max; what is kept is twice what was asked for. */
const MOST_BUFFER = 212_992;
const LEAST_SEND_BUFFER = 4608;
const LEAST_RECEIVE_BUFFER = 2304;

/** On and off. */
const SWITCHES: Readonly<Record<number, number>> = {
  [SO_REUSEADDR]: OPTION_REUSE_ADDRESS,
  [SO_BROADCAST]: OPTION_BROADCAST,
  [SO_REUSEPORT]: OPTION_REUSE_PORT,
  [SO_OOBINLINE]: OPTION_URGENT_INLINE,
  [SO_PASSCRED]: OPTION_PASS_CREDENTIALS,
};

/** On and off, of the other levels: what a receiver is told of packets. */
const TOLD: Readonly<Record<number, Readonly<Record<number, number>>>> = {
  [IPPROTO_IP]: { 8: OPTION_PACKET_INFO, 12: OPTION_RECEIVE_TTL, 13: OPTION_RECEIVE_TOS },
  [IPPROTO_IPV6]: { 49: OPTION_PACKET_INFO_6, 51: OPTION_RECEIVE_HOPS_6, 66: OPTION_RECEIVE_CLASS_6 },
};

/** SO_TIMESTAMP and its like: the bits that are on when it is. */
const STAMPS: Readonly<Record<number, number>> = {
  29: OPTION_TIMESTAMP,
  35: OPTION_TIMESTAMP_NS,
  63: OPTION_TIMESTAMP | OPTION_TIMESTAMP_NEW,
  64: OPTION_TIMESTAMP_NS | OPTION_TIMESTAMP_NEW,
};
const ALL_STAMPS = OPTION_TIMESTAMP | OPTION_TIMESTAMP_NS | OPTION_TIMESTAMP_NEW;

/** Options that come back as they were set, and their defaults: what they say is of no account here, or up to the host. */
const KEPT: readonly (readonly [level: number, name: number, initial: number])[] = [
  // In the order of VALUE_*.
  [IPPROTO_IP, 2, 64], // IP_TTL
  [IPPROTO_IP, 1, 0], // IP_TOS
  [IPPROTO_IPV6, 16, 64], // IPV6_UNICAST_HOPS
  [IPPROTO_IPV6, 67, 0], // IPV6_TCLASS
  [SOL_SOCKET, 1, 0], // SO_DEBUG
  [SOL_SOCKET, 5, 0], // SO_DONTROUTE
  [SOL_SOCKET, SO_KEEPALIVE, 0],
  [SOL_SOCKET, 12, 0], // SO_PRIORITY
  [SOL_SOCKET, 36, 0], // SO_MARK
  [IPPROTO_TCP, 1, 0], // TCP_NODELAY
  [IPPROTO_TCP, 3, 0], // TCP_CORK
  [IPPROTO_TCP, 4, 7200], // TCP_KEEPIDLE
  [IPPROTO_TCP, 5, 75], // TCP_KEEPINTVL
  [IPPROTO_TCP, 6, 9], // TCP_KEEPCNT
  [IPPROTO_TCP, 7, 6], // TCP_SYNCNT
  [IPPROTO_TCP, 8, 60], // TCP_LINGER2
  [IPPROTO_TCP, 9, 0], // TCP_DEFER_ACCEPT
  [IPPROTO_TCP, 12, 1], // TCP_QUICKACK
  [IPPROTO_TCP, 18, 0], // TCP_USER_TIMEOUT
  [IPPROTO_TCP, 23, 0], // TCP_FASTOPEN
  [IPPROTO_IP, 10, 1], // IP_MTU_DISCOVER
  [IPPROTO_IP, 11, 0], // IP_RECVERR
  [IPPROTO_IP, 24, 0], // IP_BIND_ADDRESS_NO_PORT
  [IPPROTO_IPV6, 25, 0], // IPV6_RECVERR
];

/** Whether options of a level exist for a socket. */
function hasLevel(t: ThreadContext, socket: number, level: number): boolean {
  switch (level) {
    case SOL_SOCKET:
      return true;
    case IPPROTO_IP:
      return isInet(t.mem, socket);
    case IPPROTO_IPV6:
      return t.mem.getU32(socket + Socket.family) === AF_INET6;
    case IPPROTO_TCP:
      return isTcp(t.mem, socket);
    case IPPROTO_UDP:
      return isInet(t.mem, socket) && !isTcp(t.mem, socket);
    case SOL_NETLINK:
      return t.mem.getU32(socket + Socket.family) === AF_NETLINK;
    default:
      return false;
  }
}

function keptIndex(level: number, name: number): number {
  return KEPT.findIndex((kept) => kept[0] === level && kept[1] === name);
}

/** Gives the words of an option to a new socket: those that KEPT begins with. */
export function initOptions(t: ThreadContext, socket: number): void {
  KEPT.forEach(([, , initial], i) => {
    t.mem.setI32(socket + Socket.values + i * 4, initial);
  });
}

const words = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer);

function timeval(milliseconds: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(milliseconds / 1000)), true);
  view.setBigInt64(8, BigInt(Math.round((milliseconds % 1000) * 1000)), true);
  return bytes;
}

/** What an option holds, or −errno. */
function optionBytes(t: ThreadContext, socket: number, level: number, name: number): Uint8Array | number {
  const { mem } = t;
  const kept = keptIndex(level, name);
  if (kept >= 0) return words(mem.getI32(socket + Socket.values + kept * 4));
  const told = TOLD[level]?.[name];
  if (told !== undefined) return words((mem.atomicLoad(socket + Socket.options) & told) !== 0 ? 1 : 0);
  if (level === SOL_SOCKET) {
    const stamp = STAMPS[name];
    if (stamp !== undefined)
      return words((mem.atomicLoad(socket + Socket.options) & ALL_STAMPS) === stamp ? 1 : 0);
    const bit = SWITCHES[name];
    if (bit !== undefined) return words((mem.atomicLoad(socket + Socket.options) & bit) !== 0 ? 1 : 0);
    switch (name) {
      case SO_TYPE:
        return words(mem.getU32(socket + Socket.type));
      case SO_ERROR:
        return words(takeError(mem, socket));
      case SO_SNDBUF:
        return words(mem.getU32(socket + Socket.sendBuffer));
      case SO_RCVBUF:
        return words(mem.getU32(socket + Socket.receiveBuffer));
      case SO_LINGER: {
        const linger = mem.getI32(socket + Socket.linger);
        return words(linger < 0 ? 0 : 1, Math.max(0, linger));
      }
      case SO_PEERCRED:
        return words(
          mem.getU32(socket + Socket.peerPid),
          mem.getI32(socket + Socket.peerUid),
          mem.getI32(socket + Socket.peerGid),
        );
      // Bound to no interface: no name.
      case SO_BINDTODEVICE:
        return new Uint8Array(0);
      case SO_RCVLOWAT:
        return words(mem.getU32(socket + Socket.lowWater));
      case SO_SNDLOWAT:
        return words(1);
      case SO_RCVTIMEO:
        return timeval(mem.f64[(socket + Socket.receiveTimeout) >>> 3]);
      case SO_SNDTIMEO:
        return timeval(mem.f64[(socket + Socket.sendTimeout) >>> 3]);
      case SO_ACCEPTCONN:
        return words(stateOf(mem, socket) === SOCKET_LISTENING ? 1 : 0);
      case SO_PROTOCOL:
        return words(mem.getU32(socket + Socket.protocol));
      case SO_DOMAIN:
        return words(mem.getU32(socket + Socket.family));
    }
    return -ENOPROTOOPT;
  }
  if (level === IPPROTO_IPV6 && name === IPV6_V6ONLY)
    return words((mem.atomicLoad(socket + Socket.options) & OPTION_V6_ONLY) !== 0 ? 1 : 0);
  if (level === IPPROTO_TCP) {
    if (name === TCP_MAXSEG) return words(stateOf(mem, socket) === SOCKET_CONNECTED ? 32_741 : 536);
    if (name === TCP_CONGESTION) return new Uint8Array(Buffer.from('cubic\0\0\0\0\0\0\0\0\0\0\0'));
    if (name === TCP_INFO) {
      const info = new Uint8Array(104);
      const state = stateOf(mem, socket);
      info[0] = state === SOCKET_CONNECTED ? 1 : state === SOCKET_LISTENING ? 10 : 7;
      return info;
    }
  }
  return -ENOPROTOOPT;
}

export function getsockopt(
  t: ThreadContext,
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
): number {
  return withRealFile(t, fd, (file) => {
    const socket = socketOf(t.mem, file);
    if (!hasLevel(t, socket, level | 0)) return -EOPNOTSUPP;
    const room = readI32(t, length);
    if (room < 0) return -EINVAL;
    const bytes = optionBytes(t, socket, level | 0, name | 0);
    if (typeof bytes === 'number') return bytes;
    const count = Math.min(room, bytes.length);
    copyOut(t, value, bytes.subarray(0, count));
    writeI32(t, length, count);
    return 0;
  });
}

/** Sets an option to the word or struct at `value`. */
function setOption(
  t: ThreadContext,
  socket: number,
  level: number,
  name: number,
  value: number,
  length: number,
): number {
  const { mem } = t;
  const word = (): number => readI32(t, value);
  if (length < 4) return -EINVAL;
  const kept = keptIndex(level, name);
  if (kept >= 0) {
    mem.setI32(
      socket + Socket.values + kept * 4,
      level === SOL_SOCKET && name === SO_KEEPALIVE ? (word() ? 1 : 0) : word(),
    );
    return 0;
  }
  const turn = (bit: number, on: boolean): number => {
    if (on) mem.atomicOr(socket + Socket.options, bit);
    else mem.atomicAnd(socket + Socket.options, ~bit);
    return 0;
  };
  const told = TOLD[level]?.[name];
  if (told !== undefined) return turn(told, word() !== 0);
  if (level === SOL_SOCKET) {
    const stamp = STAMPS[name];
    if (stamp !== undefined) {
      turn(ALL_STAMPS, false);
      return word() === 0 ? 0 : turn(stamp, true);
    }
    const bit = SWITCHES[name];
    if (bit !== undefined) return turn(bit, word() !== 0);
    switch (name) {
      case SO_SNDBUF:
      case SO_SNDBUFFORCE:
      case SO_RCVBUF:
      case SO_RCVBUFFORCE: {
        const forced = name === SO_SNDBUFFORCE || name === SO_RCVBUFFORCE;
        if (forced && !capable(t, CAP_NET_ADMIN)) return -EPERM;
        const sends = name === SO_SNDBUF || name === SO_SNDBUFFORCE;
        const asked = word() >>> 0;
        const bytes = Math.min(asked, MOST_BUFFER) * 2;
        const least = sends ? LEAST_SEND_BUFFER : LEAST_RECEIVE_BUFFER;
        mem.setU32(socket + (sends ? Socket.sendBuffer : Socket.receiveBuffer), Math.max(least, bytes));
        return 0;
      }
      case SO_LINGER:
        if (length < 8) return -EINVAL;
        mem.setI32(socket + Socket.linger, word() === 0 ? -1 : Math.max(0, readI32(t, value + 4)));
        return 0;
      case SO_RCVLOWAT:
        mem.setU32(socket + Socket.lowWater, Math.max(1, word()));
        return 0;
      case SO_RCVTIMEO:
      case SO_SNDTIMEO: {
        if (length < 16) return -EINVAL;
        const seconds = readI64(t, value);
        const microseconds = readI64(t, value + 8);
        if (microseconds < 0 || microseconds >= 1_000_000) return -EDOM;
        const field = name === SO_RCVTIMEO ? Socket.receiveTimeout : Socket.sendTimeout;
        // A negative time is over at once.
        mem.f64[(socket + field) >>> 3] = seconds < 0 ? 1e-3 : seconds * 1000 + microseconds / 1000;
        return 0;
      }
    }
    return -ENOPROTOOPT;
  }
  if (level === IPPROTO_IPV6 && name === IPV6_V6ONLY) {
    if (mem.getU32(socket + Socket.localPort) !== 0) return -EINVAL;
    return turn(OPTION_V6_ONLY, word() !== 0);
  }
  // Offloads and segment sizes: nothing here is cut into segments.
  if (level === IPPROTO_TCP && name === TCP_MAXSEG) return 0;
  return -ENOPROTOOPT;
}

export function setsockopt(
  t: ThreadContext,
  fd: number,
  level: number,
  name: number,
  value: number,
  length: number,
): number {
  return withRealFile(t, fd, (file) => {
    const socket = socketOf(t.mem, file);
    if (!hasLevel(t, socket, level | 0)) return isInet(t.mem, socket) ? -ENOPROTOOPT : -EOPNOTSUPP;
    return setOption(t, socket, level | 0, name | 0, value, length | 0);
  });
}
