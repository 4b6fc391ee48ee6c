import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_SOCKET, OpenFile } from '../../sync/records/openFile.js';
import { NAME_BUCKETS, SOCKET_CLOSED, SOCKET_LISTENING, Socket, Sockets } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { hasPackets } from './socket.js';
import { filesInQueueLocked } from './socketQueue.js';

/**
 * Walks all sockets of the machine and checks that they agree, as memory/auditor.ts does with memory: lists and links both ways,
 * every reference counted once, names that lead to open sockets, descriptors in flight. For tests, and for a machine in debug;
 * nothing may run meanwhile, nor the main thread have connections of the host's in its hands. `none`: nobody has a socket any
 * more. Returns what is wrong, one line each.
 */
export function auditSockets(mem: SharedMemory, owner: number, none = false): string[] {
  const global = mem.atomicLoad(MACHINE + Machine.sockets) >>> 0;
  return global === 0 ? [] : new SocketAuditor(mem, global, owner).check(none);
}

class SocketAuditor {
  private readonly problems: string[] = [];
  /** Every socket that was found, and how many references to it. */
  private readonly refs = new Map<number, number>();

  constructor(
    private readonly mem: SharedMemory,
    private readonly global: number,
    private readonly owner: number,
  ) {}

  check(none: boolean): string[] {
    const { mem, global } = this;
    const open = this.openSockets();
    for (const socket of open) this.note(socket, 1);
    for (const socket of this.refs.keys()) this.follow(socket);
    for (const [socket, refs] of this.refs) this.checkSocket(socket, refs);
    this.checkNames();
    this.checkInFlight();
    if (none && open.length > 0) this.fail(`${open.length} sockets are open`);
    if (none && mem.atomicLoad(global + Sockets.inFlight) !== 0) this.fail('descriptors are in flight');
    return this.problems;
  }

  private fail(text: string): void {
    if (this.problems.length < 100) this.problems.push(text);
  }

  private describe(socket: number): string {
    const { mem } = this;
    const field = (offset: number): number => mem.getU32(socket + offset);
    return `socket ${field(Socket.id)} (family ${field(Socket.family)}, type ${field(Socket.type)}, state ${field(Socket.state)})`;
  }

  /** A socket, with so many more references. A Map goes through what is added to it meanwhile as well. */
  private note(socket: number, refs: number): void {
    this.refs.set(socket, (this.refs.get(socket) ?? 0) + refs);
  }

  /** Those with an open file. */
  private openSockets(): number[] {
    const { mem } = this;
    const found: number[] = [];
    let previous = 0;
    for (let s = mem.getU32(this.global + Sockets.all); s !== 0; s = mem.getU32(s + Socket.nextOfAll)) {
      if (mem.getU32(s + Socket.previousOfAll) !== previous)
        this.fail(`${this.describe(s)} is linked in one direction only`);
      previous = s;
      found.push(s);
      const file = mem.getU32(s + Socket.file);
      if (
        file === 0 ||
        mem.getU32(file + OpenFile.kind) !== FILE_SOCKET ||
        mem.getU32(file + OpenFile.object) !== s
      )
        this.fail(`${this.describe(s)} is not that of its open file`);
      else if (mem.atomicLoad(file + OpenFile.refs) < 1)
        this.fail(`${this.describe(s)} has a dead open file`);
    }
    return found;
  }

  /** Notes what a socket holds references to. */
  private follow(socket: number): void {
    const { mem } = this;
    const peer = mem.getU32(socket + Socket.peer);
    if (peer !== 0) this.note(peer, 1);
    const hostEnd = mem.getU32(socket + Socket.hostEnd);
    if (hostEnd !== 0) this.note(hostEnd, 1);
    let waiting = 0;
    let child = mem.getU32(socket + Socket.waitingFirst);
    for (; child !== 0; child = mem.getU32(child + Socket.nextWaiting)) {
      this.note(child, 1);
      waiting++;
    }
    if (waiting !== mem.atomicLoad(socket + Socket.waiting))
      this.fail(
        `${this.describe(socket)} counts ${mem.atomicLoad(socket + Socket.waiting)} for ${waiting} waiting`,
      );
    if (waiting > 0 && mem.atomicLoad(socket + Socket.state) !== SOCKET_LISTENING)
      this.fail(`connections wait at ${this.describe(socket)}`);
  }

  private checkSocket(socket: number, refs: number): void {
    const { mem } = this;
    const used = mem.atomicLoad(socket + Socket.used);
    if (used < 0 || used > mem.getU32(socket + Socket.ringSize))
      this.fail(
        `${this.describe(socket)} has ${used} bytes in a ring of ${mem.getU32(socket + Socket.ringSize)}`,
      );
    if (mem.getU32(socket + Socket.file) === 0 && mem.getU32(socket + Socket.host) === 0) {
      const closed = mem.atomicLoad(socket + Socket.state) === SOCKET_CLOSED;
      if (closed && used > 0) this.fail(`${this.describe(socket)} has kept ${used} bytes`);
      if (closed && mem.getU32(socket + Socket.bound) !== 0)
        this.fail(`${this.describe(socket)} has kept its name`);
    }
    // The main thread has references of its own to those that lead outside.
    const peer = mem.getU32(socket + Socket.peer);
    const outside =
      mem.getU32(socket + Socket.host) !== 0 ||
      mem.getU32(socket + Socket.hostEnd) !== 0 ||
      (peer !== 0 && mem.getU32(peer + Socket.host) !== 0);
    const counted = mem.atomicLoad(socket + Socket.refs);
    if (outside ? counted < refs : counted !== refs)
      this.fail(`${this.describe(socket)} counts ${counted} references, there are ${refs}`);
  }

  private checkNames(): void {
    const { mem } = this;
    for (let key = 0; key < NAME_BUCKETS; key++) {
      let socket = mem.getU32(this.global + Sockets.names + key * 4);
      for (; socket !== 0; socket = mem.getU32(socket + Socket.nextBound)) {
        if (mem.getU32(socket + Socket.bound) !== key + 1)
          this.fail(`${this.describe(socket)} is in the table of names where it does not know of it`);
        if (!this.refs.has(socket)) this.fail(`${this.describe(socket)} has a name and is nobody's`);
      }
    }
  }

  private checkInFlight(): void {
    const { mem } = this;
    const inQueues = new Map<number, number>();
    let all = 0;
    for (const socket of this.refs.keys())
      for (const file of filesInQueueLocked(mem, socket, hasPackets(mem, socket), this.owner)) {
        inQueues.set(file, (inQueues.get(file) ?? 0) + 1);
        all++;
      }
    for (const [file, count] of inQueues) {
      if (mem.getI32(file + OpenFile.inFlight) !== count || mem.atomicLoad(file + OpenFile.refs) < count)
        this.fail(`an open file in ${count} queues counts ${mem.getI32(file + OpenFile.inFlight)}`);
    }
    const counted = mem.atomicLoad(this.global + Sockets.inFlight);
    if (counted !== all) this.fail(`${counted} descriptors are counted in flight, there are ${all}`);
  }
}
