import { OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, lockMutexRecursive, unlockMutex } from '../sync/mutex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_GROWSDOWN, MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { quiesceOthers } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { Caller } from './caller.js';
import { writeBack } from './filePages.js';
import { copyPartialPage, releaseEdgeFrames, reserveEdgeFrames, settleEdge } from './fragments.js';
import { frameRefs } from './frames.js';
import { hostScale } from './hostScale.js';
import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE, PROT_WRITE } from './linuxMemory.js';
import {
  account,
  addRetired,
  beginChange,
  cutRange,
  endChange,
  joinNeighbours,
  type NewMapping,
  placeMapping,
  RECORDS_PER_CHANGE,
  reserveForCuts,
  reserveRecords,
  settleRetired,
  splitMapping,
} from './mappingRecords.js';
import { firstEndingAfter, firstMapping, mappingResized } from './mappingTree.js';
import {
  accessBits,
  dropWriter,
  finishZap,
  lockAllPages,
  lockPages,
  lockTwoRanges,
  nextPresent,
  PTE_EXEC,
  PTE_OBJECT,
  PTE_READ,
  PTE_WRITE,
  PTE_WRITER,
  pageEntry,
  pagesInReach,
  setPage,
  unlockAllPages,
  unlockPages,
  unlockTwoRanges,
  zapPages,
} from './pageTables.js';
import { unlinkMapping } from './sharedObject.js';

/**
 * Changing the mappings of an address space. Every function here is called with mmapLock held and does one change whole:
 *
 *   1. records it may need are set aside, so that nothing can fail half way;
 *   2. Machine.filePagesLock is taken when mappings of objects are concerned (their lists change);
 *   3. the page-table locks of the range are taken when pages in it may be present;
 *   4. the tree changes while Mm.mappingsSequence is odd;
 *   5. pages go out of the tables, the locks are released;
 *   6. other threads pass a safepoint, then frames, files and objects are released.
 *
 * Ranges are target pages, [start, end).
 */

/** Whether a mapping in [start, end) (or the neighbours, which may be joined) shows an object. */
function concernsObjects(mem: SharedMemory, mm: number, start: number, end: number): boolean {
  let mapping = firstEndingAfter(mem, mm, start > 0 ? start - 1 : 0);
  for (
    ;
    mapping !== 0 && mem.getU32(mapping + Mapping.start) <= end;
    mapping = mem.getU32(mapping + Mapping.next)
  ) {
    if (mem.getU32(mapping + Mapping.object) !== 0) return true;
  }
  return false;
}

/** Whether anything is mapped in [start, end). */
export function isMapped(mem: SharedMemory, mm: number, start: number, end: number): boolean {
  const mapping = firstEndingAfter(mem, mm, start);
  return mapping !== 0 && mem.getU32(mapping + Mapping.start) < end;
}

// --- the operations ---

/**
 * Maps [start, end) as `what` says; whatever was there goes, in one step as seen by other threads. mmapLock is held.
 * Throws OutOfKernelMemory with nothing changed.
 */
export function mapRange(c: Caller, start: number, end: number, what: NewMapping): void {
  const { mem, mm, thread } = c;
  reserveRecords(c, RECORDS_PER_CHANGE);
  const replaces = isMapped(mem, mm, start, end);
  const objects = what.object !== 0 || (replaces && concernsObjects(mem, mm, start, end));
  const scale = hostScale(mem);
  const from = start >>> scale;
  const to = ((end - 1) >>> scale) + 1;
  // In a host page that is mapped partly there may be something present without anything being replaced.
  const locks = replaces || scale > 0;
  if (scale > 0) reserveEdgeFrames(c, start, end);
  if (objects) lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  if (locks) lockPages(mem, mm, from, to, thread);
  beginChange(mem, mm);
  if (replaces) cutRange(mem, mm, start, end);
  placeMapping(mem, mm, start, end, what);
  endChange(mem, mm);
  if (locks) {
    settlePages(c, start, end, true);
    unlockPages(mem, mm, from, to, thread);
  }
  if (objects) unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  if (locks) finishZap(c);
  if (scale > 0) releaseEdgeFrames(c);
  settleRetired(c);
}

/** Unmaps [start, end); holes are fine. mmapLock is held. Throws OutOfKernelMemory with nothing changed. */
export function unmapRange(c: Caller, start: number, end: number): void {
  const { mem, mm, thread } = c;
  if (!isMapped(mem, mm, start, end)) return;
  reserveForCuts(c, start, end);
  const objects = concernsObjects(mem, mm, start, end);
  const scale = hostScale(mem);
  const from = start >>> scale;
  const to = ((end - 1) >>> scale) + 1;
  if (scale > 0) reserveEdgeFrames(c, start, end);
  if (objects) lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  lockPages(mem, mm, from, to, thread);
  beginChange(mem, mm);
  cutRange(mem, mm, start, end);
  endChange(mem, mm);
  settlePages(c, start, end, false);
  unlockPages(mem, mm, from, to, thread);
  if (objects) unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  finishZap(c);
  if (scale > 0) releaseEdgeFrames(c);
  settleRetired(c);
}

/**
 * Unmaps everything of an address space that ends: no thread of it is left, and its record goes with it. Dirty shared pages are
 * written back.
 */
export function unmapAll(c: Caller): void {
  const { mem, mm, thread } = c;
  const first = firstMapping(mem, mm);
  if (first === 0) return;
  // What finds the address space by an object holds this lock, or a page's.
  lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  lockAllPages(mem, mm, thread);
  beginChange(mem, mm);
  for (let mapping = first; mapping !== 0; mapping = mem.getU32(mapping + Mapping.next)) {
    if (mem.getU32(mapping + Mapping.object) !== 0) unlinkMapping(mem, mapping);
    addRetired(mem, mapping);
  }
  for (const field of [Mm.mappingsRoot, Mm.mappingCount, Mm.mappedPages, Mm.dataPages, Mm.lockedPages])
    mem.setU32(mm + field, 0);
  endChange(mem, mm);
  zapPages(c, 0, pagesInReach(mem, mm));
  unlockAllPages(mem, mm, thread);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  finishZap(c);
  settleRetired(c, 0);
}

/** What changes in the attributes of the mappings of a range. */
export interface AttributeChange {
  /** New protection, or −1 to leave it. */
  readonly prot: number;
  readonly setFlags: number;
  readonly clearFlags: number;
}

/**
 * Changes protection or flags of [start, end), which must be mapped throughout. Returns when no other thread can use
 * what was taken away. mmapLock is held. Throws OutOfKernelMemory with nothing changed.
 */
export function changeRange(c: Caller, start: number, end: number, change: AttributeChange): void {
  const { mem, mm, thread } = c;
  reserveForCuts(c, start, end);
  const objects = concernsObjects(mem, mm, start, end);
  const scale = hostScale(mem);
  const from = start >>> scale;
  const to = ((end - 1) >>> scale) + 1;
  if (scale > 0 && change.prot >= 0) reserveEdgeFrames(c, start, end);
  if (objects) lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  lockPages(mem, mm, from, to, thread);
  beginChange(mem, mm);
  let mapping = firstEndingAfter(mem, mm, start);
  while (mapping !== 0 && mem.getU32(mapping + Mapping.start) < end) {
    const prot = mem.getU32(mapping + Mapping.prot);
    const flags = mem.getU32(mapping + Mapping.flags);
    const newProt = change.prot < 0 ? prot : change.prot;
    const newFlags = (flags & ~change.clearFlags) | change.setFlags;
    if (newProt !== prot || newFlags !== flags) {
      if (mem.getU32(mapping + Mapping.start) < start) mapping = splitMapping(mem, mm, mapping, start);
      if (mem.getU32(mapping + Mapping.end) > end) splitMapping(mem, mm, mapping, end);
      const pages = mem.getU32(mapping + Mapping.end) - mem.getU32(mapping + Mapping.start);
      account(mem, mm, prot, flags, -pages);
      account(mem, mm, newProt, newFlags, pages);
      mem.setU32(mapping + Mapping.prot, newProt);
      mem.setU32(mapping + Mapping.flags, newFlags);
      mapping = joinNeighbours(mem, mm, mapping);
    }
    mapping = mem.getU32(mapping + Mapping.next);
  }
  endChange(mem, mm);
  const withdrawn = change.prot >= 0 && protectPages(c, start, end, change.prot);
  unlockPages(mem, mm, from, to, thread);
  if (objects) unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  if (withdrawn) quiesceOthers(mem, mm, thread, thread);
  if (scale > 0) {
    finishZap(c);
    releaseEdgeFrames(c);
  }
  settleRetired(c);
}

/**
 * After the mappings of [start, end) have been replaced (`fresh`) or removed: takes the whole host pages of the range out of
 * the tables, and brings those that it covers partly up to date. The pages' locks are held; finishZap follows.
 */
function settlePages(c: Caller, start: number, end: number, fresh: boolean): void {
  const scale = hostScale(c.mem);
  if (scale === 0) {
    zapPages(c, start, end);
    return;
  }
  const first = Math.ceil(start / (1 << scale));
  const last = end >>> scale;
  if (first < last) zapPages(c, first, last);
  settleEdges(c, start, end, fresh);
}

/** settleEdge for the host pages at the ends of [start, end) that are covered partly. Quiesces when access was withdrawn. */
function settleEdges(c: Caller, start: number, end: number, fresh: boolean): void {
  const { mem, mm, thread } = c;
  const scale = hostScale(mem);
  const mask = (1 << scale) - 1;
  const first = start >>> scale;
  const last = end >>> scale;
  let withdrawn = false;
  if (start & mask) withdrawn = settleEdge(c, first, start, end, fresh);
  if (end & mask && !(start & mask && last === first))
    withdrawn = settleEdge(c, last, start, end, fresh) || withdrawn;
  if (withdrawn) quiesceOthers(mem, mm, thread, thread);
}

/** applyProtection for the whole host pages of [start, end), settleEdge for the others. */
function protectPages(c: Caller, start: number, end: number, prot: number): boolean {
  const scale = hostScale(c.mem);
  if (scale === 0) return applyProtection(c, start, end, prot);
  const first = Math.ceil(start / (1 << scale));
  const last = end >>> scale;
  settleEdges(c, start, end, false);
  return first < last && applyProtection(c, first, last, prot);
}

/** Gives present pages their new access; says whether any was withdrawn. The pages' locks are held. */
function applyProtection(c: Caller, from: number, to: number, prot: number): boolean {
  const { mem, mm } = c;
  const access = accessBits(prot);
  let withdrawn = false;
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    const entry = pageEntry(mem, mm, page);
    const frame = entry >>> 12;
    let bits = access | (entry & PTE_OBJECT);
    if (prot & PROT_WRITE) {
      if (entry & PTE_OBJECT) bits |= entry & (PTE_WRITE | PTE_WRITER);
      else if (entry & PTE_WRITE || frameRefs(mem, frame) === 1) bits |= PTE_WRITE;
    } else if (entry & PTE_WRITER) dropWriter(mem, frame);
    if (entry & ~bits & (PTE_READ | PTE_WRITE | PTE_EXEC)) withdrawn = true;
    setPage(mem, mm, page, frame, bits);
  }
  return withdrawn;
}

/**
 * Moves the pages of [start, start+pages), which lie in one mapping, to `target` (free, within the reach as far as
 * pages are present), where a mapping of `newPages` ≥ `pages` with the same attributes appears. With `keepOld` the old
 * mapping stays, empty (MREMAP_DONTUNMAP). mmapLock is held. Throws OutOfKernelMemory with nothing changed.
 */
export function moveRange(
  c: Caller,
  start: number,
  pages: number,
  target: number,
  newPages: number,
  keepOld: boolean,
): void {
  const { mem, mm, thread } = c;
  reserveRecords(c, RECORDS_PER_CHANGE + 1);
  const scale = hostScale(mem);
  const from = start >>> scale;
  const to = ((start + pages - 1) >>> scale) + 1;
  const newFrom = target >>> scale;
  const newTo = ((target + newPages - 1) >>> scale) + 1;
  const mapping = firstEndingAfter(mem, mm, start);
  const object = mem.getU32(mapping + Mapping.object);
  const what: NewMapping = {
    prot: mem.getU32(mapping + Mapping.prot),
    flags: mem.getU32(mapping + Mapping.flags),
    file: mem.getU32(mapping + Mapping.file),
    object,
    offset:
      object === 0 ? 0 : mem.getU32(mapping + Mapping.offset) + (start - mem.getU32(mapping + Mapping.start)),
  };
  const objects = object !== 0 || concernsObjects(mem, mm, start, start + pages);
  if (scale > 0) {
    reserveEdgeFrames(c, start, start + pages);
    reserveEdgeFrames(c, start, start + pages);
    reserveEdgeFrames(c, target, target + newPages);
  }
  if (objects) lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  lockTwoRanges(mem, mm, from, to, newFrom, newTo, thread);
  beginChange(mem, mm);
  // The new one first, so that its object is never without a reference.
  placeMapping(mem, mm, target, target + newPages, what);
  if (!keepOld) cutRange(mem, mm, start, start + pages);
  endChange(mem, mm);
  // The new place may share host pages with other mappings: what is moved is put into those as they are now.
  settleEdges(c, target, target + newPages, true);
  let moved = 0;
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    if (scale > 0 && isPartial(page, scale, start, start + pages)) {
      copyPartialPage(c, page, newFrom + (page - from), start, start + pages, keepOld);
      continue;
    }
    movePage(mem, mm, page, newFrom + (page - from));
    moved++;
  }
  unlockTwoRanges(mem, mm, from, to, newFrom, newTo, thread);
  if (objects) unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  finishZap(c);
  if (moved > 0) quiesceOthers(mem, mm, thread, thread);
  if (scale > 0) releaseEdgeFrames(c);
  settleRetired(c);
}

/** Whether host page `page` reaches beyond target pages [start, end). */
function isPartial(page: number, scale: number, start: number, end: number): boolean {
  return page << scale < start || (page + 1) << scale > end;
}

/** Moves one page's entry; the frame keeps its reference. */
function movePage(mem: SharedMemory, mm: number, from: number, to: number): void {
  const entry = pageEntry(mem, mm, from);
  clearPage(mem, mm, from);
  setPage(mem, mm, to, entry >>> 12, entry & 0xfff);
}

/** Empties a page's entries without giving up its frame. */
function clearPage(mem: SharedMemory, mm: number, page: number): void {
  setPage(mem, mm, page, pageEntry(mem, mm, page) >>> 12, 0);
  mem.setU32(mem.getU32(mm + Mm.pageTable) + page * 4, 0);
  const count = mem.getU32(mm + Mm.sliceCounts) + (page >>> 9) * 4;
  mem.setU32(count, mem.getU32(count) - 1);
}

/** Drops the pages of [start, end) but keeps the mappings (MADV_DONTNEED): the next access finds zeros or the file. */
export function dropPages(c: Caller, start: number, end: number): void {
  const { mem, mm, thread } = c;
  const scale = hostScale(mem);
  const from = start >>> scale;
  const to = ((end - 1) >>> scale) + 1;
  if (scale > 0) reserveEdgeFrames(c, start, end);
  lockPages(mem, mm, from, to, thread);
  settlePages(c, start, end, true);
  unlockPages(mem, mm, from, to, thread);
  finishZap(c);
  if (scale > 0) releaseEdgeFrames(c);
}

/**
 * Withdraws write access from the present pages of a shared file mapping's range, so that what is written from now on is
 * noticed again, and writes back what is dirty (msync). mmapLock is held. False when the host refused some of it.
 */
export function cleanRange(c: Caller, mapping: number, start: number, end: number): boolean {
  const { mem, mm, thread } = c;
  const file = mem.getU32(mapping + Mapping.file);
  if (file === 0 || (mem.getU32(mapping + Mapping.flags) & MAPPING_SHARED) === 0) return true;
  const scale = hostScale(mem);
  const from = start >>> scale;
  const to = ((end - 1) >>> scale) + 1;
  let withdrawn = false;
  lockPages(mem, mm, from, to, thread);
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    const entry = pageEntry(mem, mm, page);
    if ((entry & PTE_WRITER) === 0) continue;
    setPage(mem, mm, page, entry >>> 12, entry & (PTE_READ | PTE_EXEC | PTE_OBJECT));
    dropWriter(mem, entry >>> 12);
    withdrawn = true;
  }
  unlockPages(mem, mm, from, to, thread);
  if (withdrawn) quiesceOthers(mem, mm, thread, thread);
  const offset = mem.getU32(mapping + Mapping.offset) + (start - mem.getU32(mapping + Mapping.start));
  return writeBack(mem, file, offset >>> scale, ((offset + (end - start) - 1) >>> scale) + 1, thread);
}

/** Extends `mapping` up to page `end`, into free pages (mremap in place, brk). mmapLock is held. */
export function extendMapping(c: Caller, mapping: number, end: number): void {
  const { mem, mm, thread } = c;
  const objects = mem.getU32(mapping + Mapping.object) !== 0;
  const scale = hostScale(mem);
  const from = mem.getU32(mapping + Mapping.end);
  const first = from >>> scale;
  const last = ((end - 1) >>> scale) + 1;
  if (scale > 0) reserveEdgeFrames(c, from, end);
  if (objects) lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  if (scale > 0) lockPages(mem, mm, first, last, thread);
  beginChange(mem, mm);
  const pages = end - from;
  account(mem, mm, mem.getU32(mapping + Mapping.prot), mem.getU32(mapping + Mapping.flags), pages);
  mem.setU32(mapping + Mapping.end, end);
  mappingResized(mem, mapping);
  joinNeighbours(mem, mm, mapping);
  endChange(mem, mm);
  if (scale > 0) {
    // The page in which the mapping ended may be present, and the one in which it ends now.
    settleEdges(c, from, end, true);
    unlockPages(mem, mm, first, last, thread);
    finishZap(c);
    releaseEdgeFrames(c);
  }
  if (objects) unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  settleRetired(c);
}

/** Target pages kept free below a growing stack. */
export const STACK_GUARD_PAGES = 256;

/** What is kept free below a growing stack (Linux: stack_guard_gap), in units of 4 KiB. */
export function stackGuardGap(mem: SharedMemory, mm: number): number {
  return STACK_GUARD_PAGES << (mem.getU32(mm + Mm.targetPageShift) - MIN_PAGE_SHIFT);
}

/**
 * A fault hit `unit`, below a MAP_GROWSDOWN mapping: extends the mapping down to its target page when the limits and the
 * guard gap allow. In KERNEL mode with no lock held. Says whether it is mapped now.
 */
export function growDown(c: Caller, unit: number): boolean {
  const { mem, mm, thread } = c;
  const units = 1 << (mem.getU32(mm + Mm.targetPageShift) - MIN_PAGE_SHIFT);
  const page = unit - (unit % units);
  lockMutexRecursive(mem, mm + Mm.mmapLock, thread);
  try {
    const mapping = firstEndingAfter(mem, mm, page);
    if (mapping === 0) return false;
    const start = mem.getU32(mapping + Mapping.start);
    if (start <= page) return true;
    const flags = mem.getU32(mapping + Mapping.flags);
    if ((flags & MAPPING_GROWSDOWN) === 0 || page < mem.getU32(mm + Mm.mmapMinAddr)) return false;
    const previous = mem.getU32(mapping + Mapping.previous);
    if (
      previous !== 0 &&
      (mem.getU32(previous + Mapping.flags) & MAPPING_GROWSDOWN) === 0 &&
      mem.getU32(previous + Mapping.prot) !== 0 &&
      page - mem.getU32(previous + Mapping.end) < stackGuardGap(mem, mm)
    )
      return false;
    const size = (mem.getU32(mapping + Mapping.end) - page) * MIN_PAGE_SIZE;
    if (size > mem.getU64(mm + Mm.limitStack)) return false;
    const more = (start - page) * MIN_PAGE_SIZE;
    if (mem.getU32(mm + Mm.mappedPages) * MIN_PAGE_SIZE + more > mem.getU64(mm + Mm.limitAs)) return false;
    const scale = hostScale(mem);
    const last = ((start - 1) >>> scale) + 1;
    if (scale > 0) {
      reserveEdgeFrames(c, page, start);
      lockPages(mem, mm, page >>> scale, last, thread);
    }
    beginChange(mem, mm);
    account(mem, mm, mem.getU32(mapping + Mapping.prot), flags, start - page);
    mem.setU32(mapping + Mapping.start, page);
    mappingResized(mem, mapping);
    endChange(mem, mm);
    if (scale > 0) {
      settleEdges(c, page, start, true);
      unlockPages(mem, mm, page >>> scale, last, thread);
      finishZap(c);
      releaseEdgeFrames(c);
    }
    return true;
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return false;
    throw error;
  } finally {
    unlockMutex(mem, mm + Mm.mmapLock, thread);
  }
}
