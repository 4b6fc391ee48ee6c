import { copyOut, readI32, readU64, write64, writeI32, writeU16 } from '../../memory/userAccess.js';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { LOCK_FLOCK, LOCK_OFD, LOCK_POSIX } from '../../sync/records/files.js';
import { Guest } from '../../sync/records/guest.js';
import {
  FILE_HOST,
  FILE_MEMORY,
  FILE_PIPE,
  FILE_SOCKET,
  OPEN_CREATED,
  OpenFile,
} from '../../sync/records/openFile.js';
import { Pipe } from '../../sync/records/pipe.js';
import { F_SEAL_EXEC, F_SEAL_SEAL } from '../../sync/records/sharedObject.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import {
  E2BIG,
  EAGAIN,
  EBADF,
  EFBIG,
  EINVAL,
  ENODEV,
  ENOTDIR,
  ENOTTY,
  EOPNOTSUPP,
  EOVERFLOW,
  ESPIPE,
  EWOULDBLOCK,
  SyscallError,
} from '../errno.js';
import { OWNER_PGRP, OWNER_PID, setAsync, setOwnerSignal, setSignalOwner } from '../files/asyncSignals.js';
import {
  closeDescriptor,
  descriptorLimit,
  finishClose,
  identityOf,
  newDescriptor,
  pathArgument,
  withFile,
  withRealFile,
} from '../files/descriptors.js';
import {
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  findConflict,
  type LockRequest,
  setLock,
  TO_END,
} from '../files/fileLocks.js';
import { S_IFBLK, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../files/fileStatus.js';
import { getCloseOnExec, listDescriptors, replaceFile, setCloseOnExec } from '../files/filesTable.js';
import { IN_ACCESS, IN_MODIFY, notifyFile } from '../files/inotify.js';
import { getLease, setLease } from '../files/leases.js';
import { addSeals, createMemoryFile, getSeals } from '../files/memoryFile.js';
import {
  createOpenFile,
  flagsOf,
  operationsOf,
  releaseOpenFile,
  reportedFlags,
  retainOpenFile,
} from '../files/openFile.js';
import {
  O_ACCMODE,
  O_ASYNC,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_LARGEFILE,
  O_NONBLOCK,
  O_RDONLY,
  O_TMPFILE,
  O_WRONLY,
  SETTABLE_FLAGS,
  VALID_OPEN_FLAGS,
} from '../files/openFlags.js';
import { openPath } from '../files/openPath.js';
import { attachPipe, createPipe, resizePipe } from '../files/pipe.js';
import { MAX_OFFSET } from '../files/regularFile.js';
import { KernelVector } from '../files/userVector.js';
import { readInput } from '../keptInputs.js';
import type { ThreadContext } from '../threadContext.js';
import { unshareFiles } from '../unshare.js';
import { packStat } from './structsFile.js';
import { type SyscallTable, syscall } from './syscall.js';
import {
  SYS_close,
  SYS_close_range,
  SYS_dup,
  SYS_dup3,
  SYS_fadvise64,
  SYS_fallocate,
  SYS_fcntl,
  SYS_fdatasync,
  SYS_flock,
  SYS_fstat,
  SYS_fsync,
  SYS_ftruncate,
  SYS_getdents64,
  SYS_ioctl,
  SYS_memfd_create,
  SYS_openat,
  SYS_openat2,
  SYS_pipe2,
  SYS_readahead,
  SYS_sync,
  SYS_sync_file_range,
  SYS_syncfs,
} from './syscallNumbers.js';

/** System calls on descriptors. */

const RESOLVE_NO_XDEV = 1;
const RESOLVE_NO_MAGICLINKS = 2;
const RESOLVE_NO_SYMLINKS = 4;
const RESOLVE_BENEATH = 8;
const RESOLVE_IN_ROOT = 16;

function openat(t: ThreadContext, dirfd: number, path: number, flags: number, mode: number): number {
  const name = pathArgument(t, path);
  return newDescriptor(t, openPath(t, dirfd | 0, name, flags | 0, mode & 0o7777), flags | 0);
}

/** struct open_how: flags, mode, resolve, 64 bits each. */
function openat2(t: ThreadContext, dirfd: number, path: number, how: number, size: number): number {
  if (size < 24) return -EINVAL;
  if (size > 4096) return -E2BIG;
  const flags = readU64(t, how);
  const mode = readU64(t, how + 8);
  const resolve = readU64(t, how + 16);
  for (let at = 24; at < size; at += 8) if (readU64(t, how + at) !== 0) return -E2BIG;
  if (flags > 0x7fffffff || (flags & ~(VALID_OPEN_FLAGS | O_LARGEFILE)) !== 0) return -EINVAL;
  const creates = (flags & O_CREAT) !== 0 || (flags & O_TMPFILE) === O_TMPFILE;
  if (mode > 0o7777 || (mode !== 0 && !creates)) return -EINVAL;
  const known =
    RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_IN_ROOT;
  if (resolve > known) return -EINVAL;
  if (resolve & RESOLVE_BENEATH && resolve & RESOLVE_IN_ROOT) return -EINVAL;
  const name = pathArgument(t, path);
  const file = openPath(t, dirfd | 0, name, flags, mode, {
    noLinks: (resolve & RESOLVE_NO_SYMLINKS) !== 0,
    noMagicLinks: (resolve & RESOLVE_NO_MAGICLINKS) !== 0,
    beneath: (resolve & RESOLVE_BENEATH) !== 0,
    inRoot: (resolve & RESOLVE_IN_ROOT) !== 0,
    sameMount: (resolve & RESOLVE_NO_XDEV) !== 0,
  });
  return newDescriptor(t, file, flags);
}

const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;

function closeRange(t: ThreadContext, first: number, last: number, flags: number): number {
  const from = first >>> 0;
  const to = last >>> 0;
  if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || from > to) return -EINVAL;
  if (flags & CLOSE_RANGE_UNSHARE) unshareFiles(t);
  for (const fd of listDescriptors(t.mem, t.files, t.thread)) {
    if (fd < from || fd > to) continue;
    if (flags & CLOSE_RANGE_CLOEXEC) setCloseOnExec(t.mem, t.files, fd, true, t.thread);
    else {
      try {
        closeDescriptor(t, fd);
      } catch (error) {
        // Another thread may have closed it meanwhile.
        if (!(error instanceof SyscallError)) throw error;
      }
    }
  }
  return 0;
}

function duplicate(t: ThreadContext, fd: number, from: number, flags: number): number {
  return withFile(t, fd, (file) => {
    retainOpenFile(t.mem, file);
    return newDescriptor(t, file, flags, from);
  });
}

function dup3(t: ThreadContext, oldFd: number, newFd: number, flags: number): number {
  const target = newFd | 0;
  if ((flags & ~O_CLOEXEC) !== 0 || (oldFd | 0) === target) return -EINVAL;
  if (target < 0 || target >= descriptorLimit(t)) return -EBADF;
  return withFile(t, oldFd, (file) => {
    retainOpenFile(t.mem, file);
    const before = replaceFile(t.mem, t.files, target, file, (flags & O_CLOEXEC) !== 0, t.thread);
    if (before !== 0) finishClose(t, before);
    return target;
  });
}

const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const F_GETLK = 5;
const F_SETLK = 6;
const F_SETLKW = 7;
const F_SETOWN = 8;
const F_GETOWN = 9;
const F_SETSIG = 10;
const F_GETSIG = 11;
const F_SETOWN_EX = 15;
const F_GETOWN_EX = 16;
const F_GETOWNER_UIDS = 17;
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_OFD_SETLKW = 38;
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_CREATED_QUERY = 1028;
const F_DUPFD_CLOEXEC = 1030;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;
const F_ADD_SEALS = 1033;
const F_GET_SEALS = 1034;

function fcntl(t: ThreadContext, fd: number, command: number, argument: number): number {
  const { mem, thread } = t;
  return withFile(t, fd, (file) => {
    switch (command | 0) {
      case F_DUPFD:
      case F_DUPFD_CLOEXEC:
        if ((argument | 0) < 0 || (argument | 0) >= descriptorLimit(t)) return -EINVAL;
        return duplicate(t, fd, argument | 0, command === F_DUPFD ? 0 : O_CLOEXEC);
      case F_GETFD:
        return getCloseOnExec(mem, t.files, fd | 0, thread) ? 1 : 0;
      case F_SETFD:
        return setCloseOnExec(mem, t.files, fd | 0, (argument & 1) !== 0, thread) ? 0 : -EBADF;
      case F_GETFL:
        return reportedFlags(mem, file);
      case F_SETFL: {
        const kept = flagsOf(mem, file) & ~SETTABLE_FLAGS;
        if ((kept | argument) & O_ASYNC || flagsOf(mem, file) & O_ASYNC)
          setAsync(mem, file, (argument & O_ASYNC) !== 0, fd | 0, thread);
        mem.atomicStore(file + OpenFile.flags, kept | (argument & SETTABLE_FLAGS));
        return 0;
      }
      case F_GETLK:
      case F_OFD_GETLK:
        return getLock(t, fd, file, argument, command === F_GETLK ? LOCK_POSIX : LOCK_OFD);
      case F_SETLK:
      case F_SETLKW:
        return changeLock(t, file, argument, LOCK_POSIX, command === F_SETLKW);
      case F_OFD_SETLK:
      case F_OFD_SETLKW:
        return changeLock(t, file, argument, LOCK_OFD, command === F_OFD_SETLKW);
      case F_SETOWN:
        return setOwner(t, file, argument | 0);
      case F_GETOWN:
        return ownerOf(mem, file);
      case F_SETOWN_EX:
        return setSignalOwner(t, file, readI32(t, argument), readI32(t, argument + 4));
      case F_GETOWN_EX:
        writeI32(t, argument, mem.getU32(file + OpenFile.ownerType));
        writeI32(t, argument + 4, mem.getI32(file + OpenFile.signalOwner));
        return 0;
      case F_SETSIG:
        return setOwnerSignal(mem, file, argument | 0);
      case F_GETSIG:
        return mem.getU32(file + OpenFile.ownerSignal);
      case F_GETOWNER_UIDS:
        writeI32(t, argument, mem.getU32(file + OpenFile.ownerUsers));
        writeI32(t, argument + 4, mem.getU32(file + OpenFile.ownerUsers + 4));
        return 0;
      case F_CREATED_QUERY:
        return (mem.getU32(file + OpenFile.attributes) & OPEN_CREATED) !== 0 ? 1 : 0;
      case F_SETLEASE:
        return setLease(t, file, fd | 0, argument | 0);
      case F_GETLEASE:
        return getLease(t, file);
      case F_GETPIPE_SZ:
        if (mem.getU32(file + OpenFile.kind) !== FILE_PIPE) return -EBADF;
        return mem.getU32(mem.getU32(file + OpenFile.object) + Pipe.capacity);
      case F_SETPIPE_SZ:
        if (mem.getU32(file + OpenFile.kind) !== FILE_PIPE) return -EBADF;
        return resizePipe(mem, mem.getU32(file + OpenFile.object), argument | 0, thread);
      case F_GET_SEALS:
        return getSeals(mem, file);
      case F_ADD_SEALS:
        return addSeals(mem, file, argument | 0, thread);
      default:
        return -EINVAL;
    }
  });
}

/** F_SETOWN and the sockets' calls that do the same: a process, or minus a process group. */
function setOwner(t: ThreadContext, file: number, id: number): number {
  if (id === -0x8000_0000) return -EINVAL;
  return id < 0 ? setSignalOwner(t, file, OWNER_PGRP, -id) : setSignalOwner(t, file, OWNER_PID, id);
}

function ownerOf(mem: SharedMemory, file: number): number {
  const id = mem.getI32(file + OpenFile.signalOwner);
  return mem.getU32(file + OpenFile.ownerType) === OWNER_PGRP ? -id : id;
}

/** struct flock: s16 type, s16 whence, s64 start, s64 length, s32 pid; 32 bytes. */
function lockArgument(t: ThreadContext, file: number, address: number, kind: number): LockRequest {
  const { mem } = t;
  const bytes = new Uint8Array(32);
  readInput(t, address, bytes);
  const view = new DataView(bytes.buffer);
  const type = view.getUint16(0, true);
  const whence = view.getUint16(2, true);
  const offset = Number(view.getBigInt64(8, true));
  const length = Number(view.getBigInt64(16, true));
  if (type > F_UNLCK || whence > 2) throw new SyscallError(EINVAL);
  if (kind === LOCK_OFD && view.getInt32(24, true) !== 0) throw new SyscallError(EINVAL);
  let start = offset;
  if (whence === 1) start += mem.getU64(file + OpenFile.offset);
  if (whence === 2) start += operationsOf(mem, file).status(t, file).size;
  let end = length === 0 ? TO_END : start + length;
  if (length < 0) [start, end] = [end, start];
  if (start < 0) throw new SyscallError(EINVAL);
  if (end > TO_END) throw new SyscallError(EOVERFLOW);
  const owner = kind === LOCK_POSIX ? t.files : file;
  const pid = kind === LOCK_POSIX ? mem.getU32(t.guest + Guest.pid) : 0xffff_ffff;
  return { kind, owner, pid, type, ...identityOf(mem, file), start, end };
}

function getLock(t: ThreadContext, _fd: number, file: number, address: number, kind: number): number {
  const wanted = lockArgument(t, file, address, kind);
  if (wanted.type === F_UNLCK) return -EINVAL;
  const found = findConflict(t.mem, wanted, t.thread);
  if (found === undefined) {
    writeU16(t, address, F_UNLCK);
    return 0;
  }
  writeU16(t, address, found.type);
  writeU16(t, address + 2, 0);
  write64(t, address + 8, found.start);
  write64(t, address + 16, found.end === TO_END ? 0 : found.end - found.start);
  writeI32(t, address + 24, found.pid | 0);
  return 0;
}

function changeLock(t: ThreadContext, file: number, address: number, kind: number, wait: boolean): number {
  const wanted = lockArgument(t, file, address, kind);
  const access = flagsOf(t.mem, file) & O_ACCMODE;
  if (wanted.type === F_RDLCK && access === O_WRONLY) return -EBADF;
  if (wanted.type === F_WRLCK && access === O_RDONLY) return -EBADF;
  return setLock(t, wanted, wait);
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
/** Mandatory share modes: the kernel has given them up and answers that all is well. */
const LOCK_MAND = 32;

function flock(t: ThreadContext, fd: number, operation: number): number {
  const types: Record<number, number> = { [LOCK_SH]: F_RDLCK, [LOCK_EX]: F_WRLCK, [LOCK_UN]: F_UNLCK };
  if (operation & LOCK_MAND) return withRealFile(t, fd, () => 0);
  const type = types[operation & ~LOCK_NB];
  if (type === undefined) return -EINVAL;
  return withRealFile(t, fd, (file) => {
    const wanted: LockRequest = {
      kind: LOCK_FLOCK,
      owner: file,
      pid: t.mem.getU32(t.guest + Guest.pid),
      type,
      ...identityOf(t.mem, file),
      start: 0,
      end: TO_END,
    };
    const result = setLock(t, wanted, (operation & LOCK_NB) === 0);
    return result === -EAGAIN ? -EWOULDBLOCK : result;
  });
}

const FIONREAD = 0x541b;
const FIONBIO = 0x5421;
const FIONCLEX = 0x5450;
const FIOCLEX = 0x5451;
const FIOASYNC = 0x5452;

const FIOSETOWN = 0x8901;
const SIOCSPGRP = 0x8902;
const FIOGETOWN = 0x8903;
const SIOCGPGRP = 0x8904;

function setFlag(t: ThreadContext, file: number, flag: number, pointer: number): number {
  const on = readI32(t, pointer) !== 0;
  if (on) t.mem.atomicOr(file + OpenFile.flags, flag);
  else t.mem.atomicAnd(file + OpenFile.flags, ~flag);
  return 0;
}

function ioctl(t: ThreadContext, fd: number, request: number, argument: number): number {
  const { mem, thread } = t;
  return withRealFile(t, fd, (file) => {
    switch (request | 0) {
      case FIOCLEX:
      case FIONCLEX:
        return setCloseOnExec(mem, t.files, fd | 0, (request | 0) === FIOCLEX, thread) ? 0 : -EBADF;
      case FIONBIO:
        return setFlag(t, file, O_NONBLOCK, argument);
      case FIOASYNC:
        setAsync(mem, file, readI32(t, argument) !== 0, fd | 0, thread);
        return 0;
      case FIOSETOWN:
      case SIOCSPGRP:
        if (mem.getU32(file + OpenFile.kind) !== FILE_SOCKET) return -ENOTTY;
        return setOwner(t, file, readI32(t, argument));
      case FIOGETOWN:
      case SIOCGPGRP:
        if (mem.getU32(file + OpenFile.kind) !== FILE_SOCKET) return -ENOTTY;
        writeI32(t, argument, ownerOf(mem, file));
        return 0;
      case FIONREAD: {
        const available = operationsOf(mem, file).available;
        if (available === undefined) return -ENOTTY;
        writeI32(t, argument, Math.min(available(mem, file), 0x7fff_ffff));
        return 0;
      }
    }
    return operationsOf(mem, file).ioctl?.(t, file, request, argument) ?? -ENOTTY;
  });
}

function pipe2(t: ThreadContext, pointer: number, flags: number): number {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) !== 0) return -EINVAL;
  const { mem, thread } = t;
  const pipe = createPipe(mem, thread);
  const path = `pipe:[${mem.getU32(pipe + Pipe.id)}]`;
  const end = (access: number): number => {
    attachPipe(mem, pipe, access, thread);
    return createOpenFile(
      mem,
      { kind: FILE_PIPE, flags: access | (flags & (O_NONBLOCK | O_DIRECT)), path, object: pipe },
      thread,
    );
  };
  const reader = end(O_RDONLY);
  const writer = end(O_WRONLY);
  let readFd: number;
  try {
    readFd = newDescriptor(t, reader, flags);
  } catch (error) {
    releaseOpenFile(mem, writer, thread);
    throw error;
  }
  let writeFd: number;
  try {
    writeFd = newDescriptor(t, writer, flags);
  } catch (error) {
    closeDescriptor(t, readFd);
    throw error;
  }
  try {
    writeI32(t, pointer, readFd);
    writeI32(t, pointer + 4, writeFd);
  } catch (error) {
    closeDescriptor(t, readFd);
    closeDescriptor(t, writeFd);
    throw error;
  }
  return 0;
}

function ftruncate(t: ThreadContext, fd: number, length: number): number {
  if (length < 0) return -EINVAL;
  return withRealFile(t, fd, (file) => {
    if ((flagsOf(t.mem, file) & O_ACCMODE) === O_RDONLY) return -EINVAL;
    const result = operationsOf(t.mem, file).truncate?.(t, file, length) ?? -EINVAL;
    if (result === 0) notifyFile(t.mem, file, IN_MODIFY, t.thread);
    return result;
  });
}

/** sync_file_range(2): the whole file is written, which is more than was asked for. */
function syncFileRange(t: ThreadContext, fd: number, offset: number, length: number, flags: number): number {
  if ((flags & ~7) !== 0 || offset < 0 || length < 0) return -EINVAL;
  return withRealFile(t, fd, (file) => {
    const type = operationsOf(t.mem, file).status(t, file).mode & S_IFMT;
    if (type !== S_IFREG && type !== S_IFBLK && type !== S_IFDIR && type !== S_IFLNK) return -ESPIPE;
    return flags === 0 ? 0 : sync(t, fd, true);
  });
}

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;

/** fallocate(2): the host is not asked for blocks; sizes and contents are as the call says. */
function fallocate(t: ThreadContext, fd: number, mode: number, offset: number, length: number): number {
  if (offset < 0 || length <= 0) return -EINVAL;
  return withRealFile(t, fd, (file) => {
    const { mem } = t;
    if ((flagsOf(mem, file) & O_ACCMODE) === O_RDONLY) return -EBADF;
    const kind = mem.getU32(file + OpenFile.kind);
    if (kind === FILE_PIPE) return -ESPIPE;
    if (kind !== FILE_HOST && kind !== FILE_MEMORY) return -ENODEV;
    if (offset + length > MAX_OFFSET) return -EFBIG;
    const operations = operationsOf(mem, file);
    if (operations.allocate !== undefined) return operations.allocate(t, file, mode, offset, length);
    const size = operations.status(t, file).size;
    const zeroes =
      mode === FALLOC_FL_ZERO_RANGE ||
      mode === (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE) ||
      mode === (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    if (!zeroes && mode !== 0 && mode !== FALLOC_FL_KEEP_SIZE) return -EOPNOTSUPP;
    if (zeroes) {
      const result = writeZeros(t, file, offset, Math.min(offset + length, size));
      if (result < 0) return result;
    }
    if ((mode & FALLOC_FL_KEEP_SIZE) !== 0 || offset + length <= size) return 0;
    return operations.truncate?.(t, file, offset + length) ?? -EOPNOTSUPP;
  });
}

function writeZeros(t: ThreadContext, file: number, from: number, to: number): number {
  const buffer = allocateBlock(t.mem, 65536, t.thread);
  try {
    for (let at = from; at < to; ) {
      const piece = new KernelVector(buffer, Math.min(65536, to - at));
      const done = operationsOf(t.mem, file).write?.(t, file, piece, at) ?? -EINVAL;
      if (done <= 0) return done;
      at += done;
    }
    return 0;
  } finally {
    freeBlock(t.mem, buffer, t.thread);
  }
}

function sync(t: ThreadContext, fd: number, dataOnly: boolean): number {
  return withRealFile(t, fd, (file) => operationsOf(t.mem, file).sync?.(t, file, dataOnly) ?? -EINVAL);
}

/** Advice that is checked and not needed: the host's page cache does as it likes. */
function advise(t: ThreadContext, fd: number): number {
  return withRealFile(t, fd, (file) => (t.mem.getU32(file + OpenFile.kind) === FILE_PIPE ? -ESPIPE : 0));
}

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 16;

function memfdCreate(t: ThreadContext, name: number, flags: number): number {
  if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) !== 0) return -EINVAL;
  const text = pathArgument(t, name);
  if (text.length > 249) return -EINVAL;
  const noExec = (flags & MFD_NOEXEC_SEAL) !== 0;
  if (noExec && flags & MFD_EXEC) return -EINVAL;
  let seals = flags & MFD_ALLOW_SEALING ? 0 : F_SEAL_SEAL;
  if (noExec) seals = F_SEAL_EXEC;
  const file = createMemoryFile(t.mem, text, seals, noExec ? 0o666 : 0o777, t.thread);
  return newDescriptor(t, file, flags & MFD_CLOEXEC ? O_CLOEXEC : 0);
}

export const fileCalls: SyscallTable = {
  [SYS_openat]: syscall('openat', ['dirfd', 'path', 'openFlags', 'octal'], openat),
  [SYS_openat2]: syscall('openat2', ['dirfd', 'path', 'pointer', 'size'], openat2),
  [SYS_close]: syscall('close', ['fd'], (t, fd) => {
    closeDescriptor(t, fd | 0);
    return 0;
  }),
  [SYS_close_range]: syscall('close_range', ['uint', 'uint', 'hex'], closeRange),
  [SYS_dup]: syscall('dup', ['fd'], (t, fd) => duplicate(t, fd, 0, 0)),
  [SYS_dup3]: syscall('dup3', ['fd', 'fd', 'openFlags'], dup3),
  [SYS_fcntl]: syscall('fcntl', ['fd', 'int', 'hex'], fcntl),
  [SYS_flock]: syscall('flock', ['fd', 'int'], (t, fd, operation) => flock(t, fd, operation | 0)),
  [SYS_ioctl]: syscall('ioctl', ['fd', 'hex', 'pointer'], ioctl),
  [SYS_pipe2]: syscall('pipe2', ['pointer', 'openFlags'], (t, pointer, flags) =>
    pipe2(t, pointer, flags | 0),
  ),
  [SYS_fstat]: syscall('fstat', ['fd', 'pointer'], (t, fd, pointer) =>
    withFile(t, fd, (file) => {
      copyOut(t, pointer, packStat(operationsOf(t.mem, file).status(t, file)));
      return 0;
    }),
  ),
  [SYS_getdents64]: syscall('getdents64', ['fd', 'pointer', 'size'], (t, fd, pointer, size) =>
    withRealFile(t, fd, (file) => {
      const result = operationsOf(t.mem, file).list?.(t, file, pointer, size >>> 0) ?? -ENOTDIR;
      if (result >= 0) notifyFile(t.mem, file, IN_ACCESS, t.thread);
      return result;
    }),
  ),
  [SYS_ftruncate]: syscall('ftruncate', ['fd', 'long'], ftruncate),
  [SYS_fallocate]: syscall('fallocate', ['fd', 'hex', 'long', 'long'], (t, fd, mode, offset, length) => {
    const result = fallocate(t, fd, mode | 0, offset, length);
    if (result === 0) withFile(t, fd, (file) => notifyFile(t.mem, file, IN_MODIFY, t.thread));
    return result;
  }),
  [SYS_fsync]: syscall('fsync', ['fd'], (t, fd) => sync(t, fd, false)),
  [SYS_fdatasync]: syscall('fdatasync', ['fd'], (t, fd) => sync(t, fd, true)),
  // What guests have written is the host's already; when it reaches the disk is the host's affair.
  [SYS_sync]: syscall('sync', [], () => 0),
  [SYS_syncfs]: syscall('syncfs', ['fd'], (t, fd) => withRealFile(t, fd, () => 0)),
  [SYS_sync_file_range]: syscall('sync_file_range', ['fd', 'long', 'long', 'hex'], syncFileRange),
  [SYS_fadvise64]: syscall('fadvise64', ['fd', 'long', 'long', 'int'], (t, fd, _offset, _length, advice) =>
    (advice | 0) < 0 || (advice | 0) > 5 ? -EINVAL : advise(t, fd),
  ),
  [SYS_readahead]: syscall('readahead', ['fd', 'long', 'size'], (t, fd) =>
    withRealFile(t, fd, (file) => {
      const kind = t.mem.getU32(file + OpenFile.kind);
      return kind === FILE_HOST || kind === FILE_MEMORY ? 0 : -EINVAL;
    }),
  ),
  [SYS_memfd_create]: syscall('memfd_create', ['string', 'hex'], (t, name, flags) =>
    memfdCreate(t, name, flags | 0),
  ),
};
