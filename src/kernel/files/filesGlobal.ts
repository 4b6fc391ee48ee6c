import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { FilesGlobal } from '../../sync/records/files.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';

/** The machine's FilesGlobal record, made by whoever needs it first. */
export function filesGlobal(mem: SharedMemory, owner: number): number {
  const at = MACHINE + Machine.filesGlobal;
  const existing = mem.atomicLoad(at) >>> 0;
  if (existing !== 0) return existing;
  const made = allocateBlock(mem, FilesGlobal.SIZE, owner);
  const seen = mem.atomicCompareExchange(at, 0, made) >>> 0;
  if (seen === 0) return made;
  freeBlock(mem, made, owner);
  return seen;
}

/** The machine's FilesGlobal record, or 0 while nobody has needed it. */
export function existingFilesGlobal(mem: SharedMemory): number {
  return mem.atomicLoad(MACHINE + Machine.filesGlobal) >>> 0;
}

/** A number that nothing else of kernel/files in this machine has. */
export function uniqueId(mem: SharedMemory, owner: number): number {
  return mem.atomicAdd(filesGlobal(mem, owner) + FilesGlobal.lastId, 1) + 1;
}
