import { copyMemory } from '../sync/bulkMemory.js';
import { newCodeEpoch } from '../sync/codeEpoch.js';
import { allocateBlock, freeBlock, freeZeroedBlock, OutOfKernelMemory } from '../sync/heap.js';
import { checksLockOrder } from '../sync/lockOrder.js';
import { lockMutex, Mutex, unlockMutex } from '../sync/mutex.js';
import { FRAME_DIRTY, FRAME_MIXED, FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm, PAGE_TABLE_LOCKS } from '../sync/records/mm.js';
import { quiesceOthers, reloadTables, resumeOthers, stopOthers } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { Caller } from './caller.js';
import { dropFrame, frameAddress, frameDescriptor, settleFreed } from './frames.js';
import { hotPaths } from './hotPaths/hotPaths.js';
import { MIN_PAGE_SHIFT, PROT_EXEC, PROT_READ, PROT_WRITE } from './linuxMemory.js';

/**
 * The page tables of an address space: the master table (one u32 a host page: frame index << 12 and PTE_* bits) and
 * what the engine reads, the read, write and code tables derived from it.
 *
 * "Page" here is a host page number. Entries are read and written under the page-table lock of their slice (512 pages),
 * with the tables' addresses read under that lock too: growth takes all of them.
 *
 *   read entry  ⇔ PTE_READ
 *   write entry ⇔ PTE_WRITE and the frame holds no code (an object's frame: and the page has no code entry here) or is
 *                 FRAME_MIXED
 *   code entry  ⇒ PTE_EXEC
 */
export const PTE_PRESENT = 1;
export const PTE_READ = 2;
/** A write may go straight to the frame: it is ours alone, or the mapping is shared. */
export const PTE_WRITE = 4;
export const PTE_EXEC = 8;
/** The frame is a page of a SharedObject: not counted in framesHeld, and copied before a private write. */
export const PTE_OBJECT = 16;
/** Counted as a writer of an object's frame (FrameDescriptor.link). */
export const PTE_WRITER = 32;

export const SLICE_SHIFT = 9;
const SMALLEST_REACH = 256 * 1024 * 1024;

/** What a new address space reaches: 256 MiB, or less when `taskSize` is less. */
export function initialReach(taskSize: number): number {
  let reach = SMALLEST_REACH;
  while (reach / 2 >= taskSize && reach > 1024 * 1024) reach /= 2;
  return reach;
}

/** Makes the tables of a new address space. Throws OutOfKernelMemory. */
export function createTables(mem: SharedMemory, mm: number, reach: number, owner: number): void {
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  mem.setU32(mm + Mm.hostPageShift, shift);
  for (let i = 0; i < TABLES.length; i++) {
    mem.setU32(mm + TABLES[i], allocateBlock(mem, tableBytes(i, reach, shift), owner));
  }
  mem.set64(mm + Mm.reach, reach);
}

/** Frees the tables; every entry is empty and no thread is left. */
export function destroyTables(mem: SharedMemory, mm: number, owner: number): void {
  const reach = mem.getU64(mm + Mm.reach);
  const shift = mem.getU32(mm + Mm.hostPageShift);
  for (const [which, field] of TABLES.entries()) {
    const table = mem.getU32(mm + field);
    mem.setU32(mm + field, 0);
    if (table === 0) continue;
    // They are as they were made, unless the making failed half way.
    if (reach > 0) freeZeroedBlock(mem, table, tableBytes(which, reach, shift), owner);
    else freeBlock(mem, table, owner);
  }
  mem.set64(mm + Mm.reach, 0);
}

const TABLES = [Mm.pageTable, Mm.readTable, Mm.writeTable, Mm.codeTable, Mm.sliceCounts];

/** Bytes of all tables of an address space. */
export function tablesSize(mem: SharedMemory, mm: number): number {
  const reach = mem.getU64(mm + Mm.reach);
  const shift = mem.getU32(mm + Mm.hostPageShift);
  return TABLES.reduce((sum, _field, which) => sum + tableBytes(which, reach, shift), 0);
}

/** Bytes of table `which` (index in TABLES) for a reach. */
function tableBytes(which: number, reach: number, shift: number): number {
  const pages = reach / (1 << shift);
  if (which === 3) return (reach / (1 << MIN_PAGE_SHIFT)) * 4;
  if (which === 4) return Math.max(1, pages >>> SLICE_SHIFT) * 4;
  return pages * 4;
}

/**
 * Makes the tables cover guest address `va` (below taskSize). In KERNEL mode, with no page-table lock held. Returns false
 * when the kernel area has no room for such tables.
 */
export function growReach(c: Caller, va: number): boolean {
  const { mem, mm, thread } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  stopOthers(mem, mm, thread, thread);
  const fresh: number[] = [];
  try {
    const old = mem.getU64(mm + Mm.reach);
    if (va < old) return true;
    let reach = old;
    while (reach <= va) reach *= 2;
    for (let i = 0; i < TABLES.length; i++)
      fresh.push(allocateBlock(mem, tableBytes(i, reach, shift), thread));
    const retired: number[] = [];
    lockAllPages(mem, mm, thread);
    for (let i = 0; i < TABLES.length; i++) {
      const from = mem.getU32(mm + TABLES[i]);
      copyMemory(mem, fresh[i], from, tableBytes(i, old, shift));
      retired.push(from);
      mem.setU32(mm + TABLES[i], fresh[i]);
    }
    mem.set64(mm + Mm.reach, reach);
    reloadTables(mem, mm, thread);
    unlockAllPages(mem, mm, thread);
    for (const table of retired) freeBlock(mem, table, thread);
    return true;
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    for (const table of fresh) freeBlock(mem, table, thread);
    return false;
  } finally {
    resumeOthers(mem, mm, thread, thread);
  }
}

// --- locks ---

function lockOf(mm: number, slice: number): number {
  return mm + Mm.pageTableLocks + (slice % PAGE_TABLE_LOCKS) * Mutex.SIZE;
}

/** Takes the lock of one page. */
export function lockPage(mem: SharedMemory, mm: number, page: number, owner: number): void {
  lockMutex(mem, lockOf(mm, page >>> SLICE_SHIFT), owner);
}
export function unlockPage(mem: SharedMemory, mm: number, page: number, owner: number): void {
  unlockMutex(mem, lockOf(mm, page >>> SLICE_SHIFT), owner);
}

/** Takes the locks of pages [from, to), in the order of the locks. */
export function lockPages(mem: SharedMemory, mm: number, from: number, to: number, owner: number): void {
  const first = from >>> SLICE_SHIFT;
  const last = (to - 1) >>> SLICE_SHIFT;
  if (first === last) {
    lockMutex(mem, lockOf(mm, first), owner);
    return;
  }
  if (!checksLockOrder) {
    hotPaths(mem).lockPages(mm, from, to, owner);
    return;
  }
  for (let i = 0; i < PAGE_TABLE_LOCKS; i++) {
    if (inSlices(i, first, last)) lockMutex(mem, lockOf(mm, i), owner);
  }
}

export function unlockPages(mem: SharedMemory, mm: number, from: number, to: number, owner: number): void {
  const first = from >>> SLICE_SHIFT;
  const last = (to - 1) >>> SLICE_SHIFT;
  if (first === last) {
    unlockMutex(mem, lockOf(mm, first), owner);
    return;
  }
  if (!checksLockOrder) {
    hotPaths(mem).unlockPages(mm, from, to);
    return;
  }
  for (let i = PAGE_TABLE_LOCKS - 1; i >= 0; i--) {
    if (inSlices(i, first, last)) unlockMutex(mem, lockOf(mm, i), owner);
  }
}

/** Takes the locks of two ranges at once (mremap); either may be empty. */
export function lockTwoRanges(
  mem: SharedMemory,
  mm: number,
  from1: number,
  to1: number,
  from2: number,
  to2: number,
  owner: number,
): void {
  for (let i = 0; i < PAGE_TABLE_LOCKS; i++) {
    if (inRange(i, from1, to1) || inRange(i, from2, to2)) lockMutex(mem, lockOf(mm, i), owner);
  }
}
export function unlockTwoRanges(
  mem: SharedMemory,
  mm: number,
  from1: number,
  to1: number,
  from2: number,
  to2: number,
  owner: number,
): void {
  for (let i = PAGE_TABLE_LOCKS - 1; i >= 0; i--) {
    if (inRange(i, from1, to1) || inRange(i, from2, to2)) unlockMutex(mem, lockOf(mm, i), owner);
  }
}

/** So many pages have all locks among them. */
const ALL_LOCKS = PAGE_TABLE_LOCKS << SLICE_SHIFT;

/** Takes every page-table lock of the address space. */
export function lockAllPages(mem: SharedMemory, mm: number, owner: number): void {
  lockPages(mem, mm, 0, ALL_LOCKS, owner);
}
export function unlockAllPages(mem: SharedMemory, mm: number, owner: number): void {
  unlockPages(mem, mm, 0, ALL_LOCKS, owner);
}

function inRange(lock: number, from: number, to: number): boolean {
  return to > from && inSlices(lock, from >>> SLICE_SHIFT, (to - 1) >>> SLICE_SHIFT);
}

/** Whether lock `lock` guards a slice of [first, last]. */
function inSlices(lock: number, first: number, last: number): boolean {
  return (lock + PAGE_TABLE_LOCKS - (first % PAGE_TABLE_LOCKS)) % PAGE_TABLE_LOCKS <= last - first;
}

// --- entries; the page's lock is held ---

/** Pages that the tables cover at present. */
export function pagesInReach(mem: SharedMemory, mm: number): number {
  return mem.getU64(mm + Mm.reach) / (1 << mem.getU32(mm + Mm.hostPageShift));
}

/** The page's entry in the master table; 0 also beyond the reach. */
export function pageEntry(mem: SharedMemory, mm: number, page: number): number {
  if (page >= pagesInReach(mem, mm)) return 0;
  return mem.getU32(mem.getU32(mm + Mm.pageTable) + page * 4);
}

/** PTE_READ and PTE_EXEC for a mapping's protection (on riscv, as Linux has it, writable implies readable). */
export function accessBits(prot: number): number {
  return (prot & (PROT_READ | PROT_WRITE) ? PTE_READ : 0) | (prot & PROT_EXEC ? PTE_EXEC : 0);
}

/**
 * Writes an entry for `page` (within the reach): `frame` with PTE_* `bits`. Counts it in its slice when the page had
 * none; the caller accounts for frames. Write access to a frame with code is left out of the write table.
 */
export function setPage(mem: SharedMemory, mm: number, page: number, frame: number, bits: number): void {
  const shift = mem.getU32(mm + Mm.hostPageShift);
  const entry = mem.getU32(mm + Mm.pageTable) + page * 4;
  if (mem.getU32(entry) === 0) {
    const count = mem.getU32(mm + Mm.sliceCounts) + (page >>> SLICE_SHIFT) * 4;
    mem.setU32(count, mem.getU32(count) + 1);
  }
  mem.setU32(entry, ((frame << 12) | bits | PTE_PRESENT) >>> 0);
  // delta + 1; the page's address modulo 2^32 is enough.
  const delta = (frameAddress(mem, frame) - page * (1 << shift) + 1) | 0;
  mem.atomicStore(mem.getU32(mm + Mm.readTable) + page * 4, bits & PTE_READ ? delta : 0);
  if ((bits & PTE_EXEC) === 0) clearCode(mem, mm, page);
  const write = mem.getU32(mm + Mm.writeTable) + page * 4;
  if (bits & PTE_WRITE && !heldByCode(mem, mm, page, frame, bits)) mem.atomicStore(write, delta);
  else if (mem.getI32(write) !== 0) mem.atomicStore(write, 0);
}

/** Whether code keeps the page from being written without a fault: the frame's, or for an object this table's own. */
function heldByCode(mem: SharedMemory, mm: number, page: number, frame: number, bits: number): boolean {
  const descriptor = frameDescriptor(mem, frame);
  if (mem.getU32(descriptor + FrameDescriptor.code) === 0) return false;
  if (mem.getI32(descriptor + FrameDescriptor.flags) & FRAME_MIXED) return false;
  if ((bits & PTE_OBJECT) === 0) return true;
  const per = 1 << (mem.getU32(mm + Mm.hostPageShift) - MIN_PAGE_SHIFT);
  const slot = mem.getU32(mm + Mm.codeTable) + page * per * 4;
  for (let i = 0; i < per; i++) if (mem.getI32(slot + i * 4) !== 0) return true;
  return false;
}

/** Writes an entry of the code table, for target page `page` (guest address >> 12). */
export function enterCode(mem: SharedMemory, mm: number, page: number, codePage: number): void {
  const before = mem.atomicExchange(mem.getU32(mm + Mm.codeTable) + page * 4, codePage) >>> 0;
  if (before !== 0 && before !== codePage) newCodeEpoch(mem, mm);
}

/** Empties the page's slots of the code table. */
export function clearCode(mem: SharedMemory, mm: number, page: number): void {
  const per = 1 << (mem.getU32(mm + Mm.hostPageShift) - MIN_PAGE_SHIFT);
  const slot = mem.getU32(mm + Mm.codeTable) + page * per * 4;
  let some = false;
  for (let i = 0; i < per; i++) {
    if (mem.getI32(slot + i * 4) === 0) continue;
    mem.atomicStore(slot + i * 4, 0);
    some = true;
  }
  if (some) newCodeEpoch(mem, mm);
}

/** Withdraws write access of a page for the engine; the master entry stays. Says whether there was any. */
export function withdrawWrite(mem: SharedMemory, mm: number, page: number): boolean {
  const write = mem.getU32(mm + Mm.writeTable) + page * 4;
  if (mem.getI32(write) === 0) return false;
  mem.atomicStore(write, 0);
  return true;
}

/** Present pages in all. */
export function residentPages(mem: SharedMemory, mm: number): number {
  const slices = Math.max(1, pagesInReach(mem, mm) >>> SLICE_SHIFT);
  const counts = mem.getU32(mm + Mm.sliceCounts);
  let total = 0;
  for (let i = 0; i < slices; i++) total += mem.getU32(counts + i * 4);
  return total;
}

/**
 * The first page in [from, to) with an entry, or `to`. Skips empty slices, so that a reservation costs nothing. The
 * locks of the range are held.
 */
export function nextPresent(mem: SharedMemory, mm: number, from: number, to: number): number {
  const end = Math.min(to, pagesInReach(mem, mm));
  const counts = mem.getU32(mm + Mm.sliceCounts);
  const table = mem.getU32(mm + Mm.pageTable);
  let page = from;
  while (page < end) {
    if (mem.getU32(counts + (page >>> SLICE_SHIFT) * 4) === 0) {
      page = ((page >>> SLICE_SHIFT) + 1) << SLICE_SHIFT;
      continue;
    }
    const stop = Math.min(end, ((page >>> SLICE_SHIFT) + 1) << SLICE_SHIFT);
    const u32 = mem.u32;
    for (let i = (table + page * 4) >>> 2; page < stop; page++, i++) if (u32[i] !== 0) return page;
  }
  return to;
}

// --- taking pages away ---

/** Entries taken out of the tables whose frames other threads may still be using: one list a worker. */
const BATCH = 4096;
const taken = new Uint32Array(BATCH);
let takenCount = 0;

/** Empties the entries of [from, to), whose locks are held. `finishZap` must follow, in the same call of ours. */
export function zapPages(c: Caller, from: number, to: number): void {
  const { mem, mm } = c;
  const end = Math.min(to, pagesInReach(mem, mm));
  const alone = mem.atomicLoad(mm + Mm.threadCount) === 0;
  if (!alone || mem.getU32(mm + Mm.hostPageShift) !== MIN_PAGE_SHIFT) {
    takePages(c, from, end);
    return;
  }
  // Nobody could still be using them: they go at once.
  const hot = hotPaths(mem);
  for (let page = from; page < end; page++) {
    page = hot.dropPages(mm, page, end);
    if (page < end) takePages(c, page, page + 1);
  }
}

function takePages(c: Caller, from: number, to: number): void {
  const { mem, mm } = c;
  const exec = 1 << (mem.getU32(mm + Mm.hostPageShift) - MIN_PAGE_SHIFT);
  const counts = mem.getU32(mm + Mm.sliceCounts);
  const pages = mem.getU32(mm + Mm.pageTable);
  const reads = mem.getU32(mm + Mm.readTable);
  const writes = mem.getU32(mm + Mm.writeTable);
  const codes = mem.getU32(mm + Mm.codeTable);
  const u32 = mem.u32;
  let code = false;
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    const entry = u32[(pages + page * 4) >>> 2];
    u32[(pages + page * 4) >>> 2] = 0;
    u32[(reads + page * 4) >>> 2] = 0;
    u32[(writes + page * 4) >>> 2] = 0;
    if (entry & PTE_EXEC) {
      u32.fill(0, (codes + page * exec * 4) >>> 2, (codes + (page + 1) * exec * 4) >>> 2);
      code = true;
    }
    u32[(counts + (page >>> SLICE_SHIFT) * 4) >>> 2]--;
    if (takenCount === BATCH) {
      if (code) newCodeEpoch(mem, mm);
      finishZap(c);
    }
    taken[takenCount++] = entry;
  }
  if (code) newCodeEpoch(mem, mm);
}

/**
 * Waits until no other thread can still use what zapPages took away, and gives the frames up. In KERNEL mode;
 * page-table locks may be held.
 */
export function finishZap(c: Caller): void {
  if (takenCount === 0) return;
  const { mem, mm, thread } = c;
  quiesceOthers(mem, mm, thread, thread);
  let held = 0;
  let freed = 0;
  let freedOfObjects = 0;
  for (let i = 0; i < takenCount; i++) {
    const entry = taken[i];
    const frame = entry >>> 12;
    if (entry & PTE_OBJECT) {
      if (entry & PTE_WRITER) dropWriter(mem, frame);
      if (dropFrame(mem, frame, thread)) freedOfObjects++;
    } else {
      held++;
      if (dropFrame(mem, frame, thread)) freed++;
    }
  }
  const resident = mem.atomicAdd(mm + Mm.residentPages, -takenCount);
  // The peak matters only where it ends; two threads at once may miss it by a little.
  if (resident > mem.getI32(mm + Mm.residentPeak)) mem.setI32(mm + Mm.residentPeak, resident);
  takenCount = 0;
  if (held > 0) mem.atomicAdd(mm + Mm.framesHeld, -held);
  settleFreed(mem, mm, freed);
  settleFreed(mem, 0, freedOfObjects);
}

/** Notes that one more entry may write to an object's frame, whose contents now differ from the file's. */
export function addWriter(mem: SharedMemory, frame: number): void {
  const descriptor = frameDescriptor(mem, frame);
  mem.atomicAdd(descriptor + FrameDescriptor.link, 1);
  mem.atomicOr(descriptor + FrameDescriptor.flags, FRAME_DIRTY);
}

export function dropWriter(mem: SharedMemory, frame: number): void {
  mem.atomicAdd(frameDescriptor(mem, frame) + FrameDescriptor.link, -1);
}
