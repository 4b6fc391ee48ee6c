import type { Caller } from '../memory/caller.js';
import { tbInvalidatePhysRange } from '../memory/codePages.js';
import { hotPaths } from '../memory/hotPaths/hotPaths.js';
import { EINVAL, ENOMEM, MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { isMapped, unmapRange } from '../memory/mappings.js';
import { mappingAt } from '../memory/mappingTree.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { mayAddMappings } from './limits.js';
import { haveMmapLock, mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, unsigned } from './pageRange.js';

/** munmap(2): 0 or −errno. Returns when no other thread can still use the pages. KERNEL mode. */
export function targetMunmap(c: Caller, start: number, length: number): number {
  const { mem, mm } = c;
  const taskSize = mem.getU64(mm + Mm.taskSize);
  const from = unsigned(start);
  if (isUnaligned(c, start) || from > taskSize || unsigned(length) > taskSize - from) return -EINVAL;
  const size = pageAlign(c, length);
  if (size === 0) return -EINVAL;
  if (
    !haveMmapLock(c) &&
    hotPaths(mem).unmap(mm, c.thread, from / MIN_PAGE_SIZE, (from + size) / MIN_PAGE_SIZE)
  )
    return 0;
  mmapLock(c);
  try {
    return munmapLocked(c, from / MIN_PAGE_SIZE, (from + size) / MIN_PAGE_SIZE);
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}

/** Unmaps pages [from, to). mmapLock is held. Returns 0 or −ENOMEM (a mapping too many would be left). */
export function munmapLocked(c: Caller, from: number, to: number): number {
  const { mem, mm } = c;
  if (!isMapped(mem, mm, from, to)) return 0;
  const first = mappingAt(mem, mm, from);
  if (first !== 0 && mem.getU32(first + Mapping.start) < from && mem.getU32(first + Mapping.end) > to) {
    if (!mayAddMappings(c, 1)) return -ENOMEM;
  }
  tbInvalidatePhysRange(c, from * MIN_PAGE_SIZE, to * MIN_PAGE_SIZE - 1);
  unmapRange(c, from, to);
  return 0;
}
