import type { Caller } from '../../memory/caller.js';
import { EINVAL, ENOMEM, MIN_PAGE_SIZE, PROT_EXEC, PROT_READ } from '../../memory/linuxMemory.js';
import { changeRange } from '../../memory/mappings.js';
import { lastMapping } from '../../memory/mappingTree.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import { MAPPING_LOCKED, Mapping } from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { populateMapped } from '../populate.js';
import { clampToMap, enclosingPages } from './enclosingPages.js';
import { MCL_CURRENT, MCL_FUTURE } from './freebsdMemory.js';
import { forEachMapping, isMappedThroughout } from './mappingRuns.js';

/** There is no swap, so locking (wiring) is bookkeeping against RLIMIT_MEMLOCK, and bringing the pages in. */
const LOCK = { prot: -1, setFlags: MAPPING_LOCKED, clearFlags: 0 };
const UNLOCK = { prot: -1, setFlags: 0, clearFlags: MAPPING_LOCKED };

/** FreeBSD's mlock(2): 0 or −errno; all of the range is locked, or none. KERNEL mode. */
export function freebsdMlock(c: Caller, start: number, length: number): number {
  const { mem, mm } = c;
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps) return -EINVAL;
  // Pages that are locked already count twice here.
  const wanted = size + mem.getU32(mm + Mm.lockedPages) * MIN_PAGE_SIZE;
  if (wanted > mem.getU64(mm + Mm.limitMemlock)) return -ENOMEM;
  if (size === 0) return 0;
  const { first, end } = clampToMap(c, from, size);
  const result = changeLocked(c, () => {
    if (!isMappedThroughout(c, first, end)) return -ENOMEM;
    const refused = forEachMapping(c, first, end, (m) => (isTouchable(c, m) ? 0 : -ENOMEM));
    if (refused === 0) changeRange(c, first, end, LOCK);
    return refused;
  });
  if (result === 0) populateMapped(c, first, end, true);
  return result;
}

/** FreeBSD's munlock(2): 0 or −errno; all of the range, or none. KERNEL mode. */
export function freebsdMunlock(c: Caller, start: number, length: number): number {
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps) return -EINVAL;
  if (size === 0) return 0;
  const { first, end } = clampToMap(c, from, size);
  return changeLocked(c, () => {
    if (!isMappedThroughout(c, first, end)) return -ENOMEM;
    changeRange(c, first, end, UNLOCK);
    return 0;
  });
}

/** FreeBSD's mlockall(2): 0 or −errno. What cannot be touched is passed over. KERNEL mode. */
export function freebsdMlockall(c: Caller, how: number): number {
  const { mem, mm } = c;
  if (how === 0 || how & ~(MCL_CURRENT | MCL_FUTURE)) return -EINVAL;
  const mapped = mem.getU32(mm + Mm.mappedPages) * MIN_PAGE_SIZE;
  if (how & MCL_CURRENT && mapped > mem.getU64(mm + Mm.limitMemlock)) return -ENOMEM;
  const ranges: [number, number][] = [];
  const result = changeLocked(c, () => {
    if (how & MCL_FUTURE) mem.setU32(mm + Mm.lockFuture, MCL_FUTURE);
    if (!(how & MCL_CURRENT)) return 0;
    return forEachMapping(c, 0, endOfMappings(c), (m, from, to) => {
      if (!isTouchable(c, m)) return 0;
      ranges.push([from, to]);
      changeRange(c, from, to, LOCK);
      return 0;
    });
  });
  if (result === 0) for (const [from, to] of ranges) populateMapped(c, from, to, true);
  return result;
}

/** FreeBSD's munlockall(2): 0 or −errno. KERNEL mode. */
export function freebsdMunlockall(c: Caller): number {
  return changeLocked(c, () => {
    c.mem.setU32(c.mm + Mm.lockFuture, 0);
    return forEachMapping(c, 0, endOfMappings(c), (_m, from, to) => {
      changeRange(c, from, to, UNLOCK);
      return 0;
    });
  });
}

function isTouchable(c: Caller, mapping: number): boolean {
  return (c.mem.getU32(mapping + Mapping.prot) & (PROT_READ | PROT_EXEC)) !== 0;
}

function endOfMappings({ mem, mm }: Caller): number {
  const last = lastMapping(mem, mm);
  return last === 0 ? 0 : mem.getU32(last + Mapping.end);
}

function changeLocked(c: Caller, change: () => number): number {
  mmapLock(c);
  try {
    return change();
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}
