import type { Caller } from '../../memory/caller.js';
import { hostScale } from '../../memory/hostScale.js';
import { ENOMEM, MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import {
  lockPage,
  PTE_OBJECT,
  PTE_PRESENT,
  PTE_WRITE,
  PTE_WRITER,
  pageEntry,
  unlockPage,
} from '../../memory/pageTables.js';
import { copyOut } from '../../memory/userAccess.js';
import { Mm } from '../../sync/records/mm.js';
import { mmapLock, mmapUnlock } from '../mmapLock.js';
import { targetPageSize } from '../pageRange.js';
import { enclosingPages, mapMax } from './enclosingPages.js';
import {
  MINCORE_INCORE,
  MINCORE_MODIFIED,
  MINCORE_MODIFIED_OTHER,
  MINCORE_REFERENCED,
  MINCORE_REFERENCED_OTHER,
} from './freebsdMemory.js';
import { isMappedThroughout } from './mappingRuns.js';

/** Bytes of the answer made at a time. */
const BATCH = 4096;

const REFERENCED = MINCORE_INCORE | MINCORE_REFERENCED | MINCORE_REFERENCED_OTHER;
const MODIFIED = MINCORE_MODIFIED | MINCORE_MODIFIED_OTHER;

/**
 * FreeBSD's mincore(2): one byte of MINCORE_* bits a page to `vec`: what the caller has mapped in (vm.mincore_mapped=1).
 * A page that may be written without a fault counts as modified. 0 or −errno; a wild `vec` throws UserFault.
 */
export function freebsdMincore(c: Caller, start: number, length: number, vec: number): number {
  const { from, size, wraps } = enclosingPages(c, start, length);
  if (wraps || from + size > mapMax(c)) return -ENOMEM;
  const first = from / MIN_PAGE_SIZE;
  const end = first + Math.max(size, targetPageSize(c)) / MIN_PAGE_SIZE;
  mmapLock(c);
  const mapped = isMappedThroughout(c, first, end);
  mmapUnlock(c);
  if (!mapped) return -ENOMEM;
  const page = targetPageSize(c);
  const pages = size / page;
  for (let done = 0; done < pages; ) {
    const answer = new Uint8Array(Math.min(BATCH, pages - done));
    for (let i = 0; i < answer.length; i++) answer[i] = bitsOf(c, from + (done + i) * page);
    copyOut(c, vec + done, answer);
    done += answer.length;
  }
  return 0;
}

function bitsOf(c: Caller, address: number): number {
  const { mem, mm, thread } = c;
  if (address >= mem.getU64(mm + Mm.reach)) return 0;
  const scale = hostScale(mem);
  const page = (address / MIN_PAGE_SIZE) >>> scale;
  lockPage(mem, mm, page, thread);
  const entry = pageEntry(mem, mm, page);
  unlockPage(mem, mm, page, thread);
  if ((entry & PTE_PRESENT) === 0) return 0;
  const written = entry & PTE_OBJECT ? entry & PTE_WRITER : entry & PTE_WRITE;
  return written ? REFERENCED | MODIFIED : REFERENCED;
}
