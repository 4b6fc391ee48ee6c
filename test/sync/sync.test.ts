import { describe, expect, it } from 'vitest';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { createMm } from '../../src/mm/addressSpace.js';
import {
  allocateBlock,
  blockCapacity,
  freeBlock,
  freeZeroedBlock,
  OutOfKernelMemory,
} from '../../src/sync/heap.js';
import {
  COORDINATOR,
  holdsMutex,
  initMutex,
  LockAssertionError,
  lockMutex,
  lockMutexRecursive,
  Mutex,
  tryLockMutex,
  unlockMutex,
} from '../../src/sync/mutex.js';
import { monotonicNow, park, parkTicket, unpark } from '../../src/sync/park.js';
import { array, embedded, i32, pointer, record, u8, u16, u32, u64 } from '../../src/sync/record.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import {
  ATTENTION_QUIESCE,
  ATTENTION_STOP,
  MODE_GUEST,
  MODE_KERNEL,
  Thread,
} from '../../src/sync/records/thread.js';
import { pushRequest, RequestKind, takeRequest } from '../../src/sync/ring.js';
import {
  enterGuest,
  leaveGuest,
  quiesceOthers,
  removeThread,
  resumeOthers,
  stopOthers,
} from '../../src/sync/safepoint.js';
import { initWaitQueue, WaitQueue } from '../../src/sync/waitQueue.js';
import { addCaller } from '../memory/machine.js';
import { runJob } from './workers.js';

const machine = () => createMachineMemory({ bytes: 64 * 2 ** 20 });
const ME = 4;

describe('record', () => {
  it('aligns fields naturally, in order, and rounds the size up', () => {
    const inner = record({ a: u8, b: u32 });
    expect(inner).toEqual({ a: 0, b: 4, SIZE: 8 });
    const outer = record({ x: u8, y: u16, z: embedded(inner), list: array(u64, 3), p: pointer, last: i32 });
    expect(outer).toEqual({ x: 0, y: 2, z: 8, list: 16, p: 40, last: 44, SIZE: 48 });
  });
});

describe('64-bit fields', () => {
  it('keep numbers within ±2^53 exactly', () => {
    const mem = machine();
    const at = allocateBlock(mem, 8, ME);
    for (const value of [0, 1, -1, 2 ** 32, -(2 ** 32), 2 ** 53, -(2 ** 53), 0x1234_5678_9abc]) {
      mem.set64(at, value);
      expect(mem.getI64(at)).toBe(value);
      expect(mem.view.getBigInt64(at, true)).toBe(BigInt(value));
    }
  });
});

describe('mutex', () => {
  it('knows its owner and refuses to be taken or given back wrongly', () => {
    const mem = machine();
    const mutex = allocateBlock(mem, Mutex.SIZE, ME);
    lockMutex(mem, mutex, ME);
    expect(holdsMutex(mem, mutex, ME)).toBe(true);
    expect(holdsMutex(mem, mutex, 8)).toBe(false);
    expect(() => lockMutex(mem, mutex, ME)).toThrow(LockAssertionError);
    expect(() => unlockMutex(mem, mutex, 8)).toThrow(LockAssertionError);
    expect(tryLockMutex(mem, mutex, 8)).toBe(false);
    lockMutexRecursive(mem, mutex, ME);
    unlockMutex(mem, mutex, ME);
    expect(holdsMutex(mem, mutex, ME)).toBe(true);
    unlockMutex(mem, mutex, ME);
    expect(() => unlockMutex(mem, mutex, ME)).toThrow(LockAssertionError);
    expect(tryLockMutex(mem, mutex, 8)).toBe(true);
    initMutex(mem, mutex);
    expect(tryLockMutex(mem, mutex, ME)).toBe(true);
  });

  it('keeps workers and the main thread apart', async () => {
    const mem = machine();
    const mutex = allocateBlock(mem, Mutex.SIZE, ME);
    const cell = allocateBlock(mem, 8, ME);
    const rounds = 20_000;
    const jobs = [16, 32, 48].map((thread) => runJob(mem, 'count', thread, { a: mutex, b: cell, rounds }));
    let own = 0;
    const step = () => {
      for (let i = 0; i < 200; i++, own++) {
        lockMutex(mem, mutex, COORDINATOR);
        mem.setU32(cell, mem.getU32(cell) + 1);
        unlockMutex(mem, mutex, COORDINATOR);
      }
    };
    const timer = setInterval(step, 1);
    await Promise.all(jobs);
    clearInterval(timer);
    expect(mem.getU32(cell)).toBe(3 * rounds + own);
  });
});

describe('heap', () => {
  it('gives zeroed, aligned blocks of any size and takes them back', () => {
    const mem = machine();
    const before = mem.getU64(MACHINE + Machine.heapUsed);
    const blocks = [1, 16, 17, 100, 5000, 200_000, 1_000_000].map((size) => {
      const block = allocateBlock(mem, size, ME);
      expect(block % 16).toBe(0);
      expect(blockCapacity(mem, block)).toBeGreaterThanOrEqual(size);
      mem.u8.fill(0xff, block, block + size);
      return { block, size };
    });
    for (const { block } of blocks) freeBlock(mem, block, ME);
    expect(mem.getU64(MACHINE + Machine.heapUsed)).toBe(before);
    expect(() => freeBlock(mem, blocks[0].block, ME)).toThrow('twice');
    for (const { block, size } of blocks.reverse()) {
      expect(allocateBlock(mem, size, ME)).toBe(block);
      expect(mem.u8.subarray(block, block + size).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('gives zeroed blocks of those that were given back as zero, too', () => {
    const mem = machine();
    const block = allocateBlock(mem, 200_000, ME);
    mem.u8.fill(0xff, block, block + blockCapacity(mem, block));
    mem.u8.fill(0, block, block + 200_000);
    freeZeroedBlock(mem, block, 200_000, ME);
    // As large as the block is, beyond what was said to be zero.
    const size = blockCapacity(mem, block);
    expect(allocateBlock(mem, size, ME)).toBe(block);
    expect(mem.u8.subarray(block, block + size).every((byte) => byte === 0)).toBe(true);
    mem.u8[block] = 1;
    expect(() => freeZeroedBlock(mem, block, size, ME)).toThrow('is not');
    freeBlock(mem, block, ME);
    expect(allocateBlock(mem, size, ME)).toBe(block);
    expect(mem.u8[block]).toBe(0);
  });

  it('says when the kernel area is used up, and stays usable', () => {
    const mem = machine();
    expect(() => allocateBlock(mem, 60 * 2 ** 20, ME)).toThrow(OutOfKernelMemory);
    expect(allocateBlock(mem, 100, ME)).toBeGreaterThan(0);
  });

  it('never gives two workers the same bytes', async () => {
    const mem = machine();
    const before = mem.getU64(MACHINE + Machine.heapUsed);
    await Promise.all(
      [1600, 3200, 4800].map((thread) => runJob(mem, 'allocate', thread, { rounds: 20_000 })),
    );
    expect(mem.getU64(MACHINE + Machine.heapUsed)).toBe(before);
  });
});

describe('parking', () => {
  it('returns at once after an unpark that came before it, and false only at the deadline', () => {
    const mem = machine();
    const { thread } = addCaller(mem, createMm(mem, COORDINATOR));
    const ticket = parkTicket(mem, thread);
    unpark(mem, thread);
    expect(park(mem, thread, ticket)).toBe(true);
    const now = monotonicNow();
    expect(park(mem, thread, parkTicket(mem, thread), now + 20)).toBe(false);
    expect(monotonicNow()).toBeGreaterThanOrEqual(now + 19);
  });
});

describe('wait queue', () => {
  it('loses no wake-up between many producers and consumers', async () => {
    const mem = machine();
    const mm = createMm(mem, COORDINATOR);
    const queue = allocateBlock(mem, WaitQueue.SIZE, ME);
    initWaitQueue(mem, queue);
    const tokens = allocateBlock(mem, 8, ME);
    const rounds = 5000;
    const jobs = ['consume', 'consume', 'produce', 'produce'].map((job) =>
      runJob(mem, job, addCaller(mem, mm).thread, { a: queue, b: tokens, rounds }),
    );
    await Promise.all(jobs);
    expect(mem.getU32(tokens)).toBe(0);
    expect(mem.getU32(queue + WaitQueue.first)).toBe(0);
  });
});

describe('safepoints', () => {
  it('stop every thread of the address space until they are resumed, newcomers too', async () => {
    const mem = machine();
    const mm = createMm(mem, COORDINATOR);
    const end = allocateBlock(mem, 8, ME);
    const cells = [allocateBlock(mem, 8, ME), allocateBlock(mem, 8, ME)];
    const threads = cells.map(() => addCaller(mem, mm).thread);
    const jobs = cells.map((b, i) => runJob(mem, 'spin', threads[i], { a: end, b }));
    const waiting = new Int32Array(new SharedArrayBuffer(4));
    while (cells.some((cell) => mem.atomicLoad(cell) === 0)) await new Promise((r) => setTimeout(r, 5));
    for (let round = 0; round < 200; round++) {
      stopOthers(mem, mm, 0, COORDINATOR);
      for (const thread of threads)
        expect(mem.atomicLoad(thread + Thread.attention) & ATTENTION_STOP).not.toBe(0);
      const before = cells.map((cell) => mem.atomicLoad(cell));
      Atomics.wait(waiting, 0, 0, 0.2);
      expect(cells.map((cell) => mem.atomicLoad(cell))).toEqual(before);
      if (round === 100) {
        const late = addCaller(mem, mm).thread;
        expect(mem.atomicLoad(late + Thread.attention) & ATTENTION_STOP).not.toBe(0);
        removeThread(mem, late, COORDINATOR);
      }
      resumeOthers(mem, mm, 0, COORDINATOR);
    }
    mem.atomicStore(end, 1);
    for (const turns of await Promise.all(jobs)) expect(turns).toBeGreaterThan(100);
  }, 30_000);

  it('make quiesceOthers return after each thread has passed one', async () => {
    const mem = machine();
    const mm = createMm(mem, COORDINATOR);
    const end = allocateBlock(mem, 8, ME);
    const cell = allocateBlock(mem, 8, ME);
    const { thread } = addCaller(mem, mm);
    addCaller(mem, mm);
    const job = runJob(mem, 'spin', thread, { a: end, b: cell });
    while (mem.atomicLoad(cell) === 0) await new Promise((r) => setTimeout(r, 5));
    for (let round = 0; round < 2000; round++) {
      const epoch = mem.atomicLoad(thread + Thread.epoch);
      const mode = mem.atomicLoad(thread + Thread.mode);
      quiesceOthers(mem, mm, 0, COORDINATOR);
      if (mode === MODE_GUEST) expect(mem.atomicLoad(thread + Thread.epoch)).not.toBe(epoch);
    }
    mem.atomicStore(end, 1);
    await job;
  });

  it('count in KERNEL mode as passed, and leave nothing behind', () => {
    const mem = machine();
    const mm = createMm(mem, COORDINATOR);
    const a = addCaller(mem, mm).thread;
    const b = addCaller(mem, mm).thread;
    quiesceOthers(mem, mm, a, a);
    expect(mem.atomicLoad(b + Thread.attention) & ATTENTION_QUIESCE).toBe(0);
    stopOthers(mem, mm, a, a);
    resumeOthers(mem, mm, a, a);
    enterGuest(mem, b);
    expect(mem.atomicLoad(b + Thread.mode)).toBe(MODE_GUEST);
    leaveGuest(mem, b);
    expect(mem.atomicLoad(b + Thread.mode)).toBe(MODE_KERNEL);
    removeThread(mem, b, b);
    expect(mem.getU32(mm + Mm.threads)).toBe(a);
    expect(mem.getI32(mm + Mm.threadCount)).toBe(1);
  });
});

describe('requests to the coordinator', () => {
  it('come out in order, and a full ring refuses more', () => {
    const mem = machine();
    expect(takeRequest(mem, COORDINATOR)).toBeUndefined();
    let pushed = 0;
    while (pushRequest(mem, ME, RequestKind.StreamReady, pushed, 2, 3)) pushed++;
    expect(pushed).toBe(4096);
    for (let i = 0; i < pushed; i++) {
      expect(takeRequest(mem, COORDINATOR)).toEqual({ kind: RequestKind.StreamReady, a: i, b: 2, c: 3 });
    }
    expect(takeRequest(mem, COORDINATOR)).toBeUndefined();
    expect(pushRequest(mem, ME, RequestKind.GuestEnded)).toBe(true);
  });
});
