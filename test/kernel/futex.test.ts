import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EAGAIN, EINVAL, ERESTARTSYS, ETIMEDOUT } from '../../src/kernel/errno.js';
import { futexRequeue, futexWait, futexWake, futexWakeOp } from '../../src/kernel/futex.js';
import { sendSignal } from '../../src/kernel/signals/pendingSignals.js';
import { sentInfo } from '../../src/kernel/signals/sigInfo.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { monotonicNow } from '../../src/sync/park.js';
import { FutexBucket, FutexWaiter } from '../../src/sync/records/futex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import {
  type BareMachine,
  bindContext,
  createBareMachine,
  createBareThread,
  GUEST_MEMORY,
} from './bareMachine.js';

const ANY = -1;
const WORD = GUEST_MEMORY + 0x1000;
let folder: string;
let workerFile: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'guesthouse-futex-'));
  workerFile = join(folder, 'futexWorker.mjs');
  await build({
    entryPoints: [new URL('./futexWorker.ts', import.meta.url).pathname],
    outfile: workerFile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['*.wasm'],
  });
});
afterAll(() => rm(folder, { recursive: true }));

/** Starts a thread in a worker; its result. */
function start(machine: BareMachine, task: { kind: string; word: number; rounds: number; seed: number }) {
  const thread = createBareThread(machine);
  const worker = new Worker(workerFile, { workerData: { memory: machine.mem.wasm, thread, ...task } });
  const result = new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  return { thread, result };
}

/** Threads queued in all buckets; the buckets' own counts agree with that once nobody is about to wait. */
function waiting({ mem }: BareMachine): number {
  let sum = 0;
  const buckets = mem.getU32(MACHINE + Machine.futexBuckets);
  for (let i = 0; i < mem.getU32(MACHINE + Machine.futexBucketCount); i++) {
    const bucket = buckets + i * FutexBucket.SIZE;
    let queued = 0;
    for (let w = mem.getU32(bucket + FutexBucket.first); w !== 0; w = mem.getU32(w + FutexWaiter.next))
      queued++;
    if (queued !== mem.getI32(bucket + FutexBucket.waiters)) return -1;
    sum += queued;
  }
  return sum;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe('futex', () => {
  it('answers errors as futex(2) says', () => {
    const machine = createBareMachine();
    const t = bindContext(machine.mem, createBareThread(machine));
    machine.mem.setU32(WORD, 7);
    expect(futexWait(t, WORD, 8, Infinity, ANY, false)).toBe(-EAGAIN);
    expect(futexWait(t, WORD, 7, Infinity, 0, false)).toBe(-EINVAL);
    expect(() => futexWait(t, WORD + 2, 7, Infinity, ANY, false)).toThrow(
      expect.objectContaining({ errno: EINVAL }),
    );
    expect(futexWake(t, WORD, 1, 0, false)).toBe(-EINVAL);
    expect(futexWake(t, WORD, 1, ANY, false)).toBe(0);
    expect(futexRequeue(t, WORD, 1, 1, WORD + 4, 8, false)).toBe(-EAGAIN);
    expect(futexRequeue(t, WORD, -1, 1, WORD + 4, 7, false)).toBe(-EINVAL);
    expect(waiting(machine)).toBe(0);
  });

  it('times out, and not early', () => {
    const machine = createBareMachine();
    const t = bindContext(machine.mem, createBareThread(machine));
    const from = monotonicNow();
    expect(futexWait(t, WORD, 0, from + 20, ANY, false)).toBe(-ETIMEDOUT);
    expect(monotonicNow() - from).toBeGreaterThanOrEqual(19.9);
    expect(waiting(machine)).toBe(0);
  });

  it('wakes waiters by count and by their own word only', async () => {
    const machine = createBareMachine();
    const t = bindContext(machine.mem, createBareThread(machine));
    const waiters = [0, 1, 2].map(() => start(machine, { kind: 'wait', word: WORD, rounds: 1, seed: 1 }));
    await until(() => waiting(machine) === 3);
    expect(futexWake(t, WORD + 4, 10, ANY, false)).toBe(0);
    expect(futexWake(t, WORD, 2, ANY, false)).toBe(2);
    expect(futexWake(t, WORD, 2, ANY, false)).toBe(1);
    expect(await Promise.all(waiters.map((w) => w.result))).toEqual([0, 0, 0]);
    expect(waiting(machine)).toBe(0);
  });

  it('requeues waiters, which then wake by the other word', async () => {
    const machine = createBareMachine();
    const t = bindContext(machine.mem, createBareThread(machine));
    const waiters = [0, 1, 2].map(() => start(machine, { kind: 'wait', word: WORD, rounds: 1, seed: 1 }));
    await until(() => waiting(machine) === 3);
    expect(futexRequeue(t, WORD, 1, 1, WORD + 0x100, 0, false)).toBe(2);
    expect(futexWake(t, WORD, 10, ANY, false)).toBe(1);
    expect(futexWake(t, WORD + 0x100, 10, ANY, false)).toBe(1);
    expect(await Promise.all(waiters.map((w) => w.result))).toEqual([0, 0, 0]);
  });

  it('WAKE_OP changes the second word and wakes by the comparison', async () => {
    const machine = createBareMachine();
    const t = bindContext(machine.mem, createBareThread(machine));
    const second = WORD + 0x200;
    const waiters = [WORD, second].map((word) => start(machine, { kind: 'wait', word, rounds: 1, seed: 1 }));
    await until(() => waiting(machine) === 2);
    // OP_ADD 5, compare old == 0.
    const encoded = (1 << 28) | (0 << 24) | (5 << 12) | 0;
    expect(futexWakeOp(t, WORD, 1, 1, second, encoded, false)).toBe(2);
    expect(machine.mem.getU32(second)).toBe(5);
    // The comparison no longer holds: nobody to wake, and the word changes all the same. OP_OR with shift: 1 << 3.
    expect(futexWakeOp(t, WORD, 1, 1, second, ((2 | 8) << 28) | (3 << 12) | 0, false)).toBe(0);
    expect(machine.mem.getU32(second)).toBe(13);
    expect(await Promise.all(waiters.map((w) => w.result))).toEqual([0, 0]);
  });

  it('is interrupted by a signal', async () => {
    const machine = createBareMachine();
    const waiter = start(machine, { kind: 'wait', word: WORD, rounds: 1, seed: 1 });
    await until(() => waiting(machine) === 1);
    const info = sentInfo(15, 0, 1, 0);
    expect(sendSignal(machine.mem, COORDINATOR, machine.guest, waiter.thread, 15, info)).toBe('sent');
    expect(await waiter.result).toBe(-ERESTARTSYS);
    expect(waiting(machine)).toBe(0);
  });

  it.each([1, 2, 3])('keeps a mutex exclusive under stress (seed %i)', async (seed) => {
    const machine = createBareMachine();
    const threads = 4;
    const rounds = 4000;
    const workers = Array.from({ length: threads }, (_, i) =>
      start(machine, { kind: 'mutex', word: WORD, rounds, seed: seed * 100 + i }),
    );
    await Promise.all(workers.map((w) => w.result));
    expect(machine.mem.getU32(WORD + 64)).toBe(threads * rounds);
    expect(machine.mem.getU32(WORD)).toBe(0);
    expect(waiting(machine)).toBe(0);
  });

  it.each([1, 2])('loses no waiter of a requeueing barrier (seed %i)', async (seed) => {
    const machine = createBareMachine();
    const threads = 4;
    machine.mem.setU32(WORD + 128, threads);
    const rounds = 1000;
    const workers = Array.from({ length: threads }, (_, i) =>
      start(machine, { kind: 'queue', word: WORD, rounds, seed: seed * 100 + i }),
    );
    await Promise.all(workers.map((w) => w.result));
    expect(machine.mem.getU32(WORD)).toBe(rounds);
    expect(waiting(machine)).toBe(0);
  });
});
