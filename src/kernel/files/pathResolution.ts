import { realpathSync } from 'node:fs';
import { hostFilePath } from '../../memory/hostFile.js';
import { Cred } from '../../sync/records/cred.js';
import { Fs } from '../../sync/records/files.js';
import { HostFile } from '../../sync/records/hostFile.js';
import {
  FILE_HOST_DIRECTORY,
  FILE_HOST_STREAM,
  FILE_MADE_DIRECTORY,
  FILE_PATH,
  OpenFile,
} from '../../sync/records/openFile.js';
import {
  EACCES,
  EBADF,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EPERM,
  EROFS,
  EXDEV,
  SyscallError,
} from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { devRoot } from './devfs.js';
import { DEV_ROOT, S_IFDIR, S_IFLNK, S_IFMT } from './fileStatus.js';
import { acquireFile } from './filesTable.js';
import { pathFromRoot, rootDirectory, workingDirectory } from './fsRecord.js';
import { hasProcFd, hostArgument, lstatHost, pathOfDescriptor, readlinkHost } from './hostAccess.js';
import { ownersOf } from './hostOwners.js';
import { inodeOfPath, type MadeNode } from './madeNode.js';
import { type Mount, type ParsedMounts, parsedMounts } from './mountTable.js';
import { pathOf, releaseOpenFile } from './openFile.js';
import { MAY_EXEC, requireAccess, type Subject, subjectOf } from './permission.js';
import type { HostPlace, Place } from './place.js';
import { procRoot } from './procfs.js';
import { sysRoot } from './sysfs.js';

/**
 * From a guest path to a place, as the kernel's path walk (fs/namei.c) does it: component by component, each symbolic link
 * read and followed inside the guest's own tree, `..` never above the root. The host's own path walk is never given
 * anything but directories that were just seen not to be links (see hostAccess.ts for what may have changed since).
 */

export const AT_FDCWD = -100;
const MAX_LINKS = 40;
const NAME_MAX = 255;
export const PATH_MAX = 4096;

/** How a path is to be looked up. */
export interface LookupOptions {
  /** Follow a symbolic link in the last component (it is followed anyway before a trailing slash). */
  readonly follow: boolean;
  /** RESOLVE_NO_SYMLINKS: any link fails; RESOLVE_NO_MAGICLINKS: those of /proc that are no names. */
  readonly noLinks?: boolean;
  readonly noMagicLinks?: boolean;
  /** `..`, absolute paths and magic links that leave the starting directory fail (RESOLVE_BENEATH). */
  readonly beneath?: boolean;
  /** The starting directory is the root (RESOLVE_IN_ROOT). */
  readonly inRoot?: boolean;
  /** No other mount is entered (RESOLVE_NO_XDEV). */
  readonly sameMount?: boolean;
  /** Who searches the directories; default: the caller by its filesystem ids, `null`: the host decides. */
  readonly subject?: Subject | null;
  /** Is told how the path was walked. */
  readonly trace?: LookupTrace;
}

/** How a path was walked, for those who keep what it leads to. */
export interface LookupTrace {
  /** Where it led to; undefined until then. */
  place?: Place;
  /** The symbolic links of the host that were followed. */
  readonly links: HostPlace[];
  /** It went through something that Guesthouse makes, or up. */
  special: boolean;
}

/** Where a path leads. */
export interface Resolved {
  readonly place: Place;
  /** The path ended in a slash: only a directory will do. */
  readonly trailingSlash: boolean;
  /** The last component was '.', '..' or missing: the place has no name that could be created or removed. */
  readonly unnamed: '' | '.' | '..' | undefined;
}

function madeTrees(): { guest: string; node: MadeNode }[] {
  return [
    { guest: '/proc', node: procRoot },
    { guest: '/dev', node: devRoot },
    { guest: '/sys', node: sysRoot },
  ];
}

/** The mounts of the calling thread. */
export function mountsOf(t: ThreadContext): ParsedMounts {
  return parsedMounts(t.mem, t.mem.getU32(t.fs + Fs.mounts), madeTrees);
}

/** A child's path. */
export function joinPath(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}

/** A canonical path as the caller is shown it: from its root directory, in full when it lies outside (d_path). */
export function shownPath(t: ThreadContext, path: string): string {
  return pathFromRoot(rootDirectory(t.mem, t.fs, t.thread), path) ?? path;
}

/** The parent of a canonical path. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 ? '/' : path.slice(0, slash);
}

/** The last component of a canonical path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** A directory on the way to mount points that exists in no host directory. */
function mountPointDirectory(mounts: ParsedMounts, path: string): MadeNode {
  return {
    mode: S_IFDIR | 0o555,
    dev: DEV_ROOT,
    ino: BigInt(inodeOfPath(path)),
    lookup: () => undefined,
    list: () => (mounts.children.get(path) ?? []).map((name) => ({ name, type: S_IFDIR })),
  };
}

function placeOfMount(mounts: ParsedMounts, mount: Mount): Place {
  if (mount.made !== undefined) return { kind: 'made', path: mount.guest, node: mount.made };
  if (mount.host === undefined)
    return { kind: 'made', path: mount.guest, node: mountPointDirectory(mounts, mount.guest) };
  return {
    kind: 'host',
    path: mount.guest,
    mount,
    hostPath: mount.host,
    stats: lstatHost(mount.host),
  };
}

function child(t: ThreadContext, mounts: ParsedMounts, directory: Place, name: string): Place {
  const path = joinPath(directory.path, name);
  const mount = mounts.byPath.get(path);
  if (mount !== undefined) return placeOfMount(mounts, mount);
  let found: Place = { kind: 'missing', path };
  if (directory.kind === 'host') {
    const hostPath = `${directory.hostPath}/${name}`;
    found = { kind: 'host', path, mount: directory.mount, hostPath, stats: lstatHost(hostPath) };
    if (found.stats !== undefined) return found;
  } else if (directory.kind === 'made') {
    const node = directory.node.lookup?.(t, name);
    if (node !== undefined) return { kind: 'made', path, node };
  }
  // Only what the file system below does not have is made up on the way to a mount point.
  if (mounts.children.has(path)) return { kind: 'made', path, node: mountPointDirectory(mounts, path) };
  return found;
}

/** The place of a canonical path (no links on the way: the result of an earlier look-up). */
export function locate(t: ThreadContext, path: string): Place {
  const mounts = mountsOf(t);
  for (let prefix = path; ; prefix = parentPath(prefix)) {
    const mount = mounts.byPath.get(prefix);
    if (mount === undefined) continue;
    if (prefix === path) return placeOfMount(mounts, mount);
    if (mount.host !== undefined) {
      const rest = prefix === '/' ? path : path.slice(prefix.length);
      const hostPath = mount.host + rest;
      const stats = lstatHost(hostPath);
      if (stats === undefined && mounts.children.has(path)) {
        return { kind: 'made', path, node: mountPointDirectory(mounts, path) };
      }
      return { kind: 'host', path, mount, hostPath, stats };
    }
    let place = placeOfMount(mounts, mount);
    for (const name of path.slice(prefix === '/' ? 1 : prefix.length + 1).split('/')) {
      place = child(t, mounts, place, name);
    }
    return place;
  }
}

/** S_IF* bits of what is at the place; 0 when nothing is. */
export function typeOf(place: Place): number {
  if (place.kind === 'host') return place.stats === undefined ? 0 : Number(place.stats.mode) & S_IFMT;
  if (place.kind === 'made') return place.node.mode & S_IFMT;
  return 0;
}

function linkTarget(t: ThreadContext, place: Place): string {
  if (place.kind === 'host') return readlinkHost(place.hostPath);
  if (place.kind === 'made') return place.node.target?.(t) ?? '';
  return '';
}

/** Target of the symbolic link at the place, as the caller is shown it. */
export function readLink(t: ThreadContext, place: Place): string {
  const target = linkTarget(t, place);
  return place.kind === 'made' && place.node.magic ? shownPath(t, target) : target;
}

/** The directory that something at `place` is a name in. */
export function parentOf(t: ThreadContext, place: Place): Place {
  return locate(t, parentPath(place.path));
}

/**
 * The directory where a relative path of an *at call starts: descriptor `dirfd` or, for AT_FDCWD, the working directory.
 * Throws SyscallError EBADF, ENOTDIR, ENOENT.
 */
export function startDirectory(t: ThreadContext, dirfd: number): string {
  if (dirfd === AT_FDCWD) return workingDirectory(t.mem, t.fs, t.thread);
  const file = acquireFile(t.mem, t.files, dirfd, t.thread);
  if (file === 0) throw new SyscallError(EBADF);
  try {
    const kind = t.mem.getU32(file + OpenFile.kind);
    if (kind !== FILE_HOST_DIRECTORY && kind !== FILE_MADE_DIRECTORY && kind !== FILE_PATH)
      throw new SyscallError(ENOTDIR);
    return currentPath(t, file);
  } finally {
    releaseOpenFile(t.mem, file, t.thread);
  }
}

/**
 * Where an open file is now: its path at open, or, for a host file that was renamed since, the new one. The " (deleted)"
 * of a removed one is added as the kernel does.
 */
export function currentPath(t: ThreadContext, file: number): string {
  const path = pathOf(t.mem, file);
  const hostFile = t.mem.getU32(file + OpenFile.hostFile);
  const fd = t.mem.getI32(hostFile !== 0 ? hostFile + HostFile.hostFd : file + OpenFile.hostFd);
  // A host stream's path is not the guest's to see.
  if (t.mem.getU32(file + OpenFile.kind) === FILE_HOST_STREAM) return path;
  return currentPathOf(t, path, fd);
}

/** Where a mapped file is now, as /proc/PID/maps shows it; its path when it was opened where the host cannot say. */
export function currentMappedPath(t: ThreadContext, hostFile: number): string {
  const path = Buffer.from(hostFilePath(t.mem, hostFile), 'utf8').toString('latin1');
  const now = path === '' ? '' : currentPathOf(t, path, t.mem.getI32(hostFile + HostFile.hostFd));
  return Buffer.from(now, 'latin1').toString('utf8');
}

/** Where what was opened at `path` as the host's descriptor `fd` is now. */
function currentPathOf(t: ThreadContext, path: string, fd: number): string {
  if (fd < 0 || !hasProcFd) return path;
  const mounts = mountsOf(t);
  for (let prefix = path; ; prefix = parentPath(prefix)) {
    const mount = mounts.byPath.get(prefix);
    if (mount === undefined) continue;
    if (mount.host === undefined) return path;
    const now = pathOfDescriptor(fd);
    if (now === mount.host || (mount.host === '' && now === '/')) return mount.guest;
    if (!now.startsWith(`${mount.host}/`)) return path;
    const rest = now.slice(mount.host.length);
    return mount.guest === '/' ? rest : mount.guest + rest;
  }
}

/**
 * Looks `path` up from directory `start` (a canonical guest path). Missing last components are found as places without
 * anything there; everything else throws SyscallError (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES).
 */
export function lookup(t: ThreadContext, start: string, path: string, options: LookupOptions): Resolved {
  if (path === '') throw new SyscallError(ENOENT);
  if (path.length >= PATH_MAX) throw new SyscallError(ENAMETOOLONG);
  const mounts = mountsOf(t);
  const trailingSlash = path.endsWith('/');
  const absolute = path.startsWith('/');
  if (absolute && options.beneath) throw new SyscallError(EXDEV);
  const root = options.inRoot ? start : rootDirectory(t.mem, t.fs, t.thread);
  const from = absolute ? root : start;
  const subject = (options.subject === undefined ? subjectOf(t) : options.subject) ?? undefined;
  const rest = path.split('/').filter((part) => part !== '');
  let unnamed: Resolved['unnamed'] = rest.length === 0 ? '' : undefined;
  let place: Place | undefined;
  let links = 0;

  const shortcut = rest.length > 2 && rest.every((part) => part !== '.' && part !== '..');
  if (shortcut && subject === undefined && !options.sameMount)
    place = skipPlainDirectories(mounts, from, rest);
  if (place === undefined) place = subject === undefined ? directoryAt(t, mounts, from) : locate(t, from);
  const startMount = options.sameMount ? mountPath(mounts, from) : undefined;
  // Where the walk starts was a directory a moment ago: it is only looked at when a child is not there.
  const assumed = place.kind === 'host' && place.stats === undefined ? place : undefined;

  while (rest.length > 0) {
    const name = rest.shift() as string;
    const last = rest.length === 0;
    if (place !== assumed && typeOf(place) !== S_IFDIR)
      throw new SyscallError(typeOf(place) === 0 ? ENOENT : ENOTDIR);
    requireAccess(t, subject, place, MAY_EXEC);
    if (name === '.' || name === '..') {
      if (name === '..') {
        if (options.trace !== undefined) options.trace.special = true;
        if (options.beneath && place.path === start) throw new SyscallError(EXDEV);
        if (place.path !== root) place = locate(t, parentPath(place.path));
        if (startMount !== undefined && mountPath(mounts, place.path) !== startMount)
          throw new SyscallError(EXDEV);
      }
      if (last) unnamed = name;
      continue;
    }
    if (name.length > NAME_MAX) throw new SyscallError(ENAMETOOLONG);
    checkSearch(place);
    const next = child(t, mounts, place, name);
    const type = typeOf(next);
    if (startMount !== undefined && mounts.byPath.has(next.path)) throw new SyscallError(EXDEV);
    if (type === 0 && place === assumed) {
      const stats = lstatHost(assumed.hostPath);
      if (stats === undefined) throw new SyscallError(ENOENT);
      if ((Number(stats.mode) & S_IFMT) !== S_IFDIR) throw new SyscallError(ENOTDIR);
    }
    if (type === S_IFLNK && (!last || options.follow || trailingSlash)) {
      if (options.noLinks || ++links > MAX_LINKS) throw new SyscallError(ELOOP);
      if (options.trace !== undefined) {
        if (next.kind === 'host') options.trace.links.push(next);
        else options.trace.special = true;
      }
      if (last && next.kind === 'host') requireFollowable(t, place, next);
      if (next.kind === 'made' && next.node.magic) {
        if (options.noMagicLinks) throw new SyscallError(ELOOP);
        if (options.beneath || options.inRoot || options.sameMount) throw new SyscallError(EXDEV);
        const jumped = last ? next.node.jump?.(t) : undefined;
        const target = jumped === undefined ? linkTarget(t, next) : '';
        if (jumped === undefined && !target.startsWith('/')) throw new SyscallError(last ? ENOENT : ENOTDIR);
        place = jumped ?? locate(t, target);
        continue;
      }
      const target = linkTarget(t, next);
      if (target === '') throw new SyscallError(ENOENT);
      if (target.startsWith('/')) {
        if (options.beneath) throw new SyscallError(EXDEV);
        if (startMount !== undefined && mountPath(mounts, root) !== startMount) throw new SyscallError(EXDEV);
        place = locate(t, root);
      }
      const parts = target.split('/').filter((part) => part !== '');
      if (last && parts.length === 0) unnamed = '';
      rest.unshift(...parts);
      continue;
    }
    if (type === 0 && !last) throw new SyscallError(ENOENT);
    place = next;
  }
  if (place === assumed) place = { ...assumed, stats: lstatHost(assumed.hostPath) };
  if (options.trace !== undefined) options.trace.place = place;
  return { place, trailingSlash, unnamed };
}

/** Mount point of the mount that a canonical path lies in. */
function mountPath(mounts: ParsedMounts, path: string): string {
  let prefix = path;
  while (!mounts.byPath.has(prefix)) prefix = parentPath(prefix);
  return prefix;
}

/** may_follow_link: in a sticky directory that all may write, only its owner's links and one's own (fs.protected_symlinks). */
function requireFollowable(t: ThreadContext, directory: Place, link: HostPlace): void {
  if (directory.kind !== 'host' || link.stats === undefined) return;
  const owner = ownersOf(t, link.stats).uid;
  if (owner === t.mem.getU32(t.cred + Cred.uids + 12)) return;
  const above = directory.stats ?? lstatHost(directory.hostPath);
  if (above === undefined || (Number(above.mode) & 0o1002) !== 0o1002) return;
  if (ownersOf(t, above).uid !== owner) throw new SyscallError(EACCES);
}

/** The place of a directory that the walk starts from; on the host without looking at it. */
function directoryAt(t: ThreadContext, mounts: ParsedMounts, path: string): Place {
  for (let prefix = path; ; prefix = parentPath(prefix)) {
    const mount = mounts.byPath.get(prefix);
    if (mount === undefined) continue;
    // A directory made up on the way to a mount point is not on the host.
    if (mount.host === undefined || (prefix !== path && mounts.children.has(path))) return locate(t, path);
    const rest = prefix === '/' ? path : path.slice(prefix.length);
    const hostPath = rest === '/' ? mount.host : mount.host + rest;
    return { kind: 'host', path, mount, hostPath, stats: undefined };
  }
}

/**
 * The usual case made cheap: all of a path's directories lie in one host mount and are no links. One realpath instead of
 * an lstat for each; on success the directories are taken out of `rest`. The place is there, but perhaps no directory.
 */
function skipPlainDirectories(mounts: ParsedMounts, start: string, rest: string[]): Place | undefined {
  const directories = rest.slice(0, -1);
  const path = start === '/' ? `/${directories.join('/')}` : `${start}/${directories.join('/')}`;
  let mount: Mount | undefined;
  let prefix = path;
  for (; ; prefix = parentPath(prefix)) {
    mount = mounts.byPath.get(prefix);
    if (mount !== undefined) break;
  }
  if (mount.host === undefined || mount.file) return undefined;
  // On the way to a mount point there are directories that the host need not have.
  if (mounts.children.has(path)) return undefined;
  // A mount point below the start may be hidden behind a link that the host has at one of its parents.
  if (prefix !== '/' && !(start === prefix || start.startsWith(`${prefix}/`))) {
    if (mounts.root.host !== undefined) return undefined;
  }
  const hostPath = mount.host + (prefix === '/' ? path : path.slice(prefix.length));
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    const real = realpathSync.native(hostArgument(hostPath), { encoding: 'latin1' } as never) as string;
    if (real !== hostPath) return undefined;
  } catch {
    return undefined;
  } finally {
    Error.stackTraceLimit = limit;
  }
  rest.splice(0, rest.length - 1);
  return { kind: 'host', path, mount, hostPath, stats: undefined };
}

/** A host directory that the host lets nobody of us search is noticed by lstat's EACCES; made ones are all open. */
function checkSearch(place: Place): void {
  if (place.kind === 'opened') throw new SyscallError(EACCES);
}

/** Throws EROFS when the place is on a read-only mount, and what /proc and /sys give where Guesthouse makes it. */
export function requireWritable(place: Place): asserts place is HostPlace {
  if (place.kind === 'host' && !place.mount.readOnly) return;
  if (place.kind === 'opened') throw new SyscallError(EACCES);
  if (place.kind === 'made' && place.path !== '/') throw new SyscallError(EPERM);
  if (place.path.startsWith('/proc/')) throw new SyscallError(ENOENT);
  throw new SyscallError(place.path.startsWith('/sys/') ? EPERM : EROFS);
}

/** Throws ENOENT when nothing is at the place, and ENOTDIR when a trailing slash asks for a directory. */
export function requireExisting(resolved: Resolved): Place {
  const { place } = resolved;
  if (place.kind === 'opened') return place;
  const type = typeOf(place);
  if (type === 0) throw new SyscallError(ENOENT);
  if (resolved.trailingSlash && type !== S_IFDIR) throw new SyscallError(ENOTDIR);
  return place;
}
