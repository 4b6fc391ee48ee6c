import { hasKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { HostFile } from '../sync/records/hostFile.js';
import { KEPT_OBJECTS, MACHINE, Machine } from '../sync/records/machine.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { dropObjectPages, releaseObject, retainObject } from './sharedObject.js';

/**
 * The files that were executed last keep their pages, and what was decoded of them, when nobody maps them any more: a shell
 * loop starts the same few programs over and over. Only the page cache is kept, no descriptor of the host; what other host
 * processes do to such a file is noticed when it is opened next (`refreshFile`).
 */

function slot(index: number): number {
  return MACHINE + Machine.keptObjects + index * 4;
}

/** Keeps the pages of `file`, which the caller has a reference to. KERNEL mode, no lock held. */
export function keepFilePages(mem: SharedMemory, file: number, owner: number): void {
  const object = mem.getU32(file + HostFile.object);
  for (let i = 0; i < KEPT_OBJECTS; i++) if (mem.getU32(slot(i)) === object) return;
  if (!hasKernelMemory(mem, 0)) {
    forgetKeptFiles(mem, owner);
    return;
  }
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  let kept = false;
  for (let i = 0; i < KEPT_OBJECTS && !kept; i++) kept = mem.getU32(slot(i)) === object;
  let old = 0;
  if (!kept) {
    const next = mem.getU32(MACHINE + Machine.keptNext);
    old = mem.getU32(slot(next));
    mem.setU32(slot(next), object);
    mem.setU32(MACHINE + Machine.keptNext, (next + 1) % KEPT_OBJECTS);
    retainObject(mem, object);
  }
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  if (old !== 0) releaseObject(mem, old, owner);
}

/** Gives up everything kept, because memory is short; says whether there was anything. KERNEL mode, no lock held. */
export function forgetKeptFiles(mem: SharedMemory, owner: number): boolean {
  let any = false;
  for (let i = 0; i < KEPT_OBJECTS; i++) {
    lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
    const object = mem.getU32(slot(i));
    mem.setU32(slot(i), 0);
    unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
    if (object === 0) continue;
    any = true;
    releaseObject(mem, object, owner);
  }
  return any;
}

/**
 * A file has been opened, and is as `stamp` says now (any number that changes with the file's times): pages of before go,
 * unless somebody maps them at the moment.
 */
export function refreshFile(
  mem: SharedMemory,
  object: number,
  size: number,
  stamp: number,
  owner: number,
): void {
  const at = (object + SharedObject.stamp) >>> 3;
  if (mem.f64[at] === stamp) return;
  if (mem.atomicLoad(object + SharedObject.pageCount) !== 0) {
    if (mem.getU32(object + SharedObject.mappings) !== 0) return;
    dropObjectPages(mem, object, 0, Infinity, owner);
  }
  lockMutex(mem, object + SharedObject.lock, owner);
  mem.f64[at] = stamp;
  mem.set64(object + SharedObject.size, size);
  unlockMutex(mem, object + SharedObject.lock, owner);
}
