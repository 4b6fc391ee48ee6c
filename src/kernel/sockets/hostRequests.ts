import { Socket } from '../../sync/records/socket.js';
import { pushRequest, RequestKind } from '../../sync/ring.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { ringCoordinator } from '../files/streamRequests.js';

/**
 * Requests about sockets to the main thread, which alone has the host's (machine/hostNetwork.ts). A request names a socket and
 * what is to be done; the main thread leaves its result in Socket.hostResult where a thread waits for one.
 */
export enum HostOperation {
  /** Look at the main thread's end: bytes or packets are there, room, or its other end has changed. */
  Ready = 1,
  /** Take the address of a TCP or UDP socket. Waited for. */
  Bind = 2,
  /** Begin to accept connections for a socket that is bound. */
  Listen = 3,
  /** Connect a TCP socket, or fix where a UDP socket sends to. Waited for, or told by the socket's state. */
  Connect = 4,
  /** Pass an option on. */
  Option = 5,
  /** Make a socket's inode at the path in Socket.name. Waited for. */
  MakeNode = 6,
}

/** Sends a request. `socket` must stay until it is answered. */
export function askHost(
  mem: SharedMemory,
  socket: number,
  operation: HostOperation,
  argument: number,
  owner: number,
): void {
  while (!pushRequest(mem, owner, RequestKind.Socket, socket, operation, argument)) ringCoordinator();
  ringCoordinator();
}

/** Has the main thread look at its end `socket`; nothing for sockets of guests. One request is enough until it has looked. */
export function tellHost(mem: SharedMemory, socket: number, owner: number): void {
  if (mem.getU32(socket + Socket.host) === 0) return;
  if (mem.atomicExchange(socket + Socket.asked, 1) !== 0) return;
  // The main thread's reference may go meanwhile: the request has one of its own.
  mem.atomicAdd(socket + Socket.refs, 1);
  askHost(mem, socket, HostOperation.Ready, 0, owner);
}
