import { copyMemory, zeroMemory } from '../sync/bulkMemory.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { LOCK_RANK } from '../sync/lockOrder.js';
import { initMutex, lockMutex, unlockMutex } from '../sync/mutex.js';
import { FRAME_OBJECT, FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { MAPPING_MAY_WRITE, MAPPING_SHARED, Mapping } from '../sync/records/mapping.js';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_WRITE,
  OBJECT_FILE,
  OBJECT_MEMORY,
  SharedObject,
} from '../sync/records/sharedObject.js';
import { ShmSegment } from '../sync/records/sysvIpc.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { clearFrameCode } from './frameCode.js';
import {
  allocateFrame,
  frameAddress,
  frameCounts,
  frameDescriptor,
  hostPageSize,
  NO_FRAME,
  releaseFrame,
} from './frames.js';

/**
 * Shared objects: pages with an identity of their own, which any number of mappings in any number of guests show. The
 * table of file objects and the lists of mappings belong to Machine.filePagesLock (taken under mmapLock, over page-table
 * locks); an object's pages belong to its own lock (under page-table locks).
 */
const BUCKETS = 256;
const CHUNK_SHIFT = 9;
const CHUNK_PAGES = 1 << CHUNK_SHIFT;
/** Device number shown for anonymous shared memory. */
const MEMORY_DEVICE = 1;

/** Makes the machine's table of file objects; machineMemory.ts. */
export function createObjectTable(mem: SharedMemory, owner: number): void {
  mem.setU32(MACHINE + Machine.filePages, allocateBlock(mem, BUCKETS * 4 + 8, owner));
}

function bucketOf(mem: SharedMemory, dev: number, ino: number): number {
  const hash = Math.imul((ino ^ (ino / 0x1_0000_0000)) >>> 0, 0x9e37_79b9) ^ dev;
  return mem.getU32(MACHINE + Machine.filePages) + ((hash >>> 8) % BUCKETS) * 4;
}

function newObject(
  mem: SharedMemory,
  kind: number,
  dev: number,
  ino: number,
  size: number,
  owner: number,
): number {
  const object = allocateBlock(mem, SharedObject.SIZE, owner);
  mem.atomicStore(object + SharedObject.refs, 1);
  mem.setU32(object + SharedObject.kind, kind);
  initMutex(mem, object + SharedObject.lock, LOCK_RANK.object);
  mem.set64(object + SharedObject.dev, dev);
  mem.set64(object + SharedObject.ino, ino);
  mem.set64(object + SharedObject.size, size);
  return object;
}

/**
 * Anonymous shared memory of `size` bytes (it can be resized): for MAP_SHARED|MAP_ANONYMOUS, memfd_create, shm. `name` is
 * what /proc/PID/maps shows. The caller owns one reference. Throws OutOfKernelMemory.
 */
export function createMemoryObject(mem: SharedMemory, size: number, name: string, owner: number): number {
  const counter = mem.getU32(MACHINE + Machine.filePages) + BUCKETS * 4;
  const ino = mem.atomicAdd(counter, 1) + 1;
  const text = new TextEncoder().encode(name);
  const block = allocateBlock(mem, Math.max(1, text.length), owner);
  let object: number;
  try {
    object = newObject(mem, OBJECT_MEMORY, MEMORY_DEVICE, ino, size, owner);
  } catch (error) {
    freeBlock(mem, block, owner);
    throw error;
  }
  mem.u8.set(text, block);
  mem.setU32(object + SharedObject.name, block);
  mem.setU32(object + SharedObject.nameLength, text.length);
  return object;
}

/** The object of host file (dev, ino), made when there is none; the caller owns one reference. */
export function objectOfFile(
  mem: SharedMemory,
  dev: number,
  ino: number,
  size: number,
  owner: number,
): number {
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  try {
    const bucket = bucketOf(mem, dev, ino);
    for (let o = mem.getU32(bucket); o !== 0; o = mem.getU32(o + SharedObject.nextInTable)) {
      if (mem.getU64(o + SharedObject.ino) === ino && mem.getU64(o + SharedObject.dev) === dev) {
        mem.atomicAdd(o + SharedObject.refs, 1);
        return o;
      }
    }
    const object = newObject(mem, OBJECT_FILE, dev, ino, size, owner);
    mem.setU32(object + SharedObject.nextInTable, mem.getU32(bucket));
    mem.setU32(bucket, object);
    return object;
  } finally {
    unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  }
}

/** Calls `visit` for every file object of the machine. Machine.filePagesLock is held. */
export function forEachFileObject(mem: SharedMemory, visit: (object: number) => void): void {
  const table = mem.getU32(MACHINE + Machine.filePages);
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    let object = mem.getU32(table + bucket * 4);
    for (; object !== 0; object = mem.getU32(object + SharedObject.nextInTable)) visit(object);
  }
}

/** One more reference to an object that the caller knows to be alive. */
export function retainObject(mem: SharedMemory, object: number): void {
  mem.atomicAdd(object + SharedObject.refs, 1);
}

/** Gives a reference up; with the last one the pages go. No lock below filePagesLock is held. */
export function releaseObject(mem: SharedMemory, object: number, owner: number): void {
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  const last = mem.atomicAdd(object + SharedObject.refs, -1) === 1;
  if (last && mem.getU32(object + SharedObject.kind) === OBJECT_FILE) {
    let link = bucketOf(mem, mem.getU64(object + SharedObject.dev), mem.getU64(object + SharedObject.ino));
    while (mem.getU32(link) !== object) link = mem.getU32(link) + SharedObject.nextInTable;
    mem.setU32(link, mem.getU32(object + SharedObject.nextInTable));
  }
  const segment = mem.getU32(object + SharedObject.segment);
  if (last && segment !== 0) mem.atomicStore(segment + ShmSegment.object, 0);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  if (!last) return;
  dropObjectPages(mem, object, 0, Infinity, owner);
  const directory = mem.getU32(object + SharedObject.directory);
  if (directory !== 0) {
    for (let i = 0; i < mem.getU32(object + SharedObject.directoryLength); i++) {
      const chunk = mem.getU32(directory + i * 4);
      if (chunk !== 0) freeBlock(mem, chunk, owner);
    }
    freeBlock(mem, directory, owner);
  }
  const name = mem.getU32(object + SharedObject.name);
  if (name !== 0) freeBlock(mem, name, owner);
  freeBlock(mem, object, owner);
}

// --- pages; the object's lock is held ---

/** Address of the slot (frame index + 1, or 0) of page `index`, or 0 when there is no such slot yet. */
export function objectSlot(mem: SharedMemory, object: number, index: number): number {
  const chunkIndex = Math.floor(index / CHUNK_PAGES);
  if (chunkIndex >= mem.getU32(object + SharedObject.directoryLength)) return 0;
  const chunk = mem.getU32(mem.getU32(object + SharedObject.directory) + chunkIndex * 4);
  return chunk === 0 ? 0 : chunk + (index % CHUNK_PAGES) * 4;
}

/** Frame of page `index`, or NO_FRAME when it is not in memory. */
export function objectFrame(mem: SharedMemory, object: number, index: number): number {
  const slot = objectSlot(mem, object, index);
  return slot === 0 ? NO_FRAME : mem.getI32(slot) - 1;
}

/** Makes `frame`, whose reference goes to the object, the page `index`, which was empty. Throws OutOfKernelMemory. */
export function addObjectPage(
  mem: SharedMemory,
  object: number,
  index: number,
  frame: number,
  owner: number,
): void {
  const chunkIndex = Math.floor(index / CHUNK_PAGES);
  const length = mem.getU32(object + SharedObject.directoryLength);
  if (chunkIndex >= length) {
    const longer = Math.max(8, length * 2, chunkIndex + 1);
    const directory = allocateBlock(mem, longer * 4, owner);
    const old = mem.getU32(object + SharedObject.directory);
    for (let i = 0; i < length; i++) mem.setU32(directory + i * 4, mem.getU32(old + i * 4));
    mem.setU32(object + SharedObject.directory, directory);
    mem.setU32(object + SharedObject.directoryLength, longer);
    if (old !== 0) freeBlock(mem, old, owner);
  }
  const entry = mem.getU32(object + SharedObject.directory) + chunkIndex * 4;
  if (mem.getU32(entry) === 0) mem.setU32(entry, allocateBlock(mem, CHUNK_PAGES * 4, owner));
  mem.setU32(mem.getU32(entry) + (index % CHUNK_PAGES) * 4, frame + 1);
  mem.atomicOr(frameDescriptor(mem, frame) + FrameDescriptor.flags, FRAME_OBJECT);
  mem.atomicAdd(object + SharedObject.pageCount, 1);
}

/** Calls `visit(index, frame)` for the pages in memory of [from, to), in order. */
export function forEachObjectPage(
  mem: SharedMemory,
  object: number,
  from: number,
  to: number,
  visit: (index: number, frame: number) => void,
): void {
  const directory = mem.getU32(object + SharedObject.directory);
  const chunks = mem.getU32(object + SharedObject.directoryLength);
  const end = Math.min(to, chunks * CHUNK_PAGES);
  for (let index = from; index < end; ) {
    const chunk = mem.getU32(directory + Math.floor(index / CHUNK_PAGES) * 4);
    const stop = Math.min(end, (Math.floor(index / CHUNK_PAGES) + 1) * CHUNK_PAGES);
    if (chunk === 0) {
      index = stop;
      continue;
    }
    for (; index < stop; index++) {
      const value = mem.getU32(chunk + (index % CHUNK_PAGES) * 4);
      if (value !== 0) visit(index, value - 1);
    }
  }
}

/** Forgets the pages of [from, to). Mappings that show them keep their frames until they are unmapped. */
export function dropObjectPages(
  mem: SharedMemory,
  object: number,
  from: number,
  to: number,
  owner: number,
): void {
  if (mem.atomicLoad(object + SharedObject.pageCount) === 0) return;
  lockMutex(mem, object + SharedObject.lock, owner);
  forEachObjectPage(mem, object, from, to, (index) => {
    removeObjectPage(mem, object, index, owner);
  });
  unlockMutex(mem, object + SharedObject.lock, owner);
}

/**
 * Frame of page `index` of a memory object, zeroed when it was empty; NO_FRAME when the machine has none left. `home` and
 * `va` say for which address space and address a frame would be preferred.
 */
export function memoryObjectFrame(
  mem: SharedMemory,
  object: number,
  index: number,
  home: number,
  va: number,
  owner: number,
): number {
  const there = objectFrame(mem, object, index);
  if (there !== NO_FRAME) return there;
  const frame = allocateFrame(mem, 0, home, va, owner);
  if (frame === NO_FRAME) return NO_FRAME;
  zeroMemory(mem, frameAddress(mem, frame), hostPageSize(mem));
  try {
    addObjectPage(mem, object, index, frame, owner);
  } catch {
    releaseFrame(mem, 0, frame, owner);
    return NO_FRAME;
  }
  return frame;
}

// --- reading and writing memory objects as files (memfd) ---

/** Copies from a memory object into `into`; returns the bytes copied, fewer at the object's end. */
export function readObject(
  mem: SharedMemory,
  object: number,
  position: number,
  into: Uint8Array,
  owner: number,
): number {
  lockMutex(mem, object + SharedObject.lock, owner);
  try {
    const page = hostPageSize(mem);
    const length = Math.max(0, Math.min(into.length, mem.getU64(object + SharedObject.size) - position));
    for (let done = 0; done < length; ) {
      const within = (position + done) % page;
      const n = Math.min(length - done, page - within);
      const frame = objectFrame(mem, object, Math.floor((position + done) / page));
      if (frame === NO_FRAME) into.fill(0, done, done + n);
      else {
        const address = frameAddress(mem, frame) + within;
        into.set(mem.u8.subarray(address, address + n), done);
      }
      done += n;
    }
    return length;
  } finally {
    unlockMutex(mem, object + SharedObject.lock, owner);
  }
}

/** writeObject met a seal. */
export const SEALED = -1;

/**
 * Copies `from` into a memory object, which grows as needed; returns the bytes copied, fewer when memory is exhausted or
 * the object may not grow, SEALED when nothing may be written there. Code decoded from what was there is forgotten.
 */
export function writeObject(
  mem: SharedMemory,
  object: number,
  position: number,
  from: Uint8Array,
  owner: number,
): number {
  lockMutex(mem, object + SharedObject.lock, owner);
  try {
    const page = hostPageSize(mem);
    const seals = mem.getU32(object + SharedObject.seals);
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return SEALED;
    const most = seals & F_SEAL_GROW ? mem.getU64(object + SharedObject.size) : Infinity;
    let done = 0;
    while (done < from.length) {
      const within = (position + done) % page;
      const n = Math.min(from.length - done, page - within);
      if (position + done + n > most) return done > 0 ? done : SEALED;
      const frame = memoryObjectFrame(mem, object, Math.floor((position + done) / page), 0, -1, owner);
      if (frame === NO_FRAME) break;
      mem.u8.set(from.subarray(done, done + n), frameAddress(mem, frame) + within);
      clearFrameCode(mem, frameDescriptor(mem, frame), owner);
      done += n;
    }
    if (position + done > mem.getU64(object + SharedObject.size))
      mem.set64(object + SharedObject.size, position + done);
    return done;
  } finally {
    unlockMutex(mem, object + SharedObject.lock, owner);
  }
}

/** Copies a whole page from one frame to another. */
export function copyFrame(mem: SharedMemory, to: number, from: number): void {
  copyMemory(mem, frameAddress(mem, to), frameAddress(mem, from), hostPageSize(mem));
}

// --- the list of an object's mappings; Machine.filePagesLock is held ---

/** Enters a mapping whose object is set into the object's list. */
export function linkMapping(mem: SharedMemory, mapping: number): void {
  const object = mem.getU32(mapping + Mapping.object);
  const first = mem.getU32(object + SharedObject.mappings);
  mem.setU32(mapping + Mapping.nextOfObject, first);
  mem.setU32(mapping + Mapping.previousOfObject, 0);
  if (first !== 0) mem.setU32(first + Mapping.previousOfObject, mapping);
  mem.setU32(object + SharedObject.mappings, mapping);
  if (isWriter(mem, mapping)) mem.atomicAdd(object + SharedObject.writableMappings, 1);
}

export function unlinkMapping(mem: SharedMemory, mapping: number): void {
  const object = mem.getU32(mapping + Mapping.object);
  const next = mem.getU32(mapping + Mapping.nextOfObject);
  const previous = mem.getU32(mapping + Mapping.previousOfObject);
  if (next !== 0) mem.setU32(next + Mapping.previousOfObject, previous);
  if (previous !== 0) mem.setU32(previous + Mapping.nextOfObject, next);
  else mem.setU32(object + SharedObject.mappings, next);
  if (isWriter(mem, mapping)) mem.atomicAdd(object + SharedObject.writableMappings, -1);
}

/** A mapping through which the object may be written, now or after mprotect. */
function isWriter(mem: SharedMemory, mapping: number): boolean {
  const wanted = MAPPING_SHARED | MAPPING_MAY_WRITE;
  return (mem.getU32(mapping + Mapping.flags) & wanted) === wanted;
}

/** Zeroes [position, position+length) of a memory object where pages are in memory. */
export function zeroObjectRange(
  mem: SharedMemory,
  object: number,
  position: number,
  length: number,
  owner: number,
): void {
  const page = hostPageSize(mem);
  lockMutex(mem, object + SharedObject.lock, owner);
  const first = Math.floor(position / page);
  forEachObjectPage(mem, object, first, Math.ceil((position + length) / page), (index, frame) => {
    const from = Math.max(position, index * page);
    const to = Math.min(position + length, (index + 1) * page);
    zeroMemory(mem, frameAddress(mem, frame) + (from - index * page), to - from);
    clearFrameCode(mem, frameDescriptor(mem, frame), owner);
  });
  unlockMutex(mem, object + SharedObject.lock, owner);
}

/**
 * Brings the missing pages of [from, to) of a memory object in, zeroed. False when there are not frames enough: those
 * brought in go again.
 */
export function allocateObjectPages(
  mem: SharedMemory,
  object: number,
  from: number,
  to: number,
  home: number,
  owner: number,
): boolean {
  const added: number[] = [];
  lockMutex(mem, object + SharedObject.lock, owner);
  try {
    if (to - from > frameCounts(mem).total) return false;
    for (let index = from; index < to; index++) {
      if (objectFrame(mem, object, index) !== NO_FRAME) continue;
      if (memoryObjectFrame(mem, object, index, home, -1, owner) === NO_FRAME) {
        for (const back of added) removeObjectPage(mem, object, back, owner);
        return false;
      }
      added.push(index);
    }
    return true;
  } finally {
    unlockMutex(mem, object + SharedObject.lock, owner);
  }
}

function removeObjectPage(mem: SharedMemory, object: number, index: number, owner: number): void {
  const slot = objectSlot(mem, object, index);
  const frame = mem.getI32(slot) - 1;
  mem.setU32(slot, 0);
  mem.atomicAdd(object + SharedObject.pageCount, -1);
  releaseFrame(mem, 0, frame, owner);
}

/** The first page of [from, to) of a memory object that is in memory (`there`) or not, or `to`. */
export function seekObjectPage(
  mem: SharedMemory,
  object: number,
  from: number,
  to: number,
  there: boolean,
  owner: number,
): number {
  lockMutex(mem, object + SharedObject.lock, owner);
  let index = from;
  if (there) {
    index = to;
    forEachObjectPage(mem, object, from, to, (page) => {
      index = Math.min(index, page);
    });
  } else while (index < to && objectFrame(mem, object, index) !== NO_FRAME) index++;
  unlockMutex(mem, object + SharedObject.lock, owner);
  return index;
}
