import { describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { ACCESS_READ, ACCESS_WRITE, FAULT_HANDLED } from '../../src/memory/caller.js';
import { fetchFault } from '../../src/memory/codePages.js';
import { resolveFault } from '../../src/memory/faults.js';
import { frameCounts } from '../../src/memory/frames.js';
import { hotPaths } from '../../src/memory/hotPaths/hotPaths.js';
import { firstEndingAfter, highestGap, lowestGap } from '../../src/memory/mappingTree.js';
import { readU32, translate, writeU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { haveMmapLock, mmapLock, mmapUnlock } from '../../src/mm/mmapLock.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { lockTimes, measureLocks } from '../../src/sync/lockHistogram.js';
import { COORDINATOR, LockAssertionError, lockMutex, unlockMutex } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mapping } from '../../src/sync/records/mapping.js';
import { Mm } from '../../src/sync/records/mm.js';
import { addCaller, createCaller, PAGE } from './machine.js';

const RW = 3;
const ANON = 0x22;
const FIXED = 0x10;
const BITS = 7 << 4;

describe('the hot paths', () => {
  it('do the common calls whole, and leave the map as the others would', () => {
    // So large that high pages have home frames.
    const c = createCaller({ bytes: 512 * 1024 * 1024 });
    const { mem, mm, thread } = c;
    const hot = hotPaths(mem);
    // The first mapping reserves records for the others, its fault a budget of frames.
    const first = targetMmap(c, 0, PAGE, 1, ANON, null, 0) / PAGE;
    expect(readU32(c, first * PAGE)).toBe(0);
    const at = hot.map(mm, thread, 16, RW, BITS);
    expect(at).toBe(first - 16);
    expect(hot.fault(mm, thread, at + 3, ACCESS_WRITE)).toBe(1);
    writeU32(c, (at + 3) * PAGE, 4711);
    expect(hot.protect(mm, thread, at + 3, at + 5, 1)).toBe(1);
    expect(readU32(c, (at + 3) * PAGE)).toBe(4711);
    expect(() => writeU32(c, (at + 3) * PAGE, 1)).toThrow();
    expect(formatMaps(c).split('\n').length).toBe(5);
    expect(hot.protect(mm, thread, at + 3, at + 5, RW)).toBe(1);
    writeU32(c, (at + 3) * PAGE, 1);
    expect(audit(mem, [mm])).toEqual([]);
    expect(hot.unmap(mm, thread, at + 2, at + 4)).toBe(1);
    expect(() => readU32(c, (at + 3) * PAGE)).toThrow();
    expect(mem.getU32(mm + Mm.mappedPages)).toBe(15);
    expect(audit(mem, [mm])).toEqual([]);
    expect(hot.unmap(mm, thread, at, at + 16)).toBe(1);
    expect(mem.getU32(mm + Mm.mappingCount)).toBe(1);
    expect(mem.getU32(mm + Mm.dataPages)).toBe(0);
    expect(audit(mem, [mm])).toEqual([]);
  });

  it('do nothing at all where the case is another one', () => {
    const c = createCaller();
    const { mem, mm, thread } = c;
    const hot = hotPaths(mem);
    const base = 0x100_0000;
    const code = targetMmap(c, base, PAGE, 7, ANON | FIXED, null, 0) / PAGE;
    const shared = targetMmap(c, base + 16 * PAGE, PAGE, RW, 0x21 | FIXED, null, 0) / PAGE;
    const plain = targetMmap(c, base + 32 * PAGE, 4 * PAGE, RW, ANON | FIXED, null, 0) / PAGE;
    for (const page of [code, shared, plain]) writeU32(c, page * PAGE, page);
    const map = formatMaps(c);
    expect(hot.unmap(mm, thread, code, code + 1)).toBe(0);
    expect(hot.unmap(mm, thread, code, plain + 1)).toBe(0);
    expect(hot.unmap(mm, thread, shared, shared + 1)).toBe(0);
    expect(hot.protect(mm, thread, code, code + 1, 1)).toBe(0);
    expect(hot.protect(mm, thread, plain, plain + 1, 5)).toBe(0);
    expect(hot.protect(mm, thread, plain + 3, plain + 5, 1)).toBe(0);
    expect(hot.fault(mm, thread, code, ACCESS_READ)).toBe(0);
    expect(hot.fault(mm, thread, plain - 1, ACCESS_READ)).toBe(0);
    expect(hot.fault(mm, thread, plain, ACCESS_WRITE)).toBe(0);
    mem.set64(mm + Mm.limitAs, (mem.getU32(mm + Mm.mappedPages) + 3) * PAGE);
    expect(hot.map(mm, thread, 4, RW, BITS)).toBe(-1);
    mem.set64(mm + Mm.limitAs, 2 ** 53);
    mem.setU32(mm + Mm.maxMappings, 2);
    expect(hot.map(mm, thread, 4, RW, BITS)).toBe(-1);
    expect(hot.unmap(mm, thread, plain + 1, plain + 2)).toBe(0);
    expect(hot.protect(mm, thread, plain + 1, plain + 2, 1)).toBe(0);
    expect(formatMaps(c)).toBe(map);
    for (const page of [code, shared, plain]) expect(readU32(c, page * PAGE)).toBe(page);
    expect(audit(mem, [mm])).toEqual([]);
  });

  it('leave pages that a fork shares to those who count them', () => {
    const c = createCaller();
    const { mem, mm, thread } = c;
    const hot = hotPaths(mem);
    const page = targetMmap(c, 0, PAGE, RW, ANON, null, 0) / PAGE;
    writeU32(c, page * PAGE, 5);
    const child = forkMm(c);
    expect(hot.unmap(mm, thread, page, page + 1)).toBe(0);
    expect(targetMunmap(c, page * PAGE, PAGE)).toBe(0);
    expect(audit(mem, [mm, child])).toEqual([]);
  });

  it('give the first writer after a fork a page of its own, and the last one the page that was shared', () => {
    const c = createCaller();
    const { mem, mm, thread } = c;
    const hot = hotPaths(mem);
    const page = targetMmap(c, 0, 3 * PAGE, RW, ANON, null, 0) / PAGE;
    for (const p of [page, page + 1, page + 2]) writeU32(c, p * PAGE, 5);
    const child = { mem, thread, mm: forkMm(c) };
    // Its first write gets it a budget of frames.
    writeU32(child, (page + 2) * PAGE, 7);
    const frame = translate(c, page * PAGE, 'read');
    expect(hot.fault(child.mm, child.thread, page, ACCESS_WRITE)).toBe(1);
    writeU32(child, page * PAGE, 6);
    expect([readU32(c, page * PAGE), readU32(child, page * PAGE)]).toEqual([5, 6]);
    expect(audit(mem, [mm, child.mm])).toEqual([]);
    expect(hot.fault(mm, thread, page, ACCESS_WRITE)).toBe(1);
    expect(translate(c, page * PAGE, 'write')).toBe(frame);
    // The other page is still shared; where two threads run, the copy has to wait for the other one.
    addCaller(mem, mm);
    expect(hot.fault(mm, thread, page + 1, ACCESS_WRITE)).toBe(0);
    expect(audit(mem, [mm, child.mm])).toEqual([]);
    releaseMm(mem, child.mm, thread);
    expect(audit(mem, [mm])).toEqual([]);
  });

  it('give up all pages of an address space that ends, those with code of their own, too', () => {
    const c = createCaller();
    const { mem, thread } = c;
    const before = [frameCounts(mem).used, mem.getU64(MACHINE + Machine.heapUsed)];
    const mm = createMm(mem, COORDINATOR);
    const dying = { mem, mm, thread };
    const at = targetMmap(dying, 0, 8 * PAGE, 7, ANON, null, 0);
    targetMmap(dying, 0, 4 * PAGE, RW, 0x21, null, 0);
    for (let i = 0; i < 8; i++) {
      if (i % 3 === 1) expect(fetchFault(dying, at + i * PAGE)).toBe(FAULT_HANDLED);
      else writeU32(dying, at + i * PAGE, i);
    }
    const twin = forkMm(dying);
    expect(audit(mem, [c.mm, mm, twin])).toEqual([]);
    releaseMm(mem, mm, thread);
    expect(audit(mem, [c.mm, twin])).toEqual([]);
    releaseMm(mem, twin, thread);
    expect(audit(mem, [c.mm])).toEqual([]);
    expect([frameCounts(mem).used, mem.getU64(MACHINE + Machine.heapUsed)]).toEqual(before);
  });

  it('have the mmap mutex measured where that is wanted', () => {
    const c = createCaller();
    const { mem } = c;
    expect(lockTimes(mem)).toBeUndefined();
    measureLocks(mem, COORDINATOR);
    const sum = (counts: readonly number[] = []): number => counts.reduce((a, b) => a + b, 0);
    // One by the way through mm/ (which has to reserve records) after the hot one has given up, one hot.
    const at = targetMmap(c, 0, PAGE, RW, ANON, null, 0);
    expect(targetMunmap(c, at, PAGE)).toBe(0);
    expect([sum(lockTimes(mem)?.waits), sum(lockTimes(mem)?.holds)]).toEqual([3, 3]);
    // Taken again by its holder, it is still held once.
    mmapLock(c);
    mmapLock(c);
    mmapUnlock(c);
    expect(haveMmapLock(c)).toBe(true);
    mmapUnlock(c);
    expect(haveMmapLock(c)).toBe(false);
    expect(() => mmapUnlock(c)).toThrow(LockAssertionError);
    expect([sum(lockTimes(mem)?.waits), sum(lockTimes(mem)?.holds)]).toEqual([4, 4]);
  });

  it('trap on a mutex that the caller holds', () => {
    const c = createCaller();
    lockMutex(c.mem, c.mm + Mm.threadsLock, c.thread);
    expect(() => lockMutex(c.mem, c.mm + Mm.threadsLock, c.thread)).toThrow(LockAssertionError);
    unlockMutex(c.mem, c.mm + Mm.threadsLock, c.thread);
    lockMutex(c.mem, c.mm + Mm.mmapLock, c.thread);
    expect(() => hotPaths(c.mem).unmap(c.mm, c.thread, 1, 2)).toThrow(WebAssembly.RuntimeError);
    unlockMutex(c.mem, c.mm + Mm.mmapLock, c.thread);
  });

  it('find mappings and gaps as a plain list does', () => {
    const c = createCaller({}, { taskSize: 256 * 1024 * 1024 });
    const { mem, mm } = c;
    let state = 12345;
    const random = (n: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const top = 4096;
    const used = new Uint8Array(top);
    for (let step = 0; step < 3000; step++) {
      const from = 64 + random(top - 80);
      const pages = 1 + random(12);
      const address = from * PAGE;
      const kind = random(4);
      if (kind < 2) {
        // Alternating protections, so that neighbours stay apart.
        targetMmap(c, address, pages * PAGE, 1 + random(2), ANON | FIXED, null, 0);
        used.fill(1, from, from + pages);
      } else if (kind === 2) {
        expect(targetMunmap(c, address, pages * PAGE)).toBe(0);
        used.fill(0, from, from + pages);
      } else targetMprotect(c, address, PAGE, random(4));
      const want = 1 + random(20);
      let lowest = -1;
      let highest = -1;
      for (let page = 64, run = 0; page < top; page++) {
        run = used[page] ? 0 : run + 1;
        if (run < want) continue;
        if (lowest < 0) lowest = page - want + 1;
        highest = page - want + 1;
      }
      expect(lowestGap(mem, mm, 64, top, want)).toBe(lowest);
      expect(highestGap(mem, mm, 64, top, want)).toBe(highest);
      const found = firstEndingAfter(mem, mm, from);
      const next = used.indexOf(1, from);
      expect(found === 0 ? -1 : Math.max(from, mem.getU32(found + Mapping.start))).toBe(next);
      if (next >= 0 && step % 10 === 0)
        expect(resolveFault(c, next * PAGE, ACCESS_READ) >= FAULT_HANDLED).toBe(true);
    }
    expect(audit(mem, [mm])).toEqual([]);
  });
});
