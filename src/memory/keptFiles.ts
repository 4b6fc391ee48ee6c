import { hasKernelMemory } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { HostFile } from '../sync/records/hostFile.js';
import { KEPT_FILES, MACHINE, Machine } from '../sync/records/machine.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { hasHostFilePath, releaseHostFile, retainHostFile } from './hostFile.js';

/**
 * The files that were executed last stay open, with their pages and what was decoded of them, when nobody maps them any more: a shell
 * loop starts the same few programs over and over. What other host processes do to such a file is noticed when it is opened
 * next (`refreshFile`); when a guest removes its name, it is given up.
 */

function slot(index: number): number {
  return MACHINE + Machine.keptFiles + index * 4;
}

/** Keeps `file`, which the caller has a reference to, unless it can be written by it. KERNEL mode, no lock held. */
export function keepFile(mem: SharedMemory, file: number, owner: number): void {
  if (mem.getU32(file + HostFile.writable) !== 0) return;
  for (let i = 0; i < KEPT_FILES; i++) if (mem.getU32(slot(i)) === file) return;
  if (!hasKernelMemory(mem, 0)) {
    forgetKeptFiles(mem, owner);
    return;
  }
  const object = mem.getU32(file + HostFile.object);
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  // One for each file of the host: the one that was opened last.
  let at = 0;
  while (at < KEPT_FILES && !holdsLocked(mem, at, object)) at++;
  if (at === KEPT_FILES) {
    at = mem.getU32(MACHINE + Machine.keptNext);
    mem.setU32(MACHINE + Machine.keptNext, (at + 1) % KEPT_FILES);
  }
  const old = mem.getU32(slot(at));
  mem.setU32(slot(at), file);
  retainHostFile(mem, file);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  if (old !== 0) releaseHostFile(mem, owner, old);
}

function holdsLocked(mem: SharedMemory, index: number, object: number): boolean {
  const file = mem.getU32(slot(index));
  return file !== 0 && mem.getU32(file + HostFile.object) === object;
}

/** What tells that a kept file is the one that is asked for, and has not changed. */
export interface KeptIdentity {
  readonly dev: number;
  readonly ino: number;
  /** As HostFileIdentity has it. */
  readonly stamp: number;
}

/** The kept file of that identity which was opened at guest path `path` (UTF-8), with one more reference, or 0. */
export function takeKeptFile(
  mem: SharedMemory,
  { dev, ino, stamp }: KeptIdentity,
  path: Uint8Array,
  owner: number,
): number {
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  let found = 0;
  for (let i = 0; i < KEPT_FILES && found === 0; i++) {
    const file = mem.getU32(slot(i));
    if (file === 0 || mem.getU64(file + HostFile.ino) !== ino || mem.getU64(file + HostFile.dev) !== dev)
      continue;
    const object = mem.getU32(file + HostFile.object);
    if (mem.f64[(object + SharedObject.stamp) >>> 3] !== stamp || !hasHostFilePath(mem, file, path)) break;
    retainHostFile(mem, file);
    found = file;
  }
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  return found;
}

/** Gives the kept file (dev, ino) up, if there is one: a name of it is gone. KERNEL mode, no lock held. */
export function forgetKeptFile(mem: SharedMemory, dev: number, ino: number, owner: number): void {
  forget(
    mem,
    owner,
    (file) => mem.getU64(file + HostFile.ino) === ino && mem.getU64(file + HostFile.dev) === dev,
  );
}

/** Gives up everything kept, because memory is short; says whether there was anything. KERNEL mode, no lock held. */
export function forgetKeptFiles(mem: SharedMemory, owner: number): boolean {
  return forget(mem, owner, () => true);
}

function forget(mem: SharedMemory, owner: number, isMeant: (file: number) => boolean): boolean {
  for (let any = false; ; any = true) {
    let found = 0;
    lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
    for (let i = 0; i < KEPT_FILES && found === 0; i++) {
      const file = mem.getU32(slot(i));
      if (file === 0 || !isMeant(file)) continue;
      found = file;
      mem.setU32(slot(i), 0);
    }
    unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
    if (found === 0) return any;
    releaseHostFile(mem, owner, found);
  }
}
