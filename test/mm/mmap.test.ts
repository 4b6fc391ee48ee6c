import { describe, expect, it } from 'vitest';
import { UserFault } from '../../src/memory/caller.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
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
