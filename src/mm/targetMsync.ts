import type { Caller } from '../memory/caller.js';
import {
  EBUSY,
  EINVAL,
  ENOMEM,
  MIN_PAGE_SIZE,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
} from '../memory/linuxMemory.js';
import { cleanRange } from '../memory/mappings.js';
import { firstEndingAfter } from '../memory/mappingTree.js';
import { MAPPING_LOCKED, Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, unsigned } from './pageRange.js';

const EIO = 5;

/**
 * msync(2): 0 or −errno. MS_SYNC writes dirty pages of shared file mappings to the host, so that a host process that reads
 * the file sees them; MS_ASYNC does so too (allowed, and nothing is lost when the machine ends). KERNEL mode.
 */
export function targetMsync(c: Caller, start: number, length: number, flags: number): number {
  const { mem, mm } = c;
  if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) return -EINVAL;
  if (isUnaligned(c, start)) return -EINVAL;
  if (flags & MS_ASYNC && flags & MS_SYNC) return -EINVAL;
  const size = pageAlign(c, length);
  const from = unsigned(start);
  if (from + size >= 2 ** 64) return -ENOMEM;
  if (size === 0) return 0; // also for a length that overflows
  const end = Math.min(from + size, mem.getU64(mm + Mm.taskSize)) / MIN_PAGE_SIZE;
  let at = from / MIN_PAGE_SIZE;
  let result = from + size > mem.getU64(mm + Mm.taskSize) ? -ENOMEM : 0;
  mmapLock(c);
  try {
    for (let m = firstEndingAfter(mem, mm, at); at < end; m = mem.getU32(m + Mapping.next)) {
      if (m === 0 || mem.getU32(m + Mapping.start) >= end) return -ENOMEM;
      const first = mem.getU32(m + Mapping.start);
      if (first > at) {
        result = -ENOMEM;
        at = first;
      }
      if (flags & MS_INVALIDATE && mem.getU32(m + Mapping.flags) & MAPPING_LOCKED) return -EBUSY;
      const stop = Math.min(end, mem.getU32(m + Mapping.end));
      if (flags & (MS_SYNC | MS_ASYNC) && !cleanRange(c, m, at, stop)) result = -EIO;
      at = stop;
    }
    return result;
  } finally {
    mmapUnlock(c);
  }
}
