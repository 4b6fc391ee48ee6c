import { closeSync, fstatSync, readFileSync, readSync, writeSync } from 'node:fs';
import { monotonicNow, park, parkTicket } from '../../sync/park.js';
import {
  FILE_HOST_STREAM,
  OPEN_BORROWED_FD,
  OPEN_OWN_OFFSET,
  OpenFile,
} from '../../sync/records/openFile.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EBADF, EINVAL, EPIPE, ERESTARTSYS, ESPIPE, errnoOfHostCode } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import type { FileOperations } from './fileOperations.js';
import { S_IFIFO, S_IFMT, S_IFSOCK, statusOfHost } from './fileStatus.js';
import { asSyscallError, fstatHost, hasProcFd, hostCall } from './hostAccess.js';
import { flagsOf, registerKind } from './openFile.js';
import { O_ACCMODE, O_NONBLOCK, O_RDONLY, O_WRONLY } from './openFlags.js';
import { raiseBrokenPipe } from './raise.js';
import { atOffset } from './regularFile.js';
import type { ByteVector } from './userVector.js';

/**
 * Standard streams that are descriptors of the Node process, used as they are: outputs of any kind, and an input that is
 * a regular file. The file offset is the host's own, shared with whoever gave Guesthouse the descriptor, until the
 * guest moves it.
 */

const CHUNK = 65536;
const chunk = new Uint8Array(CHUNK);
/** How long to wait, in milliseconds, before trying a full host pipe again. */
const SHORTEST_WAIT = 0.2;
const LONGEST_WAIT = 20;

function fdOf(mem: SharedMemory, file: number): number {
  return mem.getI32(file + OpenFile.hostFd);
}

function hasAttribute(mem: SharedMemory, file: number, bit: number): boolean {
  return (mem.getU32(file + OpenFile.attributes) & bit) !== 0;
}

/** The position of host calls: null for the host's own offset. */
function withPosition(
  t: ThreadContext,
  file: number,
  offset: number | undefined,
  body: (position: number | null) => number,
): number {
  if (offset !== undefined) return body(offset);
  if (!hasAttribute(t.mem, file, OPEN_OWN_OFFSET)) return body(null);
  return atOffset(t, file, undefined, (position, moveTo) => {
    const done = body(position);
    if (done > 0) moveTo(position + done);
    return done;
  });
}

/** Waits for a host pipe to take more; false when a signal is pending. */
function waitForHost(t: ThreadContext, attempt: number): boolean {
  const ticket = parkTicket(t.mem, t.thread);
  if (t.signalPending()) return false;
  const wait = Math.min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** Math.min(attempt, 10));
  park(t.mem, t.thread, ticket, monotonicNow() + wait);
  return !t.signalPending();
}

function write(t: ThreadContext, file: number, from: ByteVector, offset: number | undefined): number {
  const { mem } = t;
  const flags = flagsOf(mem, file);
  if ((flags & O_ACCMODE) === O_RDONLY) return -EBADF;
  const fd = fdOf(mem, file);
  return withPosition(t, file, offset, (position) => {
    let done = 0;
    let attempt = 0;
    while (done < from.length) {
      const had = from.copyIn(t, done, chunk.subarray(0, Math.min(CHUNK, from.length - done)));
      for (let written = 0; written < had; ) {
        const limit = Error.stackTraceLimit;
        Error.stackTraceLimit = 0;
        try {
          const n = writeSync(fd, chunk, written, had - written, position === null ? null : position + done);
          written += n;
          done += n;
          attempt = 0;
        } catch (error) {
          const errno = errnoOfHostCode((error as NodeJS.ErrnoException).code);
          if (errno !== EAGAIN) {
            if (done > 0) return done;
            if (errno === EPIPE) raiseBrokenPipe(t);
            throw asSyscallError(error);
          }
          if (flags & O_NONBLOCK) return done > 0 ? done : -EAGAIN;
          if (!waitForHost(t, attempt++)) return done > 0 ? done : -ERESTARTSYS;
        } finally {
          Error.stackTraceLimit = limit;
        }
      }
      if (had === 0) break;
    }
    return done;
  });
}

/** The host's offset of a descriptor, as Linux tells it; 0 elsewhere. */
function hostOffset(fd: number): number {
  if (!hasProcFd) return 0;
  try {
    return Number(/^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

const hostStreamOperations: FileOperations = {
  read(t, file, into, offset) {
    const { mem } = t;
    if ((flagsOf(mem, file) & O_ACCMODE) === O_WRONLY) return -EBADF;
    const fd = fdOf(mem, file);
    try {
      return withPosition(t, file, offset, (position) =>
        into.forEachSpan(t, 'write', (address, length, done) =>
          readSync(fd, mem.u8, address, length, position === null ? null : position + done),
        ),
      );
    } catch (error) {
      throw asSyscallError(error);
    }
  },
  write,
  seek(t, file, offset, whence) {
    const { mem } = t;
    const fd = fdOf(mem, file);
    const stats = hostCall(() => fstatSync(fd));
    if (!stats.isFile()) return stats.isCharacterDevice() ? 0 : -ESPIPE;
    return atOffset(t, file, undefined, (own, moveTo) => {
      const position = hasAttribute(mem, file, OPEN_OWN_OFFSET) ? own : hostOffset(fd);
      const target =
        whence === 0
          ? offset
          : whence === 1
            ? position + offset
            : whence === 2
              ? stats.size + offset
              : Number.NaN;
      if (!(target >= 0)) return -EINVAL;
      if (target !== position) {
        mem.atomicOr(file + OpenFile.attributes, OPEN_OWN_OFFSET);
        moveTo(target);
      }
      return target;
    });
  },
  status(t, file) {
    const status = statusOfHost(t, fstatHost(fdOf(t.mem, file)));
    // It has none of a socket's calls: to a guest it is a pipe. (Node gives its children sockets for pipes.)
    const isSocket = (status.mode & S_IFMT) === S_IFSOCK;
    return isSocket ? { ...status, mode: (status.mode & ~S_IFMT) | S_IFIFO } : status;
  },
  sync: () => 0,
  release(mem, file) {
    if (!hasAttribute(mem, file, OPEN_BORROWED_FD)) closeSync(fdOf(mem, file));
  },
};

registerKind(FILE_HOST_STREAM, hostStreamOperations);
