import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { GUEST_ZOMBIE, Guest } from '../../sync/records/guest.js';
import { FILE_PROCESS, OpenFile } from '../../sync/records/openFile.js';
import { PROCESS_ALIVE, PROCESS_ENDED, PROCESS_GONE, ProcessId } from '../../sync/records/processId.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL } from '../errno.js';
import { POLLHUP, READABLE, signalEvents } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { createOpenFile, registerKind } from './openFile.js';
import { O_EXCL, O_NONBLOCK, O_RDWR } from './openFlags.js';

/** pidfd_open(2): a process or a thread as a file, readable once it has ended. */

/** In the flags of a pidfd: it stands for one thread. */
export const PIDFD_THREAD = O_EXCL;

/**
 * An open file on `guest`. `flags` may hold O_NONBLOCK, and PIDFD_THREAD for the guest's first thread. Machine.guestsLock is held, or the
 * guest is on no list yet.
 */
export function createPidFdLocked(mem: SharedMemory, guest: number, flags: number, owner: number): number {
  return openProcessId(mem, processIdLocked(mem, guest, owner), flags, owner);
}

/**
 * An open file on `thread`, one of `guest`'s. Machine.guestsLock is held, or the guest is the caller's own; and Guest.threadsLock, or
 * the thread is on no list yet.
 */
export function createThreadFdLocked(
  mem: SharedMemory,
  guest: number,
  thread: number,
  flags: number,
  owner: number,
): number {
  let object = mem.getU32(thread + Thread.processId);
  if (object === 0) {
    object = newProcessId(mem, mem.getU32(guest + Guest.pid), owner);
    mem.setU32(object + ProcessId.tid, mem.getU32(thread + Thread.tid));
    mem.setU32(thread + Thread.processId, object);
  }
  return openProcessId(mem, object, flags | PIDFD_THREAD, owner);
}

function openProcessId(mem: SharedMemory, object: number, flags: number, owner: number): number {
  mem.atomicAdd(object + ProcessId.refs, 1);
  const file = createOpenFile(
    mem,
    { kind: FILE_PROCESS, flags: O_RDWR | (flags & O_NONBLOCK), path: 'anon_inode:[pidfd]', object },
    owner,
  );
  // Of files that are opened by name this flag is not kept.
  if (flags & PIDFD_THREAD) mem.atomicOr(file + OpenFile.flags, PIDFD_THREAD);
  return file;
}

/** With the one reference of what it stands for. */
function newProcessId(mem: SharedMemory, pid: number, owner: number): number {
  const object = allocateBlock(mem, ProcessId.SIZE, owner);
  mem.setI32(object + ProcessId.refs, 1);
  mem.setU32(object + ProcessId.pid, pid);
  return object;
}

/** The guest's ProcessId, made where there was none; the guest has the reference. As createPidFdLocked. */
export function processIdLocked(mem: SharedMemory, guest: number, owner: number): number {
  const existing = mem.getU32(guest + Guest.processId);
  if (existing !== 0) return existing;
  const object = newProcessId(mem, mem.getU32(guest + Guest.pid), owner);
  const zombie = mem.atomicLoad(guest + Guest.phase) === GUEST_ZOMBIE;
  mem.setI32(object + ProcessId.state, zombie ? PROCESS_ENDED : PROCESS_ALIVE);
  mem.setU32(guest + Guest.processId, object);
  return object;
}

/** The ProcessId behind an open file, or 0 when it is no pidfd. */
export function processIdOf(mem: SharedMemory, file: number): number {
  return mem.getU32(file + OpenFile.kind) === FILE_PROCESS ? mem.getU32(file + OpenFile.object) : 0;
}

/** The guest has become a zombie: its pidfds are readable from now on. Machine.guestsLock is held. */
export function tellPidFdsLocked(mem: SharedMemory, guest: number, owner: number): void {
  const object = mem.getU32(guest + Guest.processId);
  if (object === 0) return;
  mem.atomicStore(object + ProcessId.state, PROCESS_ENDED);
  signalEvents(mem, object + ProcessId.source, READABLE, owner);
}

/**
 * Nothing is left of the process or thread that `field`, of its record, refers from: its pidfds are hung up, and the record's reference is
 * given back.
 */
export function leaveProcessId(mem: SharedMemory, field: number, owner: number): void {
  const object = mem.getU32(field);
  if (object === 0) return;
  mem.setU32(field, 0);
  mem.atomicStore(object + ProcessId.state, PROCESS_GONE);
  signalEvents(mem, object + ProcessId.source, READABLE | POLLHUP, owner);
  releaseProcessId(mem, object, owner);
}

/** Gives back a reference to a ProcessId. */
export function releaseProcessId(mem: SharedMemory, object: number, owner: number): void {
  if (mem.atomicAdd(object + ProcessId.refs, -1) === 1) freeBlock(mem, object, owner);
}

const pidOperations: FileOperations = {
  read: () => -EINVAL,
  write: () => -EINVAL,
  poll(mem, file) {
    const state = mem.atomicLoad(mem.getU32(file + OpenFile.object) + ProcessId.state);
    return state === PROCESS_ALIVE ? 0 : state === PROCESS_ENDED ? READABLE : READABLE | POLLHUP;
  },
  eventSource(mem, file) {
    return mem.getU32(file + OpenFile.object) + ProcessId.source;
  },
  describe(mem, file) {
    const process = mem.getU32(file + OpenFile.object);
    const gone = mem.atomicLoad(process + ProcessId.state) === PROCESS_GONE;
    const id = gone ? -1 : mem.getU32(process + ProcessId.tid) || mem.getU32(process + ProcessId.pid);
    return `Pid:\t${id}\nNSpid:\t${id}\n`;
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    releaseProcessId(mem, mem.getU32(file + OpenFile.object), owner);
  },
};

registerKind(FILE_PROCESS, pidOperations);
