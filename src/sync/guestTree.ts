import { allocateBlock, freeBlock } from './heap.js';
import { GuestTree } from './records/guestTree.js';
import type { SharedMemory } from './sharedMemory.js';

/** Limits of a tree of guests; absent: none. */
export interface TreeLimits {
  readonly processes?: number;
  readonly threads?: number;
  /** Frames of all its address spaces. */
  readonly frames?: number;
}

const NO_LIMIT = 0x7fff_ffff;

/** Makes the record of a tree, with one reference. Throws OutOfKernelMemory. */
export function createTree(mem: SharedMemory, limits: TreeLimits, owner: number): number {
  const tree = allocateBlock(mem, GuestTree.SIZE, owner);
  mem.setI32(tree + GuestTree.refs, 1);
  mem.setI32(tree + GuestTree.maxProcesses, Math.min(limits.processes ?? NO_LIMIT, NO_LIMIT));
  mem.setI32(tree + GuestTree.maxThreads, Math.min(limits.threads ?? NO_LIMIT, NO_LIMIT));
  mem.setI32(tree + GuestTree.frameLimit, Math.min(limits.frames ?? NO_LIMIT, NO_LIMIT));
  return tree;
}

/** One more reference; `tree` 0 is none. */
export function retainTree(mem: SharedMemory, tree: number): void {
  if (tree !== 0) mem.atomicAdd(tree + GuestTree.refs, 1);
}

/** Gives a reference back; the last one frees the record. */
export function releaseTree(mem: SharedMemory, tree: number, owner: number): void {
  if (tree !== 0 && mem.atomicAdd(tree + GuestTree.refs, -1) === 1) freeBlock(mem, tree, owner);
}

/** Counts one more process or thread; false when the tree has as many as it may. `tree` 0 has no limits. */
function countOne(mem: SharedMemory, tree: number, field: number, limit: number): boolean {
  if (tree === 0) return true;
  if (mem.atomicAdd(tree + field, 1) < mem.getI32(tree + limit)) return true;
  mem.atomicAdd(tree + field, -1);
  return false;
}

export function countProcess(mem: SharedMemory, tree: number): boolean {
  return countOne(mem, tree, GuestTree.processes, GuestTree.maxProcesses);
}

export function uncountProcess(mem: SharedMemory, tree: number): void {
  if (tree !== 0) mem.atomicAdd(tree + GuestTree.processes, -1);
}

export function countThread(mem: SharedMemory, tree: number): boolean {
  return countOne(mem, tree, GuestTree.threads, GuestTree.maxThreads);
}

export function uncountThread(mem: SharedMemory, tree: number): void {
  if (tree !== 0) mem.atomicAdd(tree + GuestTree.threads, -1);
}
