import { allocateBlock, freeBlock } from '../sync/heap.js';
import { COPY_DONE, COPY_FULL, COPY_NEEDS_STRING, StringCopy } from '../sync/records/stringCopy.js';
import { enterGuest, leaveGuest } from '../sync/safepoint.js';
import { ACCESS_READ, type Caller, FAULT_HANDLED, UserFault } from './caller.js';
import { resolveFault } from './faults.js';
import { hotPaths } from './hotPaths/hotPaths.js';
import { readCString, readU64 } from './userAccess.js';

/** Strings behind each other, each with a NUL at its end: what a process has of its environment. */
export interface PackedStrings {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Room for strings that are copied at once: as many bytes pass without a safepoint. */
const ROOM = 16_000;

export function packStrings(strings: readonly Uint8Array[]): PackedStrings {
  let length = 0;
  for (const string of strings) length += string.length + 1;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const string of strings) {
    bytes.set(string, at);
    at += string.length + 1;
  }
  return { count: strings.length, bytes };
}

export function unpackStrings({ count, bytes }: PackedStrings): Uint8Array[] {
  const strings: Uint8Array[] = [];
  for (let i = 0, at = 0; i < count; i++) {
    const end = bytes.indexOf(0, at);
    strings.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return strings;
}

/** Whether one of the strings has more than `most` bytes. */
export function hasLonger({ count, bytes }: PackedStrings, most: number): boolean {
  if (bytes.length <= most) return false;
  for (let i = 0, at = 0; i < count; i++) {
    const end = bytes.indexOf(0, at);
    if (end - at > most) return true;
    at = end + 1;
  }
  return false;
}

/**
 * The strings of a NULL-terminated array of pointers at `va`, as execve(2) reads them; NULL itself stands for an empty one. Undefined where
 * they and their pointers have more than `most` bytes. In KERNEL mode with no lock held. Throws UserFault.
 */
export function copyStrings(c: Caller, va: number, most: number): PackedStrings | undefined {
  if (va === 0) return { count: 0, bytes: new Uint8Array(0) };
  if (va % 8 !== 0) return copySingly(c, va, most);
  const { mem, mm, thread } = c;
  const { copyStrings: proceed } = hotPaths(mem);
  const copy = allocateBlock(mem, StringCopy.SIZE + ROOM, thread);
  try {
    const begin = copy + StringCopy.SIZE;
    mem.set64(copy + StringCopy.pointers, va);
    mem.setU32(copy + StringCopy.to, begin);
    mem.setU32(copy + StringCopy.end, begin + ROOM);
    let bytes: Uint8Array | undefined;
    for (;;) {
      enterGuest(mem, thread);
      const stop = proceed(mm, copy);
      leaveGuest(mem, thread);
      if (stop === COPY_DONE || stop === COPY_FULL) {
        const more = mem.u8.slice(begin, mem.getU32(copy + StringCopy.to));
        bytes = bytes === undefined ? more : Buffer.concat([bytes, more]);
        const count = mem.getU32(copy + StringCopy.count);
        if (bytes.length + count * 8 > most) return undefined;
        if (stop === COPY_DONE) return { count, bytes };
        mem.setU32(copy + StringCopy.to, begin);
      } else {
        const field = stop === COPY_NEEDS_STRING ? StringCopy.string : StringCopy.pointers;
        const at = mem.getU64(copy + field);
        const outcome = resolveFault(c, at, ACCESS_READ);
        if (outcome !== FAULT_HANDLED) throw new UserFault(at, outcome);
      }
    }
  } finally {
    freeBlock(mem, copy, thread);
  }
}

/** copyStrings for pointers that may lie across two pages. */
function copySingly(c: Caller, va: number, most: number): PackedStrings | undefined {
  const strings: Uint8Array[] = [];
  let total = 0;
  for (;;) {
    const at = readU64(c, va + strings.length * 8);
    if (at === 0) return packStrings(strings);
    const string = readCString(c, at, most);
    if (string === undefined) return undefined;
    total += string.length + 9;
    if (total > most) return undefined;
    strings.push(string);
  }
}
