import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { FRAME_DIRTY, FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mapping } from '../sync/records/mapping.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { Caller } from './caller.js';
import { frameDescriptor, releaseFrame } from './frames.js';
import { hostScale } from './hostScale.js';
import {
  finishZap,
  lockPages,
  nextPresent,
  PTE_OBJECT,
  PTE_WRITER,
  pageEntry,
  unlockPages,
  zapPages,
} from './pageTables.js';
import { forEachFileObject, forEachObjectPage, objectSlot } from './sharedObject.js';

/**
 * Gives the frames of clean file pages back when no frame is left: they can be read again. Tables lose the pages, and
 * whoever touches one faults it in anew. Pages that hold what the file does not have yet stay.
 *
 * Called with no lock below Machine.filePagesLock held. Returns how many frames became free.
 */
export function reclaimFilePages(c: Caller): number {
  const { mem, thread } = c;
  let freed = 0;
  lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  try {
    forEachFileObject(mem, (object) => {
      if (mem.atomicLoad(object + SharedObject.pageCount) === 0) return;
      let mapping = mem.getU32(object + SharedObject.mappings);
      for (; mapping !== 0; mapping = mem.getU32(mapping + Mapping.nextOfObject)) takeOutClean(c, mapping);
      freed += dropUnused(c, object);
    });
  } finally {
    unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  }
  return freed;
}

/** Takes the pages of a mapping that show its object, and cannot be written, out of its table. */
function takeOutClean(c: Caller, mapping: number): void {
  const { mem, thread } = c;
  const scale = hostScale(mem);
  const other: Caller = { mem, thread, mm: mem.getU32(mapping + Mapping.mm) };
  const from = mem.getU32(mapping + Mapping.start) >>> scale;
  const to = ((mem.getU32(mapping + Mapping.end) - 1) >>> scale) + 1;
  lockPages(mem, other.mm, from, to, thread);
  let page = nextPresent(mem, other.mm, from, to);
  for (; page < to; page = nextPresent(mem, other.mm, page + 1, to)) {
    if ((pageEntry(mem, other.mm, page) & (PTE_OBJECT | PTE_WRITER)) === PTE_OBJECT)
      zapPages(other, page, page + 1);
  }
  unlockPages(mem, other.mm, from, to, thread);
  finishZap(other);
}

/** Drops the object's clean pages that nothing refers to but the object. */
function dropUnused(c: Caller, object: number): number {
  const { mem, thread } = c;
  let freed = 0;
  lockMutex(mem, object + SharedObject.lock, thread);
  forEachObjectPage(mem, object, 0, Infinity, (index, frame) => {
    const descriptor = frameDescriptor(mem, frame);
    // New references are made under the object's lock only.
    if (mem.atomicLoad(descriptor + FrameDescriptor.refs) !== 1) return;
    if (mem.atomicLoad(descriptor + FrameDescriptor.flags) & FRAME_DIRTY) return;
    mem.setU32(objectSlot(mem, object, index), 0);
    mem.atomicAdd(object + SharedObject.pageCount, -1);
    releaseFrame(mem, 0, frame, thread);
    freed++;
  });
  unlockMutex(mem, object + SharedObject.lock, thread);
  return freed;
}
