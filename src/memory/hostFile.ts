import { type BigIntStats, closeSync } from 'node:fs';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { HostFile } from '../sync/records/hostFile.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { dropObjectPages, objectOfFile, releaseObject } from './sharedObject.js';

/** What identifies a host file. */
export interface HostFileIdentity {
  readonly dev: number;
  readonly ino: number;
  readonly size: number;
  /** A number that changes with the file's times. Absent: whether it has changed since it was open last is not looked at. */
  readonly stamp?: number;
}

/** The identity of the file that the host's status is of. */
export function identityOf(
  stats: Pick<BigIntStats, 'dev' | 'ino' | 'size' | 'mtimeNs' | 'ctimeNs'>,
): Required<HostFileIdentity> {
  return {
    dev: Number(stats.dev),
    ino: Number(stats.ino),
    size: Number(stats.size),
    stamp: Number(stats.mtimeNs + stats.ctimeNs),
  };
}

/**
 * Takes charge of an open descriptor of a regular host file: returns a HostFile with one reference, the caller's.
 * The descriptor is closed with the last reference. Throws OutOfKernelMemory (the descriptor then stays the caller's).
 */
export function openHostFile(
  mem: SharedMemory,
  owner: number,
  hostFd: number,
  writable: boolean,
  stat: HostFileIdentity,
): number {
  const file = allocateBlock(mem, HostFile.SIZE, owner);
  let object: number;
  try {
    object = objectOfFile(mem, stat.dev, stat.ino, stat.size, owner);
  } catch (error) {
    freeBlock(mem, file, owner);
    throw error;
  }
  if (stat.stamp !== undefined) refreshFile(mem, object, stat.size, stat.stamp, owner);
  mem.atomicStore(file + HostFile.refs, 1);
  mem.setI32(file + HostFile.hostFd, hostFd);
  mem.setU32(file + HostFile.writable, writable ? 1 : 0);
  mem.setU32(file + HostFile.object, object);
  mem.set64(file + HostFile.dev, stat.dev);
  mem.set64(file + HostFile.ino, stat.ino);
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  mem.setU32(file + HostFile.nextOfObject, mem.getU32(object + SharedObject.files));
  mem.setU32(object + SharedObject.files, file);
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  return file;
}

/** A file has been opened, and is as `stamp` says now: pages of before go, unless somebody maps them at the moment. */
function refreshFile(mem: SharedMemory, object: number, size: number, stamp: number, owner: number): void {
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

/** Says which guest path /proc/PID/maps shows for mappings of the file. Once, before it is mapped. */
export function nameHostFile(mem: SharedMemory, owner: number, file: number, path: string): void {
  if (mem.getU32(file + HostFile.path) !== 0) return;
  const text = new TextEncoder().encode(path);
  const block = allocateBlock(mem, Math.max(1, text.length), owner);
  mem.u8.set(text, block);
  mem.setU32(file + HostFile.pathLength, text.length);
  mem.setU32(file + HostFile.path, block);
}

/** The path given to nameHostFile, or ''. */
export function hostFilePath(mem: SharedMemory, file: number): string {
  const path = mem.getU32(file + HostFile.path);
  if (path === 0) return '';
  return new TextDecoder().decode(mem.u8.slice(path, path + mem.getU32(file + HostFile.pathLength)));
}

/** Whether that is the path given to nameHostFile. */
export function hasHostFilePath(mem: SharedMemory, file: number, path: Uint8Array): boolean {
  if (mem.getU32(file + HostFile.pathLength) !== path.length) return false;
  const at = mem.getU32(file + HostFile.path);
  for (let i = 0; i < path.length; i++) if (mem.u8[at + i] !== path[i]) return false;
  return true;
}

/** One more reference to a HostFile that the caller has a reference to. */
export function retainHostFile(mem: SharedMemory, file: number): void {
  mem.atomicAdd(file + HostFile.refs, 1);
}

/** Gives a reference up; the last one closes the host descriptor. No lock below filePagesLock is held. */
export function releaseHostFile(mem: SharedMemory, owner: number, file: number): void {
  const object = mem.getU32(file + HostFile.object);
  lockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  const last = mem.atomicAdd(file + HostFile.refs, -1) === 1;
  if (last) {
    let link = object + SharedObject.files;
    while (mem.getU32(link) !== file) link = mem.getU32(link) + HostFile.nextOfObject;
    mem.setU32(link, mem.getU32(file + HostFile.nextOfObject));
  }
  unlockMutex(mem, MACHINE + Machine.filePagesLock, owner);
  if (!last) return;
  if (mem.getU32(file + HostFile.claimsWrite) !== 0) mem.atomicAdd(object + SharedObject.writeClaims, -1);
  try {
    closeSync(mem.getI32(file + HostFile.hostFd));
  } catch {
    // Nothing can be done about a descriptor that the host does not want to close.
  }
  const path = mem.getU32(file + HostFile.path);
  if (path !== 0) freeBlock(mem, path, owner);
  freeBlock(mem, file, owner);
  releaseObject(mem, object, owner);
}
