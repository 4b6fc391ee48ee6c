import { zeroMemory } from '../sync/bulkMemory.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_SHARED, MAPPING_STACK_GAP } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { OBJECT_FILE, SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import {
  ACCESS_FETCH,
  ACCESS_WRITE,
  type Caller,
  FAULT_ACCERR,
  FAULT_BUSERR,
  FAULT_HANDLED,
  FAULT_MAPERR,
  FAULT_NO_MEMORY,
  type FaultOutcome,
} from './caller.js';
import { LOAD_BEYOND_END, LOAD_NO_FRAME, loadFilePage, NOT_AT_HOME, toTargetPage } from './filePages.js';
import { installFragments, survey, surveyPage } from './fragments.js';
import { findCodePage } from './frameCode.js';
import { allocateFrame, frameAddress, frameDescriptor, frameRefs, NO_FRAME, retainFrame } from './frames.js';
import { growStack } from './growStack.js';
import { releaseHostFile, retainHostFile } from './hostFile.js';
import { hotPaths } from './hotPaths/hotPaths.js';
import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE, PROT_EXEC, PROT_READ, PROT_WRITE } from './linuxMemory.js';
import { growDown } from './mappings.js';
import { type MappingSnapshot, snapshotMapping } from './mappingTree.js';
import { forgetCode } from './pageCode.js';
import {
  accessBits,
  addWriter,
  enterCode,
  finishZap,
  growReach,
  lockPage,
  PTE_OBJECT,
  PTE_PRESENT,
  PTE_WRITE,
  PTE_WRITER,
  pageEntry,
  setPage,
  unlockPage,
  zapPages,
} from './pageTables.js';
import { reclaimFilePages } from './reclaim.js';
import { copyFrame, memoryObjectFrame, objectFrame } from './sharedObject.js';

/**
 * Page faults. They run without mmapLock: a fault takes the page-table lock of its page, looks the mapping up (checked by
 * Mm.mappingsSequence) and installs the page before it lets the lock go. Whoever changes mappings holds the page-table
 * locks of the range from before the change until the old pages are gone, so a fault sees a range either as it was or
 * as it will be, and waits only for changes to its own range.
 */

/** Pages of a file mapping brought in at once around a faulting one, as far as they are in memory. */
const FAULT_AROUND = 65536;

/** How often a fault takes clean file pages out of memory before it gives up. */
const MOST_RECLAIMS = 3;

/** installPage found that the page must be read from its file first. */
const NEEDS_FILE_PAGE = -1;

const seen: MappingSnapshot = { start: 0, end: 0, prot: 0, flags: 0, file: 0, object: 0, offset: 0 };

/**
 * Handles a page fault of `access` (ACCESS_*) at guest address `va` for the calling thread, in KERNEL mode with no lock
 * held. FAULT_HANDLED means that the access will now succeed; anything else names the signal. A fetch also needs the
 * page's CodePage: see fetchFault in codePages.ts.
 */
export function resolveFault(c: Caller, va: number, access: number): FaultOutcome {
  const { mem, mm } = c;
  if (!(va >= 0 && va < mem.getU64(mm + Mm.taskSize))) return FAULT_MAPERR;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const page = Math.floor(va / (1 << shift));
  if (shift === MIN_PAGE_SHIFT && hotPaths(mem).fault(mm, c.thread, page, access)) return FAULT_HANDLED;
  const outcome = lockFaultedPage(c, va, access);
  if (outcome === FAULT_HANDLED) unlockPage(mem, mm, page, c.thread);
  return outcome;
}

/**
 * resolveFault, but on FAULT_HANDLED returns with the page-table lock of the page held (codePages.ts goes on from there).
 */
export function lockFaultedPage(c: Caller, va: number, access: number): FaultOutcome {
  const { mem, mm, thread } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const targetPage = Math.floor(va / MIN_PAGE_SIZE);
  const page = Math.floor(va / (1 << shift));
  let reclaims = 0;
  for (;;) {
    if (va >= mem.getU64(mm + Mm.reach)) {
      // Only a mapped address may make the tables grow.
      if (!snapshotMapping(mem, mm, targetPage, seen) && !growDown(c, targetPage)) return FAULT_MAPERR;
      if (!growReach(c, va)) return FAULT_NO_MEMORY;
    }
    lockPage(mem, mm, page, thread);
    let outcome: number;
    let file = 0;
    let fileIndex = 0;
    let atHome = NOT_AT_HOME;
    try {
      if (!snapshotMapping(mem, mm, targetPage, seen)) outcome = FAULT_MAPERR;
      else if (!allows(seen.prot, access)) outcome = FAULT_ACCERR;
      else if (shift === MIN_PAGE_SHIFT) {
        granted = seen.prot;
        outcome = installPage(c, page, access);
      } else {
        surveyPage(c, page);
        granted = survey.prot;
        outcome = survey.uniform ? installPage(c, page, access) : installFragments(c, page);
      }
      if (outcome === FAULT_HANDLED) return outcome;
      if (outcome === NEEDS_FILE_PAGE) {
        file = seen.file;
        fileIndex = objectIndex(shift, page);
        atHome = pagesAtHome(shift, page);
        retainHostFile(mem, file);
      }
    } catch (error) {
      unlockPage(mem, mm, page, thread);
      throw error;
    }
    unlockPage(mem, mm, page, thread);
    if (outcome === NEEDS_FILE_PAGE) {
      const loaded = loadFilePage(mem, file, fileIndex, mm, page * (1 << shift), atHome, thread);
      releaseHostFile(mem, thread, file);
      if (loaded === LOAD_BEYOND_END) return FAULT_BUSERR;
      if (loaded !== LOAD_NO_FRAME) continue;
      outcome = FAULT_NO_MEMORY;
    }
    if (outcome === FAULT_NO_MEMORY && reclaims++ < MOST_RECLAIMS) {
      // Beyond the guest's own limit file pages are no help.
      const within = mem.atomicLoad(mm + Mm.framesHeld) < mem.getI32(mm + Mm.frameLimit);
      if (within && reclaimFilePages(c) > 0) continue;
    }
    if (outcome === FAULT_MAPERR && growDown(c, targetPage)) continue;
    if (outcome === FAULT_ACCERR && seen.flags & MAPPING_STACK_GAP && growStack(c, targetPage)) continue;
    return outcome;
  }
}

/** What the page at hand may be used for: its mapping's protection, or the union when several share a host page. */
let granted = 0;

function allows(prot: number, access: number): boolean {
  if (access === ACCESS_WRITE) return (prot & PROT_WRITE) !== 0;
  if (access === ACCESS_FETCH) return (prot & PROT_EXEC) !== 0;
  return (prot & (PROT_READ | PROT_WRITE)) !== 0;
}

/** Page number in the object of `seen` that host page `page` shows. */
function objectIndex(shift: number, page: number): number {
  const scale = shift - MIN_PAGE_SHIFT;
  return (seen.offset + (page * (1 << scale) - seen.start)) >>> scale;
}

/**
 * The pages of the file of `seen` that may have the home frames of their addresses: those that the mapping shows, and which
 * stay where they are. A private page that will be written is copied, and then it is the copy that wants to be at home.
 */
function pagesAtHome(shift: number, page: number): { first: number; end: number } {
  if ((seen.flags & MAPPING_SHARED) === 0 && (seen.prot & PROT_WRITE) !== 0) return NOT_AT_HOME;
  const scale = 1 << (shift - MIN_PAGE_SHIFT);
  const distance = objectIndex(shift, page) - page;
  return { first: Math.ceil(seen.start / scale) + distance, end: Math.floor(seen.end / scale) + distance };
}

/** Makes `page`, of mapping `seen`, accessible for `access`, which the mapping allows. The page's lock is held. */
function installPage(c: Caller, page: number, access: number): FaultOutcome {
  const { mem, mm } = c;
  const entry = pageEntry(mem, mm, page);
  if (entry & PTE_PRESENT) {
    return access === ACCESS_WRITE ? makeWritable(c, page, entry) : refreshPage(c, page, entry);
  }
  return seen.object === 0 ? installAnonymous(c, page) : installObjectPage(c, page, access);
}

/** The page is present and the mapping allows reading or executing: a fault in a race, or after mprotect. */
function refreshPage(c: Caller, page: number, entry: number): FaultOutcome {
  const bits = accessBits(granted) | (entry & (PTE_OBJECT | PTE_WRITER | PTE_WRITE));
  setPage(c.mem, c.mm, page, entry >>> 12, bits);
  return FAULT_HANDLED;
}

/** Demand-zero. */
function installAnonymous(c: Caller, page: number): FaultOutcome {
  const { mem, mm, thread } = c;
  const size = 1 << mem.getU32(MACHINE + Machine.hostPageShift);
  const frame = allocateFrame(mem, mm, mm, page * size, thread);
  if (frame === NO_FRAME) return FAULT_NO_MEMORY;
  zeroMemory(mem, frameAddress(mem, frame), size);
  setPage(mem, mm, page, frame, accessBits(granted) | (granted & PROT_WRITE ? PTE_WRITE : 0));
  countPage(mem, mm, 1, 1);
  return FAULT_HANDLED;
}

function countPage(mem: SharedMemory, mm: number, resident: number, held: number): void {
  mem.atomicAdd(mm + Mm.residentPages, resident);
  if (held !== 0) mem.atomicAdd(mm + Mm.framesHeld, held);
}

/** Brings in a page of a file or of shared memory. */
function installObjectPage(c: Caller, page: number, access: number): FaultOutcome {
  const { mem, mm, thread } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const object = seen.object;
  const index = objectIndex(shift, page);
  const isFile = mem.getU32(object + SharedObject.kind) === OBJECT_FILE;
  let frame: number;
  lockMutex(mem, object + SharedObject.lock, thread);
  try {
    if (isFile) frame = objectFrame(mem, object, index);
    else if (index * (1 << shift) >= toTargetPage(mem, mm, mem.getU64(object + SharedObject.size)))
      return FAULT_BUSERR;
    else frame = memoryObjectFrame(mem, object, index, mm, page * (1 << shift), thread);
    if (frame !== NO_FRAME) retainFrame(mem, frame);
  } finally {
    unlockMutex(mem, object + SharedObject.lock, thread);
  }
  if (frame === NO_FRAME) return isFile ? NEEDS_FILE_PAGE : FAULT_NO_MEMORY;
  setPage(mem, mm, page, frame, accessBits(granted) | PTE_OBJECT);
  enterKnownCode(c, page, frame);
  countPage(mem, mm, 1, 0);
  if (access === ACCESS_WRITE) return makeWritable(c, page, pageEntry(mem, mm, page));
  if (isFile) installAround(c, page, index);
  return FAULT_HANDLED;
}

/** Installs neighbours of a file page, within its mapping and its slice, that are in memory already. */
function installAround(c: Caller, page: number, index: number): void {
  const { mem, mm, thread } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  const scale = shift - MIN_PAGE_SHIFT;
  const window = Math.max(1, FAULT_AROUND >> shift);
  const bits = accessBits(granted) | PTE_OBJECT;
  // Whole host pages of the mapping only; windows are aligned, so they lie in one slice.
  const first = Math.max(Math.floor(page / window) * window, Math.ceil(seen.start / (1 << scale)));
  const end = Math.min(Math.floor(page / window) * window + window, seen.end >>> scale);
  const object = seen.object;
  let count = 0;
  lockMutex(mem, object + SharedObject.lock, thread);
  for (let p = first; p < end; p++) {
    if (index + p - page < 0 || pageEntry(mem, mm, p) !== 0) continue;
    const frame = objectFrame(mem, object, index + p - page);
    if (frame === NO_FRAME) continue;
    retainFrame(mem, frame);
    setPage(mem, mm, p, frame, bits);
    enterKnownCode(c, p, frame);
    count++;
  }
  unlockMutex(mem, object + SharedObject.lock, thread);
  if (count > 0) countPage(mem, mm, count, 0);
}

/**
 * Enters what has been decoded of an object's page, which has just been installed, so that no fetch has to fault for it. Where
 * the page may be written through the mapping, this is left to the fetch (codePages.ts).
 */
function enterKnownCode(c: Caller, page: number, frame: number): void {
  if ((granted & PROT_EXEC) === 0 || (seen.flags & MAPPING_SHARED) !== 0) return;
  const { mem, mm } = c;
  if (mem.getU32(MACHINE + Machine.hostPageShift) !== MIN_PAGE_SHIFT) return;
  const extensions = mem.getU32(mm + Mm.extensions);
  const code = findCodePage(mem, frameDescriptor(mem, frame), frameAddress(mem, frame), extensions);
  if (code !== 0) enterCode(mem, mm, page, code);
}

/** Gives write access to a present page of a writable mapping: at once, after dropping its code, or by copying it. */
function makeWritable(c: Caller, page: number, entry: number): FaultOutcome {
  const { mem, mm } = c;
  const frame = entry >>> 12;
  const descriptor = frameDescriptor(mem, frame);
  const bits = accessBits(granted) | PTE_WRITE;
  if (entry & PTE_OBJECT) {
    if ((seen.flags & MAPPING_SHARED) === 0) return copyPage(c, page, frame);
    let writer = entry & PTE_WRITER;
    if (writer === 0 && mem.getU32(seen.object + SharedObject.kind) === OBJECT_FILE) {
      addWriter(mem, frame);
      writer = PTE_WRITER;
    }
    forgetCode(c, page, descriptor, true);
    setPage(mem, mm, page, frame, bits | PTE_OBJECT | writer);
    return FAULT_HANDLED;
  }
  if ((entry & PTE_WRITE) === 0 && frameRefs(mem, frame) > 1) return copyPage(c, page, frame);
  forgetCode(c, page, descriptor, false);
  setPage(mem, mm, page, frame, bits);
  return FAULT_HANDLED;
}

/** Copy on write: a private frame takes the place of a shared one. */
function copyPage(c: Caller, page: number, from: number): FaultOutcome {
  const { mem, mm, thread } = c;
  const size = 1 << mem.getU32(MACHINE + Machine.hostPageShift);
  const frame = allocateFrame(mem, mm, mm, page * size, thread);
  if (frame === NO_FRAME) return FAULT_NO_MEMORY;
  copyFrame(mem, frame, from);
  // Nobody may read the old frame once somebody can write the new one.
  zapPages(c, page, page + 1);
  finishZap(c);
  setPage(mem, mm, page, frame, accessBits(granted) | PTE_WRITE);
  countPage(mem, mm, 1, 1);
  return FAULT_HANDLED;
}
