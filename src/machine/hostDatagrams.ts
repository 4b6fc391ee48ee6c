import { createSocket as createUdp, type Socket as UdpSocket } from 'node:dgram';
import { errnoOfHostCode } from '../kernel/errno.js';
import { WRITABLE } from '../kernel/files/events.js';
import {
  addressOfText,
  formatAddress,
  type InetAddress,
  isVersion4,
  localInet,
  parseInetAddress,
  remoteInet,
  setLocalInet,
} from '../kernel/sockets/inetAddress.js';
import { deliver } from '../kernel/sockets/inetDatagram.js';
import {
  createSocket,
  dropSocket,
  failSocket,
  hasOption,
  retainSocket,
  signalSocket,
  stateOf,
} from '../kernel/sockets/socket.js';
import {
  AF_INET6,
  OPTION_BROADCAST,
  OPTION_REUSE_ADDRESS,
  OPTION_V6_ONLY,
} from '../kernel/sockets/socketNumbers.js';
import { NEEDS_SOCKETS_LOCK, takePacket } from '../kernel/sockets/socketQueue.js';
import { COORDINATOR } from '../sync/mutex.js';
import { SOCKET_CLOSED, Socket } from '../sync/records/socket.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { hostAddressesFor } from './hostListener.js';
import type { HostEnd } from './hostNetwork.js';

const MOST_BYTES = 65_536;

/** A UDP port of the host for a guests' socket. What guests send waits in the queue of `end`, with its destination. */
export class HostDatagrams implements HostEnd {
  readonly end: number;
  private readonly socket: UdpSocket;
  private readonly buffer = new Uint8Array(MOST_BYTES);
  private remote: InetAddress | undefined;
  private sending = 0;
  private gone = false;

  constructor(
    private readonly mem: SharedMemory,
    private readonly guest: number,
    private readonly remove: (end: HostEnd) => void,
  ) {
    const family = mem.getU32(guest + Socket.family);
    this.end = createSocket(mem, family, mem.getU32(guest + Socket.type), 0, COORDINATOR);
    mem.setU32(this.end + Socket.host, 1);
    retainSocket(mem, this.end);
    mem.setU32(guest + Socket.hostEnd, this.end);
    retainSocket(mem, guest);
    this.socket = createUdp({
      type: family === AF_INET6 ? 'udp6' : 'udp4',
      ipv6Only: hasOption(mem, guest, OPTION_V6_ONLY),
      reuseAddr: hasOption(mem, guest, OPTION_REUSE_ADDRESS),
    });
  }

  get busy(): boolean {
    return !this.gone && (this.sending > 0 || this.mem.atomicLoad(this.end + Socket.used) > 0);
  }

  /** Takes the guest's local address on the host; a port 0 is replaced by the one that the host gives. */
  bind(done: (error?: NodeJS.ErrnoException) => void): void {
    const { mem, guest, socket } = this;
    const local = localInet(mem, guest);
    const [address] = hostAddressesFor(mem, local.address, hasOption(mem, guest, OPTION_V6_ONLY));
    socket.once('error', done);
    socket.once('listening', () => {
      socket.off('error', done);
      socket.on('error', (error: NodeJS.ErrnoException) =>
        failSocket(mem, guest, errnoOfHostCode(error.code), COORDINATOR),
      );
      socket.on('message', (bytes, { address: from, port }) => {
        const source = { address: addressOfText(from), port, scope: 0 };
        const peer = remoteInet(mem, guest);
        // The host's socket is not connected where the guest's peer is a guest.
        if (peer.port !== 0 && (peer.port !== port || peer.address !== source.address)) return;
        const to = localInet(mem, guest).address;
        deliver(mem, guest, bytes, source, COORDINATOR, { to, hops: 64, trafficClass: 0 });
      });
      setLocalInet(mem, guest, { ...local, port: socket.address().port });
      done();
    });
    socket.bind({ address, port: local.port, exclusive: true });
  }

  /** Follows the guest's connect: packets go to its remote address only, and come from there. */
  connect(done: (error?: NodeJS.ErrnoException) => void): void {
    const { mem, guest, socket } = this;
    const to = remoteInet(mem, guest);
    if (this.remote !== undefined) socket.disconnect();
    this.remote = undefined;
    if (to.port === 0) {
      done();
      return;
    }
    socket.connect(to.port, this.text(to.address), ((error?: NodeJS.ErrnoException) => {
      if (error !== undefined && error !== null) {
        done(error);
        return;
      }
      this.remote = to;
      setLocalInet(mem, guest, {
        ...localInet(mem, guest),
        address: addressOfText(socket.address().address),
      });
      done();
    }) as () => void);
  }

  /** A host's address as the host's socket takes it: IPv4 is mapped for one of IPv6. */
  private text(address: string): string {
    const six = this.mem.getU32(this.guest + Socket.family) === AF_INET6;
    return six && isVersion4(address) ? `::ffff:${formatAddress(address)}` : formatAddress(address);
  }

  ready(): void {
    const { mem, end, guest } = this;
    if (this.gone) return;
    for (;;) {
      const taken = takePacket(
        mem,
        end,
        this.buffer,
        { peek: false, apart: false, locked: false },
        COORDINATOR,
      );
      if (taken === undefined || taken === NEEDS_SOCKETS_LOCK) break;
      if (taken.attached.address === undefined) continue;
      this.send(
        Buffer.from(this.buffer.subarray(0, taken.count)),
        parseInetAddress(AF_INET6, taken.attached.address),
      );
    }
    signalSocket(mem, guest, WRITABLE, COORDINATOR);
    if (stateOf(mem, guest) === SOCKET_CLOSED && this.sending === 0) this.destroy();
  }

  private send(bytes: Buffer, to: InetAddress): void {
    const { mem, guest, socket, remote } = this;
    const done = (error?: NodeJS.ErrnoException | null): void => {
      this.sending--;
      if (error && this.remote !== undefined)
        failSocket(mem, guest, errnoOfHostCode(error.code), COORDINATOR);
      if (stateOf(mem, guest) === SOCKET_CLOSED && !this.busy) this.destroy();
    };
    this.sending++;
    try {
      if (hasOption(mem, guest, OPTION_BROADCAST)) socket.setBroadcast(true);
      const same = (other: InetAddress | undefined): boolean =>
        other !== undefined && other.port === to.port && other.address === to.address;
      if (same(remote)) {
        socket.send(bytes, done);
        return;
      }
      if (remote === undefined && same(remoteInet(mem, guest))) {
        // The guest's peer was a guest before, or packets went elsewhere meanwhile.
        this.connect((error) => {
          if (error !== undefined) done(error);
          else socket.send(bytes, done);
        });
        return;
      }
      if (remote !== undefined) socket.disconnect();
      this.remote = undefined;
      socket.send(bytes, to.port, this.text(to.address), done);
    } catch (error) {
      done(error as NodeJS.ErrnoException);
    }
  }

  destroy(): void {
    if (this.gone) return;
    this.gone = true;
    try {
      this.socket.close();
    } catch {
      // It was never bound.
    }
    this.remove(this);
    dropSocket(this.mem, this.end, COORDINATOR);
    dropSocket(this.mem, this.guest, COORDINATOR);
  }
}
