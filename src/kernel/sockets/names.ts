import { NAME_BUCKETS, Socket, Sockets } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { socketsGlobal } from './socketsGlobal.js';

/** The machine's table of bound sockets: paths (by host device and inode), abstract names and ports. */

function bucketOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % NAME_BUCKETS;
}

/** What a socket is found by in the table; different names may share one. */
export type NameKey = number;

export function keyOfInode(dev: number, ino: number): NameKey {
  return bucketOf(`i${dev}:${ino}`);
}

/** `name` without its leading NUL, a byte string. */
export function keyOfAbstract(name: string): NameKey {
  return bucketOf(`a${name}`);
}

export function keyOfPort(type: number, port: number): NameKey {
  return bucketOf(`p${type}:${port}`);
}

/** Enters a socket. Sockets.lock is held. */
export function bindNameLocked(mem: SharedMemory, socket: number, key: NameKey, owner: number): void {
  const bucket = socketsGlobal(mem, owner) + Sockets.names + key * 4;
  mem.setU32(socket + Socket.bound, key + 1);
  mem.setU32(socket + Socket.nextBound, mem.getU32(bucket));
  mem.setU32(bucket, socket);
}

/** Takes a socket out, if it is in the table. Sockets.lock is held. */
export function unbindLocked(mem: SharedMemory, socket: number, owner: number): void {
  const bound = mem.getU32(socket + Socket.bound);
  if (bound === 0) return;
  let link = socketsGlobal(mem, owner) + Sockets.names + (bound - 1) * 4;
  while (mem.getU32(link) !== socket) link = mem.getU32(link) + Socket.nextBound;
  mem.setU32(link, mem.getU32(socket + Socket.nextBound));
  mem.setU32(socket + Socket.bound, 0);
}

/** The sockets in the table that `key` may lead to and that `matches`. Sockets.lock is held. */
export function findBoundLocked(
  mem: SharedMemory,
  key: NameKey,
  matches: (socket: number) => boolean,
  owner: number,
): number[] {
  const found: number[] = [];
  let socket = mem.getU32(socketsGlobal(mem, owner) + Sockets.names + key * 4);
  for (; socket !== 0; socket = mem.getU32(socket + Socket.nextBound))
    if (matches(socket)) found.push(socket);
  return found;
}
