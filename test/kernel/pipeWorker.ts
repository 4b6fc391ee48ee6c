import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { SharedMemory } from '../../src/sync/sharedMemory.js';
import { FileCaller } from './fileCaller.js';

/** One guest thread of the pipe and epoll stress tests; bundled and run as a worker. */
export interface PipeTask {
  readonly memory: WebAssembly.Memory;
  readonly thread: number;
  readonly area: number;
  readonly kind: 'write' | 'read' | 'records' | 'signal' | 'epoll' | 'append';
  readonly fd: number;
  readonly other: number;
  readonly count: number;
  readonly seed: number;
}

const task = workerData as PipeTask;
const c = new FileCaller(new SharedMemory(task.memory), task.thread, task.area);
let state = task.seed >>> 0;
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

/** The byte stream that every 'write' task makes from its seed. */
function run(): unknown {
  switch (task.kind) {
    case 'write': {
      // `count` bytes in pieces of all sizes; the digest says what they were.
      const hash = createHash('sha256');
      const at = c.buffer(200_000);
      for (let done = 0; done < task.count; ) {
        const size = Math.min(task.count - done, 1 + random(random(4) === 0 ? 150_000 : 3000));
        for (let i = 0; i < size; i += 64) c.mem.u8[at + i] = random(256);
        hash.update(c.bytes(at, size));
        if (c.call('write', task.fd, at, size) !== size) throw new Error('short write');
        done += size;
      }
      c.call('close', task.fd);
      return hash.digest('hex');
    }
    case 'read': {
      const hash = createHash('sha256');
      const at = c.buffer(100_000);
      let total = 0;
      for (;;) {
        const n = c.call('read', task.fd, at, 1 + random(100_000));
        if (n < 0) throw new Error(`read ${n}`);
        if (n === 0) return { total, digest: hash.digest('hex') };
        hash.update(c.bytes(at, n));
        total += n;
      }
    }
    case 'records': {
      // Records of up to PIPE_BUF bytes: length, writer, then that writer's number all over.
      const at = c.buffer(4096);
      for (let i = 0; i < task.count; i++) {
        const size = 8 + random(4088);
        c.mem.u8.fill(task.seed & 0xff, at, at + size);
        c.mem.setU32(at, size);
        if (c.call('write', task.fd, at, size) !== size) throw new Error('torn record');
      }
      c.call('close', task.fd);
      return task.count;
    }
    case 'signal': {
      // Writes one to an eventfd, as often as asked.
      const one = Buffer.alloc(8);
      one[0] = 1;
      for (let i = 0; i < task.count; i++) {
        if (c.call('write', task.fd, one, 8) !== 8) throw new Error('eventfd write');
        for (let spin = random(2000); spin > 0; spin--) c.mem.getU32(task.fd);
      }
      return task.count;
    }
    case 'epoll': {
      // Waits on set `fd` (edge-triggered, the eventfd `other` in it) until the counter has been read `count` times up.
      const events = c.buffer(16 * 4);
      const value = c.buffer(8);
      let sum = 0;
      while (sum < task.count) {
        const n = c.call('epoll_pwait', task.fd, events, 4, 10_000, 0, 8);
        if (n !== 1) throw new Error(`epoll_wait ${n} after ${sum}`);
        // Edge-triggered: read until it is empty.
        while (c.call('read', task.other, value, 8) === 8) sum += c.mem.getU32(value);
      }
      return sum;
    }
    case 'append': {
      for (let i = 0; i < task.count; i++) c.write(task.fd, `${task.seed}:${i}\n`);
      return task.count;
    }
  }
}

parentPort?.postMessage(run());
