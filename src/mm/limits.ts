import type { Caller } from '../memory/caller.js';
import { lockLimit } from '../memory/caller.js';
import { grantable } from '../memory/frames.js';
import { hostScale } from '../memory/hostScale.js';
import { MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { mappingAt } from '../memory/mappingTree.js';
import { reclaimFilePages } from '../memory/reclaim.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';

/** vm.max_map_count. */
export const MAX_MAP_COUNT = 65530;

/** Whether `pages` more pages keep within RLIMIT_AS, and within RLIMIT_DATA when they are `data` (may_expand_vm). */
export function mayExpand(c: Caller, pages: number, data: boolean): boolean {
  const { mem, mm } = c;
  if ((mem.getU32(mm + Mm.mappedPages) + pages) * MIN_PAGE_SIZE > mem.getU64(mm + Mm.limitAs)) return false;
  return !data || (mem.getU32(mm + Mm.dataPages) + pages) * MIN_PAGE_SIZE <= mem.getU64(mm + Mm.limitData);
}

/**
 * Whether the machine could back `pages` of private writable memory at this moment. Linux's heuristic overcommit refuses
 * what exceeds all memory; Guesthouse refuses what exceeds the free frames too, because there is no swap, and so
 * that a guest that uses up everything sees ENOMEM rather than SIGKILL.
 */
export function enoughMemory(c: Caller, pages: number): boolean {
  const scale = hostScale(c.mem);
  const frames = pages / (1 << scale);
  if (frames <= grantable(c.mem, c.mm)) return true;
  // File pages can be read again.
  return reclaimFilePages(c) > 0 && frames <= grantable(c.mem, c.mm);
}

/** Whether `pages` more locked pages keep within RLIMIT_MEMLOCK (mlock_future_ok). */
export function mayLock(c: Caller, pages: number): boolean {
  const locked = c.mem.getU32(c.mm + Mm.lockedPages) + pages;
  return locked * MIN_PAGE_SIZE <= lockLimit(c);
}

/** Whether `more` mappings may be added. */
export function mayAddMappings(c: Caller, more: number): boolean {
  return c.mem.getU32(c.mm + Mm.mappingCount) + more <= c.mem.getU32(c.mm + Mm.maxMappings);
}

/** Whether the mappings that are cut when flags of [from, to) are changed may be added. mmapLock. */
export function mayChangeFlags(c: Caller, from: number, to: number, set: number, clear: number): boolean {
  const { mem, mm } = c;
  const changes = (mapping: number): boolean => {
    const flags = mem.getU32(mapping + Mapping.flags);
    return ((flags & ~clear) | set) !== flags;
  };
  const first = mappingAt(mem, mm, from);
  const last = mappingAt(mem, mm, to - 1);
  let cuts = 0;
  if (first !== 0 && mem.getU32(first + Mapping.start) < from && changes(first)) cuts++;
  if (last !== 0 && mem.getU32(last + Mapping.end) > to && changes(last)) cuts++;
  return cuts === 0 || mayAddMappings(c, cuts);
}
