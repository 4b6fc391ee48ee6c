import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EAGAIN, EBADF, EINTR, EINVAL, EPERM, EPIPE, ERESTARTSYS } from '../../src/kernel/errno.js';
import { installFile } from '../../src/kernel/files/filesTable.js';
import {
  beginStreamTurn,
  createStream,
  endStream,
  freeStream,
  openStream,
  pushStreamBytes,
  streamEnded,
  takeStreamBytes,
} from '../../src/kernel/files/stream.js';
import { setStreamDoorbell } from '../../src/kernel/files/streamRequests.js';
import { sendSignal } from '../../src/kernel/signals/pendingSignals.js';
import { sentInfo } from '../../src/kernel/signals/sigInfo.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { monotonicNow } from '../../src/sync/park.js';
import { Guest } from '../../src/sync/records/guest.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Sighand, SignalAction } from '../../src/sync/records/signals.js';
import { ATTENTION_SIGNAL, Thread } from '../../src/sync/records/thread.js';
import { RequestKind, takeRequest } from '../../src/sync/ring.js';
import { AT_FDCWD, createFileMachine, createFileThread, FileCaller, type FileMachine } from './fileCaller.js';

const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLLHUP = 0x10;
const EPOLLONESHOT = 1 << 30;
const EPOLLET = 0x8000_0000;
const O_NONBLOCK = 0o4000;

let folder: string;
let workerFile: string;
let host: string;
let machine: FileMachine;
let c: FileCaller;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guesthouse-pipes-'));
  workerFile = join(folder, 'pipeWorker.mjs');
  await build({
    entryPoints: [new URL('./pipeWorker.ts', import.meta.url).pathname],
    outfile: workerFile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['*.wasm'],
    logLevel: 'error',
  });
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), 'guesthouse-pipes-'));
  machine = createFileMachine({ root: host, mounts: [] });
  c = new FileCaller(machine.mem, createFileThread(machine));
});
afterEach(() => rmSync(host, { recursive: true }));

/** Starts a guest thread in a worker of its own. */
function start(
  area: number,
  kind: string,
  fd: number,
  options: { other?: number; count?: number; seed?: number } = {},
) {
  const thread = createFileThread(machine);
  const worker = new Worker(workerFile, {
    trackUnmanagedFds: false,
    workerData: {
      memory: machine.mem.wasm,
      thread,
      area,
      kind,
      fd,
      other: 0,
      count: 0,
      seed: area,
      ...options,
    },
  });
  const result = new Promise<unknown>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  return { thread, result, ended };
}

function event(events: number, data: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(events >>> 0, 0);
  bytes.writeUInt32LE(data, 8);
  return bytes;
}

/** epoll_wait without waiting: [events, data] of each. */
function ready(set: number, timeout = 0): (readonly [number, number])[] | number {
  const at = c.buffer(16 * 8);
  const n = c.call('epoll_pwait', set, at, 8, timeout, 0, 8);
  if (n < 0) return n;
  return Array.from(
    { length: n },
    (_, i) => [c.mem.getU32(at + i * 16), c.mem.getU32(at + i * 16 + 8)] as const,
  );
}

describe('pipes', () => {
  it('carry bytes in order through any sizes, between workers', async () => {
    const [r, w] = c.pipe();
    const writer = start(1, 'write', w, { count: 5_000_000, seed: 7 });
    const reader = start(2, 'read', r, { seed: 9 });
    expect(await reader.result).toEqual({ total: 5_000_000, digest: await writer.result });
  });

  it('do not tear writes of PIPE_BUF bytes', async () => {
    const [r, w] = c.pipe();
    const writers = [1, 2, 3].map((i) => start(i, 'records', c.call('dup', w), { count: 400, seed: i * 17 }));
    c.call('close', w);
    const counts = new Map<number, number>();
    let pending = Buffer.alloc(0);
    const at = c.buffer(8192);
    // The writers run in workers; this thread reads as they go.
    for (;;) {
      const n = c.call('read', r, at, 8192);
      expect(n).toBeGreaterThanOrEqual(0);
      if (n === 0) break;
      pending = Buffer.concat([pending, c.bytes(at, n)]);
      while (pending.length >= 4 && pending.length >= pending.readUInt32LE(0)) {
        const record = pending.subarray(0, pending.readUInt32LE(0));
        expect(record.subarray(4).every((byte) => byte === record[4])).toBe(true);
        counts.set(record[4], (counts.get(record[4]) ?? 0) + 1);
        pending = pending.subarray(record.length);
      }
    }
    expect(pending.length).toBe(0);
    expect([...counts].sort()).toEqual([
      [17, 400],
      [34, 400],
      [51, 400],
    ]);
    await Promise.all(writers.map((writer) => writer.result));
  });

  it('end, break and say so', () => {
    const [r, w] = c.pipe(O_NONBLOCK);
    expect(c.read(r)).toBe(-EAGAIN);
    expect(c.write(w, 'abc')).toBe(3);
    c.call('close', w);
    expect(c.read(r)).toBe('abc');
    expect(c.read(r)).toBe('');
    const [r2, w2] = c.pipe();
    c.call('close', r2);
    expect(c.write(w2, 'x')).toBe(-EPIPE);
    expect(machine.mem.atomicLoad(c.t.thread + Thread.attention) & ATTENTION_SIGNAL).toBe(ATTENTION_SIGNAL);
    expect(c.write(r, 'x')).toBe(-EBADF);
    expect(c.read(w2)).toBe(-EBADF);
  });

  it('have a capacity that can be changed', () => {
    const [r, w] = c.pipe(O_NONBLOCK);
    const block = c.buffer(70_000);
    expect(c.call('write', w, block, 70_000)).toBe(65_536);
    expect(c.write(w, 'x')).toBe(-EAGAIN);
    expect(c.call('fcntl', w, 1031, 100_000)).toBe(131_072);
    expect(c.call('fcntl', r, 1032)).toBe(131_072);
    expect(c.write(w, 'more')).toBe(4);
    expect(c.call('fcntl', w, 1031, 4096)).toBe(-16);
    expect(c.call('fcntl', w, 1031, 2 ** 30)).toBe(-EPERM);
    expect(c.call('read', r, block, 65_536)).toBe(65_536);
    expect(c.read(r)).toBe('more');
    // A small write waits for room for all of itself.
    expect(c.call('fcntl', w, 1031, 4096)).toBe(4096);
    expect(c.call('write', w, block, 4000)).toBe(4000);
    expect(c.call('write', w, block, 200)).toBe(-EAGAIN);
    expect(c.call('write', w, block, 96)).toBe(96);
  });

  it('are interrupted by signals', async () => {
    const [r] = c.pipe();
    const waiting = start(1, 'read', r);
    setTimeout(() => {
      const info = sentInfo(15, 0, 1, 0);
      sendSignal(machine.mem, COORDINATOR, machine.guest, waiting.thread, 15, info);
    }, 300);
    await expect(waiting.result).rejects.toThrow(`read ${-ERESTARTSYS}`);
  });

  it('have names that guests meet at', async () => {
    expect(c.call('mknodat', AT_FDCWD, '/fifo', 0o010644)).toBe(0);
    expect(c.stat('/fifo')).toMatchObject({ mode: 0o010644 });
    expect(c.open('/fifo', 1 | O_NONBLOCK)).toBe(-6);
    const r = c.open('/fifo', O_NONBLOCK);
    const w = c.open('/fifo', 1);
    // The open file is the one that has the name.
    const [named, opened] = [c.buffer(256), c.buffer(256)];
    expect(c.call('newfstatat', AT_FDCWD, '/fifo', named, 0)).toBe(0);
    expect(c.call('fstat', r, opened)).toBe(0);
    expect(c.bytes(opened, 128)).toEqual(c.bytes(named, 128));
    expect(c.call('fchmod', w, 0o600)).toBe(0);
    expect(c.stat('/fifo')).toMatchObject({ mode: 0o010600 });
    expect(c.write(w, 'through the name')).toBe(16);
    expect(c.read(r)).toBe('through the name');
    c.call('close', w);
    expect(c.read(r)).toBe('');
  });

  it('can be copied with tee', () => {
    const [r, w] = c.pipe();
    const [r2, w2] = c.pipe();
    expect(c.call('tee', r, w2, 10, 2)).toBe(-EAGAIN);
    c.write(w, 'both get this');
    expect(c.call('tee', r, w2, 4, 0)).toBe(4);
    expect(c.read(r2)).toBe('both');
    expect(c.call('tee', r, w2, 100, 0)).toBe(13);
    expect(c.read(r)).toBe('both get this');
    expect(c.read(r2)).toBe('both get this');
    expect(c.call('tee', r, w, 1, 0)).toBe(-EINVAL);
    expect(c.call('tee', w, w2, 1, 0)).toBe(-EBADF);
    expect(c.call('tee', r, c.open('/spliced', 0o102), 1, 0)).toBe(-EINVAL);
    c.call('close', w);
    expect(c.call('tee', r, w2, 1, 0)).toBe(0);
    // The smallest a pipe gets is a page.
    expect(c.call('fcntl', r2, 1031, 0)).toBe(4096);
  });

  it('can be spliced', () => {
    const [r, w] = c.pipe();
    const file = c.open('/spliced', 0o102);
    c.write(w, 'spliced bytes');
    expect(c.call('splice', r, 0, file, 0, 7, 0)).toBe(7);
    expect(readFileSync(join(host, 'spliced'), 'latin1')).toBe('spliced');
    expect(c.call('splice', file, 0, file, 0, 7, 0)).toBe(-EINVAL);
  });
});

describe('descriptors under threads', () => {
  it('are opened, closed and replaced at once without a trace', async () => {
    const { mem } = machine;
    const used = () => mem.getU64(MACHINE + Machine.heapUsed);
    // SIGPIPE is ignored: it would stay pending with threads that never look.
    const actions = mem.getU32(machine.guest + Guest.sighand) + Sighand.actions;
    mem.set64(actions + 13 * SignalAction.SIZE + SignalAction.handler, 1);
    // What is made at first use and stays, and files that stay on the host.
    for (let i = 0; i < 4; i++) c.call('close', c.open(`/f${i}`, 0o102));
    c.call('close', c.call('eventfd2', 0, 0));
    const hostDescriptors = () => readdirSync('/proc/self/fd').length;
    const threads = [1, 2, 3].map((area) => ({ area, seed: area * 7919 }));
    const descriptors = hostDescriptors();
    const runs = threads.map(({ area, seed }) => start(area, 'churn', 0, { count: 12_000, seed }));
    await Promise.all(runs.map((run) => run.result));
    await Promise.all(runs.map((run) => run.ended));
    c.call('close_range', 3, 0xffff_ffff, 0);
    expect(c.list('/proc/self/fd')).toEqual(['.', '..', '0', '1', '2', '3']);
    const after = used();
    // A second round on the same machine must end with the same memory in use.
    const more = threads.map(({ area, seed }) => start(area, 'churn', 0, { count: 3000, seed: seed + 1 }));
    const records = used() - after;
    await Promise.all(more.map((run) => run.ended));
    c.call('close_range', 3, 0xffff_ffff, 0);
    expect(used() - after - records).toBe(0);
    expect(hostDescriptors()).toBe(descriptors);
  });
});

describe('appending', () => {
  it('from two descriptions loses nothing', async () => {
    const fds = [c.open('/log', 0o2101), c.open('/log', 0o2101)];
    await Promise.all(fds.map((fd, i) => start(i + 1, 'append', fd, { count: 500 }).result));
    const lines = readFileSync(join(host, 'log'), 'latin1').trim().split('\n');
    expect(lines.length).toBe(1000);
    expect(new Set(lines).size).toBe(1000);
  });
});

describe('streams', () => {
  it('pump a host input on demand and end', () => {
    const { mem } = machine;
    setStreamDoorbell(() => {});
    const stream = createStream(mem, COORDINATOR, 'input');
    const fd = installFile(
      mem,
      machine.files,
      openStream(mem, stream, COORDINATOR),
      { limit: 100, closeOnExec: false },
      COORDINATOR,
    );
    expect(takeRequest(mem, COORDINATOR)).toBeUndefined();
    expect(c.call('fcntl', fd, 4, O_NONBLOCK)).toBe(0);
    expect(c.read(fd)).toBe(-EAGAIN);
    expect(c.read(fd)).toBe(-EAGAIN);
    expect(takeRequest(mem, COORDINATOR)).toMatchObject({ kind: RequestKind.StreamReady, a: stream });
    expect(takeRequest(mem, COORDINATOR)).toBeUndefined();
    beginStreamTurn(mem, stream, COORDINATOR);
    expect(pushStreamBytes(mem, stream, Buffer.from('typed\n'), COORDINATOR)).toBe(6);
    expect(c.read(fd)).toBe('typed\n');
    expect(takeRequest(mem, COORDINATOR)).toMatchObject({ a: stream });
    beginStreamTurn(mem, stream, COORDINATOR);
    expect(pushStreamBytes(mem, stream, Buffer.alloc(100_000), COORDINATOR)).toBe(65_536);
    endStream(mem, stream, COORDINATOR);
    expect(c.call('read', fd, c.buffer(70_000), 70_000)).toBe(65_536);
    expect(c.read(fd)).toBe('');
    expect(streamEnded(mem, stream)).toBe(false);
    c.call('close', fd);
    expect(streamEnded(mem, stream)).toBe(true);
    freeStream(mem, stream, COORDINATOR);
  });

  it('hand output over and tell when the last writer is gone', () => {
    const { mem } = machine;
    const used = mem.getU64(MACHINE + Machine.heapUsed);
    const stream = createStream(mem, COORDINATOR, 'output');
    const fd = installFile(
      mem,
      machine.files,
      openStream(mem, stream, COORDINATOR),
      { limit: 100, closeOnExec: false },
      COORDINATOR,
    );
    expect(c.write(fd, 'one')).toBe(3);
    expect(c.write(fd, 'two')).toBe(3);
    expect(takeRequest(mem, COORDINATOR)).toMatchObject({ a: stream });
    expect(takeRequest(mem, COORDINATOR)).toBeUndefined();
    beginStreamTurn(mem, stream, COORDINATOR);
    expect(Buffer.from(takeStreamBytes(mem, stream, 4, COORDINATOR)).toString()).toBe('onet');
    expect(Buffer.from(takeStreamBytes(mem, stream, 100, COORDINATOR)).toString()).toBe('wo');
    c.call('close', fd);
    expect(takeRequest(mem, COORDINATOR)).toMatchObject({ a: stream });
    expect(streamEnded(mem, stream)).toBe(true);
    freeStream(mem, stream, COORDINATOR);
    expect(mem.getU64(MACHINE + Machine.heapUsed)).toBe(used);
  });
});

describe('epoll', () => {
  it('reports levels again and edges once', () => {
    const set = c.call('epoll_create1', 0);
    const [r1, w1] = c.pipe();
    const [r2, w2] = c.pipe();
    expect(c.call('epoll_ctl', set, 1, r1, event(EPOLLIN, 1))).toBe(0);
    expect(c.call('epoll_ctl', set, 1, r2, event(EPOLLIN | EPOLLET, 2))).toBe(0);
    expect(c.call('epoll_ctl', set, 1, r1, event(EPOLLIN, 1))).toBe(-17);
    expect(ready(set)).toEqual([]);
    c.write(w1, 'x');
    c.write(w2, 'x');
    expect(ready(set)).toEqual([
      [EPOLLIN, 1],
      [EPOLLIN, 2],
    ]);
    expect(ready(set)).toEqual([[EPOLLIN, 1]]);
    c.write(w2, 'y');
    expect(ready(set)).toHaveLength(2);
    c.read(r1);
    expect(ready(set)).toEqual([]);
    c.call('close', w1);
    expect(ready(set)).toEqual([[EPOLLHUP, 1]]);
    expect(c.call('epoll_ctl', set, 2, r1, 0)).toBe(0);
    expect(c.call('epoll_ctl', set, 2, r1, 0)).toBe(-2);
    expect(ready(set)).toEqual([]);
  });

  it('fires oneshot entries once until they are armed again', () => {
    const set = c.call('epoll_create1', 0);
    const fd = c.call('eventfd2', 1, 0);
    expect(c.call('epoll_ctl', set, 1, fd, event(EPOLLIN | EPOLLOUT | EPOLLONESHOT, 9))).toBe(0);
    expect(ready(set)).toEqual([[EPOLLIN | EPOLLOUT, 9]]);
    c.call('write', fd, event(1, 0), 8);
    expect(ready(set)).toEqual([]);
    expect(c.call('epoll_ctl', set, 3, fd, event(EPOLLIN | EPOLLONESHOT, 10))).toBe(0);
    expect(ready(set)).toEqual([[EPOLLIN, 10]]);
    expect(ready(set)).toEqual([]);
  });

  it('forgets a file with its last descriptor, and refuses what has no events', () => {
    const set = c.call('epoll_create1', 0);
    const fd = c.call('eventfd2', 1, 0);
    const copy = c.call('dup', fd);
    c.call('epoll_ctl', set, 1, fd, event(EPOLLIN, 3));
    c.call('close', fd);
    expect(ready(set)).toEqual([[EPOLLIN, 3]]);
    c.call('close', copy);
    expect(ready(set)).toEqual([]);
    const file = c.open('/x', 0o102);
    expect(c.call('epoll_ctl', set, 1, file, event(EPOLLIN, 3))).toBe(-EPERM);
    expect(c.call('epoll_ctl', set, 1, set, event(EPOLLIN, 3))).toBe(-EINVAL);
    expect(c.call('epoll_ctl', file, 1, set, event(EPOLLIN, 3))).toBe(-EINVAL);
    expect(c.call('epoll_pwait', set, 8, 1, 0, 0, 8)).toBe(-14);
    expect(c.call('epoll_pwait', set, c.buffer(16), 0, 0, 0, 8)).toBe(-EINVAL);
  });

  it('nests, without cycles', () => {
    const inner = c.call('epoll_create1', 0);
    const outer = c.call('epoll_create1', 0);
    const fd = c.call('eventfd2', 0, 0);
    expect(c.call('epoll_ctl', outer, 1, inner, event(EPOLLIN, 1))).toBe(0);
    expect(c.call('epoll_ctl', inner, 1, fd, event(EPOLLIN, 2))).toBe(0);
    expect(c.call('epoll_ctl', inner, 1, outer, event(EPOLLIN, 1))).toBe(-40);
    expect(ready(outer)).toEqual([]);
    c.call('write', fd, event(1, 0), 8);
    expect(ready(outer)).toEqual([[EPOLLIN, 1]]);
    expect(ready(inner)).toEqual([[EPOLLIN, 2]]);
    c.read(fd, 8);
    expect(ready(outer)).toEqual([]);
    c.call('close', inner);
    expect(ready(outer)).toEqual([]);
  });

  it('loses no edge between workers', async () => {
    const set = c.call('epoll_create1', 0);
    const fd = c.call('eventfd2', 0, O_NONBLOCK);
    c.call('epoll_ctl', set, 1, fd, event(EPOLLIN | EPOLLET, 5));
    const waiter = start(1, 'epoll', set, { other: fd, count: 40_000 });
    const writers = [2, 3].map((area) => start(area, 'signal', fd, { count: 20_000 }));
    expect(await waiter.result).toBe(40_000);
    await Promise.all(writers.map((writer) => writer.result));
  });

  it('waits as long as it is told, for timers too', () => {
    const set = c.call('epoll_create1', 0);
    const before = monotonicNow();
    expect(ready(set, 60)).toEqual([]);
    expect(monotonicNow() - before).toBeGreaterThanOrEqual(59);
    const timer = c.call('timerfd_create', 1, O_NONBLOCK);
    const spec = Buffer.alloc(32);
    spec.writeBigInt64LE(20_000_000n, 8);
    spec.writeBigInt64LE(30_000_000n, 24);
    expect(c.call('timerfd_settime', timer, 0, spec, 0)).toBe(0);
    c.call('epoll_ctl', set, 1, timer, event(EPOLLIN | EPOLLET, 6));
    expect(c.read(timer, 8)).toBe(-EAGAIN);
    expect(ready(set, 1000)).toEqual([[EPOLLIN, 6]]);
    expect(ready(set, 0)).toEqual([]);
    expect((c.read(timer, 8) as string).charCodeAt(0)).toBeGreaterThanOrEqual(1);
    expect(ready(set, 1000)).toEqual([[EPOLLIN, 6]]);
  });
});

describe('poll and select', () => {
  function poll(fds: readonly (readonly [number, number])[], timeout?: number): number[] | number {
    const at = c.buffer(fds.length * 8);
    fds.forEach(([fd, events], i) => {
      c.mem.setI32(at + i * 8, fd);
      c.mem.u16[(at + i * 8 + 4) >>> 1] = events;
    });
    const spec = Buffer.alloc(16);
    if (timeout !== undefined) spec.writeBigInt64LE(BigInt(timeout * 1e6), 8);
    const n = c.call('ppoll', at, fds.length, timeout === undefined ? 0 : spec, 0, 8);
    return n < 0 ? n : fds.map((_, i) => c.mem.u16[(at + i * 8 + 6) >>> 1]);
  }

  it('tell what holds', () => {
    const [r, w] = c.pipe();
    const file = c.open('/y', 0o102);
    expect(
      poll(
        [
          [r, 1],
          [w, 4],
          [file, 5],
          [-1, 1],
        ],
        0,
      ),
    ).toEqual([0, 4, 5, 0]);
    expect(poll([[99, 1]], 900)).toEqual([0x20]);
    expect(poll([[r, 1]], 30)).toEqual([0]);
    c.write(w, 'x');
    expect(poll([[r, 1]])).toEqual([1]);
    c.call('close', w);
    expect(poll([[r, 1]])).toEqual([0x11]);
    const sets = c.buffer(24);
    c.mem.u8[sets + (r >> 3)] = 1 << (r & 7);
    expect(c.call('pselect6', r + 1, sets, 0, 0, 0, 0)).toBe(1);
    c.mem.u8[sets + 2] = 0xff;
    expect(c.call('pselect6', 24, sets, 0, 0, 0, 0)).toBe(-EBADF);
  });

  it('are interrupted under the mask they set', () => {
    const { mem } = machine;
    sendSignal(mem, COORDINATOR, machine.guest, c.t.thread, 10, sentInfo(10, 0, 1, 0));
    const [r] = c.pipe();
    const at = c.buffer(8);
    c.mem.setI32(at, r);
    c.mem.u16[(at + 4) >>> 1] = 1;
    expect(c.call('ppoll', at, 1, 0, Buffer.alloc(8), 8)).toBe(-514);
    const set = c.call('epoll_create1', 0);
    expect(c.call('epoll_pwait', set, c.buffer(16), 1, -1, Buffer.alloc(8), 8)).toBe(-EINTR);
  });
});
