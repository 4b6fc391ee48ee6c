import { fchmodSync, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { UserFault } from '../../memory/caller.js';
import { flushFileRange, noteFileTruncate, noteFileWrite, writeBack } from '../../memory/filePages.js';
import { releaseHostFile } from '../../memory/hostFile.js';
import { lockMutex, unlockMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { FILE_HOST, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_FSETID, capable } from '../capabilities.js';
import { EBADF, EFBIG, EINVAL, ENXIO, EOVERFLOW } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import type { FileOperations } from './fileOperations.js';
import { statusOfHost } from './fileStatus.js';
import { asSyscallError, fstatHost, hostCall } from './hostAccess.js';
import { flagsOf, registerKind } from './openFile.js';
import { O_ACCMODE, O_APPEND, O_RDONLY, O_WRONLY } from './openFlags.js';
import { raiseFileTooLarge } from './raise.js';
import type { ByteVector } from './userVector.js';

/**
 * Regular files of the host. Bytes go straight between the host's file and guest memory, with explicit positions: the
 * offset of read and write lives in the OpenFile, under its offsetLock.
 */

const SEEK_SET = 0;
const SEEK_CUR = 1;
const SEEK_END = 2;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const RLIMIT_FSIZE = 1;
/** The largest offset: that of Linux's 64-bit files, as far as a number is exact. */
export const MAX_OFFSET = Number.MAX_SAFE_INTEGER;

/** The Node process's descriptor of a regular file. */
export function hostFdOf(mem: SharedMemory, file: number): number {
  return mem.getI32(mem.getU32(file + OpenFile.hostFile) + HostFile.hostFd);
}

/** Runs `body` with the file's own offset locked, or with `offset` when there is one. `body` moves its position. */
export function atOffset(
  t: ThreadContext,
  file: number,
  offset: number | undefined,
  body: (position: number, moveTo: (position: number) => void) => number,
): number {
  if (offset !== undefined) return body(offset, () => {});
  const { mem } = t;
  lockMutex(mem, file + OpenFile.offsetLock, t.thread);
  try {
    return body(mem.getU64(file + OpenFile.offset), (position) =>
      mem.set64(file + OpenFile.offset, position),
    );
  } finally {
    unlockMutex(mem, file + OpenFile.offsetLock, t.thread);
  }
}

function readAt(t: ThreadContext, file: number, into: ByteVector, position: number): number {
  const { mem } = t;
  const hostFile = mem.getU32(file + OpenFile.hostFile);
  const fd = hostFdOf(mem, file);
  // Beyond the largest file there is nothing to read.
  if (position + into.length > MAX_OFFSET) return 0;
  flushFileRange(mem, hostFile, position, into.length, t.thread);
  try {
    return into.forEachSpan(t, 'write', (address, length, done) =>
      readSync(fd, mem.u8, address, length, position + done),
    );
  } catch (error) {
    // At the end of the file nothing is copied, wherever the buffer is.
    if (error instanceof UserFault && position >= sizeOf(mem, file)) return 0;
    throw asSyscallError(error);
  }
}

function writeAt(t: ThreadContext, file: number, from: ByteVector, position: number): number {
  const { mem } = t;
  const hostFile = mem.getU32(file + OpenFile.hostFile);
  const fd = hostFdOf(mem, file);
  let total = 0;
  try {
    from.forEachSpan(t, 'read', (address, length, done) => {
      const n = writeSync(fd, mem.u8, address, length, position + done);
      total = done + n;
      return n;
    });
  } catch (error) {
    if (total === 0) throw asSyscallError(error);
  }
  noteFileWrite(mem, hostFile, position, total, t.thread);
  return total;
}

/** How many of `length` bytes at `position` RLIMIT_FSIZE allows; −EFBIG (and SIGXFSZ) when none. */
export function withinLimit(t: ThreadContext, position: number, length: number): number {
  const limit = t.mem.getU64(t.guest + Guest.rlimits + RLIMIT_FSIZE * 16);
  if (position + length <= limit) return length;
  if (position >= limit) {
    raiseFileTooLarge(t);
    return -EFBIG;
  }
  return limit - position;
}

export const regularOperations: FileOperations = {
  read(t, file, into, offset) {
    if ((flagsOf(t.mem, file) & O_ACCMODE) === O_WRONLY) return -EBADF;
    return atOffset(t, file, offset, (position, moveTo) => {
      const n = readAt(t, file, into, position);
      moveTo(position + n);
      return n;
    });
  },
  write(t, file, from, offset) {
    const flags = flagsOf(t.mem, file);
    if ((flags & O_ACCMODE) === O_RDONLY) return -EBADF;
    if (from.length === 0) return 0;
    return atOffset(t, file, offset, (own, moveTo) => {
      // The host's descriptor is in append mode too, so that the end is found and written in one step; what is
      // computed here tells where the bytes have gone.
      const append = (flags & O_APPEND) !== 0;
      const position = append ? sizeOf(t.mem, file) : own;
      const allowed = withinLimit(t, position, from.length);
      if (allowed < 0) return allowed;
      if (position + allowed > MAX_OFFSET) return -EFBIG;
      loseSetIds(t, hostFdOf(t.mem, file));
      const n = writeAt(t, file, allowed < from.length ? from.slice(allowed) : from, position);
      moveTo(position + n);
      return n;
    });
  },
  seek(t, file, offset, whence) {
    return atOffset(t, file, undefined, (position, moveTo) => {
      let target: number;
      if (whence === SEEK_SET) target = offset;
      else if (whence === SEEK_CUR) target = position + offset;
      else {
        const size = sizeOf(t.mem, file);
        if (whence === SEEK_END) target = size + offset;
        else if (whence === SEEK_DATA || whence === SEEK_HOLE) {
          if (offset < 0 || offset >= size) return -ENXIO;
          // Every file may be seen as without holes.
          target = whence === SEEK_DATA ? offset : size;
        } else return -EINVAL;
      }
      if (target < 0) return -EINVAL;
      if (target > MAX_OFFSET) return -EOVERFLOW;
      moveTo(target);
      return target;
    });
  },
  status(t, file) {
    return statusOfHost(t, fstatHost(hostFdOf(t.mem, file)));
  },
  truncate(t, file, length) {
    if ((flagsOf(t.mem, file) & O_ACCMODE) === O_RDONLY) return -EINVAL;
    if (withinLimit(t, length, 0) < 0) return -EFBIG;
    loseSetIds(t, hostFdOf(t.mem, file));
    hostCall(() => ftruncateSync(hostFdOf(t.mem, file), length));
    noteFileTruncate(t, t.mem.getU32(file + OpenFile.hostFile), length);
    return 0;
  },
  sync(t, file, dataOnly) {
    writeBack(t.mem, t.mem.getU32(file + OpenFile.hostFile), 0, Infinity, t.thread);
    const fd = hostFdOf(t.mem, file);
    hostCall(() => (dataOnly ? fdatasyncSync(fd) : fsyncSync(fd)));
    return 0;
  },
  available(mem, file) {
    return Math.max(0, sizeOf(mem, file) - mem.getU64(file + OpenFile.offset));
  },
  release(mem, file, owner) {
    releaseHostFile(mem, owner, mem.getU32(file + OpenFile.hostFile));
  },
};

/** A file that somebody else than root changes loses its set-id bits (file_remove_privs). */
export function loseSetIds(t: ThreadContext, hostFd: number): void {
  if (capable(t, CAP_FSETID)) return;
  const { mode } = hostCall(() => fstatSync(hostFd));
  const lost = (mode & 0o4000) | ((mode & 0o2010) === 0o2010 ? 0o2000 : 0);
  if (lost !== 0) hostCall(() => fchmodSync(hostFd, mode & 0o7777 & ~lost));
}

function sizeOf(mem: SharedMemory, file: number): number {
  return hostCall(() => fstatSync(hostFdOf(mem, file)).size);
}

registerKind(FILE_HOST, regularOperations);
