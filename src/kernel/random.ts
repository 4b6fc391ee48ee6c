import { randomFillSync } from 'node:crypto';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Fills `bytes` with randomness: the host's, or with a seeded machine the seed's, a different stretch at each call. */
export function fillRandom(mem: SharedMemory, bytes: Uint8Array): void {
  const seed = mem.getU32(MACHINE + Machine.seed);
  if (seed === 0) {
    randomFillSync(bytes);
    return;
  }
  let state = (seed ^ Math.imul(mem.atomicAdd(MACHINE + Machine.seed + 4, 1) + 1, 0x9e3779b9)) >>> 0;
  for (let i = 0; i < bytes.length; i++) {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    bytes[i] = (z ^ (z >>> 14)) & 0xff;
  }
}
