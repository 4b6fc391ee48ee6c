import type { Caller } from '../memory/caller.js';
import { tbInvalidatePhysRange } from '../memory/codePages.js';
import { hotPaths } from '../memory/hotPaths/hotPaths.js';
import {
  EACCES,
  EINVAL,
  ENOMEM,
  MIN_PAGE_SIZE,
  PROT_EXEC,
  PROT_GROWSDOWN,
  PROT_GROWSUP,
  PROT_READ,
  PROT_SEM,
  PROT_WRITE,
} from '../memory/linuxMemory.js';
import { isData } from '../memory/mappingRecords.js';
import { changeRange } from '../memory/mappings.js';
import { firstEndingAfter } from '../memory/mappingTree.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import {
  MAPPING_GROWSDOWN,
  MAPPING_LOCKED,
  MAPPING_MAY_SHIFT,
  MAPPING_NORESERVE,
  MAPPING_SHARED,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { enoughMemory, mayAddMappings } from './limits.js';
import { mayShareHostPages } from './mmapFrag.js';
import { haveMmapLock, mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, unsigned } from './pageRange.js';
import { populateMapped } from './populate.js';

/**
 * mprotect(2): 0 or −errno. As in Linux, mappings before a hole or a refusal have changed when it fails. Returns when no
 * other thread can still use what was taken away. KERNEL mode.
 */
export function targetMprotect(c: Caller, start: number, length: number, prot: number): number {
  const grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows === (PROT_GROWSDOWN | PROT_GROWSUP)) return -EINVAL;
  if (isUnaligned(c, start)) return -EINVAL;
  if (length === 0) return 0;
  const size = pageAlign(c, length);
  const from = unsigned(start);
  if (size === 0 || from + size >= 2 ** 64) return -ENOMEM;
  const wanted = prot & ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (wanted & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) return -EINVAL;
  if (from >= c.mem.getU64(c.mm + Mm.taskSize)) return -ENOMEM;
  const page = from / MIN_PAGE_SIZE;
  const access = wanted & (PROT_READ | PROT_WRITE | PROT_EXEC);
  if (grows === 0 && size <= c.mem.getU64(c.mm + Mm.taskSize) && !haveMmapLock(c)) {
    if (hotPaths(c.mem).protect(c.mm, c.thread, page, page + size / MIN_PAGE_SIZE, access)) return 0;
  }
  const wanting: [from: number, to: number][] = [];
  mmapLock(c);
  try {
    return protectLocked(c, page, page + size / MIN_PAGE_SIZE, access, grows, wanting);
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
    for (const [start, end] of wanting) populateMapped(c, start, end, false);
  }
}

const change = { prot: 0, setFlags: 0, clearFlags: 0 };

/** Adds to `wanting` what has to be in memory from now on: private locked pages that become writable. */
function protectLocked(
  c: Caller,
  from: number,
  to: number,
  prot: number,
  grows: number,
  wanting: [from: number, to: number][],
): number {
  const { mem, mm } = c;
  let mapping = firstEndingAfter(mem, mm, from);
  if (mapping === 0) return -ENOMEM;
  if (grows & PROT_GROWSDOWN) {
    if (mem.getU32(mapping + Mapping.start) >= to) return -ENOMEM;
    from = mem.getU32(mapping + Mapping.start);
    if ((mem.getU32(mapping + Mapping.flags) & MAPPING_GROWSDOWN) === 0) return -EINVAL;
  } else {
    if (mem.getU32(mapping + Mapping.start) > from) return -ENOMEM;
    if (grows & PROT_GROWSUP) return -EINVAL; // riscv has no mappings that grow up
  }
  // The stretch of mappings that may all change; one change then does them together.
  let at = from;
  let error = 0;
  let edges = 0;
  let moreData = 0;
  while (at < to) {
    if (mapping === 0 || mem.getU32(mapping + Mapping.start) > at) {
      error = -ENOMEM;
      break;
    }
    const end = Math.min(to, mem.getU32(mapping + Mapping.end));
    const flags = mem.getU32(mapping + Mapping.flags);
    const now = mem.getU32(mapping + Mapping.prot);
    if (prot & ~(flags >> MAPPING_MAY_SHIFT)) {
      error = -EACCES;
      break;
    }
    if (prot & ~now & PROT_WRITE && flags & MAPPING_SHARED && !mayShareHostPages(c, mapping, at, end, prot)) {
      error = -EINVAL;
      break;
    }
    if (prot !== now) {
      if (mem.getU32(mapping + Mapping.start) < at) edges++;
      if (mem.getU32(mapping + Mapping.end) > end) edges++;
      if (prot & ~now & PROT_WRITE && (flags & MAPPING_SHARED) === 0) {
        const pages = end - at;
        const data = isData(prot, flags);
        if (data) moreData += pages;
        if (!mayExpandData(c, moreData)) error = -ENOMEM;
        if ((flags & MAPPING_NORESERVE) === 0 && !enoughMemory(c, pages)) error = -ENOMEM;
        if (error !== 0) break;
        if (flags & MAPPING_LOCKED) wanting.push([at, end]);
      }
    }
    at = end;
    mapping = mem.getU32(mapping + Mapping.next);
  }
  if (edges > 0 && !mayAddMappings(c, edges)) return -ENOMEM;
  if (at > from) {
    change.prot = prot;
    tbInvalidatePhysRange(c, from * MIN_PAGE_SIZE, at * MIN_PAGE_SIZE - 1);
    changeRange(c, from, at, change);
  }
  return error;
}

/** RLIMIT_DATA, which mprotect checks for pages that become writable. */
function mayExpandData(c: Caller, pages: number): boolean {
  const { mem, mm } = c;
  return (mem.getU32(mm + Mm.dataPages) + pages) * MIN_PAGE_SIZE <= mem.getU64(mm + Mm.limitData);
}
