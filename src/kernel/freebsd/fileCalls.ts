import { copyIn, copyOut, readI64, readU16, write64, writeI32, writeU16 } from '../../memory/userAccess.js';
import { LOCK_POSIX } from '../../sync/records/files.js';
import { Guest } from '../../sync/records/guest.js';
import { OpenFile } from '../../sync/records/openFile.js';
import { EBADF, EINVAL, ELOOP, EMLINK, ENOTDIR, ENOTTY, EOVERFLOW, SyscallError } from '../errno.js';
import { descriptorLimit, identityOf, withFile, withRealFile } from '../files/descriptors.js';
import {
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  findConflict,
  type LockRequest,
  setLock,
  TO_END,
} from '../files/fileLocks.js';
import { flagsOf, operationsOf } from '../files/openFile.js';
import { O_ACCMODE, O_CLOEXEC, O_NOFOLLOW, O_RDONLY, O_WRONLY, SETTABLE_FLAGS } from '../files/openFlags.js';
import { AT_FDCWD } from '../files/pathResolution.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import * as LINUX from '../linux/syscallNumbers.js';
import {
  TIOCGPGRP,
  TIOCGSID,
  TIOCGWINSZ,
  TIOCNOTTY,
  TIOCOUTQ,
  TIOCSCTTY,
  TIOCSPGRP,
  TIOCSWINSZ,
} from '../terminals/terminalIoctl.js';
import type { ThreadContext } from '../threadContext.js';
import { forgetDescriptor, forgetDescriptors } from './kqueue.js';
import { linuxCall, posixError } from './linuxCall.js';
import { freebsdStatusFlags, linuxOpenFlags } from './openFlags.js';
import { convertDirents, linuxDirentBytes, packStat } from './structsFile.js';
import * as SYS from './syscallNumbers.js';
import { terminalRequest } from './terminal.js';

/** Descriptors: opening, reading, writing, duplicating, control. */
const linuxOpenat = linuxCall(LINUX.SYS_openat);
const linuxClose = linuxCall(LINUX.SYS_close);
const linuxCloseRange = linuxCall(LINUX.SYS_close_range);
const linuxDup3 = linuxCall(LINUX.SYS_dup3);
const linuxFcntl = linuxCall(LINUX.SYS_fcntl);
const linuxIoctl = linuxCall(LINUX.SYS_ioctl);
const linuxPipe2 = linuxCall(LINUX.SYS_pipe2);
const linuxGetdents = linuxCall(LINUX.SYS_getdents64);
const linuxFallocate = linuxCall(LINUX.SYS_fallocate);

function openat(t: ThreadContext, dirfd: number, path: number, flagBits: number, mode: number): number {
  const flags = linuxOpenFlags(flagBits | 0);
  if (flags === undefined || (flags & O_ACCMODE) === O_ACCMODE) return -EINVAL;
  try {
    return linuxOpenat(t, dirfd, path, flags, mode, 0, 0);
  } catch (error) {
    // A link that is not to be followed has an error of its own here.
    if (flags & O_NOFOLLOW && error instanceof SyscallError && error.errno === ELOOP) return -EMLINK;
    throw error;
  }
}

function close(t: ThreadContext, fd: number): number {
  forgetDescriptor(t, fd | 0);
  return linuxClose(t, fd, 0, 0, 0, 0, 0);
}

function closeRange(t: ThreadContext, first: number, last: number, flags: number): number {
  if (first >>> 0 > last >>> 0) return -EINVAL;
  forgetDescriptors(t, first >>> 0, last >>> 0);
  return linuxCloseRange(t, first, last, flags, 0, 0, 0);
}

/** dup2: the same descriptor is no error. */
function dup2(t: ThreadContext, from: number, to: number, flags: number): number {
  if ((from | 0) === (to | 0)) return withFile(t, from, () => to | 0);
  if ((to | 0) < 0 || (to | 0) >= descriptorLimit(t)) return -EBADF;
  return withFile(t, from, () => {
    forgetDescriptor(t, to | 0);
    return linuxDup3(t, from, to, flags, 0, 0, 0);
  });
}

function pipe2(t: ThreadContext, pointer: number, flagBits: number): number {
  const flags = linuxOpenFlags(flagBits | 0);
  return flags === undefined ? -EINVAL : linuxPipe2(t, pointer, flags, 0, 0, 0, 0);
}

// --- fcntl ---

const F_DUPFD = 0;
const F_GETFL = 3;
const F_SETFL = 4;
const F_GETOWN = 5;
const F_SETOWN = 6;
const F_DUP2FD = 10;
const F_GETLK = 11;
const F_SETLK = 12;
const F_SETLKW = 13;
const F_DUPFD_CLOEXEC = 17;
const F_DUP2FD_CLOEXEC = 18;
const F_ADD_SEALS = 19;
const F_GET_SEALS = 20;
/** Linux's numbers, where they are others. */
const LINUX_F_SETOWN = 8;
const LINUX_F_GETOWN = 9;
const LINUX_F_DUPFD_CLOEXEC = 1030;
const LINUX_F_ADD_SEALS = 1033;
const LINUX_F_GET_SEALS = 1034;

function fcntl(t: ThreadContext, fd: number, command: number, argument: number): number {
  const linux = (number: number) => linuxFcntl(t, fd, number, argument, 0, 0, 0);
  switch (command | 0) {
    case F_DUPFD:
    case 1: // F_GETFD
    case 2: // F_SETFD
      return linux(command | 0);
    case F_GETFL:
      return withFile(t, fd, (file) => freebsdStatusFlags(flagsOf(t.mem, file)));
    case F_SETFL: {
      const flags = linuxOpenFlags(argument & 0x1_00cc);
      return linuxFcntl(t, fd, F_SETFL, (flags ?? 0) & SETTABLE_FLAGS, 0, 0, 0);
    }
    case F_GETOWN:
      return linux(LINUX_F_GETOWN);
    case F_SETOWN:
      return linux(LINUX_F_SETOWN);
    case F_DUP2FD:
      return dup2(t, fd, argument, 0);
    case F_DUP2FD_CLOEXEC:
      return dup2(t, fd, argument, O_CLOEXEC);
    case F_DUPFD_CLOEXEC:
      return linux(LINUX_F_DUPFD_CLOEXEC);
    case F_ADD_SEALS:
      return linux(LINUX_F_ADD_SEALS);
    case F_GET_SEALS:
      return linux(LINUX_F_GET_SEALS);
    case F_GETLK:
      return withRealFile(t, fd, (file) => getLock(t, file, argument));
    case F_SETLK:
    case F_SETLKW:
      return withRealFile(t, fd, (file) => changeLock(t, file, argument, (command | 0) === F_SETLKW));
    default:
      return -EINVAL;
  }
}

/** struct flock: start, length, pid, type, whence, sysid; 32 bytes. */
const Flock = { start: 0, length: 8, pid: 16, type: 20, whence: 22 } as const;
/** Lock types, FreeBSD's by Linux's. */
const LOCK_TYPES = { [F_RDLCK]: 1, [F_UNLCK]: 2, [F_WRLCK]: 3 } as Record<number, number>;

function lockArgument(t: ThreadContext, file: number, address: number): LockRequest {
  const { mem } = t;
  const types = [-1, F_RDLCK, F_UNLCK, F_WRLCK];
  const type = types[readU16(t, address + Flock.type)] ?? -1;
  const whence = readU16(t, address + Flock.whence);
  const length = readI64(t, address + Flock.length);
  if (type < 0 || whence > 2) throw new SyscallError(EINVAL);
  let start = readI64(t, address + Flock.start);
  if (whence === 1) start += mem.getU64(file + OpenFile.offset);
  if (whence === 2) start += operationsOf(mem, file).status(t, file).size;
  let end = length === 0 ? TO_END : start + length;
  if (length < 0) [start, end] = [end, start];
  if (start < 0) throw new SyscallError(EINVAL);
  if (end > TO_END) throw new SyscallError(EOVERFLOW);
  const pid = mem.getU32(t.guest + Guest.pid);
  return { kind: LOCK_POSIX, owner: t.files, pid, type, ...identityOf(mem, file), start, end };
}

function getLock(t: ThreadContext, file: number, address: number): number {
  const wanted = lockArgument(t, file, address);
  if (wanted.type === F_UNLCK) return -EINVAL;
  const found = findConflict(t.mem, wanted, t.thread);
  writeU16(t, address + Flock.type, LOCK_TYPES[found?.type ?? F_UNLCK]);
  if (found === undefined) return 0;
  writeU16(t, address + Flock.whence, 0);
  write64(t, address + Flock.start, found.start);
  write64(t, address + Flock.length, found.end === TO_END ? 0 : found.end - found.start);
  writeI32(t, address + Flock.pid, found.pid | 0);
  return 0;
}

function changeLock(t: ThreadContext, file: number, address: number, wait: boolean): number {
  const wanted = lockArgument(t, file, address);
  const access = flagsOf(t.mem, file) & O_ACCMODE;
  if (wanted.type === F_RDLCK && access === O_WRONLY) return -EBADF;
  if (wanted.type === F_WRLCK && access === O_RDONLY) return -EBADF;
  return setLock(t, wanted, wait);
}

// --- ioctl ---

/** FreeBSD's requests that Linux has too. */
const REQUESTS = new Map([
  [0x2000_6601, 0x5451], // FIOCLEX
  [0x2000_6602, 0x5450], // FIONCLEX
  [0x4004_667f, 0x541b], // FIONREAD
  [0x8004_667e, 0x5421], // FIONBIO
  [0x8004_667d, 0x5452], // FIOASYNC
  [0x4008_7468, TIOCGWINSZ],
  [0x8008_7467, TIOCSWINSZ],
  [0x4004_7477, TIOCGPGRP],
  [0x8004_7476, TIOCSPGRP],
  [0x4004_7463, TIOCGSID],
  [0x2000_7461, TIOCSCTTY],
  [0x2000_7471, TIOCNOTTY],
  [0x4004_7473, TIOCOUTQ],
]);
const TIOCGETA = 0x402c_7413;
const TIOCSETA = 0x802c_7414;
const TIOCSETAF = 0x802c_7416;
/** TIOCSETA, TIOCSETAW, TIOCSETAF. */
const PRECAUTIONS = ['now', 'drain', 'flush'] as const;

function ioctl(t: ThreadContext, fd: number, requestNumber: number, argument: number): number {
  const request = requestNumber >>> 0;
  if (request === TIOCGETA || (request >= TIOCSETA && request <= TIOCSETAF)) {
    const kind = request === TIOCGETA ? 'get' : PRECAUTIONS[request - TIOCSETA];
    return withRealFile(t, fd, (file) => terminalRequest(t, file, kind, argument) ?? -ENOTTY);
  }
  const linux = REQUESTS.get(request);
  if (linux === undefined) return withRealFile(t, fd, () => -ENOTTY);
  return linuxIoctl(t, fd, linux, argument, 0, 0, 0);
}

// --- directories ---

/** getdirentries(fd, buffer, size, base): Linux's entries are written to the buffer and made into FreeBSD's there. */
function getdirentries(t: ThreadContext, fd: number, buffer: number, size: number, base: number): number {
  if (size < 0 || size > 0x7fff_ffff) return -EINVAL;
  const position = withFile(t, fd, (file) => {
    if (operationsOf(t.mem, file).list === undefined) throw new SyscallError(ENOTDIR);
    return t.mem.getU64(file + OpenFile.offset);
  });
  const count = linuxGetdents(t, fd, buffer, linuxDirentBytes(size), 0, 0, 0);
  if (count < 0) return count;
  const linux = new Uint8Array(count);
  copyIn(t, buffer, linux);
  const entries = convertDirents(linux);
  copyOut(t, buffer, entries);
  if (base !== 0) write64(t, base, position);
  return entries.length;
}

const readWrite = (name: string, number: number, vector: boolean) =>
  syscall(name, ['fd', 'pointer', vector ? 'int' : 'size', 'long'], linuxCall(number));

export const fileCalls: SyscallTable = {
  [SYS.SYS_read]: syscall('read', ['fd', 'pointer', 'size'], linuxCall(LINUX.SYS_read)),
  [SYS.SYS_write]: syscall('write', ['fd', 'buffer', 'size'], linuxCall(LINUX.SYS_write)),
  [SYS.SYS_readv]: syscall('readv', ['fd', 'pointer', 'int'], linuxCall(LINUX.SYS_readv)),
  [SYS.SYS_writev]: syscall('writev', ['fd', 'pointer', 'int'], linuxCall(LINUX.SYS_writev)),
  [SYS.SYS_pread]: readWrite('pread', LINUX.SYS_pread64, false),
  [SYS.SYS_pwrite]: readWrite('pwrite', LINUX.SYS_pwrite64, false),
  [SYS.SYS_preadv]: readWrite('preadv', LINUX.SYS_preadv, true),
  [SYS.SYS_pwritev]: readWrite('pwritev', LINUX.SYS_pwritev, true),
  [SYS.SYS_lseek]: syscall('lseek', ['fd', 'long', 'int'], linuxCall(LINUX.SYS_lseek)),
  [SYS.SYS_open]: syscall('open', ['path', 'hex', 'octal'], (t, path, flags, mode) =>
    openat(t, AT_FDCWD, path, flags, mode),
  ),
  [SYS.SYS_openat]: syscall('openat', ['dirfd', 'path', 'hex', 'octal'], openat),
  [SYS.SYS_close]: syscall('close', ['fd'], close),
  [SYS.SYS_closefrom]: syscall('closefrom', ['int'], (t, first) =>
    closeRange(t, Math.max(first | 0, 0), 0xffff_ffff, 0),
  ),
  [SYS.SYS_close_range]: syscall('close_range', ['uint', 'uint', 'hex'], (t, first, last, flags) =>
    (flags & ~4) !== 0 ? -EINVAL : closeRange(t, first, last, flags),
  ),
  [SYS.SYS_dup]: syscall('dup', ['fd'], linuxCall(LINUX.SYS_dup)),
  [SYS.SYS_dup2]: syscall('dup2', ['fd', 'fd'], (t, from, to) => dup2(t, from, to, 0)),
  [SYS.SYS_pipe2]: syscall('pipe2', ['pointer', 'hex'], pipe2),
  [SYS.SYS_fcntl]: syscall('fcntl', ['fd', 'int', 'hex'], fcntl),
  [SYS.SYS_flock]: syscall('flock', ['fd', 'int'], linuxCall(LINUX.SYS_flock)),
  [SYS.SYS_ioctl]: syscall('ioctl', ['fd', 'hex', 'pointer'], ioctl),
  [SYS.SYS_fstat]: syscall('fstat', ['fd', 'pointer'], (t, fd, pointer) =>
    withFile(t, fd, (file) => {
      copyOut(t, pointer, packStat(operationsOf(t.mem, file).status(t, file)));
      return 0;
    }),
  ),
  [SYS.SYS_getdirentries]: syscall('getdirentries', ['fd', 'pointer', 'size', 'pointer'], getdirentries),
  [SYS.SYS_ftruncate]: syscall('ftruncate', ['fd', 'long'], linuxCall(LINUX.SYS_ftruncate)),
  [SYS.SYS_posix_fallocate]: syscall(
    'posix_fallocate',
    ['fd', 'long', 'long'],
    posixError((t, fd, offset, length) => linuxFallocate(t, fd, 0, offset, length, 0, 0)),
  ),
  [SYS.SYS_posix_fadvise]: syscall(
    'posix_fadvise',
    ['fd', 'long', 'long', 'int'],
    posixError(linuxCall(LINUX.SYS_fadvise64)),
  ),
  [SYS.SYS_fsync]: syscall('fsync', ['fd'], linuxCall(LINUX.SYS_fsync)),
  [SYS.SYS_fdatasync]: syscall('fdatasync', ['fd'], linuxCall(LINUX.SYS_fdatasync)),
  [SYS.SYS_sync]: syscall('sync', [], linuxCall(LINUX.SYS_sync)),
  [SYS.SYS_getdtablesize]: syscall('getdtablesize', [], (t) => Math.min(descriptorLimit(t), 0x7fff_ffff)),
};
