import { chmodSync, closeSync, futimesSync, lutimesSync } from 'node:fs';
import { readI64 } from '../../memory/userAccess.js';
import { FILE_HOST, FILE_HOST_DIRECTORY, FILE_PIPE, OpenFile } from '../../sync/records/openFile.js';
import { realtimeNow } from '../clock.js';
import { EINVAL, EOPNOTSUPP, EPERM, EROFS, SyscallError } from '../errno.js';
import { chownHostFile } from '../files/created.js';
import { pathArgument, withRealFile } from '../files/descriptors.js';
import { type FileStatus, S_IFDIR, S_IFLNK } from '../files/fileStatus.js';
import { hasProcFd, hostArgument, hostCall, openBeneath, withParent } from '../files/hostAccess.js';
import { IN_ATTRIB, notifyFile, notifyPlace } from '../files/inotify.js';
import { operationsOf } from '../files/openFile.js';
import { AT_FDCWD, currentPath, locate, requireWritable, typeOf } from '../files/pathResolution.js';
import { allowedMode, requireChown, requireOwner, requireTimes } from '../files/permission.js';
import type { HostPlace } from '../files/place.js';
import { statusOfPlace } from '../files/placeStatus.js';
import { hostFdOf } from '../files/regularFile.js';
import type { ThreadContext } from '../threadContext.js';
import { AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, existing, optionalPath, required } from './pathCalls.js';
import { type SyscallTable, syscall } from './syscall.js';
import {
  SYS_fchmod,
  SYS_fchmodat,
  SYS_fchmodat2,
  SYS_fchown,
  SYS_fchownat,
  SYS_fgetxattr,
  SYS_flistxattr,
  SYS_fremovexattr,
  SYS_fsetxattr,
  SYS_getxattr,
  SYS_lgetxattr,
  SYS_listxattr,
  SYS_llistxattr,
  SYS_lremovexattr,
  SYS_lsetxattr,
  SYS_removexattr,
  SYS_setxattr,
  SYS_utimensat,
} from './syscallNumbers.js';

/** System calls that change modes, owners, times and extended attributes of files. */

/**
 * Runs `body` with a host path that leads to the very file at `place`, whatever happens to its name meanwhile.
 * The place is no symbolic link.
 */
function withHostNode<T>(place: HostPlace, body: (path: Buffer) => T): T {
  if (!hasProcFd || place.reopened) return hostCall(() => body(hostArgument(place.hostPath)));
  const O_PATH = 0o10000000;
  const fd = openBeneath(place, O_PATH);
  try {
    return hostCall(() => body(hostArgument(`/proc/self/fd/${fd}`)));
  } finally {
    closeSync(fd);
  }
}

/** Tells who watches that a place's attributes have changed. */
function noteAttributes(t: ThreadContext, place: HostPlace): void {
  const directory = typeOf(place) === S_IFDIR;
  notifyPlace(t.mem, place.hostPath, { mask: IN_ATTRIB, directory, parent: true, self: true }, t.thread);
}

function chmodAt(t: ThreadContext, dirfd: number, path: string, mode: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  if (path === '' && flags & AT_EMPTY_PATH) return chmodDescriptor(t, dirfd, mode);
  const place = existing(t, dirfd, path, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  if (place.kind === 'made' && place.node.change !== undefined) {
    place.node.change(t, { mode: mode & 0o7777 });
    return 0;
  }
  requireWritable(place);
  if (typeOf(place) === S_IFLNK) return -EOPNOTSUPP;
  const status = required(statusOfPlace(t, place));
  requireOwner(t, status);
  withHostNode(place, (node) => chmodSync(node, allowedMode(t, status.gid, mode & 0o7777)));
  noteAttributes(t, place);
  return 0;
}

/** The host place of an open file or directory that may be changed. Throws EROFS and EPERM. */
function changeable(t: ThreadContext, file: number): HostPlace | number {
  const { mem } = t;
  const kind = mem.getU32(file + OpenFile.kind);
  const readOnly = (mem.getU32(file + OpenFile.attributes) & 2) !== 0;
  if (kind === FILE_HOST) {
    if (readOnly) throw new SyscallError(EROFS);
    return hostFdOf(mem, file);
  }
  const fifo = kind === FILE_PIPE && mem.getI32(file + OpenFile.hostFd) >= 0;
  if (kind !== FILE_HOST_DIRECTORY && !fifo) throw new SyscallError(EPERM);
  const place = locate(t, currentPath(t, file));
  requireWritable(place);
  return place;
}

function chmodDescriptor(t: ThreadContext, fd: number, mode: number): number {
  return withRealFile(t, fd, (file) => {
    const bits = mode & 0o7777;
    const change = operationsOf(t.mem, file).changeMode;
    if (change !== undefined) return change(t, file, bits);
    const target = changeable(t, file);
    const status = operationsOf(t.mem, file).status(t, file);
    requireOwner(t, status);
    const allowed = allowedMode(t, status.gid, bits);
    if (typeof target === 'number') hostCall(() => chmodSync(`/proc/self/fd/${target}`, allowed));
    else withHostNode(target, (node) => chmodSync(node, allowed));
    notifyFile(t.mem, file, IN_ATTRIB, t.thread);
    return 0;
  });
}

function chownAt(
  t: ThreadContext,
  dirfd: number,
  path: string,
  user: number,
  group: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  if (path === '' && flags & AT_EMPTY_PATH) return chownDescriptor(t, dirfd, user, group);
  const place = existing(t, dirfd, path, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  if (place.kind === 'made' && place.node.change !== undefined) {
    place.node.change(t, { uid: user, gid: group });
    return 0;
  }
  requireWritable(place);
  const changes = (user | 0) !== -1 || (group | 0) !== -1;
  const status = required(statusOfPlace(t, place));
  requireChown(t, status, user, group);
  withParent(place, (hostPath) => chownHostFile(t, hostPath, user, group));
  if (changes) noteAttributes(t, place);
  return 0;
}

function chownDescriptor(t: ThreadContext, fd: number, user: number, group: number): number {
  return withRealFile(t, fd, (file) => {
    const change = operationsOf(t.mem, file).changeOwner;
    if (change !== undefined) return change(t, file, user, group);
    const target = changeable(t, file);
    requireChown(t, operationsOf(t.mem, file).status(t, file), user, group);
    if (typeof target === 'number') chownHostFile(t, target, user, group);
    else withParent(target, (hostPath) => chownHostFile(t, hostPath, user, group));
    notifyFile(t.mem, file, IN_ATTRIB, t.thread);
    return 0;
  });
}

const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;

/** What Node keeps of a time, in nanoseconds: microseconds until libuv 1.52. */
const [uvMajor, uvMinor] = process.versions.uv.split('.').map(Number);
const TIME_UNIT = uvMajor > 1 || uvMinor >= 52 ? 1 : 1000;
const double = new Float64Array(1);
const doubleBits = new BigInt64Array(double.buffer);

/**
 * A time as Node takes it, which cuts off what a double of seconds has beyond its unit. Doubles of our days lie 240 ns apart: the first
 * that is not before the time, so that what got its time from another file is never older than that. Negative numbers mean
 * now for Node; a Date, exact to the millisecond, does not.
 */
function hostTime(seconds: number, nanoseconds: number): number | Date {
  if (seconds < 0) return new Date(seconds * 1000 + Math.floor(nanoseconds / 1e6));
  const wanted = nanoseconds - (nanoseconds % TIME_UNIT);
  double[0] = seconds + wanted / 1e9;
  while ((double[0] - seconds) * 1e9 < wanted) doubleBits[0]++;
  return double[0];
}

/** One of utimensat's two times; `unchanged` for UTIME_OMIT. */
function timeArgument(t: ThreadContext, address: number, unchanged: bigint): number | Date {
  const nanoseconds = readI64(t, address + 8);
  if (nanoseconds === UTIME_NOW) return realtimeNow(t.mem) / 1000;
  if (nanoseconds === UTIME_OMIT) {
    const rest = ((unchanged % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    return hostTime(Number((unchanged - rest) / 1_000_000_000n), Number(rest));
  }
  if (nanoseconds < 0 || nanoseconds > 999_999_999) throw new SyscallError(EINVAL);
  return hostTime(readI64(t, address), nanoseconds);
}

/** utimensat(2). Times are not exact to the nanosecond (`hostTime`). */
function utimensat(t: ThreadContext, dirfd: number, path: number, times: number, flags: number): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  if (times !== 0 && readI64(t, times + 8) === UTIME_OMIT && readI64(t, times + 24) === UTIME_OMIT) return 0;
  const both = (status: FileStatus): readonly (number | Date)[] => {
    requireTimes(t, status, times === 0 || [8, 24].every((at) => readI64(t, times + at) === UTIME_NOW));
    if (times === 0) return [realtimeNow(t.mem) / 1000, realtimeNow(t.mem) / 1000];
    return [timeArgument(t, times, status.accessed), timeArgument(t, times + 16, status.modified)];
  };
  const name = path === 0 ? '' : pathArgument(t, path);
  if (path === 0 || (name === '' && flags & AT_EMPTY_PATH)) {
    return withRealFile(t, dirfd, (file) => {
      const target = changeable(t, file);
      const [accessed, modified] = both(operationsOf(t.mem, file).status(t, file));
      if (typeof target === 'number') hostCall(() => futimesSync(target, accessed, modified));
      else withParent(target, (p) => hostCall(() => lutimesSync(hostArgument(p), accessed, modified)));
      notifyFile(t.mem, file, IN_ATTRIB, t.thread);
      return 0;
    });
  }
  const place = existing(t, dirfd, name, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  requireWritable(place);
  const [accessed, modified] = both(required(statusOfPlace(t, place)));
  withParent(place, (p) => hostCall(() => lutimesSync(hostArgument(p), accessed, modified)));
  noteAttributes(t, place);
  return 0;
}

/** Extended attributes are not passed on: the file systems that a guest sees have none. */
const getXattr = (t: ThreadContext, path: number, follow: boolean): number => {
  existing(t, AT_FDCWD, pathArgument(t, path), follow);
  return -EOPNOTSUPP;
};
const xattrOf = (t: ThreadContext, fd: number): number => withRealFile(t, fd, () => -EOPNOTSUPP);

export const attributeCalls: SyscallTable = {
  [SYS_fchmod]: syscall('fchmod', ['fd', 'octal'], chmodDescriptor),
  [SYS_fchmodat]: syscall('fchmodat', ['dirfd', 'path', 'octal'], (t, dirfd, path, mode) =>
    chmodAt(t, dirfd, pathArgument(t, path), mode, 0),
  ),
  [SYS_fchmodat2]: syscall(
    'fchmodat2',
    ['dirfd', 'path', 'octal', 'atFlags'],
    (t, dirfd, path, mode, flags) => chmodAt(t, dirfd, optionalPath(t, path, flags), mode, flags | 0),
  ),
  [SYS_fchown]: syscall('fchown', ['fd', 'uint', 'uint'], chownDescriptor),
  [SYS_fchownat]: syscall(
    'fchownat',
    ['dirfd', 'path', 'uint', 'uint', 'atFlags'],
    (t, dirfd, path, user, group, flags) =>
      chownAt(t, dirfd, optionalPath(t, path, flags), user, group, flags | 0),
  ),
  [SYS_utimensat]: syscall(
    'utimensat',
    ['dirfd', 'path', 'pointer', 'atFlags'],
    (t, dirfd, path, times, flags) => utimensat(t, dirfd, path, times, flags | 0),
  ),
  [SYS_getxattr]: syscall('getxattr', ['path', 'string', 'pointer', 'size'], (t, path) =>
    getXattr(t, path, true),
  ),
  [SYS_lgetxattr]: syscall('lgetxattr', ['path', 'string', 'pointer', 'size'], (t, path) =>
    getXattr(t, path, false),
  ),
  [SYS_fgetxattr]: syscall('fgetxattr', ['fd', 'string', 'pointer', 'size'], xattrOf),
  [SYS_setxattr]: syscall('setxattr', ['path', 'string', 'buffer', 'size', 'int'], (t, path) =>
    getXattr(t, path, true),
  ),
  [SYS_lsetxattr]: syscall('lsetxattr', ['path', 'string', 'buffer', 'size', 'int'], (t, path) =>
    getXattr(t, path, false),
  ),
  [SYS_fsetxattr]: syscall('fsetxattr', ['fd', 'string', 'buffer', 'size', 'int'], xattrOf),
  [SYS_listxattr]: syscall('listxattr', ['path', 'pointer', 'size'], (t, path) => getXattr(t, path, true)),
  [SYS_llistxattr]: syscall('llistxattr', ['path', 'pointer', 'size'], (t, path) => getXattr(t, path, false)),
  [SYS_flistxattr]: syscall('flistxattr', ['fd', 'pointer', 'size'], xattrOf),
  [SYS_removexattr]: syscall('removexattr', ['path', 'string'], (t, path) => getXattr(t, path, true)),
  [SYS_lremovexattr]: syscall('lremovexattr', ['path', 'string'], (t, path) => getXattr(t, path, false)),
  [SYS_fremovexattr]: syscall('fremovexattr', ['fd', 'string'], xattrOf),
};
