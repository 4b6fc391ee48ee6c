import { fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { openHostFile } from '../../src/memory/hostFile.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import { type MappedFile, targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMsync } from '../../src/mm/targetMsync.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, createCaller } from '../memory/machine.js';

const A = 0x40_0000;
const B = 0x50_0000;
const R = 1;
const RW = 3;
const SHARED = 0x11;
const PRIVATE = 0x12;
const ANON = 0x20;
const EINVAL = -22;
const ENOMEM = -12;

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-frag-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  [4096, 16384],
  [4096, 65536],
  [16384, 65536],
])('target pages of %d in host pages of %d', (page, host) => {
  const caller = () => createCaller({ hostPageSize: host }, { pageSize: page });
  let files = 0;
  function open(c: ReturnType<typeof caller>): { mapped: MappedFile; word: (at: number) => number } {
    const path = join(folder, `${host}-${files++}`);
    writeFileSync(path, Buffer.alloc(4 * host, 0x41));
    const fd = openSync(path, 'r+');
    const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
    return {
      mapped: { file, object: 0, readable: true, writable: true },
      word: (at) => readFileSync(path).readUInt32LE(at),
    };
  }

  it('a writable shared page of a file cannot come into a host page with other memory', () => {
    const c = caller();
    const { mapped, word } = open(c);
    targetMmap(c, A, 2 * host, RW, PRIVATE | ANON, null, 0);
    writeU32(c, A, 5);
    const before = formatMaps(c);
    expect(targetMmap(c, A + page, page, RW, SHARED, mapped, page)).toBe(EINVAL);
    expect(targetMmap(c, A + host - page, host, RW, SHARED, mapped, host - page)).toBe(EINVAL);
    expect(formatMaps(c)).toBe(before);
    expect(readU32(c, A)).toBe(5);
    // For reading it can, and is a copy; it cannot be made writable then.
    expect(targetMmap(c, A + page, page, R, SHARED, mapped, page)).toBe(A + page);
    expect(readU32(c, A + page)).toBe(0x4141_4141);
    expect(targetMprotect(c, A + page, page, RW)).toBe(EINVAL);
    expect(readU32(c, A)).toBe(5);
    // Once nothing else is there, it is the file's page.
    expect(targetMunmap(c, A, page)).toBe(0);
    expect(targetMunmap(c, A + 2 * page, 2 * host - 2 * page)).toBe(0);
    expect(targetMprotect(c, A + page, page, RW)).toBe(0);
    writeU32(c, A + page, 77);
    expect(targetMsync(c, A + page, page, 4)).toBe(0);
    expect(word(page)).toBe(77);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('other memory cannot come into a host page with writable shared memory', () => {
    const c = caller();
    const { mapped, word } = open(c);
    expect(targetMmap(c, A, 2 * host, RW, SHARED, mapped, 0)).toBe(A);
    writeU32(c, A, 1);
    expect(targetMmap(c, A + page, page, RW, PRIVATE | ANON, null, 0)).toBe(EINVAL);
    expect(targetMmap(c, A + host - page, host + page, 0, PRIVATE | ANON, null, 0)).toBe(EINVAL);
    writeU32(c, A + page, 2);
    // A hole is none, nor is the same file at the same place.
    expect(targetMunmap(c, A + page, page)).toBe(0);
    expect(targetMmap(c, A + page, page, RW, SHARED, mapped, page)).toBe(A + page);
    expect(readU32(c, A + page)).toBe(2);
    writeU32(c, A + page, 3);
    // Whole host pages can.
    expect(targetMmap(c, A + host, host, RW, PRIVATE | ANON, null, 0)).toBe(A + host);
    expect(targetMsync(c, A, host, 4)).toBe(0);
    expect([word(0), word(page)]).toEqual([1, 3]);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('mremap puts no shared memory there either', () => {
    const c = caller();
    const { mapped, word } = open(c);
    expect(targetMmap(c, A, page, RW, SHARED, mapped, 0)).toBe(A);
    targetMmap(c, B, host, RW, PRIVATE | ANON, null, 0);
    expect(targetMremap(c, A, page, page, 3, B)).toBe(EINVAL);
    expect(targetMremap(c, B, page, page, 3, A + host - (A % host))).toBeGreaterThan(0);
    // It does not grow beside what is in its last host page.
    targetMmap(c, A + host + 2 * page, page, R, SHARED, mapped, 3 * host + 2 * page);
    expect(targetMremap(c, A, page, host + 2 * page, 0, 0)).toBe(ENOMEM);
    const to = targetMremap(c, A, page, host + 2 * page, 1, 0);
    expect(to).toBeGreaterThan(0);
    writeU32(c, to + host + page, 9);
    expect(targetMsync(c, to, host + 2 * page, 4)).toBe(0);
    expect(word(host + page)).toBe(9);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('anonymous shared memory at any page is shared with a child', () => {
    const c = caller();
    expect(targetMmap(c, A + page, page, RW, SHARED | ANON, null, 0)).toBe(A + page);
    writeU32(c, A + page, 1);
    const child = addCaller(c.mem, forkMm(c));
    writeU32(child, A + 2 * page - 4, 2);
    expect(readU32(child, A + page)).toBe(1);
    expect(readU32(c, A + 2 * page - 4)).toBe(2);
    expect(audit(c.mem, [c.mm, child.mm])).toEqual([]);
    removeThread(c.mem, child.thread, COORDINATOR);
    releaseMm(c.mem, child.mm, COORDINATOR);
  });

  it('a shared mapping at another place in its host page than in the file is a copy, for reading only', () => {
    const c = caller();
    const { mapped } = open(c);
    expect(targetMmap(c, A, page, RW, SHARED, mapped, page)).toBe(EINVAL);
    expect(targetMmap(c, A, page, R, SHARED, mapped, page)).toBe(A);
    expect(readU32(c, A)).toBe(0x4141_4141);
    expect(targetMprotect(c, A, page, RW)).toBe(EINVAL);
  });
});
