import { fstatSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import type { Caller } from '../../src/memory/caller.js';
import { noteFileTruncate } from '../../src/memory/filePages.js';
import { openHostFile } from '../../src/memory/hostFile.js';
import { readU32, writeU32 } from '../../src/memory/userAccess.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMremap } from '../../src/mm/targetMremap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { createCaller, PAGE } from './machine.js';

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-fragments-'));
afterAll(() => rmSync(directory, { recursive: true }));

const A = 0x40_0000;
const B = 0x50_0000;
const ANON = 0x32;

function fill(c: Caller, at: number, pages: number, value: number): void {
  for (let i = 0; i < pages; i++) writeU32(c, at + i * PAGE, value + i);
}

function words(c: Caller, at: number, pages: number): number[] {
  return Array.from({ length: pages }, (_, i) => readU32(c, at + i * PAGE));
}

describe('a host page of 16 KiB that several mappings share', () => {
  it('keeps what else lies in it when mremap moves a part of another there', () => {
    const c = createCaller({ hostPageSize: 16384 });
    targetMmap(c, A, 2 * PAGE, 3, ANON, null, 0);
    targetMmap(c, B, 4 * PAGE, 3, ANON, null, 0);
    fill(c, A, 2, 10);
    fill(c, B, 4, 20);
    expect(targetMremap(c, A, 2 * PAGE, 2 * PAGE, 3, B)).toBe(B);
    expect(words(c, B, 4)).toEqual([10, 11, 22, 23]);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('is zero where mremap extends a mapping into its old contents', () => {
    const c = createCaller({ hostPageSize: 16384 });
    targetMmap(c, A, 8 * PAGE, 3, ANON, null, 0);
    fill(c, A, 8, 10);
    targetMunmap(c, A + 2 * PAGE, 4 * PAGE);
    expect(targetMremap(c, A, 2 * PAGE, 5 * PAGE, 0, 0)).toBe(A);
    expect(words(c, A, 5)).toEqual([10, 11, 0, 0, 0]);
    expect(words(c, A + 6 * PAGE, 2)).toEqual([16, 17]);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('is zero where a stack grows down into its old contents', () => {
    const c = createCaller({ hostPageSize: 16384 });
    targetMmap(c, A, 3 * PAGE, 3, ANON, null, 0);
    targetMmap(c, A + 3 * PAGE, PAGE, 3, ANON | 0x100, null, 0);
    fill(c, A, 4, 10);
    targetMunmap(c, A, 3 * PAGE);
    writeU32(c, A - PAGE, 9);
    expect(words(c, A - PAGE, 5)).toEqual([9, 0, 0, 0, 13]);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('keeps private memory when a file mapped beside it is cut', () => {
    const c = createCaller({ hostPageSize: 16384 });
    const path = join(directory, 'cut');
    writeFileSync(path, Buffer.alloc(16 * PAGE, 'x'));
    const fd = openSync(path, 'r+');
    const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
    targetMmap(c, A, 2 * PAGE, 3, ANON, null, 0);
    const mapped = { file, object: 0, readable: true, writable: true };
    expect(targetMmap(c, A + 2 * PAGE, 6 * PAGE, 3, 0x12, mapped, 2 * PAGE)).toBe(A + 2 * PAGE);
    fill(c, A, 2, 10);
    expect(readU32(c, A + 2 * PAGE)).toBe(0x78787878);
    ftruncateSync(fd, 0);
    noteFileTruncate(c, file, 0);
    expect(words(c, A, 2)).toEqual([10, 11]);
    expect(() => readU32(c, A + 4 * PAGE)).toThrow();
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});
