import { readSync } from 'node:fs';
import type { ProgramFile } from '../../loader/programFile.js';
import { retainHostFile } from '../../memory/hostFile.js';
import { readObject } from '../../memory/sharedObject.js';
import { claimExecution, endExecution, repeatExecution } from '../../memory/writeClaims.js';
import { Mm } from '../../sync/records/mm.js';
import { FILE_HOST, FILE_MEMORY, OpenFile } from '../../sync/records/openFile.js';
import { SharedObject } from '../../sync/records/sharedObject.js';
import { allocateText } from '../../sync/text.js';
import { EACCES, ETXTBSY, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { type FileStatus, statusOfHost } from './fileStatus.js';
import { fstatHost, hostCall } from './hostAccess.js';
import { pathOf, releaseOpenFile } from './openFile.js';
import { O_NOFOLLOW, O_RDONLY } from './openFlags.js';
import { openPath } from './openPath.js';
import { AT_FDCWD } from './pathResolution.js';
import { MAY_EXEC } from './permission.js';
import { hostFdOf } from './regularFile.js';

/** A program that is open for the loader. */
export interface ExecutableFile extends ProgramFile {
  /** Canonical guest path, as text. */
  readonly path: string;
  /** Mode, owner and group, whose set-id bits count. */
  readonly status: Pick<FileStatus, 'mode' | 'uid' | 'gid'>;
  /** Closes it; what was mapped stays. */
  release(): void;
}

/**
 * Opens the regular file at guest path `path` (bytes) for execution: what execve(2) looks up. Throws SyscallError: ENOENT,
 * EACCES (no regular file, or no execute permission), ENOTDIR, ELOOP.
 */
export function openExecutable(
  t: ThreadContext,
  path: Uint8Array,
  dirfd = AT_FDCWD,
  noFollow = false,
): ExecutableFile {
  const { mem, thread } = t;
  const file = openPath(
    t,
    dirfd,
    Buffer.from(path).toString('latin1'),
    noFollow ? O_RDONLY | O_NOFOLLOW : O_RDONLY,
    0,
    {},
    MAY_EXEC,
  );
  try {
    if (mem.getU32(file + OpenFile.kind) === FILE_MEMORY) return memoryExecutable(t, file);
    if (mem.getU32(file + OpenFile.kind) !== FILE_HOST) throw new SyscallError(EACCES);
    const hostFile = mem.getU32(file + OpenFile.hostFile);
    const fd = hostFdOf(mem, file);
    const stats = fstatHost(fd);
    if ((stats.mode & 0o111n) === 0n) throw new SyscallError(EACCES);
    if (!claimExecution(mem, hostFile)) throw new SyscallError(ETXTBSY);
    return {
      path: Buffer.from(pathOf(mem, file), 'latin1').toString('utf8'),
      status: statusOfHost(t, stats),
      size: Number(stats.size),
      read: readerOf(fd),
      mapped: { file: hostFile, object: 0, readable: true, writable: false },
      release: () => {
        endExecution(mem, hostFile);
        releaseOpenFile(mem, file, thread);
      },
    };
  } catch (error) {
    releaseOpenFile(mem, file, thread);
    throw error;
  }
}

/** So much of a file's beginning is read at once: in most programs all that the loader looks at. */
const HEAD_BYTES = 2048;

function readerOf(fd: number): ProgramFile['read'] {
  let head: Uint8Array | undefined;
  return (offset, into) => {
    if (offset + into.length > HEAD_BYTES) return readAll(fd, offset, into);
    if (head === undefined) {
      const first = new Uint8Array(HEAD_BYTES);
      head = first.subarray(0, readAll(fd, 0, first));
    }
    const part = head.subarray(Math.min(offset, head.length), offset + into.length);
    into.set(part);
    return part.length;
  };
}

function readAll(fd: number, offset: number, into: Uint8Array): number {
  let done = 0;
  while (done < into.length) {
    const n = hostCall(() => readSync(fd, into, done, into.length - done, offset + done));
    if (n === 0) break;
    done += n;
  }
  return done;
}

/** A memory file (memfd_create) as a program; it has a reference to the open file `file`. */
function memoryExecutable(t: ThreadContext, file: number): ExecutableFile {
  const { mem, thread } = t;
  const object = mem.getU32(file + OpenFile.object);
  if ((mem.getU32(object + SharedObject.mode) & 0o111) === 0) throw new SyscallError(EACCES);
  return {
    path: Buffer.from(pathOf(mem, file), 'latin1').toString('utf8'),
    status: { mode: mem.getU32(object + SharedObject.mode) & 0o777, uid: 0, gid: 0 },
    size: mem.getU64(object + SharedObject.size),
    read: (offset, into) => readObject(mem, object, offset, into, thread),
    mapped: { file: 0, object, readable: true, writable: false },
    release: () => releaseOpenFile(mem, file, thread),
  };
}

/** Sets what /proc/self/exe names, in an address space that is new; a file of the host cannot be written from now on. */
export function setExecutable(t: ThreadContext, program: ExecutableFile): void {
  const { mem, mm } = t;
  mem.setU32(mm + Mm.exe, allocateText(mem, Buffer.from(program.path, 'utf8'), t.thread));
  const { file } = program.mapped;
  if (file === 0) return;
  retainHostFile(mem, file);
  repeatExecution(mem, file);
  mem.setU32(mm + Mm.exeFile, file);
}
