import { SOCKET_CONNECTED, Socket } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { acquirePeer, dropSocket, stateOf } from './socket.js';
import { packUnixAddress } from './unixAddress.js';

/** The sockaddr of a socket's own end, as getsockname tells it. */
export function localAddress(mem: SharedMemory, socket: number): Uint8Array {
  return packUnixAddress(mem, mem.getU32(socket + Socket.name));
}

/** The sockaddr of the other end, as getpeername tells it; undefined: ENOTCONN. */
export function peerAddress(mem: SharedMemory, socket: number, owner: number): Uint8Array | undefined {
  if (stateOf(mem, socket) !== SOCKET_CONNECTED) return undefined;
  const peer = acquirePeer(mem, socket, owner);
  if (peer === 0) return undefined;
  const bytes = packUnixAddress(mem, mem.getU32(peer + Socket.name));
  dropSocket(mem, peer, owner);
  return bytes;
}
