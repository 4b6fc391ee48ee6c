import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { buildInitialStack, hwcap } from '../../src/loader/initialStack.js';
import { E2BIG, ELIBBAD, ENOMEM, LoadError } from '../../src/loader/loadError.js';
import { mapProgram, PIE_BASE, type PreparedProgram, prepareProgram } from '../../src/loader/loadProgram.js';
import type { ProgramFile } from '../../src/loader/programFile.js';
import type { Caller } from '../../src/memory/caller.js';
import { openHostFile } from '../../src/memory/hostFile.js';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { copyIn, readCString, readU64 } from '../../src/memory/userAccess.js';
import { packStrings } from '../../src/memory/userStrings.js';
import { createMm } from '../../src/mm/addressSpace.js';
import { formatMaps } from '../../src/mm/pageDump.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { Mm } from '../../src/sync/records/mm.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';
import { type BuiltElf, buildElf, programFile } from './elfBuilder.js';

const folder = mkdtempSync(join(tmpdir(), 'guesthouse-test-'));
const opened: number[] = [];
afterAll(() => {
  for (const fd of opened) closeSync(fd);
  rmSync(folder, { recursive: true });
});

let mem: SharedMemory;
let c: Caller;
beforeEach(() => {
  mem = createMachineMemory({ bytes: 64 * 1024 * 1024 });
  c = { mem, thread: COORDINATOR, mm: createMm(mem, COORDINATOR) };
});

let files = 0;
/** The ELF file as a file of the host, which can be mapped. */
function hostFile(elf: BuiltElf): ProgramFile {
  const bytes = buildElf(elf);
  const path = join(folder, `program${files++}`);
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r');
  opened.push(fd);
  const file = openHostFile(mem, COORDINATOR, fd, false, statSync(path));
  return { ...programFile(bytes, path), mapped: { file, object: 0, readable: true, writable: false } };
}

const none = (): ProgramFile => {
  throw new Error('no interpreter is wanted');
};
const prepare = (elf: BuiltElf): PreparedProgram => prepareProgram(hostFile(elf), none);

function bytesAt(va: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  copyIn(c, va, bytes);
  return bytes;
}

/** Mappings as "from-to perms". */
const maps = () =>
  formatMaps(c)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(' ').slice(0, 2).join(' '));

const text = new TextEncoder().encode('text of the program');
const twoSegments: BuiltElf = {
  entry: 0x10078,
  segments: [
    { vaddr: 0x10000, fileSize: 0x1000, flags: 5 },
    { offset: 0x1800, vaddr: 0x12800, fileSize: 0x100, memorySize: 0x2000, flags: 6 },
  ],
  put: [
    { at: 0x400, bytes: text },
    { at: 0x1800, bytes: text },
    { at: 0x1900, bytes: new Uint8Array(0x700).fill(0xff) },
  ],
};

describe('mapping a program', () => {
  it('puts segments where they say, zeroes bss and the rest of its page, and sets the break', () => {
    const loaded = mapProgram(c, prepare(twoSegments));
    expect(maps()).toEqual(['00010000-00011000 r-xp', '00012000-00013000 rw-p', '00013000-00015000 rw-p']);
    expect(bytesAt(0x10400, text.length)).toEqual(text);
    expect(bytesAt(0x12800, text.length)).toEqual(text);
    expect(bytesAt(0x12900, 0x2700).every((byte) => byte === 0)).toBe(true);
    expect(loaded).toMatchObject({
      entry: 0x10078,
      programEntry: 0x10078,
      phdr: 0x10040,
      phent: 56,
      phnum: 2,
      base: 0,
      brkStart: 0x15000,
    });
    expect(mem.getU64(c.mm + Mm.brk)).toBe(0x15000);
    expect([Mm.startCode, Mm.endCode, Mm.startData, Mm.endData].map((f) => mem.getU64(c.mm + f))).toEqual([
      0x10000, 0x11000, 0x12800, 0x12900,
    ]);
  });

  it('puts a position-independent program low, aligned as it asks', () => {
    const loaded = mapProgram(
      c,
      prepare({ type: 3, entry: 0x100, segments: [{ vaddr: 0, align: 0x20_0000 }] }),
    );
    expect(loaded.entry).toBe(PIE_BASE + 0x100);
    expect(loaded.phdr).toBe(PIE_BASE + 64);
  });

  it('starts in the interpreter, which placement puts somewhere', () => {
    const name = new TextEncoder().encode('/lib/ld.so\0');
    const file = hostFile({
      type: 3,
      entry: 0x100,
      segments: [{ vaddr: 0 }, { type: 3, offset: 4000, fileSize: name.length }],
      put: [{ at: 4000, bytes: name }],
    });
    const interpreter = hostFile({ type: 3, entry: 0x200, segments: [{ vaddr: 0 }] });
    const loaded = mapProgram(
      c,
      prepareProgram(file, () => interpreter),
    );
    expect(loaded.programEntry).toBe(PIE_BASE + 0x100);
    expect(loaded.base).not.toBe(0);
    expect(loaded.entry).toBe(loaded.base + 0x200);
    expect(maps()).toHaveLength(2);
    expect(() => prepareProgram(file, () => hostFile({ type: 2 }))).toThrow(
      expect.objectContaining({ errno: ELIBBAD, message: expect.stringMatching(/\/lib\/ld\.so/) }),
    );
  });

  it('refuses what does not fit', () => {
    const small = { ...c, mm: createMm(mem, COORDINATOR, { taskSize: 256 * 1024 * 1024 }) };
    const far = prepare({ segments: [{ vaddr: 0x4000_0000 }] });
    expect(() => mapProgram(small, far)).toThrow(expect.objectContaining({ errno: ENOMEM }));
  });
});

describe('the initial stack', () => {
  const encode = (s: string) => new TextEncoder().encode(s);
  const decode = (va: number) => new TextDecoder().decode(readCString(c, va, 4096));
  const request = (argv: string[], envp: string[]) => ({
    program: mapProgram(c, prepare(twoSegments)),
    argv: argv.map(encode),
    envp: packStrings(envp.map(encode)),
    execfn: encode('/bin/program'),
    stackSize: 256 * 1024,
    random: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    uid: 1,
    euid: 2,
    gid: 3,
    egid: 4,
    secure: false,
  });

  it('holds argc, argv, envp and the auxiliary vector', () => {
    const stack = buildInitialStack(c, request(['program', 'one', ''], ['A=1', 'B=zwölf']));
    expect(stack.sp % 16).toBe(0);
    // What is written, and 128 KiB to grow into; the rest comes when it is touched.
    expect(stack.top - stack.bottom).toBe(132 * 1024);
    let at = stack.sp;
    const next = () => readU64(c, (at += 8) - 8);
    expect(next()).toBe(3);
    expect([decode(next()), decode(next()), decode(next()), next()]).toEqual(['program', 'one', '', 0]);
    expect([decode(next()), decode(next()), next()]).toEqual(['A=1', 'B=zwölf', 0]);
    const auxv = new Map<number, number>();
    for (let key = next(); key !== 0; key = next()) auxv.set(key, next());
    expect(Object.fromEntries(auxv)).toMatchObject({
      3: 0x10040, // AT_PHDR
      4: 56,
      5: 2,
      6: 4096,
      7: 0,
      9: 0x10078, // AT_ENTRY
      11: 1,
      12: 2,
      13: 3,
      14: 4,
      16: hwcap(0),
      17: 100,
      23: 0,
    });
    expect(hwcap(0)).toBe(0x112d);
    expect(decode(auxv.get(31) as number)).toBe('/bin/program');
    expect(bytesAt(auxv.get(25) as number, 16)).toEqual(Uint8Array.from({ length: 16 }, (_, i) => i + 1));
    const strings = (from: number, to: number) =>
      new TextDecoder().decode(
        bytesAt(mem.getU64(c.mm + from), mem.getU64(c.mm + to) - mem.getU64(c.mm + from)),
      );
    expect(strings(Mm.argStart, Mm.argEnd)).toBe('program\0one\0\0');
    expect(strings(Mm.envStart, Mm.envEnd)).toBe('A=1\0B=zwölf\0');
    expect(mem.getU32(c.mm + Mm.auxvLength)).toBe((auxv.size + 1) * 16);
  });

  it('gives an empty argument list one empty argument', () => {
    const stack = buildInitialStack(c, request([], []));
    expect(readU64(c, stack.sp)).toBe(1);
    expect(decode(readU64(c, stack.sp + 8))).toBe('');
  });

  it('refuses too much', () => {
    const long = request(['x'.repeat(32 * 4096)], []);
    expect(() => buildInitialStack(c, long)).toThrow(expect.objectContaining({ errno: E2BIG }));
    const many = { ...long, argv: Array.from({ length: 20_000 }, () => encode('argument')) };
    expect(() => buildInitialStack(c, many)).toThrow(LoadError);
  });
});
