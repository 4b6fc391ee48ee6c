import { connect, type Socket as NetSocket } from 'node:net';
import { ECONNRESET, errnoOfHostCode } from '../kernel/errno.js';
import { POLLERR, READABLE, WRITABLE } from '../kernel/files/events.js';
import {
  addressOfText,
  formatAddress,
  isAny,
  localInet,
  remoteInet,
  setLocalInet,
} from '../kernel/sockets/inetAddress.js';
import {
  closeSocket,
  createSocket,
  dropSocket,
  isShut,
  joinSockets,
  retainSocket,
  sendLimit,
  setState,
  shutDirections,
  signalSocket,
  stateOf,
} from '../kernel/sockets/socket.js';
import { SHUT_BOTH, SHUT_RECEIVE } from '../kernel/sockets/socketNumbers.js';
import { NEEDS_SOCKETS_LOCK, PUT_CLOSED, putStream, takeStream } from '../kernel/sockets/socketQueue.js';
import { COORDINATOR } from '../sync/mutex.js';
import { SOCKET_CLOSED, SOCKET_CONNECTED, Socket } from '../sync/records/socket.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { HostEnd } from './hostNetwork.js';

const CHUNK = 65536;
/** Bytes that may wait in Node before no more are taken from the guest. */
const MOST_WAITING = 1 << 20;
/** Milliseconds that the other side gets to close when the guest has (net.ipv4.tcp_fin_timeout). */
const FIN_TIMEOUT = 60_000;

type Announce = (end: HostEnd) => void;

/**
 * A TCP connection between a guests' socket and the host's network: a Node socket whose bytes go to the guests' queue, and a
 * Socket record that stands for it (`end`), whose queue is what guests have sent.
 */
export class HostConnection implements HostEnd {
  end = 0;
  private guest = 0;
  private socket: NetSocket | undefined;
  /** Received, and not yet in the guest's queue, which is full. */
  private pending: Uint8Array | undefined;
  private draining = false;
  private sourceEnded = false;
  private finished = false;
  private gone = false;
  private keepAlive = 0;

  constructor(
    private readonly mem: SharedMemory,
    private readonly add: Announce,
    private readonly remove: Announce,
  ) {}

  get busy(): boolean {
    if (this.end === 0 || this.gone) return false;
    return this.mem.atomicLoad(this.end + Socket.used) > 0 || (this.socket?.writableLength ?? 0) > 0;
  }

  /** Connects `guest` to its remote address; `done` says when it is connected, or why not. */
  connect(guest: number, done: (error?: NodeJS.ErrnoException) => void): void {
    const { mem } = this;
    const to = remoteInet(mem, guest);
    const local = localInet(mem, guest);
    const socket = connect({
      host: formatAddress(to.address),
      port: to.port,
      allowHalfOpen: true,
      ...(local.port !== 0 && { localPort: local.port }),
      ...(!isAny(local.address) && { localAddress: formatAddress(local.address) }),
    });
    this.socket = socket;
    let failure: NodeJS.ErrnoException | undefined;
    const fail = (error: NodeJS.ErrnoException): void => {
      failure = error;
    };
    const closed = (): void => done(failure ?? Object.assign(new Error('aborted'), { code: 'ECONNABORTED' }));
    socket.once('error', fail);
    socket.once('close', closed);
    socket.once('connect', () => {
      socket.off('error', fail);
      socket.off('close', closed);
      if (stateOf(mem, guest) === SOCKET_CLOSED) {
        socket.on('error', () => {});
        socket.destroy();
      } else {
        setLocalInet(mem, guest, {
          address: addressOfText(socket.localAddress ?? '0.0.0.0'),
          port: socket.localPort ?? 0,
          scope: 0,
        });
        this.attach(socket, guest);
      }
      done();
    });
  }

  /** Takes up a connection that is there, for `guest`. */
  attach(socket: NetSocket, guest: number): void {
    const { mem } = this;
    this.socket = socket;
    this.guest = guest;
    const end = createSocket(
      mem,
      mem.getU32(guest + Socket.family),
      mem.getU32(guest + Socket.type),
      mem.getU32(guest + Socket.protocol),
      COORDINATOR,
    );
    mem.setU32(end + Socket.host, 1);
    this.end = end;
    retainSocket(mem, guest);
    joinSockets(mem, guest, end, COORDINATOR);
    setState(mem, end, SOCKET_CONNECTED);
    setState(mem, guest, SOCKET_CONNECTED);
    this.add(this);
    // What a guest writes at once is sent at once: gathering small writes is not done twice.
    socket.setNoDelay(true);
    socket.on('data', (bytes: Uint8Array) => this.receive(bytes));
    socket.on('end', () => {
      this.sourceEnded = true;
      this.endOfSource();
    });
    socket.on('drain', () => {
      this.draining = false;
      this.ready();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      mem.atomicStore(guest + Socket.error, errnoOfHostCode(error.code));
      signalSocket(mem, guest, READABLE | WRITABLE | POLLERR, COORDINATOR);
    });
    socket.on('close', () => this.finish());
    socket.resume();
    // The guest may have sent, or even closed, before this end was known.
    this.ready();
  }

  ready(): void {
    const { mem, end, guest, socket } = this;
    if (this.gone || socket === undefined || end === 0) return;
    if (mem.atomicLoad(end + Socket.error) === ECONNRESET) {
      // The guest has closed it with something unread.
      socket.resetAndDestroy();
      return;
    }
    const alive = mem.getI32(guest + Socket.values + KEEP_ALIVE_VALUE);
    if (alive !== this.keepAlive) {
      this.keepAlive = alive;
      socket.setKeepAlive(alive !== 0);
    }
    const pending = this.pending;
    if (pending !== undefined) {
      this.pending = undefined;
      this.receive(pending);
      if (this.pending === undefined) {
        socket.resume();
        this.endOfSource();
      }
    }
    while (!this.draining) {
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK, mem.atomicLoad(end + Socket.used)));
      if (chunk.length === 0) break;
      const taken = takeStream(mem, end, chunk, { peek: false, apart: false, locked: false }, COORDINATOR);
      if (taken === undefined || taken === NEEDS_SOCKETS_LOCK) break;
      if (taken.tellSenders) signalSocket(mem, guest, WRITABLE, COORDINATOR);
      if (!socket.write(chunk.subarray(0, taken.count)) && socket.writableLength > MOST_WAITING)
        this.draining = true;
    }
    const sent = mem.atomicLoad(end + Socket.used) === 0;
    if (sent && isShut(mem, end, SHUT_RECEIVE) && !this.finished) {
      this.finished = true;
      socket.end();
      if (stateOf(mem, guest) === SOCKET_CLOSED) {
        // Node's socket is destroyed once both sides have ended.
        socket.setTimeout(FIN_TIMEOUT, () => socket.destroy());
        socket.resume();
      }
    }
  }

  destroy(): void {
    this.socket?.destroy();
    this.finish();
  }

  private receive(bytes: Uint8Array): void {
    const { mem, guest, end, socket } = this;
    if (this.pending !== undefined) {
      this.pending = Buffer.concat([this.pending, bytes]);
      return;
    }
    let rest = bytes;
    while (rest.length > 0) {
      const put = putStream(mem, guest, rest, sendLimit(mem, end, guest), 0, COORDINATOR);
      if (put === PUT_CLOSED) {
        // Nobody receives any more.
        socket?.resetAndDestroy();
        return;
      }
      if (put <= 0) {
        this.pending = rest;
        socket?.pause();
        break;
      }
      rest = rest.subarray(put);
    }
    if (rest.length < bytes.length) signalSocket(mem, guest, READABLE, COORDINATOR);
  }

  private endOfSource(): void {
    if (!this.sourceEnded || this.pending !== undefined || this.gone) return;
    shutDirections(this.mem, this.guest, SHUT_RECEIVE, COORDINATOR);
  }

  /** The Node socket is closed. */
  private finish(): void {
    if (this.gone || this.end === 0) return;
    this.gone = true;
    const { mem, guest, end } = this;
    const clean = this.sourceEnded && this.finished;
    if (!clean || mem.atomicLoad(guest + Socket.error) !== 0) {
      if (this.pending !== undefined) putStream(mem, guest, this.pending, Infinity, 0, COORDINATOR);
    }
    this.pending = undefined;
    shutDirections(mem, guest, SHUT_BOTH, COORDINATOR);
    this.remove(this);
    closeSocket(mem, end, 0, COORDINATOR);
    dropSocket(mem, guest, COORDINATOR);
  }
}

/** Where Socket.values has SO_KEEPALIVE. */
const KEEP_ALIVE_VALUE = 8;
