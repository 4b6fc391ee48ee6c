import { Mm } from '../sync/records/mm.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/**
 * Whoever asks the memory layer for something: a guest thread in KERNEL mode, or the main thread (`thread` is then
 * COORDINATOR and there is no Thread record). `thread` is also the owner token of every lock taken on its behalf.
 */
export interface Caller {
  readonly mem: SharedMemory;
  /** Address of the Thread record, or COORDINATOR. */
  readonly thread: number;
  /** Address of the Mm record whose addresses are meant. */
  readonly mm: number;
  /** RLIMIT_MEMLOCK does not bind it (CAP_IPC_LOCK). */
  readonly locksFreely?: boolean;
}

/** Bytes that the caller may have locked in its address space. */
export function lockLimit(c: Caller): number {
  return c.locksFreely === true ? Number.POSITIVE_INFINITY : c.mem.getU64(c.mm + Mm.limitMemlock);
}

/** What an access wants to do. */
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_FETCH = 4;

/**
 * Outcome of a page fault: FAULT_HANDLED, or the signal and its si_code packed in one number (so that the hot path
 * allocates nothing): take it apart with `faultSignal` and `faultCode`.
 */
export type FaultOutcome = number;

/** The access will now succeed: run the instruction again. */
export const FAULT_HANDLED = 0;
/** SIGSEGV, SEGV_MAPERR: nothing is mapped there. */
export const FAULT_MAPERR = (11 << 8) | 1;
/** SIGSEGV, SEGV_ACCERR: the mapping does not allow it. */
export const FAULT_ACCERR = (11 << 8) | 2;
/** SIGBUS, BUS_ADRERR: the page lies wholly beyond the end of the mapped file, or it cannot be read. */
export const FAULT_BUSERR = (7 << 8) | 2;
/** SIGKILL: the machine or the guest's limit has no frame left (the counterpart of Linux's OOM killer). */
export const FAULT_NO_MEMORY = 9 << 8;

/** Signal number of a fault that was not handled. */
export function faultSignal(outcome: FaultOutcome): number {
  return outcome >>> 8;
}
/** si_code of a fault that was not handled. */
export function faultCode(outcome: FaultOutcome): number {
  return outcome & 0xff;
}

/** A guest address given to a system call cannot be accessed; the dispatcher answers EFAULT. */
export class UserFault extends Error {
  override name = 'UserFault';
  constructor(
    /** The first guest address that could not be accessed. */
    readonly address: number,
    /** What the fault would have been in the guest itself. */
    readonly outcome: FaultOutcome,
  ) {
    super('guest address cannot be accessed');
  }
}
