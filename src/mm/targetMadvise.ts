import {
  ACCESS_READ,
  ACCESS_WRITE,
  type Caller,
  FAULT_ACCERR,
  FAULT_BUSERR,
  FAULT_HANDLED,
  FAULT_MAPERR,
} from '../memory/caller.js';
import { resolveFault } from '../memory/faults.js';
import { punchObject, zeroFileRange } from '../memory/filePages.js';
import {
  EACCES,
  EAGAIN,
  EFAULT,
  EINVAL,
  EIO,
  ENOMEM,
  EPERM,
  MIN_PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
} from '../memory/linuxMemory.js';
import { changeRange, dropPages } from '../memory/mappings.js';
import { firstEndingAfter, mappingAt } from '../memory/mappingTree.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import {
  MAPPING_DONTDUMP,
  MAPPING_DONTFORK,
  MAPPING_DROPPABLE,
  MAPPING_LOCKED,
  MAPPING_MAY_WRITE,
  MAPPING_RANDOM,
  MAPPING_SEQUENTIAL,
  MAPPING_SHARED,
  MAPPING_WIPEONFORK,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { F_SEAL_FUTURE_WRITE, SharedObject } from '../sync/records/sharedObject.js';
import { mayChangeFlags } from './limits.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, unsigned } from './pageRange.js';

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_DONTFORK = 10;
export const MADV_DOFORK = 11;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_DONTDUMP = 16;
export const MADV_DODUMP = 17;
export const MADV_WIPEONFORK = 18;
export const MADV_KEEPONFORK = 19;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_DONTNEED_LOCKED = 24;
export const MADV_HWPOISON = 100;
export const MADV_SOFT_OFFLINE = 101;

/** Advice that is right to take note of and do nothing about. */
const NO_EFFECT = new Set([
  MADV_WILLNEED,
  MADV_MERGEABLE,
  MADV_UNMERGEABLE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_COLD,
  MADV_PAGEOUT,
]);

const READ_AHEAD = MAPPING_RANDOM | MAPPING_SEQUENTIAL;

const FLAG_CHANGES = new Map([
  [MADV_NORMAL, { prot: -1, setFlags: 0, clearFlags: READ_AHEAD }],
  [MADV_RANDOM, { prot: -1, setFlags: MAPPING_RANDOM, clearFlags: MAPPING_SEQUENTIAL }],
  [MADV_SEQUENTIAL, { prot: -1, setFlags: MAPPING_SEQUENTIAL, clearFlags: MAPPING_RANDOM }],
  [MADV_DONTFORK, { prot: -1, setFlags: MAPPING_DONTFORK, clearFlags: 0 }],
  [MADV_DOFORK, { prot: -1, setFlags: 0, clearFlags: MAPPING_DONTFORK }],
  [MADV_DONTDUMP, { prot: -1, setFlags: MAPPING_DONTDUMP, clearFlags: 0 }],
  [MADV_DODUMP, { prot: -1, setFlags: 0, clearFlags: MAPPING_DONTDUMP }],
  [MADV_WIPEONFORK, { prot: -1, setFlags: MAPPING_WIPEONFORK, clearFlags: 0 }],
  [MADV_KEEPONFORK, { prot: -1, setFlags: 0, clearFlags: MAPPING_WIPEONFORK }],
]);

/**
 * madvise(2): 0 or −errno. MADV_DONTNEED and MADV_FREE drop private pages at once (the next access finds zeros, or the
 * file); unknown advice is EINVAL. Holes are skipped and answered with ENOMEM. KERNEL mode.
 */
export function targetMadvise(c: Caller, start: number, length: number, advice: number): number {
  const { mem, mm } = c;
  if (advice === MADV_HWPOISON || advice === MADV_SOFT_OFFLINE) return -EPERM;
  if (!isKnown(advice)) return -EINVAL;
  if (isUnaligned(c, start)) return -EINVAL;
  const size = pageAlign(c, length);
  if (length !== 0 && size === 0) return -EINVAL;
  const from = unsigned(start);
  if (from + size >= 2 ** 64) return -EINVAL;
  if (size === 0) return 0;
  const taskEnd = mem.getU64(mm + Mm.taskSize);
  if (from >= taskEnd) return -ENOMEM;
  const beyond = from + size > taskEnd;
  const first = from / MIN_PAGE_SIZE;
  const end = Math.min(from + size, taskEnd) / MIN_PAGE_SIZE;
  if (advice === MADV_POPULATE_READ || advice === MADV_POPULATE_WRITE) {
    if (beyond) return -ENOMEM;
    return populateRange(c, from, from + size, advice === MADV_POPULATE_WRITE ? ACCESS_WRITE : ACCESS_READ);
  }
  mmapLock(c);
  try {
    const result = adviseLocked(c, first, end, advice);
    return result === 0 && beyond ? -ENOMEM : result;
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -EAGAIN;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}

function isKnown(advice: number): boolean {
  return (
    NO_EFFECT.has(advice) ||
    FLAG_CHANGES.has(advice) ||
    advice === MADV_DONTNEED ||
    advice === MADV_DONTNEED_LOCKED ||
    advice === MADV_FREE ||
    advice === MADV_REMOVE ||
    advice === MADV_POPULATE_READ ||
    advice === MADV_POPULATE_WRITE
  );
}

function adviseLocked(c: Caller, first: number, end: number, advice: number): number {
  const { mem, mm } = c;
  let result = 0;
  let at = first;
  let mapping = firstEndingAfter(mem, mm, at);
  while (at < end) {
    if (mapping === 0 || mem.getU32(mapping + Mapping.start) >= end) return -ENOMEM;
    const start = mem.getU32(mapping + Mapping.start);
    if (start > at) {
      result = -ENOMEM;
      at = start;
    }
    const stop = Math.min(end, mem.getU32(mapping + Mapping.end));
    const error = adviseMapping(c, mapping, at, stop, advice);
    if (error < 0) return error;
    at = stop;
    // The record may have been joined with others.
    mapping = firstEndingAfter(mem, mm, at);
  }
  return result;
}

function adviseMapping(c: Caller, mapping: number, from: number, to: number, advice: number): number {
  const { mem } = c;
  const flags = mem.getU32(mapping + Mapping.flags);
  const object = mem.getU32(mapping + Mapping.object);
  if (NO_EFFECT.has(advice)) {
    return advice === MADV_COLD || advice === MADV_PAGEOUT ? (flags & MAPPING_LOCKED ? -EINVAL : 0) : 0;
  }
  const change = FLAG_CHANGES.get(advice);
  if (change !== undefined) {
    // Only private anonymous memory can be wiped.
    if (advice === MADV_WIPEONFORK && object !== 0) return -EINVAL;
    if (flags & MAPPING_DROPPABLE && (advice === MADV_KEEPONFORK || advice === MADV_DODUMP)) return -EINVAL;
    // Linux says EAGAIN for what may be had later.
    if (!mayChangeFlags(c, from, to, change.setFlags, change.clearFlags)) return -EAGAIN;
    changeRange(c, from, to, change);
    return 0;
  }
  switch (advice) {
    case MADV_FREE:
      if (flags & MAPPING_LOCKED || object !== 0) return -EINVAL;
      dropPages(c, from, to);
      return 0;
    case MADV_REMOVE: {
      if (flags & MAPPING_LOCKED || object === 0) return -EINVAL;
      if (!(flags & MAPPING_SHARED) || !(flags & MAPPING_MAY_WRITE)) return -EACCES;
      const offset = mem.getU32(mapping + Mapping.offset) + (from - mem.getU32(mapping + Mapping.start));
      const file = mem.getU32(mapping + Mapping.file);
      const [position, length] = [offset * MIN_PAGE_SIZE, (to - from) * MIN_PAGE_SIZE];
      if (file !== 0) return zeroFileRange(mem, file, position, length, c.thread) ? 0 : -EIO;
      if (mem.getU32(object + SharedObject.seals) & F_SEAL_FUTURE_WRITE) return -EPERM;
      punchObject(c, object, position, length);
      return 0;
    }
    default:
      if (flags & MAPPING_LOCKED && advice !== MADV_DONTNEED_LOCKED) return -EINVAL;
      dropPages(c, from, to);
      return 0;
  }
}

/** MADV_POPULATE_READ and _WRITE: faults everything in, mapping by mapping, and says what an access would have met. */
function populateRange(c: Caller, from: number, end: number, access: number): number {
  const { mem, mm } = c;
  const page = 1 << mem.getU32(MACHINE + Machine.hostPageShift);
  const needed = access === ACCESS_WRITE ? PROT_WRITE : PROT_READ;
  for (let at = from; at < end; ) {
    mmapLock(c);
    const mapping = mappingAt(mem, mm, at / MIN_PAGE_SIZE);
    const stop = mapping === 0 ? 0 : Math.min(end, mem.getU32(mapping + Mapping.end) * MIN_PAGE_SIZE);
    const prot = mapping === 0 ? 0 : mem.getU32(mapping + Mapping.prot);
    mmapUnlock(c);
    if (stop === 0) return -ENOMEM;
    if (!(prot & needed)) return -EINVAL;
    while (at < stop) {
      const outcome = resolveFault(c, at, access);
      if (outcome === FAULT_BUSERR) return -EFAULT;
      // Another thread has changed the mapping: look again.
      if (outcome === FAULT_MAPERR || outcome === FAULT_ACCERR) break;
      if (outcome !== FAULT_HANDLED) return -ENOMEM;
      at = Math.min(Math.floor(at / page) * page + page, stop);
    }
  }
  return 0;
}
