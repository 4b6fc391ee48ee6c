import type { Caller } from '../memory/caller.js';
import { Mm } from '../sync/records/mm.js';

/** Arithmetic on system-call arguments, which arrive as signed JavaScript numbers (exact within ±2^53). */
const TWO_64 = 2 ** 64;

/** The page size of the caller's guest (PAGE_SIZE, AT_PAGESZ): 4096, 16384 or 65536. */
export function targetPageSize(c: Caller): number {
  return 1 << c.mem.getU32(c.mm + Mm.targetPageShift);
}

/** The argument as the unsigned 64-bit number that the kernel sees (rounded beyond 2^53). */
export function unsigned(value: number): number {
  return value < 0 ? value + TWO_64 : value;
}

/** Rounds an unsigned length up to whole target pages; 0 when that overflows 64 bits, as PAGE_ALIGN does. */
export function pageAlign(c: Caller, value: number): number {
  // On the signed number, which is exact near 2^64: −4095 … −1 overflow to 0.
  const page = targetPageSize(c);
  const aligned = Math.ceil(value / page) * page;
  return aligned === 0 ? 0 : unsigned(aligned);
}

/** Whether an address or offset does not lie on a target page boundary. */
export function isUnaligned(c: Caller, value: number): boolean {
  return value % targetPageSize(c) !== 0;
}
