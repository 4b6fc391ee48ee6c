import type { Caller } from '../../memory/caller.js';
import { EINVAL, ENOMEM } from '../../memory/linuxMemory.js';
import { changeRange } from '../../memory/mappings.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import {
  MAPPING_DONTFORK,
  MAPPING_GUARD,
  MAPPING_INHERIT_COPY,
  MAPPING_INHERIT_SHARE,
  MAPPING_SHARED,
  MAPPING_WIPEONFORK,
  Mapping,
} from '../../sync/records/mapping.js';
import { Mm } from '../../sync/records/mm.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { clampToMap, enclosingPages } from './enclosingPages.js';
import { INHERIT_COPY, INHERIT_NONE, INHERIT_SHARE, INHERIT_ZERO } from './freebsdMemory.js';
import { forEachMapping } from './mappingRuns.js';

const ALL = MAPPING_DONTFORK | MAPPING_WIPEONFORK | MAPPING_INHERIT_SHARE | MAPPING_INHERIT_COPY;

/** FreeBSD's minherit(2): what fork(2) makes of the range. 0 or −errno; holes are fine. KERNEL mode. */
export function freebsdMinherit(c: Caller, start: number, length: number, inherit: number): number {
  const { mem, mm } = c;
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps) return -EINVAL;
  if (inherit < INHERIT_SHARE || inherit > INHERIT_ZERO) return -EINVAL;
  if (size === 0) return 0;
  const { first, end } = clampToMap(c, from, size);
  mmapLock(c);
  try {
    return forEachMapping(c, first, end, (mapping, at, to) => {
      const flags = mem.getU32(mapping + Mapping.flags);
      // A guard is copied when it is not left out.
      if (flags & MAPPING_GUARD && inherit === INHERIT_ZERO) return 0;
      const set = flags & MAPPING_GUARD && inherit !== INHERIT_NONE ? 0 : inheritanceFlag(flags, inherit);
      if (set & (MAPPING_INHERIT_SHARE | MAPPING_INHERIT_COPY)) mem.setU32(mm + Mm.inheritance, 1);
      changeRange(c, at, to, { prot: -1, setFlags: set, clearFlags: ALL });
      return 0;
    });
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}

/** The flag that says so, where it is not what fork does anyway. */
function inheritanceFlag(flags: number, inherit: number): number {
  if (inherit === INHERIT_NONE) return MAPPING_DONTFORK;
  if (inherit === INHERIT_ZERO) return MAPPING_WIPEONFORK;
  const shared = (flags & MAPPING_SHARED) !== 0;
  if (inherit === INHERIT_COPY) return shared ? MAPPING_INHERIT_COPY : 0;
  return shared ? 0 : MAPPING_INHERIT_SHARE;
}
