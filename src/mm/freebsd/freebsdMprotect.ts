import type { Caller } from '../../memory/caller.js';
import { tbInvalidatePhysRange } from '../../memory/codePages.js';
import { EACCES, EINVAL, ENOMEM, EOPNOTSUPP, MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { changeRange } from '../../memory/mappings.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import {
  MAPPING_GAP_PROT_SHIFT,
  MAPPING_GUARD,
  MAPPING_MAY_ALL,
  MAPPING_MAY_SHIFT,
  MAPPING_STACK_GAP,
  Mapping,
} from '../../sync/records/mapping.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { clampToMap, enclosingPages } from './enclosingPages.js';
import { PROT_ALL, PROT_MAX_SHIFT } from './freebsdMemory.js';
import { forEachMapping } from './mappingRuns.js';

/**
 * FreeBSD's mprotect(2): 0 or −errno; nothing has changed when it fails. `prot` may hold PROT_MAX, which takes protections
 * away for good. Holes and guards are passed over; a stack's gap remembers what the stack is to get where it grows.
 * Returns when no other thread can still use what was taken away. KERNEL mode.
 */
export function freebsdMprotect(c: Caller, start: number, length: number, prot: number): number {
  if (prot & ~(PROT_ALL | (PROT_ALL << PROT_MAX_SHIFT))) return -EINVAL;
  const maxProt = (prot >>> PROT_MAX_SHIFT) & PROT_ALL;
  prot &= PROT_ALL;
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps) return -EINVAL;
  if (maxProt !== 0 && (maxProt & prot) !== prot) return -EOPNOTSUPP;
  if (size === 0) return 0;
  const { first, end } = clampToMap(c, from, size);
  mmapLock(c);
  try {
    const refused = forEachMapping(c, first, end, (mapping) => checkMapping(c, mapping, prot, maxProt));
    if (refused !== 0) return refused;
    if (first < end) tbInvalidatePhysRange(c, first * MIN_PAGE_SIZE, end * MIN_PAGE_SIZE - 1);
    return forEachMapping(c, first, end, (mapping, at, to) => {
      protectMapping(c, mapping, at, to, prot, maxProt);
      return 0;
    });
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}

function isGuard(flags: number): boolean {
  return (flags & (MAPPING_GUARD | MAPPING_STACK_GAP)) === MAPPING_GUARD;
}

function checkMapping(c: Caller, mapping: number, prot: number, maxProt: number): number {
  const flags = c.mem.getU32(mapping + Mapping.flags);
  const refused = (prot | maxProt) & ~(flags >> MAPPING_MAY_SHIFT) & PROT_ALL;
  return isGuard(flags) || refused === 0 ? 0 : -EACCES;
}

function protectMapping(
  c: Caller,
  mapping: number,
  from: number,
  to: number,
  prot: number,
  maxProt: number,
): void {
  const flags = c.mem.getU32(mapping + Mapping.flags);
  if (isGuard(flags)) return;
  let setFlags = 0;
  let clearFlags = 0;
  if (maxProt !== 0) {
    setFlags = maxProt << MAPPING_MAY_SHIFT;
    clearFlags = MAPPING_MAY_ALL;
  }
  if (flags & MAPPING_STACK_GAP) {
    setFlags |= prot << MAPPING_GAP_PROT_SHIFT;
    clearFlags |= PROT_ALL << MAPPING_GAP_PROT_SHIFT;
    changeRange(c, from, to, { prot: -1, setFlags, clearFlags });
  } else changeRange(c, from, to, { prot, setFlags, clearFlags });
}
