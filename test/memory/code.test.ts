import { describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import {
  ACCESS_WRITE,
  type Caller,
  FAULT_ACCERR,
  FAULT_HANDLED,
  FAULT_MAPERR,
} from '../../src/memory/caller.js';
import { codePageFor, fetchFault, flushCode } from '../../src/memory/codePages.js';
import { resolveFault } from '../../src/memory/faults.js';
import { createMemoryObject } from '../../src/memory/sharedObject.js';
import { translate, writeU32 } from '../../src/memory/userAccess.js';
import { createMm } from '../../src/mm/addressSpace.js';
import { targetMadvise } from '../../src/mm/targetMadvise.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { CodePage } from '../../src/sync/records/codePage.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
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
    const { object, file, rx } = executableObject(c);
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

describe('the code epoch', () => {
  const epochOf = ({ mem, mm }: Caller): bigint => mem.u64[(mm + Mm.codeEpoch) >>> 3];
  /** Two pages with code in them. */
  const withCode = (prot = RWX): { c: Caller; at: number } => {
    const c = createCaller();
    const at = targetMmap(c, 0, 2 * PAGE, prot, ANON, null, 0);
    fetchFault(c, at);
    fetchFault(c, at + PAGE);
    return { c, at };
  };

  it('stays when code comes, and when pages go that have none', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, 3 * PAGE, RWX, ANON, null, 0);
    const before = epochOf(c);
    fetchFault(c, at);
    fetchFault(c, at + PAGE);
    const data = targetMmap(c, 0, PAGE, 3, ANON, null, 0);
    writeU32(c, data, 1);
    targetMunmap(c, data, PAGE);
    writeU32(c, at + 2 * PAGE, 1);
    expect(epochOf(c)).toBe(before);
  });

  const changes: [string, (c: Caller, at: number) => unknown][] = [
    ['is written to', (c, at) => writeU32(c, at, 1)],
    ['is written to by its own instructions, and FENCE.I follows', writesItself],
    ['is unmapped', (c, at) => targetMunmap(c, at, PAGE)],
    ['loses PROT_EXEC', (c, at) => targetMprotect(c, at, PAGE, 1)],
    ['gets a mapping in its place', (c, at) => targetMmap(c, at, PAGE, RWX, ANON | 0x10, null, 0)],
    ['moves away', (c, at) => targetMremap(c, at, PAGE, PAGE, 3, at + 16 * PAGE)],
    ['is zapped', (c, at) => targetMadvise(c, at, PAGE, 4)],
  ];
  it.each(changes)('is a new one when a page of code %s', (_, change) => {
    const { c, at } = withCode();
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const [before, others] = [epochOf(c), epochOf(other)];
    expect(before).not.toBe(0n);
    change(c, at);
    expect(epochOf(c)).not.toBe(before);
    expect(epochOf(other)).toBe(others);
    expect(others).not.toBe(before);
    // Never one that an address space of the machine has had before.
    expect(epochOf(c) > others && epochOf(c) > before).toBe(true);
    expect(audit(c.mem, [c.mm, other.mm])).toEqual([]);
  });

  it('is a new one when another address space has written to an object, and FENCE.I is executed', () => {
    const c = createCaller();
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const { file, rx } = executableObject(c);
    const rw = targetMmap(other, 0, PAGE, 3, 1, file, 0);
    fetchFault(c, rx);
    const clears = c.mem.getU32(MACHINE + Machine.codeClears);
    writeU32(other, rw, 1);
    flushCode(other);
    const before = epochOf(c);
    flushCode(c);
    expect(epochOf(c)).not.toBe(before);
    expect(c.mem.getU32(MACHINE + Machine.codeClears)).toBeGreaterThan(clears);
  });

  it('is a new one for an address space that gets its first thread', () => {
    const c = createCaller();
    const mm = createMm(c.mem, COORDINATOR);
    const first = addCaller(c.mem, mm);
    const before = epochOf(first);
    expect(before).not.toBe(epochOf(c));
    addCaller(c.mem, mm);
    expect(epochOf(first)).toBe(before);
  });
});

function writesItself(c: Caller, at: number): void {
  c.mem.set64(c.thread + Thread.pc, at + 16);
  resolveFault(c, at + 4, ACCESS_WRITE);
  flushCode(c);
}

/** A memory object of a page, mapped at `rx` to be executed; with `file` there may be other mappings of it. */
function executableObject(c: Caller) {
  const object = createMemoryObject(c.mem, PAGE, 'jit', c.thread);
  const file = { file: 0, object, readable: true, writable: true };
  return { object, file, rx: targetMmap(c, 0, PAGE, 5, 1, file, 0) };
}
