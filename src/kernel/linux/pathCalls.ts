import { spawnSync } from 'node:child_process';
import {
  accessSync,
  type BigIntStats,
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  mkdirSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { noteFileTruncate } from '../../memory/filePages.js';
import { identityOf, openHostFile, releaseHostFile } from '../../memory/hostFile.js';
import { forgetKeptFile } from '../../memory/keptFiles.js';
import { copyOut } from '../../memory/userAccess.js';
import { claimWrite } from '../../memory/writeClaims.js';
import { Fs } from '../../sync/records/files.js';
import { Mm } from '../../sync/records/mm.js';
import { FILE_HOST_DIRECTORY, FILE_MADE_DIRECTORY, OpenFile } from '../../sync/records/openFile.js';
import { textString } from '../../sync/text.js';
import { CAP_SYS_CHROOT, capable } from '../capabilities.js';
import {
  EACCES,
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
  EROFS,
  ETXTBSY,
  EXDEV,
  SyscallError,
} from '../errno.js';
import { createdMode, ownCreated } from '../files/created.js';
import { pathArgument, withFile } from '../files/descriptors.js';
import { createFifo } from '../files/fifo.js';
import {
  type FileStatus,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../files/fileStatus.js';
import { fileSystemOf } from '../files/fileSystemStatus.js';
import {
  pathFromRoot,
  rootDirectory,
  setRootDirectory,
  setWorkingDirectory,
  workingDirectory,
} from '../files/fsRecord.js';
import {
  fstatHost,
  hostArgument,
  hostCall,
  ofNode,
  openBeneath,
  openCreating,
  withParent,
} from '../files/hostAccess.js';
import { forgetOwners } from '../files/hostOwners.js';
import { IN_ATTRIB, IN_CREATE, IN_MODIFY, notifyPlace, notifyRemoved } from '../files/inotify.js';
import { namesHaveChanged } from '../files/knownPrograms.js';
import { breakLeases } from '../files/leases.js';
import { operationsOf, pathOf } from '../files/openFile.js';
import {
  AT_FDCWD,
  currentPath,
  locate,
  lookup,
  mountsOf,
  parentOf,
  type Resolved,
  readLink,
  requireExisting,
  requireWritable,
  startDirectory,
  typeOf,
} from '../files/pathResolution.js';
import {
  MAY_EXEC,
  MAY_WRITE,
  realSubjectOf,
  requireAccess,
  requireCreate,
  requireDelete,
  requireLinkable,
  type Subject,
  subjectOf,
} from '../files/permission.js';
import type { HostPlace, Place } from '../files/place.js';
import { statusOfPlace } from '../files/placeStatus.js';
import { loseSetIds, withinLimit } from '../files/regularFile.js';
import type { ThreadContext } from '../threadContext.js';
import { packStat, packStatfs, packStatx } from './structsFile.js';
import { type SyscallTable, syscall } from './syscall.js';
import {
  SYS_chdir,
  SYS_chroot,
  SYS_faccessat,
  SYS_faccessat2,
  SYS_fchdir,
  SYS_fstatfs,
  SYS_getcwd,
  SYS_linkat,
  SYS_mkdirat,
  SYS_mknodat,
  SYS_newfstatat,
  SYS_readlinkat,
  SYS_statfs,
  SYS_statx,
  SYS_symlinkat,
  SYS_truncate,
  SYS_umask,
  SYS_unlinkat,
} from './syscallNumbers.js';

/** System calls on paths. */

export const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EACCESS = 0x200;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;
const AT_STATX_MASK = 0x6000;

export function resolve(t: ThreadContext, dirfd: number, path: string, follow: boolean): Resolved {
  // Before the descriptor is looked at.
  if (path === '') throw new SyscallError(ENOENT);
  return lookup(t, path.startsWith('/') ? '/' : startDirectory(t, dirfd | 0), path, { follow });
}

/** The place of something that is to be there. */
export function existing(t: ThreadContext, dirfd: number, path: string, follow: boolean): Place {
  return requireExisting(resolve(t, dirfd, path, follow));
}

/** The status of something that is to be there. Throws ENOENT. */
export function required(status: FileStatus | undefined): FileStatus {
  if (status === undefined) throw new SyscallError(ENOENT);
  return status;
}

/** stat of a path, or of the descriptor itself with AT_EMPTY_PATH. */
export function statusAt(t: ThreadContext, dirfd: number, path: string, flags: number): FileStatus {
  if (path === '' && flags & AT_EMPTY_PATH) {
    if ((dirfd | 0) === AT_FDCWD)
      return required(statusOfPlace(t, locate(t, workingDirectory(t.mem, t.fs, t.thread))));
    return withFile(t, dirfd, (file) => operationsOf(t.mem, file).status(t, file));
  }
  return required(statusOfPlace(t, existing(t, dirfd, path, (flags & AT_SYMLINK_NOFOLLOW) === 0)));
}

/** A path argument that AT_EMPTY_PATH allows to be missing altogether. */
export function optionalPath(t: ThreadContext, path: number, flags: number): string {
  return path === 0 && flags & AT_EMPTY_PATH ? '' : pathArgument(t, path);
}

function newfstatat(t: ThreadContext, dirfd: number, path: number, out: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  copyOut(t, out, packStat(statusAt(t, dirfd, optionalPath(t, path, flags), flags)));
  return 0;
}

function statx(
  t: ThreadContext,
  dirfd: number,
  path: number,
  flags: number,
  mask: number,
  out: number,
): number {
  const known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_MASK;
  if ((flags & ~known) !== 0 || (flags & AT_STATX_MASK) === AT_STATX_MASK || mask >>> 31 !== 0)
    return -EINVAL;
  copyOut(t, out, packStatx(statusAt(t, dirfd, optionalPath(t, path, flags), flags)));
  return 0;
}

function accessAt(t: ThreadContext, dirfd: number, path: string, mode: number, flags: number): number {
  if ((mode & ~7) !== 0) return -EINVAL;
  const subject = flags & AT_EACCESS ? subjectOf(t) : realSubjectOf(t);
  if (path === '' && flags & AT_EMPTY_PATH) {
    return withFile(t, dirfd, (file) => checkAccess(t, subject, locate(t, currentPath(t, file)), mode));
  }
  const start = path.startsWith('/') ? '/' : startDirectory(t, dirfd | 0);
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  const place = requireExisting(lookup(t, start, path, { follow, subject: subject ?? null }));
  return checkAccess(t, subject, place, mode);
}

const R_OK = 4;
const W_OK = 2;
const X_OK = 1;

function checkAccess(t: ThreadContext, subject: Subject | undefined, place: Place, mode: number): number {
  if (place.kind === 'host' && mode & W_OK && place.mount.readOnly && typeOf(place) !== S_IFLNK)
    return -EROFS;
  requireAccess(t, subject, place, mode);
  switch (place.kind) {
    case 'host':
      if (typeOf(place) === S_IFLNK) return 0;
      hostCall(() =>
        accessSync(
          hostArgument(place.hostPath),
          (mode & R_OK ? constants.R_OK : 0) |
            (mode & W_OK ? constants.W_OK : 0) |
            (mode & X_OK ? constants.X_OK : 0),
        ),
      );
      return 0;
    case 'made': {
      const { mode: bits } = place.node;
      const allowed = ((bits >> 6) | (bits >> 3) | bits) & 7;
      if ((mode & allowed) === mode) return 0;
      return mode & W_OK && (bits & S_IFMT) === S_IFDIR ? -EROFS : -EACCES;
    }
    case 'opened':
      return 0;
    case 'missing':
      return -ENOENT;
  }
}

/** Tells who watches a directory that there is something new in it. */
function noteCreated(t: ThreadContext, place: HostPlace, directory = false): void {
  notifyPlace(t.mem, place.hostPath, { mask: IN_CREATE, directory, parent: true }, t.thread);
}

/** The place of something that is to be made: nothing is there, and its directory can be written. Throws EEXIST. */
function vacant(t: ThreadContext, dirfd: number, path: string, directory = false): HostPlace {
  const resolved = resolve(t, dirfd, path, false);
  const { place } = resolved;
  if (place.kind === 'opened' || typeOf(place) !== 0 || resolved.unnamed !== undefined)
    throw new SyscallError(EEXIST);
  if (resolved.trailingSlash && !directory) throw new SyscallError(ENOENT);
  requireWritable(place);
  requireCreate(t, parentOf(t, place));
  return place;
}

/** The directory of a host path. */
function hostParent(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

function mkdirat(t: ThreadContext, dirfd: number, path: string, mode: number): number {
  const place = vacant(t, dirfd, path, true);
  const permissions = createdMode(t, mode & 0o1777);
  withParent(place, (p) =>
    hostCall(() => {
      mkdirSync(hostArgument(p), permissions);
      ownCreated(t, p, hostParent(p), permissions, 'directory');
    }),
  );
  noteCreated(t, place, true);
  return 0;
}

function mknodat(t: ThreadContext, dirfd: number, path: string, mode: number): number {
  const type = mode & S_IFMT;
  if (type === S_IFDIR) return -EPERM;
  if (![0, S_IFREG, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK].includes(type)) return -EINVAL;
  const place = vacant(t, dirfd, path);
  const permissions = createdMode(t, mode);
  if (type === S_IFIFO) {
    createFifo(place, permissions);
    withParent(place, (p) => ownCreated(t, p, hostParent(p), permissions, 'file'));
    noteCreated(t, place);
    return 0;
  }
  if (type !== 0 && type !== S_IFREG) return -EPERM;
  const fd = openCreating(place, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, permissions);
  try {
    ownCreated(t, fd, hostParent(place.hostPath), permissions, 'file');
  } finally {
    closeSync(fd);
  }
  noteCreated(t, place);
  return 0;
}

function symlinkat(t: ThreadContext, target: number, dirfd: number, path: number): number {
  const text = pathArgument(t, target);
  if (text === '') return -ENOENT;
  const place = vacant(t, dirfd, pathArgument(t, path));
  withParent(place, (p) =>
    hostCall(() => {
      symlinkSync(hostArgument(text), hostArgument(p));
      ownCreated(t, p, hostParent(p), 0o777, 'link');
    }),
  );
  namesHaveChanged(t.mem);
  noteCreated(t, place);
  return 0;
}

function linkat(
  t: ThreadContext,
  oldDirfd: number,
  oldPath: string,
  newDirfd: number,
  newPath: string,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  // A file that has no name cannot be given one by any call that Node has.
  if (oldPath === '' && flags & AT_EMPTY_PATH) return -EOPNOTSUPP;
  const from = existing(t, oldDirfd, oldPath, (flags & AT_SYMLINK_FOLLOW) !== 0);
  const to = vacant(t, newDirfd, newPath);
  requireLinkable(t, required(statusOfPlace(t, from)));
  if (typeOf(from) === S_IFDIR) return -EPERM;
  if (from.kind !== 'host' || (from.mount !== to.mount && !from.reopened)) return -EXDEV;
  withParent(from, (source) =>
    withParent(to, (target) =>
      hostCall(() => {
        if (from.reopened) linkOpened(source, target);
        else linkSync(hostArgument(source), hostArgument(target));
      }),
    ),
  );
  notifyPlace(t.mem, from.hostPath, { mask: IN_ATTRIB, self: true }, t.thread);
  noteCreated(t, to);
  return 0;
}

/**
 * Gives what is open as `source`, a link of the host's /proc/self/fd, a name: by the host's ln program, since Node's link follows no
 * links. That a file with a name lies elsewhere shows as the host's EXDEV.
 */
function linkOpened(source: string, target: string): void {
  const [from, to] = [source, target].map((path) => Buffer.from(ofNode(path), 'latin1').toString('utf8'));
  const done = spawnSync('ln', ['-L', '-T', '--', from, to], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { LC_ALL: 'C' },
  });
  if (done.status === 0) return;
  const text = done.stderr?.toString() ?? '';
  throw new SyscallError(
    text.includes('File exists') ? EEXIST : text.includes('cross-device') ? EXDEV : ENOENT,
  );
}

/** Throws EBUSY when something is mounted at or below a path that is to go away. */
export function requireNotMounted(t: ThreadContext, path: string): void {
  const mounts = mountsOf(t);
  if (mounts.byPath.has(path) || mounts.children.has(path)) throw new SyscallError(EBUSY);
}

/** Throws what Linux gives for names that cannot be removed or renamed. */
export function requireNamed(resolved: Resolved, removing: boolean): void {
  if (resolved.unnamed === undefined) return;
  if (!removing || resolved.unnamed === '') throw new SyscallError(EBUSY);
  throw new SyscallError(resolved.unnamed === '.' ? EINVAL : ENOTEMPTY);
}

function unlinkat(t: ThreadContext, dirfd: number, path: string, flags: number): number {
  if ((flags & ~AT_REMOVEDIR) !== 0) return -EINVAL;
  // A trailing slash would otherwise follow a link: unlink and rmdir never do.
  const resolved = resolve(t, dirfd, stripSlashes(path), false);
  const { place } = resolved;
  if (flags & AT_REMOVEDIR) {
    requireNamed(resolved, true);
    const found = requireExisting(resolved);
    if (found.kind === 'host') requireDelete(t, parentOf(t, found), found);
    if (typeOf(found) !== S_IFDIR) return -ENOTDIR;
    requireNotMounted(t, found.path);
    requireWritable(found);
    withParent(found, (p) => hostCall(() => rmdirSync(hostArgument(p))));
    forgetOwners(t, found.stats);
    notifyRemoved(t.mem, found.hostPath, found.stats, true, t.thread);
    return 0;
  }
  if (resolved.unnamed !== undefined) return -EISDIR;
  const found = requireExisting(resolved);
  if (path.endsWith('/')) return typeOf(found) === S_IFDIR ? -EISDIR : -ENOTDIR;
  if (found.kind === 'host') requireDelete(t, parentOf(t, found), found);
  if (typeOf(found) === S_IFDIR) return -EISDIR;
  requireNotMounted(t, place.path);
  requireWritable(found);
  withParent(found, (p) => hostCall(() => unlinkSync(hostArgument(p))));
  if (found.stats?.nlink === 1n) forgetOwners(t, found.stats);
  nameIsGone(t, found.stats);
  notifyRemoved(t.mem, found.hostPath, found.stats, false, t.thread);
  return 0;
}

/** A name of what `stats` describes has been removed: nothing keeps the file any longer. */
export function nameIsGone({ mem, thread }: ThreadContext, stats: BigIntStats | undefined): void {
  if (stats === undefined) return;
  const { dev, ino } = identityOf(stats);
  forgetKeptFile(mem, dev, ino, thread);
}

export function stripSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path[end - 1] === '/') end--;
  return path.slice(0, end);
}

function readlinkat(t: ThreadContext, dirfd: number, path: number, out: number, size: number): number {
  if ((size | 0) <= 0) return -EINVAL;
  const name = pathArgument(t, path);
  const own = name === '/proc/self/exe' ? ownExecutable(t) : '';
  if (own !== '') return linkOut(t, own, out, size);
  const place =
    name === '' && (dirfd | 0) !== AT_FDCWD
      ? withFile(t, dirfd, (file) => locate(t, pathOf(t.mem, file)))
      : existing(t, dirfd, name, false);
  if (typeOf(place) !== S_IFLNK) return name === '' ? -ENOENT : -EINVAL;
  const target = readLink(t, place);
  return target === '' ? -ENOENT : linkOut(t, target, out, size);
}

/** Hands out the target of a link, a byte string, as far as there is room for it. */
function linkOut(t: ThreadContext, target: string, out: number, size: number): number {
  const bytes = Buffer.from(target, 'latin1');
  const length = Math.min(bytes.length, size | 0);
  copyOut(t, out, bytes.subarray(0, length));
  return length;
}

/**
 * What /proc/self/exe is a link to, without the walk there, which every start of a static program would take; '' where the walk has to
 * tell.
 */
function ownExecutable(t: ThreadContext): string {
  const { mem, mm, fs } = t;
  if (mem.atomicLoad(fs + Fs.root) !== 0 || mountsOf(t).byPath.get('/proc')?.made === undefined) return '';
  return textString(mem, mem.getU32(mm + Mm.exe));
}

function truncate(t: ThreadContext, path: string, length: number): number {
  if (length < 0) return -EINVAL;
  const { mem, thread } = t;
  const place = existing(t, AT_FDCWD, path, true);
  if (typeOf(place) === S_IFDIR) return -EISDIR;
  if (place.kind === 'made') return -EACCES;
  requireWritable(place);
  if (typeOf(place) !== S_IFREG) return -EINVAL;
  requireAccess(t, subjectOf(t), place, MAY_WRITE);
  const allowed = withinLimit(t, length, 0);
  if (allowed < 0) return allowed;
  if (place.stats !== undefined) breakLeases(t, identityOf(place.stats), true, true);
  const fd = openBeneath(place, constants.O_RDWR);
  let hostFile = 0;
  try {
    hostFile = openHostFile(mem, thread, fd, true, identityOf(fstatHost(fd)));
    if (!claimWrite(mem, hostFile)) return -ETXTBSY;
    loseSetIds(t, fd);
    hostCall(() => ftruncateSync(fd, length));
    noteFileTruncate(t, hostFile, length);
    notifyPlace(mem, place.hostPath, { mask: IN_MODIFY, parent: true, self: true }, thread);
    return 0;
  } finally {
    if (hostFile !== 0) releaseHostFile(mem, thread, hostFile);
    else closeSync(fd);
  }
}

function getcwd(t: ThreadContext, out: number, size: number): number {
  const cwd = workingDirectory(t.mem, t.fs, t.thread);
  if (typeOf(locate(t, cwd)) !== S_IFDIR) return -ENOENT;
  const shown = pathFromRoot(rootDirectory(t.mem, t.fs, t.thread), cwd) ?? `(unreachable)${cwd}`;
  if (size >= 0 && shown.length + 1 > size) return -ERANGE;
  const bytes = Buffer.alloc(shown.length + 1);
  bytes.write(shown, 'latin1');
  copyOut(t, out, bytes);
  return bytes.length;
}

/** Makes `place` the working directory. Throws ENOTDIR and EACCES. */
function enterDirectory(t: ThreadContext, place: Place): number {
  requireSearchable(t, place);
  setWorkingDirectory(t.mem, t.fs, place.path, t.thread);
  return 0;
}

/** Throws ENOTDIR and EACCES. */
function requireSearchable(t: ThreadContext, place: Place): void {
  if (typeOf(place) !== S_IFDIR) throw new SyscallError(ENOTDIR);
  requireAccess(t, subjectOf(t), place, MAY_EXEC);
  if (place.kind === 'host') hostCall(() => accessSync(hostArgument(place.hostPath), constants.X_OK));
}

/** chroot(2): the working directory stays where it is, as on Linux. */
function chroot(t: ThreadContext, path: string): number {
  const place = existing(t, AT_FDCWD, path, true);
  requireSearchable(t, place);
  if (!capable(t, CAP_SYS_CHROOT)) return -EPERM;
  setRootDirectory(t.mem, t.fs, place.path, t.thread);
  return 0;
}

function fchdir(t: ThreadContext, fd: number): number {
  return withFile(t, fd, (file) => {
    const kind = t.mem.getU32(file + OpenFile.kind);
    const place = locate(t, currentPath(t, file));
    if (kind !== FILE_HOST_DIRECTORY && kind !== FILE_MADE_DIRECTORY && typeOf(place) !== S_IFDIR)
      return -ENOTDIR;
    if (typeOf(place) === 0) return -ENOENT;
    return enterDirectory(t, place);
  });
}

function umask(t: ThreadContext, mask: number): number {
  return t.mem.atomicExchange(t.fs + Fs.umask, mask & 0o777);
}

export const pathCalls: SyscallTable = {
  [SYS_newfstatat]: syscall(
    'newfstatat',
    ['dirfd', 'path', 'pointer', 'atFlags'],
    (t, dirfd, path, out, flags) => newfstatat(t, dirfd, path, out, flags | 0),
  ),
  [SYS_statx]: syscall(
    'statx',
    ['dirfd', 'path', 'atFlags', 'hex', 'pointer'],
    (t, dirfd, path, flags, mask, out) => statx(t, dirfd, path, flags | 0, mask | 0, out),
  ),
  [SYS_faccessat]: syscall('faccessat', ['dirfd', 'path', 'int'], (t, dirfd, path, mode) =>
    accessAt(t, dirfd, pathArgument(t, path), mode | 0, 0),
  ),
  [SYS_faccessat2]: syscall(
    'faccessat2',
    ['dirfd', 'path', 'int', 'atFlags'],
    (t, dirfd, path, mode, flags) =>
      (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0
        ? -EINVAL
        : accessAt(t, dirfd, optionalPath(t, path, flags), mode | 0, flags | 0),
  ),
  [SYS_mkdirat]: syscall('mkdirat', ['dirfd', 'path', 'octal'], (t, dirfd, path, mode) =>
    mkdirat(t, dirfd, pathArgument(t, path), mode | 0),
  ),
  [SYS_mknodat]: syscall('mknodat', ['dirfd', 'path', 'octal', 'hex'], (t, dirfd, path, mode) =>
    mknodat(t, dirfd, pathArgument(t, path), mode | 0),
  ),
  [SYS_symlinkat]: syscall('symlinkat', ['path', 'dirfd', 'path'], symlinkat),
  [SYS_linkat]: syscall(
    'linkat',
    ['dirfd', 'path', 'dirfd', 'path', 'atFlags'],
    (t, oldDirfd, oldPath, newDirfd, newPath, flags) =>
      linkat(t, oldDirfd, pathArgument(t, oldPath), newDirfd, pathArgument(t, newPath), flags | 0),
  ),
  [SYS_unlinkat]: syscall('unlinkat', ['dirfd', 'path', 'atFlags'], (t, dirfd, path, flags) =>
    unlinkat(t, dirfd, pathArgument(t, path), flags | 0),
  ),
  [SYS_readlinkat]: syscall('readlinkat', ['dirfd', 'path', 'pointer', 'size'], readlinkat),
  [SYS_truncate]: syscall('truncate', ['path', 'long'], (t, path, length) =>
    truncate(t, pathArgument(t, path), length),
  ),
  [SYS_statfs]: syscall('statfs', ['path', 'pointer'], (t, path, out) => {
    copyOut(t, out, packStatfs(fileSystemOf(existing(t, AT_FDCWD, pathArgument(t, path), true))));
    return 0;
  }),
  [SYS_fstatfs]: syscall('fstatfs', ['fd', 'pointer'], (t, fd, out) =>
    withFile(t, fd, (file) => {
      copyOut(t, out, packStatfs(fileSystemOf(locate(t, currentPath(t, file)))));
      return 0;
    }),
  ),
  [SYS_getcwd]: syscall('getcwd', ['pointer', 'size'], getcwd),
  [SYS_chdir]: syscall('chdir', ['path'], (t, path) =>
    enterDirectory(t, existing(t, AT_FDCWD, pathArgument(t, path), true)),
  ),
  [SYS_fchdir]: syscall('fchdir', ['fd'], fchdir),
  [SYS_chroot]: syscall('chroot', ['path'], (t, path) => chroot(t, pathArgument(t, path))),
  [SYS_umask]: syscall('umask', ['octal'], umask),
};
