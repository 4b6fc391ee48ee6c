import type { Caller } from '../memory/caller.js';
import { forkMappings } from '../memory/forkMappings.js';
import { shareHomeWindow } from '../memory/frames.js';
import { retainHostFile } from '../memory/hostFile.js';
import { createTables } from '../memory/pageTables.js';
import { repeatExecution } from '../memory/writeClaims.js';
import { retainTree } from '../sync/guestTree.js';
import { allocateBlock, blockCapacity } from '../sync/heap.js';
import { checksLockOrder, LOCK_RANK } from '../sync/lockOrder.js';
import { initMutex, Mutex } from '../sync/mutex.js';
import { Mm, PAGE_TABLE_LOCKS } from '../sync/records/mm.js';
import { resumeOthers, stopOthers } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { releaseMm } from './addressSpace.js';
import { settleInheritance } from './freebsd/settleInheritance.js';
import { mmapForkEnd, mmapForkStart } from './mmapLock.js';

/** Fields of the parent that the child starts with; everything else starts anew. */
const INHERITED_U32 = [
  Mm.targetPageShift,
  Mm.mmapNextStart,
  Mm.mmapMinAddr,
  Mm.placement,
  Mm.placementState,
  Mm.unmappedBase,
  Mm.stackTop,
  Mm.stackFloor,
  Mm.frameLimit,
  Mm.maxMappings,
  Mm.membarrierFlags,
  Mm.dumpable,
  Mm.mixedFrames,
  Mm.auxvLength,
  Mm.inheritance,
  Mm.extensions,
];
const INHERITED_U64 = [
  Mm.taskSize,
  Mm.startBrk,
  Mm.brk,
  Mm.startCode,
  Mm.endCode,
  Mm.startData,
  Mm.endData,
  Mm.startStack,
  Mm.argStart,
  Mm.argEnd,
  Mm.envStart,
  Mm.envEnd,
  Mm.vdso,
  Mm.limitAs,
  Mm.limitData,
  Mm.limitStack,
  Mm.limitMemlock,
  Mm.limitDataMax,
];

/** Where their words stand in the record. */
const INHERITED_WORDS = [
  ...INHERITED_U32.map((field) => field >>> 2),
  ...INHERITED_U64.flatMap((field) => [field >>> 2, (field >>> 2) + 1]),
];

/**
 * A copy of the caller's address space, copy-on-write, with one reference and no threads: what fork(2) gives the child.
 * The other threads of the parent are stopped meanwhile; no lock is inherited. KERNEL mode; the caller holds no lock
 * that a thread in GUEST mode could be waiting for. Throws OutOfKernelMemory with nothing changed.
 */
export function forkMm(c: Caller): number {
  const { mem, mm, thread } = c;
  mmapForkStart(c);
  stopOthers(mem, mm, thread, thread);
  let child = 0;
  try {
    if (mem.getU32(mm + Mm.inheritance) !== 0) settleInheritance(c);
    child = createChild(c);
    forkMappings(c, child);
    mmapForkEnd({ mem, thread, mm: child }, true);
    return child;
  } catch (error) {
    if (child !== 0) releaseMm(mem, child, thread);
    throw error;
  } finally {
    resumeOthers(mem, mm, thread, thread);
    mmapForkEnd(c, false);
  }
}

function createChild(c: Caller): number {
  const { mem, mm, thread } = c;
  const child = allocateBlock(mem, Mm.SIZE, thread);
  initMutex(mem, child + Mm.mmapLock, LOCK_RANK.mmap);
  initMutex(mem, child + Mm.stopLock, LOCK_RANK.stop);
  initMutex(mem, child + Mm.threadsLock, LOCK_RANK.mmThreads);
  // A mutex that is all zero is free; only the check of the order wants to know its rank.
  for (let i = 0; checksLockOrder && i < PAGE_TABLE_LOCKS; i++)
    initMutex(mem, child + Mm.pageTableLocks + i * Mutex.SIZE, LOCK_RANK.pageTable);
  mem.atomicStore(child + Mm.refs, 1);
  const { u32 } = mem;
  for (const word of INHERITED_WORDS) u32[(child >>> 2) + word] = u32[(mm >>> 2) + word];
  const tree = mem.getU32(mm + Mm.memoryTree);
  mem.setU32(child + Mm.memoryTree, tree);
  retainTree(mem, tree);
  const program = mem.getU32(mm + Mm.exeFile);
  if (program !== 0) {
    retainHostFile(mem, program);
    repeatExecution(mem, program);
    mem.setU32(child + Mm.exeFile, program);
  }
  shareHomeWindow(mem, mm, child, thread);
  try {
    createTables(mem, child, mem.getU64(mm + Mm.reach), thread);
    for (const field of [Mm.auxv, Mm.exe]) {
      const block = mem.getU32(mm + field);
      if (block !== 0) mem.setU32(child + field, copyBlock(mem, block, thread));
    }
  } catch (error) {
    releaseMm(mem, child, thread);
    throw error;
  }
  return child;
}

function copyBlock(mem: SharedMemory, block: number, owner: number): number {
  const size = blockCapacity(mem, block);
  const copy = allocateBlock(mem, size, owner);
  mem.u8.copyWithin(copy, block, block + size);
  return copy;
}
