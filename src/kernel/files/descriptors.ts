import { readCString } from '../../memory/userAccess.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { FILE_HOST, OpenFile } from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EBADF, ENAMETOOLONG, SyscallError } from '../errno.js';
import { getLimit, RLIMIT_NOFILE } from '../guestRecords.js';
import { acquireDescriptor, releaseDescriptor } from '../leftCall.js';
import type { ThreadContext } from '../threadContext.js';
import { anyLocks, dropLocks } from './fileLocks.js';
import { installFile, takeDescriptor } from './filesTable.js';
import { isPathOnly, operationsOf, releaseOpenFile } from './openFile.js';
import { O_CLOEXEC } from './openFlags.js';
import { PATH_MAX } from './pathResolution.js';

/** What the system calls on descriptors have in common. */

/** Runs `body` on the open file of descriptor `fd`, which stays open meanwhile. Throws SyscallError(EBADF). */
export function withFile<T>(t: ThreadContext, fd: number, body: (file: number) => T): T {
  const file = acquireDescriptor(t, fd | 0);
  if (file === 0) throw new SyscallError(EBADF);
  try {
    return body(file);
  } finally {
    releaseDescriptor(t, fd | 0, file);
  }
}

/** withFile for calls that an O_PATH descriptor does not have. */
export function withRealFile<T>(t: ThreadContext, fd: number, body: (file: number) => T): T {
  return withFile(t, fd, (file) => {
    if (isPathOnly(t.mem, file)) throw new SyscallError(EBADF);
    return body(file);
  });
}

/** RLIMIT_NOFILE: descriptors are below it. */
export function descriptorLimit(t: ThreadContext): number {
  return getLimit(t.mem, t.guest, RLIMIT_NOFILE)[0];
}

/**
 * Gives a new open file, whose one reference is the caller's, the lowest free descriptor. O_CLOEXEC in `flags` counts.
 * Throws SyscallError(EMFILE) after releasing it.
 */
export function newDescriptor(t: ThreadContext, file: number, flags: number, from = 0): number {
  try {
    return installFile(
      t.mem,
      t.files,
      file,
      { from, limit: descriptorLimit(t), closeOnExec: (flags & O_CLOEXEC) !== 0 },
      t.thread,
    );
  } catch (error) {
    releaseOpenFile(t.mem, file, t.thread);
    throw error;
  }
}

/** Identity of the file behind an open file, for locks. */
export function identityOf(mem: SharedMemory, file: number): { dev: number; ino: number } {
  const hostFile = mem.getU32(file + OpenFile.kind) === FILE_HOST ? mem.getU32(file + OpenFile.hostFile) : 0;
  if (hostFile === 0) return { dev: 0, ino: mem.getU32(file + OpenFile.object) || file };
  return { dev: mem.getU64(hostFile + HostFile.dev), ino: mem.getU64(hostFile + HostFile.ino) };
}

/** close(2). Throws SyscallError(EBADF). */
export function closeDescriptor(t: ThreadContext, fd: number): void {
  const { mem, thread } = t;
  const file = takeDescriptor(mem, t.files, fd, thread);
  if (file === 0) throw new SyscallError(EBADF);
  finishClose(t, file);
}

/** What follows when a descriptor no longer names `file`: POSIX locks go, and the reference. */
export function finishClose(t: ThreadContext, file: number): void {
  const { mem, thread } = t;
  operationsOf(mem, file).flush?.(t, file);
  if (anyLocks(mem, thread)) dropLocks(mem, t.files, thread, identityOf(mem, file));
  releaseOpenFile(mem, file, thread);
}

/** A path argument as a byte string. Throws UserFault and SyscallError(ENAMETOOLONG). */
export function pathArgument(t: ThreadContext, address: number): string {
  const bytes = readCString(t, address, PATH_MAX);
  if (bytes === undefined) throw new SyscallError(ENAMETOOLONG);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
