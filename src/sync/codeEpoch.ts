import { MACHINE, Machine } from './records/machine.js';
import { Mm } from './records/mm.js';
import type { SharedMemory } from './sharedMemory.js';

/** The lowest bit of what engines note beside an epoch is theirs (RegionMap.epochs). */
const STEP = 2n;

/**
 * Gives the address space a code epoch that none in the machine has had before: what engines have found of its code pages
 * (RegionMap.epochs) is to be looked at again. To be called after an entry of the code table was emptied or replaced, or a CodePage there got
 * another generation, and before anybody waits for threads that may still be using it. That an empty entry is filled needs no new epoch.
 */
export function newCodeEpoch(mem: SharedMemory, mm: number): void {
  const epoch = Atomics.add(mem.u64, (MACHINE + Machine.codeEpochs) >>> 3, STEP) + STEP;
  Atomics.store(mem.u64, (mm + Mm.codeEpoch) >>> 3, epoch);
}
