import { closeSync } from 'node:fs';
import { FILE_PATH, OpenFile } from '../../sync/records/openFile.js';
import { EBADF, ENOENT, SyscallError } from '../errno.js';
import type { FileOperations } from './fileOperations.js';
import { statusOfHost } from './fileStatus.js';
import { fstatHost } from './hostAccess.js';
import { pathOf, registerKind } from './openFile.js';
import { locate } from './pathResolution.js';
import { statusOfPlace } from './placeStatus.js';

/** O_PATH descriptors: a name to start from, nothing that can be read or written. */
const pathOperations: FileOperations = {
  read: () => -EBADF,
  write: () => -EBADF,
  seek: () => -EBADF,
  truncate: () => -EBADF,
  sync: () => -EBADF,
  list: () => -EBADF,
  ioctl: () => -EBADF,
  status(t, file) {
    const fd = t.mem.getI32(file + OpenFile.hostFd);
    if (fd >= 0) return statusOfHost(t, fstatHost(fd));
    const status = statusOfPlace(t, locate(t, pathOf(t.mem, file)));
    if (status === undefined) throw new SyscallError(ENOENT);
    return status;
  },
  release(mem, file) {
    const fd = mem.getI32(file + OpenFile.hostFd);
    if (fd >= 0) closeSync(fd);
  },
};

registerKind(FILE_PATH, pathOperations);
