import { MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { ELIBBAD, ENOEXEC, LoadError } from './loadError.js';
import { type ProgramFile, readExactly } from './programFile.js';

/**
 * Reading and checking ELF files: everything that can be known to be wrong before the caller's address space is given up.
 * The layout is that of elf(5); what is refused follows Linux's fs/binfmt_elf.c, and beyond it whatever could only end in
 * a program that cannot run (a truncated segment, overlapping segments).
 */

/** Addresses no program may be loaded at or beyond (TASK_SIZE of the widest machine). */
export const MAX_TASK_SIZE = 2 ** 36;

const EM_RISCV = 243;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_NOTE = 4;
const PT_GNU_STACK = 0x6474e551;
const OSABI_FREEBSD = 9;
/** Type of the note that says for which FreeBSD a program was made, and the most bytes of notes that are looked at. */
const NT_FREEBSD_ABI_TAG = 1;
const MOST_NOTE_BYTES = 4096;
const HEADER_BYTES = 64;
const PHDR_BYTES = 56;
const MAX_PHDR_BYTES = 65536;
const PATH_MAX = 4096;
/** e_flags: embedded (16-register) ABI, and the float ABI field with its quad-precision value. */
const EF_RVE = 0x8;
const EF_FLOAT_ABI = 0x6;
const EF_FLOAT_ABI_QUAD = 0x6;

/** Segment permissions (p_flags). */
export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

/** A PT_LOAD segment; all in bytes. */
export interface LoadSegment {
  readonly offset: number;
  readonly vaddr: number;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly align: number;
  /** PF_R | PF_W | PF_X. */
  readonly flags: number;
}

/** A checked ELF file. */
export interface ElfImage {
  /** Whether it may be placed anywhere (ET_DYN). */
  readonly relocatable: boolean;
  readonly entry: number;
  /** Where its program headers are in the file, and how many. */
  readonly phoff: number;
  readonly phnum: number;
  readonly phentsize: number;
  readonly segments: readonly LoadSegment[];
  /** Path of the program interpreter (PT_INTERP), without its NUL, or undefined. */
  readonly interpreter: Uint8Array | undefined;
  /** Whether the stack is to be executable; undefined when the file does not say. */
  readonly executableStack: boolean | undefined;
  /** Unrelocated extent of the segments, page aligned: lowest address and bytes up to the highest. */
  readonly low: number;
  readonly span: number;
  /** The greatest alignment a segment asks for. */
  readonly align: number;
  /** The program is FreeBSD's, by its OS/ABI byte or its note; otherwise Linux's. */
  readonly freebsd: boolean;
}

const MACHINES: Record<number, string> = {
  2: 'SPARC',
  3: 'x86 (32-bit)',
  8: 'MIPS',
  20: 'PowerPC',
  21: 'PowerPC64',
  22: 'S/390',
  40: 'ARM (32-bit)',
  62: 'x86-64',
  183: 'AArch64',
  258: 'LoongArch',
};

/**
 * Parses and checks the ELF file for pages of `pageSize` bytes. `role` decides the error number: a program that cannot be
 * run is ENOEXEC, an interpreter ELIBBAD. Throws LoadError.
 */
export function parseElf(
  file: ProgramFile,
  role: 'program' | 'interpreter' = 'program',
  pageSize = MIN_PAGE_SIZE,
): ElfImage {
  const errno = role === 'program' ? ENOEXEC : ELIBBAD;
  const fail = (reason: string): never => {
    throw new LoadError(errno, reason);
  };

  const head = new Uint8Array(HEADER_BYTES);
  const headLength = file.read(0, head);
  if (headLength < 4 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46)
    fail(headLength === 0 ? 'the file is empty' : 'not an ELF file');
  if (headLength < 20) fail('truncated ELF header');
  const view = new DataView(head.buffer);
  if (head[4] === 1) fail('a 32-bit program (only 64-bit RISC-V is supported)');
  if (head[4] !== 2) fail('ELF header with an invalid class');
  if (head[5] === 2) fail('a big-endian program (only little-endian RISC-V is supported)');
  if (head[5] !== 1) fail('ELF header with an invalid byte order');
  if (head[6] !== 1) fail('ELF header with an unknown version');
  const machine = view.getUint16(18, true);
  if (machine !== EM_RISCV)
    fail(`a program for ${MACHINES[machine] ?? `machine ${machine}`}, not for RISC-V`);
  if (headLength < HEADER_BYTES) fail('truncated ELF header');
  const type = view.getUint16(16, true);
  if (type !== ET_EXEC && type !== ET_DYN)
    fail(type === 1 ? 'an object file, not an executable' : `not an executable (ELF type ${type})`);
  const flags = view.getUint32(48, true);
  if (flags & EF_RVE) fail('a program for the RV64E register set');
  if ((flags & EF_FLOAT_ABI) === EF_FLOAT_ABI_QUAD) fail('a program for the quad-precision float ABI');

  const phentsize = view.getUint16(54, true);
  const phnum = view.getUint16(56, true);
  if (phentsize !== PHDR_BYTES) fail(`program headers of ${phentsize} bytes instead of ${PHDR_BYTES}`);
  if (phnum === 0) fail('no program headers');
  if (phnum * PHDR_BYTES > MAX_PHDR_BYTES) fail(`too many program headers (${phnum})`);
  const phoff = exact(view, 32) ?? fail('program headers outside the file');
  const table = readExactly(file, phoff, phnum * PHDR_BYTES) ?? fail('program headers outside the file');

  const segments: LoadSegment[] = [];
  let interpreter: Uint8Array | undefined;
  let executableStack: boolean | undefined;
  let freebsd = head[7] === OSABI_FREEBSD;
  const phdrs = new DataView(table.buffer);
  for (let i = 0; i < phnum; i++) {
    const at = i * PHDR_BYTES;
    const kind = phdrs.getUint32(at, true);
    if (kind === PT_GNU_STACK) executableStack = (phdrs.getUint32(at + 4, true) & PF_X) !== 0;
    else if (kind === PT_LOAD) {
      const segment = readSegment(phdrs, at, file.size, pageSize, fail);
      if (segment.memorySize > 0) segments.push(segment);
    } else if (kind === PT_NOTE) freebsd = freebsd || hasFreebsdNote(file, phdrs, at);
    else if (kind === PT_INTERP && interpreter === undefined && role === 'program') {
      interpreter = readInterpreter(file, phdrs, at, fail);
    }
  }
  if (segments.length === 0) fail('no segment to load');
  checkOverlaps(segments, fail);
  if (pageSize > MIN_PAGE_SIZE) checkSharedPages(segments, pageSize, fail);

  let low = Infinity;
  let high = 0;
  let align = pageSize;
  for (const s of segments) {
    low = Math.min(low, Math.floor(s.vaddr / pageSize) * pageSize);
    high = Math.max(high, Math.ceil((s.vaddr + s.memorySize) / pageSize) * pageSize);
    align = Math.max(align, s.align);
  }
  const entry = exact(view, 24) ?? fail('an entry point outside the address space');
  return {
    relocatable: type === ET_DYN,
    entry,
    phoff,
    phnum,
    phentsize,
    segments,
    interpreter,
    executableStack,
    low,
    span: high - low,
    align,
    freebsd,
  };
}

type Fail = (reason: string) => never;

function readSegment(
  view: DataView,
  at: number,
  fileSize: number,
  pageSize: number,
  fail: Fail,
): LoadSegment {
  const outside = 'a segment outside the address space';
  const offset = exact(view, at + 8) ?? fail('a segment outside the file');
  const vaddr = exact(view, at + 16) ?? fail(outside);
  const inFile = exact(view, at + 32) ?? fail('a segment outside the file');
  const inMemory = exact(view, at + 40) ?? fail(outside);
  const align = exact(view, at + 48) ?? fail('a segment with an absurd alignment');
  if (inFile > inMemory) fail('a segment larger in the file than in memory');
  if (vaddr >= MAX_TASK_SIZE || vaddr + inMemory > MAX_TASK_SIZE) fail(outside);
  if (inFile > 0 && offset + inFile > fileSize) fail('truncated: a segment ends beyond the file');
  if (align > 1 && (align > MAX_TASK_SIZE || 2 ** Math.round(Math.log2(align)) !== align))
    fail('a segment with an absurd alignment');
  if (inFile > 0 && offset % MIN_PAGE_SIZE !== vaddr % MIN_PAGE_SIZE)
    fail('a segment whose address and file offset do not agree within a page');
  // Linux finds out when it maps the segment, gets EINVAL, and kills the process that has already been given up.
  if (inFile > 0 && offset % pageSize !== vaddr % pageSize) fail(smallerPages(pageSize));
  return {
    offset,
    vaddr,
    fileSize: inFile,
    memorySize: inMemory,
    align: Math.max(align, 1),
    flags: view.getUint32(at + 4, true),
  };
}

function readInterpreter(file: ProgramFile, view: DataView, at: number, fail: Fail): Uint8Array {
  const offset = exact(view, at + 8) ?? fail('an interpreter name outside the file');
  const size = exact(view, at + 32) ?? fail('an interpreter name outside the file');
  if (size < 2 || size > PATH_MAX) fail('an interpreter name of absurd length');
  const name = readExactly(file, offset, size) ?? fail('an interpreter name outside the file');
  if (name[size - 1] !== 0) fail('an interpreter name without an end');
  return name.slice(0, name.indexOf(0));
}

/** Whether a note segment holds FreeBSD's ABI tag (sys/kern/imgact_elf.c). Broken notes say nothing. */
function hasFreebsdNote(file: ProgramFile, view: DataView, at: number): boolean {
  const offset = exact(view, at + 8);
  const size = exact(view, at + 32);
  if (offset === undefined || size === undefined || size > MOST_NOTE_BYTES) return false;
  const bytes = readExactly(file, offset, size);
  if (bytes === undefined) return false;
  const notes = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let i = 0; i + 12 <= size; ) {
    const nameSize = notes.getUint32(i, true);
    const descriptionSize = notes.getUint32(i + 4, true);
    const isTag = notes.getUint32(i + 8, true) === NT_FREEBSD_ABI_TAG;
    const name = String.fromCharCode(...bytes.subarray(i + 12, Math.min(i + 20, size)));
    if (isTag && nameSize === 8 && name === 'FreeBSD\0') return true;
    i += 12 + Math.ceil(nameSize / 4) * 4 + Math.ceil(descriptionSize / 4) * 4;
  }
  return false;
}

function checkOverlaps(segments: readonly LoadSegment[], fail: Fail): void {
  const sorted = [...segments].sort((a, b) => a.vaddr - b.vaddr);
  for (let i = 1; i < sorted.length; i++) {
    if (sorted[i - 1].vaddr + sorted[i - 1].memorySize > sorted[i].vaddr) fail('segments that overlap');
  }
}

/**
 * Segments made for smaller pages may share one, which the later segment gets with its protection: code or data of the
 * earlier one could not be used there. Linux starts such a program, which then dies.
 */
function checkSharedPages(segments: readonly LoadSegment[], pageSize: number, fail: Fail): void {
  for (const [i, later] of segments.entries()) {
    for (const earlier of segments.slice(0, i)) {
      const shares =
        Math.floor(later.vaddr / pageSize) <=
          Math.floor((earlier.vaddr + earlier.memorySize - 1) / pageSize) &&
        Math.floor(earlier.vaddr / pageSize) <= Math.floor((later.vaddr + later.memorySize - 1) / pageSize);
      if (shares && (earlier.flags & ~later.flags) !== 0) fail(smallerPages(pageSize));
    }
  }
}

function smallerPages(pageSize: number): string {
  return `its segments are aligned for pages smaller than ${pageSize / 1024} KiB (link with -z max-page-size=${pageSize})`;
}

/** The unsigned 64-bit field at `at`, or undefined where it is not exact as a number (and so absurd here). */
function exact(view: DataView, at: number): number | undefined {
  const high = view.getUint32(at + 4, true);
  if (high >= 0x20_0000) return undefined;
  return high * 0x1_0000_0000 + view.getUint32(at, true);
}
