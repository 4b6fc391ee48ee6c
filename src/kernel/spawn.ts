import { createMm, type MmOptions } from '../mm/addressSpace.js';
import { Guest } from '../sync/records/guest.js';
import { START_EXEC, Thread } from '../sync/records/thread.js';
import { addThread } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { type ExecArguments, storeExecRequest } from './exec.js';
import { endGuest } from './exit.js';
import { defaultGuestOptions, type GuestOptions, writeGuestOptions } from './guestOptions.js';
import { createGuestRecord, freeGuestRecord, joinGuest } from './guestRecords.js';
import { placementOf } from './placement.js';
import { sendSignal } from './signals/pendingSignals.js';
import { sentInfo } from './signals/sigInfo.js';
import { SI_USER, SIGKILL } from './signals/signalNumbers.js';
import { allocateThread, allocateTid, createSighand } from './threadRecords.js';

/** A guest that the embedder starts. */
export interface SpawnRequest extends ExecArguments {
  /** Descriptor table and Fs record of kernel/files, made by the caller; the guest takes over the one reference. */
  readonly files: number;
  readonly fs: number;
  readonly options: Partial<GuestOptions>;
  /** Limits of the address space, as mm/ takes them. */
  readonly mm?: MmOptions;
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
  const mm = createMm(mem, owner, {
    taskSize: options.reservedVa,
    limitStack: options.stackSize,
    ...placementOf(mem, options),
    ...request.mm,
  });
  const guest = createGuestRecord(mem, owner, pid, options.stackSize, request.user ?? 0, request.group ?? 0);
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
  joinGuest(mem, guest, thread, owner);
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

/** Frees the record of a guest whose end has been reported (RequestKind.GuestEnded) and read. */
export function reapGuest(mem: SharedMemory, guest: number, owner: number): void {
  freeGuestRecord(mem, guest, owner);
}
