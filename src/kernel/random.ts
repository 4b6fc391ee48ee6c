import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Fills `bytes` with randomness: the host's, or with a seeded machine the seed's, a different stretch at each call. */
export function fillRandom(mem: SharedMemory, bytes: Uint8Array): void {
  const seed = mem.getU32(MACHINE + Machine.seed);
  if (seed === 0) {
    fillFromHost(bytes);
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

/** Bytes that are fetched at once for small requests, of which each process makes at least one; none is used twice. */
const pool = new Uint8Array(1024);
let unused = 0;

/** The host's randomness. Loading node:crypto takes longer than starting a small program, so that is put off. */
function fillFromHost(bytes: Uint8Array): void {
  if (bytes.length > pool.length / 4) {
    randomFillSync(bytes);
    return;
  }
  if (unused < bytes.length) {
    if (!fillFromDevice(pool)) randomFillSync(pool);
    unused = pool.length;
  }
  const taken = pool.subarray(unused - bytes.length, unused);
  bytes.set(taken);
  taken.fill(0);
  unused -= bytes.length;
}

function fillFromDevice(bytes: Uint8Array): boolean {
  let fd: number;
  try {
    fd = openSync('/dev/urandom', 'r');
  } catch {
    return false; // This host has none.
  }
  try {
    return readSync(fd, bytes) === bytes.length;
  } finally {
    closeSync(fd);
  }
}

/** `count` bytes of randomness. */
export function randomBytes(mem: SharedMemory, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  fillRandom(mem, bytes);
  return bytes;
}
