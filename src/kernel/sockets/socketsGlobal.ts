import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Sockets } from '../../sync/records/socket.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';

/** The machine's Sockets record, made by whoever needs it first. */
export function socketsGlobal(mem: SharedMemory, owner: number): number {
  const at = MACHINE + Machine.sockets;
  const existing = mem.atomicLoad(at) >>> 0;
  if (existing !== 0) return existing;
  const made = allocateBlock(mem, Sockets.SIZE, owner);
  const seen = mem.atomicCompareExchange(at, 0, made) >>> 0;
  if (seen === 0) return made;
  freeBlock(mem, made, owner);
  return seen;
}
