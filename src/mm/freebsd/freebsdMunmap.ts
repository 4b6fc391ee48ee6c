import type { Caller } from '../../memory/caller.js';
import { EINVAL, ENOMEM, MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { munmapLocked } from '../targetMunmap.js';
import { enclosingPages, isRangeValid } from './enclosingPages.js';

/** FreeBSD's munmap(2): 0 or −errno. The range is widened to whole pages; holes are fine. KERNEL mode. */
export function freebsdMunmap(c: Caller, start: number, length: number): number {
  if (length === 0) return -EINVAL;
  const { from, size } = enclosingPages(c, start, length);
  if (!isRangeValid(c, from, size)) return -EINVAL;
  if (size === 0) return 0; // a length that wraps to nothing
  mmapLock(c);
  try {
    return munmapLocked(c, from / MIN_PAGE_SIZE, (from + size) / MIN_PAGE_SIZE);
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}
