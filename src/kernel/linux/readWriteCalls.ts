import { readI64, write64 } from '../../memory/userAccess.js';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import {
  FILE_EPOLL,
  FILE_EVENT,
  FILE_HOST,
  FILE_INOTIFY,
  FILE_MEMORY,
  FILE_MESSAGES,
  FILE_PIPE,
  FILE_PROCESS,
  FILE_SIGNAL,
  FILE_TIMER,
  OpenFile,
} from '../../sync/records/openFile.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EBADF, EINVAL, EISDIR, EOPNOTSUPP, ESPIPE, SyscallError } from '../errno.js';
import { identityOf, withFile, withRealFile } from '../files/descriptors.js';
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from '../files/events.js';
import { S_IFDIR, S_IFMT } from '../files/fileStatus.js';
import { IN_ACCESS, IN_MODIFY, notifyFile } from '../files/inotify.js';
import { flagsOf, operationsOf } from '../files/openFile.js';
import { O_ACCMODE, O_APPEND, O_RDONLY, O_WRONLY } from '../files/openFlags.js';
import { readPipe, teePipe, writePipe } from '../files/pipe.js';
import { type ByteVector, KernelVector, MAX_TRANSFER, UserVector } from '../files/userVector.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait } from '../waiting.js';
import { type SyscallTable, syscall } from './syscall.js';
import {
  SYS_copy_file_range,
  SYS_lseek,
  SYS_pread64,
  SYS_preadv,
  SYS_preadv2,
  SYS_pwrite64,
  SYS_pwritev,
  SYS_pwritev2,
  SYS_read,
  SYS_readv,
  SYS_sendfile,
  SYS_splice,
  SYS_tee,
  SYS_vmsplice,
  SYS_write,
  SYS_writev,
} from './syscallNumbers.js';

/** Moving bytes between files and memory, and between files. */

const READ = 0;
const WRITTEN = 8;

/** Counts a call that has moved `done` bytes, or failed (/proc/PID/io). */
function countIo({ mem, thread }: ThreadContext, which: number, done: number): void {
  const at = thread + Thread.io + which;
  if (done > 0) mem.set64(at, mem.getU64(at) + done);
  mem.set64(at + 16, mem.getU64(at + 16) + 1);
}

function readFile(t: ThreadContext, file: number, into: ByteVector, offset: number | undefined): number {
  const { mem } = t;
  if ((flagsOf(mem, file) & O_ACCMODE) === O_WRONLY) return -EBADF;
  const operations = operationsOf(mem, file);
  if (operations.read === undefined) return -EINVAL;
  const done = operations.read(t, file, into, offset);
  countIo(t, READ, done);
  if (done > 0) notifyFile(mem, file, IN_ACCESS, t.thread);
  return done;
}

function writeFile(t: ThreadContext, file: number, from: ByteVector, offset: number | undefined): number {
  const { mem } = t;
  const operations = operationsOf(mem, file);
  if ((flagsOf(mem, file) & O_ACCMODE) === O_RDONLY) return -EBADF;
  if (operations.write === undefined) return -EINVAL;
  const done = operations.write(t, file, from, offset);
  countIo(t, WRITTEN, done);
  if (done > 0) notifyFile(mem, file, IN_MODIFY, t.thread);
  return done;
}

/** Throws unless the file has positions and `offset` is one. */
function requirePosition(t: ThreadContext, file: number, offset: number): void {
  if (offset < 0) throw new SyscallError(EINVAL);
  if (operationsOf(t.mem, file).seek === undefined) throw new SyscallError(ESPIPE);
}

function positional(t: ThreadContext, fd: number, offset: number, body: (file: number) => number): number {
  return withRealFile(t, fd, (file) => {
    requirePosition(t, file, offset);
    return body(file);
  });
}

/** RWF_HIPRI, RWF_DSYNC, RWF_SYNC: allowed, and nothing more than what is done anyway. RWF_APPEND is not built. */
const ALLOWED_RWF = 0x7;

function vectored2(
  t: ThreadContext,
  fd: number,
  offset: number,
  flags: number,
  body: (file: number, offset: number | undefined) => number,
): number {
  if ((flags & ~ALLOWED_RWF) !== 0) return -EOPNOTSUPP;
  if (offset === -1) return withRealFile(t, fd, (file) => body(file, undefined));
  return positional(t, fd, offset, (file) => body(file, offset));
}

const CHUNK = 65536;

/** Moves up to `count` bytes from one file to another through a kernel buffer; offsets as in read and write. */
function transfer(
  t: ThreadContext,
  input: number,
  output: number,
  count: number,
  inputOffset: number | undefined,
  outputOffset: number | undefined,
): number {
  const { mem, thread } = t;
  const buffer = allocateBlock(mem, CHUNK, thread);
  let done = 0;
  const move = (): number => {
    while (done < count) {
      const chunk = new KernelVector(buffer, Math.min(CHUNK, count - done));
      const had = readFile(t, input, chunk, inputOffset === undefined ? undefined : inputOffset + done);
      if (had <= 0) return done > 0 ? done : had;
      let written = 0;
      while (written < had) {
        const piece = new KernelVector(buffer + written, had - written);
        const position = outputOffset === undefined ? undefined : outputOffset + done + written;
        const put = writeFile(t, output, piece, position);
        if (put <= 0) {
          // What was read and cannot be written is given back, where the input has positions.
          if (inputOffset === undefined) operationsOf(mem, input).seek?.(t, input, written - had, 1);
          return done + written > 0 ? done + written : put;
        }
        written += put;
      }
      done += had;
      if (had < chunk.length) break;
    }
    return done;
  };
  try {
    // What has been read and not yet written is nowhere else: the call cannot be begun again.
    return t.keepHost(move);
  } finally {
    freeBlock(mem, buffer, thread);
  }
}

/** Runs `body` with the offset at the guest pointer, which is moved on by what `body` did; undefined for no pointer. */
function withOffset(t: ThreadContext, pointer: number, body: (offset: number | undefined) => number): number {
  if (pointer === 0) return body(undefined);
  const offset = readI64(t, pointer);
  if (offset < 0) return -EINVAL;
  const done = body(offset);
  if (done > 0) write64(t, pointer, offset + done);
  return done;
}

function sendfile(t: ThreadContext, out: number, input: number, offset: number, count: number): number {
  if (count < 0) return -EINVAL;
  return withRealFile(t, input, (from) =>
    withRealFile(t, out, (to) => {
      if ((flagsOf(t.mem, to) & O_ACCMODE) === O_RDONLY) return -EBADF;
      if (operationsOf(t.mem, from).list !== undefined) return -EINVAL;
      if (operationsOf(t.mem, from).seek === undefined) return offset === 0 ? -EINVAL : -ESPIPE;
      if (flagsOf(t.mem, to) & O_APPEND || isUnspliceable(t.mem, to)) return -EINVAL;
      return withOffset(t, offset, (position) =>
        transfer(t, from, to, Math.min(count, MAX_TRANSFER), position, undefined),
      );
    }),
  );
}

function isRegular(t: ThreadContext, file: number): boolean {
  const kind = t.mem.getU32(file + OpenFile.kind);
  return kind === FILE_HOST || kind === FILE_MEMORY;
}

/** Whether two ranges, which begin at the given offsets or the files' own, are of one file and meet. */
function overlaps(
  t: ThreadContext,
  from: number,
  to: number,
  count: number,
  fromOffset: number | undefined,
  toOffset: number | undefined,
): boolean {
  const { mem } = t;
  const [a, b] = [identityOf(mem, from), identityOf(mem, to)];
  if (a.dev !== b.dev || a.ino !== b.ino) return false;
  const start = fromOffset ?? mem.getU64(from + OpenFile.offset);
  const target = toOffset ?? mem.getU64(to + OpenFile.offset);
  // Beyond its end nothing is copied.
  const length = Math.min(count, operationsOf(mem, from).status(t, from).size - start);
  return Math.abs(start - target) < length;
}

function copyFileRange(
  t: ThreadContext,
  input: number,
  inputOffset: number,
  output: number,
  outputOffset: number,
  count: number,
  flags: number,
): number {
  if ((flags | 0) !== 0 || count < 0) return -EINVAL;
  return withRealFile(t, input, (from) =>
    withRealFile(t, output, (to) => {
      for (const file of [from, to]) {
        if ((operationsOf(t.mem, file).status(t, file).mode & S_IFMT) === S_IFDIR) return -EISDIR;
      }
      if (!isRegular(t, from) || !isRegular(t, to)) return -EINVAL;
      if (flagsOf(t.mem, to) & O_APPEND) return -EBADF;
      return withOffset(t, inputOffset, (fromOffset) =>
        withOffset(t, outputOffset, (toOffset) =>
          overlaps(t, from, to, count, fromOffset, toOffset)
            ? -EINVAL
            : transfer(t, from, to, Math.min(count, MAX_TRANSFER), fromOffset, toOffset),
        ),
      );
    }),
  );
}

/** Kinds that splice and sendfile have no way into or out of. */
const UNSPLICEABLE = new Set([
  FILE_EVENT,
  FILE_EPOLL,
  FILE_TIMER,
  FILE_SIGNAL,
  FILE_PROCESS,
  FILE_MESSAGES,
  FILE_INOTIFY,
]);

function isUnspliceable(mem: SharedMemory, file: number): boolean {
  return UNSPLICEABLE.has(mem.getU32(file + OpenFile.kind));
}

function splice(
  t: ThreadContext,
  input: number,
  inputOffset: number,
  output: number,
  outputOffset: number,
  count: number,
  flags: number,
): number {
  const { mem } = t;
  if (count === 0) return 0;
  if ((flags & ~SPLICE_F_ALL) !== 0) return -EINVAL;
  return withRealFile(t, input, (from) =>
    withRealFile(t, output, (to) => {
      const isPipe = (file: number): boolean => mem.getU32(file + OpenFile.kind) === FILE_PIPE;
      const access = (file: number): number => flagsOf(mem, file) & O_ACCMODE;
      if (access(from) === O_WRONLY || access(to) === O_RDONLY) return -EBADF;
      if (!isPipe(from) && !isPipe(to)) return -EINVAL;
      if (isUnspliceable(mem, from) || isUnspliceable(mem, to)) return -EINVAL;
      if (operationsOf(mem, from).list !== undefined) return -EINVAL;
      if ((isPipe(from) && inputOffset !== 0) || (isPipe(to) && outputOffset !== 0)) return -ESPIPE;
      if (isPipe(from) && mem.getU32(from + OpenFile.object) === mem.getU32(to + OpenFile.object))
        return -EINVAL;
      if (!isPipe(to) && (flagsOf(mem, to) & O_APPEND) !== 0) return -EINVAL;
      if ((flags & SPLICE_F_NONBLOCK) !== 0) {
        const ready = (file: number, events: number): boolean =>
          !isPipe(file) || ((operationsOf(mem, file).poll?.(mem, file, t.thread) ?? 0) & events) !== 0;
        if (!ready(from, POLLIN | POLLHUP) || !ready(to, POLLOUT | POLLERR)) return -EAGAIN;
      }
      // One buffer's worth: splice may always do less than it was asked.
      const length = Math.min(count, CHUNK);
      return withOffset(t, inputOffset, (fromOffset) =>
        withOffset(t, outputOffset, (toOffset) => transfer(t, from, to, length, fromOffset, toOffset)),
      );
    }),
  );
}

const SPLICE_F_NONBLOCK = 2;
const SPLICE_F_ALL = 15;

function tee(t: ThreadContext, input: number, output: number, count: number, flags: number): number {
  if ((flags & ~SPLICE_F_ALL) !== 0) return -EINVAL;
  if (count === 0) return 0;
  return withRealFile(t, input, (from) =>
    withRealFile(t, output, (to) => {
      if ((flagsOf(t.mem, from) & O_ACCMODE) === O_WRONLY) return -EBADF;
      if ((flagsOf(t.mem, to) & O_ACCMODE) === O_RDONLY) return -EBADF;
      const pipes = [from, to].map((file) =>
        t.mem.getU32(file + OpenFile.kind) === FILE_PIPE ? t.mem.getU32(file + OpenFile.object) : 0,
      );
      if (pipes.includes(0) || pipes[0] === pipes[1]) return -EINVAL;
      const nonBlocking = mustNotWait(t, from) || mustNotWait(t, to);
      return teePipe(t, pipes[0], pipes[1], count, nonBlocking || (flags & SPLICE_F_NONBLOCK) !== 0);
    }),
  );
}

/** vmsplice(2): bytes of memory go into a pipe, or out of one into memory; always copied. */
function vmsplice(t: ThreadContext, fd: number, vector: number, count: number, flags: number): number {
  if ((flags & ~SPLICE_F_ALL) !== 0) return -EINVAL;
  return withRealFile(t, fd, (file) => {
    const { mem } = t;
    if (mem.getU32(file + OpenFile.kind) !== FILE_PIPE) return -EBADF;
    const bytes = UserVector.fromIovec(t, vector, count | 0);
    if (bytes.length === 0) return 0;
    // O_NONBLOCK of the file is not looked at, as in Linux.
    const nonBlocking = (flags & SPLICE_F_NONBLOCK) !== 0;
    const pipe = mem.getU32(file + OpenFile.object);
    return (flagsOf(mem, file) & O_ACCMODE) === O_RDONLY
      ? readPipe(t, pipe, bytes, nonBlocking)
      : writePipe(t, pipe, bytes, nonBlocking, true);
  });
}

/** Kinds for which lseek does nothing and succeeds (noop_llseek). */
const WITHOUT_POSITION = new Set([FILE_EVENT, FILE_EPOLL, FILE_TIMER, FILE_SIGNAL]);

function lseek(t: ThreadContext, fd: number, offset: number, whence: number): number {
  return withRealFile(t, fd, (file) => {
    if ((whence | 0) < 0 || (whence | 0) > 4) return -EINVAL;
    const operations = operationsOf(t.mem, file);
    if (operations.seek !== undefined) return operations.seek(t, file, offset, whence | 0);
    return WITHOUT_POSITION.has(t.mem.getU32(file + OpenFile.kind)) ? 0 : -ESPIPE;
  });
}

export const readWriteCalls: SyscallTable = {
  [SYS_read]: syscall('read', ['fd', 'pointer', 'size'], (t, fd, buffer, count) =>
    withFile(t, fd, (file) => readFile(t, file, UserVector.single(buffer, count), undefined)),
  ),
  [SYS_write]: syscall('write', ['fd', 'buffer', 'size'], (t, fd, buffer, count) =>
    withFile(t, fd, (file) => writeFile(t, file, UserVector.single(buffer, count), undefined)),
  ),
  [SYS_readv]: syscall('readv', ['fd', 'pointer', 'int'], (t, fd, vector, count) =>
    withFile(t, fd, (file) => readFile(t, file, UserVector.fromIovec(t, vector, count | 0), undefined)),
  ),
  [SYS_writev]: syscall('writev', ['fd', 'pointer', 'int'], (t, fd, vector, count) =>
    withFile(t, fd, (file) => writeFile(t, file, UserVector.fromIovec(t, vector, count | 0), undefined)),
  ),
  [SYS_pread64]: syscall('pread64', ['fd', 'pointer', 'size', 'long'], (t, fd, buffer, count, offset) =>
    positional(t, fd, offset, (file) => readFile(t, file, UserVector.single(buffer, count), offset)),
  ),
  [SYS_pwrite64]: syscall('pwrite64', ['fd', 'buffer', 'size', 'long'], (t, fd, buffer, count, offset) =>
    positional(t, fd, offset, (file) => writeFile(t, file, UserVector.single(buffer, count), offset)),
  ),
  [SYS_preadv]: syscall('preadv', ['fd', 'pointer', 'int', 'long'], (t, fd, vector, count, offset) =>
    positional(t, fd, offset, (file) =>
      readFile(t, file, UserVector.fromIovec(t, vector, count | 0), offset),
    ),
  ),
  [SYS_pwritev]: syscall('pwritev', ['fd', 'pointer', 'int', 'long'], (t, fd, vector, count, offset) =>
    positional(t, fd, offset, (file) =>
      writeFile(t, file, UserVector.fromIovec(t, vector, count | 0), offset),
    ),
  ),
  [SYS_preadv2]: syscall(
    'preadv2',
    ['fd', 'pointer', 'int', 'long', 'long', 'hex'],
    (t, fd, vector, count, offset, _high, flags) =>
      vectored2(t, fd, offset, flags | 0, (file, position) =>
        readFile(t, file, UserVector.fromIovec(t, vector, count | 0), position),
      ),
  ),
  [SYS_pwritev2]: syscall(
    'pwritev2',
    ['fd', 'pointer', 'int', 'long', 'long', 'hex'],
    (t, fd, vector, count, offset, _high, flags) =>
      vectored2(t, fd, offset, flags | 0, (file, position) =>
        writeFile(t, file, UserVector.fromIovec(t, vector, count | 0), position),
      ),
  ),
  [SYS_lseek]: syscall('lseek', ['fd', 'long', 'int'], lseek),
  [SYS_sendfile]: syscall('sendfile', ['fd', 'fd', 'pointer', 'size'], sendfile),
  [SYS_copy_file_range]: syscall(
    'copy_file_range',
    ['fd', 'pointer', 'fd', 'pointer', 'size', 'hex'],
    copyFileRange,
  ),
  [SYS_tee]: syscall('tee', ['fd', 'fd', 'size', 'hex'], tee),
  [SYS_vmsplice]: syscall('vmsplice', ['fd', 'pointer', 'size', 'hex'], vmsplice),
  [SYS_splice]: syscall('splice', ['fd', 'pointer', 'fd', 'pointer', 'size', 'hex'], splice),
};
