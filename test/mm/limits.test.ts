import { describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  FAULT_HANDLED,
  FAULT_MAPERR,
  UserFault,
} from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import { frameCounts } from '../../src/memory/frames.js';
import {
  copyIn,
  copyOut,
  forEachSpan,
  probe,
  readCString,
  readU32,
  readU64,
  write64,
  writeU32,
} from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { mmapFindVma, NO_PLACE, PLACE_FIRST_FIT, PLACE_QEMU, PLACE_RANDOM } from '../../src/mm/findVma.js';
import { haveMmapLock, mmapForkEnd, mmapForkStart, mmapLock, mmapUnlock } from '../../src/mm/mmapLock.js';
import { formatMaps, pageDump } from '../../src/mm/pageDump.js';
import { PAGE_READ, PAGE_WRITE, pageCheckRange, pageGetFlags } from '../../src/mm/pageFlags.js';
import { setBrk, targetBrk } from '../../src/mm/targetBrk.js';
import { targetMincore } from '../../src/mm/targetMincore.js';
import { targetMlock, targetMlockall, targetMunlock, targetMunlockall } from '../../src/mm/targetMlock.js';
import { mmapReserve, targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR, LockAssertionError } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { createCaller, PAGE } from '../memory/machine.js';

const RW = 3;
const ANON = 0x22;
const FIXED = 0x10;
const MiB = 2 ** 20;

describe('reservations', () => {
  it('of most of the address space cost nothing until they are touched', () => {
    const c = createCaller({ bytes: 1024 * MiB });
    const heap = c.mem.getU64(MACHINE + Machine.heapUsed);
    const at = targetMmap(c, 0, 60 * 1024 * MiB, 0, ANON, null, 0);
    expect(at).toBeGreaterThan(0);
    expect(c.mem.getU64(MACHINE + Machine.heapUsed) - heap).toBeLessThan(1000);
    expect(frameCounts(c.mem).used).toBe(0);
    expect(mmapReserve(c, at, PAGE)).toBe(-17);
    expect(targetMprotect(c, at + 8 * 1024 * MiB, PAGE, RW)).toBe(0);
    writeU32(c, at + 8 * 1024 * MiB, 5);
    expect(readU32(c, at + 8 * 1024 * MiB)).toBe(5);
    expect(resolveFault(c, at + 9 * 1024 * MiB, ACCESS_READ)).not.toBe(FAULT_HANDLED);
    expect(targetMunmap(c, at, 60 * 1024 * MiB)).toBe(0);
    expect(frameCounts(c.mem).used).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('are not followed by small mappings: those stay below the reach', () => {
    const c = createCaller();
    targetMmap(c, 0, 600 * MiB, 0, ANON, null, 0);
    const at = targetMmap(c, 0, PAGE, RW, ANON, null, 0);
    writeU32(c, at, 1);
    expect(c.mem.getU64(c.mm + Mm.reach)).toBe(256 * MiB);
  });

  it('end where the address space does', () => {
    const c = createCaller({}, { taskSize: 512 * MiB });
    expect(targetMmap(c, 0, 513 * MiB, 0, ANON, null, 0)).toBe(-12);
    expect(targetMmap(c, 512 * MiB, PAGE, 0, ANON | FIXED, null, 0)).toBe(-12);
    expect(targetMmap(c, 512 * MiB - PAGE, PAGE, RW, ANON | FIXED, null, 0)).toBe(512 * MiB - PAGE);
    writeU32(c, 512 * MiB - 4, 1);
    expect(resolveFault(c, 512 * MiB, ACCESS_READ)).toBe(FAULT_MAPERR);
    expect(targetMmap(c, 0xc0_0000_0000, PAGE, 0, ANON, null, 0)).toBeLessThan(512 * MiB);
  });
});

describe('placement', () => {
  it('goes down from the reach and fills gaps', () => {
    const c = createCaller();
    const a = targetMmap(c, 0, 2 * PAGE, RW, ANON, null, 0);
    const b = targetMmap(c, 0, PAGE, 1, ANON, null, 0);
    expect([a, b]).toEqual([256 * MiB - 2 * PAGE, 256 * MiB - 3 * PAGE]);
    targetMunmap(c, a, PAGE);
    expect(targetMmap(c, 0, PAGE, 0, ANON, null, 0)).toBe(a);
    expect(targetMmap(c, b, PAGE, 0, ANON, null, 0)).toBe(b - PAGE);
    expect(targetMmap(c, 0x5000_0123, PAGE, 0, ANON, null, 0)).toBe(0x5000_0000);
  });

  it('follows the policy of the address space', () => {
    const first = createCaller({}, { placement: PLACE_FIRST_FIT });
    expect(targetMmap(first, 0, PAGE, RW, ANON, null, 0)).toBe(0x1_0000);
    const qemu = createCaller({}, { placement: PLACE_QEMU });
    const a = targetMmap(qemu, 0, PAGE, RW, ANON, null, 0);
    targetMunmap(qemu, a, PAGE);
    expect(targetMmap(qemu, 0, PAGE, RW, ANON, null, 0)).toBe(a + PAGE);
  });

  it('begins bottom-up placement at the base it is given', () => {
    for (const placement of [PLACE_FIRST_FIT, PLACE_QEMU]) {
      const c = createCaller({}, { placement, unmappedBase: 80 * MiB, taskSize: 128 * MiB });
      const a = targetMmap(c, 0, 8 * MiB, 0, ANON, null, 0);
      const b = targetMmap(c, 0, 8 * MiB, 1, ANON, null, 0);
      expect([a, b]).toEqual([80 * MiB, 88 * MiB]);
      targetMunmap(c, a, 4 * MiB);
      const small = targetMmap(c, 0, PAGE, 0, ANON, null, 0);
      expect(small).toBe(placement === PLACE_QEMU ? 96 * MiB : 80 * MiB);
      // What does not fit above the base goes below it.
      expect(targetMmap(c, 0, 60 * MiB, 3, ANON | 0x4000, null, 0)).toBe(0x1_0000);
    }
  });

  it('draws random places that a seed repeats, and finds the last room there is', () => {
    const places = (placementSeed: number): number[] => {
      const c = createCaller({}, { placement: PLACE_RANDOM, placementSeed });
      return Array.from({ length: 50 }, () => targetMmap(c, 0, 3 * PAGE, RW, ANON, null, 0));
    };
    const once = places(5);
    expect(places(5)).toEqual(once);
    expect(places(6)).not.toEqual(once);
    for (const at of once) expect(at).toBeLessThanOrEqual(256 * MiB - 3 * PAGE);
    expect(Math.max(...once) - Math.min(...once)).toBeGreaterThan(128 * MiB);

    const c = createCaller({}, { placement: PLACE_RANDOM, taskSize: 16 * MiB });
    for (let i = 0; i < 4080; i++) expect(targetMmap(c, 0, PAGE, 0, ANON, null, 0)).toBeGreaterThan(0);
    expect(targetMmap(c, 0, PAGE, 0, ANON, null, 0)).toBe(-12);
  });

  it('says when there is no room', () => {
    const c = createCaller({}, { taskSize: 64 * MiB });
    targetMmap(c, 32 * MiB, PAGE, 0, ANON | FIXED, null, 0);
    mmapLock(c);
    expect(mmapFindVma(c, 0, 33 * MiB)).toBe(NO_PLACE);
    mmapUnlock(c);
  });
});

describe('limits', () => {
  it('RLIMIT_AS and RLIMIT_DATA give ENOMEM', () => {
    const c = createCaller({}, { limitAs: 20 * PAGE, limitData: 10 * PAGE });
    expect(targetMmap(c, 0, 21 * PAGE, 0, ANON, null, 0)).toBe(-12);
    expect(targetMmap(c, 0, 11 * PAGE, RW, ANON, null, 0)).toBe(-12);
    const at = targetMmap(c, 0, 10 * PAGE, RW, ANON, null, 0);
    const more = targetMmap(c, 0, 10 * PAGE, 1, ANON, null, 0);
    expect(more).toBeGreaterThan(0);
    expect(targetMprotect(c, more, PAGE, RW)).toBe(-12);
    expect(targetMremap(c, at, 10 * PAGE, 11 * PAGE, 1, 0)).toBe(-12);
    expect(targetMmap(c, at, 10 * PAGE, RW, ANON | FIXED, null, 0)).toBe(at);
  });

  it('max_map_count ends splitting and mapping', () => {
    const c = createCaller();
    c.mem.setU32(c.mm + Mm.maxMappings, 10);
    const at = targetMmap(c, 0, 41 * PAGE, RW, ANON, null, 0);
    let made = 1;
    for (let i = 1; i < 40; i += 2) {
      const result = targetMprotect(c, at + i * PAGE, PAGE, 1);
      if (result < 0) expect(result).toBe(-12);
      else made += 2;
    }
    expect(made).toBe(9);
    expect(c.mem.getU32(c.mm + Mm.mappingCount)).toBe(9);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('mlockall brings in what is there, and leaves what cannot be had', () => {
    const c = createCaller();
    targetMmap(c, 0, 3 * PAGE, RW, ANON, null, 0);
    targetMmap(c, 0, 2 * PAGE, 0, ANON, null, 0);
    targetMmap(c, 0, 2 * PAGE, 1, ANON, null, 0);
    expect(targetMlockall(c, 1)).toBe(0);
    expect(frameCounts(c.mem).used).toBe(5);
    expect(c.mem.getU32(c.mm + Mm.lockedPages)).toBe(7);
    targetMmap(c, 0, 3 * PAGE, RW, ANON, null, 0);
    expect(targetMlockall(c, 5)).toBe(0);
    expect(frameCounts(c.mem).used).toBe(5);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('RLIMIT_MEMLOCK bounds what is locked', () => {
    const c = createCaller({}, { limitMemlock: 4 * PAGE });
    const at = targetMmap(c, 0, 8 * PAGE, RW, ANON, null, 0);
    expect(targetMlock(c, at + 100, 3 * PAGE)).toBe(0);
    expect(c.mem.getU32(c.mm + Mm.lockedPages)).toBe(4);
    expect(frameCounts(c.mem).used).toBe(4);
    expect(targetMlock(c, at, 5 * PAGE)).toBe(-12);
    expect(targetMlock(c, at, 4 * PAGE)).toBe(0);
    expect(targetMunlock(c, at, 8 * PAGE)).toBe(0);
    expect(targetMlockall(c, 1)).toBe(-12);
    expect(targetMlockall(c, 2)).toBe(0);
    expect(targetMmap(c, 0, 5 * PAGE, RW, ANON, null, 0)).toBe(-11);
    expect(targetMunlockall(c)).toBe(0);
    expect(targetMmap(c, 0, 5 * PAGE, RW, ANON, null, 0)).toBeGreaterThan(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('brk', () => {
  it('moves the end of the heap, zeroed anew, and stays where it cannot move', () => {
    const c = createCaller();
    setBrk(c, 0x10_0010);
    expect(targetBrk(c, 0)).toBe(0x10_0010);
    expect(targetBrk(c, 0x10_3000)).toBe(0x10_3000);
    writeU32(c, 0x10_2000, 7);
    expect(targetBrk(c, 0x10_1800)).toBe(0x10_1800);
    expect(() => readU32(c, 0x10_2000)).toThrow(UserFault);
    expect(targetBrk(c, 0x10_3000)).toBe(0x10_3000);
    expect(readU32(c, 0x10_2000)).toBe(0);
    targetMmap(c, 0x10_8000, PAGE, RW, ANON | FIXED, null, 0);
    expect(targetBrk(c, 0x10_8000)).toBe(0x10_3000);
    expect(targetBrk(c, 0x10_7000)).toBe(0x10_7000);
    expect(targetBrk(c, -1)).toBe(0x10_7000);
    expect(formatMaps(c)).toContain('[heap]');
  });
});

describe('MAP_GROWSDOWN', () => {
  it('grows to where it is touched, up to the stack limit and not into what lies below', () => {
    const c = createCaller({}, { limitStack: 100 * PAGE });
    const top = 0x800_0000;
    targetMmap(c, top - PAGE, PAGE, RW, ANON | 0x100 | FIXED, null, 0);
    writeU32(c, top - 50 * PAGE, 1);
    expect(pageGetFlags(c, top - 30 * PAGE)).not.toBe(0);
    expect(resolveFault(c, top - 101 * PAGE, ACCESS_WRITE)).toBe(FAULT_MAPERR);
    targetMmap(c, top - 400 * PAGE, PAGE, RW, ANON | FIXED, null, 0);
    c.mem.set64(c.mm + Mm.limitStack, 1000 * PAGE);
    expect(resolveFault(c, top - 300 * PAGE, ACCESS_WRITE)).toBe(FAULT_MAPERR);
    expect(resolveFault(c, top - 140 * PAGE, ACCESS_WRITE)).toBe(FAULT_HANDLED);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('access from system calls', () => {
  it('crosses pages, stops at faults, and throws where nothing could be done', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, 3 * PAGE, RW, ANON, null, 0);
    const bytes = Uint8Array.from({ length: 2 * PAGE }, (_, i) => i * 7);
    copyOut(c, at + 100, bytes);
    const back = new Uint8Array(2 * PAGE);
    copyIn(c, at + 100, back);
    expect(back).toEqual(bytes);
    expect(() => copyOut(c, at + 2 * PAGE, bytes)).toThrow(UserFault);
    write64(c, at + PAGE - 4, -2);
    expect(readU64(c, at + PAGE - 4)).toBe(2 ** 64 - 2);
    expect(readCString(c, at + 3 * PAGE - 5, 4)).toBeUndefined();
    copyOut(c, at + PAGE - 2, new TextEncoder().encode('hello\0'));
    expect(new TextDecoder().decode(readCString(c, at + PAGE - 2, 100))).toBe('hello');
    expect(() => readCString(c, at + 3 * PAGE, 100)).toThrow(UserFault);
    expect(probe(c, at, 3 * PAGE, 'write')).toBe(true);
    expect(probe(c, at, 3 * PAGE + 1, 'read')).toBe(false);
    const spans: number[] = [];
    const done = forEachSpan(
      c,
      at + 10,
      4 * PAGE,
      'read',
      (_address, length) => spans.push(length) && length,
    );
    expect(done).toBe(3 * PAGE - 10);
    expect(spans.reduce((a, b) => a + b)).toBe(done);
    for (const wild of [0, -1, -PAGE, 2 ** 36, 2 ** 40, 2 ** 63, Number.NaN])
      expect(() => readU32(c, wild)).toThrow(UserFault);
  });

  it('tells mincore which pages are there', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, 4 * PAGE, RW, ANON, null, 0);
    writeU32(c, at + PAGE, 1);
    expect(targetMincore(c, at, 4 * PAGE, at + PAGE)).toBe(0);
    expect(readU32(c, at + PAGE)).toBe(0x0000_0100);
    expect(targetMincore(c, at, 5 * PAGE, at)).toBe(-12);
    expect(() => targetMincore(c, at, PAGE, 0)).toThrow(UserFault);
  });
});

describe('the mmap mutex', () => {
  it('is recursive, owned, and must not be held at fork', () => {
    const c = createCaller();
    expect(haveMmapLock(c)).toBe(false);
    expect(() => mmapUnlock(c)).toThrow(LockAssertionError);
    mmapLock(c);
    mmapLock(c);
    expect(haveMmapLock(c)).toBe(true);
    expect(() => mmapForkStart(c)).toThrow(LockAssertionError);
    mmapUnlock(c);
    mmapUnlock(c);
    mmapForkStart(c);
    expect(haveMmapLock(c)).toBe(true);
    mmapForkEnd(c, false);
    expect(haveMmapLock(c)).toBe(false);
    mmapForkStart(c);
    mmapForkEnd(c, true);
    expect(haveMmapLock(c)).toBe(false);
  });
});

describe('page flags', () => {
  it('say what is mapped, and pageDump shows it as QEMU does', () => {
    const c = createCaller();
    targetMmap(c, 0x10_0000, 2 * PAGE, RW, ANON | FIXED, null, 0);
    targetMmap(c, 0x10_2000, PAGE, 1, ANON | FIXED, null, 0);
    expect(pageCheckRange(c, 0x10_0000, 3 * PAGE, PAGE_READ)).toBe(true);
    expect(pageCheckRange(c, 0x10_0000, 3 * PAGE, PAGE_WRITE)).toBe(false);
    expect(pageCheckRange(c, 0x10_0000, 4 * PAGE, PAGE_READ)).toBe(false);
    expect(pageDump(c)).toBe(
      'start            end              size             prot\n' +
        '0000000000100000-0000000000102000 0000000000002000 rw-\n' +
        '0000000000102000-0000000000103000 0000000000001000 r--\n',
    );
  });
});

describe('address spaces', () => {
  it('come and go by the thousand without leaving anything', () => {
    const c = createCaller();
    const cycle = () => releaseMm(c.mem, createMm(c.mem, COORDINATOR), COORDINATOR);
    cycle();
    const heap = c.mem.getU64(MACHINE + Machine.heapUsed);
    for (let i = 0; i < 1000; i++) cycle();
    expect(c.mem.getU64(MACHINE + Machine.heapUsed)).toBe(heap);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});
