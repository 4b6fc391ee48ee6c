import {
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import { ACCESS_READ, type Caller, FAULT_BUSERR, FAULT_HANDLED } from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import {
  flushFileRange,
  noteFileTruncate,
  noteFileWrite,
  noteObjectResize,
} from '../../src/memory/filePages.js';
import { frameCounts, grantHomeWindow } from '../../src/memory/frames.js';
import { hostFilePath, nameHostFile, openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { createMemoryObject, readObject, releaseObject, writeObject } from '../../src/memory/sharedObject.js';
import { readU32, translate, writeU32 } from '../../src/memory/userAccess.js';
import { createMm } from '../../src/mm/addressSpace.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import { type MappedFile, targetMmap } from '../../src/mm/targetMmap.js';
import { targetMsync } from '../../src/mm/targetMsync.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { Mm } from '../../src/sync/records/mm.js';
import { addCaller, createCaller, PAGE } from './machine.js';

const SHARED = 1;
const PRIVATE = 2;
const FIXED = 16;
const ANONYMOUS = 32;
const directory = mkdtempSync(join(tmpdir(), 'guesthouse-files-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'data');

/** A file of 5½ pages; page i begins with the word 100 + i. */
beforeEach(() => {
  const bytes = Buffer.alloc(5.5 * PAGE, 0xee);
  for (let i = 0; i < 6; i++) bytes.writeUInt32LE(100 + i, i * PAGE);
  writeFileSync(path, bytes);
});

function open(c: Caller): MappedFile & { fd: number } {
  const fd = openSync(path, 'r+');
  const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
  nameHostFile(c.mem, c.thread, file, '/data');
  return { file, object: 0, readable: true, writable: true, fd };
}

/** The same bytes in another file. */
function openOther(c: Caller): MappedFile {
  const other = join(directory, 'other');
  writeFileSync(other, readFileSync(path));
  const fd = openSync(other, 'r');
  return {
    file: openHostFile(c.mem, c.thread, fd, false, fstatSync(fd)),
    object: 0,
    readable: true,
    writable: false,
  };
}

const wordOnHost = (page: number) => readFileSync(path).readUInt32LE(page * PAGE);

describe('a mapped file', () => {
  it('leaves the home frames of its addresses to the copies of private pages and to what lies behind it', () => {
    const c = createCaller();
    grantHomeWindow(c.mem, c.mm, c.thread);
    const home = (va: number): number => (va + c.mem.getI32(c.mm + Mm.homeDelta)) >>> 0;
    const at = targetMmap(c, 0x10_0000, 2 * PAGE, 3, FIXED | PRIVATE, open(c), 0);
    const behind = targetMmap(c, at + 2 * PAGE, 2 * PAGE, 3, FIXED | PRIVATE | ANONYMOUS, null, 0);
    expect(readU32(c, at)).toBe(100);
    writeU32(c, at, 1);
    writeU32(c, behind, 2);
    expect(translate(c, at, 'read')).toBe(home(at));
    expect(translate(c, behind, 'read')).toBe(home(behind));
    // What is only read stays where it was read to.
    const shown = targetMmap(c, 0x20_0000, 2 * PAGE, 1, FIXED | PRIVATE, openOther(c), 0);
    expect(readU32(c, shown + PAGE)).toBe(101);
    expect(translate(c, shown + PAGE, 'read')).toBe(home(shown + PAGE));
  });

  it('shows the file, zeros to the end of its last page, and SIGBUS beyond', () => {
    const c = createCaller();
    const at = targetMmap(c, 0, 8 * PAGE, 1, PRIVATE, open(c), 0);
    for (let i = 0; i < 6; i++) expect(readU32(c, at + i * PAGE)).toBe(100 + i);
    expect(readU32(c, at + 5.5 * PAGE - 4)).toBe(0xeeee_eeee);
    expect(readU32(c, at + 5.5 * PAGE)).toBe(0);
    expect(resolveFault(c, at + 6 * PAGE, ACCESS_READ)).toBe(FAULT_BUSERR);
  });

  it('has its pages in memory once, for all guests', () => {
    const c = createCaller();
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const a = targetMmap(c, 0, 6 * PAGE, 1, PRIVATE, open(c), 0);
    const b = targetMmap(other, 0, 6 * PAGE, 3, SHARED, open(other), 0);
    expect(translate(c, a, 'read')).toBe(translate(other, b, 'read'));
    writeU32(other, b, 7);
    expect(readU32(c, a)).toBe(7);
    expect(frameCounts(c.mem).used).toBe(6);
    expect(audit(c.mem, [c.mm, other.mm])).toEqual([]);
  });

  it('mapped private is copied by the first write, which nobody else sees', () => {
    const c = createCaller();
    const file = open(c);
    const mine = targetMmap(c, 0, 6 * PAGE, 3, PRIVATE, file, 0);
    const shared = targetMmap(c, 0, 6 * PAGE, 3, SHARED, file, 0);
    expect(readU32(c, mine + PAGE)).toBe(101);
    writeU32(c, mine + PAGE, 1);
    writeU32(c, shared + PAGE, 2);
    expect([readU32(c, mine + PAGE), readU32(c, shared + PAGE)]).toEqual([1, 2]);
    targetMsync(c, shared, 6 * PAGE, 4);
    expect(wordOnHost(1)).toBe(2);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('mapped shared reaches the host at msync, at munmap, and before a read', () => {
    const c = createCaller();
    const file = open(c);
    const at = targetMmap(c, 0, 6 * PAGE, 3, SHARED, file, 0);
    writeU32(c, at, 11);
    expect(wordOnHost(0)).toBe(100);
    expect(targetMsync(c, at, PAGE, 4)).toBe(0);
    expect(wordOnHost(0)).toBe(11);
    writeU32(c, at, 12);
    flushFileRange(c.mem, file.file, 0, 10, c.thread);
    expect(wordOnHost(0)).toBe(12);
    writeU32(c, at, 13);
    writeU32(c, at + 3 * PAGE, 14);
    targetMunmap(c, at + 3 * PAGE, PAGE);
    expect([wordOnHost(0), wordOnHost(3)]).toEqual([12, 14]);
    targetMunmap(c, at, 6 * PAGE);
    expect(wordOnHost(0)).toBe(13);
    expect(readFileSync(path).length).toBe(5.5 * PAGE);
  });

  it('shows what write(2) wrote, without losing what was written through the mapping', () => {
    const c = createCaller();
    const file = open(c);
    const at = targetMmap(c, 0, 6 * PAGE, 3, SHARED, file, 0);
    writeU32(c, at, 1);
    writeSync(file.fd, Buffer.from([9, 0, 0, 0]), 0, 4, 8);
    noteFileWrite(c.mem, file.file, 8, 4, c.thread);
    expect([readU32(c, at), readU32(c, at + 8)]).toEqual([1, 9]);
  });

  it('that is cut takes its pages from every mapping, private copies too', () => {
    const c = createCaller();
    const other = addCaller(c.mem, createMm(c.mem, COORDINATOR));
    const file = open(c);
    const at = targetMmap(c, 0, 6 * PAGE, 3, PRIVATE, file, 0);
    const there = targetMmap(other, 0, 4 * PAGE, 1, SHARED, file, 2 * PAGE);
    for (let i = 0; i < 6; i++) writeU32(c, at + i * PAGE, i);
    for (let i = 0; i < 4; i++) readU32(other, there + i * PAGE);
    ftruncateSync(file.fd, 2.5 * PAGE);
    noteFileTruncate(c, file.file, 2.5 * PAGE);
    expect(readU32(c, at + PAGE)).toBe(1);
    expect(resolveFault(c, at + 3 * PAGE, ACCESS_READ)).toBe(FAULT_BUSERR);
    expect(readU32(other, there)).toBe(102);
    expect(readU32(other, there + 0.5 * PAGE)).toBe(0);
    expect(resolveFault(other, there + PAGE, ACCESS_READ)).toBe(FAULT_BUSERR);
    ftruncateSync(file.fd, 6 * PAGE);
    noteFileTruncate(c, file.file, 6 * PAGE);
    expect(resolveFault(other, there + PAGE, ACCESS_READ)).toBe(FAULT_HANDLED);
    expect(readU32(other, there + PAGE)).toBe(0);
    expect(audit(c.mem, [c.mm, other.mm])).toEqual([]);
  });

  it('is closed, and its pages are gone, with the last mapping', () => {
    const c = createCaller();
    const file = open(c);
    const at = targetMmap(c, 0, 6 * PAGE, 3, SHARED, file, 0);
    readU32(c, at);
    releaseHostFile(c.mem, c.thread, file.file);
    expect(() => fstatSync(file.fd)).not.toThrow();
    expect(hostFilePath(c.mem, file.file)).toBe('/data');
    targetMunmap(c, at, 6 * PAGE);
    expect(() => fstatSync(file.fd)).toThrow();
    expect(frameCounts(c.mem).used).toBe(0);
  });

  it('is named in /proc/PID/maps as the kernel does it', () => {
    const c = createCaller();
    const file = open(c);
    targetMmap(c, 0x40_0000, 2 * PAGE, 5, PRIVATE, file, PAGE);
    targetMmap(c, 0x80_0000, PAGE, 3, 0x21, null, 0);
    targetMmap(c, 0x90_0000, PAGE, 0, 0x22, null, 0);
    const { dev, ino } = fstatSync(file.fd);
    const major = ((dev >>> 8) & 0xfff).toString(16).padStart(2, '0');
    const minor = ((dev & 0xff) | ((dev >>> 12) & 0xfff00)).toString(16).padStart(2, '0');
    const start = `00400000-00402000 r-xp 00001000 ${major}:${minor} ${ino} `;
    expect(formatMaps(c)).toBe(
      `${start.padEnd(72)} /data\n` +
        `${'00800000-00801000 rw-s 00000000 00:01 1 '.padEnd(72)} /dev/zero (deleted)\n` +
        `00900000-00901000 ---p 00000000 00:00 0 \n`,
    );
  });
});

describe('when no frame is left', () => {
  it('clean file pages are given back and read again, dirty ones stay', () => {
    const c = createCaller();
    const big = join(directory, 'big');
    const pages = 6000;
    writeFileSync(big, Buffer.alloc(pages * PAGE));
    const fd = openSync(big, 'r+');
    for (let i = 0; i < pages; i++) writeSync(fd, Buffer.from([i, i >> 8, 1, 0]), 0, 4, i * PAGE);
    const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
    const mapped = { file, object: 0, readable: true, writable: true };
    const at = targetMmap(c, 0, pages * PAGE, 3, SHARED, mapped, 0);
    for (let i = 0; i < pages; i++) expect(readU32(c, at + i * PAGE)).toBe(i + 0x1_0000);
    for (let i = 0; i < 10; i++) writeU32(c, at + i * PAGE, 7);
    const total = frameCounts(c.mem).total;
    const left = Math.floor((total * 15) / 16) - 100;
    const anon = targetMmap(c, 0, left * PAGE, 3, 0x22, null, 0);
    expect(anon).toBeGreaterThan(0);
    for (let i = 0; i < left; i++) writeU32(c, anon + i * PAGE, i);
    for (let i = 0; i < pages; i += 50) expect(readU32(c, at + i * PAGE)).toBe(i < 10 ? 7 : i + 0x1_0000);
    for (let i = 0; i < left; i += 100) expect(readU32(c, anon + i * PAGE)).toBe(i);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('a memory object', () => {
  it('is shared by its mappings and by read and write, and raises SIGBUS beyond its size', () => {
    const c = createCaller();
    const object = createMemoryObject(c.mem, 0, '/memfd:x (deleted)', c.thread);
    expect(writeObject(c.mem, object, PAGE - 2, Uint8Array.of(1, 2, 3, 4), c.thread)).toBe(4);
    const file = { file: 0, object, readable: true, writable: true };
    const at = targetMmap(c, 0, 3 * PAGE, 3, SHARED, file, 0);
    expect(readU32(c, at + PAGE - 2)).toBe(0x04030201);
    expect(resolveFault(c, at + 2 * PAGE, ACCESS_READ)).toBe(FAULT_BUSERR);
    writeU32(c, at, 5);
    const into = new Uint8Array(8);
    expect(readObject(c.mem, object, 0, into, c.thread)).toBe(8);
    expect(into[0]).toBe(5);
    noteObjectResize(c, object, 100);
    expect(resolveFault(c, at + PAGE, ACCESS_READ)).toBe(FAULT_BUSERR);
    expect(audit(c.mem, [c.mm], [object])).toEqual([]);
    releaseObject(c.mem, object, c.thread);
    expect(readU32(c, at)).toBe(5);
    targetMunmap(c, at, 3 * PAGE);
    expect(frameCounts(c.mem).used).toBe(0);
  });
});
