import { clearSlots } from '../sync/bulkMemory.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { CodePage } from '../sync/records/codePage.js';
import { FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/**
 * The predecoded code of a frame: a chain of CodePages (one for each target page of it that was executed, and each kind of
 * processor that it was executed on) at FrameDescriptor.code. Chains change under Machine.framesLock, which is taken under page-table locks.
 */

/**
 * The frame's CodePage for the 4 KiB at machine address `source`, on a processor with `extensions`, or 0. The caller holds
 * Machine.framesLock, or has a reference to the frame, which is an object's: its CodePages stay until the last one has gone.
 */
export function findCodePage(
  mem: SharedMemory,
  descriptor: number,
  source: number,
  extensions: number,
): number {
  let page = mem.atomicLoad(descriptor + FrameDescriptor.code) >>> 0;
  while (
    page !== 0 &&
    (mem.getU32(page + CodePage.source) !== source || mem.getU32(page + CodePage.extensions) !== extensions)
  )
    page = mem.getU32(page + CodePage.next);
  return page;
}

/**
 * The frame's CodePage for the 4 KiB at machine address `source`, on a processor with `extensions` (isa/extensions.ts); made, with
 * empty slots, when there is none.
 */
export function codePageOf(
  mem: SharedMemory,
  descriptor: number,
  source: number,
  extensions: number,
  owner: number,
): number {
  lockMutex(mem, MACHINE + Machine.framesLock, owner);
  try {
    let page = findCodePage(mem, descriptor, source, extensions);
    if (page === 0) {
      page = allocateBlock(mem, CodePage.SIZE, owner);
      mem.setU32(page + CodePage.source, source);
      mem.setU32(page + CodePage.extensions, extensions);
      mem.setU32(page + CodePage.generation, nextGenerationLocked(mem));
      mem.setU32(page + CodePage.next, mem.getU32(descriptor + FrameDescriptor.code));
      mem.atomicStore(descriptor + FrameDescriptor.code, page);
    }
    return page;
  } finally {
    unlockMutex(mem, MACHINE + Machine.framesLock, owner);
  }
}

/**
 * Forgets what was decoded of a frame but keeps its CodePages in use: for frames that several tables may refer to. What regions were made from it
 * is found out when engines begin to run; a caller in whose address space other threads may run calls newCodeEpoch then.
 */
export function clearFrameCode(mem: SharedMemory, descriptor: number, owner: number): void {
  if (mem.atomicLoad(descriptor + FrameDescriptor.code) === 0) return;
  lockMutex(mem, MACHINE + Machine.framesLock, owner);
  let page = mem.getU32(descriptor + FrameDescriptor.code);
  for (; page !== 0; page = mem.getU32(page + CodePage.next)) {
    mem.atomicStore(page + CodePage.generation, nextGenerationLocked(mem));
    clearSlots(mem, page + CodePage.slots, CodePage.end - CodePage.slots + 8);
  }
  mem.atomicAdd(MACHINE + Machine.codeClears, 1);
  unlockMutex(mem, MACHINE + Machine.framesLock, owner);
}

/** Frees a frame's CodePages. No code table refers to them any more and no thread can still be using them. */
export function dropFrameCode(mem: SharedMemory, descriptor: number, owner: number): void {
  lockMutex(mem, MACHINE + Machine.framesLock, owner);
  let page = mem.getU32(descriptor + FrameDescriptor.code);
  mem.atomicStore(descriptor + FrameDescriptor.code, 0);
  while (page !== 0) {
    const next = mem.getU32(page + CodePage.next);
    freeBlock(mem, page, owner);
    page = next;
  }
  unlockMutex(mem, MACHINE + Machine.framesLock, owner);
}

/** A generation that no CodePage has had before: translations are known by it. */
function nextGenerationLocked(mem: SharedMemory): number {
  const generation = (mem.getU32(MACHINE + Machine.codeGeneration) + 1) >>> 0;
  mem.setU32(MACHINE + Machine.codeGeneration, generation);
  return generation;
}
