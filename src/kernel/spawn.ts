import { createMm, type MmOptions } from '../mm/addressSpace.js';
import { countProcess, countThread, createTree, type TreeLimits } from '../sync/guestTree.js';
import { Mutex, tryLockMutex, unlockMutex } from '../sync/mutex.js';
import { GUEST_RUNNING, GUEST_ZOMBIE, Guest, INIT_PID } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { START_EXEC, Thread } from '../sync/records/thread.js';
import { addThread } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { type StartArguments, storeExecRequest } from './exec.js';
import { endGuest } from './exit.js';
import { defaultGuestOptions, type GuestOptions, writeGuestOptions } from './guestOptions.js';
import { createGuestRecord, freeGuestRecord, joinGuest, visitGuests } from './guestRecords.js';
import { placementOf } from './placement.js';
import { visitGuestsLocked } from './processGroups.js';
import { sendSignal } from './signals/pendingSignals.js';
import { sentInfo } from './signals/sigInfo.js';
import { SI_USER, SIGKILL } from './signals/signalNumbers.js';
import { allocateThread, allocateTid, createSighand } from './threadRecords.js';

/** A guest that the embedder starts. */
export interface SpawnRequest extends StartArguments {
  /** Descriptor table and Fs record of kernel/files, made by the caller; the guest takes over the one reference. */
  readonly files: number;
  readonly fs: number;
  readonly options: Partial<GuestOptions>;
  /** Limits of the address space, as mm/ takes them. */
  readonly mm?: MmOptions;
  /** What it and its descendants may have together; absent: no limits. */
  readonly tree?: TreeLimits;
  /** User and group of the guest; default 0. */
  readonly user?: number;
  readonly group?: number;
}

/**
 * Makes a guest with its first thread, which will begin by loading the program. The caller (main thread, `owner`
 * COORDINATOR) then reserves a host and starts `Guest.threads`; its failures to load show in Guest.execErrno.
 */
export function spawnGuest(mem: SharedMemory, owner: number, request: SpawnRequest): number {
  const options = { ...defaultGuestOptions, ...request.options };
  const pid = allocateTid(mem, owner);
  const limits = request.tree;
  const tree = limits === undefined ? 0 : createTree(mem, limits, owner);
  const mm = createMm(mem, owner, {
    ...(limits?.frames !== undefined && { memoryTree: tree }),
    taskSize: options.reservedVa,
    pageSize: options.pageSize,
    limitStack: options.stackSize,
    ...placementOf(mem, options),
    ...request.mm,
  });
  const guest = createGuestRecord(mem, owner, pid, options.stackSize, request.user ?? 0, request.group ?? 0);
  mem.setU32(guest + Guest.family, mem.atomicAdd(MACHINE + Machine.lastFamily, 1) + 1);
  mem.setU32(guest + Guest.tree, tree);
  countProcess(mem, tree);
  countThread(mem, tree);
  writeGuestOptions(mem, guest, request.options, owner);
  const thread = allocateThread(mem, owner);
  mem.setU32(thread + Thread.tid, pid);
  mem.setU32(thread + Thread.files, request.files);
  mem.setU32(thread + Thread.fs, request.fs);
  const sighand = createSighand(mem, owner);
  mem.setU32(thread + Thread.sighand, sighand);
  mem.setU32(guest + Guest.sighand, sighand);
  mem.setU32(thread + Thread.start, START_EXEC);
  mem.setU32(thread + Thread.execRequest, storeExecRequest(mem, request, owner));
  addThread(mem, mm, thread, owner);
  joinGuest(mem, guest, thread, 0, owner);
  return guest;
}

/** Sends a signal to a guest on the embedder's behalf. */
export function killGuest(mem: SharedMemory, guest: number, signal: number, owner: number): void {
  sendSignal(mem, owner, guest, 0, signal, sentInfo(signal, SI_USER, 0, 0));
}

/** Ends a guest as SIGKILL does, without waiting for any of its threads: the machine closes. */
export function terminateGuest(mem: SharedMemory, guest: number, owner: number): void {
  endGuest(mem, guest, 0, SIGKILL, owner);
}

/** killGuest for every guest of a process group: what a key of the terminal does. */
export function killGroup(mem: SharedMemory, group: number, signal: number, owner: number): void {
  visitGuests(mem, owner, (guest) => {
    if (mem.getU32(guest + Guest.pgid) === group) killGuest(mem, guest, signal, owner);
    return false;
  });
}

/**
 * Runs `body` with the list of guests locked. Whoever failed may hold the lock for ever, so it is not waited for long; false
 * when it could not be had.
 */
function withGuestList(mem: SharedMemory, owner: number, body: () => void): boolean {
  const lock = MACHINE + Machine.guestsLock;
  for (let tries = 0; !tryLockMutex(mem, lock, owner); tries++) {
    if (tries === 100) return false;
    Atomics.wait(mem.i32, (lock + Mutex.state) >>> 2, mem.atomicLoad(lock + Mutex.state), 1);
  }
  try {
    body();
  } finally {
    unlockMutex(mem, lock, owner);
  }
  return true;
}

/** terminateGuest for every guest of the machine, those that guests have made included; false when their list could not be had. */
export function terminateAllGuests(mem: SharedMemory, owner: number): boolean {
  return withGuestList(mem, owner, () => {
    visitGuestsLocked(mem, (guest) => {
      const runs = mem.atomicLoad(guest + Guest.phase) === GUEST_RUNNING;
      if (runs && mem.getU32(guest + Guest.pid) !== INIT_PID) terminateGuest(mem, guest, owner);
      return false;
    });
  });
}

/**
 * SIGKILL to every guest of a family (Guest.family) that has not ended yet. Says how many those were; one that forks at this moment
 * may have left a child, so whoever wants none has to ask again.
 */
export function killFamily(mem: SharedMemory, family: number, owner: number): number {
  let alive = 0;
  const looked = withGuestList(mem, owner, () => {
    visitGuestsLocked(mem, (guest) => {
      if (mem.getU32(guest + Guest.family) !== family) return false;
      if (mem.atomicLoad(guest + Guest.phase) === GUEST_ZOMBIE) return false;
      alive++;
      killGuest(mem, guest, SIGKILL, owner);
      return false;
    });
  });
  return looked ? alive : 1;
}

/** Frees the record of a guest whose end has been reported (RequestKind.GuestEnded) and read. */
export function reapGuest(mem: SharedMemory, guest: number, owner: number): void {
  freeGuestRecord(mem, guest, owner);
}
