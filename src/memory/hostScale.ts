import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { MIN_PAGE_SHIFT } from './linuxMemory.js';

/** How many units of MIN_PAGE_SIZE a page of the machine's page tables has, as a power of two; 0 without `--host-page-size`. */
export function hostScale(mem: SharedMemory): number {
  return mem.getU32(MACHINE + Machine.hostPageShift) - MIN_PAGE_SHIFT;
}
