import { fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  type Caller,
  FAULT_ACCERR,
  FAULT_MAPERR,
} from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import { frameCounts } from '../../src/memory/frames.js';
import { openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { freebsdMinherit } from '../../src/mm/freebsd/freebsdMinherit.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, PAGE } from '../memory/machine.js';
import { createFreebsdCaller, mmap } from './freebsdCaller.js';

const RW = 3;
const SHARED = 1;
const PRIVATE = 2;
const ANON = 0x1000;
const GUARD = 0x2000;
const STACK = 0x400;
const SHARE = 0;
const COPY = 1;
const NONE = 2;
const ZERO = 3;

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-inherit-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'data');

const fork = (parent: Caller) => addCaller(parent.mem, forkMm(parent));

function end(c: Caller): void {
  removeThread(c.mem, c.thread, c.thread);
  releaseMm(c.mem, c.mm, c.thread);
}

describe.each([4096, 65536])('minherit with host pages of %i bytes', (hostPageSize) => {
  const create = () => createFreebsdCaller({ hostPageSize });

  it('leaves out, empties, shares and copies', () => {
    const c = create();
    const { used } = frameCounts(c.mem);
    const size = 16 * PAGE;
    const area = [0, 1, 2, 3].map(() => mmap(c, 0, size, RW, ANON));
    const shared = mmap(c, 0, size, RW, ANON | SHARED);
    const at = [...area, shared];
    for (const a of at) for (let i = 0; i < 3; i++) writeU32(c, a + i * PAGE, 10 + i);
    for (const [a, how] of [
      [at[0], NONE],
      [at[1], ZERO],
      [at[2], SHARE],
      [at[3], COPY],
      [at[4], COPY],
    ])
      expect(freebsdMinherit(c, a, size, how)).toBe(0);
    const child = fork(c);
    expect(audit(c.mem, [c.mm, child.mm])).toEqual([]);
    expect(resolveFault(child, at[0], ACCESS_READ)).toBe(FAULT_MAPERR);
    expect(readU32(child, at[1])).toBe(0);
    expect(readU32(child, at[2] + PAGE)).toBe(11);
    writeU32(child, at[2], 77);
    writeU32(c, at[2] + 5 * PAGE, 88);
    expect([readU32(c, at[2]), readU32(child, at[2] + 5 * PAGE)]).toEqual([77, 88]);
    writeU32(child, at[3], 1);
    writeU32(c, at[4], 2);
    writeU32(child, at[4] + PAGE, 3);
    expect(readU32(c, at[3])).toBe(10);
    expect(readU32(child, at[4])).toBe(10);
    expect(readU32(c, at[4] + PAGE)).toBe(11);
    expect([0, 1].map((i) => readU32(c, at[i]))).toEqual([10, 10]);
    // The child's own children are made by the same rules.
    const grandchild = fork(child);
    expect(readU32(grandchild, at[1])).toBe(0);
    writeU32(grandchild, at[2], 99);
    expect(readU32(c, at[2])).toBe(99);
    expect(audit(c.mem, [c.mm, child.mm, grandchild.mm])).toEqual([]);
    for (const one of [grandchild, child]) end(one);
    expect(audit(c.mem, [c.mm])).toEqual([]);
    end(c);
    expect(frameCounts(c.mem).used).toBe(used);
  });

  it('shares a private mapping of a file with what was written to it', () => {
    const c = create();
    const bytes = Buffer.alloc(32 * PAGE);
    for (let i = 0; i < 32; i++) bytes.writeUInt32LE(100 + i, i * PAGE);
    writeFileSync(path, bytes);
    const fd = openSync(path, 'r+');
    const host = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
    const file = { file: host, object: 0, readable: true, writable: true };
    const at = mmap(c, 0, 32 * PAGE, RW, PRIVATE, { file });
    const both = mmap(c, 0, 32 * PAGE, RW, SHARED, { file });
    writeU32(c, at + PAGE, 1);
    writeU32(c, both + 2 * PAGE, 2);
    expect(freebsdMinherit(c, at, 32 * PAGE, SHARE)).toBe(0);
    expect(freebsdMinherit(c, both, 32 * PAGE, ZERO)).toBe(0);
    const child = fork(c);
    expect([1, 20].map((i) => readU32(child, at + i * PAGE))).toEqual([1, 120]);
    writeU32(c, at + 21 * PAGE, 5);
    expect(readU32(child, at + 21 * PAGE)).toBe(5);
    expect(readU32(child, both + 2 * PAGE)).toBe(0);
    writeU32(child, both + 3 * PAGE, 9);
    expect(readU32(c, both + 3 * PAGE)).toBe(103);
    expect(audit(c.mem, [c.mm, child.mm])).toEqual([]);
    end(child);
    end(c);
    releaseHostFile(c.mem, c.thread, host);
    const after = readFileSync(path);
    expect([1, 2, 3, 21].map((i) => after.readUInt32LE(i * PAGE))).toEqual([101, 2, 103, 121]);
  });

  it('shares less than a host page, too', () => {
    const c = create();
    const at = mmap(c, 0, PAGE, RW, ANON);
    writeU32(c, at, 1);
    expect(freebsdMinherit(c, at, PAGE, SHARE)).toBe(0);
    const child = fork(c);
    writeU32(child, at, 2);
    expect(readU32(c, at)).toBe(2);
    expect(audit(c.mem, [c.mm, child.mm])).toEqual([]);
  });

  it('copies guards and stacks, and knows no other way', () => {
    const c = create();
    const guard = mmap(c, 0, 16 * PAGE, 0, GUARD);
    const gone = mmap(c, 0, 16 * PAGE, 0, GUARD);
    const stack = mmap(c, 0, 2 ** 20, RW, STACK);
    writeU32(c, stack + 2 ** 20 - 8, 4);
    expect(freebsdMinherit(c, guard, 16 * PAGE, ZERO)).toBe(0);
    expect(freebsdMinherit(c, gone, 16 * PAGE, NONE)).toBe(0);
    expect(freebsdMinherit(c, guard, PAGE, 4)).toBe(-22);
    expect(freebsdMinherit(c, guard, PAGE, -1)).toBe(-22);
    expect(freebsdMinherit(c, guard, -PAGE, COPY)).toBe(-22);
    const child = fork(c);
    expect(resolveFault(child, guard, ACCESS_READ)).toBe(FAULT_ACCERR);
    expect(resolveFault(child, gone, ACCESS_READ)).toBe(FAULT_MAPERR);
    writeU32(child, stack + 2 ** 19, 6);
    expect(readU32(child, stack + 2 ** 20 - 8)).toBe(4);
    expect(resolveFault(c, stack, ACCESS_WRITE)).toBe(FAULT_ACCERR);
    expect(audit(c.mem, [c.mm, child.mm])).toEqual([]);
  });
});
