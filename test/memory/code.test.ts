import { describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { ACCESS_WRITE, FAULT_ACCERR, FAULT_HANDLED, FAULT_MAPERR } from '../../src/memory/caller.js';
import { codePageFor, fetchFault, flushCode } from '../../src/memory/codePages.js';
import { resolveFault } from '../../src/memory/faults.js';
import { createMemoryObject } from '../../src/memory/sharedObject.js';
import { translate, writeU32 } from '../../src/memory/userAccess.js';
import { createMm } from '../../src/mm/addressSpace.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { CodePage } from '../../src/sync/records/codePage.js';
import { Mm } from '../../src/sync/records/mm.js';
import { Thread } from '../../src/sync/records/thread.js';
import { addCaller, createCaller, PAGE } from './machine.js';

const RWX = 7;
const ANON = 0x22;

describe('fetching from a page', () => {
  it('needs PROT_EXEC and makes one CodePage for its frame', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, 2 * PAGE, 5, ANON, null, 0);
    expect(fetchFault(c, at + 10)).toBe(FAULT_HANDLED);
    const code = codePageFor(c.mem, c.mm, at);
    expect(code).not.toBe(0);
    expect(c.mem.getU32(code + CodePage.source)).toBe(translate(c, at, 'read'));
    expect(codePageFor(c.mem, c.mm, at + PAGE)).toBe(0);
    expect(fetchFault(c, at + 20)).toBe(FAULT_HANDLED);
    expect(codePageFor(c.mem, c.mm, at)).toBe(code);
    expect(fetchFault(c, at + 2 * PAGE)).toBe(FAULT_MAPERR);
    targetMprotect(c, at, PAGE, 1);
    expect(codePageFor(c.mem, c.mm, at)).toBe(0);
    expect(fetchFault(c, at)).toBe(FAULT_ACCERR);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('writing to a page with code', () => {
  it('drops what was decoded, and the next fetch withdraws the right to write', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, PAGE, RWX, ANON, null, 0);
    for (let round = 0; round < 3; round++) {
      expect(fetchFault(c, at)).toBe(FAULT_HANDLED);
      const code = codePageFor(c.mem, c.mm, at);
      expect(c.mem.getU32(code + CodePage.slots)).toBe(0);
      c.mem.setU32(code + CodePage.slots, 77);
      expect(audit(c.mem, [c.mm])).toEqual([]);
      writeU32(c, at, round);
      expect(codePageFor(c.mem, c.mm, at)).toBe(0);
      expect(audit(c.mem, [c.mm])).toEqual([]);
    }
  });

  it('from the page itself goes on at once, and is noticed at FENCE.I', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, PAGE, RWX, ANON, null, 0);
    c.mem.set64(c.thread + Thread.pc, at + 16);
    fetchFault(c, at);
    const code = codePageFor(c.mem, c.mm, at);
    const slot = code + CodePage.slots + 8;
    c.mem.setU32(slot, 77);
    expect(resolveFault(c, at + 4, ACCESS_WRITE)).toBe(FAULT_HANDLED);
    // Both stand: neither the code nor the right to write is taken away for the other.
    for (let round = 0; round < 2; round++) {
      expect(codePageFor(c.mem, c.mm, at)).toBe(code);
      expect(c.mem.getU32(c.mem.getU32(c.mm + Mm.writeTable) + (at / PAGE) * 4)).not.toBe(0);
      expect(fetchFault(c, at)).toBe(FAULT_HANDLED);
    }
    expect(c.mem.getU32(slot)).toBe(77);
    flushCode(c);
    expect(c.mem.getU32(slot)).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('through another mapping is noticed at FENCE.I', () => {
    const c = createCaller();
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const object = createMemoryObject(c.mem, PAGE, 'jit', c.thread);
    const file = { file: 0, object, readable: true, writable: true };
    const rx = targetMmap(c, 0, PAGE, 5, 1, file, 0);
    const rw = targetMmap(c, 0, PAGE, 3, 1, file, 0);
    const foreign = targetMmap(other, 0, PAGE, 5, 1, file, 0);
    fetchFault(c, rx);
    fetchFault(other, foreign);
    const code = codePageFor(c.mem, c.mm, rx);
    expect(codePageFor(other.mem, other.mm, foreign)).toBe(code);
    c.mem.setU32(code + CodePage.slots + 8, 77);
    writeU32(c, rw, 1);
    flushCode(c);
    expect(codePageFor(c.mem, c.mm, rx)).toBe(code);
    expect(c.mem.getU32(code + CodePage.slots + 8)).toBe(0);
    expect(audit(c.mem, [c.mm, other.mm], [object])).toEqual([]);
  });
});

describe('code of a page that goes', () => {
  it('goes with its frame', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, PAGE, RWX, ANON, null, 0);
    fetchFault(c, at);
    expect(targetMunmap(c, at, PAGE)).toBe(0);
    expect(codePageFor(c.mem, c.mm, at)).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});
