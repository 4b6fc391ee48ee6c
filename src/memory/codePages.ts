import { newCodeEpoch } from '../sync/codeEpoch.js';
import { lockMutexRecursive, unlockMutex } from '../sync/mutex.js';
import { FRAME_MIXED, FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { quiesceOthers } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { ACCESS_FETCH, type Caller, FAULT_HANDLED, type FaultOutcome } from './caller.js';
import { lockFaultedPage } from './faults.js';
import { clearFrameCode, codePageOf } from './frameCode.js';
import { frameAddress, frameDescriptor } from './frames.js';
import { hostScale } from './hostScale.js';
import { catchUpWithKeptCode, hasNewKeptCode, installKeptCode } from './keptCode.js';
import { MIN_PAGE_SIZE, PROT_EXEC } from './linuxMemory.js';
import { firstMapping } from './mappingTree.js';
import {
  clearCode,
  enterCode,
  lockPages,
  nextPresent,
  PTE_EXEC,
  PTE_OBJECT,
  pageEntry,
  unlockPage,
  unlockPages,
  withdrawWrite,
} from './pageTables.js';

/**
 * Code: which pages have predecoded instructions, and when those are dropped.
 *
 * A private page with code is not writable for the engine: the first write faults, drops the code and gets the page
 * (faults.ts); the next fetch makes the code anew and withdraws the write entry. A page of a shared object may be
 * written through another mapping or address space without a fault here; as on hardware, such code is only
 * looked at again after FENCE.I (flushCode). So is code in a page that it writes itself (FRAME_MIXED).
 */

/**
 * Handles a fetch fault at guest address `va`: brings the page in, makes its CodePage and enters it in the code table.
 * In KERNEL mode with no lock held. Throws OutOfKernelMemory.
 */
export function fetchFault(c: Caller, va: number): FaultOutcome {
  const { mem, mm, thread } = c;
  const outcome = lockFaultedPage(c, va, ACCESS_FETCH);
  if (outcome !== FAULT_HANDLED) return outcome;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const page = Math.floor(va / (1 << shift));
  try {
    const frame = pageEntry(mem, mm, page) >>> 12;
    const targetPage = Math.floor(va / MIN_PAGE_SIZE);
    const within = (targetPage * MIN_PAGE_SIZE) % (1 << shift);
    const descriptor = frameDescriptor(mem, frame);
    const extensions = mem.getU32(mm + Mm.extensions);
    const code = codePageOf(mem, descriptor, frameAddress(mem, frame) + within, extensions, thread);
    // Writes must have stopped before anything is decoded.
    const mixed = (mem.atomicLoad(descriptor + FrameDescriptor.flags) & FRAME_MIXED) !== 0;
    if (!mixed && withdrawWrite(mem, mm, page)) quiesceOthers(mem, mm, thread, thread);
    installKeptCode(mem, targetPage, code, thread);
    enterCode(mem, mm, targetPage, code);
  } finally {
    unlockPage(mem, mm, page, thread);
  }
  if (hasNewKeptCode(mem, mm)) catchUpWithKeptCode(c);
  return FAULT_HANDLED;
}

/** The CodePage of guest address `va` as the code table has it, or 0. For the engine's decoder, in GUEST mode. */
export function codePageFor(mem: SharedMemory, mm: number, va: number): number {
  if (!(va >= 0 && va < mem.getU64(mm + Mm.reach))) return 0;
  return mem.getU32(mem.getU32(mm + Mm.codeTable) + Math.floor(va / MIN_PAGE_SIZE) * 4);
}

/**
 * Takes the code of guest addresses [start, last] out of use: called where QEMU calls tb_invalidate_phys_range, before
 * pages go or lose PROT_EXEC. What was decoded stays with the frame (its contents do not change by that) and goes with
 * it. Translations of the JIT hang on here.
 */
export function tbInvalidatePhysRange(c: Caller, start: number, last: number): void {
  const { mem, mm, thread } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const from = Math.floor(start / (1 << shift));
  const to = Math.floor(last / (1 << shift)) + 1;
  lockPages(mem, mm, from, to, thread);
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    if (pageEntry(mem, mm, page) & PTE_EXEC) clearCode(mem, mm, page);
  }
  unlockPages(mem, mm, from, to, thread);
}

/**
 * FENCE.I and riscv_flush_icache: what was decoded of pages that may have been written through another mapping, or by
 * the code in them, is forgotten. Everything else is kept exact by write protection and costs nothing here. KERNEL mode, no lock held.
 */
export function flushCode(c: Caller): void {
  const { mem, mm, thread } = c;
  const shift = hostScale(mem);
  const mixed = mem.atomicLoad(mm + Mm.mixedFrames) !== 0;
  let quiesced = false;
  lockMutexRecursive(mem, mm + Mm.mmapLock, thread);
  try {
    for (let m = firstMapping(mem, mm); m !== 0; m = mem.getU32(m + Mapping.next)) {
      if ((mem.getU32(m + Mapping.prot) & PROT_EXEC) === 0) continue;
      const object = mem.getU32(m + Mapping.object);
      const aliased = object !== 0 && mem.atomicLoad(object + SharedObject.writableMappings) !== 0;
      if (!aliased && !mixed) continue;
      // Whoever is decoding old bytes now must have stored the result before it is cleared.
      if (!quiesced) quiesceOthers(mem, mm, thread, thread);
      quiesced = true;
      const end = ((mem.getU32(m + Mapping.end) - 1) >>> shift) + 1;
      forgetStaleCode(c, mem.getU32(m + Mapping.start) >>> shift, end, aliased);
    }
  } finally {
    unlockMutex(mem, mm + Mm.mmapLock, thread);
  }
  // Whoever wrote to a file or through another address space has cleared the code already.
  newCodeEpoch(mem, mm);
}

/** Empties the code of FRAME_MIXED frames of a range of pages, and, when `aliased`, of its object's. */
function forgetStaleCode(c: Caller, from: number, to: number, aliased: boolean): void {
  const { mem, mm, thread } = c;
  lockPages(mem, mm, from, to, thread);
  for (let page = nextPresent(mem, mm, from, to); page < to; page = nextPresent(mem, mm, page + 1, to)) {
    const entry = pageEntry(mem, mm, page);
    if ((entry & PTE_EXEC) === 0) continue;
    const descriptor = frameDescriptor(mem, entry >>> 12);
    const mixed = (mem.atomicLoad(descriptor + FrameDescriptor.flags) & FRAME_MIXED) !== 0;
    if (mixed || (aliased && (entry & PTE_OBJECT) !== 0)) clearFrameCode(mem, descriptor, thread);
  }
  unlockPages(mem, mm, from, to, thread);
}
