import { HostOperation } from '../kernel/sockets/hostRequests.js';
import { signalSocket } from '../kernel/sockets/socket.js';
import { COORDINATOR } from '../sync/mutex.js';
import { Socket } from '../sync/records/socket.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { textBytes } from '../sync/text.js';
import { makeSocketNode } from './socketNodes.js';

/** The main thread's part of sockets: what guests ask of the host (kernel/sockets/hostRequests.ts). */
export class HostNetwork {
  constructor(private readonly mem: SharedMemory) {}

  /** Answers a request about a socket. */
  request(socket: number, operation: number, argument: number): void {
    switch (operation as HostOperation) {
      case HostOperation.MakeNode:
        makeSocketNode(Buffer.from(textBytes(this.mem, argument)), (errno) => this.answer(socket, errno));
        break;
    }
  }

  /** Gives a thread that waits for its request the result. */
  private answer(socket: number, errno: number): void {
    this.mem.atomicStore(socket + Socket.hostResult, errno);
    signalSocket(this.mem, socket, 0, COORDINATOR);
  }
}
