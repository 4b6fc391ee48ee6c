import type { Caller } from '../memory/caller.js';
import { MIN_PAGE_SIZE, PROT_READ, PROT_WRITE } from '../memory/linuxMemory.js';
import type { NewMapping } from '../memory/mappingRecords.js';
import { isMapped, mapRange } from '../memory/mappings.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import {
  MAPPING_LOCKED,
  MAPPING_MAY_EXEC,
  MAPPING_MAY_READ,
  MAPPING_MAY_WRITE,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { enoughMemory, mayExpand, mayLock } from './limits.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { targetPageSize, unsigned } from './pageRange.js';
import { populateMapped } from './populate.js';
import { munmapLocked } from './targetMunmap.js';

/** Sets where the heap begins: the loader does, once the program's segments are mapped. */
export function setBrk(c: Caller, start: number): void {
  c.mem.set64(c.mm + Mm.startBrk, start);
  c.mem.set64(c.mm + Mm.brk, start);
}

/** brk(2) as the system call: moves the end of the heap if it can, and returns where it is then. KERNEL mode. */
export function targetBrk(c: Caller, newBrk: number): number {
  const { mem, mm } = c;
  const before = pageUp(c, mem.getU64(mm + Mm.brk));
  mmapLock(c);
  try {
    moveBrk(c, unsigned(newBrk));
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
  } finally {
    mmapUnlock(c);
  }
  const brk = mem.getU64(mm + Mm.brk);
  if (mem.getU32(mm + Mm.lockFuture) !== 0 && pageUp(c, brk) > before)
    populateMapped(c, before / MIN_PAGE_SIZE, pageUp(c, brk) / MIN_PAGE_SIZE, false);
  return brk;
}

function pageUp(c: Caller, address: number): number {
  const page = targetPageSize(c);
  return Math.ceil(address / page) * page;
}

const heap: NewMapping = { prot: PROT_READ | PROT_WRITE, flags: 0, file: 0, object: 0, offset: 0 };

function moveBrk(c: Caller, wanted: number): void {
  const { mem, mm } = c;
  const start = mem.getU64(mm + Mm.startBrk);
  if (wanted < start || wanted > mem.getU64(mm + Mm.taskSize)) return;
  const data = mem.getU64(mm + Mm.endData) - mem.getU64(mm + Mm.startData);
  if (wanted - start + data > mem.getU64(mm + Mm.limitData)) return;
  const from = pageUp(c, mem.getU64(mm + Mm.brk)) / MIN_PAGE_SIZE;
  const to = pageUp(c, wanted) / MIN_PAGE_SIZE;
  if (to < from) {
    if (munmapLocked(c, to, from) < 0) return;
  } else if (to > from) {
    // One page is kept free towards the next mapping.
    if (isMapped(mem, mm, from, to + targetPageSize(c) / MIN_PAGE_SIZE)) return;
    const pages = to - from;
    if (!mayExpand(c, pages, true) || !enoughMemory(c, pages)) return;
    const future = mem.getU32(mm + Mm.lockFuture) !== 0;
    if (future && !mayLock(c, pages)) return;
    heap.flags = MAPPING_MAY_READ | MAPPING_MAY_WRITE | MAPPING_MAY_EXEC | (future ? MAPPING_LOCKED : 0);
    mapRange(c, from, to, heap);
  }
  mem.set64(mm + Mm.brk, wanted);
}
