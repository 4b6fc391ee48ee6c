import type { Caller } from '../memory/caller.js';
import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { isMapped } from '../memory/mappings.js';
import { highestGap, lowestGap } from '../memory/mappingTree.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import { targetPageSize } from './pageRange.js';

/**
 * Where a new mapping goes. All searches cost O(log n) of the number of mappings. They keep below the reach of the page
 * tables while there is room, and look up to twice, four times, … as far when there is not, so that a large
 * reservation is placed without the tables growing before somebody touches it.
 */

/** Mm.placement. Linux's: the highest gap. */
export const PLACE_TOP_DOWN = 0;
/** QEMU's: the lowest gap from mmapNextStart on, where the last one was found, then the lowest of all. */
export const PLACE_QEMU = 1;
/** The lowest gap from Mm.unmappedBase on, then the lowest of all. */
export const PLACE_FIRST_FIT = 2;
/** The gap nearest to a page drawn from Mm.placementState: the same seed and calls give the same places. */
export const PLACE_RANDOM = 3;

/** FreeBSD's: the first fit above the hint or the heap (freebsd/vmMapFind.ts). */
export const PLACE_FREEBSD = 4;

/** The policies by the names that users give them. */
export const PLACEMENTS = {
  'top-down': PLACE_TOP_DOWN,
  qemu: PLACE_QEMU,
  'first-fit': PLACE_FIRST_FIT,
  random: PLACE_RANDOM,
} as const;
export type PlacementName = keyof typeof PLACEMENTS;

/** Hints beyond this and beyond the reach are not followed: the page tables they would need are large. */
const FARTHEST_HINT = 8 * 1024 * 1024 * 1024;

/** No room. */
export const NO_PLACE = -1;

/** The address of a free range of `size` bytes (whole pages), at `hint` if that is free, or NO_PLACE. mmapLock. */
export function mmapFindVma(c: Caller, hint: number, size: number): number {
  return mmapFindVmaAligned(c, hint, size, pageUnit(c));
}

/** The larger of target and host page: new mappings lie on whole ones, so that only MAP_FIXED shares a host page. */
function pageUnit(c: Caller): number {
  return Math.max(targetPageSize(c), 1 << c.mem.getU32(MACHINE + Machine.hostPageShift));
}

/** mmapFindVma at a multiple of `align` (a power of two, at least a target and a host page). mmapLock. */
export function mmapFindVmaAligned(c: Caller, hint: number, size: number, align: number): number {
  const { mem, mm } = c;
  const unit = pageUnit(c);
  const pages = (Math.ceil(size / unit) * unit) / MIN_PAGE_SIZE;
  if (hint > 0) {
    const at = Math.ceil(hint / align) * align;
    const most = Math.min(mem.getU64(mm + Mm.taskSize), Math.max(FARTHEST_HINT, mem.getU64(mm + Mm.reach)));
    const page = at / MIN_PAGE_SIZE;
    if (
      at + size <= most &&
      page >= mem.getU32(mm + Mm.mmapMinAddr) &&
      !isMapped(mem, mm, page, page + pages)
    )
      return at;
  }
  const found = mmapFindVmaReserved(c, pages, align >>> MIN_PAGE_SHIFT);
  return found < 0 ? NO_PLACE : found * MIN_PAGE_SIZE;
}

/**
 * Searches the guest's whole address space (which is reserved for it by nature) for `pages` free pages, aligned to
 * `alignPages`, by the address space's policy. Returns a page number or NO_PLACE. mmapLock.
 */
export function mmapFindVmaReserved(c: Caller, pages: number, alignPages: number): number {
  const { mem, mm } = c;
  const task = mem.getU64(mm + Mm.taskSize) / MIN_PAGE_SIZE;
  const low = mem.getU32(mm + Mm.mmapMinAddr);
  const base = mem.getU32(mm + Mm.mmapBase);
  if (pages > task - low) return NO_PLACE;
  if (base !== 0) {
    const found = searchBelow(c, low, Math.min(base, task), pages, alignPages);
    if (found >= 0) return found;
  }
  let top = Math.min(mem.getU64(mm + Mm.reach) / MIN_PAGE_SIZE, task);
  for (;;) {
    const found = searchBelow(c, low, top, pages, alignPages);
    if (found >= 0 || top >= task) return found;
    top = Math.min(top * 2, task);
  }
}

function searchBelow(c: Caller, low: number, top: number, pages: number, align: number): number {
  const { mem, mm } = c;
  const slack = align - 1;
  const placement = mem.getU32(mm + Mm.placement);
  if (placement === PLACE_TOP_DOWN) {
    // The highest gap may happen to be aligned; only otherwise is slack needed.
    const exact = highestGap(mem, mm, low, top, pages);
    if (exact < 0 || exact % align === 0) return exact;
    const loose = highestGap(mem, mm, low, top, pages + slack);
    return loose < 0 ? loose : Math.floor((loose + slack) / align) * align;
  }
  if (placement === PLACE_QEMU) {
    const from = Math.min(Math.max(mem.getU32(mm + Mm.mmapNextStart), low), top);
    const found = alignUp(lowestGap(mem, mm, from, top, pages + slack), align);
    if (found >= 0) {
      mem.setU32(mm + Mm.mmapNextStart, found + pages);
      return found;
    }
  } else if (placement === PLACE_RANDOM) return randomGap(c, low, top, pages, align);
  else {
    const from = Math.min(Math.max(mem.getU32(mm + Mm.unmappedBase), low), top);
    const found = alignUp(lowestGap(mem, mm, from, top, pages + slack), align);
    if (found >= 0) return found;
  }
  return alignUp(lowestGap(mem, mm, low, top, pages + slack), align);
}

/** The gap nearest below a random page, otherwise the nearest above it. */
function randomGap(c: Caller, low: number, top: number, pages: number, align: number): number {
  const { mem, mm } = c;
  const want = pages + align - 1;
  if (top - low < want) return NO_PLACE;
  const drawn = low + Math.floor(nextRandom(c) * (top - low - want + 1));
  const below = highestGap(mem, mm, low, drawn + want, want);
  return alignUp(below >= 0 ? below : lowestGap(mem, mm, drawn, top, want), align);
}

/** The next number in [0, 1) of the address space's own sequence (mulberry32). */
function nextRandom(c: Caller): number {
  const { mem, mm } = c;
  const state = (mem.getU32(mm + Mm.placementState) + 0x6d2b_79f5) >>> 0;
  mem.setU32(mm + Mm.placementState, state);
  let z = Math.imul(state ^ (state >>> 15), state | 1);
  z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
  return ((z ^ (z >>> 14)) >>> 0) / 0x1_0000_0000;
}

function alignUp(page: number, align: number): number {
  return page < 0 ? page : Math.ceil(page / align) * align;
}
