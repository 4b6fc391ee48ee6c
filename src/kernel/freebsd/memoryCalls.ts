import { keepFile } from '../../memory/keptFiles.js';
import { PROT_EXEC } from '../../memory/linuxMemory.js';
import { freebsdMadvise } from '../../mm/freebsd/freebsdMadvise.js';
import { MADV_PROTECT } from '../../mm/freebsd/freebsdMemory.js';
import { freebsdMincore } from '../../mm/freebsd/freebsdMincore.js';
import { freebsdMinherit } from '../../mm/freebsd/freebsdMinherit.js';
import {
  freebsdMlock,
  freebsdMlockall,
  freebsdMunlock,
  freebsdMunlockall,
} from '../../mm/freebsd/freebsdMlock.js';
import { freebsdMmap } from '../../mm/freebsd/freebsdMmap.js';
import { freebsdMprotect } from '../../mm/freebsd/freebsdMprotect.js';
import { freebsdMsync } from '../../mm/freebsd/freebsdMsync.js';
import { freebsdMunmap } from '../../mm/freebsd/freebsdMunmap.js';
import type { MappedFile } from '../../mm/targetMmap.js';
import { Cred } from '../../sync/records/cred.js';
import {
  FILE_DEVICE,
  FILE_HOST,
  FILE_HOST_DIRECTORY,
  FILE_MADE_DIRECTORY,
  FILE_MEMORY,
  FILE_PATH,
  OpenFile,
} from '../../sync/records/openFile.js';
import { EBADF, EINVAL, ENODEV, EPERM, SyscallError } from '../errno.js';
import { withFile } from '../files/descriptors.js';
import { DEVICE_ZERO, deviceOf } from '../files/devices.js';
import { flagsOf } from '../files/openFile.js';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from '../files/openFlags.js';
import { mappingCall, type SyscallTable, syscall } from '../linux/syscall.js';
import type { ThreadContext } from '../threadContext.js';
import * as SYS from './syscallNumbers.js';

/** Memory: thin decoders; everything is done in mm/freebsd. */

/** What mmap(2) finds behind a descriptor (fo_mmap): null for /dev/zero. Throws SyscallError. */
function mappable(t: ThreadContext, file: number): MappedFile | null {
  const { mem } = t;
  const kind = mem.getU32(file + OpenFile.kind);
  switch (kind) {
    case FILE_PATH:
      throw new SyscallError(EBADF);
    case FILE_HOST_DIRECTORY:
    case FILE_MADE_DIRECTORY:
      throw new SyscallError(EINVAL);
    case FILE_DEVICE:
      if (deviceOf(mem, file) === DEVICE_ZERO) return null;
      throw new SyscallError(ENODEV);
    case FILE_HOST:
    case FILE_MEMORY: {
      const access = flagsOf(mem, file) & O_ACCMODE;
      return {
        file: kind === FILE_HOST ? mem.getU32(file + OpenFile.hostFile) : 0,
        object: kind === FILE_MEMORY ? mem.getU32(file + OpenFile.object) : 0,
        readable: access !== O_WRONLY,
        writable: access !== O_RDONLY,
      };
    }
    default:
      throw new SyscallError(ENODEV);
  }
}

function mmap(
  t: ThreadContext,
  start: number,
  length: number,
  prot: number,
  flags: number,
  fd: number,
  position: number,
): number {
  return freebsdMmap(t, start, length, prot | 0, flags | 0, fd | 0, position, (body) =>
    withFile(t, fd, (file) => {
      const mapped = mappable(t, file);
      const result = body(mapped);
      // A shared library: the next process will want it, too.
      if (result >= 0 && prot & PROT_EXEC && mapped !== null && mapped.file !== 0)
        keepFile(t.mem, mapped.file, t.thread);
      return result;
    }),
  );
}

/** MADV_PROTECT concerns the process, and takes privileges; there is nobody here who would kill it for memory. */
function madvise(t: ThreadContext, start: number, length: number, advice: number): number {
  if ((advice | 0) === MADV_PROTECT) return t.mem.getU32(t.cred + Cred.uids + 4) === 0 ? 0 : -EPERM;
  return freebsdMadvise(t, start, length, advice | 0);
}

export const memoryCalls: SyscallTable = {
  [SYS.SYS_mmap]: {
    ...mappingCall('mmap', ['pointer', 'size', 'hex', 'hex', 'int', 'hex'], mmap),
    resultHex: true,
  },
  [SYS.SYS_munmap]: mappingCall('munmap', ['pointer', 'size'], (t, start, length) =>
    freebsdMunmap(t, start, length),
  ),
  [SYS.SYS_mprotect]: mappingCall('mprotect', ['pointer', 'size', 'hex'], (t, start, length, prot) =>
    freebsdMprotect(t, start, length, prot | 0),
  ),
  [SYS.SYS_minherit]: mappingCall('minherit', ['pointer', 'size', 'int'], (t, start, length, inherit) =>
    freebsdMinherit(t, start, length, inherit | 0),
  ),
  [SYS.SYS_madvise]: syscall('madvise', ['pointer', 'size', 'int'], madvise),
  [SYS.SYS_mincore]: syscall('mincore', ['pointer', 'size', 'pointer'], (t, start, length, vector) =>
    freebsdMincore(t, start, length, vector),
  ),
  [SYS.SYS_msync]: syscall('msync', ['pointer', 'size', 'hex'], (t, start, length, flags) =>
    freebsdMsync(t, start, length, flags | 0),
  ),
  [SYS.SYS_mlock]: syscall('mlock', ['pointer', 'size'], (t, start, length) =>
    freebsdMlock(t, start, length),
  ),
  [SYS.SYS_munlock]: syscall('munlock', ['pointer', 'size'], (t, start, length) =>
    freebsdMunlock(t, start, length),
  ),
  [SYS.SYS_mlockall]: syscall('mlockall', ['hex'], (t, how) => freebsdMlockall(t, how | 0)),
  [SYS.SYS_munlockall]: syscall('munlockall', [], (t) => freebsdMunlockall(t)),
};
