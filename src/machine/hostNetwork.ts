import { errnoOfHostCode } from '../kernel/errno.js';
import { WRITABLE } from '../kernel/files/events.js';
import { HostOperation } from '../kernel/sockets/hostRequests.js';
import { dropSocket, failSocket, setState, signalSocket, stateOf } from '../kernel/sockets/socket.js';
import { COORDINATOR } from '../sync/mutex.js';
import { SOCKET_CLOSED, SOCKET_UNCONNECTED, Socket } from '../sync/records/socket.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { textBytes } from '../sync/text.js';
import { HostConnection } from './hostConnection.js';
import { HostDatagrams } from './hostDatagrams.js';
import { HostListener } from './hostListener.js';
import { makeSocketNode } from './socketNodes.js';

/** What the main thread has for a guests' socket: found by its own end, which is a Socket record, too. */
export interface HostEnd {
  /** The main thread's end. */
  readonly end: number;
  /** The guests' socket has sent something, has room, or is closed. */
  ready(): void;
  /** Bytes are still to be sent. */
  readonly busy: boolean;
  /** Lets go of the host's socket at once. */
  destroy(): void;
}

const SOCK_STREAM = 1;
/** Milliseconds between looks whether everything has been sent. */
const FLUSH_LOOK = 2;

/** The main thread's part of sockets: what guests ask of the host (kernel/sockets/hostRequests.ts). */
export class HostNetwork {
  private readonly ends = new Map<number, HostEnd>();
  private readonly connecting = new Set<HostConnection>();
  private closed = false;

  constructor(private readonly mem: SharedMemory) {}

  /** Answers a request about a socket. */
  request(socket: number, operation: number, argument: number): void {
    const { mem } = this;
    switch (operation as HostOperation) {
      case HostOperation.MakeNode:
        makeSocketNode(Buffer.from(textBytes(mem, argument)), (errno) => this.answer(socket, errno));
        break;
      case HostOperation.Ready:
        // From now on whatever happens makes a new request.
        mem.atomicStore(socket + Socket.asked, 0);
        this.ends.get(socket)?.ready();
        dropSocket(mem, socket, COORDINATOR);
        break;
      case HostOperation.Bind:
        this.bind(socket);
        break;
      case HostOperation.Listen:
        dropSocket(mem, socket, COORDINATOR);
        break;
      case HostOperation.Connect:
        if (mem.getU32(socket + Socket.type) === SOCK_STREAM) this.connect(socket);
        else this.connectDatagrams(socket);
        break;
    }
  }

  /** Resolves when what guests have sent is with the host, or after some milliseconds. */
  async flush(milliseconds: number): Promise<void> {
    const end = performance.now() + milliseconds;
    for (;;) {
      const busy = [...this.ends.values()].some((one) => one.busy);
      if (!busy || performance.now() >= end) return;
      await new Promise((resolve) => setTimeout(resolve, FLUSH_LOOK));
    }
  }

  /** Lets go of every socket of the host. */
  close(): void {
    this.closed = true;
    for (const end of [...this.ends.values(), ...this.connecting]) end.destroy();
    this.ends.clear();
    this.connecting.clear();
  }

  private readonly add = (end: HostEnd): void => {
    this.ends.set(end.end, end);
  };
  private readonly remove = (end: HostEnd): void => {
    this.ends.delete(end.end);
  };

  /** Gives a thread that waits for its request the result. */
  private answer(socket: number, errno: number): void {
    this.mem.atomicStore(socket + Socket.hostResult, errno);
    signalSocket(this.mem, socket, 0, COORDINATOR);
  }

  private bind(socket: number): void {
    const done = (error?: NodeJS.ErrnoException): void =>
      this.answer(socket, error === undefined ? 0 : errnoOfHostCode(error.code));
    const stream = this.mem.getU32(socket + Socket.type) === SOCK_STREAM;
    const end = stream
      ? new HostListener(this.mem, socket, this.add, this.remove)
      : new HostDatagrams(this.mem, socket, this.remove);
    this.add(end);
    end.bind((error) => {
      if (error !== undefined) end.destroy();
      done(error);
    });
  }

  private connect(socket: number): void {
    const { mem } = this;
    const hostEnd = mem.getU32(socket + Socket.hostEnd);
    const listener = this.ends.get(hostEnd);
    const go = (): void => {
      const connection = new HostConnection(mem, this.add, this.remove);
      this.connecting.add(connection);
      connection.connect(socket, (error) => {
        this.connecting.delete(connection);
        if (error !== undefined && stateOf(mem, socket) !== SOCKET_CLOSED) {
          mem.atomicStore(socket + Socket.error, errnoOfHostCode(error.code));
          setState(mem, socket, SOCKET_UNCONNECTED);
          failSocket(mem, socket, errnoOfHostCode(error.code), COORDINATOR);
        } else signalSocket(mem, socket, WRITABLE, COORDINATOR);
        dropSocket(mem, socket, COORDINATOR);
      });
      if (this.closed) connection.destroy();
    };
    // A port that was bound is given up by the listener, so that the connection can have it.
    if (listener instanceof HostListener) listener.release(go);
    else go();
  }

  private connectDatagrams(socket: number): void {
    const end = this.ends.get(this.mem.getU32(socket + Socket.hostEnd));
    if (!(end instanceof HostDatagrams)) {
      this.answer(socket, 0);
      return;
    }
    end.connect((error) => this.answer(socket, error === undefined ? 0 : errnoOfHostCode(error.code)));
  }
}
