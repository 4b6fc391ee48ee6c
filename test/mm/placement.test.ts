import { describe, expect, it } from 'vitest';
import { ACCESS_WRITE, FAULT_HANDLED, FAULT_MAPERR } from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import {
  mmapFindVma,
  mmapFindVmaAligned,
  mmapNextStart,
  NO_PLACE,
  PLACE_FIRST_FIT,
  PLACE_QEMU,
  PLACE_RANDOM,
  PLACE_TOP_DOWN,
} from '../../src/mm/findVma.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { Mm } from '../../src/sync/records/mm.js';
import { createCaller } from '../memory/machine.js';

const RW = 3;
const ANON = 0x22;
const FIXED = 0x10;
const GROWSDOWN = 0x100;
const KiB = 1024;
const MiB = 1024 * KiB;
const policies = [
  ['top-down', PLACE_TOP_DOWN],
  ['qemu', PLACE_QEMU],
  ['first-fit', PLACE_FIRST_FIT],
  ['random', PLACE_RANDOM],
] as const;
const pageSizes = [4, 16, 64].map((kib) => kib * KiB);
const pairs = pageSizes.flatMap((pageSize) => pageSizes.map((hostPageSize) => ({ pageSize, hostPageSize })));

/** Maps anonymous memory: at the hint `start`, or with more flags. */
const map = (c: ReturnType<typeof createCaller>, start: number, size: number, flags = 0) =>
  targetMmap(c, start, size, RW, ANON | 0x4000 | flags, null, 0);

describe.each(policies)('a hint, placing %s', (_name, placement) => {
  const caller = () => createCaller({}, { placement, placementSeed: 1 });

  it('is followed where there is room', () => {
    const c = caller();
    expect(map(c, 0x400_0000, 3 * 4096)).toBe(0x400_0000);
    expect(map(c, 0x400_3000, 4096)).toBe(0x400_3000);
    // Beyond what the page tables reach.
    expect(map(c, 0x5000_0000, 4096)).toBe(0x5000_0000);
  });

  it('is rounded down to a page', () => {
    const c = caller();
    expect(map(c, 0x400_0fff, 4096)).toBe(0x400_0000);
  });

  it('below the lowest address means the lowest address, but one within the first page means none', () => {
    const c = caller();
    expect(map(c, 0x1000, 4096)).toBe(0x1_0000);
    expect(map(c, 0xffff, 4096)).not.toBe(0x1_0000);
    expect(map(caller(), 0xfff, 4096)).toBe(map(caller(), 0, 4096));
  });

  it('that is taken wholly or partly gives another place, and takes nothing away', () => {
    const c = caller();
    map(c, 0x400_2000, 4096);
    for (const hint of [0x400_2000, 0x400_1000, 0x400_0000]) {
      const at = map(c, hint, 3 * 4096);
      expect(at).toBeGreaterThan(0);
      expect(at + 3 * 4096 <= 0x400_2000 || at >= 0x400_3000).toBe(true);
      expect(targetMunmap(c, at, 3 * 4096)).toBe(0);
    }
  });

  it('beyond the end, or with its end beyond, gives another place', () => {
    const c = createCaller({}, { placement, placementSeed: 1, taskSize: 256 * MiB });
    for (const hint of [256 * MiB, 256 * MiB - 4096, 2 ** 40, 2 ** 62, -4096, -1]) {
      const at = map(c, hint, 2 * 4096);
      expect(at).toBeGreaterThan(0);
      expect(at + 2 * 4096).toBeLessThanOrEqual(256 * MiB);
    }
    expect(map(c, 256 * MiB - 4096, 4096)).toBe(
      placement === PLACE_TOP_DOWN ? 256 * MiB - 13 * 4096 : 256 * MiB - 4096,
    );
  });

  it('is kept away from a stack that grows towards it', () => {
    const c = caller();
    const stack = 0x800_0000;
    expect(map(c, stack, 4096, FIXED | GROWSDOWN)).toBe(stack);
    const lowest = stack - 256 * 4096;
    expect(map(c, lowest - 4096, 4096)).toBe(lowest - 4096);
    for (const hint of [lowest, stack - 4096]) {
      const at = map(c, hint, 4096);
      expect(at + 4096 <= lowest || at > stack).toBe(true);
    }
    // Who insists gets it.
    expect(map(c, stack - 4096, 4096, FIXED)).toBe(stack - 4096);
  });
});

describe.each(policies)('the search, placing %s', (_name, placement) => {
  it('keeps the gap below every growing stack', () => {
    const c = createCaller({}, { placement, placementSeed: 9, taskSize: 16 * MiB });
    const stacks = [2, 5, 8, 11, 14].map((mib) => mib * MiB);
    for (const at of stacks) expect(map(c, at, 4096, FIXED | GROWSDOWN)).toBe(at);
    for (const size of [64 * KiB, 4096])
      for (let at = map(c, 0, size); at >= 0; at = map(c, 0, size))
        for (const stack of stacks)
          expect(at + size <= stack - MiB || at >= stack + 4096, at.toString(16)).toBe(true);
    // All the rest is used.
    const used = formatMaps(c)
      .split('\n')
      .filter((line) => line !== '')
      .reduce((sum, line) => {
        const [from, to] = line.split(' ')[0].split('-');
        return sum + Number.parseInt(to, 16) - Number.parseInt(from, 16);
      }, 0);
    expect(used).toBe(16 * MiB - 64 * KiB - 5 * MiB);
  });

  it('finds the last place there is, and says when there is none', () => {
    const c = createCaller({}, { placement, placementSeed: 2, taskSize: 16 * MiB });
    expect(map(c, 0x1_0000, 8 * MiB, FIXED)).toBe(0x1_0000);
    expect(map(c, 8 * MiB + 0x2_0000, 8 * MiB - 0x2_0000, FIXED)).toBe(8 * MiB + 0x2_0000);
    expect(mmapFindVma(c, 0, 128 * KiB)).toBe(NO_PLACE);
    expect(mmapFindVma(c, 0, 64 * KiB)).toBe(8 * MiB + 0x1_0000);
    expect(map(c, 0, 64 * KiB)).toBe(8 * MiB + 0x1_0000);
    expect(map(c, 0, 4096)).toBe(-12);
    expect(map(c, 0x5000, 4096)).toBe(-12);
  });

  it('aligns', () => {
    const c = createCaller({}, { placement, placementSeed: 5 });
    map(c, 0, 4096);
    for (const align of [64 * KiB, MiB, 64 * MiB]) {
      const at = mmapFindVmaAligned(c, 0, 12 * KiB, align);
      expect(at % align).toBe(0);
      expect(map(c, at, 12 * KiB, 0x10_0000)).toBe(at);
    }
    expect(mmapFindVmaAligned(c, 0x400_1000, 4096, 64 * KiB)).toBe(0x401_0000);
  });

  it.each(pairs)('gives whole pages of $pageSize over $hostPageSize', ({ pageSize, hostPageSize }) => {
    const c = createCaller({ hostPageSize }, { placement, placementSeed: 3, pageSize });
    const unit = Math.max(pageSize, hostPageSize);
    for (const size of [1, pageSize, pageSize + 1, 5 * pageSize]) {
      const at = map(c, 0, size);
      expect(at % unit).toBe(0);
      // No other mapping comes into its host pages.
      const next = map(c, at + pageSize, 1);
      expect(next % unit).toBe(0);
      expect(Math.floor(next / unit) * unit >= at + size || next + unit <= at).toBe(true);
    }
    // Grown by mremap it moves whole.
    const from = map(c, 0, pageSize);
    map(c, from + unit, pageSize, FIXED);
    const to = targetMremap(c, from, pageSize, 40 * unit, 1, 0);
    expect(to % unit).toBe(0);
  });
});

describe('the first stack', () => {
  it.each(policies)('has its room kept, placing %s', (_name, placement) => {
    const c = createCaller({}, { placement, placementSeed: 4, taskSize: 32 * MiB });
    const [floor, bottom, top] = [16 * MiB, 23 * MiB, 24 * MiB];
    expect(map(c, bottom, top - bottom, FIXED | GROWSDOWN)).toBe(bottom);
    c.mem.setU32(c.mm + Mm.stackTop, top / 4096);
    c.mem.setU32(c.mm + Mm.stackFloor, floor / 4096);
    for (let at = map(c, 0, 256 * KiB); at >= 0; at = map(c, 0, 256 * KiB))
      expect(at + 256 * KiB <= floor - MiB || at >= top, at.toString(16)).toBe(true);
    // Without MAP_NORESERVE, as most programs map.
    for (
      let at = targetMmap(c, 0, 4096, RW, ANON, null, 0);
      at >= 0;
      at = targetMmap(c, 0, 4096, RW, ANON, null, 0)
    )
      expect(at + 4096 <= floor - MiB || at >= top, at.toString(16)).toBe(true);
  });
});

describe('a stack near address 0', () => {
  it('keeps what is below it free', () => {
    const c = createCaller({}, { taskSize: 16 * MiB });
    expect(map(c, 0x2_0000, 4096, FIXED | GROWSDOWN)).toBe(0x2_0000);
    expect(map(c, 0x2_1000, 16 * MiB - 0x2_1000, FIXED)).toBe(0x2_1000);
    expect(targetMmap(c, 0, 4096, RW, ANON, null, 0)).toBe(-12);
  });
});

describe('qemu placement', () => {
  it('goes on where the last search without a hint ended', () => {
    const c = createCaller({}, { placement: PLACE_QEMU, unmappedBase: 32 * MiB, taskSize: 64 * MiB });
    expect(mmapNextStart(c) * 4096).toBe(32 * MiB - ((32 * MiB) % 65536));
    const a = map(c, 0, MiB);
    expect(a).toBe(32 * MiB);
    expect(mmapNextStart(c) * 4096).toBe(33 * MiB);
    // A hint changes nothing of that, followed or not; one that is taken is where the search begins.
    expect(map(c, 40 * MiB, MiB)).toBe(40 * MiB);
    expect(map(c, 40 * MiB, MiB)).toBe(41 * MiB);
    expect(mmapNextStart(c) * 4096).toBe(33 * MiB);
    targetMunmap(c, a, MiB);
    expect(map(c, 0, MiB)).toBe(33 * MiB);
  });

  it('wraps around to the lowest address, and does not stay there', () => {
    const c = createCaller({}, { placement: PLACE_QEMU, unmappedBase: 48 * MiB, taskSize: 64 * MiB });
    expect(map(c, 0, 12 * MiB)).toBe(48 * MiB);
    expect(map(c, 0, 8 * MiB)).toBe(64 * KiB);
    expect(mmapNextStart(c) * 4096).toBe(60 * MiB);
    expect(map(c, 0, 4 * MiB)).toBe(60 * MiB);
    // What is found above the base after wrapping is where it goes on (mmap_next_start).
    targetMunmap(c, 50 * MiB, 2 * MiB);
    map(c, 9 * MiB, 39 * MiB, FIXED);
    map(c, 64 * KiB + 8 * MiB, 9 * MiB - 64 * KiB - 8 * MiB, FIXED);
    expect(map(c, 0, MiB)).toBe(50 * MiB);
    expect(mmapNextStart(c) * 4096).toBe(51 * MiB);
  });
});

describe('first-fit placement', () => {
  it('takes the lowest place above the base, whatever was there before', () => {
    const c = createCaller({}, { placement: PLACE_FIRST_FIT, unmappedBase: 16 * MiB });
    const [a, b] = [map(c, 0, MiB), map(c, 0, MiB)];
    expect([a, b]).toEqual([16 * MiB, 17 * MiB]);
    targetMunmap(c, a, MiB);
    expect(map(c, 0, 512 * KiB)).toBe(a);
    expect(map(c, 0, MiB)).toBe(18 * MiB);
    expect(map(c, 0, 512 * KiB)).toBe(a + 512 * KiB);
  });
});

describe('random placement', () => {
  const places = (placementSeed: number, pageSize = 4096) => {
    const c = createCaller({}, { placement: PLACE_RANDOM, placementSeed, pageSize });
    return Array.from({ length: 40 }, () => map(c, 0, 2 * pageSize));
  };

  it('is repeated by its seed, for every page size', () => {
    for (const pageSize of pageSizes) {
      expect(places(7, pageSize)).toEqual(places(7, pageSize));
      expect(places(7, pageSize)).not.toEqual(places(8, pageSize));
      expect(places(7, pageSize).every((at) => at > 0 && at % pageSize === 0)).toBe(true);
    }
  });

  it('spreads over what the page tables reach', () => {
    const sorted = places(11).sort((a, b) => a - b);
    expect(sorted[0]).toBeLessThan(64 * MiB);
    expect(sorted.at(-1)).toBeGreaterThan(192 * MiB);
    expect(sorted.at(-1)).toBeLessThan(256 * MiB);
  });
});

describe('a growing stack', () => {
  it.each(pageSizes)('grows by pages of %d to 256 pages above what is accessible', (pageSize) => {
    const c = createCaller({}, { pageSize, limitStack: 1024 * MiB });
    const top = 0x800_0000;
    expect(map(c, top, pageSize, FIXED | GROWSDOWN)).toBe(top);
    const below = top - 400 * pageSize;
    expect(map(c, below - pageSize, pageSize, FIXED)).toBe(below - pageSize);
    expect(resolveFault(c, top - 1, ACCESS_WRITE)).toBe(FAULT_HANDLED);
    expect(formatMaps(c)).toContain(`${(top - pageSize).toString(16).padStart(8, '0')}-`);
    expect(resolveFault(c, below + 256 * pageSize, ACCESS_WRITE)).toBe(FAULT_HANDLED);
    expect(resolveFault(c, below + 256 * pageSize - 1, ACCESS_WRITE)).toBe(FAULT_MAPERR);
    // What may not be accessed may be near.
    expect(targetMmap(c, below - pageSize, pageSize, 0, ANON | FIXED, null, 0)).toBe(below - pageSize);
    expect(resolveFault(c, below, ACCESS_WRITE)).toBe(FAULT_HANDLED);
  });
});
