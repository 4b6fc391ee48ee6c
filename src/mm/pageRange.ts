import { TARGET_PAGE_SIZE } from '../memory/linuxMemory.js';

/** Arithmetic on system-call arguments, which arrive as signed JavaScript numbers (exact within ±2^53). */
const TWO_64 = 2 ** 64;

/** The argument as the unsigned 64-bit number that the kernel sees (rounded beyond 2^53). */
export function unsigned(value: number): number {
  return value < 0 ? value + TWO_64 : value;
}

/** Rounds an unsigned length up to whole target pages; 0 when that overflows 64 bits, as PAGE_ALIGN does. */
export function pageAlign(value: number): number {
  // On the signed number, which is exact near 2^64: −4095 … −1 overflow to 0.
  const aligned = Math.ceil(value / TARGET_PAGE_SIZE) * TARGET_PAGE_SIZE;
  return aligned === 0 ? 0 : unsigned(aligned);
}

/** Whether an address or offset does not lie on a target page boundary. */
export function isUnaligned(value: number): boolean {
  return value % TARGET_PAGE_SIZE !== 0;
}
