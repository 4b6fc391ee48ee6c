import { SOCKET_CLOSED, SOCKET_CONNECTED, Socket } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { localInet, packInetAddress, remoteInet } from './inetAddress.js';
import { packNetlinkAddress } from './netlink.js';
import { acquirePeer, dropSocket, familyOf, isShut, isStream, stateOf } from './socket.js';
import { AF_NETLINK, AF_UNIX, SHUT_BOTH, SHUT_SEND } from './socketNumbers.js';
import { packUnixAddress } from './unixAddress.js';

/** The sockaddr of a socket's own end, as getsockname tells it. */
export function localAddress(mem: SharedMemory, socket: number): Uint8Array {
  const family = familyOf(mem, socket);
  if (family === AF_UNIX) return packUnixAddress(mem, mem.getU32(socket + Socket.name));
  if (family === AF_NETLINK) return packNetlinkAddress(mem.getU32(socket + Socket.localPort));
  return packInetAddress(family, localInet(mem, socket));
}

/** The sockaddr of the other end, as getpeername tells it; undefined: ENOTCONN. */
export function peerAddress(mem: SharedMemory, socket: number, owner: number): Uint8Array | undefined {
  if (stateOf(mem, socket) !== SOCKET_CONNECTED) return undefined;
  const family = familyOf(mem, socket);
  if (family === AF_NETLINK) return packNetlinkAddress(0);
  if (family !== AF_UNIX)
    return isOver(mem, socket, owner) ? undefined : packInetAddress(family, remoteInet(mem, socket));
  const peer = acquirePeer(mem, socket, owner);
  if (peer === 0) return undefined;
  const bytes = packUnixAddress(mem, mem.getU32(peer + Socket.name));
  dropSocket(mem, peer, owner);
  return bytes;
}

/** Whether a TCP connection is over on both sides, be it by a reset (TCP_CLOSE): it has no peer any more. */
function isOver(mem: SharedMemory, socket: number, owner: number): boolean {
  if (!isStream(mem, socket) || !isShut(mem, socket, SHUT_BOTH)) return false;
  const peer = acquirePeer(mem, socket, owner);
  if (peer === 0) return true;
  const over = stateOf(mem, peer) === SOCKET_CLOSED || isShut(mem, peer, SHUT_SEND);
  dropSocket(mem, peer, owner);
  return over;
}
