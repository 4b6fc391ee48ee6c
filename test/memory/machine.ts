import type { Caller } from '../../src/memory/caller.js';
import { createMachineMemory, type MachineMemoryOptions } from '../../src/memory/machineMemory.js';
import { createMm, type MmOptions } from '../../src/mm/addressSpace.js';
import { allocateBlock } from '../../src/sync/heap.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { Thread } from '../../src/sync/records/thread.js';
import { addThread } from '../../src/sync/safepoint.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

export const PAGE = 4096;

/** A machine of 64 MiB (unless said) with one address space and one thread in it, in KERNEL mode. */
export function createCaller(machine: MachineMemoryOptions = {}, options: MmOptions = {}): Caller {
  const mem = createMachineMemory({ bytes: 64 * 1024 * 1024, ...machine });
  return addCaller(mem, createMm(mem, COORDINATOR, options));
}

/** One more thread of `mm`. */
export function addCaller(mem: SharedMemory, mm: number): Caller {
  const thread = allocateBlock(mem, Thread.SIZE, COORDINATOR);
  addThread(mem, mm, thread, COORDINATOR);
  return { mem, thread, mm };
}
