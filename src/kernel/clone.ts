import { UserFault } from '../memory/caller.js';
import { writeU32 } from '../memory/userAccess.js';
import { releaseMm, retainMm } from '../mm/addressSpace.js';
import { countThread, uncountThread } from '../sync/guestTree.js';
import { hasKernelMemory } from '../sync/heap.js';
import { reserveHost, startThread, unreserveHost } from '../sync/hosts.js';
import { Cred } from '../sync/records/cred.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { ThreadSignals } from '../sync/records/signals.js';
import { NO_RESERVATION, START_RUN, Thread } from '../sync/records/thread.js';
import { addThread, removeThread } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, CAP_SYS_RESOURCE, capable } from './capabilities.js';
import { EAGAIN, EBADF, EINVAL, EPERM, ERESTARTNOINTR, SyscallError } from './errno.js';
import { closeDescriptor, newDescriptor } from './files/descriptors.js';
import { copyFiles, releaseFiles, retainFiles } from './files/filesTable.js';
import { copyFs, releaseFs, retainFs } from './files/fsRecord.js';
import { O_CLOEXEC } from './files/openFlags.js';
import { createThreadFdLocked, leaveProcessId } from './files/pidFd.js';
import { cloneProcess } from './fork.js';
import { getLimit, joinGuest, RLIM_INFINITY, RLIMIT_NPROC, visitGuests } from './guestRecords.js';
import { inheritUndoList, leaveUndoList } from './semaphoreUndos.js';
import type { ThreadContext } from './threadContext.js';
import { allocateThread, allocateTid, freeThread, releaseSighand, retainSighand } from './threadRecords.js';

/** clone(2) flags. */
export const CLONE_VM = 0x100;
export const CLONE_FS = 0x200;
export const CLONE_FILES = 0x400;
export const CLONE_SIGHAND = 0x800;
export const CLONE_PIDFD = 0x1000;
export const CLONE_VFORK = 0x4000;
export const CLONE_THREAD = 0x10000;
export const CLONE_NEWNS = 0x20000;
export const CLONE_SYSVSEM = 0x40000;
export const CLONE_SETTLS = 0x80000;
export const CLONE_PARENT_SETTID = 0x100000;
export const CLONE_CHILD_CLEARTID = 0x200000;
export const CLONE_CHILD_SETTID = 0x1000000;
export const CLONE_PARENT = 0x8000;
export const CLONE_NEWUSER = 0x1000_0000;
export const CLONE_NEWPID = 0x2000_0000;
export const CLONE_DETACHED = 0x400000;
/** Only clone3 knows these; in the flags of clone this bit belongs to the exit signal. */
export const CLONE_NEWTIME = 0x80;
export const CLONE_CLEAR_SIGHAND = 0x1_0000_0000;
export const CLONE_INTO_CGROUP = 0x2_0000_0000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
export const CLONE_NEWANY = 0x7e020000;

/** What clone and clone3 have in common: struct kernel_clone_args. */
export interface CloneArguments {
  /** Flags without the exit signal; up to 64 bits, hence no bit operations on the whole. */
  readonly flags: number;
  readonly exitSignal: number;
  /** Stack pointer of the child, 0 for the parent's. */
  readonly stack: number;
  readonly tls: number;
  readonly parentTid: number;
  readonly childTid: number;
  /** Where the descriptor of CLONE_PIDFD goes. */
  readonly pidfd: number;
  /** The id it must have (clone3's set_tid); absent: the next one. */
  readonly setTid?: number | undefined;
  /** Called with the new Thread record when its registers are the caller's, before it runs. */
  readonly prepare?: (child: number) => void;
}

const A0 = 10;

/** Makes a thread or a process; returns its id. Throws SyscallError. */
export function cloneThread(t: ThreadContext, args: CloneArguments): number {
  const low = (args.flags % 0x1_0000_0000) | 0;
  const has = (flags: number): boolean => (low & flags) !== 0;
  // In the order of kernel_clone and copy_process.
  const invalid =
    (has(CLONE_PIDFD) && has(CLONE_PARENT_SETTID) && args.pidfd === args.parentTid) ||
    (has(CLONE_SIGHAND) && !has(CLONE_VM)) ||
    (has(CLONE_THREAD) && !has(CLONE_SIGHAND)) ||
    (has(CLONE_PIDFD) && has(CLONE_DETACHED)) ||
    (has(CLONE_FS) && has(CLONE_NEWNS | CLONE_NEWUSER)) ||
    (has(CLONE_THREAD) && has(CLONE_NEWUSER | CLONE_NEWPID));
  if (invalid) throw new SyscallError(EINVAL);
  // Namespaces take privileges that nobody has here.
  if (has(CLONE_NEWANY | CLONE_NEWTIME)) throw new SyscallError(EPERM);
  if (args.setTid !== undefined) checkWantedTid(t, args.setTid);
  // There are no control groups, so no descriptor is one.
  if (args.flags >= CLONE_INTO_CGROUP) throw new SyscallError(EBADF);
  if (!has(CLONE_THREAD)) return cloneProcess(t, args);
  return startNewThread(t, low, args);
}

/** alloc_pid, for a wanted id. */
function checkWantedTid(t: ThreadContext, tid: number): void {
  if (tid < 1 || tid >= t.mem.getU32(MACHINE + Machine.maxTids)) throw new SyscallError(EINVAL);
  if (!capable(t, CAP_CHECKPOINT_RESTORE) && !capable(t, CAP_SYS_ADMIN)) throw new SyscallError(EPERM);
}

function startNewThread(t: ThreadContext, flags: number, args: CloneArguments): number {
  const { mem, thread: parent, mm } = t;
  if (!hasKernelMemory(mem, 0) || !reserveHost(mem, parent)) throw new SyscallError(EAGAIN);
  let child = 0;
  let counted = false;
  let pidfd = -1;
  try {
    countNewThread(t);
    counted = true;
    const tid = allocateTid(mem, parent, args.setTid);
    if (tid < 0) throw new SyscallError(-tid);
    child = allocateThread(mem, parent);
    mem.setU32(child + Thread.tid, tid);
    prepareThread(t, child, flags, args);
    if ((flags & CLONE_PIDFD) !== 0) {
      pidfd = newDescriptor(t, createThreadFdLocked(mem, t.guest, child, 0, parent), O_CLOEXEC);
      writeU32(t, args.pidfd, pidfd);
    }
    if ((flags & CLONE_PARENT_SETTID) !== 0) tellTid(t, args.parentTid, tid);
    if ((flags & CLONE_CHILD_SETTID) !== 0) tellTid(t, args.childTid, tid);
    inheritUndoList(t, child, (flags & CLONE_SYSVSEM) !== 0);
    shareFiles(t, child, flags);
    mem.setU32(child + Thread.sighand, t.sighand);
    retainSighand(mem, t.sighand);
    retainMm(mem, mm);
    addThread(mem, mm, child, parent);
    if (!joinGuest(mem, t.guest, child, parent, parent)) {
      // The guest is ending; the caller never sees this result.
      removeThread(mem, child, parent);
      releaseMm(mem, mm, parent);
      releaseSighand(mem, t.sighand, parent);
      releaseFiles(mem, mem.getU32(child + Thread.files), parent);
      releaseFs(mem, mem.getU32(child + Thread.fs), parent);
      throw new SyscallError(ERESTARTNOINTR);
    }
    startThread(mem, child, parent, t.ring);
    return tid;
  } catch (error) {
    unreserveHost(mem, parent);
    if (counted) uncountThread(mem, mem.getU32(t.guest + Guest.tree));
    if (pidfd >= 0) closeDescriptor(t, pidfd);
    if (child !== 0) {
      leaveProcessId(mem, child + Thread.processId, parent);
      leaveUndoList(t, child + Thread.semaphoreUndos);
      freeThread(mem, child, parent);
    }
    throw error;
  }
}

/** CLONE_PARENT_SETTID, CLONE_CHILD_SETTID: a bad address is ignored, as in kernel_clone, where nobody looks at what put_user answers. */
export function tellTid(t: ThreadContext, va: number, tid: number): void {
  try {
    writeU32(t, va, tid);
  } catch (error) {
    if (!(error instanceof UserFault)) throw error;
  }
}

/**
 * Counts one more thread of the caller's tree of guests, and looks at RLIMIT_NPROC, which counts the threads of a user.
 * Throws EAGAIN.
 */
export function countNewThread(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  const [limit] = getLimit(mem, guest, RLIMIT_NPROC);
  const user = mem.getU32(guest + Guest.cred + Cred.uids);
  if (
    limit !== RLIM_INFINITY &&
    user !== 0 &&
    !capable(t, CAP_SYS_RESOURCE) &&
    !capable(t, CAP_SYS_ADMIN) &&
    threadsOf(mem, user, thread) >= limit
  )
    throw new SyscallError(EAGAIN);
  if (!countThread(mem, mem.getU32(guest + Guest.tree))) throw new SyscallError(EAGAIN);
}

/** Threads of all processes whose real user is `user`. */
function threadsOf(mem: SharedMemory, user: number, owner: number): number {
  let sum = 0;
  visitGuests(mem, owner, (guest) => {
    // A zombie is still a process.
    if (mem.getU32(guest + Guest.cred + Cred.uids) === user)
      sum += Math.max(1, mem.getI32(guest + Guest.threadCount));
    return false;
  });
  return sum;
}

/** Registers, name and signal mask of a new thread: the caller's, with what the arguments say. */
export function prepareThread(t: ThreadContext, child: number, flags: number, args: CloneArguments): void {
  const { mem, thread } = t;
  copyHart(t, child);
  if (args.stack !== 0) mem.set64(child + Thread.x + SP * 8, args.stack);
  if ((flags & CLONE_SETTLS) !== 0) mem.set64(child + Thread.x + TP * 8, args.tls);
  if ((flags & CLONE_CHILD_CLEARTID) !== 0) mem.set64(child + Thread.clearChildTid, args.childTid);
  args.prepare?.(child);
  mem.setU32(child + Thread.start, START_RUN);
  mem.u8.copyWithin(child + Thread.comm, thread + Thread.comm, thread + Thread.comm + 16);
  copyScheduling(t, child);
  const signals = mem.getU32(child + Thread.signals);
  mem.setU32(signals + ThreadSignals.blockedLow, mem.getU32(t.signals + ThreadSignals.blockedLow));
  mem.setU32(signals + ThreadSignals.blockedHigh, mem.getU32(t.signals + ThreadSignals.blockedHigh));
}
const SP = 2;
const TP = 4;

/** Processors, policy and niceness of the parent; SCHED_RESET_ON_FORK keeps what is above the ordinary from the child (sched_fork). */
function copyScheduling({ mem, thread }: ThreadContext, child: number): void {
  mem.u8.copyWithin(child + Thread.affinity, thread + Thread.affinity, thread + Thread.affinity + 8);
  const slack = mem.getU32(thread + Thread.timerSlack) || mem.getU32(thread + Thread.timerSlackDefault);
  mem.setU32(child + Thread.timerSlackDefault, slack);
  const word = mem.getU32(thread + Thread.schedulingPolicy);
  const priority = mem.getU32(thread + Thread.schedulingPriority);
  const niceness = mem.getI32(thread + Thread.niceness);
  const reset = (word & SCHED_RESET_ON_FORK) !== 0;
  const realtime = reset && priority !== 0;
  mem.setU32(child + Thread.schedulingPolicy, realtime ? 0 : word & ~SCHED_RESET_ON_FORK);
  mem.setU32(child + Thread.schedulingPriority, realtime ? 0 : priority);
  mem.setI32(child + Thread.niceness, realtime ? 0 : reset ? Math.max(0, niceness) : niceness);
}
export const SCHED_RESET_ON_FORK = 0x4000_0000;

/** The child's registers: the parent's, with a result of 0. The pc is past the ecall already. */
function copyHart(t: ThreadContext, child: number): void {
  const { mem, thread } = t;
  mem.u8.copyWithin(child + Thread.x, thread + Thread.x, thread + Thread.fflags + 8);
  mem.set64(child + Thread.x + A0 * 8, 0);
  mem.u64[(child + Thread.reservationAddress) >>> 3] = NO_RESERVATION;
}

/** The new thread's descriptors and working directory: the caller's, or copies of them. */
export function shareFiles(t: ThreadContext, child: number, flags: number): void {
  const { mem, files, fs, thread } = t;
  let childFiles = files;
  if ((flags & CLONE_FILES) !== 0) retainFiles(mem, files);
  else childFiles = copyFiles(mem, files, thread);
  mem.setU32(child + Thread.files, childFiles);
  let childFs = fs;
  if ((flags & CLONE_FS) !== 0) retainFs(mem, fs);
  else childFs = copyFs(mem, fs, thread);
  mem.setU32(child + Thread.fs, childFs);
}
