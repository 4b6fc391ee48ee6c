import { MACHINE, Machine } from '../../sync/records/machine.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';

/** How many processors the guests see. */
export function cpuCount(mem: SharedMemory): number {
  return Math.max(1, mem.getU32(MACHINE + Machine.cpuCount));
}
