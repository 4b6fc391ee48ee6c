import type { Caller } from '../memory/caller.js';
import { MIN_PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from '../memory/linuxMemory.js';
import { changeRange } from '../memory/mappings.js';
import { firstEndingAfter, mappingAt } from '../memory/mappingTree.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { targetPageSize } from './pageRange.js';

/** QEMU's view of a page: its protection and whether it is mapped. */
export const PAGE_READ = PROT_READ;
export const PAGE_WRITE = PROT_WRITE;
export const PAGE_EXEC = PROT_EXEC;
export const PAGE_VALID = 8;

/** PAGE_* of the page at `address`; 0 when nothing is mapped there. */
export function pageGetFlags(c: Caller, address: number): number {
  if (!(address >= 0 && address < c.mem.getU64(c.mm + Mm.taskSize))) return 0;
  mmapLock(c);
  const mapping = mappingAt(c.mem, c.mm, Math.floor(address / MIN_PAGE_SIZE));
  const flags = mapping === 0 ? 0 : c.mem.getU32(mapping + Mapping.prot) | PAGE_VALID;
  mmapUnlock(c);
  return flags;
}

/** Gives the mapped pages of [start, last] the protection in PAGE_* `flags`, without mprotect's checks. mmapLock. */
export function pageSetFlags(c: Caller, start: number, last: number, flags: number): void {
  const page = targetPageSize(c);
  const units = page / MIN_PAGE_SIZE;
  const from = Math.floor(start / page) * units;
  const to = (Math.floor(last / page) + 1) * units;
  changeRange(c, from, to, {
    prot: flags & (PAGE_READ | PAGE_WRITE | PAGE_EXEC),
    setFlags: 0,
    clearFlags: 0,
  });
}

/** Whether all of [start, start+length) is mapped with at least the access in `flags`. */
export function pageCheckRange(c: Caller, start: number, length: number, flags: number): boolean {
  if (length === 0) return true;
  const { mem, mm } = c;
  if (!(start >= 0 && start + length <= mem.getU64(mm + Mm.taskSize))) return false;
  const to = Math.ceil((start + length) / MIN_PAGE_SIZE);
  let at = Math.floor(start / MIN_PAGE_SIZE);
  const wanted = flags & (PAGE_READ | PAGE_WRITE | PAGE_EXEC);
  mmapLock(c);
  try {
    for (let m = firstEndingAfter(mem, mm, at); at < to; m = mem.getU32(m + Mapping.next)) {
      if (m === 0 || mem.getU32(m + Mapping.start) > at) return false;
      if ((mem.getU32(m + Mapping.prot) & wanted) !== wanted) return false;
      at = mem.getU32(m + Mapping.end);
    }
    return true;
  } finally {
    mmapUnlock(c);
  }
}
