import type { MappedFile } from '../../mm/targetMmap.js';
import { FILE_DEVICE, FILE_HOST, FILE_MEMORY, FILE_PATH, OpenFile } from '../../sync/records/openFile.js';
import { SharedObject } from '../../sync/records/sharedObject.js';
import { EACCES, EBADF, ENODEV, EPERM, SyscallError } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { DEVICE_ZERO, deviceOf } from './devices.js';
import { acquireFile } from './filesTable.js';
import { F_SEAL_FUTURE_WRITE, F_SEAL_WRITE } from './memoryFile.js';
import { flagsOf, releaseOpenFile } from './openFile.js';
import { O_ACCMODE, O_RDONLY, O_RDWR, O_WRONLY } from './openFlags.js';

const PROT_WRITE = 2;
const MAP_TYPE = 0xf;
const MAP_SHARED = 1;
const MAP_SHARED_VALIDATE = 3;

/**
 * What mmap(2) maps for descriptor `fd`: null for /dev/zero, which is anonymous memory. Throws SyscallError: EBADF, EACCES
 * (not open for reading; shared and writable without O_RDWR), EPERM (a seal), ENODEV (nothing that can be mapped). The
 * record is valid while the descriptor is open: use `withMappedFile` where another thread may close it.
 */
function mappedFileOf(t: ThreadContext, file: number, prot: number, flags: number): MappedFile | null {
  const { mem } = t;
  const kind = mem.getU32(file + OpenFile.kind);
  if (kind === FILE_PATH) throw new SyscallError(EBADF);
  const access = flagsOf(mem, file) & O_ACCMODE;
  if (kind === FILE_DEVICE && deviceOf(mem, file) === DEVICE_ZERO) return null;
  if (kind !== FILE_HOST && kind !== FILE_MEMORY) throw new SyscallError(ENODEV);
  const type = flags & MAP_TYPE;
  const shared = type === MAP_SHARED || type === MAP_SHARED_VALIDATE;
  if (access === O_WRONLY) throw new SyscallError(EACCES);
  if (shared && (prot & PROT_WRITE) !== 0 && access !== O_RDWR) throw new SyscallError(EACCES);
  const object = kind === FILE_MEMORY ? mem.getU32(file + OpenFile.object) : 0;
  let writable = access !== O_RDONLY;
  if (object !== 0 && mem.getU32(object + SharedObject.seals) & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) {
    if (shared && (prot & PROT_WRITE) !== 0) throw new SyscallError(EPERM);
    writable = false;
  }
  return {
    file: kind === FILE_HOST ? mem.getU32(file + OpenFile.hostFile) : 0,
    object,
    readable: true,
    writable,
  };
}

/** Runs `body` on what mmap(2) maps for `fd` (see mappedFileOf), which cannot be closed meanwhile. */
export function withMappedFile<T>(
  t: ThreadContext,
  fd: number,
  prot: number,
  flags: number,
  body: (file: MappedFile | null) => T,
): T {
  const file = acquireFile(t.mem, t.files, fd, t.thread);
  if (file === 0) throw new SyscallError(EBADF);
  try {
    return body(mappedFileOf(t, file, prot, flags));
  } finally {
    releaseOpenFile(t.mem, file, t.thread);
  }
}
