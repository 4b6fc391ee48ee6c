import type { MappedFile } from '../../mm/targetMmap.js';
import {
  FILE_DEVICE,
  FILE_EPOLL,
  FILE_EVENT,
  FILE_HOST,
  FILE_MEMORY,
  FILE_PATH,
  FILE_PIPE,
  FILE_SIGNAL,
  FILE_SOCKET,
  FILE_TEXT,
  FILE_TIMER,
  OpenFile,
} from '../../sync/records/openFile.js';
import { EBADF, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { DEVICE_ZERO, deviceOf } from './devices.js';
import { acquireFile } from './filesTable.js';
import { flagsOf, releaseOpenFile } from './openFile.js';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from './openFlags.js';

/** Kinds whose file systems (proc, sysfs, pipefs, sockfs, anon_inodefs) have SB_I_NOEXEC. */
const NO_EXEC = new Set([FILE_TEXT, FILE_PIPE, FILE_EVENT, FILE_EPOLL, FILE_TIMER, FILE_SOCKET, FILE_SIGNAL]);

/**
 * What mmap(2) finds behind descriptor `fd`, whether that can be mapped or not: mmap answers for it in its turn. Throws
 * SyscallError EBADF. The record is valid while the descriptor is open: use `withMappedFile`.
 */
function mappedFileOf(t: ThreadContext, file: number): MappedFile {
  const { mem } = t;
  const kind = mem.getU32(file + OpenFile.kind);
  if (kind === FILE_PATH) throw new SyscallError(EBADF);
  const access = flagsOf(mem, file) & O_ACCMODE;
  return {
    file: kind === FILE_HOST ? mem.getU32(file + OpenFile.hostFile) : 0,
    object: kind === FILE_MEMORY ? mem.getU32(file + OpenFile.object) : 0,
    readable: access !== O_WRONLY,
    writable: access !== O_RDONLY,
    noExec: NO_EXEC.has(kind),
    zero: kind === FILE_DEVICE && deviceOf(mem, file) === DEVICE_ZERO,
  };
}

/** Runs `body` on what mmap(2) maps for `fd` (see mappedFileOf), which cannot be closed meanwhile. */
export function withMappedFile<T>(t: ThreadContext, fd: number, body: (file: MappedFile) => T): T {
  const file = acquireFile(t.mem, t.files, fd, t.thread);
  if (file === 0) throw new SyscallError(EBADF);
  try {
    return body(mappedFileOf(t, file));
  } finally {
    releaseOpenFile(t.mem, file, t.thread);
  }
}
