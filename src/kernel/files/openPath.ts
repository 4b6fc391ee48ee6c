import { type BigIntStats, closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { noteFileTruncate } from '../../memory/filePages.js';
import { identityOf, nameHostFile, openHostFile, releaseHostFile } from '../../memory/hostFile.js';
import { takeKeptFile } from '../../memory/keptFiles.js';
import { claimWrite } from '../../memory/writeClaims.js';
import {
  FILE_DEVICE,
  FILE_HOST,
  FILE_HOST_DIRECTORY,
  FILE_MADE_DIRECTORY,
  FILE_MEMORY,
  FILE_PATH,
  FILE_PIPE,
  FILE_TEXT,
  OPEN_CREATED,
  OPEN_READ_ONLY_MOUNT,
  OpenFile,
} from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { allocateText } from '../../sync/text.js';
import {
  EACCES,
  EBADF,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  ENXIO,
  EROFS,
  ETXTBSY,
  SyscallError,
} from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { createdMode, ownCreated } from './created.js';
import { IN_CREATE, IN_MODIFY, IN_OPEN, notifyFile, notifyPlace } from './inotify.js';
import { hostFdOf } from './regularFile.js';
import './fileKinds.js';
import { openFifo } from './fifo.js';
import { type FileStatus, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from './fileStatus.js';
import { acquireFile } from './filesTable.js';
import { fstatHost, hasProcFd, hostArgument, hostCall, openBeneath, openCreating } from './hostAccess.js';
import { breakLeases } from './leases.js';
import { reopenMemoryFile } from './memoryFile.js';
import { fromByteString } from './mountTable.js';
import { createOpenFile, releaseOpenFile } from './openFile.js';
import {
  hostOpenFlags,
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
} from './openFlags.js';
import {
  type LookupOptions,
  lookup,
  parentOf,
  requireWritable,
  startDirectory,
  typeOf,
} from './pathResolution.js';
import { MAY_READ, MAY_WRITE, requireAccess, requireCreate, requireOwner, subjectOf } from './permission.js';
import { attachPipe } from './pipe.js';
import type { HostPlace, MadePlace, OpenedPlace } from './place.js';
import { statusOfPlace } from './placeStatus.js';

/** O_PATH of a Linux host; 0 elsewhere. */
const HOST_O_PATH = hasProcFd ? 0o10000000 : 0;
/** The bit of O_TMPFILE that O_DIRECTORY does not have; the same on every Linux host that Node runs on. */
const HOST_TMPFILE = 0o20000000;

/**
 * open(2): makes an open file of what `path` (a byte string) leads to from `dirfd`. Returns it with one reference, the
 * caller's. Throws SyscallError.
 */
export function openPath(
  t: ThreadContext,
  dirfd: number,
  path: string,
  flags: number,
  mode: number,
  resolve: Partial<LookupOptions> = {},
  access = accessOf(flags),
): number {
  if (flags & O_PATH) flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
  const temporary = (flags & O_TMPFILE) === O_TMPFILE;
  if (temporary && (flags & O_ACCMODE) === O_RDONLY) throw new SyscallError(EINVAL);
  const start = path.startsWith('/') && !resolve.inRoot ? '/' : startDirectory(t, dirfd);
  const exclusive = (flags & (O_CREAT | O_EXCL)) === (O_CREAT | O_EXCL);
  const resolved = lookup(t, start, path, {
    follow: (flags & O_NOFOLLOW) === 0 && !exclusive,
    ...resolve,
  });
  const { place, trailingSlash } = resolved;
  if (place.kind === 'opened') return reopen(t, place, flags);
  const type = typeOf(place);
  if (type === 0 && !(place.kind === 'host' && place.reopened)) {
    if ((flags & O_CREAT) === 0) throw new SyscallError(ENOENT);
    if (trailingSlash) throw new SyscallError(EISDIR);
    requireWritable(place);
    requireCreate(t, parentOf(t, place));
    const made = createRegular(t, place, flags, mode);
    notifyPlace(t.mem, place.hostPath, { mask: IN_CREATE, parent: true }, t.thread);
    notifyFile(t.mem, made, IN_OPEN, t.thread);
    return made;
  }
  if (place.kind === 'missing') throw new SyscallError(ENOENT);
  if (exclusive) throw new SyscallError(EEXIST);
  if (type === S_IFLNK && (flags & O_PATH) === 0)
    throw new SyscallError(flags & O_DIRECTORY ? ENOTDIR : ELOOP);
  if ((flags & O_DIRECTORY || trailingSlash) && type !== S_IFDIR) throw new SyscallError(ENOTDIR);
  if (flags & O_PATH) return openName(t, place, flags);
  if (temporary) return openTemporary(t, place, flags, mode);
  if (type === S_IFDIR && ((flags & O_ACCMODE) !== O_RDONLY || flags & (O_CREAT | O_TRUNC)))
    throw new SyscallError(EISDIR);
  if (place.kind === 'host' && type === S_IFREG && access & MAY_WRITE) requireHostWritable(place);
  requireAccess(t, subjectOf(t), place, access);
  if (flags & O_NOATIME) requireOwner(t, statusOfPlace(t, place) as FileStatus);
  if (place.kind === 'made') return openMade(t, place, flags);
  const file = openHost(t, place, flags);
  notifyFile(t.mem, file, IN_OPEN, t.thread);
  if (flags & O_TRUNC) notifyFile(t.mem, file, IN_MODIFY, t.thread);
  return file;
}

/** MAY_* that open flags ask for. */
function accessOf(flags: number): number {
  const writes = (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
  const reads = (flags & O_ACCMODE) !== O_WRONLY;
  return (reads ? MAY_READ : 0) | (writes ? MAY_WRITE : 0);
}

function requireHostWritable(place: HostPlace): void {
  if (place.mount.readOnly) throw new SyscallError(EROFS);
}

function openHost(t: ThreadContext, place: HostPlace, flags: number): number {
  const { mem, thread } = t;
  const writes = (flags & O_ACCMODE) !== O_RDONLY || (flags & O_TRUNC) !== 0;
  const type = typeOf(place);
  if (type === S_IFDIR) {
    const hostFd = openBeneath(place, constants.O_RDONLY | constants.O_DIRECTORY);
    return createOpenFile(mem, { kind: FILE_HOST_DIRECTORY, flags, path: place.path, hostFd }, thread);
  }
  if (type === S_IFIFO)
    return openFifo(t, place, flags, HOST_O_PATH === 0 ? -1 : openBeneath(place, HOST_O_PATH));
  // A device or socket of the host is no business of the guest's.
  if (type !== S_IFREG && !place.reopened) throw new SyscallError(type === S_IFCHR ? EACCES : ENXIO);
  if (writes) requireHostWritable(place);
  // Cutting alone does not count here (break_lease looks at the access mode).
  const opens = (flags & O_ACCMODE) !== O_RDONLY;
  if (place.stats !== undefined) breakLeases(t, identityOf(place.stats), opens, (flags & O_NONBLOCK) === 0);
  const hostFlags = hostOpenFlags(flags & ~O_CREAT);
  if (hostFlags === constants.O_RDONLY && place.stats !== undefined && !place.reopened) {
    const path = new TextEncoder().encode(fromByteString(place.path));
    const hostFile = takeKeptFile(mem, identityOf(place.stats), path, thread);
    if (hostFile !== 0) return fileOf(t, hostFile, flags, place);
  }
  // What is being executed is not cut: whether it is shows once it is open.
  const fd =
    flags & O_TRUNC ? openCreating(place, hostFlags & ~constants.O_TRUNC, 0) : openBeneath(place, hostFlags);
  const file = adoptRegular(t, fd, flags, place);
  if (flags & O_TRUNC) {
    try {
      if ((flags & O_ACCMODE) === O_RDONLY) openCut(mem, file, place);
      else hostCall(() => ftruncateSync(hostFdOf(mem, file), 0));
    } catch (error) {
      releaseOpenFile(mem, file, thread);
      throw error;
    }
    noteFileTruncate(t, mem.getU32(file + OpenFile.hostFile), 0);
  }
  return file;
}

/** O_RDONLY with O_TRUNC: the file is cut by another descriptor, unless it is being executed. */
function openCut(mem: SharedMemory, file: number, place: HostPlace): void {
  const hostFile = mem.getU32(file + OpenFile.hostFile);
  if (!claimWrite(mem, hostFile)) throw new SyscallError(ETXTBSY);
  const fd = openCreating(place, constants.O_WRONLY | constants.O_TRUNC, 0);
  closeSync(fd);
}

/** Makes an open file of a descriptor of the Node process, which it owns from now on. */
function adoptRegular(t: ThreadContext, fd: number, flags: number, place: HostPlace, attributes = 0): number {
  const { mem, thread } = t;
  let adopted = false;
  try {
    const stats: BigIntStats = fstatHost(fd);
    if (!stats.isFile()) throw new SyscallError(ENXIO);
    const writable = (flags & O_ACCMODE) !== O_RDONLY;
    const hostFile = openHostFile(mem, thread, fd, writable, identityOf(stats));
    if (writable && !claimWrite(mem, hostFile)) {
      adopted = true;
      releaseHostFile(mem, thread, hostFile);
      throw new SyscallError(ETXTBSY);
    }
    nameHostFile(mem, thread, hostFile, fromByteString(place.path));
    return fileOf(t, hostFile, flags, place, attributes);
  } catch (error) {
    if (!adopted) closeSync(fd);
    throw error;
  }
}

/** An open file on a HostFile, whose reference it takes over. */
function fileOf(
  { mem, thread }: ThreadContext,
  hostFile: number,
  flags: number,
  place: HostPlace,
  attributes = 0,
): number {
  return createOpenFile(
    mem,
    {
      kind: FILE_HOST,
      flags,
      path: place.path,
      hostFile,
      attributes: attributes | (place.mount.readOnly ? OPEN_READ_ONLY_MOUNT : 0),
    },
    thread,
  );
}

function createRegular(t: ThreadContext, place: HostPlace, flags: number, mode: number): number {
  if (flags & O_DIRECTORY) throw new SyscallError(EINVAL);
  const permissions = createdMode(t, mode);
  const fd = openCreating(place, hostOpenFlags(flags), permissions);
  // The file may have been there by now; then its mode is its own.
  const stats = hostCall(() => fstatSync(fd));
  const created = stats.size === 0 && (stats.mode & ~permissions & 0o777) === 0 && stats.nlink === 1;
  if (created) {
    const parent = place.hostPath.slice(0, place.hostPath.lastIndexOf('/'));
    ownCreated(t, fd, parent, permissions, 'file');
  }
  return adoptRegular(t, fd, flags, place, created ? OPEN_CREATED : 0);
}

/** O_TMPFILE: a file without a name in the directory at `place`. */
function openTemporary(t: ThreadContext, place: HostPlace | MadePlace, flags: number, mode: number): number {
  requireWritable(place);
  requireCreate(t, place);
  const permissions = createdMode(t, mode);
  const directory = openBeneath(place, constants.O_RDONLY | constants.O_DIRECTORY);
  let fd: number;
  try {
    const path = hasProcFd ? `/proc/self/fd/${directory}` : place.hostPath;
    fd = hostCall(() =>
      openSync(
        hostArgument(path),
        (flags & O_ACCMODE) | HOST_TMPFILE | constants.O_DIRECTORY | (flags & O_EXCL ? constants.O_EXCL : 0),
        permissions,
      ),
    );
  } finally {
    closeSync(directory);
  }
  ownCreated(t, fd, place.hostPath, permissions, 'file');
  return adoptRegular(t, fd, flags & ~O_TMPFILE, place);
}

function openName(t: ThreadContext, place: HostPlace | MadePlace, flags: number): number {
  let hostFd = -1;
  if (place.kind === 'host' && HOST_O_PATH !== 0) hostFd = openBeneath(place, HOST_O_PATH);
  const attributes = place.kind === 'host' && place.mount.readOnly ? OPEN_READ_ONLY_MOUNT : 0;
  return createOpenFile(t.mem, { kind: FILE_PATH, flags, path: place.path, hostFd, attributes }, t.thread);
}

function openMade(t: ThreadContext, place: MadePlace, flags: number): number {
  const { mem, thread } = t;
  const { node, path } = place;
  switch (node.mode & S_IFMT) {
    case S_IFDIR:
      return createOpenFile(mem, { kind: FILE_MADE_DIRECTORY, flags, path }, thread);
    case S_IFCHR:
      if (node.open !== undefined) return node.open(t, flags);
      return createOpenFile(mem, { kind: FILE_DEVICE, flags, path, detail: node.device ?? 0 }, thread);
    default: {
      if ((flags & O_ACCMODE) !== O_RDONLY && node.store === undefined) throw new SyscallError(EACCES);
      const text = allocateText(mem, node.render?.(t) ?? '', thread);
      return createOpenFile(mem, { kind: FILE_TEXT, flags, path, object: text }, thread);
    }
  }
}

/** Opening /proc/self/fd/N of something without a path: a pipe or memory file again, anything else shared with the descriptor. */
function reopen(t: ThreadContext, place: OpenedPlace, flags: number): number {
  const { mem, thread } = t;
  const file = acquireFile(mem, t.files, place.fd, thread);
  if (file === 0) throw new SyscallError(EBADF);
  if (flags & O_DIRECTORY) {
    releaseOpenFile(mem, file, thread);
    throw new SyscallError(ENOTDIR);
  }
  const kind = mem.getU32(file + OpenFile.kind);
  if (flags & O_PATH || (kind !== FILE_PIPE && kind !== FILE_MEMORY)) return file;
  try {
    if (kind === FILE_MEMORY) return reopenMemoryFile(t, file, flags);
    const pipe = mem.getU32(file + OpenFile.object);
    attachPipe(mem, pipe, flags & O_ACCMODE, thread);
    return createOpenFile(
      mem,
      {
        kind: FILE_PIPE,
        flags,
        path: place.path,
        object: pipe,
        attributes: mem.getU32(file + OpenFile.attributes),
      },
      thread,
    );
  } finally {
    releaseOpenFile(mem, file, thread);
  }
}
