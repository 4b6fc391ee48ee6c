import { COORDINATOR } from '../sync/mutex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import { enterGuest, leaveGuest } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  type Caller,
  FAULT_HANDLED,
  FAULT_MAPERR,
  type FaultOutcome,
  UserFault,
} from './caller.js';
import { resolveFault } from './faults.js';

/**
 * Access to guest memory from system calls: what copy_from_user, copy_to_user and friends are to Linux. Every function
 * is called in KERNEL mode with no lock held that a thread in GUEST mode could need, enters GUEST mode for each stretch
 * that touches guest memory, handles page faults in between, and throws UserFault where the guest's own access would
 * have raised a signal. Guest addresses are JavaScript numbers; negative or huge ones simply fault.
 */
export { UserFault } from './caller.js';

/** Which access a span is for. */
export type UserAccess = 'read' | 'write';

/** Longest stretch of GUEST mode, so that whoever waits for a safepoint waits microseconds. */
const CHUNK = 128 * 1024;
/** Up to here a byte loop beats the set-up of a typed-array copy. */
const SMALL = 32;

/** Machine address of guest address `va` by the given table, or 0. GUEST mode (or no other thread may interfere). */
function lookUp(mem: SharedMemory, table: number, shift: number, va: number): number {
  const entry = mem.u32[(table + ((va / (1 << shift)) | 0) * 4) >>> 2];
  return entry === 0 ? 0 : (va + entry - 1) >>> 0;
}

function enter(c: Caller): void {
  if (c.thread !== COORDINATOR) enterGuest(c.mem, c.thread);
}
function leave(c: Caller): void {
  if (c.thread !== COORDINATOR) leaveGuest(c.mem, c.thread);
}

function tableField(access: number): number {
  return access === ACCESS_WRITE ? Mm.writeTable : Mm.readTable;
}

/**
 * Enters GUEST mode with the page of `va` accessible and returns the machine address of `va`. The caller leaves GUEST
 * mode. Throws UserFault (in KERNEL mode).
 */
function enterAt(c: Caller, va: number, access: number): number {
  const { mem, mm } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const field = mm + tableField(access);
  for (;;) {
    enter(c);
    if (va >= 0 && va < mem.getU64(mm + Mm.reach)) {
      const address = lookUp(mem, mem.getU32(field), shift, va);
      if (address !== 0) return address;
    }
    leave(c);
    const outcome = resolveFault(c, va, access);
    if (outcome !== FAULT_HANDLED) throw new UserFault(va, outcome);
  }
}

/**
 * In GUEST mode, with `address` the machine address of `va`: how many bytes from there, at most `wanted`, are accessible
 * and contiguous in the machine's memory.
 */
function contiguous(c: Caller, va: number, address: number, wanted: number, access: number): number {
  const { mem, mm } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const page = 1 << shift;
  let have = page - (address & (page - 1));
  if (have >= wanted) return wanted;
  const table = mem.getU32(mm + tableField(access));
  const reach = mem.getU64(mm + Mm.reach);
  while (have < wanted && va + have < reach && lookUp(mem, table, shift, va + have) === address + have) {
    have += page;
  }
  return Math.min(have, wanted);
}

/** Copies `dst.length` bytes of guest memory at `va` into `dst`. */
export function copyIn(c: Caller, va: number, dst: Uint8Array): void {
  const { mem } = c;
  const length = dst.length;
  for (let done = 0; done < length; ) {
    const address = enterAt(c, va + done, ACCESS_READ);
    const n = contiguous(c, va + done, address, Math.min(length - done, CHUNK), ACCESS_READ);
    if (n <= SMALL) for (let i = 0; i < n; i++) dst[done + i] = mem.u8[address + i];
    else dst.set(mem.u8.subarray(address, address + n), done);
    leave(c);
    done += n;
  }
}

/** Copies `src` into guest memory at `va`. What was copied before a fault stays. */
export function copyOut(c: Caller, va: number, src: Uint8Array): void {
  const { mem } = c;
  const length = src.length;
  for (let done = 0; done < length; ) {
    const address = enterAt(c, va + done, ACCESS_WRITE);
    const n = contiguous(c, va + done, address, Math.min(length - done, CHUNK), ACCESS_WRITE);
    if (n <= SMALL) for (let i = 0; i < n; i++) mem.u8[address + i] = src[done + i];
    else mem.u8.set(done === 0 && n === length ? src : src.subarray(done, done + n), address);
    leave(c);
    done += n;
  }
}

/** Sets `length` bytes of guest memory at `va` to zero. */
export function zeroUser(c: Caller, va: number, length: number): void {
  const { mem } = c;
  for (let done = 0; done < length; ) {
    const address = enterAt(c, va + done, ACCESS_WRITE);
    const n = contiguous(c, va + done, address, Math.min(length - done, CHUNK), ACCESS_WRITE);
    mem.u8.fill(0, address, address + n);
    leave(c);
    done += n;
  }
}

/**
 * The NUL-terminated string at `va` without its NUL, or undefined when there is no NUL within `max` bytes (the caller
 * answers ENAMETOOLONG or E2BIG). Reads no page beyond the one with the NUL.
 */
export function readCString(c: Caller, va: number, max: number): Uint8Array | undefined {
  const { mem } = c;
  let head: Uint8Array | undefined;
  for (let done = 0; done < max; ) {
    const address = enterAt(c, va + done, ACCESS_READ);
    const page = 1 << mem.getU32(MACHINE + Machine.hostPageShift);
    const n = Math.min(max - done, page - (address & (page - 1)));
    const end = endOfString(mem, address, address + n);
    const piece = mem.u8.slice(address, end);
    leave(c);
    if (head === undefined) head = piece;
    else {
      const joined = new Uint8Array(head.length + piece.length);
      joined.set(head);
      joined.set(piece, head.length);
      head = joined;
    }
    if (end < address + n) return head;
    done += n;
  }
  return undefined;
}

/** The first zero byte of [from, to), or `to`. */
function endOfString({ u8, u32 }: SharedMemory, from: number, to: number): number {
  let at = from;
  for (; (at & 3) !== 0 && at < to; at++) if (u8[at] === 0) return at;
  // Four bytes at a time, until one of them is zero.
  for (; at + 4 <= to; at += 4) {
    const word = u32[at >>> 2];
    if (((word - 0x0101_0101) & ~word & 0x8080_8080) !== 0) break;
  }
  while (at < to && u8[at] !== 0) at++;
  return at;
}

/**
 * Calls `body(machineAddress, length)` for the runs of machine memory behind [va, va+length), in GUEST mode, for direct
 * host I/O. `body` returns how many bytes it did; less than `length` ends the walk. Returns the bytes done. A fault
 * after the first byte ends the walk, as in Linux's read and write; one before it throws UserFault.
 */
export function forEachSpan(
  c: Caller,
  va: number,
  length: number,
  access: UserAccess,
  body: (machineAddress: number, length: number) => number,
): number {
  const kind = access === 'write' ? ACCESS_WRITE : ACCESS_READ;
  let done = 0;
  while (done < length) {
    let address: number;
    try {
      address = enterAt(c, va + done, kind);
    } catch (error) {
      if (done > 0 && error instanceof UserFault) return done;
      throw error;
    }
    try {
      const n = contiguous(c, va + done, address, Math.min(length - done, CHUNK), kind);
      const did = body(address, n);
      done += did;
      if (did < n) return done;
    } finally {
      leave(c);
    }
    // Bring the next stretch in by the page, so that a span is as long as what is mapped.
    if (done < length) prefault(c, va + done, Math.min(length - done, CHUNK), kind);
  }
  return done;
}

/** Makes the pages of a range present as far as they can be; says nothing about those that cannot. */
function prefault(c: Caller, va: number, length: number, access: number): void {
  const page = 1 << c.mem.getU32(MACHINE + Machine.hostPageShift);
  for (let at = va; at < va + length; at = Math.floor(at / page) * page + page) {
    if (faultIn(c, at, access) !== FAULT_HANDLED) return;
  }
}

/** Resolves the fault at `va` unless the page is accessible already. */
function faultIn(c: Caller, va: number, access: number): FaultOutcome {
  const { mem, mm } = c;
  if (!(va >= 0)) return FAULT_MAPERR;
  // In KERNEL mode the tables may move under us; the peek is only a hint, resolveFault is exact.
  enter(c);
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const present =
    va < mem.getU64(mm + Mm.reach) && lookUp(mem, mem.getU32(mm + tableField(access)), shift, va) !== 0;
  leave(c);
  return present ? FAULT_HANDLED : resolveFault(c, va, access);
}

/** Whether every byte of [va, va+length) could be accessed now; brings the pages in. */
export function probe(c: Caller, va: number, length: number, access: UserAccess): boolean {
  if (length <= 0) return true;
  const kind = access === 'write' ? ACCESS_WRITE : ACCESS_READ;
  const page = 1 << c.mem.getU32(MACHINE + Machine.hostPageShift);
  for (let at = va; at < va + length; at = Math.floor(at / page) * page + page) {
    if (faultIn(c, at, kind) !== FAULT_HANDLED) return false;
  }
  return true;
}

/**
 * Machine address behind `va`, brought in for `access`. It is a name for the page (shared futexes), valid while the
 * page stays mapped; it must not be dereferenced outside GUEST mode.
 */
export function translate(c: Caller, va: number, access: UserAccess): number {
  const address = enterAt(c, va, access === 'write' ? ACCESS_WRITE : ACCESS_READ);
  leave(c);
  return address;
}

// --- single values; `va` may be misaligned and may straddle pages ---

const scratch = new DataView(new ArrayBuffer(8));
const scratchBytes = new Uint8Array(scratch.buffer);

/** Copies `size` bytes at `va` into the scratch, in one piece when they lie in one page. */
function load(c: Caller, va: number, size: number): void {
  const { mem } = c;
  const address = enterAt(c, va, ACCESS_READ);
  const page = 1 << mem.getU32(MACHINE + Machine.hostPageShift);
  if ((address & (page - 1)) + size <= page) {
    for (let i = 0; i < size; i++) scratchBytes[i] = mem.u8[address + i];
    leave(c);
    return;
  }
  leave(c);
  copyIn(c, va, size === 8 ? scratchBytes : scratchBytes.subarray(0, size));
}

function store(c: Caller, va: number, size: number): void {
  copyOut(c, va, size === 8 ? scratchBytes : scratchBytes.subarray(0, size));
}

export function readU8(c: Caller, va: number): number {
  const address = enterAt(c, va, ACCESS_READ);
  const value = c.mem.u8[address];
  leave(c);
  return value;
}

export function readU16(c: Caller, va: number): number {
  load(c, va, 2);
  return scratch.getUint16(0, true);
}

export function readU32(c: Caller, va: number): number {
  if (va % 4 === 0) {
    const address = enterAt(c, va, ACCESS_READ);
    const value = c.mem.u32[address >>> 2];
    leave(c);
    return value;
  }
  load(c, va, 4);
  return scratch.getUint32(0, true);
}

export function readI32(c: Caller, va: number): number {
  return readU32(c, va) | 0;
}

/** The signed 64-bit value at `va` as a number: exact within ±2^53. */
export function readI64(c: Caller, va: number): number {
  load(c, va, 8);
  return scratch.getUint32(0, true) + scratch.getInt32(4, true) * 0x1_0000_0000;
}

/** The unsigned 64-bit value at `va` as a number: exact below 2^53. */
export function readU64(c: Caller, va: number): number {
  load(c, va, 8);
  return scratch.getUint32(0, true) + scratch.getUint32(4, true) * 0x1_0000_0000;
}

export function readU64Big(c: Caller, va: number): bigint {
  load(c, va, 8);
  return scratch.getBigUint64(0, true);
}

export function writeU8(c: Caller, va: number, value: number): void {
  const address = enterAt(c, va, ACCESS_WRITE);
  c.mem.u8[address] = value;
  leave(c);
}

export function writeU16(c: Caller, va: number, value: number): void {
  scratch.setUint16(0, value, true);
  store(c, va, 2);
}

export function writeU32(c: Caller, va: number, value: number): void {
  if (va % 4 === 0) {
    const address = enterAt(c, va, ACCESS_WRITE);
    c.mem.u32[address >>> 2] = value;
    leave(c);
    return;
  }
  scratch.setUint32(0, value, true);
  store(c, va, 4);
}

export function writeI32(c: Caller, va: number, value: number): void {
  writeU32(c, va, value);
}

/** Stores an integer within ±2^53 as 64 bits, two's complement. */
export function write64(c: Caller, va: number, value: number): void {
  scratch.setUint32(0, value >>> 0, true);
  scratch.setUint32(4, Math.floor(value / 0x1_0000_0000) >>> 0, true);
  store(c, va, 8);
}

export function writeU64Big(c: Caller, va: number, value: bigint): void {
  scratch.setBigUint64(0, value, true);
  store(c, va, 8);
}

// --- atomics, for futex words; `va` must be a multiple of 4 (else the caller has answered EINVAL) ---

/** Atomic load of the unsigned 32-bit word at `va`. */
export function loadU32(c: Caller, va: number): number {
  const address = enterAt(c, va, ACCESS_READ);
  const value = Atomics.load(c.mem.u32, address >>> 2);
  leave(c);
  return value;
}

/** Atomic compare-exchange of the word at `va`; returns what was there (done when that equals `expected`). */
export function compareExchangeU32(c: Caller, va: number, expected: number, replacement: number): number {
  const address = enterAt(c, va, ACCESS_WRITE);
  const seen = Atomics.compareExchange(c.mem.u32, address >>> 2, expected >>> 0, replacement >>> 0);
  leave(c);
  return seen;
}

/** Atomically replaces the word at `va` by `update(word)`; returns the word before. */
export function atomicUpdateU32(c: Caller, va: number, update: (word: number) => number): number {
  const address = enterAt(c, va, ACCESS_WRITE);
  const index = address >>> 2;
  for (let word = Atomics.load(c.mem.u32, index); ; ) {
    const seen = Atomics.compareExchange(c.mem.u32, index, word, update(word) >>> 0);
    if (seen === word) {
      leave(c);
      return word;
    }
    word = seen;
  }
}
