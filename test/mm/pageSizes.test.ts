import {
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { ACCESS_READ, FAULT_BUSERR, FAULT_HANDLED, UserFault } from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import { noteFileTruncate } from '../../src/memory/filePages.js';
import { openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { createMemoryObject, releaseObject } from '../../src/memory/sharedObject.js';
import { copyIn, readU32, writeU32 } from '../../src/memory/userAccess.js';
import { createMm, releaseMm } from '../../src/mm/addressSpace.js';
import { forkMm } from '../../src/mm/forkMm.js';
import { mmapLock, mmapUnlock } from '../../src/mm/mmapLock.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import { PAGE_READ, PAGE_VALID, pageCheckRange, pageGetFlags, pageSetFlags } from '../../src/mm/pageFlags.js';
import { targetPageSize } from '../../src/mm/pageRange.js';
import { formatSmaps } from '../../src/mm/smaps.js';
import { setBrk, targetBrk } from '../../src/mm/targetBrk.js';
import { targetMadvise } from '../../src/mm/targetMadvise.js';
import { targetMincore } from '../../src/mm/targetMincore.js';
import { targetMlock, targetMunlock } from '../../src/mm/targetMlock.js';
import { type MappedFile, targetMmap } from '../../src/mm/targetMmap.js';
import { targetMprotect } from '../../src/mm/targetMprotect.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMsync } from '../../src/mm/targetMsync.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { removeThread } from '../../src/sync/safepoint.js';
import { addCaller, createCaller } from '../memory/machine.js';

const RW = 3;
const SHARED = 1;
const PRIVATE = 2;
const ANON = 0x22;
const FIXED = 0x10;
const MiB = 2 ** 20;
const EINVAL = -22;
const ENOMEM = -12;

const sizes = [4096, 16384, 65536];
const pairs = sizes.flatMap((page) => sizes.map((host) => ({ page, host })));

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-pages-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What an access to the byte at `at` meets. */
function outcome(action: () => number): number {
  try {
    action();
    return FAULT_HANDLED;
  } catch (error) {
    if (error instanceof UserFault) return error.outcome;
    throw error;
  }
}

describe.each(pairs)('target pages of $page over host pages of $host', ({ page, host }) => {
  /** Whether faults are exact to the target page. */
  const exact = host <= page;
  const caller = (options = {}) => createCaller({ hostPageSize: host }, { pageSize: page, ...options });
  const map = (c: ReturnType<typeof caller>, start: number, size: number, flags = 0) =>
    targetMmap(c, start, size, RW, ANON | flags, null, 0);

  it('addresses and offsets that are no multiples are EINVAL, in every call', () => {
    const c = caller();
    const at = map(c, 0, 4 * page);
    for (const odd of [1, page / 2, page - 1, ...(page > 4096 ? [4096] : [])]) {
      expect(map(c, at + odd, page, FIXED)).toBe(EINVAL);
      expect(targetMunmap(c, at + odd, page)).toBe(EINVAL);
      expect(targetMprotect(c, at + odd, page, 1)).toBe(EINVAL);
      expect(targetMadvise(c, at + odd, page, 4)).toBe(EINVAL);
      expect(targetMsync(c, at + odd, page, 4)).toBe(EINVAL);
      expect(targetMincore(c, at + odd, page, at)).toBe(EINVAL);
      expect(targetMremap(c, at + odd, page, 2 * page, 1, 0)).toBe(EINVAL);
      expect(targetMremap(c, at, page, page, 3, at + 2 * page + odd)).toBe(EINVAL);
      expect(targetMmap(c, 0, page, RW, ANON, null, odd)).toBe(EINVAL);
    }
    expect(formatMaps(c)).toMatch(/^[0-9a-f]+-[0-9a-f]+ rw-p [^\n]*\n$/);
  });

  it('lengths are rounded up', () => {
    const c = caller();
    const at = map(c, 0, 4 * page - page / 2);
    expect(formatMaps(c)).toContain(`-${(at + 4 * page).toString(16).padStart(8, '0')} rw-p`);
    expect(targetMprotect(c, at + page, 1, 1)).toBe(0);
    expect(targetMunmap(c, at + 2 * page, 1)).toBe(0);
    const lines = formatMaps(c)
      .split('\n')
      .map((line) => line.slice(0, 22));
    const hex = (n: number) => (at + n * page).toString(16).padStart(8, '0');
    expect(lines).toEqual([
      `${hex(0)}-${hex(1)} rw-p`,
      `${hex(1)}-${hex(2)} r--p`,
      `${hex(3)}-${hex(4)} rw-p`,
      '',
    ]);
    expect(map(c, at + 2 * page, 1, FIXED)).toBe(at + 2 * page);
    writeU32(c, at + 3 * page - 4, 7);
    expect(targetMadvise(c, at + 2 * page, 1, 4)).toBe(0);
    expect(readU32(c, at + 3 * page - 4)).toBe(0);
    // A length that overflows when it is rounded.
    expect(targetMunmap(c, at, -1)).toBe(EINVAL);
    expect(map(c, 0, -(page - 1))).toBe(ENOMEM);
    expect(map(c, 0, -page)).toBe(ENOMEM);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('the heap ends on a page', () => {
    const c = caller();
    setBrk(c, 0x100_0000);
    expect(targetBrk(c, 0x100_0001)).toBe(0x100_0001);
    expect(formatMaps(c)).toMatch(
      new RegExp(`^01000000-${(0x100_0000 + page).toString(16).padStart(8, '0')} rw-p`),
    );
    writeU32(c, 0x100_0000 + page - 4, 3);
    // One page is kept free towards the next mapping.
    map(c, 0x100_0000 + 4 * page, page, FIXED);
    expect(targetBrk(c, 0x100_0000 + 3 * page + 1)).toBe(0x100_0001);
    expect(targetBrk(c, 0x100_0000 + 3 * page)).toBe(0x100_0000 + 3 * page);
    expect(targetBrk(c, 0x100_0000)).toBe(0x100_0000);
    expect(formatMaps(c)).not.toContain('01000000');
  });

  it('mincore has a byte a page', () => {
    const c = caller();
    const at = map(c, 0, 8 * page);
    const vector = map(c, 0, page);
    writeU32(c, at, 1);
    writeU32(c, at + 4 * page - 4, 1);
    writeU32(c, vector + 4, 0x0909_0909);
    expect(targetMincore(c, at, 3 * page + 1, vector)).toBe(0);
    const bytes = new Uint8Array(8);
    copyIn(c, vector, bytes);
    if (exact) expect([...bytes]).toEqual([1, 0, 0, 1, 9, 9, 9, 9]);
    else expect([bytes[0], bytes[3], bytes[4]]).toEqual([1, 1, 9]);
    expect(targetMincore(c, at, 9 * page, vector)).toBe(ENOMEM);
  });

  it('flags are those of whole pages', () => {
    const c = caller();
    const at = map(c, 0, 3 * page);
    mmapLock(c);
    pageSetFlags(c, at + page + 1, at + page + 1, PAGE_READ);
    mmapUnlock(c);
    expect([0, 1, 2].map((n) => pageGetFlags(c, at + (n + 1) * page - 1))).toEqual([
      RW | PAGE_VALID,
      PAGE_READ | PAGE_VALID,
      RW | PAGE_VALID,
    ]);
    expect(pageGetFlags(c, at + page)).toBe(PAGE_READ | PAGE_VALID);
    expect(pageCheckRange(c, at + 1, 3 * page - 2, PAGE_READ)).toBe(true);
    expect(pageCheckRange(c, at + 2 * page - 1, 2, RW)).toBe(false);
    expect(pageCheckRange(c, at + 2 * page, page, RW)).toBe(true);
  });

  it('RLIMIT_MEMLOCK counts whole pages', () => {
    const c = caller({ limitMemlock: 2 * page });
    const at = map(c, 0, 4 * page);
    expect(targetMlock(c, at + page - 1, 2)).toBe(0);
    expect(targetMlock(c, at + 2 * page, 1)).toBe(ENOMEM);
    expect(targetMunlock(c, at, 1)).toBe(0);
    expect(targetMlock(c, at + 2 * page + 1, page - 1)).toBe(0);
    expect(targetMlock(c, at + 3 * page, 1)).toBe(ENOMEM);
  });

  it('RLIMIT_AS counts whole pages', () => {
    const c = caller({ limitAs: 3 * page });
    expect(map(c, 0, page + 1)).toBeGreaterThan(0);
    expect(map(c, 0, page + 1)).toBe(ENOMEM);
    expect(map(c, 0, 1)).toBeGreaterThan(0);
    expect(map(c, 0, 1)).toBe(ENOMEM);
  });

  it('mremap moves and grows by whole pages', () => {
    const c = caller();
    const at = map(c, 0, page);
    writeU32(c, at + page - 4, 5);
    map(c, at + Math.max(page, host), page, FIXED);
    const to = targetMremap(c, at, 1, 3 * Math.max(page, host) + 1, 1, 0);
    expect(to).toBeGreaterThan(0);
    expect(to % page).toBe(0);
    expect(readU32(c, to + page - 4)).toBe(5);
    expect(readU32(c, to + page)).toBe(0);
    expect(targetMremap(c, to, 2 * page, 1, 0, 0)).toBe(to);
    expect(readU32(c, to + page - 4)).toBe(5);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('fork and smaps know the page size', () => {
    const c = caller();
    const at = map(c, 0, 4 * page);
    writeU32(c, at, 1);
    const smaps = formatSmaps(c);
    expect(smaps).toContain(`KernelPageSize: ${String(page / 1024).padStart(8)} kB\n`);
    expect(smaps).toContain(`MMUPageSize:    ${String(page / 1024).padStart(8)} kB\n`);
    if (exact) expect(smaps).toContain(`Rss:            ${String(page / 1024).padStart(8)} kB\n`);
    const child = addCaller(c.mem, forkMm(c));
    expect(targetPageSize(child)).toBe(page);
    expect(map(child, at + page / 2, page, FIXED)).toBe(EINVAL);
    removeThread(c.mem, child.thread, COORDINATOR);
    releaseMm(c.mem, child.mm, COORDINATOR);
  });

  it.each([1, 4095, 4096, 4097, 16384, 20000, 65535, 65536, 65537])(
    'a file of %d bytes ends with its page',
    (size) => {
      const c = caller();
      const path = join(folder, 'file');
      writeFileSync(path, Buffer.alloc(size, 0x41));
      const fd = openSync(path, 'r+');
      const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
      const mapped: MappedFile = { file, object: 0, readable: true, writable: true };
      const end = Math.ceil(size / page) * page;
      const least = Math.ceil(size / Math.max(page, host)) * Math.max(page, host);
      for (const kind of [PRIVATE, SHARED]) {
        const at = targetMmap(c, 0, end + 3 * 65536, RW, kind, mapped, 0);
        const last = new Uint8Array(Math.min(end, 4 + end - size));
        copyIn(c, at + end - last.length, last);
        const inFile = last.length - (end - size);
        expect([...new Set(last.subarray(0, inFile))]).toEqual(inFile > 0 ? [0x41] : []);
        expect([...new Set(last.subarray(inFile))]).toEqual(end > size ? [0] : []);
        writeU32(c, at + end - 4, 0x4242_4242);
        expect(readU32(c, at + end - 4)).toBe(0x4242_4242);
        expect(resolveFault(c, at + least, ACCESS_READ)).toBe(FAULT_BUSERR);
        expect(resolveFault(c, at + least + 65536, ACCESS_READ)).toBe(FAULT_BUSERR);
        expect(targetMunmap(c, at, end + 3 * 65536)).toBe(0);
      }
      releaseHostFile(c.mem, c.thread, file);
      // What was written behind the end is no part of the file.
      expect(readFileSync(path).length).toBe(size);
      expect(audit(c.mem, [c.mm])).toEqual([]);
    },
  );

  it('a file that is cut or grows ends with its page then', () => {
    const c = caller();
    const path = join(folder, 'cut');
    writeFileSync(path, Buffer.alloc(3 * 65536, 0x41));
    const fd = openSync(path, 'r+');
    const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
    const mapped: MappedFile = { file, object: 0, readable: true, writable: true };
    const at = targetMmap(c, 0, 4 * 65536, RW, SHARED, mapped, 0);
    expect(readU32(c, at + 65536)).toBe(0x4141_4141);
    for (const size of [65536 + 1, 65536, 5000, 65536 + 16385]) {
      ftruncateSync(fd, size);
      noteFileTruncate(c, file, size);
      const least = Math.ceil(size / Math.max(page, host)) * Math.max(page, host);
      expect(outcome(() => readU32(c, at + least - 4))).toBe(FAULT_HANDLED);
      expect(readU32(c, at + least - 4)).toBe(size % page === 0 ? 0x4141_4141 : 0);
      expect(outcome(() => readU32(c, at + least))).toBe(FAULT_BUSERR);
    }
    expect(targetMunmap(c, at, 4 * 65536)).toBe(0);
    releaseHostFile(c.mem, c.thread, file);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('shared memory ends with its page', () => {
    const c = caller();
    const object = createMemoryObject(c.mem, 5000, 'object', c.thread);
    const mapped: MappedFile = { file: 0, object, readable: true, writable: true };
    const at = targetMmap(c, 0, 3 * 65536, RW, SHARED, mapped, 0);
    const unit = Math.max(page, host);
    const least = Math.ceil(5000 / unit) * unit;
    writeU32(c, at + least - 4, 1);
    expect(outcome(() => readU32(c, at + least))).toBe(FAULT_BUSERR);
    expect(targetMunmap(c, at, 3 * 65536)).toBe(0);
    releaseObject(c.mem, object, c.thread);
  });

  it('offsets need be multiples of the target page only', () => {
    const c = caller();
    const path = join(folder, 'offset');
    const bytes = Buffer.alloc(4 * 65536);
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(i, i);
    writeFileSync(path, bytes);
    const fd = openSync(path, 'r+');
    const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
    const mapped: MappedFile = { file, object: 0, readable: true, writable: true };
    for (const offset of [0, page, 2 * page, 3 * page]) {
      const shared = targetMmap(c, 0, page, RW, SHARED, mapped, offset);
      expect(readU32(c, shared + 8)).toBe(offset + 8);
      writeU32(c, shared + 12, 0xff00_0000 + offset);
      expect(targetMsync(c, shared, page, 4)).toBe(0);
      expect(readFileSync(path).readUInt32LE(offset + 12)).toBe(0xff00_0000 + offset);
      // At any page of other memory, whatever its place in the host page: a copy where it must be.
      const around = map(c, 0, 6 * page);
      writeU32(c, around, 1);
      const at = around + 3 * page;
      expect(targetMmap(c, at, page, RW, PRIVATE | FIXED, mapped, offset)).toBe(at);
      expect(readU32(c, at + 8)).toBe(offset + 8);
      writeU32(c, at + 8, 0);
      expect(readU32(c, around)).toBe(1);
      expect(readU32(c, at + page)).toBe(0);
      expect(readU32(c, shared + 8)).toBe(offset + 8);
      expect(targetMmap(c, 0, page, RW, PRIVATE, mapped, offset + page / 2)).toBe(EINVAL);
    }
    releaseHostFile(c.mem, c.thread, file);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('guests of different page sizes in one machine', () => {
  it('share a file', () => {
    const large = createCaller({ bytes: 64 * MiB }, { pageSize: 65536 });
    const small = addCaller(large.mem, createMm(large.mem, COORDINATOR));
    const path = join(folder, 'both');
    writeFileSync(path, Buffer.alloc(5000, 0x41));
    const fd = openSync(path, 'r+');
    const file = openHostFile(large.mem, large.thread, fd, true, fstatSync(fd));
    const mapped: MappedFile = { file, object: 0, readable: true, writable: true };
    const [a, b] = [large, small].map((c) => targetMmap(c, 0, 2 * 65536, RW, SHARED, mapped, 0));
    expect(resolveFault(small, b + 8192, ACCESS_READ)).toBe(FAULT_BUSERR);
    writeU32(large, a + 4996, 5);
    expect(readU32(small, b + 4996)).toBe(5);
    writeU32(large, a + 65532, 6);
    expect(readU32(large, a + 65532)).toBe(6);
    expect(resolveFault(large, a + 65536, ACCESS_READ)).toBe(FAULT_BUSERR);
    targetMunmap(large, a, 2 * 65536);
    targetMunmap(small, b, 2 * 65536);
    releaseHostFile(large.mem, large.thread, file);
    expect(readFileSync(path).length).toBe(5000);
    expect(audit(large.mem, [large.mm, small.mm])).toEqual([]);
  });
});
