import { fstatSync, readSync, writeSync } from 'node:fs';
import { zeroMemory } from '../sync/bulkMemory.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { FRAME_DIRTY, FrameDescriptor } from '../sync/records/frame.js';
import { HostFile } from '../sync/records/hostFile.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { Caller } from './caller.js';
import { clearFrameCode } from './frameCode.js';
import {
  allocateFrame,
  frameAddress,
  frameDescriptor,
  hostPageSize,
  NO_FRAME,
  releaseFrame,
} from './frames.js';
import { hostScale } from './hostScale.js';
import {
  finishZap,
  lockPages,
  nextPresent,
  PTE_OBJECT,
  pageEntry,
  unlockPages,
  zapPages,
} from './pageTables.js';
import {
  addObjectPage,
  dropObjectPages,
  forEachObjectPage,
  objectFrame,
  zeroObjectRange,
} from './sharedObject.js';

/**
 * The page cache: pages of host files in frames, shared by every guest that maps the file, and their coherence with
 * read, write and truncate. I/O happens under the object's lock, so that a page is read once and never goes stale
 * between being read and being entered. Pages are in memory only while the file is mapped or open.
 */

/** Pages read at a time around a missing one, in bytes: 64 KiB, aligned. */
const READ_AROUND = 65536;

/**
 * `size` rounded up to the page size of the guest that `mm` belongs to: the rest of a file's last target page reads as
 * zeros, even where whole host pages lie beyond the end.
 */
export function toTargetPage(mem: SharedMemory, mm: number, size: number): number {
  const page = 1 << mem.getU32(mm + Mm.targetPageShift);
  return Math.ceil(size / page) * page;
}

/** What came of loadFilePage. */
export const LOADED = 0;
/** The page lies wholly beyond the end of the file, or cannot be read. */
export const LOAD_BEYOND_END = 1;
/** No frame is left. */
export const LOAD_NO_FRAME = 2;

/** No page gets its home frame. */
export const NOT_AT_HOME = { first: 0, end: 0 };

/**
 * Brings page `index` of `file` into memory, and what is missing in the 64 KiB around it. `va` is the guest address of
 * the page in the address space `home`, for the choice of frames: those of `atHome` (page numbers in the file) get the home
 * frames of their addresses. No page-table lock is held.
 */
export function loadFilePage(
  mem: SharedMemory,
  file: number,
  index: number,
  home: number,
  va: number,
  atHome: { readonly first: number; readonly end: number },
  owner: number,
): number {
  const object = mem.getU32(file + HostFile.object);
  const page = hostPageSize(mem);
  const window = Math.max(1, READ_AROUND / page);
  const from = Math.floor(index / window) * window;
  const frames: number[] = [];
  let entered = 0;
  lockMutex(mem, object + SharedObject.lock, owner);
  try {
    if (objectFrame(mem, object, index) !== NO_FRAME) return LOADED;
    let first = index;
    while (first > from && objectFrame(mem, object, first - 1) === NO_FRAME) first--;
    let end = index + 1;
    while (end < from + window && objectFrame(mem, object, end) === NO_FRAME) end++;
    for (let i = first; i < end; i++) {
      const isAtHome = i >= atHome.first && i < atHome.end;
      const frame = allocateFrame(mem, 0, home, isAtHome ? va + (i - index) * page : -1, owner);
      if (frame === NO_FRAME) break;
      frames.push(frame);
    }
    if (frames.length <= index - first) {
      for (const frame of frames) releaseFrame(mem, 0, frame, owner);
      return LOAD_NO_FRAME;
    }
    const bytes = readIntoFrames(mem, file, first, frames);
    let present = Math.ceil(bytes / page);
    if (present < frames.length && page < 1 << mem.getU32(home + Mm.targetPageShift)) {
      const size = sizeOf(mem, file);
      // All of the file has been read, not just what the host could read.
      const complete = first * page + bytes >= size;
      const most = complete ? Math.min(frames.length, toTargetPage(mem, home, size) / page - first) : 0;
      for (; present < most; present++) zeroMemory(mem, frameAddress(mem, frames[present]), page);
    }
    for (let i = 0; i < frames.length; i++) {
      if (i < present) addObjectPage(mem, object, first + i, frames[i], owner);
      else releaseFrame(mem, 0, frames[i], owner);
      entered++;
    }
    return first + present > index ? LOADED : LOAD_BEYOND_END;
  } catch (error) {
    if (!(error instanceof OutOfKernelMemory)) throw error;
    for (let i = entered; i < frames.length; i++) releaseFrame(mem, 0, frames[i], owner);
    return LOAD_NO_FRAME;
  } finally {
    unlockMutex(mem, object + SharedObject.lock, owner);
  }
}

/** The file's size; 0 when the host does not say. */
function sizeOf(mem: SharedMemory, file: number): number {
  try {
    return fstatSync(mem.getI32(file + HostFile.hostFd)).size;
  } catch {
    return 0;
  }
}

/** Reads the file from page `first` on into `frames`, zero-fills the last page, and returns the bytes read. */
function readIntoFrames(mem: SharedMemory, file: number, first: number, frames: readonly number[]): number {
  const page = hostPageSize(mem);
  let total = 0;
  for (let i = 0; i < frames.length; ) {
    let run = 1;
    while (i + run < frames.length && frames[i + run] === frames[i] + run) run++;
    const address = frameAddress(mem, frames[i]);
    const wanted = run * page;
    const got = readFully(mem, mem.getI32(file + HostFile.hostFd), address, wanted, (first + i) * page);
    total += got;
    if (got < wanted) {
      zeroMemory(mem, address + got, wanted - got);
      break;
    }
    i += run;
  }
  return total;
}

/** Reads until `length` bytes are there or the file ends; a read that fails counts as its end. */
function readFully(mem: SharedMemory, fd: number, address: number, length: number, position: number): number {
  let done = 0;
  try {
    while (done < length) {
      const n = readSync(fd, mem.u8, address + done, length - done, position + done);
      if (n === 0) break;
      done += n;
    }
  } catch {
    // The guest sees SIGBUS, as it would for a disk that cannot be read.
  }
  return done;
}

/**
 * Writes the dirty pages of [from, to) of `file`'s object to the host. Pages that some table still lets be written stay
 * dirty. Returns whether everything could be written.
 */
export function writeBack(mem: SharedMemory, file: number, from: number, to: number, owner: number): boolean {
  const object = mem.getU32(file + HostFile.object);
  if (mem.atomicLoad(object + SharedObject.pageCount) === 0) return true;
  const fd = mem.getI32(file + HostFile.hostFd);
  const page = hostPageSize(mem);
  let size = -1;
  let complete = true;
  lockMutex(mem, object + SharedObject.lock, owner);
  try {
    forEachObjectPage(mem, object, from, to, (index, frame) => {
      const descriptor = frameDescriptor(mem, frame);
      if ((mem.atomicLoad(descriptor + FrameDescriptor.flags) & FRAME_DIRTY) === 0) return;
      if (mem.atomicLoad(descriptor + FrameDescriptor.link) === 0)
        mem.atomicAnd(descriptor + FrameDescriptor.flags, ~FRAME_DIRTY);
      try {
        if (size < 0) size = fstatSync(fd).size;
        const address = frameAddress(mem, frame);
        const length = Math.min(page, size - index * page);
        for (let done = 0; done < length; )
          done += writeSync(fd, mem.u8, address + done, length - done, index * page + done);
      } catch {
        complete = false;
      }
    });
  } finally {
    unlockMutex(mem, object + SharedObject.lock, owner);
  }
  return complete;
}

/** Before a system call reads [offset, offset+length) of the host file: what guests wrote through mappings goes there. */
export function flushFileRange(
  mem: SharedMemory,
  file: number,
  offset: number,
  length: number,
  owner: number,
): void {
  const object = mem.getU32(file + HostFile.object);
  if (mem.atomicLoad(object + SharedObject.writableMappings) === 0) return;
  const writer = writableFile(mem, object, owner);
  if (writer === 0) return;
  const page = hostPageSize(mem);
  writeBack(mem, writer, Math.floor(offset / page), Math.ceil((offset + length) / page), owner);
}

/** Some HostFile of the object that can write, or 0. */
function writableFile(mem: SharedMemory, object: number, owner: number): number {
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  let file = mem.getU32(object + SharedObject.files);
  while (file !== 0 && mem.getU32(file + HostFile.writable) === 0)
    file = mem.getU32(file + HostFile.nextOfObject);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  return file;
}

/**
 * Zeroes [offset, offset+length) of the host file as far as the file reaches, where the host could punch a hole
 * (MADV_REMOVE). False when the host refused.
 */
export function zeroFileRange(
  mem: SharedMemory,
  file: number,
  offset: number,
  length: number,
  owner: number,
): boolean {
  const fd = mem.getI32(file + HostFile.hostFd);
  const zeros = new Uint8Array(Math.min(length, 65536));
  try {
    const end = Math.min(offset + length, fstatSync(fd).size);
    for (let at = offset; at < end; ) at += writeSync(fd, zeros, 0, Math.min(zeros.length, end - at), at);
  } catch {
    return false;
  }
  noteFileWrite(mem, file, offset, length, owner);
  return true;
}

/**
 * After a system call has written [offset, offset+length) of the host file: pages in memory take the new bytes. Code
 * decoded from them is forgotten.
 */
export function noteFileWrite(
  mem: SharedMemory,
  file: number,
  offset: number,
  length: number,
  owner: number,
): void {
  const object = mem.getU32(file + HostFile.object);
  if (length <= 0 || mem.atomicLoad(object + SharedObject.pageCount) === 0) return;
  const page = hostPageSize(mem);
  const readers = descriptorsOf(mem, object, owner);
  lockMutex(mem, object + SharedObject.lock, owner);
  try {
    forEachObjectPage(
      mem,
      object,
      Math.floor(offset / page),
      Math.ceil((offset + length) / page),
      (index, frame) => {
        const from = Math.max(offset, index * page);
        const to = Math.min(offset + length, (index + 1) * page);
        const address = frameAddress(mem, frame) + (from - index * page);
        for (const fd of readers) if (readFully(mem, fd, address, to - from, from) === to - from) break;
        clearFrameCode(mem, frameDescriptor(mem, frame), owner);
      },
    );
  } finally {
    unlockMutex(mem, object + SharedObject.lock, owner);
  }
}

function descriptorsOf(mem: SharedMemory, object: number, owner: number): number[] {
  const found: number[] = [];
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  for (let f = mem.getU32(object + SharedObject.files); f !== 0; f = mem.getU32(f + HostFile.nextOfObject))
    found.push(mem.getI32(f + HostFile.hostFd));
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  return found;
}

/**
 * After the file (or memory object) has been cut or extended to `size` bytes: pages wholly beyond disappear from every
 * mapping (access raises SIGBUS from now on), and the rest of the last page reads zero. In KERNEL mode, no lock held.
 */
export function noteObjectResize(c: Caller, object: number, size: number): void {
  const { mem, thread } = c;
  const page = hostPageSize(mem);
  const firstGone = Math.ceil(size / page);
  lockMutex(mem, object + SharedObject.lock, thread);
  mem.set64(object + SharedObject.size, size);
  if (size % page !== 0) {
    const frame = objectFrame(mem, object, firstGone - 1);
    if (frame !== NO_FRAME) zeroMemory(mem, frameAddress(mem, frame) + (size % page), page - (size % page));
  }
  unlockMutex(mem, object + SharedObject.lock, thread);
  dropObjectPages(mem, object, firstGone, Infinity, thread);
  zapObjectPages(c, object, firstGone, Infinity, true);
}

/**
 * Makes a hole of [position, position+length) in a memory object: whole pages go, out of the mappings too, and what else of
 * the range is in memory becomes zero. Private copies stay. In KERNEL mode, no lock held. fallocate(2), MADV_REMOVE.
 */
export function punchObject(c: Caller, object: number, position: number, length: number): void {
  const { mem, thread } = c;
  const page = hostPageSize(mem);
  const first = Math.ceil(position / page);
  const end = Math.floor((position + length) / page);
  if (first >= end) {
    zeroObjectRange(mem, object, position, length, thread);
    return;
  }
  zeroObjectRange(mem, object, position, first * page - position, thread);
  zeroObjectRange(mem, object, end * page, position + length - end * page, thread);
  dropObjectPages(mem, object, first, end, thread);
  zapObjectPages(c, object, first, end, false);
}

/** noteObjectResize for a HostFile: after ftruncate, O_TRUNC, fallocate. */
export function noteFileTruncate(c: Caller, file: number, size: number): void {
  const { mem } = c;
  const object = mem.getU32(file + HostFile.object);
  if (
    mem.atomicLoad(object + SharedObject.pageCount) === 0 &&
    mem.getU32(object + SharedObject.mappings) === 0
  ) {
    return;
  }
  noteObjectResize(c, object, size);
}

/** Takes the pages of [from, to) out of every table that shows them, and with `copies` private copies of them too. */
function zapObjectPages(c: Caller, object: number, from: number, to: number, copies: boolean): void {
  const { mem, thread } = c;
  const shift = hostScale(mem);
  lockMutex(mem, MACHINE + Machine.filePagesLock, thread);
  for (
    let m = mem.getU32(object + SharedObject.mappings);
    m !== 0;
    m = mem.getU32(m + Mapping.nextOfObject)
  ) {
    const start = mem.getU32(m + Mapping.start);
    const end = mem.getU32(m + Mapping.end);
    const before = start - mem.getU32(m + Mapping.offset);
    const gone = Math.max(start, before + from * (1 << shift));
    const goneEnd = Math.min(end, before + to * (1 << shift));
    if (gone >= goneEnd) continue;
    const first = gone >>> shift;
    const last = ((goneEnd - 1) >>> shift) + 1;
    const other: Caller = { mem, thread, mm: mem.getU32(m + Mapping.mm) };
    lockPages(mem, other.mm, first, last, thread);
    let page = nextPresent(mem, other.mm, first, last);
    for (; page < last; page = nextPresent(mem, other.mm, page + 1, last)) {
      // A host page that the mapping covers partly may be the private one of several.
      const whole = page << shift >= start && (page + 1) << shift <= end;
      if ((copies && whole) || pageEntry(mem, other.mm, page) & PTE_OBJECT) zapPages(other, page, page + 1);
    }
    unlockPages(mem, other.mm, first, last, thread);
    finishZap(other);
  }
  unlockMutex(mem, MACHINE + Machine.filePagesLock, thread);
}
