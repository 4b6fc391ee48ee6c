import { noteObjectResize } from '../../memory/filePages.js';
import { createMemoryObject, readObject, releaseObject, writeObject } from '../../memory/sharedObject.js';
import { withMutex } from '../../sync/mutex.js';
import { FILE_MEMORY, OpenFile } from '../../sync/records/openFile.js';
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  SharedObject,
} from '../../sync/records/sharedObject.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EBADF, EBUSY, EFBIG, EINVAL, ENOSPC, ENXIO, EPERM } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import type { FileOperations } from './fileOperations.js';
import { DEV_MEMORY, madeStatus, S_IFREG } from './fileStatus.js';
import { createOpenFile, flagsOf, registerKind } from './openFile.js';
import { O_ACCMODE, O_APPEND, O_RDONLY, O_RDWR, O_WRONLY } from './openFlags.js';
import { atOffset, MAX_OFFSET } from './regularFile.js';

/** memfd_create: files in the machine's memory, with seals. */

/** An open file on a new, empty memory object. Without `sealable` it starts with F_SEAL_SEAL. */
export function createMemoryFile(mem: SharedMemory, name: string, sealable: boolean, owner: number): number {
  const object = createMemoryObject(mem, 0, `/memfd:${name}`, owner);
  if (!sealable) mem.setU32(object + SharedObject.seals, F_SEAL_SEAL);
  return createOpenFile(
    mem,
    { kind: FILE_MEMORY, flags: O_RDWR, path: `/memfd:${name} (deleted)`, object },
    owner,
  );
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

/** F_ADD_SEALS. */
export function addSeals(mem: SharedMemory, file: number, seals: number, owner: number): number {
  if (mem.getU32(file + OpenFile.kind) !== FILE_MEMORY || (seals & ~31) !== 0) return -EINVAL;
  const object = objectOf(mem, file);
  return withMutex(mem, object + SharedObject.lock, owner, () => {
    const before = mem.getU32(object + SharedObject.seals);
    if (before & F_SEAL_SEAL) return -EPERM;
    if (seals & F_SEAL_WRITE && mem.atomicLoad(object + SharedObject.writableMappings) > 0) return -EBUSY;
    mem.setU32(object + SharedObject.seals, before | seals);
    return 0;
  });
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
    const seals = mem.getU32(object + SharedObject.seals);
    if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return -EPERM;
    return atOffset(t, file, offset, (own, moveTo) => {
      const position = flags & O_APPEND ? sizeOf(mem, object) : own;
      if (position + from.length > MAX_OFFSET) return -EFBIG;
      let done = 0;
      while (done < from.length) {
        const piece = chunk.subarray(0, Math.min(CHUNK, from.length - done));
        const had = from.copyIn(t, done, piece);
        const end = position + done + had;
        if (seals & F_SEAL_GROW && end > sizeOf(mem, object)) return done > 0 ? done : -EPERM;
        const put = writeObject(mem, object, position + done, piece.subarray(0, had), t.thread);
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
        target = whence === 3 ? offset : size;
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
      mode: S_IFREG | 0o777,
      nlink: 0,
      size,
      blocks: BigInt(Math.ceil(size / 4096) * 8),
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
  sync: () => 0,
  release(mem, file, owner) {
    releaseObject(mem, objectOf(mem, file), owner);
  },
};

/** Cuts or extends the object behind a memory file. */
function resizeMemoryFile(t: ThreadContext, file: number, length: number): void {
  noteObjectResize(t, objectOf(t.mem, file), length);
}

registerKind(FILE_MEMORY, memoryOperations);
