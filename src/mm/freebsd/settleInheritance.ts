import type { Caller } from '../../memory/caller.js';
import { tbInvalidatePhysRange } from '../../memory/codePages.js';
import { LOAD_NO_FRAME, loadFilePage, NOT_AT_HOME } from '../../memory/filePages.js';
import { NO_FRAME } from '../../memory/frames.js';
import { releaseHostFile, retainHostFile } from '../../memory/hostFile.js';
import { hostScale } from '../../memory/hostScale.js';
import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import type { NewMapping } from '../../memory/mappingRecords.js';
import { mapRange, unmapRange } from '../../memory/mappings.js';
import { firstEndingAfter, firstMapping } from '../../memory/mappingTree.js';
import { PTE_OBJECT, PTE_PRESENT, pageEntry, pagesInReach } from '../../memory/pageTables.js';
import {
  copyFrame,
  createMemoryObject,
  memoryObjectFrame,
  objectFrame,
  releaseObject,
  retainObject,
} from '../../memory/sharedObject.js';
import { OutOfKernelMemory } from '../../sync/heap.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import {
  MAPPING_INHERIT_COPY,
  MAPPING_INHERIT_SHARE,
  MAPPING_SHARED,
  Mapping,
} from '../../sync/records/mapping.js';
import { SharedObject } from '../../sync/records/sharedObject.js';

/**
 * Does before a fork what minherit has asked for and copying the mappings would not do, as vmspace_fork does: private memory
 * that is to be shared becomes shared memory of its own; shared memory that the child is to have a copy of becomes private
 * for both. The other threads are stopped and mmapLock is held. Throws OutOfKernelMemory, with each mapping as it was or
 * changed whole.
 */
export function settleInheritance(c: Caller): void {
  const { mem, mm } = c;
  for (let m = firstMapping(mem, mm); m !== 0; ) {
    const flags = mem.getU32(m + Mapping.flags);
    const start = mem.getU32(m + Mapping.start);
    const end = mem.getU32(m + Mapping.end);
    if (flags & MAPPING_INHERIT_SHARE) shareMapping(c, m, start, end);
    else if (flags & MAPPING_INHERIT_COPY) makePrivate(c, m, start, end);
    // The record may have been joined with others.
    m = firstEndingAfter(mem, mm, end);
  }
}

function likeMapping(c: Caller, mapping: number): NewMapping {
  const { mem } = c;
  return {
    prot: mem.getU32(mapping + Mapping.prot),
    flags: mem.getU32(mapping + Mapping.flags),
    file: mem.getU32(mapping + Mapping.file),
    object: mem.getU32(mapping + Mapping.object),
    offset: mem.getU32(mapping + Mapping.offset),
  };
}

function makePrivate(c: Caller, mapping: number, start: number, end: number): void {
  const what = likeMapping(c, mapping);
  what.flags &= ~(MAPPING_INHERIT_COPY | MAPPING_SHARED);
  replaceMapping(c, start, end, what);
}

function shareMapping(c: Caller, mapping: number, start: number, end: number): void {
  const { mem, thread } = c;
  const what = likeMapping(c, mapping);
  const per = 1 << hostScale(mem);
  // Pages lie in host pages of the object as they lie in the guest's.
  const offset = start % per;
  const size = (offset + end - start) * MIN_PAGE_SIZE;
  const object = createMemoryObject(mem, size, 'anonymous (inherited)', thread);
  try {
    fillObject(c, what, object, start, end);
    what.flags = (what.flags & ~MAPPING_INHERIT_SHARE) | MAPPING_SHARED;
    what.file = 0;
    what.object = object;
    what.offset = offset;
    replaceMapping(c, start, end, what);
  } finally {
    releaseObject(mem, object, thread);
  }
}

/** Copies what the mapping shows into the object. Pages that were never touched stay holes. */
function fillObject(c: Caller, shown: NewMapping, object: number, start: number, end: number): void {
  const { mem, mm, thread } = c;
  const scale = hostScale(mem);
  const first = start >>> scale;
  const last = (end - 1) >>> scale;
  const reach = pagesInReach(mem, mm);
  for (let page = first; page <= last; page++) {
    const entry = page < reach ? pageEntry(mem, mm, page) : 0;
    let source = entry & PTE_PRESENT && !(entry & PTE_OBJECT) ? entry >>> 12 : NO_FRAME;
    if (source === NO_FRAME) {
      if (shown.object === 0) continue;
      source = shownFrame(c, shown, page, (shown.offset + (page << scale) - start) >>> scale);
      if (source === NO_FRAME) continue;
    }
    lockMutex(mem, object + SharedObject.lock, thread);
    const frame = memoryObjectFrame(mem, object, page - first, mm, page << (scale + MIN_PAGE_SHIFT), thread);
    unlockMutex(mem, object + SharedObject.lock, thread);
    if (frame === NO_FRAME) throw new OutOfKernelMemory();
    copyFrame(mem, frame, source);
  }
}

/** The frame of an object's page that a private mapping shows and has not written; NO_FRAME beyond its end. */
function shownFrame(c: Caller, shown: NewMapping, page: number, index: number): number {
  const { mem, mm, thread } = c;
  const shift = mem.getU32(MACHINE + Machine.hostPageShift);
  if (shown.file !== 0) {
    const outcome = loadFilePage(mem, shown.file, index, mm, page * 2 ** shift, NOT_AT_HOME, thread);
    if (outcome === LOAD_NO_FRAME) throw new OutOfKernelMemory();
  }
  lockMutex(mem, shown.object + SharedObject.lock, thread);
  const frame = objectFrame(mem, shown.object, index);
  unlockMutex(mem, shown.object + SharedObject.lock, thread);
  return frame;
}

function replaceMapping(c: Caller, start: number, end: number, what: NewMapping): void {
  const { mem, thread } = c;
  tbInvalidatePhysRange(c, start * MIN_PAGE_SIZE, end * MIN_PAGE_SIZE - 1);
  if (mem.getU32(MACHINE + Machine.hostPageShift) === MIN_PAGE_SHIFT) {
    mapRange(c, start, end, what);
    return;
  }
  // A host page that the mapping covers partly would keep the private copy that it has.
  if (what.object !== 0) retainObject(mem, what.object);
  if (what.file !== 0) retainHostFile(mem, what.file);
  try {
    unmapRange(c, start, end);
    mapRange(c, start, end, what);
  } finally {
    if (what.file !== 0) releaseHostFile(mem, thread, what.file);
    if (what.object !== 0) releaseObject(mem, what.object, thread);
  }
}
