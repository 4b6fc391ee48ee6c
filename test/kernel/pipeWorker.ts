import { createHash } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { SharedMemory } from '../../src/sync/sharedMemory.js';
import { FileCaller } from './fileCaller.js';

/** One guest thread of the pipe and epoll stress tests; bundled and run as a worker. */
export interface PipeTask {
  readonly memory: WebAssembly.Memory;
  readonly thread: number;
  readonly area: number;
  readonly kind: 'write' | 'read' | 'records' | 'signal' | 'epoll' | 'append' | 'churn';
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
        const n = c.call('epoll_pwait', task.fd, events, 4, 40_000, 0, 8);
        if (n !== 1) throw new Error(`epoll_wait ${n} after ${sum}`);
        // Edge-triggered: read until it is empty.
        while (c.call('read', task.other, value, 8) === 8) sum += c.mem.getU32(value);
      }
      return sum;
    }
    case 'churn': {
      // Random calls on a few descriptors that other threads use, close and replace at the same time. Everything is
      // non-blocking; what matters is that nothing breaks.
      const at = c.buffer(4096);
      const event = c.buffer(16);
      const fd = () => 3 + random(24);
      for (let i = 0; i < task.count; i++) {
        switch (random(16)) {
          case 0:
            c.open(`/f${random(4)}`, 0o102);
            break;
          case 1:
            c.call('pipe2', at, 0o4000);
            break;
          case 2:
            c.call('eventfd2', random(2), 0o4000);
            break;
          case 3:
            c.call('epoll_create1', 0);
            break;
          case 4:
          case 5:
            c.mem.setU32(event, 5 | (random(2) === 0 ? 0x8000_0000 : 0) | (random(3) === 0 ? 1 << 30 : 0));
            c.call('epoll_ctl', fd(), 1 + random(3), fd(), event);
            break;
          case 6:
            c.call('epoll_pwait', fd(), at, 8, 0, 0, 8);
            break;
          case 7:
            c.call('dup3', fd(), fd(), random(2) * 0o2000000);
            break;
          case 8:
            c.call('dup', fd());
            break;
          case 9:
            c.call('read', fd(), at, 1 + random(4000));
            break;
          case 10:
            c.call('write', fd(), at, 1 + random(4000));
            break;
          case 11:
            c.mem.setI32(at, fd());
            c.mem.setU32(at + 4, 5);
            c.call('ppoll', at, 1, Buffer.alloc(16), 0, 8);
            break;
          case 12:
            c.open(`/proc/self/fd/${fd()}`, 0o4000);
            break;
          case 13:
            c.open('/', 0o200000);
            break;
          default:
            c.call('close', fd());
        }
        // Keep within few descriptors, so that the threads meet.
        if (i % 64 === 0) c.call('close_range', 27, 0xffff_ffff, 0);
      }
      return task.count;
    }
    case 'append': {
      for (let i = 0; i < task.count; i++) c.write(task.fd, `${task.seed}:${i}\n`);
      return task.count;
    }
  }
}

parentPort?.postMessage(run());
