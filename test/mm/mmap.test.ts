import { describe, expect, it } from 'vitest';
import { UserFault } from '../../src/memory/caller.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { Mm } from '../../src/sync/records/mm.js';
import { createCaller, PAGE } from '../memory/machine.js';

describe('mmap', () => {
  it('gives zeroed memory that keeps what is written', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, 16 * PAGE, 3, 0x22, null, 0);
    expect(at).toBeGreaterThan(0);
    expect(readU32(c, at + 5 * PAGE)).toBe(0);
    writeU32(c, at + 5 * PAGE, 0xdeadbeef);
    expect(readU32(c, at + 5 * PAGE)).toBe(0xdeadbeef);
    expect(targetMunmap(c, at, 16 * PAGE)).toBe(0);
    expect(() => readU32(c, at + 5 * PAGE)).toThrow(UserFault);
  });
});

describe('mremap', () => {
  it('moves what lies at the end of the page tables rather than making them grow with it', () => {
    const c = createCaller();
    const reach = c.mem.getU64(c.mm + Mm.reach);
    for (let round = 0; round < 5; round++) {
      const at = targetMmap(c, 0, PAGE, 3, 0x22, null, 0);
      if (round === 0) expect(at).toBe(reach - PAGE);
      writeU32(c, at, round + 1);
      const grown = targetMremap(c, at, PAGE, 4 * PAGE, 1, 0);
      writeU32(c, grown + 3 * PAGE, 1);
      expect(readU32(c, grown)).toBe(round + 1);
    }
    expect(c.mem.getU64(c.mm + Mm.reach)).toBe(reach);
  });
});
