import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { Fs } from '../../sync/records/files.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText, freeText, textString } from '../../sync/text.js';
import { createMountTable, type MountOptions, releaseMountTable, retainMountTable } from './mountTable.js';

/** What a guest's file system view starts with. */
export interface FsOptions {
  readonly mounts: MountOptions;
  /** Guest path of the working directory, a byte string: absolute and canonical. */
  readonly cwd: string;
  /** Default 0o022. */
  readonly umask?: number;
}

/** Makes an Fs record with one reference. Throws when a host path does not exist. */
export function createFs(mem: SharedMemory, owner: number, options: FsOptions): number {
  const mounts = createMountTable(mem, options.mounts, owner);
  const fs = allocateBlock(mem, Fs.SIZE, owner);
  mem.setI32(fs + Fs.refs, 1);
  mem.setU32(fs + Fs.cwd, allocateText(mem, options.cwd, owner));
  mem.setU32(fs + Fs.umask, options.umask ?? 0o022);
  mem.setU32(fs + Fs.mounts, mounts);
  return fs;
}

/** An Fs of its own with the same contents (fork, clone without CLONE_FS). */
export function copyFs(mem: SharedMemory, fs: number, owner: number): number {
  const copy = allocateBlock(mem, Fs.SIZE, owner);
  mem.setI32(copy + Fs.refs, 1);
  const mounts = mem.getU32(fs + Fs.mounts);
  retainMountTable(mem, mounts);
  mem.setU32(copy + Fs.mounts, mounts);
  mem.setU32(copy + Fs.cwd, allocateText(mem, workingDirectory(mem, fs, owner), owner));
  mem.setU32(copy + Fs.umask, mem.getU32(fs + Fs.umask));
  const root = rootDirectory(mem, fs, owner);
  if (root !== '/') mem.setU32(copy + Fs.root, allocateText(mem, root, owner));
  return copy;
}

/** One more user (CLONE_FS). */
export function retainFs(mem: SharedMemory, fs: number): void {
  mem.atomicAdd(fs + Fs.refs, 1);
}

/** A thread that used it is gone. */
export function releaseFs(mem: SharedMemory, fs: number, owner: number): void {
  if (mem.atomicAdd(fs + Fs.refs, -1) !== 1) return;
  freeText(mem, mem.getU32(fs + Fs.cwd), owner);
  freeText(mem, mem.getU32(fs + Fs.root), owner);
  releaseMountTable(mem, mem.getU32(fs + Fs.mounts), owner);
  freeBlock(mem, fs, owner);
}

/** The working directory: canonical guest path, a byte string. */
export function workingDirectory(mem: SharedMemory, fs: number, owner: number): string {
  lockMutex(mem, fs + Fs.lock, owner);
  const cwd = textString(mem, mem.getU32(fs + Fs.cwd));
  unlockMutex(mem, fs + Fs.lock, owner);
  return cwd;
}

/** Changes the working directory to a canonical guest path. */
export function setWorkingDirectory(mem: SharedMemory, fs: number, path: string, owner: number): void {
  setPath(mem, fs, Fs.cwd, path, owner);
}

/** The root directory: canonical path as seen from the mounts' own root, '/' unless chroot has changed it. */
export function rootDirectory(mem: SharedMemory, fs: number, owner: number): string {
  // Only chroot writes it, and most never make that call.
  if (mem.atomicLoad(fs + Fs.root) === 0) return '/';
  lockMutex(mem, fs + Fs.lock, owner);
  const root = textString(mem, mem.getU32(fs + Fs.root));
  unlockMutex(mem, fs + Fs.lock, owner);
  return root === '' ? '/' : root;
}

/** Changes the root directory (chroot(2)); the working directory stays. */
export function setRootDirectory(mem: SharedMemory, fs: number, path: string, owner: number): void {
  setPath(mem, fs, Fs.root, path, owner);
}

function setPath(mem: SharedMemory, fs: number, field: number, path: string, owner: number): void {
  const text = allocateText(mem, path, owner);
  lockMutex(mem, fs + Fs.lock, owner);
  const before = mem.getU32(fs + field);
  mem.atomicStore(fs + field, text);
  unlockMutex(mem, fs + Fs.lock, owner);
  freeText(mem, before, owner);
}

/** A canonical path as a process with root directory `root` is shown it; undefined when it lies outside. */
export function pathFromRoot(root: string, path: string): string | undefined {
  if (root === '/') return path;
  if (path === root) return '/';
  return path.startsWith(`${root}/`) ? path.slice(root.length) : undefined;
}
