import { copyMemory, zeroMemory } from '../sync/bulkMemory.js';
import { newCodeEpoch } from '../sync/codeEpoch.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { MAPPING_SHARED } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { OBJECT_FILE, SharedObject } from '../sync/records/sharedObject.js';
import { quiesceOthers } from '../sync/safepoint.js';
import { type Caller, FAULT_HANDLED, FAULT_NO_MEMORY, type FaultOutcome } from './caller.js';
import { LOADED, loadFilePage, NOT_AT_HOME } from './filePages.js';
import { clearFrameCode } from './frameCode.js';
import {
  allocateFrame,
  frameAddress,
  frameDescriptor,
  frameRefs,
  hostPageSize,
  NO_FRAME,
  releaseFrame,
} from './frames.js';
import { hostScale } from './hostScale.js';
import { MIN_PAGE_SIZE, PROT_WRITE } from './linuxMemory.js';
import { type MappingSnapshot, snapshotMapping } from './mappingTree.js';
import { forgetCode } from './pageCode.js';
import {
  accessBits,
  finishZap,
  PTE_EXEC,
  PTE_OBJECT,
  PTE_READ,
  PTE_WRITE,
  PTE_WRITER,
  pageEntry,
  setPage,
  withdrawWrite,
  zapPages,
} from './pageTables.js';
import { copyFrame, objectFrame } from './sharedObject.js';

/**
 * Host pages larger than target pages: a host page that several mappings share, or one whose place in its file does not
 * fit. As in QEMU, such a page gets the union of its mappings' protections and a private frame that holds a copy of
 * what each of them shows (QEMU: mmap_frag). A page is uniform, and handled like any other, when everything mapped in
 * it shows the same object at the same displacement, or is anonymous.
 *
 * Everything here is called with the page's page-table lock held, which keeps the mappings in the page as they are.
 */
const part: MappingSnapshot = { start: 0, end: 0, prot: 0, flags: 0, file: 0, object: 0, offset: 0 };

/** What surveyPage found: the union of protections, and whether the page is uniform. One object a worker. */
export const survey = { prot: 0, uniform: true, mapped: false, shared: false };

/** Target pages in a host page, as a power of two. */
function scaleOf(c: Caller): number {
  return hostScale(c.mem);
}

/** Looks at everything mapped in host page `page`; the answer is in `survey`. */
export function surveyPage(c: Caller, page: number): void {
  const { mem, mm } = c;
  const scale = scaleOf(c);
  const end = (page + 1) << scale;
  survey.prot = 0;
  survey.uniform = true;
  survey.mapped = false;
  let object = 0;
  let displacement = 0;
  let shared = 0;
  for (let at = page << scale; at < end; at++) {
    if (!snapshotMapping(mem, mm, at, part)) continue;
    survey.prot |= part.prot;
    if (!survey.mapped) {
      survey.mapped = true;
      object = part.object;
      displacement = part.offset - part.start;
      shared = part.flags & MAPPING_SHARED;
      survey.shared = shared !== 0;
      if (object !== 0 && displacement % (1 << scale) !== 0) survey.uniform = false;
    } else if (
      part.object !== object ||
      (object !== 0 &&
        (part.offset - part.start !== displacement || (part.flags & MAPPING_SHARED) !== shared))
    ) {
      survey.uniform = false;
    }
    at = Math.min(part.end, end) - 1;
  }
}

/** A fault on a page that is not uniform (as `survey` says): makes it present with what its mappings allow. */
export function installFragments(c: Caller, page: number): FaultOutcome {
  const { mem, mm } = c;
  const entry = pageEntry(mem, mm, page);
  if (entry === 0) {
    const frame = newFrame(c, page);
    if (frame === NO_FRAME) return FAULT_NO_MEMORY;
    const size = hostPageSize(mem);
    zeroMemory(mem, frameAddress(mem, frame), size);
    const scale = scaleOf(c);
    fill(c, page, frame, page << scale, (page + 1) << scale);
    setPrivate(c, page, frame);
    return FAULT_HANDLED;
  }
  if (!makePrivate(c, page, entry)) return FAULT_NO_MEMORY;
  setPage(mem, mm, page, pageEntry(mem, mm, page) >>> 12, privateBits());
  return FAULT_HANDLED;
}

function privateBits(): number {
  return accessBits(survey.prot) | (survey.prot & PROT_WRITE ? PTE_WRITE : 0);
}

/** Frames set aside by reserveEdgeFrames for the change under way. */
const setAside: number[] = [];

/**
 * Before a change of target pages [start, end) that may have to give the present host page at either end a frame of its
 * own: sets the frames aside, so that nothing is lost half way. `releaseEdgeFrames` must follow. Throws OutOfKernelMemory
 * when there are none.
 */
export function reserveEdgeFrames(c: Caller, start: number, end: number): void {
  if (!held) setEdgeFramesAside(c, start, end);
}

/** Whether an operation of several changes has set frames aside for all of them. */
let held = false;

/**
 * reserveEdgeFrames for an operation of several changes that cannot be undone, for the ranges [start, end) in pairs:
 * `letEdgeFramesGo` must follow. Throws OutOfKernelMemory with nothing set aside.
 */
export function holdEdgeFrames(c: Caller, ranges: readonly number[]): void {
  if (scaleOf(c) === 0) return;
  for (let i = 0; i < ranges.length; i += 2) setEdgeFramesAside(c, ranges[i], ranges[i + 1]);
  held = true;
}

/** Ends holdEdgeFrames. */
export function letEdgeFramesGo(c: Caller): void {
  held = false;
  giveBack(c);
}

function setEdgeFramesAside(c: Caller, start: number, end: number): void {
  const scale = scaleOf(c);
  const mask = (1 << scale) - 1;
  if (start & mask) reserveFrame(c, start >>> scale);
  if (end & mask) reserveFrame(c, end >>> scale);
}

function reserveFrame(c: Caller, page: number): void {
  // A page that a fault brings in from now on finds its frame, or not, by itself.
  if (pageEntry(c.mem, c.mm, page) === 0) return;
  const frame = allocateFrame(c.mem, c.mm, c.mm, page * hostPageSize(c.mem), c.thread);
  if (frame === NO_FRAME) {
    giveBack(c);
    throw new OutOfKernelMemory('no frame is left');
  }
  setAside.push(frame);
}

/** Gives back the frames that the change did not need. */
export function releaseEdgeFrames(c: Caller): void {
  if (!held) giveBack(c);
}

function giveBack(c: Caller): void {
  for (let frame = setAside.pop(); frame !== undefined; frame = setAside.pop())
    releaseFrame(c.mem, c.mm, frame, c.thread);
}

function newFrame(c: Caller, page: number): number {
  return setAside.pop() ?? allocateFrame(c.mem, c.mm, c.mm, page * hostPageSize(c.mem), c.thread);
}

function setPrivate(c: Caller, page: number, frame: number): void {
  const { mem, mm } = c;
  setPage(mem, mm, page, frame, privateBits());
  mem.atomicAdd(mm + Mm.residentPages, 1);
  mem.atomicAdd(mm + Mm.framesHeld, 1);
}

/** Sees to it that the present page's frame is its own and holds no code. */
function makePrivate(c: Caller, page: number, entry: number): boolean {
  const { mem } = c;
  const frame = entry >>> 12;
  if ((entry & PTE_OBJECT) === 0 && frameRefs(mem, frame) === 1) {
    forgetCode(c, page, frameDescriptor(mem, frame), false);
    // What is in the frame changes now, without a FENCE.I to come.
    clearFrameCode(mem, frameDescriptor(mem, frame), c.thread);
    newCodeEpoch(mem, c.mm);
    return true;
  }
  const own = newFrame(c, page);
  if (own === NO_FRAME) return false;
  copyFrame(mem, own, frame);
  zapPages(c, page, page + 1);
  finishZap(c);
  setPrivate(c, page, own);
  return true;
}

/** Writes what the mappings of target pages [from, to) show into a private frame of `page`; the rest is left. */
function fill(c: Caller, page: number, frame: number, from: number, to: number): void {
  const { mem, mm } = c;
  const base = frameAddress(mem, frame) - (page << scaleOf(c)) * MIN_PAGE_SIZE;
  for (let at = from; at < to; ) {
    if (!snapshotMapping(mem, mm, at, part)) {
      at++;
      continue;
    }
    const end = Math.min(part.end, to);
    const address = base + at * MIN_PAGE_SIZE;
    const length = (end - at) * MIN_PAGE_SIZE;
    zeroMemory(mem, address, length);
    const position = (part.offset + (at - part.start)) * MIN_PAGE_SIZE;
    if (part.object !== 0) copyFromObject(c, part.file, part.object, position, address, length);
    at = end;
  }
}

/** Copies what an object holds at [position, position+length); what lies beyond its end is left as it is. */
function copyFromObject(
  c: Caller,
  file: number,
  object: number,
  position: number,
  to: number,
  length: number,
): void {
  const { mem, mm, thread } = c;
  const size = hostPageSize(mem);
  const isFile = mem.getU32(object + SharedObject.kind) === OBJECT_FILE;
  for (let done = 0; done < length; ) {
    const index = Math.floor((position + done) / size);
    const within = (position + done) % size;
    const n = Math.min(length - done, size - within);
    if (!isFile || loadFilePage(mem, file, index, mm, -1, NOT_AT_HOME, thread) === LOADED) {
      lockMutex(mem, object + SharedObject.lock, thread);
      const frame = objectFrame(mem, object, index);
      if (frame !== NO_FRAME) copyMemory(mem, to + done, frameAddress(mem, frame) + within, n);
      unlockMutex(mem, object + SharedObject.lock, thread);
    }
    done += n;
  }
}

/**
 * After mappings have changed in target pages [start, end), which cover host page `page` partly: brings a present page up
 * to date. `fresh`: what the range shows now is new (map, MADV_DONTNEED) rather than what was there (unmap, mprotect).
 * Says whether access was withdrawn; the caller then lets the others pass a safepoint.
 */
export function settleEdge(c: Caller, page: number, start: number, end: number, fresh: boolean): boolean {
  const { mem, mm } = c;
  const entry = pageEntry(mem, mm, page);
  if (entry === 0) return false;
  surveyPage(c, page);
  if (!survey.mapped) {
    zapPages(c, page, page + 1);
    return true;
  }
  if (survey.uniform && survey.shared && (entry & PTE_OBJECT) === 0) {
    // Nobody could write to the copy, for it was one of a shared page: from now on it is that page itself.
    zapPages(c, page, page + 1);
    return true;
  }
  const scale = scaleOf(c);
  const from = Math.max(start, page << scale);
  const to = Math.min(end, (page + 1) << scale);
  const keepsObject = (entry & PTE_OBJECT) !== 0 && survey.uniform;
  if (keepsObject && !fresh) {
    // Still the object's page.
    const keep = entry & (survey.prot & PROT_WRITE ? PTE_WRITE | PTE_WRITER : PTE_WRITER);
    setPage(mem, mm, page, entry >>> 12, accessBits(survey.prot) | PTE_OBJECT | keep);
    return true;
  }
  if (keepsObject && objectThere(c, from)) {
    // The whole page shows one object, and holds nothing else: the next fault finds it.
    zapPages(c, page, page + 1);
    return true;
  }
  let bits = privateBits();
  if (fresh || entry & PTE_OBJECT) {
    if (!makePrivate(c, page, entry)) {
      // No frame for a copy: what was private in the page is lost, as it is when the guest is killed.
      zapPages(c, page, page + 1);
      return true;
    }
    if (fresh) fill(c, page, pageEntry(mem, mm, page) >>> 12, from, to);
  } else if (frameRefs(mem, entry >>> 12) > 1) bits &= ~PTE_WRITE;
  setPage(mem, mm, page, pageEntry(mem, mm, page) >>> 12, bits);
  return (entry & ~bits & (PTE_READ | PTE_WRITE | PTE_EXEC)) !== 0;
}

function objectThere(c: Caller, at: number): boolean {
  return snapshotMapping(c.mem, c.mm, at, part) && part.object !== 0;
}

/**
 * mremap moves target pages [start, end), which cover host page `from` partly: copies their bytes to host page `to`, whose
 * mappings and present bytes are up to date, and leaves the rest of `from` to its other mappings. `start` and its new
 * place lie alike within their host pages. `keepOld`: what stays at the old place is fresh. The locks of both pages are
 * held.
 */
export function copyPartialPage(
  c: Caller,
  from: number,
  to: number,
  start: number,
  end: number,
  keepOld: boolean,
): void {
  const { mem, mm, thread } = c;
  const scale = scaleOf(c);
  // A page that shows its object alone is found by the next fault.
  if ((pageEntry(mem, mm, from) & PTE_OBJECT) === 0) {
    // What is written after the copy would be lost.
    if (withdrawWrite(mem, mm, from)) quiesceOthers(mem, mm, thread, thread);
    surveyPage(c, to);
    if (survey.mapped && installFragments(c, to) === FAULT_HANDLED) {
      const first = Math.max(start, from << scale) - (from << scale);
      const last = Math.min(end, (from + 1) << scale) - (from << scale);
      const source = frameAddress(mem, pageEntry(mem, mm, from) >>> 12) + first * MIN_PAGE_SIZE;
      const target = frameAddress(mem, pageEntry(mem, mm, to) >>> 12) + first * MIN_PAGE_SIZE;
      copyMemory(mem, target, source, (last - first) * MIN_PAGE_SIZE);
    }
  }
  settleEdge(c, from, start, end, keepOld);
}
