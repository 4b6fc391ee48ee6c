import type { Caller } from '../../memory/caller.js';
import { EINVAL, ENOMEM, MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { changeRange, dropPages } from '../../memory/mappings.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import {
  MAPPING_DONTDUMP,
  MAPPING_GUARD,
  MAPPING_LOCKED,
  MAPPING_NOSYNC,
  Mapping,
} from '../../sync/records/mapping.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { enclosingPages, isRangeValid } from './enclosingPages.js';
import {
  MADV_AUTOSYNC,
  MADV_CORE,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_NOCORE,
  MADV_NORMAL,
  MADV_NOSYNC,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
} from './freebsdMemory.js';
import { forEachMapping } from './mappingRuns.js';

/** Advice that is right to take note of and do nothing about: FreeBSD's MADV_DONTNEED keeps the contents. */
const NO_EFFECT: readonly number[] = [
  MADV_NORMAL,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MADV_DONTNEED,
];

/** What is set, and what is cleared. */
const FLAG_CHANGES = new Map([
  [MADV_NOSYNC, [MAPPING_NOSYNC, 0]],
  [MADV_AUTOSYNC, [0, MAPPING_NOSYNC]],
  [MADV_NOCORE, [MAPPING_DONTDUMP, 0]],
  [MADV_CORE, [0, MAPPING_DONTDUMP]],
]);

/**
 * FreeBSD's madvise(2): 0 or −errno; holes are fine. MADV_FREE drops private anonymous pages at once. MADV_PROTECT
 * concerns the process, not its memory, and is the caller's. KERNEL mode.
 */
export function freebsdMadvise(c: Caller, start: number, length: number, advice: number): number {
  const { mem } = c;
  // The kernel looks at the range as it is given, before it widens it.
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps || length < 0 || !isRangeValid(c, from, size)) return -EINVAL;
  const change = FLAG_CHANGES.get(advice);
  if (change === undefined && advice !== MADV_FREE) return NO_EFFECT.includes(advice) ? 0 : -EINVAL;
  mmapLock(c);
  try {
    const first = from / MIN_PAGE_SIZE;
    return forEachMapping(c, first, first + size / MIN_PAGE_SIZE, (mapping, at, to) => {
      const flags = mem.getU32(mapping + Mapping.flags);
      if (change !== undefined) {
        changeRange(c, at, to, { prot: -1, setFlags: change[0], clearFlags: change[1] });
      } else if (mem.getU32(mapping + Mapping.object) === 0 && !(flags & (MAPPING_LOCKED | MAPPING_GUARD))) {
        dropPages(c, at, to);
      }
      return 0;
    });
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}
