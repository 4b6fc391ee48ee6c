import type { Caller } from '../memory/caller.js';
import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { stackGuardGap } from '../memory/mappings.js';
import { firstEndingAfter, highestGap, lowestGap } from '../memory/mappingTree.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_GROWSDOWN, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { targetPageSize } from './pageRange.js';

/**
 * Where a new mapping goes. All searches cost O(log n) of the number of mappings. They keep below the reach of the page
 * tables while there is room, and look up to twice, four times, … as far when there is not, so that a large
 * reservation is placed without the tables growing before somebody touches it.
 */

/** Mm.placement. Linux's: the highest gap. */
export const PLACE_TOP_DOWN = 0;
/** QEMU's: the lowest gap from the hint on, or from mmapNextStart, where the last one was found; then the lowest of all. */
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

/** Where searches begin at the least. */
const LEAST_TOP = 1024 * 1024;

/** No room. */
export const NO_PLACE = -1;

/**
 * The address of a free range of `size` bytes: at `start`, the hint, where that is free, or NO_PLACE. 0 is no hint.
 * mmapLock.
 */
export function mmapFindVma(c: Caller, start: number, size: number): number {
  return mmapFindVmaAligned(c, start, size, pageUnit(c));
}

/** The larger of target and host page: new mappings lie on whole ones, so that only MAP_FIXED shares a host page. */
function pageUnit(c: Caller): number {
  return Math.max(targetPageSize(c), 1 << c.mem.getU32(MACHINE + Machine.hostPageShift));
}

/** mmapFindVma at a multiple of `align` (a power of two, at least a target and a host page). mmapLock. */
export function mmapFindVmaAligned(c: Caller, start: number, size: number, align: number): number {
  const unit = pageUnit(c);
  const pages = (Math.ceil(size / unit) * unit) / MIN_PAGE_SIZE;
  const hint = hintedPage(c, start, align);
  if (hint !== 0 && isFree(c, hint, pages)) return hint * MIN_PAGE_SIZE;
  const found = mmapFindVmaReserved(c, hint, pages, align >>> MIN_PAGE_SHIFT);
  return found < 0 ? NO_PLACE : found * MIN_PAGE_SIZE;
}

/**
 * The place that a hint means, 0 for none. Linux rounds it down to its page, and one that lies below mmap_min_addr up to
 * that (round_hint_to_min). QEMU rounds down to a host page.
 */
function hintedPage(c: Caller, start: number, align: number): number {
  const { mem, mm } = c;
  const unit = pageUnit(c);
  const rounded = start - (start % unit);
  if (rounded === 0 && start < targetPageSize(c)) return 0;
  const least = mem.getU32(mm + Mm.mmapMinAddr) * MIN_PAGE_SIZE;
  return (Math.ceil(Math.max(rounded, least) / align) * align) / MIN_PAGE_SIZE;
}

/** Whether a hint at `page` can be followed: nothing there, no stack too near above, and not too far up. */
function isFree(c: Caller, page: number, pages: number): boolean {
  const { mem, mm } = c;
  const most = Math.min(mem.getU64(mm + Mm.taskSize), Math.max(FARTHEST_HINT, mem.getU64(mm + Mm.reach)));
  if ((page + pages) * MIN_PAGE_SIZE > most) return false;
  const next = firstEndingAfter(mem, mm, page);
  return next === 0 || page + pages <= startWithGuard(mem, mm, next);
}

/** Where a mapping begins, with the gap that is kept below a growing stack (Linux: vm_start_gap). */
function startWithGuard(mem: SharedMemory, mm: number, mapping: number): number {
  const start = mem.getU32(mapping + Mapping.start);
  if ((mem.getU32(mapping + Mapping.flags) & MAPPING_GROWSDOWN) === 0) return start;
  // The first stack has its room kept, as Linux keeps it by where it starts to place mappings (mmap_base).
  const isFirst = mem.getU32(mapping + Mapping.end) === mem.getU32(mm + Mm.stackTop);
  const lowest = isFirst ? Math.min(start, mem.getU32(mm + Mm.stackFloor)) : start;
  return Math.max(0, lowest - stackGuardGap(mem, mm));
}

/**
 * Searches the guest's address space (all of it is reserved) for `pages` free pages, aligned to `alignPages`, by the
 * address space's policy; `hint` is a page that could not be had, or 0. Returns a page number or NO_PLACE. mmapLock.
 */
export function mmapFindVmaReserved(c: Caller, hint: number, pages: number, alignPages: number): number {
  const { mem, mm } = c;
  const task = mem.getU64(mm + Mm.taskSize) / MIN_PAGE_SIZE;
  const low = mem.getU32(mm + Mm.mmapMinAddr);
  if (pages > task - low) return NO_PLACE;
  // Another thread may be writing a new reach, word by word, the lower one first: then it is seen too low.
  let top = Math.min(Math.max(mem.getU64(mm + Mm.reach), LEAST_TOP) / MIN_PAGE_SIZE, task);
  for (;;) {
    const found = searchBelow(c, hint, low, top, pages, alignPages);
    if (found >= 0 || top >= task) return found;
    top = Math.min(top * 2, task);
  }
}

function searchBelow(
  c: Caller,
  hint: number,
  low: number,
  top: number,
  pages: number,
  align: number,
): number {
  const { mem, mm } = c;
  const base = mem.getU32(mm + Mm.unmappedBase);
  const placement = mem.getU32(mm + Mm.placement);
  if (placement === PLACE_TOP_DOWN) return searchDown(c, low, top, pages, align);
  if (placement === PLACE_RANDOM) return searchRandom(c, low, top, pages, align);
  if (placement !== PLACE_QEMU) return searchUp(c, low, Math.max(base, low), top, pages, align);
  // From the hint up, otherwise from where the last search without one ended.
  const found = searchUp(c, low, Math.max(hint || mmapNextStart(c), low), top, pages, align);
  if (hint === 0 && found >= base) mem.setU32(mm + Mm.mmapNextStart, found + pages);
  return found;
}

/** QEMU's mmap_next_start: where PLACE_QEMU looks first when there is no hint. Pages of 4 KiB. */
export function mmapNextStart(c: Caller): number {
  return c.mem.getU32(c.mm + Mm.mmapNextStart);
}

/** The highest place in [low, top). */
function searchDown(c: Caller, low: number, top: number, pages: number, align: number): number {
  // The highest gap may happen to be aligned; only otherwise is slack needed.
  const exact = highestPlace(c, low, top, pages);
  if (exact < 0 || exact % align === 0) return exact;
  const loose = highestPlace(c, low, top, pages + align - 1);
  return loose < 0 ? NO_PLACE : Math.floor((loose + align - 1) / align) * align;
}

/** The lowest place from `from` on, otherwise the lowest in [low, top). */
function searchUp(c: Caller, low: number, from: number, top: number, pages: number, align: number): number {
  const want = pages + align - 1;
  const found = lowestPlace(c, Math.min(from, top), top, want);
  return alignUp(found >= 0 ? found : lowestPlace(c, low, top, want), align);
}

/** The place nearest below a random page, otherwise the nearest above it. */
function searchRandom(c: Caller, low: number, top: number, pages: number, align: number): number {
  const want = pages + align - 1;
  if (top - low < want) return NO_PLACE;
  const drawn = low + Math.floor(nextRandom(c) * (top - low - want + 1));
  const below = highestPlace(c, low, drawn + want, want);
  return alignUp(below >= 0 ? below : lowestPlace(c, drawn, top, want), align);
}

/**
 * The highest gap in [low, high) that keeps the distance to a stack above it. Like Linux's unmapped_area_topdown, it
 * searches again below the guard gap when the gap found reaches into one.
 */
function highestPlace(c: Caller, low: number, high: number, want: number): number {
  const { mem, mm } = c;
  for (;;) {
    const found = highestGap(mem, mm, low, high, want);
    if (found < 0) return NO_PLACE;
    const next = firstEndingAfter(mem, mm, found + want - 1);
    if (next === 0) return found;
    const end = startWithGuard(mem, mm, next);
    if (found + want <= end) return found;
    high = end;
  }
}

/** The lowest gap in [low, high) that keeps the distance to a stack above it (Linux: unmapped_area). */
function lowestPlace(c: Caller, low: number, high: number, want: number): number {
  const { mem, mm } = c;
  for (;;) {
    const found = lowestGap(mem, mm, low, high, want);
    if (found < 0) return NO_PLACE;
    const next = firstEndingAfter(mem, mm, found + want - 1);
    if (next === 0 || found + want <= startWithGuard(mem, mm, next)) return found;
    low = mem.getU32(next + Mapping.end);
  }
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
