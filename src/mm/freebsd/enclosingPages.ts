import type { Caller } from '../../memory/caller.js';
import { MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { Mm } from '../../sync/records/mm.js';
import { targetPageSize, unsigned } from '../pageRange.js';

/** The whole pages around a range, as FreeBSD's calls take them: addresses need not be aligned. */
export interface EnclosingPages {
  /** First byte (a page boundary) and bytes, as unsigned numbers. */
  from: number;
  size: number;
  /** The end lies beyond 2^64. */
  wraps: boolean;
}

const TWO_64 = 2 ** 64;

/** Rounds `start` down and `start + length` up to pages, in 64-bit arithmetic (trunc_page, round_page). */
export function enclosingPages(c: Caller, start: number, length: number): EnclosingPages {
  const within = pageOffset(c, start);
  const from = unsigned(start - within);
  const size = roundPages(c, length, within);
  return { from, size, wraps: size > 0 && from + size >= TWO_64 };
}

/** How far an address or offset lies inside its page. */
export function pageOffset(c: Caller, address: number): number {
  const page = targetPageSize(c);
  return ((address % page) + page) % page;
}

/** `length` and `more` bytes rounded up to pages; wraps at 2^64 as the kernel's arithmetic does. */
export function roundPages(c: Caller, length: number, more: number): number {
  const page = targetPageSize(c);
  // On the signed number, which is exact near 2^64.
  const sum = Math.ceil((length + more) / page) * page;
  return sum < 0 ? unsigned(sum) : sum;
}

/** vm_map_range_valid: whether [from, from+size) lies within the map. */
export function isRangeValid(c: Caller, from: number, size: number): boolean {
  return from >= mapMin(c) && from + size <= mapMax(c);
}

/** vm_map_min and vm_map_max. */
export function mapMin(c: Caller): number {
  return c.mem.getU32(c.mm + Mm.mmapMinAddr) * MIN_PAGE_SIZE;
}
export function mapMax(c: Caller): number {
  return c.mem.getU64(c.mm + Mm.taskSize);
}

/** VM_MAP_RANGE_CHECK: the part of [from, from+size) that lies within the map, in units of records; may be empty. */
export function clampToMap(c: Caller, from: number, size: number): { first: number; end: number } {
  const first = Math.max(from, mapMin(c));
  const end = Math.min(from + size, mapMax(c));
  return { first: first / MIN_PAGE_SIZE, end: Math.max(first, end) / MIN_PAGE_SIZE };
}
