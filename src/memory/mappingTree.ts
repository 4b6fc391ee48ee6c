import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { hotPaths } from './hotPaths/hotPaths.js';

/**
 * The mappings of an address space in address order: a treap of Mapping records in shared memory, threaded by next and
 * previous links. Every node knows the first page, the end, and the largest gap of its subtree, so that finding a
 * mapping and finding room for one cost O(log n). Writers hold mmapLock and have made Mm.mappingsSequence odd.
 * The work is done in WebAssembly: hotPaths/treeCode.ts.
 */

const START = Mapping.start >>> 2;
const END = Mapping.end >>> 2;
const LEFT = Mapping.left >>> 2;
const RIGHT = Mapping.right >>> 2;

/** To be called after `start` or `end` of a node in the tree has changed (its place in the order has not). */
export function mappingResized(mem: SharedMemory, node: number): void {
  hotPaths(mem).resized(node);
}

/** Puts a mapping, whose start and end are set and free, into the tree. */
export function insertIntoTree(mem: SharedMemory, mm: number, node: number): void {
  hotPaths(mem).insert(mm, node);
}

/** Takes a mapping out of the tree; the record keeps its fields. */
export function removeFromTree(mem: SharedMemory, mm: number, node: number): void {
  hotPaths(mem).remove(mm, node);
}

/** The first mapping that ends beyond `page` (it may begin beyond it too), or 0: Linux's find_vma. mmapLock. */
export function firstEndingAfter(mem: SharedMemory, mm: number, page: number): number {
  return page < 0x1_0000_0000 ? hotPaths(mem).firstEndingAfter(mm, page) : 0;
}

/** The mapping that covers `page`, or 0. mmapLock. */
export function mappingAt(mem: SharedMemory, mm: number, page: number): number {
  const found = firstEndingAfter(mem, mm, page);
  return found !== 0 && mem.getU32(found + Mapping.start) <= page ? found : 0;
}

/** The mapping with the lowest address, or 0. */
export function firstMapping(mem: SharedMemory, mm: number): number {
  return firstEndingAfter(mem, mm, 0);
}

/** The mapping with the highest address, or 0. mmapLock. */
export function lastMapping(mem: SharedMemory, mm: number): number {
  return hotPaths(mem).last(mm);
}

/** The highest page at which `want` pages are free within [low, high), or −1. Page numbers below 2^31. */
export function highestGap(mem: SharedMemory, mm: number, low: number, high: number, want: number): number {
  return hotPaths(mem).highestGap(mem.getU32(mm + Mm.mappingsRoot), low, high, want);
}

/** The lowest page at which `want` pages are free within [low, high), or −1. Page numbers below 2^31. */
export function lowestGap(mem: SharedMemory, mm: number, low: number, high: number, want: number): number {
  return hotPaths(mem).lowestGap(mem.getU32(mm + Mm.mappingsRoot), low, high, want);
}

// --- reading without mmapLock ---

/**
 * A mapping as a fault saw it. One object a worker, overwritten by each look-up, so that faults allocate nothing.
 */
export interface MappingSnapshot {
  start: number;
  end: number;
  prot: number;
  flags: number;
  file: number;
  object: number;
  offset: number;
}

const MOST_STEPS = 200;
const SEQUENCE_SPINS = 200;

/**
 * Finds the mapping of `page` without mmapLock and copies it into `into`; false when there is none. What it says was
 * true at one moment during the call; the page's page-table lock, held by the caller, keeps it true (README.md).
 */
export function snapshotMapping(mem: SharedMemory, mm: number, page: number, into: MappingSnapshot): boolean {
  const sequence = (mm + Mm.mappingsSequence) >>> 2;
  const u32 = mem.u32;
  for (let spins = 0; ; spins++) {
    const before = Atomics.load(mem.i32, sequence);
    if (before & 1) {
      // A writer is at work; it needs nothing that we hold. It may have lost its processor, so do not burn ours.
      if (spins > SEQUENCE_SPINS) Atomics.wait(mem.i32, sequence, before, 1);
      continue;
    }
    let found = 0;
    let steps = 0;
    for (let at = mem.getU32(mm + Mm.mappingsRoot); at !== 0 && steps < MOST_STEPS; steps++) {
      const n = at >>> 2;
      if (u32[n + END] > page) {
        if (u32[n + START] <= page) {
          found = at;
          break;
        }
        at = u32[n + LEFT];
      } else at = u32[n + RIGHT];
    }
    if (found !== 0) {
      into.start = mem.getU32(found + Mapping.start);
      into.end = mem.getU32(found + Mapping.end);
      into.prot = mem.getU32(found + Mapping.prot);
      into.flags = mem.getU32(found + Mapping.flags);
      into.file = mem.getU32(found + Mapping.file);
      into.object = mem.getU32(found + Mapping.object);
      into.offset = mem.getU32(found + Mapping.offset);
    }
    if (Atomics.load(mem.i32, sequence) === before && steps < MOST_STEPS) return found !== 0;
  }
}
