import { noteObjectResize, punchObject } from '../../memory/filePages.js';
import { hostPageSize } from '../../memory/frames.js';
import {
  allocateObjectPages,
  createMemoryObject,
  readObject,
  releaseObject,
  retainObject,
  SEALED,
  seekObjectPage,
  writeObject,
} from '../../memory/sharedObject.js';
import { withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_MEMORY, OpenFile } from '../../sync/records/openFile.js';
import {
  F_SEAL_EXEC,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  SharedObject,
} from '../../sync/records/sharedObject.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import {
  EACCES,
  EBADF,
  EBUSY,
  EFBIG,
  EINVAL,
  ENOSPC,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  SyscallError,
} from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import type { FileOperations } from './fileOperations.js';
import { DEV_MEMORY, madeStatus, S_IFREG } from './fileStatus.js';
import { createOpenFile, flagsOf, pathOf, registerKind, releaseOpenFile } from './openFile.js';
import { O_ACCMODE, O_APPEND, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } from './openFlags.js';
import { atOffset, MAX_OFFSET } from './regularFile.js';

/** memfd_create: files in the machine's memory, with seals. */

const ALL_SEALS =
  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;

/** An open file on a new, empty memory object with these seals and permission bits. */
export function createMemoryFile(
  mem: SharedMemory,
  name: string,
  seals: number,
  mode: number,
  owner: number,
): number {
  const object = createMemoryObject(mem, 0, `/memfd:${name} (deleted)`, owner);
  mem.setU32(object + SharedObject.seals, seals);
  mem.setU32(object + SharedObject.mode, mode);
  return openMemoryObject(mem, object, O_RDWR, `/memfd:${name} (deleted)`, owner);
}

/** One more open file on a memory object; it takes over the caller's reference. */
function openMemoryObject(
  mem: SharedMemory,
  object: number,
  flags: number,
  path: string,
  owner: number,
): number {
  return createOpenFile(mem, { kind: FILE_MEMORY, flags, path, object }, owner);
}

/** Opening /proc/self/fd/N of memory file `file`: a new open file of its own. Throws SyscallError EACCES, EPERM. */
export function reopenMemoryFile(t: ThreadContext, file: number, flags: number): number {
  const { mem, thread } = t;
  const object = objectOf(mem, file);
  const access = flags & O_ACCMODE;
  const wanted = access === O_RDONLY ? 0o400 : access === O_WRONLY ? 0o200 : 0o600;
  const privileged = mem.getU32(t.cred + Cred.uids + 4) === 0;
  if (!privileged && wanted & ~mem.getU32(object + SharedObject.mode)) throw new SyscallError(EACCES);
  retainObject(mem, object);
  const opened = openMemoryObject(mem, object, flags, pathOf(mem, file), thread);
  if (flags & O_TRUNC && access !== O_RDONLY) {
    const result = memoryOperations.truncate!(t, opened, 0);
    if (result < 0) {
      releaseOpenFile(mem, opened, thread);
      throw new SyscallError(-result);
    }
  }
  return opened;
}

function objectOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

function sizeOf(mem: SharedMemory, object: number): number {
  return mem.getU64(object + SharedObject.size);
}

/** F_GET_SEALS of an open file; −EINVAL when it is no memory file. */
export function getSeals(mem: SharedMemory, file: number): number {
  if (mem.getU32(file + OpenFile.kind) !== FILE_MEMORY) return -EINVAL;
  return mem.getU32(objectOf(mem, file) + SharedObject.seals);
}

/** F_ADD_SEALS, with the checks in the order of Linux's memfd_add_seals. */
export function addSeals(mem: SharedMemory, file: number, seals: number, owner: number): number {
  if ((flagsOf(mem, file) & O_ACCMODE) === O_RDONLY) return -EPERM;
  if ((seals & ~ALL_SEALS) !== 0 || mem.getU32(file + OpenFile.kind) !== FILE_MEMORY) return -EINVAL;
  const object = objectOf(mem, file);
  // filePagesLock keeps mmap from adding a writable mapping between the look and the seal (mm/targetMmap.ts).
  return withMutex(mem, MACHINE + Machine.filePagesLock, owner, () =>
    withMutex(mem, object + SharedObject.lock, owner, () => {
      const before = mem.getU32(object + SharedObject.seals);
      if (before & F_SEAL_SEAL) return -EPERM;
      // What cannot be made executable any more cannot be written either, if it is executable.
      if (seals & F_SEAL_EXEC && mem.getU32(object + SharedObject.mode) & 0o111)
        seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
      if (seals & ~before & F_SEAL_WRITE && mem.atomicLoad(object + SharedObject.writableMappings) > 0)
        return -EBUSY;
      mem.setU32(object + SharedObject.seals, before | seals);
      return 0;
    }),
  );
}

const CHUNK = 65536;
const chunk = new Uint8Array(CHUNK);

const memoryOperations: FileOperations = {
  read(t, file, into, offset) {
    const { mem } = t;
    if ((flagsOf(mem, file) & O_ACCMODE) === O_WRONLY) return -EBADF;
    const object = objectOf(mem, file);
    return atOffset(t, file, offset, (position, moveTo) => {
      let done = 0;
      while (done < into.length) {
        const piece = chunk.subarray(0, Math.min(CHUNK, into.length - done));
        const had = readObject(mem, object, position + done, piece, t.thread);
        if (had === 0) break;
        const copied = into.copyOut(t, done, piece.subarray(0, had));
        done += copied;
        if (copied < piece.length) break;
      }
      moveTo(position + done);
      return done;
    });
  },
  write(t, file, from, offset) {
    const { mem } = t;
    const flags = flagsOf(mem, file);
    if ((flags & O_ACCMODE) === O_RDONLY) return -EBADF;
    const object = objectOf(mem, file);
    return atOffset(t, file, offset, (own, moveTo) => {
      const position = flags & O_APPEND ? sizeOf(mem, object) : own;
      if (position + from.length > MAX_OFFSET) return -EFBIG;
      let done = 0;
      while (done < from.length) {
        const piece = chunk.subarray(0, Math.min(CHUNK, from.length - done));
        const had = from.copyIn(t, done, piece);
        const put = writeObject(mem, object, position + done, piece.subarray(0, had), t.thread);
        if (put === SEALED) {
          if (done === 0) return -EPERM;
          break;
        }
        done += put;
        // No frame is free.
        if (put === 0 && had > 0 && done === 0) return -ENOSPC;
        if (put < piece.length) break;
      }
      moveTo(position + done);
      return done;
    });
  },
  seek(t, file, offset, whence) {
    return atOffset(t, file, undefined, (position, moveTo) => {
      const size = sizeOf(t.mem, objectOf(t.mem, file));
      let target: number;
      if (whence === 0) target = offset;
      else if (whence === 1) target = position + offset;
      else if (whence === 2) target = size + offset;
      else if (whence === 3 || whence === 4) {
        if (offset < 0 || offset >= size) return -ENXIO;
        target = seekData(t, file, offset, size, whence === 3);
        if (target < 0) return target;
      } else return -EINVAL;
      if (target < 0 || target > MAX_OFFSET) return -EINVAL;
      moveTo(target);
      return target;
    });
  },
  status(t, file) {
    const object = objectOf(t.mem, file);
    const size = sizeOf(t.mem, object);
    return madeStatus({
      dev: DEV_MEMORY,
      ino: BigInt(t.mem.getU64(object + SharedObject.ino)),
      mode: S_IFREG | t.mem.getU32(object + SharedObject.mode),
      nlink: 0,
      size,
      blocks: BigInt((t.mem.atomicLoad(object + SharedObject.pageCount) * hostPageSize(t.mem)) / 512),
    });
  },
  truncate(t, file, length) {
    const object = objectOf(t.mem, file);
    const seals = t.mem.getU32(object + SharedObject.seals);
    const size = sizeOf(t.mem, object);
    if (length < size && seals & F_SEAL_SHRINK) return -EPERM;
    if (length > size && seals & F_SEAL_GROW) return -EPERM;
    resizeMemoryFile(t, file, length);
    return 0;
  },
  allocate,
  changeMode(t, file, mode) {
    const object = objectOf(t.mem, file);
    const before = t.mem.getU32(object + SharedObject.mode);
    const executable = t.mem.getU32(object + SharedObject.seals) & F_SEAL_EXEC;
    if (executable && (before ^ mode) & 0o111) return -EPERM;
    t.mem.setU32(object + SharedObject.mode, mode);
    return 0;
  },
  sync: () => 0,
  release(mem, file, owner) {
    releaseObject(mem, objectOf(mem, file), owner);
  },
};

/** SEEK_DATA and SEEK_HOLE: pages that are in memory are data. */
function seekData(t: ThreadContext, file: number, offset: number, size: number, data: boolean): number {
  const page = hostPageSize(t.mem);
  const end = Math.ceil(size / page);
  const found = seekObjectPage(t.mem, objectOf(t.mem, file), Math.floor(offset / page), end, data, t.thread);
  if (found === end) return data ? -ENXIO : size;
  return Math.max(offset, found * page);
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** fallocate(2), with the checks in the order of Linux's vfs_fallocate and shmem_fallocate. */
function allocate(t: ThreadContext, file: number, mode: number, offset: number, length: number): number {
  const { mem, thread } = t;
  const object = objectOf(mem, file);
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return -EOPNOTSUPP;
  if (mode === FALLOC_FL_PUNCH_HOLE) return -EOPNOTSUPP;
  if (offset + length > MAX_OFFSET) return -EFBIG;
  const seals = mem.getU32(object + SharedObject.seals);
  if (mode & FALLOC_FL_PUNCH_HOLE) {
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return -EPERM;
    punchObject(t, object, offset, length);
    return 0;
  }
  const end = offset + length;
  if (seals & F_SEAL_GROW && end > sizeOf(mem, object)) return -EPERM;
  const page = hostPageSize(mem);
  if (!allocateObjectPages(mem, object, Math.floor(offset / page), Math.ceil(end / page), t.mm, thread))
    return -ENOSPC;
  if (!(mode & FALLOC_FL_KEEP_SIZE) && end > sizeOf(mem, object)) resizeMemoryFile(t, file, end);
  return 0;
}

/** Cuts or extends the object behind a memory file. */
function resizeMemoryFile(t: ThreadContext, file: number, length: number): void {
  noteObjectResize(t, objectOf(t.mem, file), length);
}

registerKind(FILE_MEMORY, memoryOperations);
