import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/**
 * The mappings of an address space in address order: a treap of Mapping records in shared memory, threaded by next and
 * previous links. Every node knows the first page, the end, and the largest gap of its subtree, so that finding a
 * mapping and finding room for one cost O(log n). Writers hold mmapLock and have made Mm.mappingsSequence odd.
 */

/** Recomputes what `node` says about its subtree from its children; says whether anything changed. */
function refresh(mem: SharedMemory, node: number): boolean {
  const u32 = mem.u32;
  const n = node >>> 2;
  const left = u32[n + LEFT];
  const right = u32[n + RIGHT];
  const start = u32[n + START];
  const end = u32[n + END];
  let first = start;
  let last = end;
  let gap = 0;
  if (left !== 0) {
    const l = left >>> 2;
    first = u32[l + FIRST];
    gap = u32[l + GAP];
    const between = start - u32[l + LAST];
    if (between > gap) gap = between;
  }
  if (right !== 0) {
    const r = right >>> 2;
    last = u32[r + LAST];
    if (u32[r + GAP] > gap) gap = u32[r + GAP];
    const between = u32[r + FIRST] - end;
    if (between > gap) gap = between;
  }
  if (u32[n + FIRST] === first && u32[n + LAST] === last && u32[n + GAP] === gap) return false;
  u32[n + FIRST] = first;
  u32[n + LAST] = last;
  u32[n + GAP] = gap;
  return true;
}
const START = Mapping.start >>> 2;
const END = Mapping.end >>> 2;
const LEFT = Mapping.left >>> 2;
const RIGHT = Mapping.right >>> 2;
const PARENT = Mapping.parent >>> 2;
const FIRST = Mapping.subtreeStart >>> 2;
const LAST = Mapping.subtreeEnd >>> 2;
const GAP = Mapping.subtreeGap >>> 2;

/** To be called after `start` or `end` of a node in the tree has changed (its place in the order has not). */
export function mappingResized(mem: SharedMemory, node: number): void {
  while (node !== 0 && refresh(mem, node)) node = mem.u32[(node >>> 2) + PARENT];
}

function replaceChild(mem: SharedMemory, mm: number, parent: number, from: number, to: number): void {
  if (parent === 0) mem.setU32(mm + Mm.mappingsRoot, to);
  else if (mem.getU32(parent + Mapping.left) === from) mem.setU32(parent + Mapping.left, to);
  else mem.setU32(parent + Mapping.right, to);
  if (to !== 0) mem.setU32(to + Mapping.parent, parent);
}

/** Lifts `node` above its parent. */
function rotateUp(mem: SharedMemory, mm: number, node: number): void {
  const parent = mem.getU32(node + Mapping.parent);
  const grand = mem.getU32(parent + Mapping.parent);
  if (mem.getU32(parent + Mapping.left) === node) {
    const inner = mem.getU32(node + Mapping.right);
    mem.setU32(parent + Mapping.left, inner);
    if (inner !== 0) mem.setU32(inner + Mapping.parent, parent);
    mem.setU32(node + Mapping.right, parent);
  } else {
    const inner = mem.getU32(node + Mapping.left);
    mem.setU32(parent + Mapping.right, inner);
    if (inner !== 0) mem.setU32(inner + Mapping.parent, parent);
    mem.setU32(node + Mapping.left, parent);
  }
  replaceChild(mem, mm, grand, parent, node);
  mem.setU32(parent + Mapping.parent, node);
  refresh(mem, parent);
  refresh(mem, node);
}

/** A fixed pseudo-random priority from the record's address, so that the tree's shape is reproducible. */
function priorityOf(record: number): number {
  let x = (record >>> 4) ^ 0x9e37_79b9;
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Puts a mapping, whose start and end are set and free, into the tree. */
export function insertIntoTree(mem: SharedMemory, mm: number, node: number): void {
  const start = mem.getU32(node + Mapping.start);
  let parent = 0;
  let before = 0;
  let after = 0;
  for (let at = mem.getU32(mm + Mm.mappingsRoot); at !== 0; ) {
    parent = at;
    if (start < mem.getU32(at + Mapping.start)) {
      after = at;
      at = mem.getU32(at + Mapping.left);
    } else {
      before = at;
      at = mem.getU32(at + Mapping.right);
    }
  }
  mem.setU32(node + Mapping.left, 0);
  mem.setU32(node + Mapping.right, 0);
  mem.setU32(node + Mapping.parent, parent);
  mem.setU32(node + Mapping.previous, before);
  mem.setU32(node + Mapping.next, after);
  const priority = priorityOf(node);
  mem.setU32(node + Mapping.priority, priority);
  if (before !== 0) mem.setU32(before + Mapping.next, node);
  if (after !== 0) mem.setU32(after + Mapping.previous, node);
  if (parent === 0) mem.setU32(mm + Mm.mappingsRoot, node);
  else mem.setU32(parent + (parent === after ? Mapping.left : Mapping.right), node);
  refresh(mem, node);
  while (parent !== 0 && mem.getU32(parent + Mapping.priority) < priority) {
    rotateUp(mem, mm, node);
    parent = mem.getU32(node + Mapping.parent);
  }
  while (parent !== 0) {
    refresh(mem, parent);
    parent = mem.getU32(parent + Mapping.parent);
  }
  mem.setU32(mm + Mm.mappingCount, mem.getU32(mm + Mm.mappingCount) + 1);
}

/** Takes a mapping out of the tree; the record keeps its fields. */
export function removeFromTree(mem: SharedMemory, mm: number, node: number): void {
  for (;;) {
    const left = mem.getU32(node + Mapping.left);
    const right = mem.getU32(node + Mapping.right);
    if (left === 0 || right === 0) break;
    rotateUp(
      mem,
      mm,
      mem.getU32(left + Mapping.priority) > mem.getU32(right + Mapping.priority) ? left : right,
    );
  }
  const child = mem.getU32(node + Mapping.left) || mem.getU32(node + Mapping.right);
  const parent = mem.getU32(node + Mapping.parent);
  replaceChild(mem, mm, parent, node, child);
  for (let at = parent; at !== 0; at = mem.getU32(at + Mapping.parent)) refresh(mem, at);
  const previous = mem.getU32(node + Mapping.previous);
  const next = mem.getU32(node + Mapping.next);
  if (previous !== 0) mem.setU32(previous + Mapping.next, next);
  if (next !== 0) mem.setU32(next + Mapping.previous, previous);
  mem.setU32(mm + Mm.mappingCount, mem.getU32(mm + Mm.mappingCount) - 1);
}

/** The first mapping that ends beyond `page` (it may begin beyond it too), or 0: Linux's find_vma. mmapLock. */
export function firstEndingAfter(mem: SharedMemory, mm: number, page: number): number {
  let best = 0;
  for (let at = mem.getU32(mm + Mm.mappingsRoot); at !== 0; ) {
    if (mem.getU32(at + Mapping.end) > page) {
      best = at;
      if (mem.getU32(at + Mapping.start) <= page) return at;
      at = mem.getU32(at + Mapping.left);
    } else at = mem.getU32(at + Mapping.right);
  }
  return best;
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

/** The highest page at which `want` pages are free within [low, high), or −1. */
export function highestGap(mem: SharedMemory, mm: number, low: number, high: number, want: number): number {
  return gapFromTop(mem, mem.getU32(mm + Mm.mappingsRoot), low, high, want);
}

function gapFromTop(mem: SharedMemory, node: number, low: number, high: number, want: number): number {
  if (high - low < want) return -1;
  if (node === 0) return high - want;
  const u32 = mem.u32;
  const n = node >>> 2;
  if (u32[n + GAP] < want && high - u32[n + LAST] < want && u32[n + FIRST] - low < want) return -1;
  const start = u32[n + START];
  const end = u32[n + END];
  if (end < high) {
    const found = gapFromTop(mem, u32[n + RIGHT], Math.max(end, low), high, want);
    if (found >= 0) return found;
  }
  return start > low ? gapFromTop(mem, u32[n + LEFT], low, Math.min(start, high), want) : -1;
}

/** The lowest page at which `want` pages are free within [low, high), or −1. */
export function lowestGap(mem: SharedMemory, mm: number, low: number, high: number, want: number): number {
  return gapFromBottom(mem, mem.getU32(mm + Mm.mappingsRoot), low, high, want);
}

function gapFromBottom(mem: SharedMemory, node: number, low: number, high: number, want: number): number {
  if (high - low < want) return -1;
  if (node === 0) return low;
  const u32 = mem.u32;
  const n = node >>> 2;
  if (u32[n + GAP] < want && high - u32[n + LAST] < want && u32[n + FIRST] - low < want) return -1;
  const start = u32[n + START];
  const end = u32[n + END];
  if (start > low) {
    const found = gapFromBottom(mem, u32[n + LEFT], low, Math.min(start, high), want);
    if (found >= 0) return found;
  }
  return end < high ? gapFromBottom(mem, u32[n + RIGHT], Math.max(end, low), high, want) : -1;
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
