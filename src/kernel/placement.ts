import type { MmOptions } from '../mm/addressSpace.js';
import { PLACEMENTS } from '../mm/findVma.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { GuestOptions } from './guestOptions.js';
import { fillRandom } from './random.js';

/**
 * Bottom-up placement leaves the first third of what the first page tables reach to the program and its heap, as QEMU
 * (task_unmapped_base) and Linux's legacy layout do.
 */
const FIRST_REACH = 256 * 2 ** 20;

/** How a new address space of a guest with these options places its mappings: part of createMm's options. */
export function placementOf(
  mem: SharedMemory,
  options: GuestOptions,
): Pick<MmOptions, 'placement' | 'placementSeed' | 'unmappedBase'> {
  let seed = options.placementSeed;
  if (options.placement === 'random' && seed === 0) {
    const bytes = new Uint8Array(4);
    fillRandom(mem, bytes);
    seed = new DataView(bytes.buffer).getUint32(0);
  }
  return {
    placement: PLACEMENTS[options.placement],
    placementSeed: seed,
    unmappedBase: Math.min(FIRST_REACH, options.reservedVa) / 3,
  };
}
