import { fstatSync, readSync } from 'node:fs';
import type { ProgramFile } from '../../loader/programFile.js';
import { Mm } from '../../sync/records/mm.js';
import { FILE_HOST, OpenFile } from '../../sync/records/openFile.js';
import { allocateText, freeText } from '../../sync/text.js';
import { EACCES, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { hostCall } from './hostAccess.js';
import { pathOf, releaseOpenFile } from './openFile.js';
import { O_NOFOLLOW, O_RDONLY } from './openFlags.js';
import { openPath } from './openPath.js';
import { AT_FDCWD } from './pathResolution.js';
import { hostFdOf } from './regularFile.js';

/** A program that is open for the loader. */
export interface ExecutableFile extends ProgramFile {
  /** Canonical guest path, as text. */
  readonly path: string;
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
  );
  try {
    if (mem.getU32(file + OpenFile.kind) !== FILE_HOST) throw new SyscallError(EACCES);
    const fd = hostFdOf(mem, file);
    const stats = hostCall(() => fstatSync(fd));
    if ((stats.mode & 0o111) === 0) throw new SyscallError(EACCES);
    return {
      path: Buffer.from(pathOf(mem, file), 'latin1').toString('utf8'),
      size: stats.size,
      read: (offset, into) => {
        let done = 0;
        while (done < into.length) {
          const n = hostCall(() => readSync(fd, into, done, into.length - done, offset + done));
          if (n === 0) break;
          done += n;
        }
        return done;
      },
      mapped: { file: mem.getU32(file + OpenFile.hostFile), object: 0, readable: true, writable: false },
      release: () => releaseOpenFile(mem, file, thread),
    };
  } catch (error) {
    releaseOpenFile(mem, file, thread);
    throw error;
  }
}

/** Sets what /proc/self/exe names. */
export function setExecutablePath(t: ThreadContext, path: string): void {
  const { mem } = t;
  const before = mem.getU32(t.mm + Mm.exe);
  mem.setU32(t.mm + Mm.exe, allocateText(mem, Buffer.from(path, 'utf8'), t.thread));
  freeText(mem, before, t.thread);
}
