import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EAFNOSUPPORT, EAGAIN, EMSGSIZE, ENOTSOCK, EOPNOTSUPP, EPIPE } from '../../src/kernel/errno.js';
import { auditSockets } from '../../src/kernel/sockets/auditSockets.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Socket, Sockets } from '../../src/sync/records/socket.js';
import { createFileMachine, createFileThread, FileCaller, type FileMachine } from './fileCaller.js';

const AF_UNIX = 1;
const STREAM = 1;
const DGRAM = 2;
const SEQPACKET = 5;
const NONBLOCK = 0o4000;
const MSG_PEEK = 2;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

let host: string;
let machine: FileMachine;
let c: FileCaller;

beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), 'guesthouse-sockets-'));
  machine = createFileMachine({ root: host, mounts: [] });
  c = new FileCaller(machine.mem, createFileThread(machine));
});
afterEach(() => rmSync(host, { recursive: true }));

function pair(type: number): readonly [number, number] {
  const at = c.buffer(8);
  expect(c.call('socketpair', AF_UNIX, type, 0, at)).toBe(0);
  return [c.mem.getU32(at), c.mem.getU32(at + 4)];
}

const audit = (none = false) => auditSockets(machine.mem, COORDINATOR, none);

function send(fd: number, text: string, flags = 0): number {
  return c.call('sendto', fd, Buffer.from(text), text.length, flags, 0, 0);
}

function receive(fd: number, size: number, flags = 0): string | number {
  const at = c.buffer(size);
  const n = c.call('recvfrom', fd, at, size, flags, 0, 0);
  return n < 0 ? n : c.text(at, Math.min(n, size));
}

describe('socketpair', () => {
  it('carries a stream both ways', () => {
    const [a, b] = pair(STREAM | NONBLOCK);
    expect(c.read(b)).toBe(-EAGAIN);
    expect(c.write(a, 'to b')).toBe(4);
    expect(send(b, 'to a')).toBe(4);
    expect(receive(b, 2, MSG_PEEK)).toBe('to');
    expect(receive(b, 100)).toBe('to b');
    expect(c.read(a)).toBe('to a');
    expect(receive(a, 10, MSG_DONTWAIT)).toBe(-EAGAIN);
    expect(send(a, 'last')).toBe(4);
    expect(c.call('shutdown', a, 1)).toBe(0);
    expect(send(a, 'x', 0x4000)).toBe(-EPIPE);
    expect(c.read(b)).toBe('last');
    expect(c.read(b)).toBe('');
    expect(send(b, 'still open')).toBe(10);
    expect(c.read(a)).toBe('still open');
    c.call('close', a);
    expect(send(b, 'x', 0x4000)).toBe(-EPIPE);
    expect(c.readlink(`/proc/self/fd/${b}`)).toMatch(/^socket:\[\d+\]$/);
    expect(c.call('lseek', b, 0, 0)).toBe(-29);
  });

  it('keeps packets apart', () => {
    for (const type of [DGRAM, SEQPACKET]) {
      const [a, b] = pair(type | NONBLOCK);
      expect(send(a, 'first')).toBe(5);
      expect(send(a, '')).toBe(0);
      expect(send(a, 'third packet')).toBe(12);
      expect(receive(b, 100, MSG_PEEK)).toBe('first');
      expect(receive(b, 3)).toBe('fir');
      expect(receive(b, 100)).toBe('');
      const at = c.buffer(4);
      expect(c.call('recvfrom', b, at, 4, MSG_TRUNC, 0, 0)).toBe(12);
      expect(c.text(at, 4)).toBe('thir');
      expect(receive(b, 100)).toBe(-EAGAIN);
      expect(c.call('sendto', a, c.buffer(300_000), 300_000, 0, 0, 0)).toBe(-EMSGSIZE);
    }
  });

  it('tells poll and epoll of both directions', () => {
    const [a, b] = pair(STREAM);
    const events = (fd: number): number => {
      const at = c.buffer(8);
      c.mem.setI32(at, fd);
      c.mem.u16[(at + 4) >>> 1] = 0x2005;
      return c.call('ppoll', at, 1, Buffer.alloc(16), 0, 8) >= 0 ? c.mem.u16[(at + 6) >>> 1] : -1;
    };
    expect(events(a)).toBe(4);
    c.write(b, 'x');
    expect(events(a)).toBe(5);
    const set = c.call('epoll_create1', 0);
    const interest = Buffer.alloc(16);
    interest.writeUInt32LE(0x8000_0001, 0);
    expect(c.call('epoll_ctl', set, 1, a, interest)).toBe(0);
    const out = c.buffer(16);
    expect(c.call('epoll_pwait', set, out, 1, 0, 0, 8)).toBe(1);
    expect(c.call('epoll_pwait', set, out, 1, 0, 0, 8)).toBe(0);
    c.write(b, 'y');
    expect(c.call('epoll_pwait', set, out, 1, 0, 0, 8)).toBe(1);
    c.call('close', b);
    expect(events(a)).toBe(0x2015);
  });

  it('sends vectors, answers options and refuses what it does not know', () => {
    const [a, b] = pair(STREAM);
    const vector = Buffer.alloc(32);
    const one = c.buffer(3);
    c.mem.u8.set(Buffer.from('abc'), one);
    vector.writeBigInt64LE(BigInt(one), 0);
    vector.writeBigInt64LE(3n, 8);
    vector.writeBigInt64LE(BigInt(one), 16);
    vector.writeBigInt64LE(2n, 24);
    const at = c.buffer(32);
    c.mem.u8.set(vector, at);
    const message = Buffer.alloc(56);
    message.writeBigInt64LE(BigInt(at), 16);
    message.writeBigInt64LE(2n, 24);
    expect(c.call('sendmsg', a, message, 0)).toBe(5);
    expect(c.read(b)).toBe('abcab');
    const value = c.buffer(16);
    const length = c.buffer(4);
    c.mem.setU32(length, 16);
    expect(c.call('getsockopt', a, 1, 3, value, length)).toBe(0);
    expect([c.mem.getU32(value), c.mem.getU32(length)]).toEqual([STREAM, 4]);
    expect(c.call('getsockopt', a, 1, 999, value, length)).toBe(-92);
    expect(c.call('getsockopt', 0, 1, 3, value, length)).toBe(-ENOTSOCK);
    expect(c.call('socket', 99, 1, 0)).toBe(-EAFNOSUPPORT);
    expect(c.call('socketpair', 2, 1, 0, value)).toBe(-EOPNOTSUPP);
  });

  it('leaves nothing behind', () => {
    const used = () => machine.mem.getU64(MACHINE + Machine.heapUsed);
    const round = (): void => {
      for (const type of [STREAM, DGRAM]) {
        const [a, b] = pair(type);
        send(a, 'unread');
        c.call('shutdown', b, 2);
        c.call('close', a);
        c.call('close', b);
      }
    };
    round();
    const before = used();
    round();
    expect(used()).toBe(before);
  });

  it('leaves nothing behind of names, connections, packets and descriptors in flight', () => {
    const used = () => machine.mem.getU64(MACHINE + Machine.heapUsed);
    const unixAddress = (name: string): Buffer =>
      Buffer.concat([Buffer.from([AF_UNIX, 0, 0]), Buffer.from(name)]);
    const inet = (port: number): Buffer =>
      Buffer.from([2, 0, port >> 8, port & 0xff, 127, 0, 0, 1, ...new Array(8).fill(0)]);
    const named = (call: string, fd: number, address: Buffer): number =>
      c.call(call, fd, address, address.length);
    /** sendmsg of one byte with a descriptor. */
    const pass = (fd: number, passed: number): number => {
      const control = Buffer.alloc(24);
      control.writeBigInt64LE(20n, 0);
      control.writeInt32LE(1, 8);
      control.writeInt32LE(1, 12);
      control.writeInt32LE(passed, 16);
      const at = c.buffer(24);
      c.mem.u8.set(control, at);
      const vector = Buffer.alloc(16);
      vector.writeBigInt64LE(BigInt(at), 0);
      vector.writeBigInt64LE(1n, 8);
      const vectorAt = c.buffer(16);
      c.mem.u8.set(vector, vectorAt);
      const message = Buffer.alloc(56);
      message.writeBigInt64LE(BigInt(vectorAt), 16);
      message.writeBigInt64LE(1n, 24);
      message.writeBigInt64LE(BigInt(at), 32);
      message.writeBigInt64LE(24n, 40);
      return c.call('sendmsg', fd, message, 0);
    };
    const round = (): void => {
      // Connections that nobody accepts, one with something sent.
      for (const [family, address] of [
        [AF_UNIX, unixAddress('left')],
        [2, inet(4711)],
      ] as const) {
        const listener = c.call('socket', family, STREAM, 0);
        expect(named('bind', listener, address)).toBe(0);
        expect(c.call('listen', listener, 5)).toBe(0);
        const clients = [0, 1, 2].map(() => c.call('socket', family, STREAM, 0));
        for (const client of clients) expect(named('connect', client, address)).toBe(0);
        send(clients[0], 'early');
        const accepted = c.call('accept4', listener, 0, 0, 0);
        expect(receive(accepted, 10)).toBe('early');
        expect(audit()).toEqual([]);
        for (const fd of [clients[1], listener, clients[0], accepted, clients[2]]) c.call('close', fd);
      }
      // Packets with addresses that nobody reads.
      for (const [family, address] of [
        [AF_UNIX, unixAddress('packets')],
        [2, inet(4712)],
      ] as const) {
        const server = c.call('socket', family, DGRAM, 0);
        const client = c.call('socket', family, DGRAM, 0);
        expect(named('bind', server, address)).toBe(0);
        if (family === AF_UNIX) named('bind', client, unixAddress('sender'));
        expect(named('connect', client, address)).toBe(0);
        expect(send(client, 'lost')).toBe(4);
        expect(audit()).toEqual([]);
        c.call('close', server);
        expect(audit()).toEqual([]);
        c.call('close', client);
      }
      // A descriptor that nobody receives; sockets that only have each other.
      const [a, b] = pair(STREAM);
      const [x, y] = pair(DGRAM);
      expect(pass(a, x)).toBe(1);
      expect(pass(b, y)).toBe(1);
      expect(pass(x, a)).toBe(1);
      expect(pass(y, b)).toBe(1);
      expect(audit()).toEqual([]);
      expect(audit(true)).toEqual(['4 sockets are open', 'descriptors are in flight']);
      for (const fd of [a, b, x, y]) c.call('close', fd);
    };
    round();
    const before = used();
    round();
    expect(used()).toBe(before);
    expect(c.call('socket', AF_UNIX, STREAM, 0)).toBe(3);
    // The next socket that closes takes those along that nobody reaches, as in Linux.
    expect(audit(true)).toHaveLength(2);
    c.call('close', 3);
    expect(audit(true)).toEqual([]);
  });
});

describe('the auditor of sockets', () => {
  it('finds references that nobody has, and descriptors that are in no queue', () => {
    const [a] = pair(STREAM);
    expect(audit()).toEqual([]);
    const sockets = machine.mem.getU32(MACHINE + Machine.sockets);
    const first = machine.mem.getU32(sockets + Sockets.all);
    machine.mem.atomicAdd(first + Socket.refs, 1);
    machine.mem.atomicAdd(sockets + Sockets.inFlight, 1);
    expect(audit()).toEqual([
      expect.stringMatching(/^socket \d+ \(family 1, type 1, state 2\) counts 3 references, there are 2$/),
      '1 descriptors are counted in flight, there are 0',
    ]);
    machine.mem.atomicAdd(first + Socket.refs, -1);
    machine.mem.atomicAdd(sockets + Sockets.inFlight, -1);
    machine.mem.atomicStore(first + Socket.waiting, 1);
    expect(audit()).toEqual([expect.stringMatching(/ counts 1 for 0 waiting$/)]);
    machine.mem.atomicStore(first + Socket.waiting, 0);
    c.call('close', a);
    expect(audit()).toEqual([]);
    expect(audit(true)).toEqual(['1 sockets are open']);
  });
});
