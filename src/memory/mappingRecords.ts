import { allocateBlock, freeBlock, hasKernelMemory } from '../sync/heap.js';
import {
  MAPPING_GROWSDOWN,
  MAPPING_GUARD,
  MAPPING_LOCKED,
  MAPPING_SHARED,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { OBJECT_FILE, SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { Caller } from './caller.js';
import { writeBack } from './filePages.js';
import { releaseHostFile, retainHostFile } from './hostFile.js';
import { hostScale } from './hostScale.js';
import { PROT_WRITE } from './linuxMemory.js';
import {
  firstEndingAfter,
  insertIntoTree,
  lastMapping,
  mappingAt,
  mappingResized,
  removeFromTree,
} from './mappingTree.js';
import { linkMapping, releaseObject, retainObject, unlinkMapping } from './sharedObject.js';

/**
 * The records of an address space's mappings: set aside before a change, so that nothing can fail half way; then cut, split,
 * joined and placed in the tree while Mm.mappingsSequence is odd; and settled when the change is done. All with mmapLock held.
 */

/** What a new mapping is made of; see Mapping for the fields. References to file and object are taken by mapRange. */
export interface NewMapping {
  prot: number;
  flags: number;
  file: number;
  object: number;
  offset: number;
}

/** Most records that one change can need beyond those it finds: two edges split, one new. */
export const RECORDS_PER_CHANGE = 3;
/** Retired records kept by an address space. */
export const MOST_SPARES = 256;
/** How many there are after some had to be allocated, where memory is no matter. */
const SPARES_AT_ONCE = 8;

// --- records ---

/**
 * Sets records aside, so that changes that need no more cannot fail. mmapLock is held. Throws OutOfKernelMemory before
 * anything has changed.
 */
export function reserveRecords(c: Caller, count: number): void {
  const { mem, mm } = c;
  if (mem.getU32(mm + Mm.spareMappingCount) >= count) return;
  while (mem.getU32(mm + Mm.spareMappingCount) < count) addSpare(c);
  // Some more while we are at it, for the hot paths, which allocate none.
  if (!hasKernelMemory(mem, SPARES_AT_ONCE * Mapping.SIZE * 2)) return;
  while (mem.getU32(mm + Mm.spareMappingCount) < SPARES_AT_ONCE) addSpare(c);
}

function addSpare(c: Caller): void {
  const { mem, mm, thread } = c;
  const record = allocateBlock(mem, Mapping.SIZE, thread);
  mem.setU32(record + Mapping.mm, mm);
  keepRecord(mem, mm, record);
}

/**
 * reserveRecords for a change of [start, end) that adds no mapping: where no record is to be had, it may go on if it cuts
 * nothing in two. So what frees memory works when there is none.
 */
export function reserveForCuts(c: Caller, start: number, end: number): void {
  const { mem, mm } = c;
  if (mem.getU32(mm + Mm.spareMappingCount) >= RECORDS_PER_CHANGE) return;
  try {
    reserveRecords(c, RECORDS_PER_CHANGE);
  } catch (error) {
    const first = mappingAt(mem, mm, start);
    const last = mappingAt(mem, mm, end - 1);
    const cuts =
      (first !== 0 && mem.getU32(first + Mapping.start) < start ? 1 : 0) +
      (last !== 0 && mem.getU32(last + Mapping.end) > end ? 1 : 0);
    if (mem.getU32(mm + Mm.spareMappingCount) < cuts) throw error;
  }
}

function keepRecord(mem: SharedMemory, mm: number, record: number): void {
  mem.setU32(record + Mapping.nextOfObject, mem.getU32(mm + Mm.spareMappings));
  mem.setU32(mm + Mm.spareMappings, record);
  mem.setU32(mm + Mm.spareMappingCount, mem.getU32(mm + Mm.spareMappingCount) + 1);
}

function takeRecord(mem: SharedMemory, mm: number): number {
  const record = mem.getU32(mm + Mm.spareMappings);
  mem.setU32(mm + Mm.spareMappings, mem.getU32(record + Mapping.nextOfObject));
  mem.setU32(mm + Mm.spareMappingCount, mem.getU32(mm + Mm.spareMappingCount) - 1);
  return record;
}

/** Gives records beyond `keep` back to the heap. Only when no reader can be under way, or they stay Mappings. */
export function freeSpareMappings(c: Caller, keep: number): void {
  const { mem, mm, thread } = c;
  while (mem.getU32(mm + Mm.spareMappingCount) > keep) freeBlock(mem, takeRecord(mem, mm), thread);
}

// --- accounting ---

/** Adds the pages of a mapping to the address space's totals (or takes them off, when negative); guards do not count. */
export function account(mem: SharedMemory, mm: number, prot: number, flags: number, pages: number): void {
  if (flags & MAPPING_GUARD) return;
  const mapped = mem.getU32(mm + Mm.mappedPages);
  // As in Linux the peak is looked at when memory goes.
  if (pages < 0 && mapped > mem.getU32(mm + Mm.mappedPeak)) mem.setU32(mm + Mm.mappedPeak, mapped);
  mem.setU32(mm + Mm.mappedPages, mapped + pages);
  if (isData(prot, flags)) mem.setU32(mm + Mm.dataPages, mem.getU32(mm + Mm.dataPages) + pages);
  if (flags & MAPPING_LOCKED) mem.setU32(mm + Mm.lockedPages, mem.getU32(mm + Mm.lockedPages) + pages);
}

/** Counts against RLIMIT_DATA: private, writable, not a stack (Linux: is_data_mapping). */
export function isData(prot: number, flags: number): boolean {
  return (prot & PROT_WRITE) !== 0 && (flags & (MAPPING_SHARED | MAPPING_GROWSDOWN)) === 0;
}

// --- the change itself; sequence odd ---

export function beginChange(mem: SharedMemory, mm: number): void {
  mem.atomicAdd(mm + Mm.mappingsSequence, 1);
}
export function endChange(mem: SharedMemory, mm: number): void {
  mem.atomicAdd(mm + Mm.mappingsSequence, 1);
}

/** Cuts `mapping` in two at `page`, strictly inside it; returns the upper part. */
export function splitMapping(mem: SharedMemory, mm: number, mapping: number, page: number): number {
  const upper = takeRecord(mem, mm);
  const object = mem.getU32(mapping + Mapping.object);
  const start = mem.getU32(mapping + Mapping.start);
  mem.setU32(upper + Mapping.start, page);
  mem.setU32(upper + Mapping.end, mem.getU32(mapping + Mapping.end));
  copyAttributes(mem, upper, mapping);
  if (object !== 0) mem.setU32(upper + Mapping.offset, mem.getU32(mapping + Mapping.offset) + (page - start));
  mem.setU32(mapping + Mapping.end, page);
  mappingResized(mem, mapping);
  insertIntoTree(mem, mm, upper);
  takeReferences(mem, upper);
  return upper;
}

export function copyAttributes(mem: SharedMemory, to: number, from: number): void {
  mem.setU32(to + Mapping.prot, mem.getU32(from + Mapping.prot));
  mem.setU32(to + Mapping.flags, mem.getU32(from + Mapping.flags));
  mem.setU32(to + Mapping.file, mem.getU32(from + Mapping.file));
  mem.setU32(to + Mapping.object, mem.getU32(from + Mapping.object));
  mem.setU32(to + Mapping.offset, mem.getU32(from + Mapping.offset));
}

/** References of a mapping to its file and object, and its place in the object's list. */
export function takeReferences(mem: SharedMemory, mapping: number): void {
  const object = mem.getU32(mapping + Mapping.object);
  if (object === 0) return;
  const file = mem.getU32(mapping + Mapping.file);
  if (file !== 0) retainHostFile(mem, file);
  retainObject(mem, object);
  linkMapping(mem, mapping);
}

/** Whether `upper`, which begins where `lower` ends, continues it. */
function continues(mem: SharedMemory, lower: number, upper: number): boolean {
  const object = mem.getU32(lower + Mapping.object);
  return (
    mem.getU32(lower + Mapping.end) === mem.getU32(upper + Mapping.start) &&
    mem.getU32(lower + Mapping.prot) === mem.getU32(upper + Mapping.prot) &&
    mem.getU32(lower + Mapping.flags) === mem.getU32(upper + Mapping.flags) &&
    object === mem.getU32(upper + Mapping.object) &&
    mem.getU32(lower + Mapping.file) === mem.getU32(upper + Mapping.file) &&
    (object === 0 ||
      mem.getU32(lower + Mapping.offset) +
        (mem.getU32(lower + Mapping.end) - mem.getU32(lower + Mapping.start)) ===
        mem.getU32(upper + Mapping.offset))
  );
}

/** Retired mappings of the change under way, linked by nextOfObject. */
let retired = 0;

function retire(mem: SharedMemory, mm: number, mapping: number): void {
  removeFromTree(mem, mm, mapping);
  if (mem.getU32(mapping + Mapping.object) !== 0) unlinkMapping(mem, mapping);
  addRetired(mem, mapping);
}

/** Leaves a mapping that is out of the tree and out of its object's list to settleRetired. */
export function addRetired(mem: SharedMemory, mapping: number): void {
  mem.setU32(mapping + Mapping.nextOfObject, retired);
  retired = mapping;
}

/** Joins `mapping` with its neighbours where they continue each other; returns the record that covers it now. */
export function joinNeighbours(mem: SharedMemory, mm: number, mapping: number): number {
  const next = mem.getU32(mapping + Mapping.next);
  if (next !== 0 && continues(mem, mapping, next)) {
    const end = mem.getU32(next + Mapping.end);
    retire(mem, mm, next);
    mem.setU32(mapping + Mapping.end, end);
    mappingResized(mem, mapping);
  }
  const previous = mem.getU32(mapping + Mapping.previous);
  if (previous !== 0 && continues(mem, previous, mapping)) {
    const end = mem.getU32(mapping + Mapping.end);
    retire(mem, mm, mapping);
    mem.setU32(previous + Mapping.end, end);
    mappingResized(mem, previous);
    return previous;
  }
  return mapping;
}

/**
 * Takes [start, end) out of the tree; what was there is retired (accounts included). A mapping of an object that is cut
 * partly is split first, so that the retired piece says what is to be written back.
 */
export function cutRange(mem: SharedMemory, mm: number, start: number, end: number): void {
  let mapping = firstEndingAfter(mem, mm, start);
  while (mapping !== 0 && mem.getU32(mapping + Mapping.start) < end) {
    const object = mem.getU32(mapping + Mapping.object);
    if (object !== 0 && mem.getU32(mapping + Mapping.start) < start)
      mapping = splitMapping(mem, mm, mapping, start);
    if (object !== 0 && mem.getU32(mapping + Mapping.end) > end) splitMapping(mem, mm, mapping, end);
    const from = mem.getU32(mapping + Mapping.start);
    const to = mem.getU32(mapping + Mapping.end);
    const next = mem.getU32(mapping + Mapping.next);
    const pages = Math.min(to, end) - Math.max(from, start);
    account(mem, mm, mem.getU32(mapping + Mapping.prot), mem.getU32(mapping + Mapping.flags), -pages);
    if (from < start) {
      if (to > end) splitMapping(mem, mm, mapping, end);
      mem.setU32(mapping + Mapping.end, start);
      mappingResized(mem, mapping);
    } else if (to > end) {
      mem.setU32(mapping + Mapping.start, end);
      mappingResized(mem, mapping);
    } else retire(mem, mm, mapping);
    mapping = next;
  }
}

/** Puts a new mapping into an empty range, joining it with its neighbours. */
export function placeMapping(
  mem: SharedMemory,
  mm: number,
  start: number,
  end: number,
  what: NewMapping,
): void {
  account(mem, mm, what.prot, what.flags, end - start);
  if (what.object === 0) {
    // The common case without a record: the range extends a neighbour.
    const next = firstEndingAfter(mem, mm, start);
    const previous = next === 0 ? lastMapping(mem, mm) : mem.getU32(next + Mapping.previous);
    const joinsNext = next !== 0 && mem.getU32(next + Mapping.start) === end && isLike(mem, next, what);
    if (previous !== 0 && mem.getU32(previous + Mapping.end) === start && isLike(mem, previous, what)) {
      mem.setU32(previous + Mapping.end, end);
      mappingResized(mem, previous);
      if (joinsNext) joinNeighbours(mem, mm, previous);
      return;
    }
    if (joinsNext) {
      mem.setU32(next + Mapping.start, start);
      mappingResized(mem, next);
      return;
    }
  }
  const mapping = takeRecord(mem, mm);
  mem.setU32(mapping + Mapping.start, start);
  mem.setU32(mapping + Mapping.end, end);
  mem.setU32(mapping + Mapping.prot, what.prot);
  mem.setU32(mapping + Mapping.flags, what.flags);
  mem.setU32(mapping + Mapping.file, what.file);
  mem.setU32(mapping + Mapping.object, what.object);
  mem.setU32(mapping + Mapping.offset, what.offset);
  insertIntoTree(mem, mm, mapping);
  takeReferences(mem, mapping);
  if (what.object !== 0) joinNeighbours(mem, mm, mapping);
}

function isLike(mem: SharedMemory, mapping: number, what: NewMapping): boolean {
  return (
    mem.getU32(mapping + Mapping.object) === 0 &&
    mem.getU32(mapping + Mapping.prot) === what.prot &&
    mem.getU32(mapping + Mapping.flags) === what.flags
  );
}

/** Releases what the retired mappings held: dirty pages are written back first. No lock but mmapLock is held. */
export function settleRetired(c: Caller, mostSpares = MOST_SPARES): void {
  const { mem, mm, thread } = c;
  while (retired !== 0) {
    const mapping = retired;
    retired = mem.getU32(mapping + Mapping.nextOfObject);
    const object = mem.getU32(mapping + Mapping.object);
    if (object !== 0) {
      const file = mem.getU32(mapping + Mapping.file);
      writeBackMapping(c, mapping);
      if (file !== 0) releaseHostFile(mem, thread, file);
      releaseObject(mem, object, thread);
    }
    if (mem.getU32(mm + Mm.spareMappingCount) < mostSpares) keepRecord(mem, mm, mapping);
    else freeBlock(mem, mapping, thread);
  }
}

/** Writes the dirty pages of a shared file mapping to the host; false when the host refused some. */
export function writeBackMapping(c: Caller, mapping: number): boolean {
  const { mem, thread } = c;
  const file = mem.getU32(mapping + Mapping.file);
  const object = mem.getU32(mapping + Mapping.object);
  if (file === 0 || (mem.getU32(mapping + Mapping.flags) & MAPPING_SHARED) === 0) return true;
  if (mem.getU32(object + SharedObject.kind) !== OBJECT_FILE) return true;
  const scale = hostScale(mem);
  const offset = mem.getU32(mapping + Mapping.offset);
  const pages = mem.getU32(mapping + Mapping.end) - mem.getU32(mapping + Mapping.start);
  return writeBack(mem, file, offset >>> scale, ((offset + pages - 1) >>> scale) + 1, thread);
}
