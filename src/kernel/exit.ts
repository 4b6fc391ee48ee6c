import { UserFault } from '../memory/caller.js';
import { writeU32 } from '../memory/userAccess.js';
import { releaseMm } from '../mm/addressSpace.js';
import { crashReport } from '../observe/crashReport.js';
import { reportMapAtExit } from '../observe/mapReport.js';
import { mmLockWaits, mmResidentPeak } from '../observe/statistics.js';
import { uncountThread } from '../sync/guestTree.js';
import { allocateBlock } from '../sync/heap.js';
import { prepareToLeave } from '../sync/hosts.js';
import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { unpark } from '../sync/park.js';
import { GUEST_EXITING, GUEST_RUNNING, Guest } from '../sync/records/guest.js';
import { ATTENTION_EXIT, Thread } from '../sync/records/thread.js';
import { removeThread } from '../sync/safepoint.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { endCpuTime } from './cpuTime.js';
import { freeCred } from './credentials.js';
import { SyscallError } from './errno.js';
import { leaveFamily, passChildren } from './family.js';
import { releaseFiles } from './files/filesTable.js';
import { releaseFs } from './files/fsRecord.js';
import { leaveProcessId } from './files/pidFd.js';
import { releaseVforkParent } from './fork.js';
import { futexWake } from './futex.js';
import { beginLeaving, leaveLocks } from './futexPi.js';
import { getLimit, orderExitLocked, RLIMIT_CORE } from './guestRecords.js';
import { walkRobustList } from './robustList.js';
import { leaveUndoList } from './semaphoreUndos.js';
import { retargetLocked } from './signals/pendingSignals.js';
import { infoAddress, infoCode, type SigInfo } from './signals/sigInfo.js';
import type { ThreadContext } from './threadContext.js';
import { freeThread, releaseSighand } from './threadRecords.js';
import { deleteTimers } from './timers.js';

/** The ends of threads and guests: do_exit, do_group_exit. */

/**
 * Ends the whole guest with wait4's status word: every other thread is told to exit, the calling one must follow by
 * returning from its run loop. The first status given counts.
 */
export function exitGroup(t: ThreadContext, status: number): void {
  endGuest(t.mem, t.guest, t.thread, status, t.thread);
}

/** exitGroup for a guest that the caller is no thread of (`self` 0): the machine closes. */
export function endGuest(
  mem: SharedMemory,
  guest: number,
  self: number,
  status: number,
  owner: number,
): void {
  lockMutex(mem, guest + Guest.threadsLock, owner);
  if (mem.atomicLoad(guest + Guest.phase) === GUEST_RUNNING) {
    mem.setU32(guest + Guest.exitStatus, status);
    mem.atomicStore(guest + Guest.phase, GUEST_EXITING);
    orderExitLocked(mem, guest, self, (thread) => unpark(mem, thread));
  }
  if (self !== 0) mem.atomicOr(self + Thread.attention, ATTENTION_EXIT);
  unlockMutex(mem, guest + Guest.threadsLock, owner);
}

/**
 * The guest dies of `signal`. A fault (a siginfo of the kernel itself) leaves a crash report for the embedder. The status word has
 * the core bit where RLIMIT_CORE allows a core, but no file is written: it is as on a system whose core_pattern hands cores to
 * a program.
 */
export function dieBySignal(t: ThreadContext, signal: number, core: boolean, info: SigInfo): void {
  const { mem, guest } = t;
  if (core && infoCode(info) > 0 && mem.atomicLoad(guest + Guest.phase) === GUEST_RUNNING) {
    const report = crashReport(t, { signal, code: infoCode(info), address: infoAddress(info) });
    setGuestText(mem, guest, Guest.crashMessage, Guest.crashMessageLength, report, t.thread);
  }
  mem.setU32(guest + Guest.fatalSignal, signal);
  const dumps = core && getLimit(mem, guest, RLIMIT_CORE)[0] > 0;
  exitGroup(t, signal | (dumps ? CORE_BIT : 0));
}

/** Says in a status word that a core was dumped. */
const CORE_BIT = 0x80;

/** Stores a text with the guest, unless it has one. */
export function setGuestText(
  mem: SharedMemory,
  guest: number,
  field: number,
  lengthField: number,
  text: string,
  owner: number,
): void {
  const bytes = new TextEncoder().encode(text);
  const block = allocateBlock(mem, Math.max(1, bytes.length), owner);
  mem.u8.set(bytes, block);
  lockMutex(mem, guest + Guest.threadsLock, owner);
  if (mem.getU32(guest + field) === 0) {
    mem.setU32(guest + field, block);
    mem.setU32(guest + lengthField, bytes.length);
  }
  unlockMutex(mem, guest + Guest.threadsLock, owner);
}

/**
 * The thread's end, in its own worker and in KERNEL mode: afterwards its record is not its own any more and the worker is
 * free for another thread. The last thread takes the guest's resources with it and reports to the coordinator. What most others
 * do is in hotCalls/exitCode.ts, too.
 */
export function endThread(t: ThreadContext): void {
  const { mem, thread, guest, mm } = t;
  prepareToLeave();
  // No thread comes after the last one that ends. Those that wait for this one see that it has begun to (mm_release comes later).
  const last =
    mem.atomicAdd(guest + Guest.threadsEnding, 1) + 1 === mem.atomicLoad(guest + Guest.threadsStarted);
  leaveAddressSpace(t);
  leaveUndoList(t, thread + Thread.semaphoreUndos);

  if (last) {
    reportMapAtExit(t);
    giveLastStatus(t);
  }

  // Resources go first, so that the guest is a zombie only when nothing of it is left.
  removeThread(mem, thread, thread);
  mem.setU32(thread + Thread.files, 0);
  mem.setU32(thread + Thread.fs, 0);
  noteAddressSpace(t);
  releaseFiles(mem, t.files, thread);
  releaseFs(mem, t.fs, thread);
  releaseMm(mem, mm, thread);

  passChildren(t);
  endCpuTime(mem, thread);
  // Before the guest counts one thread less: once none is left, it may be reaped and its records be another's.
  uncountThread(mem, mem.getU32(guest + Guest.tree));
  quitGuest(t);
}

/**
 * A guest whose threads all end by exit(2) has the status of the one that was the last to begin with it (Linux 6:
 * synchronize_group_exit in kernel/exit.c; earlier kernels: that of its first one). Nothing kills it any more.
 */
function giveLastStatus({ mem, guest, thread }: ThreadContext): void {
  lockMutex(mem, guest + Guest.threadsLock, thread);
  if (mem.atomicLoad(guest + Guest.phase) === GUEST_RUNNING) {
    mem.setU32(guest + Guest.exitStatus, mem.getU32(thread + Thread.exitStatus));
    mem.atomicStore(guest + Guest.phase, GUEST_EXITING);
  }
  unlockMutex(mem, guest + Guest.threadsLock, thread);
}

/**
 * The last steps of a thread's end: it is none of its guest's threads any more. The one that
 * is the last here, whichever began to end last, is the guest's end.
 */
export function quitGuest(t: ThreadContext): void {
  const { mem, thread, guest } = t;
  lockMutex(mem, guest + Guest.threadsLock, thread);
  let link = guest + Guest.threads;
  while (mem.getU32(link) !== thread) link = mem.getU32(link) + Thread.nextInGuest;
  mem.setU32(link, mem.getU32(thread + Thread.nextInGuest));
  const left = mem.getI32(guest + Guest.threadCount) - 1;
  mem.setI32(guest + Guest.threadCount, left);
  const execThread = mem.getU32(guest + Guest.execThread);
  if (execThread !== 0) unpark(mem, execThread);
  retargetLocked(mem, guest, thread, thread);
  add(mem, guest + Guest.instret, mem.getU64(thread + Thread.instret));
  add(mem, guest + Guest.syscallCount, mem.getU32(thread + Thread.syscallCount));
  for (const which of [0, 8, 16, 24])
    add(mem, guest + Guest.io + which, mem.getU64(thread + Thread.io + which));
  add(mem, guest + Guest.faultCount, mem.getU32(thread + Thread.faultCount));
  unlockMutex(mem, guest + Guest.threadsLock, thread);

  leaveProcessId(mem, thread + Thread.processId, thread);
  freeCred(mem, thread, thread);
  if (left === 0) leaveUndoList(t, guest + Guest.semaphoreUndos);
  if (left === 0) deleteTimers(mem, guest, thread);
  releaseSighand(mem, t.sighand, thread);
  const rings = left === 0 && leaveFamily(t);
  // The record may be another worker's the moment it is free, and with it the lock token: nothing may follow.
  freeThread(mem, thread, thread);
  if (rings) t.ring();
}

/**
 * mm_release: the thread ends or execs. What it promised to do in its memory is done, and a parent in vfork may have the
 * address space back.
 */
export function leaveAddressSpace(t: ThreadContext): void {
  beginLeaving(t);
  walkRobustList(t);
  leaveLocks(t);
  clearChildTid(t);
  releaseVforkParent(t);
}

/**
 * Keeps for the guest's statistics what goes with the address space. It takes Guest.threadsLock after the thread's record has
 * let go of `t.mm`: whoever found the address space there, under that lock, has a reference of his own by now (/proc).
 */
export function noteAddressSpace(t: ThreadContext): void {
  const { mem, guest, mm, thread } = t;
  lockMutex(mem, guest + Guest.threadsLock, thread);
  const peak = mmResidentPeak(mem, mm);
  if (peak > mem.getU64(guest + Guest.residentPeak)) mem.set64(guest + Guest.residentPeak, peak);
  const waits = mmLockWaits(mem, mm);
  if (waits > mem.getU64(guest + Guest.lockWaits)) mem.set64(guest + Guest.lockWaits, waits);
  unlockMutex(mem, guest + Guest.threadsLock, thread);
}

/** mm_release: the word of CLONE_CHILD_CLEARTID becomes 0 and one waiter is woken. */
function clearChildTid(t: ThreadContext): void {
  const { mem, thread } = t;
  const va = mem.getU64(thread + Thread.clearChildTid);
  if (va === 0) return;
  mem.set64(thread + Thread.clearChildTid, 0);
  try {
    writeU32(t, va, 0);
    futexWake(t, va, 1, ~0, true);
  } catch (error) {
    if (!(error instanceof UserFault || error instanceof SyscallError)) throw error;
  }
}

function add(mem: SharedMemory, field: number, amount: number): void {
  mem.set64(field, mem.getU64(field) + amount);
}
