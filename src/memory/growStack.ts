import { lockMutexRecursive, unlockMutex } from '../sync/mutex.js';
import {
  MAPPING_DONTDUMP,
  MAPPING_GAP_PROT_SHIFT,
  MAPPING_GROWSDOWN,
  MAPPING_LOCKED,
  MAPPING_MAY_ALL,
  MAPPING_STACK_GAP,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import type { Caller } from './caller.js';
import { lockLimit } from './caller.js';
import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE } from './linuxMemory.js';
import type { NewMapping } from './mappingRecords.js';
import { mapRange } from './mappings.js';
import { mappingAt } from './mappingTree.js';

/**
 * FreeBSD's growing stacks: a MAP_STACK mapping is the top of its range, and the rest is a gap that belongs to it. A fault
 * in the gap makes the stack grow into it, down to one page that stays a guard.
 */

/** How much a stack grows by at least (kern.sgrowsiz), bytes. */
export const STACK_GROWTH = 128 * 1024;

const what: NewMapping = { prot: 0, flags: 0, file: 0, object: 0, offset: 0 };

/**
 * A fault hit `page`, in a stack's gap: lets the stack grow over it when it may (vm_map_growstack). In KERNEL mode with no
 * lock held. Says whether the page is to be looked at again. Throws OutOfKernelMemory.
 */
export function growStack(c: Caller, page: number): boolean {
  const { mem, mm, thread } = c;
  lockMutexRecursive(mem, mm + Mm.mmapLock, thread);
  try {
    const gap = mappingAt(mem, mm, page);
    if (gap === 0) return false;
    const gapFlags = mem.getU32(gap + Mapping.flags);
    // Another thread was faster.
    if ((gapFlags & MAPPING_STACK_GAP) === 0) return true;
    const end = mem.getU32(gap + Mapping.end);
    const stack = mem.getU32(gap + Mapping.next);
    if (stack === 0 || mem.getU32(stack + Mapping.start) !== end) return false;
    const stackFlags = mem.getU32(stack + Mapping.flags);
    if ((stackFlags & MAPPING_GROWSDOWN) === 0) return false;

    const guard = 1 << (mem.getU32(mm + Mm.targetPageShift) - MIN_PAGE_SHIFT);
    const most = end - mem.getU32(gap + Mapping.start) - guard;
    const needed = Math.ceil((end - page) / guard) * guard;
    if (needed > most) return false;
    const growth = STACK_GROWTH / MIN_PAGE_SIZE;
    const amount = Math.min(Math.ceil(needed / growth) * growth, most);
    const total = (mem.getU32(mm + Mm.mappedPages) + amount) * MIN_PAGE_SIZE;
    if (total > mem.getU64(mm + Mm.limitAs)) return false;
    if (mem.getU32(mm + Mm.lockFuture) !== 0) {
      const locked = (mem.getU32(mm + Mm.lockedPages) + amount) * MIN_PAGE_SIZE;
      if (locked > lockLimit(c)) return false;
    }
    what.prot = (gapFlags >>> MAPPING_GAP_PROT_SHIFT) & 7;
    what.flags =
      MAPPING_GROWSDOWN |
      (gapFlags & MAPPING_MAY_ALL) |
      (stackFlags & MAPPING_DONTDUMP) |
      (mem.getU32(mm + Mm.lockFuture) !== 0 ? MAPPING_LOCKED : 0);
    mapRange(c, end - amount, end, what);
    return true;
  } finally {
    unlockMutex(mem, mm + Mm.mmapLock, thread);
  }
}
