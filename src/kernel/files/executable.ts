import { type BigIntStats, readSync } from 'node:fs';
import type { ProgramFile } from '../../loader/programFile.js';
import { releaseHostFile, retainHostFile } from '../../memory/hostFile.js';
import { readObject } from '../../memory/sharedObject.js';
import { claimExecution, endExecution, repeatExecution } from '../../memory/writeClaims.js';
import { HostFile } from '../../sync/records/hostFile.js';
import { Mm } from '../../sync/records/mm.js';
import { FILE_HOST, FILE_MEMORY, OpenFile } from '../../sync/records/openFile.js';
import { SharedObject } from '../../sync/records/sharedObject.js';
import { allocateText } from '../../sync/text.js';
import { EACCES, ETXTBSY, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { type FileStatus, statusOfHost } from './fileStatus.js';
import { fstatHost, hostCall } from './hostAccess.js';
import { isSame, type KnownProgram, nameChanges, noteProgram, takeKnownProgram } from './knownPrograms.js';
import { fromByteString } from './mountTable.js';
import { pathOf, releaseOpenFile } from './openFile.js';
import { O_NOFOLLOW, O_RDONLY } from './openFlags.js';
import { openPath } from './openPath.js';
import { AT_FDCWD, type LookupTrace } from './pathResolution.js';
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
  const name = Buffer.from(path).toString('latin1');
  const taken = noFollow ? undefined : takeKnownProgram(t, dirfd, name);
  if (taken !== undefined) {
    const { program, hostFile } = taken;
    const release = () => releaseHostFile(mem, thread, hostFile);
    try {
      return hostExecutable(t, hostFile, program.stats, program, release);
    } catch (error) {
      release();
      throw error;
    }
  }
  const changes = nameChanges(mem);
  const trace: LookupTrace = { links: [], special: noFollow };
  const flags = noFollow ? O_RDONLY | O_NOFOLLOW : O_RDONLY;
  const file = openPath(t, dirfd, name, flags, 0, { trace }, MAY_EXEC);
  const release = () => releaseOpenFile(mem, file, thread);
  try {
    if (mem.getU32(file + OpenFile.kind) === FILE_MEMORY) return memoryExecutable(t, file);
    if (mem.getU32(file + OpenFile.kind) !== FILE_HOST) throw new SyscallError(EACCES);
    const stats = fstatHost(hostFdOf(mem, file));
    if ((stats.mode & 0o111n) === 0n) throw new SyscallError(EACCES);
    const program = noteProgram(t, dirfd, name, trace, changes) ?? {
      shown: fromByteString(pathOf(mem, file)),
      stats,
      head: undefined,
      images: new Map(),
    };
    return hostExecutable(t, mem.getU32(file + OpenFile.hostFile), stats, program, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** A file of the host as a program, whose end gives back what was opened (`release`). Throws ETXTBSY. */
function hostExecutable(
  t: ThreadContext,
  hostFile: number,
  stats: BigIntStats,
  program: Pick<KnownProgram, 'shown' | 'head' | 'images' | 'stats'>,
  release: () => void,
): ExecutableFile {
  const { mem } = t;
  if (!claimExecution(mem, hostFile)) throw new SyscallError(ETXTBSY);
  // What was changed while it was opened is not known yet.
  const same = program.stats === stats || isSame(program.stats, stats);
  return {
    path: program.shown,
    status: statusOfHost(t, stats),
    size: Number(stats.size),
    read: readerOf(mem.getI32(hostFile + HostFile.hostFd), same ? program : { head: undefined }),
    ...(same && { images: program.images }),
    mapped: { file: hostFile, object: 0, readable: true, writable: false },
    release: () => {
      endExecution(mem, hostFile);
      release();
    },
  };
}

/** So much of a file's beginning is read at once: in most programs all that the loader looks at. */
const HEAD_BYTES = 2048;

/** Reads from the host's descriptor; the file's first bytes are kept in `keeper`. */
function readerOf(fd: number, keeper: { head: Uint8Array | undefined }): ProgramFile['read'] {
  return (offset, into) => {
    if (offset + into.length > HEAD_BYTES) return readAll(fd, offset, into);
    let { head } = keeper;
    if (head === undefined) {
      const first = new Uint8Array(HEAD_BYTES);
      head = first.subarray(0, readAll(fd, 0, first));
      keeper.head = head;
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
