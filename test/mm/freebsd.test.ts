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
  FAULT_HANDLED,
  FAULT_MAPERR,
} from '../../src/memory/caller.js';
import { resolveFault } from '../../src/memory/faults.js';
import { openHostFile } from '../../src/memory/hostFile.js';
import { copyIn, readU32, writeU32 } from '../../src/memory/userAccess.js';
import { PLACE_RANDOM } from '../../src/mm/findVma.js';
import { freebsdMadvise } from '../../src/mm/freebsd/freebsdMadvise.js';
import { freebsdMincore } from '../../src/mm/freebsd/freebsdMincore.js';
import {
  freebsdMlock,
  freebsdMlockall,
  freebsdMunlock,
  freebsdMunlockall,
} from '../../src/mm/freebsd/freebsdMlock.js';
import { freebsdMprotect } from '../../src/mm/freebsd/freebsdMprotect.js';
import { freebsdMsync } from '../../src/mm/freebsd/freebsdMsync.js';
import { freebsdMunmap } from '../../src/mm/freebsd/freebsdMunmap.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import type { MappedFile } from '../../src/mm/targetMmap.js';
import { Mm } from '../../src/sync/records/mm.js';
import { PAGE } from '../memory/machine.js';
import { BASE, createFreebsdCaller, DATA, MiB, mmap, TEXT } from './freebsdCaller.js';

const R = 1;
const RW = 3;
const X = 4;
const max = (prot: number) => prot << 16;
const SHARED = 1;
const PRIVATE = 2;
const FIXED = 0x10;
const STACK = 0x400;
const ANON = 0x1000;
const GUARD = 0x2000;
const EXCL = 0x4000;
const LOW = 0x8_0000;
const aligned = (n: number) => n << 24;
const SUPER = aligned(1);

const ENOENT_BADF = -9;
const ENOMEM = -12;
const EACCES = -13;
const EBUSY = -16;
const EINVAL = -22;
const ENOTSUP = -95;

const directory = mkdtempSync(join(tmpdir(), 'guesthouse-freebsd-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, 'data');

function open(c: Caller, how: Partial<MappedFile> = {}, pages = 4): MappedFile {
  const bytes = Buffer.alloc(pages * PAGE);
  for (let i = 0; i < pages; i++) bytes.writeUInt32LE(100 + i, i * PAGE);
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r+');
  const file = openHostFile(c.mem, c.thread, fd, true, fstatSync(fd));
  return { file, object: 0, readable: true, writable: true, ...how };
}

const lines = (c: Caller) =>
  formatMaps(c)
    .trim()
    .split('\n')
    .map((line) => line.split(' ').slice(0, 2).join(' '));

describe('mmap', () => {
  it('checks its arguments in the order of kern_mmap', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, PAGE, RW, ANON | PRIVATE);
    const rows: [string, number, Parameters<typeof mmap> extends [Caller, ...infer A] ? A : never][] = [
      ['unknown protection bits', EINVAL, [0, PAGE, 8, ANON]],
      ['unknown maximum bits', EINVAL, [0, PAGE, max(8), ANON]],
      ['more than the maximum, before the length', ENOTSUP, [0, 0, RW | max(R), ANON]],
      ['unknown protection before the maximum', EINVAL, [0, 0, 8 | RW | max(R), ANON]],
      ['length 0', EINVAL, [0, 0, RW, ANON]],
      ['anonymous with a descriptor', EINVAL, [0, PAGE, RW, ANON, { fd: 3 }]],
      ['anonymous with an offset', EINVAL, [0, PAGE, RW, ANON, { offset: PAGE }]],
      ['a stack with a descriptor', EINVAL, [0, 2 * PAGE, RW, STACK, { fd: 3 }]],
      ['a stack that cannot be written', EINVAL, [0, 2 * PAGE, R, STACK]],
      ['a stack of the guard alone', EINVAL, [0, PAGE, RW, STACK]],
      ['an unknown flag', EINVAL, [0, PAGE, RW, ANON | 0x10_0000]],
      ['Linux: MAP_ANONYMOUS is another bit', EINVAL, [0, PAGE, RW, 0x20 | PRIVATE | 0x8000]],
      ['EXCL without FIXED', EINVAL, [0, PAGE, RW, ANON | EXCL]],
      ['shared and private', EINVAL, [0, PAGE, RW, ANON | SHARED | PRIVATE]],
      ['a guard with access', EINVAL, [0, PAGE, R, GUARD]],
      ['a guard with a descriptor', EINVAL, [0, PAGE, 0, GUARD, { fd: 3 }]],
      ['a guard with an offset', EINVAL, [0, PAGE, 0, GUARD, { offset: 1 }]],
      ['a guard that is private', EINVAL, [0, PAGE, 0, GUARD | PRIVATE]],
      ['a guard that is anonymous', EINVAL, [0, PAGE, 0, GUARD | ANON]],
      ['a length that wraps', ENOMEM, [0, -1, RW, ANON]],
      ['a length that wraps, before a bad alignment', ENOMEM, [0, -1, RW, ANON | aligned(2)]],
      ['an alignment below a page', EINVAL, [0, PAGE, RW, ANON | aligned(11)]],
      ['an alignment beyond an address', EINVAL, [0, PAGE, RW, ANON | aligned(64)]],
      ['a negative alignment', EINVAL, [0, PAGE, RW, ANON | aligned(200)]],
      ['an alignment that no place has', ENOMEM, [0, PAGE, RW, ANON | aligned(40)]],
      ['fixed, unaligned', EINVAL, [at + 8, PAGE, RW, ANON | FIXED]],
      ['fixed at page 0', EINVAL, [0, PAGE, RW, ANON | FIXED]],
      ['fixed beyond the end', EINVAL, [2 ** 36 - PAGE, 2 * PAGE, RW, ANON | FIXED]],
      ['fixed, wrapping', EINVAL, [-PAGE, 2 * PAGE, RW, ANON | FIXED]],
      ['fixed, beyond 2 GiB, 32 bit', EINVAL, [2 ** 31 - PAGE, 2 * PAGE, RW, ANON | FIXED | LOW]],
      ['fixed and exclusive over something', ENOMEM, [at, PAGE, RW, ANON | FIXED | EXCL]],
      ['a bad descriptor', ENOENT_BADF, [0, PAGE, RW, PRIVATE]],
      ['larger than the address space', ENOMEM, [0, 2 ** 40, RW, ANON]],
      ['of more pages than 32 bits count', ENOMEM, [0, 2 ** 45, RW, ANON]],
      ['of absurd length', ENOMEM, [0, -(2 ** 62), RW, ANON]],
    ];
    for (const [what, result, args] of rows) expect([what, mmap(c, ...args)]).toEqual([what, result]);
    expect(lines(c)).toEqual([`${hex(at)}-${hex(at + PAGE)} rw-p`]);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('takes the flags that never meant anything, and neither shared nor private for anonymous memory', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 10, RW, ANON | 0x20 | 0x40 | 0x200 | 0x800 | 0x2_0000 | 0x4_0000);
    expect(at).toBe(BASE);
    writeU32(c, at, 7);
    expect(readU32(c, at)).toBe(7);
    expect(mmap(c, 0, PAGE, RW, 0, { file: open(c) })).toBe(EINVAL);
  });

  it('looks at what the descriptor allows', () => {
    const c = createFreebsdCaller();
    const file = open(c, { readable: false });
    expect(mmap(c, 0, PAGE, R, PRIVATE, { file })).toBe(EACCES);
    expect(mmap(c, 0, PAGE, 2, PRIVATE, { file })).toBeGreaterThan(0);
    const readOnly = { ...file, readable: true, writable: false };
    expect(mmap(c, 0, PAGE, RW, SHARED, { file: readOnly })).toBe(EACCES);
    const at = mmap(c, 0, PAGE, R, SHARED, { file: readOnly });
    expect(freebsdMprotect(c, at, PAGE, RW)).toBe(EACCES);
    expect(mmap(c, 0, PAGE, RW, PRIVATE, { file: readOnly })).toBeGreaterThan(0);
    expect(mmap(c, 0, PAGE, X, PRIVATE, { file: { ...file, readable: true, noExec: true } })).toBe(EACCES);
    expect(mmap(c, 0, PAGE, R, PRIVATE, { file: readOnly, offset: -PAGE })).toBe(EINVAL);
    // A device of zeros is anonymous memory.
    expect(readU32(c, mmap(c, 0, PAGE, RW, PRIVATE, { file: null }))).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('maps a file at an offset inside a page and answers with the address of that byte', () => {
    const c = createFreebsdCaller();
    const file = open(c);
    const at = mmap(c, 0, PAGE, R, PRIVATE, { file, offset: PAGE + 16 });
    expect(at % PAGE).toBe(16);
    expect(readU32(c, at - 16)).toBe(101);
    // The length counts from there: two pages are mapped.
    expect(readU32(c, at - 16 + PAGE)).toBe(102);
    const fixed = mmap(c, at - 16 + 2 * PAGE + 16, 8, R, PRIVATE | FIXED, { file, offset: 16 });
    expect(fixed).toBe(at + 2 * PAGE);
    expect(mmap(c, at - 16, 8, R, PRIVATE | FIXED, { file, offset: 16 })).toBe(EINVAL);
  });

  it('refuses more than RLIMIT_AS, in which guards do not count', () => {
    const c = createFreebsdCaller({}, { limitAs: 16 * PAGE });
    const guard = mmap(c, 0, 12 * PAGE, 0, GUARD);
    expect(guard).toBe(BASE);
    expect(mmap(c, 0, 17 * PAGE, 0, GUARD)).toBe(ENOMEM);
    const at = mmap(c, 0, 12 * PAGE, RW, ANON);
    expect(at).toBe(BASE + 12 * PAGE);
    expect(mmap(c, 0, 5 * PAGE, RW, ANON)).toBe(ENOMEM);
    // What would be replaced is not taken off.
    expect(mmap(c, at, 5 * PAGE, RW, ANON | FIXED)).toBe(ENOMEM);
    expect(mmap(c, 0, 4 * PAGE, RW, ANON)).toBe(BASE + 24 * PAGE);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

function hex(n: number): string {
  return n.toString(16).padStart(8, '0');
}

describe('placement', () => {
  it('begins beyond the largest heap and goes up, first fit', () => {
    const c = createFreebsdCaller();
    const first = mmap(c, 0, 2 * PAGE, RW, ANON);
    const second = mmap(c, 0, 2 * PAGE, R, ANON);
    expect([first, second]).toEqual([BASE, BASE + 2 * PAGE]);
    freebsdMunmap(c, first, PAGE);
    expect(mmap(c, 0, 2 * PAGE, RW, ANON)).toBe(BASE + 4 * PAGE);
    expect(mmap(c, 0, PAGE, RW, ANON)).toBe(BASE);
  });

  it('takes a hint as the start of the search, unless it lies between text and heap', () => {
    const c = createFreebsdCaller();
    const hint = BASE + 40 * MiB;
    expect(mmap(c, hint, PAGE, RW, ANON)).toBe(hint);
    expect(mmap(c, hint, PAGE, RW, ANON)).toBe(hint + PAGE);
    expect(mmap(c, hint + 5, PAGE, RW, ANON)).toBe(hint + 2 * PAGE);
    expect(mmap(c, TEXT, PAGE, RW, ANON)).toBe(BASE);
    expect(mmap(c, DATA + MiB, PAGE, RW, ANON)).toBe(BASE + PAGE);
    // Below the text a hint is followed.
    expect(mmap(c, 2 * PAGE, PAGE, RW, ANON)).toBe(2 * PAGE);
    // With no room above the hint the search begins anew beyond the heap.
    expect(mmap(c, 2 ** 36 - PAGE, 2 * PAGE, RW, ANON)).toBe(BASE + 2 * PAGE);
    expect(mmap(c, 0xc0_0000_0000, PAGE, RW, ANON)).toBe(BASE + 4 * PAGE);
  });

  it('obeys MAP_ALIGNED, MAP_ALIGNED_SUPER and MAP_32BIT', () => {
    const c = createFreebsdCaller();
    mmap(c, 0, PAGE, RW, ANON);
    expect(mmap(c, 0, PAGE, RW, ANON | aligned(16)) % 65536).toBe(0);
    expect(mmap(c, 0, 4 * MiB, RW, ANON | SUPER) % (2 * MiB)).toBe(0);
    // Less than a superpage is not aligned to one.
    expect(mmap(c, 0, PAGE, RW, ANON | SUPER)).toBe(BASE + PAGE);
    expect(mmap(c, 2 ** 32, PAGE, RW, ANON | LOW)).toBeLessThan(2 ** 31);
    expect(mmap(c, 0, 3 * 2 ** 30, 0, ANON | LOW)).toBe(ENOMEM);
    expect(mmap(c, 0, 3 * 2 ** 30, 0, ANON)).toBeGreaterThan(0);
  });

  it('lays large files as their superpages would lie', () => {
    const c = createFreebsdCaller();
    const file = open(c);
    mmap(c, 0, PAGE, RW, ANON);
    expect(mmap(c, 0, 6 * MiB, R, PRIVATE, { file, offset: 3 * PAGE }) % (2 * MiB)).toBe(3 * PAGE);
    expect(mmap(c, 0, MiB, R, PRIVATE, { file })).toBe(BASE + PAGE);
  });

  it('is the user’s when another policy was asked for', () => {
    const c = createFreebsdCaller({}, { placement: PLACE_RANDOM, placementSeed: 3 });
    const places = new Set(Array.from({ length: 8 }, () => mmap(c, 0, PAGE, RW, ANON)));
    expect(places.size).toBe(8);
    expect(places.has(BASE)).toBe(false);
    expect(mmap(c, BASE + MiB, PAGE, RW, ANON)).toBe(BASE + MiB);
  });
});

describe('guards', () => {
  it('reserve, fault as protection errors, and are passed over by mprotect', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 4 * PAGE, 0, GUARD);
    expect(resolveFault(c, at, ACCESS_READ)).toBe(FAULT_ACCERR);
    expect(resolveFault(c, at - PAGE, ACCESS_READ)).toBe(FAULT_MAPERR);
    expect(freebsdMprotect(c, at, 4 * PAGE, RW)).toBe(0);
    expect(resolveFault(c, at, ACCESS_WRITE)).toBe(FAULT_ACCERR);
    expect(mmap(c, at + PAGE, PAGE, RW, ANON | FIXED)).toBe(at + PAGE);
    writeU32(c, at + PAGE, 1);
    expect(c.mem.getU32(c.mm + Mm.mappedPages)).toBe(1);
    expect(mmap(c, at, PAGE, RW, ANON | FIXED | EXCL)).toBe(ENOMEM);
    expect(freebsdMlock(c, at, 2 * PAGE)).toBe(ENOMEM);
    expect(freebsdMunmap(c, at, 4 * PAGE)).toBe(0);
    expect(lines(c)).toEqual(['']);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('a growing stack', () => {
  it('is mapped at its top and grows by 128 KiB, down to one guard page', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, MiB, RW, STACK);
    expect(lines(c)).toEqual([
      `${hex(at)}-${hex(at + MiB - 131072)} ---p`,
      `${hex(at + MiB - 131072)}-${hex(at + MiB)} rw-p`,
    ]);
    writeU32(c, at + MiB - 131072 - 8, 5);
    expect(lines(c)[1]).toBe(`${hex(at + MiB - 262144)}-${hex(at + MiB)} rw-p`);
    writeU32(c, at + PAGE, 6);
    expect(lines(c)).toEqual([
      `${hex(at)}-${hex(at + PAGE)} ---p`,
      `${hex(at + PAGE)}-${hex(at + MiB)} rw-p`,
    ]);
    expect(resolveFault(c, at, ACCESS_WRITE)).toBe(FAULT_ACCERR);
    expect(readU32(c, at + MiB - 131072 - 8)).toBe(5);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('gets where it grows what mprotect last said of the gap', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, MiB, RW, STACK);
    expect(freebsdMprotect(c, at, MiB, R)).toBe(0);
    expect(resolveFault(c, at + MiB - 131072 - 8, ACCESS_WRITE)).toBe(FAULT_ACCERR);
    expect(readU32(c, at + MiB - 131072 - 8)).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });

  it('does not grow beyond RLIMIT_AS, nor when its stack is gone', () => {
    const c = createFreebsdCaller({}, { limitAs: MiB });
    const at = mmap(c, 0, MiB, RW, STACK);
    mmap(c, 0, MiB - 131072 - PAGE, RW, ANON);
    expect(resolveFault(c, at + PAGE, ACCESS_WRITE)).toBe(FAULT_ACCERR);
    freebsdMunmap(c, at + MiB - PAGE, PAGE);
    freebsdMunmap(c, at + MiB - 131072, PAGE);
    expect(resolveFault(c, at + MiB - 131072 - 8, ACCESS_WRITE)).toBe(FAULT_ACCERR);
  });

  it('of one page replaces what was there and fails', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 2 * PAGE, RW, ANON);
    expect(mmap(c, at, PAGE, RW, STACK | FIXED | EXCL)).toBe(EINVAL);
    expect(lines(c)).toHaveLength(1);
    expect(mmap(c, at, PAGE, RW, STACK | FIXED)).toBe(EINVAL);
    expect(lines(c)).toEqual([`${hex(at + PAGE)}-${hex(at + 2 * PAGE)} rw-p`]);
  });
});

describe('munmap', () => {
  it('widens to pages, passes over holes, refuses 0 and what lies outside', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 4 * PAGE, RW, ANON);
    expect(freebsdMunmap(c, at, 0)).toBe(EINVAL);
    expect(freebsdMunmap(c, 100, 1)).toBe(EINVAL);
    expect(freebsdMunmap(c, at, -PAGE)).toBe(EINVAL);
    expect(freebsdMunmap(c, 2 ** 36, PAGE)).toBe(EINVAL);
    expect(freebsdMunmap(c, at + PAGE + 5, PAGE)).toBe(0);
    expect(lines(c)).toEqual([
      `${hex(at)}-${hex(at + PAGE)} rw-p`,
      `${hex(at + 3 * PAGE)}-${hex(at + 4 * PAGE)} rw-p`,
    ]);
    expect(freebsdMunmap(c, at - PAGE, 16 * PAGE)).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('mprotect', () => {
  it('changes all or nothing, and keeps within PROT_MAX', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 4 * PAGE, R | max(RW), ANON);
    const rows: [string, number, number, number, number][] = [
      ['unknown bits', EINVAL, at, PAGE, 8],
      ['wrapping', EINVAL, at, -PAGE, RW],
      ['more than its own maximum', ENOTSUP, at, PAGE, RW | max(R)],
      ['more than the mapping’s maximum', EACCES, at, PAGE, R | X],
      ['a maximum beyond the mapping’s', EACCES, at, PAGE, R | max(7)],
      ['nothing', 0, at, 0, RW],
      ['a part, from inside a page', 0, at + PAGE + 9, 1, RW | max(RW)],
      ['a hole', 0, at + 64 * PAGE, PAGE, RW],
    ];
    for (const [what, result, start, length, prot] of rows)
      expect([what, freebsdMprotect(c, start, length, prot)]).toEqual([what, result]);
    expect(lines(c).map((line) => line.split(' ')[1])).toEqual(['r--p', 'rw-p', 'r--p']);
    // The maximum only shrinks; a second mapping that refuses leaves the first as it was.
    expect(freebsdMprotect(c, at + 2 * PAGE, PAGE, R | max(R))).toBe(0);
    expect(freebsdMprotect(c, at, 4 * PAGE, RW)).toBe(EACCES);
    expect(lines(c)[0].split(' ')[1]).toBe('r--p');
    expect(freebsdMprotect(c, at, 4 * PAGE, 0)).toBe(0);
    expect(resolveFault(c, at + PAGE, ACCESS_READ)).toBe(FAULT_ACCERR);
    expect(freebsdMprotect(c, at, 4 * PAGE, R)).toBe(0);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('msync', () => {
  it('writes back; a length of 0 means the whole mapping', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 4 * PAGE, RW, SHARED, { file: open(c) });
    const onHost = (page: number) => readFileSync(path).readUInt32LE(page * PAGE);
    writeU32(c, at + PAGE, 7);
    writeU32(c, at + 2 * PAGE, 8);
    expect(freebsdMsync(c, at + PAGE + 3, 1, 0)).toBe(0);
    expect([onHost(1), onHost(2)]).toEqual([7, 102]);
    expect(freebsdMsync(c, at + PAGE, 0, 0)).toBe(0);
    expect(onHost(2)).toBe(8);
    expect(freebsdMsync(c, at, PAGE, 3)).toBe(EINVAL);
    expect(freebsdMsync(c, at, -PAGE, 0)).toBe(EINVAL);
    expect(freebsdMsync(c, at, 5 * PAGE, 0)).toBe(ENOMEM);
    expect(freebsdMsync(c, at - PAGE, PAGE, 0)).toBe(ENOMEM);
    expect(freebsdMlock(c, at, PAGE)).toBe(0);
    expect(freebsdMsync(c, at, PAGE, 2)).toBe(EBUSY);
    expect(freebsdMsync(c, at + PAGE, PAGE, 2)).toBe(0);
  });
});

describe('madvise', () => {
  it('keeps contents with DONTNEED, gives them up with FREE, and knows no other numbers', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 4 * PAGE, RW, ANON);
    for (let i = 0; i < 4; i++) writeU32(c, at + i * PAGE, i + 1);
    expect(freebsdMadvise(c, at, 4 * PAGE, 4)).toBe(0);
    expect(readU32(c, at)).toBe(1);
    expect(freebsdMlock(c, at + PAGE, PAGE)).toBe(0);
    expect(freebsdMadvise(c, at + 1, 2 * PAGE, 5)).toBe(0);
    expect([0, 1, 2, 3].map((i) => readU32(c, at + i * PAGE))).toEqual([0, 2, 0, 4]);
    for (const advice of [0, 1, 2, 3, 6, 7, 8, 9]) expect(freebsdMadvise(c, at, 64 * PAGE, advice)).toBe(0);
    for (const advice of [-1, 11, 14, 100]) expect(freebsdMadvise(c, at, PAGE, advice)).toBe(EINVAL);
    expect(freebsdMadvise(c, 0, PAGE, 0)).toBe(EINVAL);
    expect(freebsdMadvise(c, at, -1, 0)).toBe(EINVAL);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});

describe('mincore', () => {
  it('tells what is mapped in, read and written', () => {
    const c = createFreebsdCaller();
    const at = mmap(c, 0, 4 * PAGE, RW, ANON);
    const file = mmap(c, at + 4 * PAGE, 2 * PAGE, R, PRIVATE | FIXED, { file: open(c) });
    const vec = mmap(c, 0, PAGE, RW, ANON);
    writeU32(c, at + PAGE, 1);
    readU32(c, file + PAGE);
    expect(freebsdMincore(c, at, 6 * PAGE, vec)).toBe(0);
    const bits = new Uint8Array(6);
    copyIn(c, vec, bits);
    expect([...bits.subarray(0, 4), bits[5]]).toEqual([0, 0x1f, 0, 0, 0x0b]);
    expect(freebsdMincore(c, at, 0, vec)).toBe(0);
    expect(freebsdMincore(c, at, 8 * PAGE, vec)).toBe(ENOMEM);
    expect(freebsdMincore(c, at - PAGE, PAGE, vec)).toBe(ENOMEM);
    expect(freebsdMincore(c, 2 ** 36, PAGE, vec)).toBe(ENOMEM);
    expect(() => freebsdMincore(c, at, PAGE, 8)).toThrow();
  });
});

describe('mlock', () => {
  it('locks all or nothing within RLIMIT_MEMLOCK', () => {
    const c = createFreebsdCaller({}, { limitMemlock: 8 * PAGE });
    const at = mmap(c, 0, 4 * PAGE, RW, ANON);
    const none = mmap(c, 0, PAGE, 0, ANON);
    const locked = () => c.mem.getU32(c.mm + Mm.lockedPages);
    expect(none).toBe(at + 4 * PAGE);
    expect(freebsdMlock(c, at, 5 * PAGE)).toBe(ENOMEM);
    expect(locked()).toBe(0);
    expect(freebsdMlock(c, at + 5, PAGE)).toBe(0);
    expect(locked()).toBe(2);
    // Pages that are locked already count again.
    expect(freebsdMlock(c, at, 4 * PAGE)).toBe(0);
    expect(freebsdMlock(c, at, 4 * PAGE + 1)).toBe(ENOMEM);
    expect(freebsdMlock(c, at, -PAGE)).toBe(EINVAL);
    expect(freebsdMunlock(c, at, 6 * PAGE)).toBe(ENOMEM);
    expect(locked()).toBe(4);
    expect(freebsdMunlock(c, at, 2 * PAGE)).toBe(0);
    expect(locked()).toBe(2);
    expect(freebsdMlockall(c, 0)).toBe(EINVAL);
    expect(freebsdMlockall(c, 4)).toBe(EINVAL);
    expect(freebsdMlockall(c, 3)).toBe(0);
    expect(locked()).toBe(4);
    expect(mmap(c, 0, 5 * PAGE, RW, ANON)).toBe(ENOMEM);
    const more = mmap(c, 0, 3 * PAGE, RW, ANON);
    expect(locked()).toBe(7);
    expect(freebsdMunlockall(c)).toBe(0);
    expect(locked()).toBe(0);
    expect(resolveFault(c, more, ACCESS_READ)).toBe(FAULT_HANDLED);
    expect(audit(c.mem, [c.mm])).toEqual([]);
  });
});
