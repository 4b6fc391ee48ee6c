import { copyOut, readI64, writeU8 } from '../../memory/userAccess.js';
import { EINVAL, ERANGE } from '../errno.js';
import { pathArgument, withFile } from '../files/descriptors.js';
import { S_IFIFO } from '../files/fileStatus.js';
import { fileSystemOf } from '../files/fileSystemStatus.js';
import { workingDirectory } from '../files/fsRecord.js';
import { pathOf } from '../files/openFile.js';
import { AT_FDCWD, shownPath } from '../files/pathResolution.js';
import { existing, statusAt } from '../linux/pathCalls.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import * as LINUX from '../linux/syscallNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { linuxCall, translateFlags } from './linuxCall.js';
import { packStat, packStatfs } from './structsFile.js';
import * as SYS from './syscallNumbers.js';

/** Paths: status, directories, links, names. The older calls are those of the working directory. */
const AT_EACCESS = 0x100;
const AT_SYMLINK_NOFOLLOW = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_REMOVEDIR = 0x800;
const AT_EMPTY_PATH = 0x4000;
/** Linux's flags; AT_EACCESS and AT_REMOVEDIR are one number there, in different calls. */
const LINUX_AT_SYMLINK_NOFOLLOW = 0x100;
const LINUX_AT_REMOVEDIR = 0x200;
const AT_TABLE = [
  [AT_EACCESS, 0x200],
  [AT_SYMLINK_NOFOLLOW, LINUX_AT_SYMLINK_NOFOLLOW],
  [AT_SYMLINK_FOLLOW, 0x400],
  [AT_REMOVEDIR, LINUX_AT_REMOVEDIR],
  [AT_EMPTY_PATH, 0x1000],
] as const;

/** Linux's AT_* of FreeBSD's, of which the call knows `allowed`; undefined when there are others. */
function atFlags(flags: number, allowed: number): number | undefined {
  return flags & ~allowed ? undefined : translateFlags(flags | 0, AT_TABLE);
}

const linuxFaccessat = linuxCall(LINUX.SYS_faccessat2);
const linuxFchmodat = linuxCall(LINUX.SYS_fchmodat2);
const linuxFchownat = linuxCall(LINUX.SYS_fchownat);
const linuxLinkat = linuxCall(LINUX.SYS_linkat);
const linuxMkdirat = linuxCall(LINUX.SYS_mkdirat);
const linuxMknodat = linuxCall(LINUX.SYS_mknodat);
const linuxReadlinkat = linuxCall(LINUX.SYS_readlinkat);
const linuxRenameat = linuxCall(LINUX.SYS_renameat2);
const linuxSymlinkat = linuxCall(LINUX.SYS_symlinkat);
const linuxUnlinkat = linuxCall(LINUX.SYS_unlinkat);
const linuxUtimensat = linuxCall(LINUX.SYS_utimensat);

function fstatat(t: ThreadContext, dirfd: number, path: number, out: number, flagBits: number): number {
  const flags = atFlags(flagBits, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (flags === undefined) return -EINVAL;
  copyOut(t, out, packStat(statusAt(t, dirfd, pathArgument(t, path), flags)));
  return 0;
}

/** Linux's call with its flags, when the call on FreeBSD knows no others than `allowed`. */
function withFlags(flagBits: number, allowed: number, call: (flags: number) => number): number {
  const flags = atFlags(flagBits, allowed);
  return flags === undefined ? -EINVAL : call(flags);
}

function utimensat(t: ThreadContext, dirfd: number, path: number, times: number, flagBits: number): number {
  if (times !== 0)
    for (const at of [8, 24]) if (readI64(t, times + at) === -1) return utimesNow(t, dirfd, path);
  return withFlags(flagBits, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, (flags) =>
    linuxUtimensat(t, dirfd, path, times, flags, 0, 0),
  );
}

/** UTIME_NOW is −1 here; both times are set then. */
function utimesNow(t: ThreadContext, dirfd: number, path: number): number {
  return linuxUtimensat(t, dirfd, path, 0, 0, 0, 0);
}

function unlinkat(t: ThreadContext, dirfd: number, path: number, flagBits: number): number {
  return withFlags(flagBits, AT_REMOVEDIR, (flags) => linuxUnlinkat(t, dirfd, path, flags, 0, 0, 0));
}

/** __getcwd(buffer, size): 0, with the path in the buffer. */
function getcwd(t: ThreadContext, buffer: number, size: number): number {
  const path = Buffer.from(`${shownPath(t, workingDirectory(t.mem, t.fs, t.thread))}\0`, 'latin1');
  if (path.length > size >>> 0) return -ERANGE;
  copyOut(t, buffer, path);
  return 0;
}

/** readlink(2) of FreeBSD takes a size of 0. */
function readlinkat(t: ThreadContext, dirfd: number, path: number, out: number, size: number): number {
  return size === 0 ? -EINVAL : linuxReadlinkat(t, dirfd, path, out, Math.min(size, 0x7fff_ffff), 0, 0);
}

export const pathCalls: SyscallTable = {
  [SYS.SYS_fstatat]: syscall('fstatat', ['dirfd', 'path', 'pointer', 'hex'], fstatat),
  [SYS.SYS_access]: syscall('access', ['path', 'int'], (t, path, mode) =>
    linuxFaccessat(t, AT_FDCWD, path, mode, 0, 0, 0),
  ),
  [SYS.SYS_faccessat]: syscall('faccessat', ['dirfd', 'path', 'int', 'hex'], (t, dirfd, path, mode, bits) =>
    withFlags(bits, AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, (flags) =>
      linuxFaccessat(t, dirfd, path, mode, flags, 0, 0),
    ),
  ),
  [SYS.SYS_chmod]: syscall('chmod', ['path', 'octal'], (t, path, mode) =>
    linuxFchmodat(t, AT_FDCWD, path, mode, 0, 0, 0),
  ),
  [SYS.SYS_fchmod]: syscall('fchmod', ['fd', 'octal'], linuxCall(LINUX.SYS_fchmod)),
  [SYS.SYS_fchmodat]: syscall('fchmodat', ['dirfd', 'path', 'octal', 'hex'], (t, dirfd, path, mode, bits) =>
    withFlags(bits, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, (flags) =>
      linuxFchmodat(t, dirfd, path, mode, flags, 0, 0),
    ),
  ),
  [SYS.SYS_chown]: syscall('chown', ['path', 'int', 'int'], (t, path, user, group) =>
    linuxFchownat(t, AT_FDCWD, path, user, group, 0, 0),
  ),
  [SYS.SYS_lchown]: syscall('lchown', ['path', 'int', 'int'], (t, path, user, group) =>
    linuxFchownat(t, AT_FDCWD, path, user, group, LINUX_AT_SYMLINK_NOFOLLOW, 0),
  ),
  [SYS.SYS_fchown]: syscall('fchown', ['fd', 'int', 'int'], linuxCall(LINUX.SYS_fchown)),
  [SYS.SYS_fchownat]: syscall(
    'fchownat',
    ['dirfd', 'path', 'int', 'int', 'hex'],
    (t, dirfd, path, user, group, bits) =>
      withFlags(bits, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, (flags) =>
        linuxFchownat(t, dirfd, path, user, group, flags, 0),
      ),
  ),
  [SYS.SYS_utimensat]: syscall('utimensat', ['dirfd', 'path', 'pointer', 'hex'], utimensat),
  [SYS.SYS_futimens]: syscall('futimens', ['fd', 'pointer'], (t, fd, times) => utimensat(t, fd, 0, times, 0)),
  [SYS.SYS_link]: syscall('link', ['path', 'path'], (t, from, to) =>
    linuxLinkat(t, AT_FDCWD, from, AT_FDCWD, to, 0x400, 0),
  ),
  [SYS.SYS_linkat]: syscall(
    'linkat',
    ['dirfd', 'path', 'dirfd', 'path', 'hex'],
    (t, fromFd, from, toFd, to, bits) =>
      withFlags(bits, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH, (flags) =>
        linuxLinkat(t, fromFd, from, toFd, to, flags, 0),
      ),
  ),
  [SYS.SYS_symlink]: syscall('symlink', ['path', 'path'], (t, target, path) =>
    linuxSymlinkat(t, target, AT_FDCWD, path, 0, 0, 0),
  ),
  [SYS.SYS_symlinkat]: syscall('symlinkat', ['path', 'dirfd', 'path'], linuxSymlinkat),
  [SYS.SYS_readlink]: syscall('readlink', ['path', 'pointer', 'size'], (t, path, out, size) =>
    readlinkat(t, AT_FDCWD, path, out, size),
  ),
  [SYS.SYS_readlinkat]: syscall('readlinkat', ['dirfd', 'path', 'pointer', 'size'], readlinkat),
  [SYS.SYS_unlink]: syscall('unlink', ['path'], (t, path) => unlinkat(t, AT_FDCWD, path, 0)),
  [SYS.SYS_unlinkat]: syscall('unlinkat', ['dirfd', 'path', 'hex'], unlinkat),
  [SYS.SYS_rmdir]: syscall('rmdir', ['path'], (t, path) => unlinkat(t, AT_FDCWD, path, AT_REMOVEDIR)),
  [SYS.SYS_rename]: syscall('rename', ['path', 'path'], (t, from, to) =>
    linuxRenameat(t, AT_FDCWD, from, AT_FDCWD, to, 0, 0),
  ),
  [SYS.SYS_renameat]: syscall('renameat', ['dirfd', 'path', 'dirfd', 'path'], (t, fromFd, from, toFd, to) =>
    linuxRenameat(t, fromFd, from, toFd, to, 0, 0),
  ),
  [SYS.SYS_mkdir]: syscall('mkdir', ['path', 'octal'], (t, path, mode) =>
    linuxMkdirat(t, AT_FDCWD, path, mode, 0, 0, 0),
  ),
  [SYS.SYS_mkdirat]: syscall('mkdirat', ['dirfd', 'path', 'octal'], linuxMkdirat),
  [SYS.SYS_mkfifo]: syscall('mkfifo', ['path', 'octal'], (t, path, mode) =>
    linuxMknodat(t, AT_FDCWD, path, (mode & 0o7777) | S_IFIFO, 0, 0, 0),
  ),
  [SYS.SYS_mkfifoat]: syscall('mkfifoat', ['dirfd', 'path', 'octal'], (t, dirfd, path, mode) =>
    linuxMknodat(t, dirfd, path, (mode & 0o7777) | S_IFIFO, 0, 0, 0),
  ),
  [SYS.SYS_mknodat]: syscall('mknodat', ['dirfd', 'path', 'octal', 'hex'], linuxMknodat),
  [SYS.SYS_truncate]: syscall('truncate', ['path', 'long'], linuxCall(LINUX.SYS_truncate)),
  [SYS.SYS_statfs]: syscall('statfs', ['path', 'pointer'], (t, path, out) => {
    const name = pathArgument(t, path);
    copyOut(t, out, packStatfs(fileSystemOf(existing(t, AT_FDCWD, name, true)), '/'));
    return 0;
  }),
  [SYS.SYS_fstatfs]: syscall('fstatfs', ['fd', 'pointer'], (t, fd, out) =>
    withFile(t, fd, (file) => {
      copyOut(t, out, packStatfs(fileSystemOf(existing(t, AT_FDCWD, pathOf(t.mem, file), true)), '/'));
      return 0;
    }),
  ),
  [SYS.SYS___getcwd]: syscall('__getcwd', ['pointer', 'size'], getcwd),
  [SYS.SYS_chdir]: syscall('chdir', ['path'], linuxCall(LINUX.SYS_chdir)),
  [SYS.SYS_fchdir]: syscall('fchdir', ['fd'], linuxCall(LINUX.SYS_fchdir)),
  [SYS.SYS_umask]: syscall('umask', ['octal'], linuxCall(LINUX.SYS_umask)),
  [SYS.SYS_getlogin]: syscall('getlogin', ['pointer', 'uint'], (t, buffer, size) => {
    const name = Buffer.from('root\0');
    if (size >>> 0 < name.length) return -ERANGE;
    for (let i = 0; i < name.length; i++) writeU8(t, buffer + i, name[i]);
    return 0;
  }),
};
