import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { ACCESS_WRITE, FAULT_HANDLED, FAULT_NO_MEMORY } from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import { frameCounts } from '../../src/memory/frames.js';
import { createMachineMemory, MachineMemoryError } from '../../src/memory/machineMemory.js';
import { readU32, translate, writeU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, createCaller, PAGE } from './machine.js';

const RW = 3;
const ANON = 0x22;
const NORESERVE = 0x4000;

describe('machine memory', () => {
  it('is laid out for any size and host page size', () => {
    for (const bytes of [64, 100, 1024, 4096]) {
      for (const hostPageSize of [4096, 16384, 65536]) {
        const mem = createMachineMemory({ bytes: bytes * 2 ** 20, hostPageSize });
        const { total } = frameCounts(mem);
        expect(total * hostPageSize).toBeGreaterThan(bytes * 2 ** 20 * 0.6);
        expect(total * hostPageSize).toBeLessThan(bytes * 2 ** 20);
      }
    }
  });

  it('refuses sizes it cannot have', () => {
    expect(() => createMachineMemory({ bytes: 2 ** 33 })).toThrow(MachineMemoryError);
    expect(() => createMachineMemory({ bytes: 2 ** 20 })).toThrow(MachineMemoryError);
    expect(() => createMachineMemory({ bytes: 2 ** 26 + 1 })).toThrow(MachineMemoryError);
    expect(() => createMachineMemory({ hostPageSize: 8192 })).toThrow(MachineMemoryError);
  });
});

describe('frames', () => {
  it('of a page is its home frame when that is free', () => {
    const c = createCaller();
    const at = targetMmap(c, 0x10_0000, 4 * PAGE, RW, ANON, null, 0);
    expect(at).toBe(0x10_0000);
    const home = c.mem.getI32(c.mm + Mm.homeDelta) >>> 0;
    for (let i = 0; i < 4; i++) expect(translate(c, at + i * PAGE, 'write')).toBe(at + i * PAGE + home);
  });

  it('are elsewhere when the home frame is taken, and the page works all the same', () => {
    const c = createCaller();
    const mm = createMm(c.mem, COORDINATOR);
    const other = addCaller(c.mem, mm);
    c.mem.setI32(mm + Mm.homeDelta, c.mem.getI32(c.mm + Mm.homeDelta));
    c.mem.set64(mm + Mm.homeWindowBytes, c.mem.getU64(c.mm + Mm.homeWindowBytes));
    const at = 0x10_0000;
    targetMmap(c, at, PAGE, RW, ANON, null, 0);
    targetMmap(other, at, PAGE, RW, ANON, null, 0);
    writeU32(c, at, 1);
    writeU32(other, at, 2);
    expect(translate(c, at, 'read')).not.toBe(translate(other, at, 'read'));
    expect([readU32(c, at), readU32(other, at)]).toEqual([1, 2]);
    expect(audit(c.mem, [c.mm, mm])).toEqual([]);
  });

  it('run out for one guest with SIGKILL, and other guests go on', () => {
    const c = createCaller({}, { memoryLimit: 100 * PAGE });
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const at = targetMmap(c, 0, 200 * PAGE, RW, ANON | NORESERVE, null, 0);
    let pages = 0;
    let outcome = 0;
    while ((outcome = resolveFault(c, at + pages * PAGE, ACCESS_WRITE)) === FAULT_HANDLED) pages++;
    expect(pages).toBe(100);
    expect(outcome).toBe(FAULT_NO_MEMORY);
    const there = targetMmap(other, 0, 200 * PAGE, RW, ANON, null, 0);
    for (let i = 0; i < 200; i++) writeU32(other, there + i * PAGE, i);
    targetMunmap(c, at, 50 * PAGE);
    expect(resolveFault(c, at + 150 * PAGE, ACCESS_WRITE)).toBe(FAULT_HANDLED);
    expect(audit(c.mem, [c.mm, other.mm])).toEqual([]);
  });

  it('can all be used but a reserve for small guests, every one once, and all come back', () => {
    const c = createCaller();
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const { total } = frameCounts(c.mem);
    const at = targetMmap(c, 0, 128 * 2 ** 20, RW, ANON | NORESERVE, null, 0);
    let pages = 0;
    while (resolveFault(c, at + pages * PAGE, ACCESS_WRITE) === FAULT_HANDLED) pages++;
    expect(pages).toBe(total - Math.floor(total / 16));
    expect(targetMmap(c, 0, PAGE, RW, ANON, null, 0)).toBe(-12);
    const there = targetMmap(other, 0, 128 * 2 ** 20, RW, ANON | NORESERVE, null, 0);
    let more = 0;
    while (resolveFault(other, there + more * PAGE, ACCESS_WRITE) === FAULT_HANDLED) more++;
    expect(more).toBe(total - pages);
    expect(audit(c.mem, [c.mm, other.mm])).toEqual([]);
    for (const { thread, mm } of [c, other]) {
      removeThread(c.mem, thread, COORDINATOR);
      releaseMm(c.mem, mm, COORDINATOR);
    }
    expect(frameCounts(c.mem)).toMatchObject({ used: 0, promised: 0 });
  });
});

describe('map, touch and unmap', () => {
  it('a million times leaves memory and kernel heap as they were', async () => {
    const c = createCaller({ bytes: 4 * 2 ** 30 });
    const cycle = (cycles: number) =>
      new Promise<number>((resolve, reject) => {
        const worker = new Worker(new URL('./cycleWorker.js', import.meta.url), {
          workerData: {
            dist: new URL('../../dist/src/', import.meta.url).href,
            memory: c.mem.wasm,
            mm: c.mm,
            thread: c.thread,
            cycles,
          },
        });
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    await cycle(20_000);
    const before = process.memoryUsage().rss;
    const used = frameCounts(c.mem);
    const heap = c.mem.getU64(MACHINE + Machine.heapUsed);
    await cycle(1_000_000);
    expect(frameCounts(c.mem)).toEqual(used);
    expect(c.mem.getU64(MACHINE + Machine.heapUsed)).toBe(heap);
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 2 ** 20);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  }, 60_000);
});
