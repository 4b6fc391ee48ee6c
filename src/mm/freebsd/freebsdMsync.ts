import type { Caller } from '../../memory/caller.js';
import { EBUSY, EINVAL, EIO, ENOMEM } from '../../memory/linuxMemory.js';
import { cleanRange } from '../../memory/mappings.js';
import { mappingAt } from '../../memory/mappingTree.js';
import { MAPPING_LOCKED, Mapping } from '../../sync/records/mapping.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { clampToMap, enclosingPages } from './enclosingPages.js';
import { MS_ASYNC, MS_INVALIDATE } from './freebsdMemory.js';
import { forEachMapping } from './mappingRuns.js';

/**
 * FreeBSD's msync(2): 0 or −errno. Writes the dirty pages of shared file mappings to the host, also with MS_ASYNC. A length
 * of 0 means the whole mapping at `start`. KERNEL mode.
 */
export function freebsdMsync(c: Caller, start: number, length: number, flags: number): number {
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps) return -EINVAL;
  if ((flags & (MS_ASYNC | MS_INVALIDATE)) === (MS_ASYNC | MS_INVALIDATE)) return -EINVAL;
  const { mem, mm } = c;
  let { first, end } = clampToMap(c, from, size);
  mmapLock(c);
  try {
    const mapping = mappingAt(mem, mm, first);
    if (mapping === 0) return -ENOMEM;
    if (first === end) {
      first = mem.getU32(mapping + Mapping.start);
      end = mem.getU32(mapping + Mapping.end);
    }
    let expected = first;
    const refused = forEachMapping(c, first, end, (m, at, to) => {
      if (at > expected) return -ENOMEM;
      if (flags & MS_INVALIDATE && mem.getU32(m + Mapping.flags) & MAPPING_LOCKED) return -EBUSY;
      expected = to;
      return 0;
    });
    if (refused !== 0) return refused;
    if (expected < end) return -ENOMEM;
    let result = 0;
    forEachMapping(c, first, end, (m, at, to) => {
      if (!cleanRange(c, m, at, to)) result = -EIO;
      return 0;
    });
    return result;
  } finally {
    mmapUnlock(c);
  }
}
