import type { Caller } from '../memory/caller.js';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MIN_PAGE_SIZE,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../memory/linuxMemory.js';
import { zeroUser } from '../memory/userAccess.js';
import { targetPageSize } from '../mm/pageRange.js';
import { targetMmap } from '../mm/targetMmap.js';
import { targetMunmap } from '../mm/targetMunmap.js';
import { Mm } from '../sync/records/mm.js';
import { type ElfImage, type LoadSegment, MAX_TASK_SIZE, PF_R, PF_W, PF_X, parseElf } from './elf.js';
import { ELIBBAD, ENOENT, ENOEXEC, ENOMEM, LoadError } from './loadError.js';
import type { ProgramFile } from './programFile.js';

/**
 * Loading a program into a new address space, as fs/binfmt_elf.c does, in two steps: `prepareProgram` finds everything wrong
 * while the caller of execve can still be told; `mapProgram` maps, and its failures kill the guest.
 */

/** Where position-independent programs go: low, so that they lie within the first reach of the page tables. */
export const PIE_BASE = 0x400_0000;

/** A program whose files have been checked. */
export interface PreparedProgram {
  readonly file: ProgramFile;
  readonly image: ElfImage;
  /** The program interpreter (dynamic linker), where the program names one. */
  readonly interpreter: { readonly file: ProgramFile; readonly image: ElfImage } | undefined;
  readonly executableStack: boolean;
}

/** Where things are after mapping; guest addresses. */
export interface LoadedProgram {
  /** Where the first instruction is: the interpreter's entry, or the program's. */
  readonly entry: number;
  /** The program's own entry (AT_ENTRY). */
  readonly programEntry: number;
  /** Program headers in memory (AT_PHDR), 0 when no segment holds them; their size and count. */
  readonly phdr: number;
  readonly phent: number;
  readonly phnum: number;
  /** Load address of the interpreter (AT_BASE), or 0. */
  readonly base: number;
  readonly brkStart: number;
  readonly startCode: number;
  readonly endCode: number;
  readonly startData: number;
  readonly endData: number;
  readonly executableStack: boolean;
}

/**
 * Checks the program and opens its interpreter. `openInterpreter` opens a guest path and throws (LoadError or the
 * kernel's own error) when it cannot. `pageSize`: of the address space to come. Throws LoadError.
 */
export function prepareProgram(
  file: ProgramFile,
  openInterpreter: (path: Uint8Array) => ProgramFile,
  pageSize = MIN_PAGE_SIZE,
): PreparedProgram {
  const image = imageOf(file, 'program', pageSize);
  const executableStack = image.executableStack ?? false;
  if (image.interpreter === undefined) return { file, image, interpreter: undefined, executableStack };
  const interpreterFile = openInterpreter(image.interpreter);
  try {
    const interpreter = imageOf(interpreterFile, 'interpreter', pageSize);
    if (!interpreter.relocatable) throw new LoadError(ELIBBAD, 'it is not position independent');
    return { file, image, interpreter: { file: interpreterFile, image: interpreter }, executableStack };
  } catch (error) {
    if (!(error instanceof LoadError)) throw error;
    const name = new TextDecoder().decode(image.interpreter);
    throw new LoadError(error.errno, `its interpreter ${name}: ${error.message}`);
  }
}

function imageOf(file: ProgramFile, role: 'program' | 'interpreter', pageSize: number): ElfImage {
  const key = `${role} ${pageSize}`;
  let image = file.images?.get(key);
  if (image === undefined) {
    image = parseElf(file, role, pageSize);
    file.images?.set(key, image);
  }
  return image;
}

/** The error for an interpreter that is missing: what `openInterpreter` throws. */
export function missingInterpreter(path: Uint8Array): LoadError {
  return new LoadError(ENOENT, `its interpreter ${new TextDecoder().decode(path)} is missing`);
}

/**
 * Maps the program and its interpreter into the (empty) address space of `c` and sets the break and the code and data
 * bounds in its Mm record. Throws LoadError when something does not fit.
 */
export function mapProgram(c: Caller, prepared: PreparedProgram): LoadedProgram {
  const { image } = prepared;
  const bias = image.relocatable ? placeProgram(c, image) : 0;
  mapImage(c, prepared.file, image, bias);

  let startCode = Infinity;
  let endCode = 0;
  let startData = 0;
  let endData = 0;
  let end = 0;
  let phdr = 0;
  for (const s of image.segments) {
    const from = s.vaddr + bias;
    startCode = Math.min(startCode, from);
    startData = Math.max(startData, from);
    if (s.flags & PF_X) endCode = Math.max(endCode, from + s.fileSize);
    endData = Math.max(endData, from + s.fileSize);
    end = Math.max(end, from + s.memorySize);
    if (image.phoff >= s.offset && image.phoff < s.offset + s.fileSize) phdr = from + image.phoff - s.offset;
  }
  const page = targetPageSize(c);
  const brkStart = Math.ceil(end / page) * page;

  const programEntry = image.entry + bias;
  let entry = programEntry;
  let base = 0;
  if (prepared.interpreter !== undefined) {
    const interpreter = prepared.interpreter;
    base = placeInterpreter(c, interpreter.image);
    mapImage(c, interpreter.file, interpreter.image, base);
    entry = interpreter.image.entry + base;
  }

  const { mem, mm } = c;
  mem.set64(mm + Mm.startCode, startCode);
  mem.set64(mm + Mm.endCode, endCode);
  mem.set64(mm + Mm.startData, startData);
  mem.set64(mm + Mm.endData, endData);
  mem.set64(mm + Mm.startBrk, brkStart);
  mem.set64(mm + Mm.brk, brkStart);
  return {
    entry,
    programEntry,
    phdr,
    phent: image.phentsize,
    phnum: image.phnum,
    base,
    brkStart,
    startCode,
    endCode,
    startData,
    endData,
    executableStack: prepared.executableStack,
  };
}

/** Load bias of a position-independent program: PIE_BASE where that fits, otherwise wherever there is room. */
function placeProgram(c: Caller, image: ElfImage): number {
  const want = Math.ceil(PIE_BASE / image.align) * image.align;
  if (want + image.span <= c.mem.getU64(c.mm + Mm.taskSize)) {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    const at = targetMmap(c, want, image.span, PROT_NONE, flags, null, 0);
    if (at === want) {
      targetMunmap(c, at, image.span);
      return want - image.low;
    }
    if (at >= 0) targetMunmap(c, at, image.span);
  }
  return placeInterpreter(c, image);
}

/** Load bias wherever placement finds room. */
function placeInterpreter(c: Caller, image: ElfImage): number {
  const slack = image.align > targetPageSize(c) ? image.align : 0;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const at = targetMmap(c, 0, image.span + slack, PROT_NONE, flags, null, 0);
  if (at < 0) throw new LoadError(-at, 'it does not fit into the address space');
  targetMunmap(c, at, image.span + slack);
  return Math.ceil(at / image.align) * image.align - image.low;
}

function mapImage(c: Caller, file: ProgramFile, image: ElfImage, bias: number): void {
  const taskSize = Math.min(c.mem.getU64(c.mm + Mm.taskSize), MAX_TASK_SIZE);
  if (image.low + bias + image.span > taskSize)
    throw new LoadError(ENOMEM, 'it does not fit into the address space');
  for (const segment of image.segments) mapSegment(c, file, segment, bias);
}

function mapSegment(c: Caller, file: ProgramFile, segment: LoadSegment, bias: number): void {
  const prot =
    (segment.flags & PF_R ? PROT_READ : 0) |
    (segment.flags & PF_W ? PROT_WRITE : 0) |
    (segment.flags & PF_X ? PROT_EXEC : 0);
  const from = segment.vaddr + bias;
  const page = targetPageSize(c);
  const inPage = from % page;
  const fileEnd = from + segment.fileSize;
  const memoryEnd = from + segment.memorySize;
  let mappedEnd = from - inPage;
  if (segment.fileSize > 0) {
    mappedEnd = Math.ceil(fileEnd / page) * page;
    check(
      targetMmap(
        c,
        from - inPage,
        mappedEnd - (from - inPage),
        prot,
        MAP_PRIVATE | MAP_FIXED,
        file.mapped,
        segment.offset - inPage,
      ),
    );
  }
  if (memoryEnd <= fileEnd) return;
  // The rest of the last page of the file's part is zero too, to its very end: the dynamic linker allocates there. In a
  // segment that cannot be written, Linux leaves it.
  if (mappedEnd > fileEnd && segment.fileSize > 0 && segment.flags & PF_W)
    zeroUser(c, fileEnd, mappedEnd - fileEnd);
  const zeroEnd = Math.ceil(memoryEnd / page) * page;
  if (zeroEnd > mappedEnd) {
    const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS;
    check(targetMmap(c, mappedEnd, zeroEnd - mappedEnd, prot, flags, null, 0));
  }
}

function check(result: number): void {
  if (result >= 0) return;
  if (result === -ENOMEM) throw new LoadError(ENOMEM, 'it does not fit into memory');
  throw new LoadError(ENOEXEC, 'a segment at an address that cannot be mapped');
}
