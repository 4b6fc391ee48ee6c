import type { Caller } from '../../memory/caller.js';
import { MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { lowestGap } from '../../memory/mappingTree.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Mm } from '../../sync/records/mm.js';
import { mmapFindVmaAligned, NO_PLACE, PLACE_FREEBSD } from '../findVma.js';
import { targetPageSize, unsigned } from '../pageRange.js';
import { mapMax, mapMin } from './enclosingPages.js';
import { SUPERPAGE_SIZE } from './freebsdMemory.js';

/**
 * Placement as FreeBSD does it without address randomization: the first fit at or above the hint, which is replaced by the
 * end of the largest possible heap where there is none; then the first fit above the heap.
 */

/** Hints beyond this and beyond the reach of the page tables are taken for hints beyond the map. */
const FARTHEST_HINT = 8 * 1024 * 1024 * 1024;

/** What the place must be like. */
export interface PlaceRequest {
  readonly size: number;
  /** Address at which the search begins. */
  readonly hint: number;
  /** End of the places allowed; 0: the end of the map. */
  readonly maxAddress: number;
  /** A power of two of at least a page, or 0 for pages that lie as a superpage of the object would. */
  readonly align: number;
  /** Byte offset in the object, which an alignment of 0 goes by. */
  readonly offset: number;
  /** Do without the alignment when there is no such place (VMFS_OPTIMAL_SPACE). */
  readonly optional: boolean;
}

/** round_page(vm_daddr + lim_max(RLIMIT_DATA)): where mappings without a hint begin. */
export function endOfHeap(c: Caller): number {
  const page = targetPageSize(c);
  const { mem, mm } = c;
  return Math.ceil((mem.getU64(mm + Mm.startData) + mem.getU64(mm + Mm.limitDataMax)) / page) * page;
}

/** vm_map_find_min: the address of a free range, or NO_PLACE. mmapLock. */
export function vmMapFind(c: Caller, request: PlaceRequest): number {
  const { mem, mm } = c;
  if (mem.getU32(mm + Mm.placement) !== PLACE_FREEBSD) return findByPolicy(c, request);
  const lowest = endOfHeap(c);
  const farthest = Math.max(FARTHEST_HINT, mem.getU64(mm + Mm.reach));
  if (request.hint <= farthest) {
    const at = findAbove(c, request, request.hint);
    if (at !== NO_PLACE || lowest >= request.hint) return at;
  }
  return findAbove(c, request, lowest);
}

function findAbove(c: Caller, request: PlaceRequest, start: number): number {
  const at = findAligned(c, request, start, alignmentOf(c, request));
  if (at !== NO_PLACE || !request.optional) return at;
  return findAligned(c, request, start, { align: unitOf(c), within: 0 });
}

/** New mappings lie on whole host pages, so that only MAP_FIXED shares one. */
function unitOf(c: Caller): number {
  return Math.max(targetPageSize(c), 1 << c.mem.getU32(MACHINE + Machine.hostPageShift));
}

/** The place's address modulo `align` is to be `within`. pmap_align_superpage for an alignment of 0. */
function alignmentOf(c: Caller, { align, offset, size }: PlaceRequest): { align: number; within: number } {
  const unit = unitOf(c);
  if (align !== 0) return { align: Math.max(align, unit), within: 0 };
  const within = unsigned(offset) % SUPERPAGE_SIZE;
  const head = (SUPERPAGE_SIZE - within) % SUPERPAGE_SIZE;
  if (size - head < SUPERPAGE_SIZE) return { align: unit, within: unsigned(offset) % unit };
  return { align: SUPERPAGE_SIZE, within };
}

/** vm_map_findspace and vm_map_alignspace. */
function findAligned(
  c: Caller,
  request: PlaceRequest,
  start: number,
  { align, within }: { align: number; within: number },
): number {
  const { mem, mm } = c;
  const unit = unitOf(c) / MIN_PAGE_SIZE;
  const pages = Math.ceil(request.size / MIN_PAGE_SIZE / unit) * unit;
  const top = Math.min(request.maxAddress || mapMax(c), mapMax(c)) / MIN_PAGE_SIZE;
  const step = align / MIN_PAGE_SIZE;
  const colour = Math.floor(within / MIN_PAGE_SIZE);
  let from = Math.ceil(Math.max(start, mapMin(c)) / MIN_PAGE_SIZE);
  for (;;) {
    if (pages > top - from) return NO_PLACE;
    const found = lowestGap(mem, mm, from, top, pages);
    if (found < 0) return NO_PLACE;
    const aligned = found + ((((colour - found) % step) + step) % step);
    if (aligned === found) return found * MIN_PAGE_SIZE;
    from = aligned;
  }
}

/** The user has asked for another placement (findVma.ts): a hint is then a wish, as in QEMU. */
function findByPolicy(c: Caller, request: PlaceRequest): number {
  const { align, within } = alignmentOf(c, request);
  const hint = request.hint === endOfHeap(c) ? 0 : request.hint;
  const at = mmapFindVmaAligned(c, Math.max(0, hint - within), request.size + within, align);
  if (at === NO_PLACE) return at;
  const end = at + within + request.size;
  return request.maxAddress !== 0 && end > request.maxAddress
    ? findAligned(c, request, 0, { align, within })
    : at + within;
}
