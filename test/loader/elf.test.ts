import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseElf } from '../../src/loader/elf.js';
import { ELIBBAD, ENOEXEC, LoadError } from '../../src/loader/loadError.js';
import { type BuiltElf, buildElf, programFile } from './elfBuilder.js';

const parse = (elf: BuiltElf) => parseElf(programFile(buildElf(elf)));

/** The reason a file is refused for. */
function refusal(bytes: Uint8Array): string {
  try {
    parseElf(programFile(bytes));
  } catch (error) {
    expect(error).toBeInstanceOf(LoadError);
    expect((error as LoadError).errno).toBe(ENOEXEC);
    return (error as LoadError).message;
  }
  throw new Error('it was accepted');
}

describe('a valid program', () => {
  it('has its segments, entry and extent', () => {
    const image = parse({
      entry: 0x10078,
      segments: [
        { vaddr: 0x10000, fileSize: 0x800 },
        { offset: 0x800, vaddr: 0x11800, fileSize: 0x100, memorySize: 0x3000, flags: 6 },
        { type: 0x6474e551, flags: 7 },
      ],
    });
    expect(image).toMatchObject({
      relocatable: false,
      entry: 0x10078,
      low: 0x10000,
      span: 0x5000,
      executableStack: true,
      phnum: 3,
    });
    expect(image.segments).toHaveLength(2);
    expect(image.segments[1]).toMatchObject({
      vaddr: 0x11800,
      fileSize: 0x100,
      memorySize: 0x3000,
      flags: 6,
    });
  });

  it('names its interpreter without the NUL', () => {
    const name = new TextEncoder().encode('/lib/ld.so\0');
    const image = parse({
      type: 3,
      segments: [{ vaddr: 0 }, { type: 3, offset: 4000, fileSize: name.length }],
      put: [{ at: 4000, bytes: name }],
    });
    expect(image.relocatable).toBe(true);
    expect(new TextDecoder().decode(image.interpreter)).toBe('/lib/ld.so');
  });

  it('may have empty segments and segments in any order', () => {
    const image = parse({
      segments: [{ vaddr: 0x20000 }, { fileSize: 0, memorySize: 0 }, { vaddr: 0x10000 }],
    });
    expect(image.segments).toHaveLength(2);
    expect(image.low).toBe(0x10000);
  });
});

describe('the flavour of a program', () => {
  /** A note segment at 4000 with one note. */
  function withNote(name: string, type: number): BuiltElf {
    const bytes = new Uint8Array(24);
    const view = new DataView(bytes.buffer);
    [8, 4, type].forEach((word, i) => {
      view.setUint32(i * 4, word, true);
    });
    bytes.set(new TextEncoder().encode(name), 12);
    return {
      segments: [{}, { type: 4, offset: 4000, fileSize: 24, memorySize: 24, vaddr: 0x10fa0 }],
      put: [{ at: 4000, bytes }],
    };
  }

  it('is FreeBSD by its OS/ABI byte or its note, otherwise Linux', () => {
    expect(parse({}).freebsd).toBe(false);
    expect(parse({ osabi: 3 }).freebsd).toBe(false);
    expect(parse({ osabi: 9 }).freebsd).toBe(true);
    expect(parse(withNote('FreeBSD\0', 1)).freebsd).toBe(true);
    expect(parse(withNote('FreeBSD\0', 2)).freebsd).toBe(false);
    expect(parse(withNote('NetBSD\0\0', 1)).freebsd).toBe(false);
  });

  it('is not taken from notes that are broken', () => {
    const note = withNote('FreeBSD\0', 1);
    for (const fileSize of [0, 11, 13, 5000])
      expect(parse({ ...note, segments: [{}, { type: 4, offset: 4000, fileSize }] }).freebsd).toBe(false);
    expect(parse({ segments: [{}, { type: 4, offset: 8190, fileSize: 24 }] }).freebsd).toBe(false);
  });
});

describe('what is refused, and why', () => {
  const cases: [string, BuiltElf, RegExp][] = [
    ['a 32-bit program', { class: 1 }, /32-bit/],
    ['an invalid class', { class: 7 }, /class/],
    ['a big-endian program', { data: 2 }, /big-endian/],
    ['an invalid byte order', { data: 0 }, /byte order/],
    ['an unknown version', { version: 2 }, /version/],
    ['an x86-64 program', { machine: 62 }, /x86-64/],
    ['an unheard-of machine', { machine: 4711 }, /4711/],
    ['an object file', { type: 1 }, /object file/],
    ['a core file', { type: 4 }, /type 4/],
    ['RV64E', { flags: 8 }, /RV64E/],
    ['quad floats', { flags: 6 }, /quad/],
    ['program headers of the wrong size', { phentsize: 32 }, /32 bytes/],
    ['no program headers', { phnum: 0 }, /no program headers/],
    ['65535 program headers', { phnum: 65535 }, /too many/],
    ['program headers beyond the file', { phoff: 8190 }, /outside the file/],
    ['program headers beyond all files', { phoff: 2n ** 63n }, /outside the file/],
    ['no segment', { segments: [{ type: 4 }] }, /no segment/],
    ['a segment beyond the file', { segments: [{ fileSize: 9000 }] }, /truncated/],
    ['an offset beyond all files', { segments: [{ offset: 2n ** 64n - 4096n }] }, /outside the file/],
    ['more bytes in the file than in memory', { segments: [{ memorySize: 5 }] }, /larger in the file/],
    ['an address beyond the address space', { segments: [{ vaddr: 2n ** 40n }] }, /address space/],
    ['a size beyond the address space', { segments: [{ memorySize: 2n ** 62n }] }, /address space/],
    ['an address that wraps', { segments: [{ vaddr: 2n ** 64n - 4096n }] }, /address space/],
    ['an alignment that is no power of two', { segments: [{ align: 4095 }] }, /alignment/],
    ['an alignment beyond all', { segments: [{ align: 2n ** 50n }] }, /alignment/],
    ['address and offset that disagree', { segments: [{ vaddr: 0x10010 }] }, /agree/],
    ['overlapping segments', { segments: [{}, { vaddr: 0x10000 }] }, /overlap/],
    ['an interpreter name beyond the file', { segments: [{}, { type: 3, offset: 9000 }] }, /name outside/],
    ['an interpreter name without an end', { segments: [{}, { type: 3, fileSize: 64 }] }, /without an end/],
    ['an absurd interpreter name', { segments: [{}, { type: 3, fileSize: 2n ** 40n }] }, /absurd length/],
  ];
  it.each(cases)('%s', (_name, elf, reason) => {
    // The interpreter's name is looked for in the header, whose 64th byte is not zero when its type says so.
    const put = /without/.test(String(reason)) ? [{ at: 63, bytes: Uint8Array.of(1) }] : [];
    const message = refusal(buildElf({ put, ...elf }));
    expect(message).toMatch(reason);
    expect(message).not.toContain('\n');
  });

  it('an empty file, a text, and every truncated header', () => {
    expect(refusal(new Uint8Array(0))).toMatch(/empty/);
    expect(refusal(new TextEncoder().encode('hello, this is a text file, not a program'))).toMatch(
      /not an ELF/,
    );
    const whole = buildElf();
    for (let length = 4; length < 64 + 56; length++)
      expect(refusal(whole.subarray(0, length))).toMatch(/truncated|outside/);
  });

  it('a bad interpreter with ELIBBAD', () => {
    expect(() => parseElf(programFile(buildElf({ machine: 3 })), 'interpreter')).toThrowError(
      expect.objectContaining({ errno: ELIBBAD }),
    );
  });

  it('whatever else is wrong, only with a LoadError', () => {
    const valid = buildElf({
      segments: [
        { vaddr: 0x10000 },
        { offset: 4096, vaddr: 0x12000, flags: 6 },
        { type: 3, offset: 200, fileSize: 8 },
      ],
    });
    const change = fc.array(fc.tuple(fc.nat(64 + 3 * 56 - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(change, fc.nat(8192), (changes, length) => {
        const bytes = valid.slice(0, length);
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        try {
          const image = parseElf(programFile(bytes));
          expect(image.span).toBeLessThanOrEqual(2 ** 36);
          for (const s of image.segments) expect(s.offset + s.fileSize).toBeLessThanOrEqual(length);
        } catch (error) {
          expect(error).toBeInstanceOf(LoadError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
