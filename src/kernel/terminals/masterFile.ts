import { withMutex } from '../../sync/mutex.js';
import { Cred } from '../../sync/records/cred.js';
import { EventSource } from '../../sync/records/events.js';
import { FILE_MASTER, OpenFile } from '../../sync/records/openFile.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EAGAIN, EBADF, EIO, ENOSPC, ERESTARTSYS, SyscallError } from '../errno.js';
import { POLLHUP, POLLPRI, READABLE, WRITABLE } from '../files/events.js';
import type { FileOperations } from '../files/fileOperations.js';
import { createOpenFile, flagsOf, registerKind } from '../files/openFile.js';
import { O_ACCMODE, O_NOCTTY, O_RDONLY, O_WRONLY } from '../files/openFlags.js';
import type { ByteVector } from '../files/userVector.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { hangUp } from './hangUp.js';
import { arrivalRoom, arriveLocked } from './lineInput.js';
import { takeOutputLocked } from './lineOutput.js';
import { masterIoctl } from './terminalIoctl.js';
import { statusOfNode } from './terminalNodes.js';
import { createTty, releaseTty } from './tty.js';
import { withTty } from './withTty.js';

/** The master's end of a pseudo-terminal: what a terminal emulator has (pty.c). */

export const PTMX_PATH = '/dev/ptmx';
/** What a read in packet mode begins with when data follow. */
const PACKET_DATA = 0;
const CHUNK = 8192;
const chunk = new Uint8Array(CHUNK);

/** open of /dev/ptmx: a new pseudo-terminal, whose slave is locked. Throws ENOSPC. */
export function openMaster(t: ThreadContext, flags: number): number {
  const { mem, thread } = t;
  const tty = createTty(mem, thread, { uid: mem.getU32(t.cred + Cred.uids + 12) });
  if (tty === 0) throw new SyscallError(ENOSPC);
  mem.atomicStore(tty + Tty.masters, 1);
  mem.setU32(tty + Tty.locked, 1);
  return createOpenFile(
    mem,
    { kind: FILE_MASTER, flags: flags & ~O_NOCTTY, path: PTMX_PATH, object: tty },
    thread,
  );
}

function ttyOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

/** In packet mode, whether there is a change to be told of. */
function hasStatus(mem: SharedMemory, tty: number): boolean {
  return mem.getU32(tty + Tty.packet) !== 0 && mem.atomicLoad(tty + Tty.packetStatus) !== 0;
}

function canRead(mem: SharedMemory, tty: number): boolean {
  return mem.atomicLoad(tty + Tty.outputUsed) > 0 || hasStatus(mem, tty);
}

/** Fills `into` with what the master reads next; 0 when there is nothing. */
function take(mem: SharedMemory, tty: number, into: Uint8Array, owner: number): number {
  return withTty(mem, tty, owner, (outcome) => {
    if (mem.getU32(tty + Tty.packet) === 0) return takeOutputLocked(mem, tty, into, outcome);
    const status = mem.atomicExchange(tty + Tty.packetStatus, 0);
    if (status === 0 && mem.getU32(tty + Tty.outputUsed) === 0) return 0;
    into[0] = status === 0 ? PACKET_DATA : status;
    return 1 + (status === 0 ? takeOutputLocked(mem, tty, into.subarray(1), outcome) : 0);
  });
}

function read(t: ThreadContext, file: number, into: ByteVector): number {
  const { mem, thread } = t;
  const flags = flagsOf(mem, file);
  if ((flags & O_ACCMODE) === O_WRONLY) return -EBADF;
  if (into.length === 0) return 0;
  const tty = ttyOf(mem, file);
  into.probe(t, 'write');
  for (;;) {
    const taken = take(mem, tty, chunk.subarray(0, Math.min(CHUNK, into.length)), thread);
    if (taken > 0) return into.copyOut(t, 0, chunk.subarray(0, taken));
    if (mem.getU32(tty + Tty.slavesGone) !== 0) return -EIO;
    if (mustNotWait(t, file)) return -EAGAIN;
    const outcome = waitInQueue(
      t,
      tty + Tty.masterSource + EventSource.waiters,
      () => canRead(mem, tty) || mem.getU32(tty + Tty.slavesGone) !== 0,
    );
    if (outcome === 'interrupted') return -ERESTARTSYS;
  }
}

function write(t: ThreadContext, file: number, from: ByteVector): number {
  const { mem, thread } = t;
  const flags = flagsOf(mem, file);
  if ((flags & O_ACCMODE) === O_RDONLY) return -EBADF;
  const tty = ttyOf(mem, file);
  let done = t.takeProgress();
  while (done < from.length) {
    const had = from.copyIn(t, done, chunk.subarray(0, Math.min(CHUNK, from.length - done)));
    if (had === 0) break;
    const taken = withTty(mem, tty, thread, (outcome) =>
      arriveLocked(mem, tty, chunk.subarray(0, had), outcome),
    );
    done += taken;
    if (taken === had) continue;
    if (mustNotWait(t, file)) return done > 0 ? done : -EAGAIN;
    const outcome = waitInQueue(
      t,
      tty + Tty.masterSource + EventSource.waiters,
      () => arrivalRoom(mem, tty) > 0,
      { progress: done },
    );
    if (outcome === 'interrupted') return done > 0 ? done : -ERESTARTSYS;
  }
  return done;
}

const masterOperations: FileOperations = {
  read,
  write,
  poll(mem, file) {
    const tty = ttyOf(mem, file);
    return (
      (canRead(mem, tty) ? READABLE : 0) |
      (hasStatus(mem, tty) ? POLLPRI : 0) |
      (mem.getU32(tty + Tty.slavesGone) !== 0 ? POLLHUP : 0) |
      (arrivalRoom(mem, tty) > 0 ? WRITABLE : 0)
    );
  },
  eventSource: (mem, file) => ttyOf(mem, file) + Tty.masterSource,
  available: (mem, file) => mem.atomicLoad(ttyOf(mem, file) + Tty.outputUsed),
  status: (t) => statusOfNode(t, 'ptmx'),
  ioctl(t, file, request, argument) {
    return masterIoctl(t, ttyOf(t.mem, file), request >>> 0, argument);
  },
  release(mem, file, owner) {
    const tty = ttyOf(mem, file);
    withMutex(mem, tty + Tty.lock, owner, () => mem.atomicStore(tty + Tty.masters, 0));
    hangUp(mem, tty, owner);
    releaseTty(mem, tty, owner);
  },
};

registerKind(FILE_MASTER, masterOperations);
