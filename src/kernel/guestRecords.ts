import { countProcess, releaseTree, retainTree, uncountProcess } from '../sync/guestTree.js';
import { allocateBlock, freeBlock } from '../sync/heap.js';
import { initMutex, lockMutex, unlockMutex, withMutex } from '../sync/mutex.js';
import { monotonicNow } from '../sync/park.js';
import { Cred } from '../sync/records/cred.js';
import { GUEST_RUNNING, Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { GuestSignals } from '../sync/records/signals.js';
import { ATTENTION_EXIT, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { initWaitQueue } from '../sync/waitQueue.js';
import { ALL_CAPABILITIES, NO_CAPABILITIES, setCapabilities, storeSingleSet } from './capabilities.js';
import { fillCred, inheritCredLocked } from './credentials.js';
import { EAGAIN, SyscallError } from './errno.js';
import { leaveProcessId } from './files/pidFd.js';
import { setGroups } from './groups.js';
import { discardSignals } from './signals/pendingSignals.js';

/** RLIM_INFINITY as rlimits are kept: beyond every limit that is checked, exact as a number. */
export const RLIM_INFINITY = 2 ** 53;

export const RLIMIT_CPU = 0;
export const RLIMIT_FSIZE = 1;
export const RLIMIT_DATA = 2;
export const RLIMIT_STACK = 3;
export const RLIMIT_CORE = 4;
export const RLIMIT_RSS = 5;
export const RLIMIT_NPROC = 6;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIMIT_LOCKS = 10;
export const RLIMIT_SIGPENDING = 11;
export const RLIMIT_MSGQUEUE = 12;
export const RLIMIT_NICE = 13;
export const RLIMIT_RTPRIO = 14;
export const RLIMIT_RTTIME = 15;

/** Makes a Guest record with default limits and no threads, and puts it on the machine's list. */
export function createGuestRecord(
  mem: SharedMemory,
  owner: number,
  pid: number,
  stackSize: number,
  user: number,
  group: number,
): number {
  const guest = allocateBlock(mem, Guest.SIZE, owner);
  initMutex(mem, guest + Guest.threadsLock);
  initWaitQueue(mem, guest + Guest.childEvents);
  mem.setU32(guest + Guest.pid, pid);
  mem.setU32(guest + Guest.pgid, pid);
  mem.setU32(guest + Guest.sid, pid);
  mem.setI32(guest + Guest.phase, GUEST_RUNNING);
  mem.setU32(guest + Guest.signals, allocateBlock(mem, GuestSignals.SIZE, owner));
  mem.set64(guest + Guest.startTime, Math.round(monotonicNow() * 1000));
  const cred = guest + Guest.cred;
  for (let i = 0; i < 4; i++) {
    mem.setU32(cred + Cred.uids + i * 4, user);
    mem.setU32(cred + Cred.gids + i * 4, group);
  }
  if (user === 0) {
    const all = { effective: ALL_CAPABILITIES, permitted: ALL_CAPABILITIES, inheritable: NO_CAPABILITIES };
    setCapabilities(mem, cred, all);
  }
  storeSingleSet(mem, cred, Cred.boundingSet, ALL_CAPABILITIES);
  for (let which = 0; which < 16; which++) setLimit(mem, guest, which, RLIM_INFINITY, RLIM_INFINITY);
  setLimit(mem, guest, RLIMIT_STACK, stackSize, RLIM_INFINITY);
  setLimit(mem, guest, RLIMIT_CORE, 0, RLIM_INFINITY);
  setLimit(mem, guest, RLIMIT_NOFILE, 1024, 1048576);
  setLimit(mem, guest, RLIMIT_MEMLOCK, 8 << 20, 8 << 20);
  setLimit(mem, guest, RLIMIT_SIGPENDING, 4096, 4096);
  setLimit(mem, guest, RLIMIT_MSGQUEUE, 819200, 819200);
  setLimit(mem, guest, RLIMIT_NICE, 0, 0);
  setLimit(mem, guest, RLIMIT_RTPRIO, 0, 0);
  if (group !== 0) setGroups(mem, guest, cred, [group], owner);
  withMutex(mem, MACHINE + Machine.guestsLock, owner, () => enlistGuestLocked(mem, guest));
  return guest;
}

/**
 * Makes a Guest record that is as `parent` is: limits, options. It acts as `cred` says. It is on no list yet and has no threads.
 * Throws OutOfKernelMemory, and SyscallError EAGAIN when the parent's tree has as many processes as it may.
 */
export function copyGuestRecord(
  mem: SharedMemory,
  owner: number,
  parent: number,
  cred: number,
  pid: number,
): number {
  const tree = mem.getU32(parent + Guest.tree);
  if (!countProcess(mem, tree)) throw new SyscallError(EAGAIN);
  let guest: number;
  try {
    guest = allocateBlock(mem, Guest.SIZE, owner);
  } catch (error) {
    uncountProcess(mem, tree);
    throw error;
  }
  mem.setU32(guest + Guest.family, mem.getU32(parent + Guest.family));
  mem.setU32(guest + Guest.tree, tree);
  retainTree(mem, tree);
  initMutex(mem, guest + Guest.threadsLock);
  initWaitQueue(mem, guest + Guest.childEvents);
  mem.setU32(guest + Guest.pid, pid);
  mem.setU32(guest + Guest.pgid, mem.getU32(parent + Guest.pgid));
  mem.setU32(guest + Guest.sid, mem.getU32(parent + Guest.sid));
  mem.setI32(guest + Guest.phase, GUEST_RUNNING);
  mem.set64(guest + Guest.startTime, Math.round(monotonicNow() * 1000));
  mem.u8.copyWithin(guest + Guest.oomScoreAdj, parent + Guest.oomScoreAdj, parent + Guest.startTime);
  mem.setU32(guest + Guest.noNewPrivileges, mem.getU32(parent + Guest.noNewPrivileges));
  mem.setU32(guest + Guest.flavour, mem.getU32(parent + Guest.flavour));
  mem.setU32(guest + Guest.personality, mem.getU32(parent + Guest.personality));
  mem.setU32(guest + Guest.hugePagesDisabled, mem.getU32(parent + Guest.hugePagesDisabled));
  try {
    fillCred(mem, cred, guest + Guest.cred, owner);
    mem.setU32(guest + Guest.signals, allocateBlock(mem, GuestSignals.SIZE, owner));
    const options = mem.getU32(parent + Guest.optionsText);
    if (options !== 0) {
      const length = mem.getU32(parent + Guest.optionsLength);
      const copy = allocateBlock(mem, Math.max(1, length), owner);
      mem.u8.copyWithin(copy, options, options + length);
      mem.setU32(guest + Guest.optionsText, copy);
      mem.setU32(guest + Guest.optionsLength, length);
    }
  } catch (error) {
    freeGuestBlocks(mem, guest, owner);
    throw error;
  }
  return guest;
}

/** Puts a guest on the machine's list. Machine.guestsLock is held. */
export function enlistGuestLocked(mem: SharedMemory, guest: number): void {
  mem.setU32(guest + Guest.nextGuest, mem.getU32(MACHINE + Machine.guests));
  mem.setU32(MACHINE + Machine.guests, guest);
  mem.setI32(MACHINE + Machine.guestCount, mem.getI32(MACHINE + Machine.guestCount) + 1);
}

/** Soft and hard limit of a resource, RLIM_INFINITY for none. */
export function getLimit(mem: SharedMemory, guest: number, which: number): readonly [number, number] {
  const at = guest + Guest.rlimits + which * 16;
  return [mem.getU64(at), mem.getU64(at + 8)];
}

export function setLimit(mem: SharedMemory, guest: number, which: number, soft: number, hard: number): void {
  const at = guest + Guest.rlimits + which * 16;
  mem.set64(at, Math.min(soft, RLIM_INFINITY));
  mem.set64(at + 8, Math.min(hard, RLIM_INFINITY));
}

/** Takes a zombie off the machine's list and frees it. Nobody may refer to it any more. */
export function freeGuestRecord(mem: SharedMemory, guest: number, owner: number): void {
  withMutex(mem, MACHINE + Machine.guestsLock, owner, () => freeGuestLocked(mem, guest, owner));
}

/** freeGuestRecord for a caller that holds Machine.guestsLock. */
export function freeGuestLocked(mem: SharedMemory, guest: number, owner: number): void {
  let link = MACHINE + Machine.guests;
  while (mem.getU32(link) !== guest) {
    if (mem.getU32(link) === 0) throw new Error('guest reaped twice');
    link = mem.getU32(link) + Guest.nextGuest;
  }
  mem.setU32(link, mem.getU32(guest + Guest.nextGuest));
  mem.setI32(MACHINE + Machine.guestCount, mem.getI32(MACHINE + Machine.guestCount) - 1);
  freeGuestBlocks(mem, guest, owner);
}

/** Frees a Guest record that is on no list, and what belongs to it. */
export function freeGuestBlocks(mem: SharedMemory, guest: number, owner: number): void {
  const signals = mem.getU32(guest + Guest.signals);
  if (signals !== 0) {
    discardSignals(mem, signals + GuestSignals.pending, owner);
    freeBlock(mem, signals, owner);
  }
  leaveProcessId(mem, guest + Guest.processId, owner);
  for (const field of [Guest.execMessage, Guest.crashMessage, Guest.optionsText, Guest.cred + Cred.groups]) {
    const block = mem.getU32(guest + field);
    if (block !== 0) freeBlock(mem, block, owner);
  }
  const tree = mem.getU32(guest + Guest.tree);
  uncountProcess(mem, tree);
  releaseTree(mem, tree, owner);
  freeBlock(mem, guest, owner);
}

/**
 * Makes `thread` one of the guest's; false when the guest is ending (or in execve), and the thread must not start. The caller holds no
 * lock of the guest. `creator` is the thread of the guest that it is to act as, 0 for its first thread.
 */
export function joinGuest(
  mem: SharedMemory,
  guest: number,
  thread: number,
  creator: number,
  owner: number,
): boolean {
  lockMutex(mem, guest + Guest.threadsLock, owner);
  try {
    if (mem.atomicLoad(guest + Guest.phase) !== GUEST_RUNNING) return false;
    if (mem.getU32(guest + Guest.execThread) !== 0) return false;
    if (creator !== 0) inheritCredLocked(mem, thread, creator);
    mem.setU32(thread + Thread.guest, guest);
    mem.setU32(thread + Thread.nextInGuest, mem.getU32(guest + Guest.threads));
    mem.setU32(guest + Guest.threads, thread);
    const count = mem.getI32(guest + Guest.threadCount) + 1;
    mem.setI32(guest + Guest.threadCount, count);
    mem.atomicAdd(guest + Guest.threadsStarted, 1);
    if (count > mem.getI32(guest + Guest.threadsPeak)) mem.setI32(guest + Guest.threadsPeak, count);
    return true;
  } finally {
    unlockMutex(mem, guest + Guest.threadsLock, owner);
  }
}

/** The thread of the guest with id `tid`, or 0. The caller holds Guest.threadsLock. */
export function threadByTidLocked(mem: SharedMemory, guest: number, tid: number): number {
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest))
    if (mem.getU32(t + Thread.tid) === tid) return t;
  return 0;
}

/** Calls `visit` for every guest of the machine; it must not take guestsLock. Ends early when `visit` returns true. */
export function visitGuests(mem: SharedMemory, owner: number, visit: (guest: number) => boolean): void {
  withMutex(mem, MACHINE + Machine.guestsLock, owner, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest))
      if (visit(g)) return;
  });
}

/** Tells every thread of the guest but `self` to exit. The caller holds Guest.threadsLock. */
export function orderExitLocked(
  mem: SharedMemory,
  guest: number,
  self: number,
  wake: (thread: number) => void,
): void {
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
    if (t === self) continue;
    mem.atomicOr(t + Thread.attention, ATTENTION_EXIT);
    wake(t);
  }
}
