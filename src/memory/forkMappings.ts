import { allocateBlock, freeBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import {
  MAPPING_DONTFORK,
  MAPPING_LOCK_ON_FAULT,
  MAPPING_LOCKED,
  MAPPING_SHARED,
  MAPPING_WIPEONFORK,
  Mapping,
} from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import type { Caller } from './caller.js';
import { retainFrame } from './frames.js';
import { hotPaths } from './hotPaths/hotPaths.js';
import { MIN_PAGE_SHIFT } from './linuxMemory.js';
import { account, copyAttributes, takeReferences } from './mappingRecords.js';
import { firstMapping, insertIntoTree } from './mappingTree.js';
import {
  addWriter,
  lockAllPages,
  nextPresent,
  PTE_EXEC,
  PTE_OBJECT,
  PTE_WRITE,
  PTE_WRITER,
  unlockAllPages,
} from './pageTables.js';

/**
 * Copies the mappings and the page tables of `c.mm` to `child`, an empty address space with tables of the same reach that
 * nobody else knows of (dup_mmap). Private pages are shared from now on: neither side may write them without a fault,
 * which copies them while both refer to them (faults.ts). Pages of objects are shared as they are. Code entries go with the
 * pages, since predecoded code belongs to the frame.
 *
 * mmapLock is held and the threads of `c.mm` are stopped: what they could write goes out of their table here. A fault that
 * one of them is in the middle of is kept out by the page-table locks. Throws OutOfKernelMemory with nothing changed.
 */
export function forkMappings(c: Caller, child: number): void {
  const { mem, mm, thread } = c;
  const records = allocateRecords(c, child);
  const into: Caller = { mem, thread, mm: child };
  lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  lockAllPages(mem, mm, thread);
  let used = 0;
  for (let from = firstMapping(mem, mm); from !== 0; from = mem.getU32(from + Mapping.next)) {
    const flags = mem.getU32(from + Mapping.flags);
    if (flags & MAPPING_DONTFORK) continue;
    const to = records[used++];
    copyMapping(into, to, from);
    if ((flags & MAPPING_WIPEONFORK) === 0) copyPages(c, child, from);
  }
  unlockAllPages(mem, mm, thread);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  for (; used < records.length; used++) freeBlock(mem, records[used], thread);
}

/** One record for each mapping, set aside so that the copying cannot fail. */
function allocateRecords(c: Caller, child: number): number[] {
  const { mem, mm, thread } = c;
  const records: number[] = [];
  const count = mem.getU32(mm + Mm.mappingCount);
  try {
    for (let i = 0; i < count; i++) {
      const record = allocateBlock(mem, Mapping.SIZE, thread);
      records.push(record);
      mem.setU32(record + Mapping.mm, child);
    }
    return records;
  } catch (error) {
    for (const record of records) freeBlock(mem, record, thread);
    throw error;
  }
}

/** Locked memory is not inherited: mlock(2). */
function copyMapping(into: Caller, to: number, from: number): void {
  const { mem, mm } = into;
  copyAttributes(mem, to, from);
  let flags = mem.getU32(to + Mapping.flags) & ~(MAPPING_LOCKED | MAPPING_LOCK_ON_FAULT);
  if (flags & MAPPING_WIPEONFORK && mem.getU32(to + Mapping.object) !== 0) {
    // minherit(INHERIT_ZERO) of what is not anonymous: it becomes so.
    flags &= ~MAPPING_SHARED;
    mem.setU32(to + Mapping.file, 0);
    mem.setU32(to + Mapping.object, 0);
    mem.setU32(to + Mapping.offset, 0);
  }
  const start = mem.getU32(from + Mapping.start);
  const end = mem.getU32(from + Mapping.end);
  mem.setU32(to + Mapping.flags, flags);
  mem.setU32(to + Mapping.start, start);
  mem.setU32(to + Mapping.end, end);
  insertIntoTree(mem, mm, to);
  takeReferences(mem, to);
  account(mem, mm, mem.getU32(to + Mapping.prot), flags, end - start);
}

/**
 * Copies the present pages of a mapping. A host page that several mappings share is copied with the first of them (and
 * with it bytes of a neighbour that asked for WIPEONFORK: larger host pages are not exact).
 */
function copyPages(c: Caller, child: number, mapping: number): void {
  const { mem, mm } = c;
  const scale = mem.getU32(mm + Mm.hostPageShift) - MIN_PAGE_SHIFT;
  if (scale === 0) {
    hotPaths(mem).copyPages(
      mm,
      child,
      mem.getU32(mapping + Mapping.start),
      mem.getU32(mapping + Mapping.end),
    );
    return;
  }
  const per = 1 << scale;
  const from = mem.getU32(mapping + Mapping.start) >>> scale;
  const to = ((mem.getU32(mapping + Mapping.end) - 1) >>> scale) + 1;
  const { u32 } = mem;
  const pages = mem.getU32(mm + Mm.pageTable) >>> 2;
  const reads = mem.getU32(mm + Mm.readTable) >>> 2;
  const writes = mem.getU32(mm + Mm.writeTable) >>> 2;
  const codes = mem.getU32(mm + Mm.codeTable) >>> 2;
  const childPages = mem.getU32(child + Mm.pageTable) >>> 2;
  const childReads = mem.getU32(child + Mm.readTable) >>> 2;
  const childWrites = mem.getU32(child + Mm.writeTable) >>> 2;
  const childCodes = mem.getU32(child + Mm.codeTable) >>> 2;
  const childCounts = mem.getU32(child + Mm.sliceCounts) >>> 2;
  let resident = 0;
  let held = 0;
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    if (u32[childPages + page] !== 0) continue;
    let entry = u32[pages + page];
    if (entry & PTE_OBJECT) {
      if (entry & PTE_WRITER) addWriter(mem, entry >>> 12);
      u32[childWrites + page] = u32[writes + page];
    } else {
      if (entry & PTE_WRITE) {
        entry = (entry & ~PTE_WRITE) >>> 0;
        u32[pages + page] = entry;
        u32[writes + page] = 0;
      }
      held++;
    }
    retainFrame(mem, entry >>> 12);
    u32[childPages + page] = entry;
    u32[childReads + page] = u32[reads + page];
    if (entry & PTE_EXEC)
      for (let i = page * per; i < (page + 1) * per; i++) u32[childCodes + i] = u32[codes + i];
    u32[childCounts + (page >>> 9)]++;
    resident++;
  }
  mem.atomicAdd(child + Mm.residentPages, resident);
  mem.atomicAdd(child + Mm.framesHeld, held);
}
