import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { GUEST_ZOMBIE, Guest } from '../../sync/records/guest.js';
import { FILE_PROCESS, OpenFile } from '../../sync/records/openFile.js';
import { ProcessId } from '../../sync/records/processId.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL } from '../errno.js';
import { READABLE, signalEvents } from './events.js';
import type { FileOperations } from './fileOperations.js';
import { anonymousStatus } from './fileStatus.js';
import { createOpenFile, registerKind } from './openFile.js';
import { O_NONBLOCK, O_RDWR } from './openFlags.js';

/** pidfd_open(2): a process as a file, readable once it has ended. */

/**
 * An open file on `guest`. `flags` may hold O_NONBLOCK. Machine.guestsLock is held, or the guest is on no list yet.
 */
export function createPidFdLocked(mem: SharedMemory, guest: number, flags: number, owner: number): number {
  const object = processIdLocked(mem, guest, owner);
  mem.atomicAdd(object + ProcessId.refs, 1);
  return createOpenFile(
    mem,
    { kind: FILE_PROCESS, flags: O_RDWR | (flags & O_NONBLOCK), path: 'anon_inode:[pidfd]', object },
    owner,
  );
}

/** The guest's ProcessId, made where there was none; the guest has the reference. As createPidFdLocked. */
export function processIdLocked(mem: SharedMemory, guest: number, owner: number): number {
  const existing = mem.getU32(guest + Guest.processId);
  if (existing !== 0) return existing;
  const object = allocateBlock(mem, ProcessId.SIZE, owner);
  mem.setI32(object + ProcessId.refs, 1);
  mem.setU32(object + ProcessId.pid, mem.getU32(guest + Guest.pid));
  mem.setI32(object + ProcessId.ended, mem.atomicLoad(guest + Guest.phase) === GUEST_ZOMBIE ? 1 : 0);
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
  mem.atomicStore(object + ProcessId.ended, 1);
  signalEvents(mem, object + ProcessId.source, READABLE, owner);
}

/** Gives back a reference to a ProcessId. */
export function releaseProcessId(mem: SharedMemory, object: number, owner: number): void {
  if (mem.atomicAdd(object + ProcessId.refs, -1) === 1) freeBlock(mem, object, owner);
}

const pidOperations: FileOperations = {
  read: () => -EINVAL,
  write: () => -EINVAL,
  poll(mem, file) {
    return mem.atomicLoad(mem.getU32(file + OpenFile.object) + ProcessId.ended) !== 0 ? READABLE : 0;
  },
  eventSource(mem, file) {
    return mem.getU32(file + OpenFile.object) + ProcessId.source;
  },
  status: anonymousStatus,
  release(mem, file, owner) {
    releaseProcessId(mem, mem.getU32(file + OpenFile.object), owner);
  },
};

registerKind(FILE_PROCESS, pidOperations);
