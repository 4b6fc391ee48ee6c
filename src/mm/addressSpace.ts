import type { Caller } from '../memory/caller.js';
import { grantHomeWindow, returnFrames, returnHomeWindow } from '../memory/frames.js';
import { releaseHostFile } from '../memory/hostFile.js';
import { MIN_PAGE_SIZE } from '../memory/linuxMemory.js';
import { freeSpareMappings } from '../memory/mappingRecords.js';
import { unmapAll } from '../memory/mappings.js';
import { createTables, destroyTables, initialReach } from '../memory/pageTables.js';
import { endExecution } from '../memory/writeClaims.js';
import { releaseTree, retainTree } from '../sync/guestTree.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { checksLockOrder, LOCK_RANK } from '../sync/lockOrder.js';
import { initMutex, Mutex } from '../sync/mutex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm, PAGE_TABLE_LOCKS } from '../sync/records/mm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { MAX_MAP_COUNT } from './limits.js';

/** End of guest addresses when nothing is asked for: 64 GiB. */
export const DEFAULT_TASK_SIZE = 64 * 1024 * 1024 * 1024;
/** vm.mmap_min_addr: nothing is mapped below (MAP_FIXED there answers EPERM, as for a process without privileges). */
export const MMAP_MIN_ADDR = 65536;
/** A limit that limits nothing. */
export const UNLIMITED = 2 ** 53;

export interface MmOptions {
  /** The guest's page size (--page-size): 4096 (default), 16384 or 65536. */
  readonly pageSize?: number;
  /** End of guest addresses (--reserved-va), a multiple of 64 KiB up to 64 GiB. */
  readonly taskSize?: number;
  /** Bytes of frames that the address space may hold; the machine's when absent. */
  readonly memoryLimit?: number;
  /** The GuestTree whose limit of memory holds, which gets one more reference; 0 or absent: none. */
  readonly memoryTree?: number;
  /** RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK in bytes; absent: unlimited, stack 8 MiB, memlock 8 MiB. */
  readonly limitAs?: number;
  readonly limitData?: number;
  readonly limitStack?: number;
  readonly limitMemlock?: number;
  /** PLACE_*; findVma.ts. */
  readonly placement?: number;
  /** Start of PLACE_RANDOM's sequence. */
  readonly placementSeed?: number;
  /** Where bottom-up placement begins, bytes (TASK_UNMAPPED_BASE); default: at the lowest address. */
  readonly unmappedBase?: number;
  /** Extensions of the processor beyond RV64GC, a mask (isa/extensions.ts); default none. */
  readonly extensions?: number;
}

/**
 * Makes an empty address space with one reference, the caller's. It has a home window and no threads (safepoint.addThread
 * adds them). Throws OutOfKernelMemory.
 */
export function createMm(mem: SharedMemory, owner: number, options: MmOptions = {}): number {
  const mm = allocateBlock(mem, Mm.SIZE, owner);
  initMutex(mem, mm + Mm.mmapLock, LOCK_RANK.mmap);
  initMutex(mem, mm + Mm.stopLock, LOCK_RANK.stop);
  initMutex(mem, mm + Mm.threadsLock, LOCK_RANK.mmThreads);
  // A mutex that is all zero is free; only the check of the order wants to know its rank.
  for (let i = 0; checksLockOrder && i < PAGE_TABLE_LOCKS; i++)
    initMutex(mem, mm + Mm.pageTableLocks + i * Mutex.SIZE, LOCK_RANK.pageTable);
  mem.atomicStore(mm + Mm.refs, 1);
  mem.setU32(mm + Mm.targetPageShift, Math.log2(options.pageSize ?? MIN_PAGE_SIZE));
  const taskSize = options.taskSize ?? DEFAULT_TASK_SIZE;
  mem.set64(mm + Mm.taskSize, taskSize);
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const frames = mem.getU32(MACHINE + Machine.frameCount);
  const limit = Math.floor((options.memoryLimit ?? Infinity) / (1 << shift));
  mem.setI32(mm + Mm.frameLimit, Math.min(frames, limit));
  mem.setU32(mm + Mm.memoryTree, options.memoryTree ?? 0);
  retainTree(mem, options.memoryTree ?? 0);
  mem.set64(mm + Mm.limitAs, options.limitAs ?? UNLIMITED);
  mem.set64(mm + Mm.limitData, options.limitData ?? UNLIMITED);
  mem.set64(mm + Mm.limitStack, options.limitStack ?? 8 * 1024 * 1024);
  mem.set64(mm + Mm.limitMemlock, options.limitMemlock ?? 8 * 1024 * 1024);
  mem.setU32(mm + Mm.mmapMinAddr, MMAP_MIN_ADDR / MIN_PAGE_SIZE);
  mem.setU32(mm + Mm.placement, options.placement ?? 0);
  mem.setU32(mm + Mm.placementState, options.placementSeed ?? 0);
  const unmappedBase = Math.floor((options.unmappedBase ?? 0) / 65536) * (65536 / MIN_PAGE_SIZE);
  mem.setU32(mm + Mm.unmappedBase, unmappedBase);
  mem.setU32(mm + Mm.mmapNextStart, unmappedBase);
  mem.setU32(mm + Mm.maxMappings, MAX_MAP_COUNT);
  mem.setU32(mm + Mm.dumpable, 1);
  mem.setU32(mm + Mm.extensions, options.extensions ?? 0);
  grantHomeWindow(mem, mm, owner);
  try {
    createTables(mem, mm, initialReach(taskSize), owner);
  } catch (error) {
    destroyTables(mem, mm, owner);
    returnHomeWindow(mem, mm, owner);
    releaseTree(mem, mem.getU32(mm + Mm.memoryTree), owner);
    freeBlock(mem, mm, owner);
    throw error;
  }
  return mm;
}

/** One more reference to an address space that the caller has a reference to. */
export function retainMm(mem: SharedMemory, mm: number): void {
  mem.atomicAdd(mm + Mm.refs, 1);
}

/**
 * Gives a reference up; with the last one everything mapped is unmapped (dirty shared pages are written back) and the
 * record is freed. Its threads have been removed (safepoint.removeThread) by then. KERNEL mode, no lock held.
 */
export function releaseMm(mem: SharedMemory, mm: number, owner: number): void {
  if (mem.atomicAdd(mm + Mm.refs, -1) === 1) destroyMm({ mem, mm, thread: owner });
}

function destroyMm(c: Caller): void {
  const { mem, mm, thread } = c;
  unmapAll(c);
  freeSpareMappings(c, 0);
  destroyTables(mem, mm, thread);
  returnFrames(mem, mm, Infinity);
  returnHomeWindow(mem, mm, thread);
  // What the loader and exec noted of the program.
  for (const field of [Mm.auxv, Mm.exe]) {
    const block = mem.getU32(mm + field);
    if (block !== 0) freeBlock(mem, block, thread);
  }
  const program = mem.getU32(mm + Mm.exeFile);
  if (program !== 0) {
    endExecution(mem, program);
    releaseHostFile(mem, thread, program);
  }
  releaseTree(mem, mem.getU32(mm + Mm.memoryTree), thread);
  freeBlock(mem, mm, thread);
}
