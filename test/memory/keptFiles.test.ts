import { fstatSync, mkdtempSync, openSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { audit } from '../../src/memory/auditor.js';
import type { Caller } from '../../src/memory/caller.js';
import { frameCounts } from '../../src/memory/frames.js';
import { identityOf, openHostFile, releaseHostFile } from '../../src/memory/hostFile.js';
import { forgetKeptFiles, keepFile } from '../../src/memory/keptFiles.js';
import { readU32 } from '../../src/memory/userAccess.js';
import { targetMmap } from '../../src/mm/targetMmap.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { createCaller, PAGE } from './machine.js';

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-kept-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Maps the file, reads the first word of each page, unmaps and closes it. */
function readThrough(c: Caller, path: string, keep: boolean): number[] {
  const fd = openSync(path, 'r');
  const stat = fstatSync(fd);
  const file = openHostFile(c.mem, c.thread, fd, false, identityOf(fstatSync(fd, { bigint: true })));
  const mapped = { file, object: 0, readable: true, writable: false };
  const at = targetMmap(c, 0, stat.size, 1, 2, mapped, 0);
  if (keep) keepFile(c.mem, file, c.thread);
  releaseHostFile(c.mem, c.thread, file);
  const words: number[] = [];
  for (let page = 0; page < stat.size / PAGE; page++) words.push(readU32(c, at + page * PAGE));
  targetMunmap(c, at, stat.size);
  return words;
}

function pages(words: readonly number[]): Buffer {
  const bytes = Buffer.alloc(words.length * PAGE);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word, i * PAGE);
  return bytes;
}

describe('files that were executed', () => {
  it('keep their pages, see what the host does to them, and can be forgotten', () => {
    const c = createCaller();
    const path = join(directory, 'program');
    writeFileSync(path, pages([1, 2, 3]));
    const empty = frameCounts(c.mem).used;
    expect(readThrough(c, path, false)).toEqual([1, 2, 3]);
    expect(frameCounts(c.mem).used).toBe(empty);
    expect(readThrough(c, path, true)).toEqual([1, 2, 3]);
    expect(frameCounts(c.mem).used).toBe(empty + 3);
    expect(readThrough(c, path, true)).toEqual([1, 2, 3]);
    expect(audit(c.mem, [c.mm])).toEqual([]);
    writeFileSync(path, pages([4, 5]));
    utimesSync(path, 1, 1);
    expect(readThrough(c, path, false)).toEqual([4, 5]);
    expect(frameCounts(c.mem).used).toBe(empty + 2);
    expect(forgetKeptFiles(c.mem, c.thread)).toBe(true);
    expect(forgetKeptFiles(c.mem, c.thread)).toBe(false);
    expect(frameCounts(c.mem).used).toBe(empty);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('are the last few', () => {
    const c = createCaller();
    const empty = frameCounts(c.mem).used;
    for (let i = 0; i < 40; i++) {
      const path = join(directory, `program${i}`);
      writeFileSync(path, pages([i]));
      expect(readThrough(c, path, true)).toEqual([i]);
    }
    expect(frameCounts(c.mem).used).toBe(empty + 32);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});
