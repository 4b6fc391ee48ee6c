import { ACCESS_READ, ACCESS_WRITE, type Caller, FAULT_HANDLED } from '../memory/caller.js';
import { resolveFault } from '../memory/faults.js';
import { MIN_PAGE_SIZE, PROT_READ, PROT_WRITE } from '../memory/linuxMemory.js';
import { firstEndingAfter } from '../memory/mappingTree.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_LOCK_ON_FAULT, MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';

/**
 * Brings the pages [from, to) (smallest pages) in, mapping by mapping, as Linux's __mm_populate: for writing where that makes
 * a private page, for reading otherwise; what is locked on fault is left alone. False at the first page that cannot be
 * had or is not mapped; with `onwards` those are passed over. KERNEL mode, no lock held.
 */
export function populateMapped(c: Caller, from: number, to: number, onwards: boolean): boolean {
  const { mem, mm } = c;
  const page = (1 << mem.getU32(MACHINE + Machine.hostPageShift)) / MIN_PAGE_SIZE;
  for (let at = from; at < to; ) {
    mmapLock(c);
    const mapping = firstEndingAfter(mem, mm, at);
    const start = mapping === 0 ? to : mem.getU32(mapping + Mapping.start);
    const end = mapping === 0 ? to : Math.min(to, mem.getU32(mapping + Mapping.end));
    const prot = mapping === 0 ? 0 : mem.getU32(mapping + Mapping.prot);
    const flags = mapping === 0 ? 0 : mem.getU32(mapping + Mapping.flags);
    mmapUnlock(c);
    if (start > at) {
      if (!onwards) return false;
      at = Math.min(start, to);
      continue;
    }
    if (prot === 0 && !onwards) return false;
    if (flags & MAPPING_LOCK_ON_FAULT || (prot & (PROT_READ | PROT_WRITE)) === 0) {
      at = end;
      continue;
    }
    const access = prot & PROT_WRITE && !(flags & MAPPING_SHARED) ? ACCESS_WRITE : ACCESS_READ;
    for (; at < end; at = Math.floor(at / page) * page + page) {
      if (resolveFault(c, at * MIN_PAGE_SIZE, access) === FAULT_HANDLED) continue;
      if (!onwards) return false;
      // Nothing else of this mapping is tried.
      at = end;
      break;
    }
  }
  return true;
}
