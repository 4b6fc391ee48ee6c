import { NETWORK_NONE } from '../../sync/records/machine.js';
import { SOCKET_CONNECTED, SOCKET_UNCONNECTED, Socket } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { realtimeNow } from '../clock.js';
import { EACCES, EAGAIN, ECONNREFUSED, EDESTADDRREQ, EINVAL, EMSGSIZE, EPIPE } from '../errno.js';
import { READABLE } from '../files/events.js';
import type { ByteVector } from '../files/userVector.js';
import type { ThreadContext } from '../threadContext.js';
import { awaitHost } from './awaitHost.js';
import { HostOperation, tellHost } from './hostRequests.js';
import {
  anyAddress,
  familyOfAddress,
  type InetAddress,
  isAny,
  isVersion4,
  localInet,
  packInetAddress,
  parseInetAddress,
  remoteInet,
  setLocalInet,
  setRemoteInet,
} from './inetAddress.js';
import { findPort, isBoundIdly, isLocal, networkOf } from './inetPorts.js';
import { bindAutomatically, destinationOf, reaches, sourceFor } from './inetSocket.js';
import {
  dropSocket,
  failSocket,
  familyOf,
  hasOption,
  isShut,
  setState,
  signalSocket,
  takeError,
  waitOnSocket,
} from './socket.js';
import {
  AF_INET6,
  AF_UNSPEC,
  OPTION_BROADCAST,
  SHUT_SEND,
  SOCK_DGRAM,
  VALUE_CLASS_6,
  VALUE_HOPS_6,
  VALUE_TOS,
  VALUE_TTL,
} from './socketNumbers.js';
import { createMark, freeMark, PACKET_HEADER, PUT_FULL, putPacket } from './socketQueue.js';
import { interruptedResult, timeoutDeadline } from './socketTimeouts.js';
import type { Outgoing } from './transfer.js';

/** UDP (man 7 udp). */

/** The most that fits in an IP packet. */
const MOST_BYTES = 65_507;
/** What may wait for the main thread to send. */
const HOST_QUEUE = 1 << 20;

/** connect(2) of UDP: where packets go to and come from. */
export function connectUdp(t: ThreadContext, socket: number, bytes: Uint8Array): number {
  const { mem, thread } = t;
  const nowhere: InetAddress = { address: anyAddress(familyOf(mem, socket)), port: 0, scope: 0 };
  if (familyOfAddress(bytes) === AF_UNSPEC) {
    setRemoteInet(mem, socket, nowhere);
    setState(mem, socket, SOCKET_UNCONNECTED);
    return mem.getU32(socket + Socket.hostEnd) === 0 ? 0 : 0 - awaitHost(t, socket, HostOperation.Connect);
  }
  const to = destinationOf(parseInetAddress(familyOf(mem, socket), bytes));
  const reached = reaches(mem, socket, to.address);
  if (reached < 0) return reached;
  const bound = bindAutomatically(t, socket);
  if (bound < 0) return bound;
  setRemoteInet(mem, socket, to);
  setState(mem, socket, SOCKET_CONNECTED);
  const local = localInet(mem, socket);
  const within = isLocal(mem, to.address) ? findPort(mem, SOCK_DGRAM, to, local, thread) : 0;
  if (within !== 0) dropSocket(mem, within, thread);
  if (within === 0 && networkOf(mem) !== NETWORK_NONE && to.port !== 0) {
    const errno = awaitHost(t, socket, HostOperation.Connect);
    if (errno !== 0) {
      setRemoteInet(mem, socket, nowhere);
      setState(mem, socket, SOCKET_UNCONNECTED);
      return -errno;
    }
  } else if (isAny(local.address))
    setLocalInet(mem, socket, { ...local, address: sourceFor(local.address, to.address) });
  return 0;
}

/** send(2) and its like of UDP. Returns the bytes sent or −errno. */
export function sendDatagram(
  t: ThreadContext,
  socket: number,
  from: ByteVector,
  outgoing: Pick<Outgoing, 'to' | 'hops' | 'trafficClass'>,
  noWait: boolean,
): number {
  const { mem, thread } = t;
  const errno = takeError(mem, socket);
  if (errno !== 0) return -errno;
  if (isShut(mem, socket, SHUT_SEND)) return -EPIPE;
  const to = destination(mem, socket, outgoing.to);
  if (typeof to === 'number') return to;
  if (from.length > MOST_BYTES) return -EMSGSIZE;
  const reached = reaches(mem, socket, to.address);
  if (reached < 0) return reached;
  const bound = bindAutomatically(t, socket);
  if (bound < 0) return bound;
  const packet = new Uint8Array(from.length);
  from.copyIn(t, 0, packet);
  const local = localInet(mem, socket);
  const source: InetAddress = { ...local, address: sourceFor(local.address, to.address) };
  const receiver = isLocal(mem, to.address) ? findPort(mem, SOCK_DGRAM, to, source, thread) : 0;
  if (receiver !== 0) {
    const usual = sentWith(mem, socket, isVersion4(to.address));
    const { hops = -1, trafficClass = -1 } = outgoing;
    deliver(mem, receiver, packet, source, thread, {
      to: to.address,
      hops: hops < 0 ? usual.hops : hops,
      trafficClass: trafficClass < 0 ? usual.trafficClass : trafficClass,
    });
    dropSocket(mem, receiver, thread);
    return from.length;
  }
  const hostEnd = mem.getU32(socket + Socket.hostEnd);
  // A guest's port whose socket takes packets of its peer only is nobody's to others, at the host as well.
  const refused = isLocal(mem, to.address) && isBoundIdly(mem, SOCK_DGRAM, to, thread);
  if (hostEnd !== 0 && !refused) return sendToHost(t, socket, hostEnd, packet, to, noWait);
  // Nobody is there: a connected socket hears of it (ICMP port unreachable).
  if (remoteInet(mem, socket).port !== 0) failSocket(mem, socket, ECONNREFUSED, thread);
  return from.length;
}

function destination(mem: SharedMemory, socket: number, given: Uint8Array | undefined): InetAddress | number {
  const to =
    given === undefined
      ? remoteInet(mem, socket)
      : destinationOf(parseInetAddress(familyOf(mem, socket), given));
  if (to.port === 0) return given === undefined ? -EDESTADDRREQ : -EINVAL;
  if (to.address.endsWith('ffffffff') && isVersion4(to.address) && !hasOption(mem, socket, OPTION_BROADCAST))
    return -EACCES;
  return to;
}

/** Hop limit and class that a socket gives its packets. */
export function sentWith(
  mem: SharedMemory,
  socket: number,
  version4: boolean,
): { readonly hops: number; readonly trafficClass: number } {
  const [hops, trafficClass] = version4 ? [VALUE_TTL, VALUE_TOS] : [VALUE_HOPS_6, VALUE_CLASS_6];
  const value = (index: number): number => mem.getI32(socket + Socket.values + index * 4);
  return {
    hops: value(hops) < 0 ? DEFAULT_HOPS : value(hops),
    trafficClass: Math.max(0, value(trafficClass)),
  };
}

const DEFAULT_HOPS = 64;

/** Puts a packet into a socket's queue with the address it comes from; what does not fit is lost, as on any network. */
export function deliver(
  mem: SharedMemory,
  receiver: number,
  packet: Uint8Array,
  source: InetAddress,
  owner: number,
  sent: { readonly to: string; readonly hops: number; readonly trafficClass: number },
): void {
  const address = packInetAddress(familyOf(mem, receiver), source);
  const to = packInetAddress(AF_INET6, { address: sent.to, port: 0, scope: 0 }).subarray(8, 24);
  const facts = { ...sent, to, time: Math.floor(realtimeNow(mem) * 1000) };
  const mark = createMark(mem, { files: [], credentials: undefined, address, packet: facts }, owner);
  const limit = mem.getU32(receiver + Socket.receiveBuffer);
  if (putPacket(mem, receiver, packet, limit, 0x7fff_ffff, mark, owner) > 0)
    signalSocket(mem, receiver, READABLE, owner);
  else freeMark(mem, mark, owner);
}

function sendToHost(
  t: ThreadContext,
  socket: number,
  hostEnd: number,
  packet: Uint8Array,
  to: InetAddress,
  noWait: boolean,
): number {
  const { mem, thread } = t;
  const deadline = timeoutDeadline(t, socket, Socket.sendTimeout);
  const address = packInetAddress(AF_INET6, to);
  for (;;) {
    const mark = createMark(mem, { files: [], credentials: undefined, address }, thread);
    const put = putPacket(mem, hostEnd, packet, HOST_QUEUE, 0x7fff_ffff, mark, thread);
    if (put > 0) {
      tellHost(mem, hostEnd, thread);
      return packet.length;
    }
    freeMark(mem, mark, thread);
    if (put !== PUT_FULL) return packet.length;
    if (noWait) return -EAGAIN;
    const room = (): boolean =>
      mem.atomicLoad(hostEnd + Socket.used) + PACKET_HEADER + packet.length <= HOST_QUEUE;
    const outcome = waitOnSocket(t, socket, room, { deadline });
    if (outcome === 'interrupted') return interruptedResult(deadline);
    if (outcome === 'timed-out') return -EAGAIN;
  }
}
