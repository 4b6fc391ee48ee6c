import { WITHOUT_C } from '../isa/extensions.js';
import type { Caller } from '../memory/caller.js';
import {
  MAP_ANONYMOUS,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_STACK,
  MIN_PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../memory/linuxMemory.js';
import { isMapped } from '../memory/mappings.js';
import { copyOut } from '../memory/userAccess.js';
import { hasLonger, type PackedStrings } from '../memory/userStrings.js';
import { targetPageSize } from '../mm/pageRange.js';
import { targetMmap } from '../mm/targetMmap.js';
import { targetMunmap } from '../mm/targetMunmap.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { Mm } from '../sync/records/mm.js';
import { E2BIG, ENOMEM, LoadError } from './loadError.js';
import type { LoadedProgram } from './loadProgram.js';

/**
 * The stack a program starts on: argument and environment strings, the auxiliary vector, and argc at the stack pointer, laid
 * out as fs/binfmt_elf.c and fs/exec.c do for riscv.
 */

/** The default size (RLIMIT_STACK) of the first thread's stack. */
export const DEFAULT_STACK_SIZE = 8 * 1024 * 1024;
/** Where the stack ends when it fits there: the end of the first reach of the page tables, less room for other pages. */
const STACK_TOP = 0x1000_0000 - 0x10_0000;
/** A stack larger than this goes wherever there is room. */
const MAX_LOW_STACK = 64 * 1024 * 1024;

const STACK_FLAGS = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK;
/** Mapped below the stack pointer from the start (Linux: stack_expand). */
const STACK_EXPAND = 128 * 1024;

/** Longest single string, in pages, and largest share of the stack for all of them (MAX_ARG_STRLEN, _STK_LIM / 4 * 3). */
const MAX_STRING_PAGES = 32;
const MAX_STRINGS = 6 * 1024 * 1024;

const AT_NULL = 0;
const AT_PHDR = 3;
const AT_PHENT = 4;
const AT_PHNUM = 5;
const AT_PAGESZ = 6;
const AT_BASE = 7;
const AT_FLAGS = 8;
const AT_ENTRY = 9;
const AT_UID = 11;
const AT_EUID = 12;
const AT_GID = 13;
const AT_EGID = 14;
const AT_HWCAP = 16;
const AT_CLKTCK = 17;
const AT_SECURE = 23;
const AT_RANDOM = 25;
const AT_EXECFN = 31;
const AT_SYSINFO_EHDR = 33;

/** One bit a letter of the ISA string of a processor with `extensions`: I, M, A, F, D, C (asm/hwcap.h). */
export function hwcap(extensions: number): number {
  const letters = extensions & WITHOUT_C ? 'IMAFD' : 'IMAFDC';
  let bits = 0;
  for (let i = 0; i < letters.length; i++) bits |= 1 << (letters.charCodeAt(i) - 65);
  return bits;
}

export interface StackRequest {
  readonly program: LoadedProgram;
  readonly argv: readonly Uint8Array[];
  readonly envp: PackedStrings;
  /** The path given to execve (AT_EXECFN). */
  readonly execfn: Uint8Array;
  /** Bytes of stack (RLIMIT_STACK); unlimited and absurd sizes are cut. */
  readonly stackSize: number;
  /** Sixteen bytes for AT_RANDOM. */
  readonly random: Uint8Array;
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly egid: number;
  readonly secure: boolean;
  /** Address of the vDSO's ELF header, when there is one. */
  readonly sysinfoEhdr?: number;
}

export interface InitialStack {
  /** The stack pointer the program starts with: 16-byte aligned, argc there. */
  readonly sp: number;
  /** Bounds of the stack's mapping. */
  readonly bottom: number;
  readonly top: number;
}

/**
 * Refuses argument lists that are too long, before the point of no return: throws LoadError E2BIG as execve(2) describes.
 */
export function checkArguments(
  argv: readonly Uint8Array[],
  envp: PackedStrings,
  stackSize: number,
  pageSize: number,
): void {
  const mostString = MAX_STRING_PAGES * pageSize;
  let total = envp.bytes.length + 8 * envp.count;
  let isLong = hasLonger(envp, mostString - 1);
  for (const string of argv) {
    isLong ||= string.length + 1 > mostString;
    total += string.length + 1 + 8;
  }
  if (isLong) throw new LoadError(E2BIG, 'an argument is too long');
  const limit = Math.max(Math.min(stackSize / 4, MAX_STRINGS), mostString);
  if (total > limit) throw new LoadError(E2BIG, 'the argument list is too long');
}

/**
 * Maps the stack, fills it, and notes in the Mm record where it starts, where the strings are, and the auxiliary vector.
 * Throws LoadError (E2BIG, ENOMEM).
 */
export function buildInitialStack(c: Caller, request: StackRequest): InitialStack {
  const argv = request.argv.length === 0 ? [new Uint8Array(0)] : request.argv;
  checkArguments(argv, request.envp, request.stackSize, targetPageSize(c));
  const { program } = request;
  const room = stackRoom(c, request.stackSize);
  const whole = room ?? mapStack(c, request.stackSize, program.executableStack, MAP_GROWSDOWN);
  const { top } = whole;

  // Strings, from the top down: a null word, the program's name, the environment, the arguments.
  const { envp } = request;
  let strings = 8 + request.execfn.length + 1 + envp.bytes.length;
  for (const s of argv) strings += s.length + 1;
  const stringsAt = top - strings;
  const randomAt = Math.floor((stringsAt - 16) / 16) * 16;

  /** Keys and values by turns. */
  const auxv: number[] = [
    AT_HWCAP,
    hwcap(c.mem.getU32(c.mm + Mm.extensions)),
    AT_PAGESZ,
    targetPageSize(c),
    AT_CLKTCK,
    100,
    AT_PHDR,
    program.phdr,
    AT_PHENT,
    program.phent,
    AT_PHNUM,
    program.phnum,
    AT_BASE,
    program.base,
    AT_FLAGS,
    0,
    AT_ENTRY,
    program.programEntry,
    AT_UID,
    request.uid,
    AT_EUID,
    request.euid,
    AT_GID,
    request.gid,
    AT_EGID,
    request.egid,
    AT_SECURE,
    request.secure ? 1 : 0,
    AT_RANDOM,
    randomAt,
    AT_EXECFN,
    top - 8 - request.execfn.length - 1,
    AT_NULL,
    0,
  ];
  if (request.sysinfoEhdr !== undefined) auxv.unshift(AT_SYSINFO_EHDR, request.sysinfoEhdr);

  const words = 1 + argv.length + 1 + envp.count + 1 + auxv.length;
  const sp = Math.floor((randomAt - words * 8) / 16) * 16;
  const image = new Uint8Array(Math.ceil((top - sp) / 4) * 4).subarray(0, top - sp);
  const halves = new Uint32Array(image.buffer);
  let cursor = sp;
  const word = (value: number): void => {
    const i = (cursor - sp) >>> 2;
    // Both are taken modulo 2^32.
    halves[i] = value;
    halves[i + 1] = value / 0x1_0000_0000;
    cursor += 8;
  };
  let stringCursor = stringsAt;
  const string = (bytes: Uint8Array): number => {
    const at = stringCursor;
    image.set(bytes, at - sp);
    stringCursor += bytes.length + 1;
    return at;
  };

  word(argv.length);
  const argStart = stringCursor;
  for (const s of argv) word(string(s));
  word(0);
  const argEnd = stringCursor;
  image.set(envp.bytes, stringCursor - sp);
  for (let i = 0, at = 0; i < envp.count; i++) {
    word(stringCursor + at);
    at = envp.bytes.indexOf(0, at) + 1;
  }
  stringCursor += envp.bytes.length;
  word(0);
  const envEnd = stringCursor;
  string(request.execfn);
  const auxvAt = cursor - sp;
  for (const value of auxv) word(value);
  const auxvBytes = image.slice(auxvAt, cursor - sp);
  image.set(request.random.subarray(0, 16), randomAt - sp);
  let { bottom } = whole;
  c.mem.setU32(c.mm + Mm.stackTop, top / MIN_PAGE_SIZE);
  c.mem.setU32(c.mm + Mm.stackFloor, bottom / MIN_PAGE_SIZE);
  if (room !== undefined) {
    // What is written, and some more as Linux maps it; the rest when it is touched.
    const page = targetPageSize(c);
    bottom = Math.max(bottom, Math.floor(sp / page) * page - STACK_EXPAND);
    const prot = stackProtection(program.executableStack);
    const flags = STACK_FLAGS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE;
    const at = targetMmap(c, bottom, top - bottom, prot, flags, null, 0);
    if (at !== bottom) throw new LoadError(ENOMEM, 'no room for the stack');
  }
  copyOut(c, sp, image);

  noteStack(c, { sp, argStart, argEnd, envEnd, auxv: auxvBytes });
  return { sp, bottom, top };
}

/** What the Mm record tells /proc of a stack: where things are on it, and the auxiliary vector. */
export interface StackFacts {
  readonly sp: number;
  readonly argStart: number;
  /** Where the arguments end and the environment begins. */
  readonly argEnd: number;
  readonly envEnd: number;
  readonly auxv: Uint8Array;
}

/** Notes where things are on the initial stack. */
export function noteStack(c: Caller, facts: StackFacts): void {
  const { mem, mm } = c;
  const auxvBytes = facts.auxv;
  mem.set64(mm + Mm.startStack, facts.sp);
  mem.set64(mm + Mm.argStart, facts.argStart);
  mem.set64(mm + Mm.argEnd, facts.argEnd);
  mem.set64(mm + Mm.envStart, facts.argEnd);
  mem.set64(mm + Mm.envEnd, facts.envEnd);
  const old = mem.getU32(mm + Mm.auxv);
  const block = allocateBlock(mem, auxvBytes.length, c.thread);
  mem.u8.set(auxvBytes, block);
  mem.setU32(mm + Mm.auxv, block);
  mem.setU32(mm + Mm.auxvLength, auxvBytes.length);
  if (old !== 0) freeBlock(mem, old, c.thread);
}

/** A stack's bounds. */
interface StackBounds {
  readonly bottom: number;
  readonly top: number;
}

function sizeOfStack(c: Caller, stackSize: number): number {
  const page = targetPageSize(c);
  const most = Math.floor(c.mem.getU64(c.mm + Mm.taskSize) / 4);
  return Math.ceil(Math.min(Math.max(stackSize, 32 * page), most) / page) * page;
}

/** Where a stack of that size can grow down from, if it is not too large and there is nothing there. */
function stackRoom(c: Caller, stackSize: number): StackBounds | undefined {
  const { mem, mm } = c;
  const size = sizeOfStack(c, stackSize);
  const top = Math.min(STACK_TOP, mem.getU64(mm + Mm.taskSize) - 0x10_0000);
  const bottom = top - size;
  if (size > MAX_LOW_STACK || bottom <= 0) return undefined;
  return isMapped(mem, mm, bottom / MIN_PAGE_SIZE, top / MIN_PAGE_SIZE) ? undefined : { bottom, top };
}

function stackProtection(executable: boolean): number {
  return PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
}

/** Maps the first thread's stack whole, with `more` flags; its lowest address and its end. Throws LoadError. */
export function mapStack(c: Caller, stackSize: number, executable: boolean, more = 0): StackBounds {
  const page = targetPageSize(c);
  const size = sizeOfStack(c, stackSize);
  const prot = stackProtection(executable);
  const flags = STACK_FLAGS | MAP_NORESERVE | more;
  const room = stackRoom(c, stackSize);
  if (room !== undefined) {
    const at = targetMmap(c, room.bottom, size, prot, flags | MAP_FIXED_NOREPLACE, null, 0);
    if (at === room.bottom) return room;
  }
  // A page below it stays free of access, so that a stack that overflows hits nothing else.
  const guard = 16 * page;
  const at = targetMmap(c, 0, size + guard, prot, flags, null, 0);
  if (at < 0) throw new LoadError(ENOMEM, 'no room for the stack');
  targetMunmap(c, at, guard);
  return { bottom: at + guard, top: at + guard + size };
}
