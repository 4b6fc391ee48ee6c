import {
  type BigIntStats,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
} from 'node:fs';
import { EACCES, EFBIG, ENOENT, errnoOfHostCode, SyscallError } from '../errno.js';
import type { HostPlace } from './place.js';

/**
 * Calls on the host's files. Every host path is a byte string; host errors become SyscallErrors.
 *
 * The sandbox: path resolution has made a host path whose directories were no symbolic links a moment ago. Another
 * thread or process of the host may have swapped one since, so what is opened is checked after the fact (where is it
 * really, by /proc/self/fd), and what changes something works relative to a parent directory that was opened and checked.
 */

/** A host path argument of Node. */
export function hostArgument(path: string): Buffer {
  return Buffer.from(path === '' ? '/' : path, 'latin1');
}

/** Runs a host call and turns its error into a SyscallError. Errors carry no stack here: they are results. */
export function hostCall<T>(body: () => T): T {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return body();
  } catch (error) {
    throw asSyscallError(error);
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** The SyscallError that stands for an error of Node's fs; anything else is passed on. */
export function asSyscallError(error: unknown): unknown {
  if (error instanceof SyscallError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  // Offsets and lengths beyond 2^53, which Node refuses by itself: no file reaches there.
  if (code === 'ERR_OUT_OF_RANGE') return new SyscallError(EFBIG);
  if (typeof code !== 'string' || (error as NodeJS.ErrnoException).syscall === undefined) return error;
  return new SyscallError(errnoOfHostCode(code));
}

/** lstat, undefined when nothing is there. Throws SyscallError for everything else. */
export function lstatHost(path: string): BigIntStats | undefined {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return lstatSync(hostArgument(path), { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw asSyscallError(error);
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/** fstat of a descriptor of the Node process. */
export function fstatHost(fd: number): BigIntStats {
  return hostCall(() => fstatSync(fd, { bigint: true }));
}

/** The target of a symbolic link, a byte string. */
export function readlinkHost(path: string): string {
  return hostCall(() => readlinkSync(hostArgument(path), { encoding: 'latin1' }) as string);
}

/** The host has a Linux /proc: descriptors have names there. */
export const hasProcFd = process.platform === 'linux';
/** O_PATH of Linux; Node has no constant for it. */
const O_PATH = 0o10000000;

/** A path of the Node process's /proc/self for another program of the host, which has one of its own. */
export function ofNode(path: string): string {
  return path.replace(/^\/proc\/self\//, `/proc/${process.pid}/`);
}

/** Where an open descriptor of the Node process is now (byte string, " (deleted)" appended as Linux does). */
export function pathOfDescriptor(fd: number): string {
  return readlinkHost(`/proc/self/fd/${fd}`);
}

function isBeneath(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/**
 * Opens what is at `place` with the host's open flags (O_NOFOLLOW is added), and makes sure that it lies within the
 * place's mount. Not for flags that create or truncate: see openCreating.
 */
export function openBeneath(place: HostPlace, flags: number): number {
  if (place.reopened) return hostCall(() => openSync(hostArgument(place.hostPath), flags));
  const fd = hostCall(() => openSync(hostArgument(place.hostPath), flags | constants.O_NOFOLLOW));
  if (hasProcFd && !isBeneath(pathOfDescriptor(fd), place.mount.host ?? '')) {
    closeSync(fd);
    throw new SyscallError(EACCES);
  }
  return fd;
}

/** As openBeneath for flags with O_CREAT or O_TRUNC. */
export function openCreating(place: HostPlace, flags: number, mode: number): number {
  if (place.reopened) return hostCall(() => openSync(hostArgument(place.hostPath), flags));
  return withParent(place, (path) =>
    hostCall(() => openSync(hostArgument(path), flags | constants.O_NOFOLLOW, mode)),
  );
}

/** A descriptor of what a host path names, only to keep its inode from being given to another file; −1 when none can be had. */
export function pinHost(path: string): number {
  try {
    return openSync(hostArgument(path), O_PATH | constants.O_NOFOLLOW);
  } catch {
    return -1;
  }
}

/**
 * Runs `body` with a host path for the last component of `place` whose directory cannot be swapped meanwhile: the
 * directory is opened, checked to be the one that was resolved, and named by its descriptor.
 */
export function withParent<T>(place: HostPlace, body: (path: string) => T): T {
  const slash = place.hostPath.lastIndexOf('/');
  const parent = place.hostPath.slice(0, slash);
  const name = place.hostPath.slice(slash + 1);
  // A mount point itself: its own directory is outside the guest's view and trusted.
  if (!hasProcFd || place.reopened || place.hostPath === place.mount.host) return body(place.hostPath);
  const fd = hostCall(() =>
    openSync(hostArgument(parent), O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW),
  );
  try {
    if (pathOfDescriptor(fd) !== (parent === '' ? '/' : parent)) throw new SyscallError(ENOENT);
    return body(`/proc/self/fd/${fd}/${name}`);
  } finally {
    closeSync(fd);
  }
}

const hostUmask = process.umask();

/**
 * Gives a file that was just created the permission bits that the guest's umask leaves, where the host process's own
 * umask took more away.
 */
export function correctCreatedMode(fd: number, mode: number): void {
  if ((mode & hostUmask) !== 0) hostCall(() => fchmodSync(fd, mode));
}

/** The part of `mode` that the host's umask will not take away must be restored by chmod when this says so. */
export function hostUmaskTakes(mode: number): boolean {
  return (mode & hostUmask) !== 0;
}
