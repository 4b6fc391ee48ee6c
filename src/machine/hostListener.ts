import { type AddressInfo, createServer, type Socket as NetSocket, type Server } from 'node:net';
import {
  addressOfText,
  formatAddress,
  isAny,
  isVersion4,
  localInet,
  setLocalInet,
} from '../kernel/sockets/inetAddress.js';
import { networkOf } from '../kernel/sockets/inetPorts.js';
import { createInetChild } from '../kernel/sockets/inetSocket.js';
import {
  addWaiting,
  closeSocket,
  createSocket,
  dropSocket,
  hasOption,
  retainSocket,
  stateOf,
} from '../kernel/sockets/socket.js';
import { OPTION_REUSE_PORT, OPTION_V6_ONLY } from '../kernel/sockets/socketNumbers.js';
import { COORDINATOR } from '../sync/mutex.js';
import { NETWORK_LOOPBACK } from '../sync/records/machine.js';
import { SOCKET_CLOSED, SOCKET_LISTENING, Socket } from '../sync/records/socket.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { HostConnection } from './hostConnection.js';
import type { HostEnd } from './hostNetwork.js';

/** The host's addresses that a guest's one stands for: with the loopback only, nothing else is ever bound. */
export function hostAddressesFor(mem: SharedMemory, address: string, only6: boolean): string[] {
  if (!isAny(address) || networkOf(mem) !== NETWORK_LOOPBACK) return [formatAddress(address)];
  if (isVersion4(address)) return ['127.0.0.1'];
  return only6 ? ['::1'] : ['::1', '127.0.0.1'];
}

/**
 * A TCP port of the host for a guest's socket that is bound: connections from outside become the guest's once it listens, and are
 * reset before that.
 */
export class HostListener implements HostEnd {
  readonly end: number;
  readonly busy = false;
  private readonly servers: Server[] = [];
  private gone = false;

  constructor(
    private readonly mem: SharedMemory,
    private readonly guest: number,
    private readonly add: (end: HostEnd) => void,
    private readonly remove: (end: HostEnd) => void,
  ) {
    this.end = createSocket(
      mem,
      mem.getU32(guest + Socket.family),
      mem.getU32(guest + Socket.type),
      0,
      COORDINATOR,
    );
    mem.setU32(this.end + Socket.host, 1);
    retainSocket(mem, this.end);
    mem.setU32(guest + Socket.hostEnd, this.end);
    retainSocket(mem, guest);
  }

  /** Takes the guest's local address on the host; a port 0 is replaced by the one that the host gives. */
  bind(done: (error?: NodeJS.ErrnoException) => void): void {
    const { mem, guest } = this;
    const local = localInet(mem, guest);
    const only6 = hasOption(mem, guest, OPTION_V6_ONLY);
    const [first, second] = hostAddressesFor(mem, local.address, only6);
    this.listen(first, local.port, only6 || second !== undefined, (error, port) => {
      if (error !== undefined) {
        // A host without IPv6: what is meant for both is had with IPv4.
        if (second === undefined) done(error);
        else this.listen(second, local.port, false, (again, got) => this.bound(again, got, done));
        return;
      }
      if (second === undefined) this.bound(undefined, port, done);
      else this.listen(second, port, false, (again) => this.bound(again, port, done));
    });
  }

  private bound(
    error: NodeJS.ErrnoException | undefined,
    port: number,
    done: (error?: NodeJS.ErrnoException) => void,
  ): void {
    const { mem, guest } = this;
    if (error === undefined) setLocalInet(mem, guest, { ...localInet(mem, guest), port });
    done(error);
  }

  private listen(
    host: string,
    port: number,
    ipv6Only: boolean,
    done: (error: NodeJS.ErrnoException | undefined, port: number) => void,
  ): void {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.accept(socket),
    );
    this.servers.push(server);
    server.once('error', (error: NodeJS.ErrnoException) => {
      server.removeAllListeners('listening');
      done(error, 0);
    });
    server.once('listening', () => {
      server.removeAllListeners('error');
      server.on('error', () => {});
      done(undefined, (server.address() as AddressInfo).port);
    });
    const options = {
      host,
      port,
      ipv6Only,
      exclusive: true,
      // Node versions that do not know it ignore it.
      reusePort: hasOption(this.mem, this.guest, OPTION_REUSE_PORT),
    };
    server.listen(options);
  }

  private accept(socket: NetSocket): void {
    const { mem, guest } = this;
    socket.on('error', () => {});
    if (stateOf(mem, guest) !== SOCKET_LISTENING) {
      socket.resetAndDestroy();
      return;
    }
    const bound = localInet(mem, guest);
    const child = createInetChild(
      mem,
      guest,
      { address: addressOfText(socket.localAddress ?? '127.0.0.1'), port: bound.port, scope: 0 },
      { address: addressOfText(socket.remoteAddress ?? '127.0.0.1'), port: socket.remotePort ?? 0, scope: 0 },
      COORDINATOR,
    );
    const connection = new HostConnection(mem, this.add, this.remove);
    connection.attach(socket, child);
    if (!addWaiting(mem, guest, child, COORDINATOR, true)) {
      closeSocket(mem, child, 0, COORDINATOR);
      socket.resetAndDestroy();
    }
  }

  ready(): void {
    if (stateOf(this.mem, this.guest) === SOCKET_CLOSED) this.destroy();
  }

  /** Gives the port up and calls `then` when the host has it back. */
  release(then: () => void): void {
    const open = this.servers.filter((server) => server.listening);
    let left = open.length;
    if (left === 0) then();
    for (const server of open)
      server.once('close', () => {
        if (--left === 0) then();
      });
    this.destroy();
  }

  destroy(): void {
    if (this.gone) return;
    this.gone = true;
    for (const server of this.servers) server.close();
    this.remove(this);
    dropSocket(this.mem, this.end, COORDINATOR);
    dropSocket(this.mem, this.guest, COORDINATOR);
  }
}
