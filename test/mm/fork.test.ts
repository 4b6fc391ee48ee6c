import { describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import type { Caller } from '../../src/memory/caller.js';
import { frameCounts } from '../../src/memory/frames.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { mmapLock, mmapUnlock } from '../../src/mm/mmapLock.js';
import { MADV_DONTFORK, MADV_WIPEONFORK, targetMadvise } from '../../src/mm/targetMadvise.js';
import { targetMlock } from '../../src/mm/targetMlock.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { LockAssertionError } from '../../src/sync/mutex.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, createCaller, PAGE } from '../memory/machine.js';

const RW = 3;
const PRIVATE = 0x22;
const SHARED = 0x21;

function fork(parent: Caller): Caller {
  return addCaller(parent.mem, forkMm(parent));
}

function end(c: Caller): void {
  removeThread(c.mem, c.thread, c.thread);
  releaseMm(c.mem, c.mm, c.thread);
}

/** The same numbers at every run. */
function generator(seed: number): (below: number) => number {
  return (below) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

describe('fork', () => {
  it('copies private pages when they are written, shares shared ones', () => {
    const parent = createCaller();
    const own = targetMmap(parent, 0, 8 * PAGE, RW, PRIVATE, null, 0);
    const both = targetMmap(parent, 0, PAGE, RW, SHARED, null, 0);
    for (let i = 0; i < 6; i++) writeU32(parent, own + i * PAGE, i + 1);
    writeU32(parent, both, 5);
    const { used } = frameCounts(parent.mem);
    const child = fork(parent);
    expect(frameCounts(parent.mem).used).toBe(used);
    expect(audit(parent.mem, [parent.mm, child.mm])).toEqual([]);
    writeU32(child, own, 100);
    writeU32(parent, own + PAGE, 200);
    writeU32(child, both, 6);
    expect([readU32(parent, own), readU32(child, own)]).toEqual([1, 100]);
    expect([readU32(parent, own + PAGE), readU32(child, own + PAGE)]).toEqual([200, 2]);
    expect([readU32(parent, own + 6 * PAGE), readU32(child, own + 6 * PAGE)]).toEqual([0, 0]);
    expect(readU32(parent, both)).toBe(6);
    expect(audit(parent.mem, [parent.mm, child.mm])).toEqual([]);
    end(child);
    // What only one has left is written without a copy.
    const alone = frameCounts(parent.mem).used;
    writeU32(parent, own + 2 * PAGE, 300);
    expect(frameCounts(parent.mem).used).toBe(alone);
    expect(audit(parent.mem, [parent.mm])).toEqual([]);
  });

  it('obeys MADV_DONTFORK and MADV_WIPEONFORK and forgets mlock', () => {
    const parent = createCaller();
    const at = targetMmap(parent, 0, 4 * PAGE, RW, PRIVATE, null, 0);
    for (let i = 0; i < 4; i++) writeU32(parent, at + i * PAGE, i + 1);
    expect(targetMadvise(parent, at, PAGE, MADV_DONTFORK)).toBe(0);
    expect(targetMadvise(parent, at + PAGE, PAGE, MADV_WIPEONFORK)).toBe(0);
    expect(targetMlock(parent, at + 2 * PAGE, PAGE)).toBe(0);
    const child = fork(parent);
    expect(() => readU32(child, at)).toThrow();
    expect([1, 2, 3].map((i) => readU32(child, at + i * PAGE))).toEqual([0, 3, 4]);
    expect([0, 1, 2, 3].map((i) => readU32(parent, at + i * PAGE))).toEqual([1, 2, 3, 4]);
    expect(child.mem.getU32(child.mm + Mm.lockedPages)).toBe(0);
    expect(audit(parent.mem, [parent.mm, child.mm])).toEqual([]);
  });

  it('is refused to whoever holds the mmap mutex', () => {
    const c = createCaller();
    mmapLock(c);
    expect(() => forkMm(c)).toThrow(LockAssertionError);
    mmapUnlock(c);
    end(fork(c));
  });

  it.each([4096, 16384])(
    'trees of address spaces stay apart and leave nothing (host pages of %i)',
    (hostPageSize) => {
      const first = createCaller({ hostPageSize });
      const { mem } = first;
      const pick = generator(7);
      const PAGES = 32;
      const own = targetMmap(first, 0, PAGES * PAGE, RW, PRIVATE, null, 0);
      const both = targetMmap(first, 0, PAGES * PAGE, RW, SHARED, null, 0);
      const shared = new Array<number>(PAGES).fill(0);
      const alive = [{ c: first, values: new Array<number | undefined>(PAGES).fill(0) }];
      const baseline = { heap: 0, frames: 0 };
      for (let step = 0; step < 1500; step++) {
        const { c, values } = alive[pick(alive.length)];
        const page = pick(PAGES);
        const va = own + page * PAGE;
        switch (pick(8)) {
          case 0:
            if (alive.length < 6) alive.push({ c: fork(c), values: [...values] });
            break;
          case 1:
            if (alive.length > 1) {
              const [gone] = alive.splice(1 + pick(alive.length - 1), 1);
              end(gone.c);
            }
            break;
          case 2:
            writeU32(c, both + page * PAGE, step);
            shared[page] = step;
            break;
          case 3:
            targetMunmap(c, va, PAGE);
            values[page] = undefined;
            break;
          case 4:
            expect(targetMmap(c, va, PAGE, RW, PRIVATE | 0x10, null, 0)).toBe(va);
            values[page] = 0;
            break;
          case 5:
            if (values[page] === undefined) break;
            expect(targetMprotect(c, va, PAGE, 1)).toBe(0);
            expect(readU32(c, va)).toBe(values[page]);
            expect(targetMprotect(c, va, PAGE, RW)).toBe(0);
            break;
          default:
            if (values[page] === undefined) break;
            writeU32(c, va, step);
            values[page] = step;
        }
        const look = alive[pick(alive.length)];
        const at = pick(PAGES);
        if (look.values[at] !== undefined) expect(readU32(look.c, own + at * PAGE)).toBe(look.values[at]);
        expect(readU32(look.c, both + at * PAGE)).toBe(shared[at]);
        if (step % 250 === 249) {
          const problems = audit(
            mem,
            alive.map((a) => a.c.mm),
          );
          expect(problems).toEqual([]);
        }
      }
      while (alive.length > 1) end((alive.pop() as (typeof alive)[0]).c);
      for (let i = 0; i < 3; i++) {
        const child = fork(first);
        for (let page = 0; page < PAGES; page++)
          if (alive[0].values[page] !== undefined) writeU32(child, own + page * PAGE, 1);
        end(child);
        const now = {
          heap: mem.getU64(MACHINE + Machine.heapUsed),
          frames: frameCounts(mem).used,
        };
        if (i === 1) Object.assign(baseline, now);
        // Each of these tests' own Thread records stays.
        if (i === 2) expect(now.frames).toBe(baseline.frames);
      }
      expect(audit(mem, [first.mm])).toEqual([]);
    },
  );
});
