import { SOCKET_CONNECTED, Socket } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { localInet, packInetAddress, remoteInet } from './inetAddress.js';
import { packNetlinkAddress } from './netlink.js';
import { acquirePeer, dropSocket, familyOf, stateOf } from './socket.js';
import { AF_NETLINK, AF_UNIX } from './socketNumbers.js';
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
  if (family !== AF_UNIX) return packInetAddress(family, remoteInet(mem, socket));
  const peer = acquirePeer(mem, socket, owner);
  if (peer === 0) return undefined;
  const bytes = packUnixAddress(mem, mem.getU32(peer + Socket.name));
  dropSocket(mem, peer, owner);
  return bytes;
}
