import type { Caller } from '../memory/caller.js';
import { lockLimit } from '../memory/caller.js';
import {
  EAGAIN,
  EINVAL,
  ENOMEM,
  EPERM,
  MCL_CURRENT,
  MCL_FUTURE,
  MCL_ONFAULT,
  MIN_PAGE_SIZE,
} from '../memory/linuxMemory.js';
import { changeRange } from '../memory/mappings.js';
import { firstEndingAfter, firstMapping } from '../memory/mappingTree.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { MAPPING_LOCK_ON_FAULT, MAPPING_LOCKED, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { mayChangeFlags, mayLock } from './limits.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { pageAlign, targetPageSize, unsigned } from './pageRange.js';
import { populateMapped } from './populate.js';

/** There is no swap, so locking is bookkeeping against RLIMIT_MEMLOCK, and bringing the pages in. */
export const MLOCK_ONFAULT = 1;

/** mlock(2): 0 or −errno. */
export function targetMlock(c: Caller, start: number, length: number): number {
  return lockRange(c, start, length, MAPPING_LOCKED);
}

/** mlock2(2): 0 or −errno. */
export function targetMlock2(c: Caller, start: number, length: number, flags: number): number {
  if (flags & ~MLOCK_ONFAULT) return -EINVAL;
  return lockRange(c, start, length, MAPPING_LOCKED | (flags & MLOCK_ONFAULT ? MAPPING_LOCK_ON_FAULT : 0));
}

/** munlock(2): 0 or −errno. */
export function targetMunlock(c: Caller, start: number, length: number): number {
  return lockRange(c, start, length, 0);
}

function lockRange(c: Caller, start: number, length: number, set: number): number {
  const { mem, mm } = c;
  if (set !== 0 && lockLimit(c) === 0) return -EPERM;
  // On the signed numbers, which are exact near 2^64.
  const page = targetPageSize(c);
  const inPage = ((start % page) + page) % page;
  const from = unsigned(start - inPage) / MIN_PAGE_SIZE;
  // As 64-bit numbers do, the sum may wrap: to a small length, or to none.
  const size = pageAlign(c, length + inPage);
  // Whoever has too much locked already may not even lock nothing.
  if (size === 0) return set !== 0 && !mayLock(c, 0) ? -ENOMEM : 0;
  const overflows = from * MIN_PAGE_SIZE + size >= 2 ** 64;
  const to = from + size / MIN_PAGE_SIZE;
  if (overflows && (set === 0 || size <= lockLimit(c))) return -EINVAL;
  if (overflows || from * MIN_PAGE_SIZE >= mem.getU64(mm + Mm.taskSize)) return -ENOMEM;
  let result = 0;
  mmapLock(c);
  try {
    if (set !== 0) {
      const locked = mem.getU32(mm + Mm.lockedPages) + (to - from) - lockedPages(c, from, to);
      if (locked * MIN_PAGE_SIZE > lockLimit(c)) return -ENOMEM;
    }
    result = setLocked(c, from, to, set);
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    result = -ENOMEM;
  } finally {
    mmapUnlock(c);
  }
  if (result === 0 && set === MAPPING_LOCKED) return populateMapped(c, from, to, false) ? 0 : -ENOMEM;
  return result;
}

/** Sets or clears the lock of [from, to); stops at a hole with −ENOMEM. mmapLock is held. */
function setLocked(c: Caller, from: number, to: number, set: number): number {
  const { mem, mm } = c;
  const change = {
    prot: -1,
    setFlags: set,
    clearFlags: MAPPING_LOCKED | MAPPING_LOCK_ON_FAULT,
  };
  let at = from;
  while (at < to) {
    const mapping = firstEndingAfter(mem, mm, at);
    if (mapping === 0 || mem.getU32(mapping + Mapping.start) > at) break;
    at = Math.min(to, mem.getU32(mapping + Mapping.end));
  }
  if (at > from) {
    if (!mayChangeFlags(c, from, at, change.setFlags, change.clearFlags)) return -ENOMEM;
    changeRange(c, from, at, change);
  }
  return at < to ? -ENOMEM : 0;
}

/** Pages of [from, to) that are locked already. mmapLock. */
function lockedPages(c: Caller, from: number, to: number): number {
  const { mem, mm } = c;
  let pages = 0;
  let mapping = firstEndingAfter(mem, mm, from);
  while (mapping !== 0 && mem.getU32(mapping + Mapping.start) < to) {
    const start = Math.max(from, mem.getU32(mapping + Mapping.start));
    const end = Math.min(to, mem.getU32(mapping + Mapping.end));
    if (mem.getU32(mapping + Mapping.flags) & MAPPING_LOCKED) pages += end - start;
    mapping = mem.getU32(mapping + Mapping.next);
  }
  return pages;
}

/** mlockall(2): 0 or −errno. */
export function targetMlockall(c: Caller, flags: number): number {
  const { mem, mm } = c;
  if (flags === 0 || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags === MCL_ONFAULT)
    return -EINVAL;
  if (lockLimit(c) === 0) return -EPERM;
  mmapLock(c);
  try {
    const all = mem.getU32(mm + Mm.mappedPages) * MIN_PAGE_SIZE;
    if (flags & MCL_CURRENT && all > lockLimit(c)) return -ENOMEM;
    mem.setU32(mm + Mm.lockFuture, flags & MCL_FUTURE ? flags & (MCL_FUTURE | MCL_ONFAULT) : 0);
    if (flags & MCL_CURRENT)
      lockEverything(c, MAPPING_LOCKED | (flags & MCL_ONFAULT ? MAPPING_LOCK_ON_FAULT : 0));
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -EAGAIN;
    throw error;
  } finally {
    mmapUnlock(c);
  }
  if (flags & MCL_CURRENT) populateMapped(c, 0, mem.getU64(mm + Mm.taskSize) / MIN_PAGE_SIZE, true);
  return 0;
}

/** munlockall(2): 0. */
export function targetMunlockall(c: Caller): number {
  mmapLock(c);
  try {
    c.mem.setU32(c.mm + Mm.lockFuture, 0);
    lockEverything(c, 0);
    return 0;
  } finally {
    mmapUnlock(c);
  }
}

function lockEverything(c: Caller, set: number): void {
  const { mem, mm } = c;
  for (let m = firstMapping(mem, mm); m !== 0; ) {
    const end = mem.getU32(m + Mapping.end);
    setLocked(c, mem.getU32(m + Mapping.start), end, set);
    m = firstEndingAfter(mem, mm, end);
  }
}
