import { withMutex } from '../../sync/mutex.js';
import { monotonicNow } from '../../sync/park.js';
import { EventSource } from '../../sync/records/events.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { FILE_TERMINAL, OpenFile } from '../../sync/records/openFile.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_SYS_ADMIN, capable } from '../capabilities.js';
import { EAGAIN, EBADF, EBUSY, EIO, ENOTTY, ENXIO, ERESTARTSYS, SyscallError } from '../errno.js';
import { POLLERR, POLLHUP, READABLE, signalEvents, WRITABLE } from '../files/events.js';
import type { FileOperations } from '../files/fileOperations.js';
import { createOpenFile, flagsOf, pathOf, registerKind } from '../files/openFile.js';
import { O_ACCMODE, O_NOCTTY, O_NONBLOCK, O_RDONLY, O_WRONLY } from '../files/openFlags.js';
import type { ByteVector } from '../files/userVector.js';
import { SIGTTIN, SIGTTOU } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { mustNotWait, waitInQueue } from '../waiting.js';
import { askForInput } from './console.js';
import { checkForeground, takeOpenedTerminal } from './controllingTerminal.js';
import { outputRoom, writeOutputLocked } from './lineOutput.js';
import { bytesAvailable, inputAvailable, patienceOf, takeInputLocked } from './lineRead.js';
import { awaitDrained } from './settings.js';
import { onOpenPeer, TIOCSPGRP, terminalIoctl } from './terminalIoctl.js';
import { changeTerminal, statusOfNode, statusOfTerminal } from './terminalNodes.js';
import { localFlags, modesLocked, TOSTOP } from './termios.js';
import { releaseTty, retainTty, terminalPath } from './tty.js';
import { withTty } from './withTty.js';

/** Open files on a terminal: the slave of a pseudo-terminal, or the console. */

export const TTY_PATH = '/dev/tty';
/** Bytes moved at once. */
const CHUNK = 4096;
const chunk = new Uint8Array(CHUNK);
/** Output that one byte may become. */
const ROOM = 8;

/** An open file of the terminal, of which it takes over a reference. Any thread; `path` as it was opened. */
export function createTerminalFile(
  mem: SharedMemory,
  tty: number,
  flags: number,
  path: string,
  owner: number,
): number {
  withMutex(mem, tty + Tty.lock, owner, () => {
    mem.atomicAdd(tty + Tty.slaves, 1);
    mem.setU32(tty + Tty.slavesGone, 0);
  });
  const detail = mem.atomicLoad(tty + Tty.hangups);
  return createOpenFile(mem, { kind: FILE_TERMINAL, flags, path, object: tty, detail }, owner);
}

/**
 * open of /dev/pts/N, or TIOCGPTPEER (`peer`), which minds no lock: takes over a reference to the terminal. Throws EIO when it
 * is locked or its other end is gone, EBUSY when somebody wants it for himself.
 */
export function openTerminal(t: ThreadContext, tty: number, flags: number, peer = false): number {
  const { mem, thread } = t;
  const gone = mem.getU32(tty + Tty.console) === 0 && mem.atomicLoad(tty + Tty.masters) === 0;
  const busy = mem.getU32(tty + Tty.exclusive) !== 0 && !capable(t, CAP_SYS_ADMIN);
  if (gone || busy || (!peer && mem.getU32(tty + Tty.locked) !== 0)) {
    releaseTty(mem, tty, thread);
    throw new SyscallError(busy ? EBUSY : EIO);
  }
  const file = createTerminalFile(mem, tty, flags & ~O_NOCTTY, terminalPath(mem, tty), thread);
  if ((flags & O_NOCTTY) === 0 && (flags & O_ACCMODE) !== O_WRONLY) takeOpenedTerminal(t, tty);
  return file;
}

/** open of /dev/tty: the caller's controlling terminal. Throws ENXIO when it has none. */
export function openOwnTerminal(t: ThreadContext, flags: number): number {
  const { mem, guest, thread } = t;
  const tty = withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const own = mem.getU32(guest + Guest.terminal);
    if (own !== 0) retainTty(mem, own, thread);
    return own;
  });
  if (tty === 0) throw new SyscallError(ENXIO);
  return createTerminalFile(mem, tty, flags & ~O_NOCTTY, TTY_PATH, thread);
}

function ttyOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.object);
}

/** The terminal has been hung up since the file was opened. */
function isHungUp(mem: SharedMemory, file: number): boolean {
  return mem.atomicLoad(ttyOf(mem, file) + Tty.hangups) !== mem.getI32(file + OpenFile.detail);
}

function canWrite(mem: SharedMemory, tty: number): boolean {
  return mem.getU32(tty + Tty.stopped) === 0 && outputRoom(mem, tty) >= ROOM;
}

function read(t: ThreadContext, file: number, into: ByteVector): number {
  const { mem, thread } = t;
  const flags = flagsOf(mem, file);
  if ((flags & O_ACCMODE) === O_WRONLY) return -EBADF;
  const tty = ttyOf(mem, file);
  if (!t.resumed) {
    if (isHungUp(mem, file)) return 0;
    const allowed = checkForeground(t, tty, SIGTTIN);
    if (allowed !== 0 || into.length === 0) return allowed;
  }
  into.probe(t, 'write');
  const { minimum, first, between } = patienceOf(mem, tty);
  let deadline = first === 0 ? -Infinity : t.deadlineIn(first);
  let done = 0;
  for (;;) {
    const taken = withTty(mem, tty, thread, (outcome) =>
      inputAvailable(mem, tty, false)
        ? takeInputLocked(mem, tty, chunk.subarray(0, Math.min(CHUNK, into.length - done)), outcome)
        : -1,
    );
    if (taken >= 0) {
      if (taken > 0) {
        const copied = into.copyOut(t, done, chunk.subarray(0, taken));
        done += copied;
        if (copied < taken) return done;
      }
      // The main thread may have stopped reading for want of room.
      if (mem.getU32(tty + Tty.console) !== 0 && mem.getU32(tty + Tty.arrivingUsed) > 0)
        askForInput(mem, tty, thread);
      if (done >= minimum || done === into.length) return done;
      if (between !== Infinity) deadline = monotonicNow() + between;
      continue;
    }
    if (isHungUp(mem, file)) return done > 0 || mem.getU32(tty + Tty.console) !== 0 ? done : -EIO;
    if (deadline === -Infinity) return done;
    if (mustNotWait(t, file)) return done > 0 ? done : -EAGAIN;
    askForInput(mem, tty, thread);
    const outcome = waitInQueue(
      t,
      tty + Tty.source + EventSource.waiters,
      () => inputAvailable(mem, tty, false) || isHungUp(mem, file),
      { deadline, stays: done > 0 },
    );
    if (outcome === 'timed-out') return done;
    if (outcome === 'interrupted') return done > 0 ? done : -ERESTARTSYS;
  }
}

function write(t: ThreadContext, file: number, from: ByteVector): number {
  const { mem, thread } = t;
  const flags = flagsOf(mem, file);
  if ((flags & O_ACCMODE) === O_RDONLY) return -EBADF;
  const tty = ttyOf(mem, file);
  if (!t.resumed && isHungUp(mem, file)) return -EIO;
  if (!t.resumed && (localFlags(mem, tty) & TOSTOP) !== 0) {
    const allowed = checkForeground(t, tty, SIGTTOU);
    if (allowed !== 0) return allowed;
  }
  let done = t.takeProgress();
  while (done < from.length) {
    const had = from.copyIn(t, done, chunk.subarray(0, Math.min(CHUNK, from.length - done)));
    if (had === 0) break;
    const taken = withTty(mem, tty, thread, (outcome) =>
      isHungUp(mem, file)
        ? 0
        : writeOutputLocked(mem, tty, modesLocked(mem, tty), chunk.subarray(0, had), outcome),
    );
    done += taken;
    if (taken === had) continue;
    if (isHungUp(mem, file)) return done > 0 ? done : -EIO;
    if (mustNotWait(t, file)) return done > 0 ? done : -EAGAIN;
    const outcome = waitInQueue(
      t,
      tty + Tty.source + EventSource.waiters,
      () => canWrite(mem, tty) || isHungUp(mem, file),
      { progress: done },
    );
    if (outcome === 'interrupted') return done > 0 ? done : -ERESTARTSYS;
  }
  // What has been written to the host's terminal is there when the call returns: the guest may be about to end.
  if ((flags & O_NONBLOCK) === 0 && mem.getU32(tty + Tty.stopped) === 0) awaitDrained(t, tty);
  return done;
}

function poll(mem: SharedMemory, file: number): number {
  const tty = ttyOf(mem, file);
  if (isHungUp(mem, file)) return READABLE | WRITABLE | POLLERR | POLLHUP;
  return (inputAvailable(mem, tty, true) ? READABLE : 0) | (canWrite(mem, tty) ? WRITABLE : 0);
}

const terminalOperations: FileOperations = {
  read,
  write,
  poll,
  eventSource: (mem, file) => ttyOf(mem, file) + Tty.source,
  interest(t, file) {
    const tty = ttyOf(t.mem, file);
    if (!inputAvailable(t.mem, tty, true)) askForInput(t.mem, tty, t.thread);
  },
  available: (mem, file) => bytesAvailable(mem, ttyOf(mem, file)),
  status(t, file) {
    return pathOf(t.mem, file) === TTY_PATH
      ? statusOfNode(t, 'tty')
      : statusOfTerminal(t.mem, ttyOf(t.mem, file));
  },
  ioctl(t, file, request, argument) {
    if (isHungUp(t.mem, file)) return request >>> 0 === TIOCSPGRP ? -ENOTTY : -EIO;
    return terminalIoctl(t, ttyOf(t.mem, file), flagsOf(t.mem, file), request >>> 0, argument);
  },
  changeMode(t, file, mode) {
    changeTerminal(t.mem, ttyOf(t.mem, file), { mode }, t.thread);
    return 0;
  },
  changeOwner(t, file, uid, gid) {
    changeTerminal(t.mem, ttyOf(t.mem, file), { uid, gid }, t.thread);
    return 0;
  },
  release(mem, file, owner) {
    const tty = ttyOf(mem, file);
    const last = withMutex(mem, tty + Tty.lock, owner, () => {
      if (mem.atomicAdd(tty + Tty.slaves, -1) !== 1) return false;
      mem.setU32(tty + Tty.slavesGone, 1);
      return true;
    });
    if (last) signalEvents(mem, tty + Tty.masterSource, READABLE | POLLHUP, owner);
    releaseTty(mem, tty, owner);
  },
};

registerKind(FILE_TERMINAL, terminalOperations);
onOpenPeer((t, tty, flags) => openTerminal(t, tty, flags, true));
