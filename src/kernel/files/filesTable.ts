import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { Files } from '../../sync/records/files.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EBADF, EMFILE, SyscallError } from '../errno.js';
import { dropLocks } from './fileLocks.js';
import { releaseOpenFile, retainOpenFile } from './openFile.js';

const FIRST_CAPACITY = 64;
/** The kernel's fs.nr_open: no descriptor is ever beyond it, whatever RLIMIT_NOFILE says. */
export const MAX_DESCRIPTORS = 1 << 20;

/** Makes an empty descriptor table with one reference. */
export function createFilesTable(mem: SharedMemory, owner: number): number {
  const files = allocateBlock(mem, Files.SIZE, owner);
  mem.setI32(files + Files.refs, 1);
  allocateArrays(mem, files, FIRST_CAPACITY, owner);
  return files;
}

function allocateArrays(mem: SharedMemory, files: number, capacity: number, owner: number): void {
  const table = allocateBlock(mem, capacity * 4, owner);
  const bits = allocateBlock(mem, capacity >>> 3, owner);
  const oldTable = mem.getU32(files + Files.table);
  const oldBits = mem.getU32(files + Files.closeOnExec);
  const old = mem.getU32(files + Files.capacity);
  if (oldTable !== 0) {
    mem.u8.copyWithin(table, oldTable, oldTable + old * 4);
    mem.u8.copyWithin(bits, oldBits, oldBits + (old >>> 3));
    freeBlock(mem, oldTable, owner);
    freeBlock(mem, oldBits, owner);
  }
  mem.setU32(files + Files.table, table);
  mem.setU32(files + Files.closeOnExec, bits);
  mem.setU32(files + Files.capacity, capacity);
}

/** One more user of the table (CLONE_FILES). */
export function retainFiles(mem: SharedMemory, files: number): void {
  mem.atomicAdd(files + Files.refs, 1);
}

/** A thread that used the table is gone; the last one closes everything. KERNEL mode, no lock held. */
export function releaseFiles(mem: SharedMemory, files: number, owner: number): void {
  if (mem.atomicAdd(files + Files.refs, -1) !== 1) return;
  dropLocks(mem, files, owner);
  const table = mem.getU32(files + Files.table);
  const capacity = mem.getU32(files + Files.capacity);
  for (let fd = 0; fd < capacity; fd++) {
    const file = mem.getU32(table + fd * 4);
    if (file !== 0) releaseOpenFile(mem, file, owner);
  }
  freeBlock(mem, table, owner);
  freeBlock(mem, mem.getU32(files + Files.closeOnExec), owner);
  freeBlock(mem, files, owner);
}

/** A table of its own with the same open files (fork, clone without CLONE_FILES, unshare). */
export function copyFiles(mem: SharedMemory, files: number, owner: number): number {
  const copy = allocateBlock(mem, Files.SIZE, owner);
  mem.setI32(copy + Files.refs, 1);
  lockMutex(mem, files + Files.lock, owner);
  try {
    const capacity = mem.getU32(files + Files.capacity);
    allocateArrays(mem, copy, capacity, owner);
    const from = mem.getU32(files + Files.table);
    const to = mem.getU32(copy + Files.table);
    const { u32 } = mem;
    for (let fd = 0; fd < capacity; fd++) {
      const file = u32[(from >>> 2) + fd];
      if (file === 0) continue;
      retainOpenFile(mem, file);
      u32[(to >>> 2) + fd] = file;
    }
    const bits = mem.getU32(files + Files.closeOnExec);
    mem.u8.copyWithin(mem.getU32(copy + Files.closeOnExec), bits, bits + (capacity >>> 3));
    mem.setU32(copy + Files.firstFree, mem.getU32(files + Files.firstFree));
  } finally {
    unlockMutex(mem, files + Files.lock, owner);
  }
  return copy;
}

/**
 * The table that a guest goes on with after exec: its own (a copy when it was shared), without the close-on-exec
 * descriptors. Takes over the reference to `files`.
 */
export function filesForExec(mem: SharedMemory, files: number, owner: number): number {
  let own = files;
  if (mem.atomicLoad(files + Files.refs) > 1) {
    own = copyFiles(mem, files, owner);
    releaseFiles(mem, files, owner);
  }
  const capacity = mem.getU32(own + Files.capacity);
  for (let fd = 0; fd < capacity; fd++) {
    if ((fd & 31) === 0 && mem.getU32(mem.getU32(own + Files.closeOnExec) + (fd >>> 3)) === 0) {
      fd += 31;
      continue;
    }
    if (!isCloseOnExec(mem, own, fd)) continue;
    const file = takeDescriptor(mem, own, fd, owner);
    if (file !== 0) releaseOpenFile(mem, file, owner);
  }
  return own;
}

function isCloseOnExec(mem: SharedMemory, files: number, fd: number): boolean {
  return ((mem.getU32(mem.getU32(files + Files.closeOnExec) + (fd >>> 5) * 4) >>> (fd & 31)) & 1) !== 0;
}

function setCloseOnExecLocked(mem: SharedMemory, files: number, fd: number, on: boolean): void {
  const word = mem.getU32(files + Files.closeOnExec) + (fd >>> 5) * 4;
  const bit = 1 << (fd & 31);
  mem.setU32(word, on ? mem.getU32(word) | bit : mem.getU32(word) & ~bit);
}

function entryLocked(mem: SharedMemory, files: number, fd: number): number {
  if (fd < 0 || fd >= mem.getU32(files + Files.capacity)) return 0;
  return mem.getU32(mem.getU32(files + Files.table) + fd * 4);
}

/** The open file behind `fd` with a reference for the caller, or 0. */
export function acquireFile(mem: SharedMemory, files: number, fd: number, owner: number): number {
  lockMutex(mem, files + Files.lock, owner);
  const file = entryLocked(mem, files, fd);
  if (file !== 0) retainOpenFile(mem, file);
  unlockMutex(mem, files + Files.lock, owner);
  return file;
}

/**
 * Gives `file` the lowest free descriptor of at least `from` and below `limit` (RLIMIT_NOFILE). The table takes over the
 * caller's reference. Throws SyscallError(EMFILE), and then the reference is still the caller's.
 */
export function installFile(
  mem: SharedMemory,
  files: number,
  file: number,
  options: { readonly from?: number; readonly limit: number; readonly closeOnExec: boolean },
  owner: number,
): number {
  const limit = Math.min(options.limit, MAX_DESCRIPTORS);
  lockMutex(mem, files + Files.lock, owner);
  try {
    const start = Math.max(options.from ?? 0, mem.getU32(files + Files.firstFree));
    const capacity = mem.getU32(files + Files.capacity);
    const table = mem.getU32(files + Files.table);
    let fd = start;
    while (fd < capacity && mem.getU32(table + fd * 4) !== 0) fd++;
    if (fd >= limit) throw new SyscallError(EMFILE);
    if ((options.from ?? 0) <= mem.getU32(files + Files.firstFree)) {
      mem.setU32(files + Files.firstFree, fd + 1);
    }
    putLocked(mem, files, fd, file, options.closeOnExec, owner);
    return fd;
  } finally {
    unlockMutex(mem, files + Files.lock, owner);
  }
}

function putLocked(
  mem: SharedMemory,
  files: number,
  fd: number,
  file: number,
  closeOnExec: boolean,
  owner: number,
): void {
  let capacity = mem.getU32(files + Files.capacity);
  if (fd >= capacity) {
    while (capacity <= fd) capacity *= 2;
    allocateArrays(mem, files, capacity, owner);
  }
  mem.setU32(mem.getU32(files + Files.table) + fd * 4, file);
  setCloseOnExecLocked(mem, files, fd, closeOnExec);
}

/**
 * Puts `file` at descriptor `fd` (dup3) and returns the file that was there, whose reference is then the caller's, or 0.
 * The table takes over the caller's reference to `file`.
 */
export function replaceFile(
  mem: SharedMemory,
  files: number,
  fd: number,
  file: number,
  closeOnExec: boolean,
  owner: number,
): number {
  lockMutex(mem, files + Files.lock, owner);
  try {
    const before = entryLocked(mem, files, fd);
    putLocked(mem, files, fd, file, closeOnExec, owner);
    return before;
  } finally {
    unlockMutex(mem, files + Files.lock, owner);
  }
}

/** Frees descriptor `fd` and returns what was there, whose reference is then the caller's, or 0. */
export function takeDescriptor(mem: SharedMemory, files: number, fd: number, owner: number): number {
  lockMutex(mem, files + Files.lock, owner);
  const file = entryLocked(mem, files, fd);
  if (file !== 0) {
    mem.setU32(mem.getU32(files + Files.table) + fd * 4, 0);
    setCloseOnExecLocked(mem, files, fd, false);
    if (fd < mem.getU32(files + Files.firstFree)) mem.setU32(files + Files.firstFree, fd);
  }
  unlockMutex(mem, files + Files.lock, owner);
  return file;
}

/** FD_CLOEXEC of a descriptor. Throws SyscallError(EBADF). */
export function getCloseOnExec(mem: SharedMemory, files: number, fd: number, owner: number): boolean {
  lockMutex(mem, files + Files.lock, owner);
  try {
    if (entryLocked(mem, files, fd) === 0) throw new SyscallError(EBADF);
    return isCloseOnExec(mem, files, fd);
  } finally {
    unlockMutex(mem, files + Files.lock, owner);
  }
}

/** Sets FD_CLOEXEC of a descriptor; false when there is no such descriptor. */
export function setCloseOnExec(
  mem: SharedMemory,
  files: number,
  fd: number,
  on: boolean,
  owner: number,
): boolean {
  lockMutex(mem, files + Files.lock, owner);
  const exists = entryLocked(mem, files, fd) !== 0;
  if (exists) setCloseOnExecLocked(mem, files, fd, on);
  unlockMutex(mem, files + Files.lock, owner);
  return exists;
}

/** The descriptors in use, ascending. */
export function listDescriptors(mem: SharedMemory, files: number, owner: number): number[] {
  const found: number[] = [];
  lockMutex(mem, files + Files.lock, owner);
  const table = mem.getU32(files + Files.table);
  const capacity = mem.getU32(files + Files.capacity);
  for (let fd = 0; fd < capacity; fd++) if (mem.getU32(table + fd * 4) !== 0) found.push(fd);
  unlockMutex(mem, files + Files.lock, owner);
  return found;
}
