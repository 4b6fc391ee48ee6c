import { monotonicNow } from '../sync/park.js';
import { FLAVOUR_FREEBSD, Guest } from '../sync/records/guest.js';
import { ATTENTION_EXIT, ATTENTION_SIGNAL, Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { CAP_IPC_LOCK, capable } from './capabilities.js';
import { credOf } from './credentials.js';
import { defaultGuestOptions, type GuestOptions, readGuestOptions } from './guestOptions.js';

/** ThreadContext.leaving: the thread stays with its host. */
export const STAYS = 0;
/** It waits in a system call, which is made again. */
export const LEAVE_CALL = 1;
/** It waits for its child to give the address space back; the system call is done. */
export const LEAVE_VFORK = 2;

/** Thrown through a system call that is left with the host. */
class LeavesHost {
  readonly name = 'LeavesHost';
}
const LEAVES_HOST = new LeavesHost();

/**
 * The thread a worker runs: the kernel's view of "current". One object a worker, bound anew to each thread handed to it.
 * It is what memory/ calls a Caller. The thread's address is also its token as the owner of mutexes.
 */
export class ThreadContext {
  /** Thread record. */
  thread = 0;
  /** Guest record of the thread. */
  guest = 0;
  /** Mm record. */
  mm = 0;
  /** Descriptor table, and working directory with root and umask: records of kernel/files. */
  files = 0;
  fs = 0;
  /** Sighand record and ThreadSignals record. */
  sighand = 0;
  signals = 0;
  /** The guest is a FreeBSD program: kernel/freebsd has its system calls. */
  freebsd = false;
  /** The embedder's options for the guest. */
  options: GuestOptions = defaultGuestOptions;
  /** Options are read once for a guest; its pid guards against a reused record. */
  private optionsOf = 0;
  private optionsPid = 0;

  /** The Cred record that the thread acts by. */
  get cred(): number {
    return credOf(this.mem, this.thread);
  }

  /** Caller.locksFreely. */
  get locksFreely(): boolean {
    return capable(this, CAP_IPC_LOCK);
  }

  /** a0 at the system call being made, low and high word: a restart puts it back. */
  originalA0Low = 0;
  originalA0High = 0;
  /** ERESTART* of the system call that a signal has just interrupted, else 0; delivery turns it into EINTR or a restart. */
  restart = 0;
  /** The frame of a handler or rt_sigreturn has just replaced the registers: the result must not be stored. */
  registersReplaced = false;
  /** LEAVE_*: the thread gives its host away, waiting since `leaveTicket` (park.ts) until `leaveDeadline` at the latest. */
  leaving = STAYS;
  leaveTicket = 0;
  leaveDeadline = Infinity;
  /** The system call being made is one that the thread had left with its host: leftCall.ts. */
  resumed = false;
  /** The open files that it had then, by descriptor; a reference each. */
  readonly keptFiles: { readonly fd: number; readonly file: number }[] = [];
  /** When the call being made was begun (monotonic milliseconds; 0: it has not asked). */
  callBegan = 0;
  /** What it has read of the guest's memory, in order, and how many of these a call that is begun again has had: keptInputs.ts. */
  readonly inputs: Uint8Array[] = [];
  inputsRead = 0;
  /** How many bytes of it are done where it waits. */
  progress = 0;
  /** The thread keeps its host, whatever it waits for: the call has done what would be done twice. */
  private staying = 0;
  /** The number of this system call was reported as unknown; one report a number and guest. */
  readonly reportedUnknown = new Set<number>();

  /** @param ring rings the coordinator's doorbell; to be called after pushRequest. */
  constructor(
    readonly mem: SharedMemory,
    readonly ring: () => void,
    /** Threads may leave the worker that runs them. */
    private readonly movable = false,
  ) {}

  /** Makes `thread` the current thread. */
  bind(thread: number): void {
    this.thread = thread;
    this.restart = 0;
    this.registersReplaced = false;
    this.leaving = STAYS;
    this.resumed = false;
    this.staying = 0;
    this.reload();
    const pid = this.mem.getU32(this.guest + Guest.pid);
    if (this.optionsOf !== this.guest || this.optionsPid !== pid) {
      this.optionsOf = this.guest;
      this.optionsPid = pid;
      this.options = readGuestOptions(this.mem, this.guest);
      this.reportedUnknown.clear();
    }
    this.allowHotCalls();
  }

  /** Reads the record's pointers again, after exec or unshare have replaced them. */
  reload(): void {
    const { mem, thread } = this;
    this.guest = mem.getU32(thread + Thread.guest);
    this.mm = mem.getU32(thread + Thread.mm);
    this.files = mem.getU32(thread + Thread.files);
    this.fs = mem.getU32(thread + Thread.fs);
    this.sighand = mem.getU32(thread + Thread.sighand);
    this.signals = mem.getU32(thread + Thread.signals);
    this.freebsd = mem.getU32(this.guest + Guest.flavour) === FLAVOUR_FREEBSD;
    this.allowHotCalls();
  }

  /** Says whether kernel/hotCalls may make the thread's calls: nobody is to be told of them. */
  private allowHotCalls(): void {
    const { options } = this;
    const observed = options.strace || options.logPage || options.mapReport !== undefined;
    this.mem.setU32(this.thread + Thread.hotCalls, this.freebsd || observed ? 0 : 1);
  }

  /** Whether the thread may give its host away while it waits. Not where its calls are reported, which would be made twice. */
  get mayLeave(): boolean {
    const { options } = this;
    return (
      this.movable &&
      this.staying === 0 &&
      !this.freebsd &&
      !options.strace &&
      options.mapReport === undefined
    );
  }

  /**
   * The thread, which waits since `ticket` until `deadline` at the latest (monotonic milliseconds), is to leave its host: what this
   * returns is to be thrown. The call is begun again when the thread has been unparked, with `resumed` set; nothing that it
   * has done may be done twice.
   */
  leave(ticket: number, deadline = Infinity): LeavesHost {
    this.leaving = LEAVE_CALL;
    this.leaveTicket = ticket;
    this.leaveDeadline = deadline;
    return LEAVES_HOST;
  }

  /** Runs part of a call that cannot be begun again: the thread keeps its host meanwhile. */
  keepHost<T>(body: () => T): T {
    this.staying++;
    try {
      return body();
    } finally {
      this.staying--;
    }
  }

  /** The time (monotonic milliseconds) so many milliseconds after the call was begun, for the first time if it is begun again. */
  deadlineIn(milliseconds: number): number {
    if (this.callBegan === 0) this.callBegan = monotonicNow();
    return this.callBegan + milliseconds;
  }

  /** How many bytes were done where the call was left, for the call that is begun again; otherwise 0. Says so once. */
  takeProgress(): number {
    const progress = this.resumed ? this.progress : 0;
    this.progress = 0;
    return progress;
  }

  /** Whether the call being made goes on waiting; says so once. */
  takeResumed(): boolean {
    const { resumed } = this;
    this.resumed = false;
    return resumed;
  }

  /** A signal that the thread does not block is pending, or the thread must exit: blocking calls end. */
  signalPending(): boolean {
    return (
      (Atomics.load(this.mem.i32, (this.thread + Thread.attention) >>> 2) &
        (ATTENTION_SIGNAL | ATTENTION_EXIT)) !==
      0
    );
  }

  /** The thread id. */
  get tid(): number {
    return this.mem.getU32(this.thread + Thread.tid);
  }
}
