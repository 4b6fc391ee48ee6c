import { tablesSize } from '../memory/pageTables.js';
import { writeU32 } from '../memory/userAccess.js';
import { releaseMm, retainMm } from '../mm/addressSpace.js';
import { forkMm } from '../mm/forkMm.js';
import { uncountThread } from '../sync/guestTree.js';
import { hasKernelMemory } from '../sync/heap.js';
import { reserveHost, startThread, unreserveHost } from '../sync/hosts.js';
import { park, parkTicket, unparkParent } from '../sync/park.js';
import { Guest } from '../sync/records/guest.js';
import { ThreadSignals } from '../sync/records/signals.js';
import { ATTENTION_EXIT, Thread } from '../sync/records/thread.js';
import { addThread, removeThread } from '../sync/safepoint.js';
import {
  CLONE_CHILD_SETTID,
  CLONE_CLEAR_SIGHAND,
  CLONE_PARENT,
  CLONE_PARENT_SETTID,
  CLONE_PIDFD,
  CLONE_SIGHAND,
  CLONE_SYSVSEM,
  CLONE_VFORK,
  CLONE_VM,
  type CloneArguments,
  countNewThread,
  prepareThread,
  shareFiles,
  tellTid,
} from './clone.js';
import { inheritCpuLimit } from './cpuLimit.js';
import { EAGAIN, SyscallError } from './errno.js';
import { joinFamily } from './family.js';
import { closeDescriptor, newDescriptor } from './files/descriptors.js';
import { releaseFiles } from './files/filesTable.js';
import { releaseFs } from './files/fsRecord.js';
import { O_CLOEXEC } from './files/openFlags.js';
import { createPidFdLocked } from './files/pidFd.js';
import { copyGuestRecord, freeGuestBlocks, joinGuest } from './guestRecords.js';
import { leaveUndoList, shareUndoList } from './semaphoreUndos.js';
import { fatalSignalPending } from './signals/pendingSignals.js';
import { LEAVE_VFORK, type ThreadContext } from './threadContext.js';
import {
  allocateThread,
  allocateTid,
  copySighand,
  freeThread,
  releaseSighand,
  resetHandlers,
  retainSighand,
} from './threadRecords.js';

/**
 * A new process: fork, vfork, and clone without CLONE_THREAD. Everything the child needs is made first, so that what
 * fails leaves nothing behind; the address space comes last, because the caller's other threads are stopped for it. Returns the
 * child's pid. Throws SyscallError and OutOfKernelMemory.
 */
export function cloneProcess(t: ThreadContext, args: CloneArguments): number {
  const { mem, thread } = t;
  const flags = (args.flags % 0x1_0000_0000) | 0;
  // Each process has page tables of its own; a bomb of forks ends here at the latest.
  if (!hasKernelMemory(mem, (flags & CLONE_VM) !== 0 ? 0 : tablesSize(mem, t.mm)))
    throw new SyscallError(EAGAIN);
  if (!reserveHost(mem, thread)) throw new SyscallError(EAGAIN);
  let made: Child;
  try {
    made = makeChild(t, flags, args);
  } catch (error) {
    unreserveHost(mem, thread);
    throw error;
  }
  const { pid, guest, child } = made;
  if ((flags & CLONE_PARENT_SETTID) !== 0) tellTid(t, args.parentTid, pid);
  const vfork = (flags & CLONE_VFORK) !== 0;
  if (vfork) {
    mem.setU32(child + Thread.vforkParent, thread);
    mem.atomicStore(thread + Thread.vforkChild, pid);
  }
  joinGuest(mem, guest, child, 0, thread);
  const siblings = (flags & CLONE_PARENT) !== 0;
  mem.setU32(guest + Guest.exitSignal, siblings ? mem.getU32(t.guest + Guest.exitSignal) : args.exitSignal);
  inheritCpuLimit(t, guest);
  joinFamily(mem, guest, t.guest, t.tid, siblings, thread);
  startThread(mem, child, thread, t.ring, 'process', vfork && t.mayLeave);
  if (vfork) awaitVforkChild(t);
  return pid;
}

interface Child {
  readonly pid: number;
  readonly guest: number;
  /** Its first thread. */
  readonly child: number;
}

/** The child's records. Whatever fails gives back what was made before it. */
function makeChild(t: ThreadContext, flags: number, args: CloneArguments): Child {
  const { mem, thread } = t;
  const undo: (() => void)[] = [];
  try {
    countNewThread(t);
    undo.push(() => uncountThread(mem, mem.getU32(t.guest + Guest.tree)));
    const pid = allocateTid(mem, thread, args.setTid);
    if (pid < 0) throw new SyscallError(-pid);
    const child = allocateThread(mem, thread);
    undo.push(() => freeThread(mem, child, thread));
    const guest = copyGuestRecord(mem, thread, t.guest, t.cred, pid);
    undo.push(() => freeGuestBlocks(mem, guest, thread));
    mem.setU32(child + Thread.tid, pid);
    prepareThread(t, child, flags, args);
    if ((flags & CLONE_CHILD_SETTID) !== 0) mem.set64(child + Thread.setChildTid, args.childTid);
    copyAltStack(t, child, flags);

    const sighand = sighandFor(t, flags, hasClearSighand(args.flags));
    undo.push(() => releaseSighand(mem, sighand, thread));
    mem.setU32(child + Thread.sighand, sighand);
    mem.setU32(guest + Guest.sighand, sighand);

    shareFiles(t, child, flags);
    undo.push(() => {
      releaseFiles(mem, mem.getU32(child + Thread.files), thread);
      releaseFs(mem, mem.getU32(child + Thread.fs), thread);
    });

    if ((flags & CLONE_PIDFD) !== 0) {
      const pidfd = newDescriptor(t, createPidFdLocked(mem, guest, 0, thread), O_CLOEXEC);
      undo.push(() => closeDescriptor(t, pidfd));
      writeU32(t, args.pidfd, pidfd);
    }

    if ((flags & CLONE_SYSVSEM) !== 0) {
      shareUndoList(t, guest);
      undo.push(() => leaveUndoList(t, guest + Guest.semaphoreUndos));
    }

    let mm = t.mm;
    if ((flags & CLONE_VM) !== 0) retainMm(mem, mm);
    else mm = forkMm(t);
    undo.push(() => {
      removeThread(mem, child, thread);
      releaseMm(mem, mm, thread);
    });
    addThread(mem, mm, child, thread);
    return { pid, guest, child };
  } catch (error) {
    for (const step of undo.reverse()) step();
    throw error;
  }
}

function hasClearSighand(flags: number): boolean {
  return Math.floor(flags / CLONE_CLEAR_SIGHAND) % 2 === 1;
}

function sighandFor(t: ThreadContext, flags: number, clear: boolean): number {
  const { mem, thread, sighand } = t;
  if ((flags & CLONE_SIGHAND) !== 0) {
    retainSighand(mem, sighand);
    return sighand;
  }
  const copy = copySighand(mem, sighand, thread);
  if (clear) resetHandlers(mem, copy);
  return copy;
}

/** The alternate stack is inherited, unless the child runs beside its parent in one address space. */
function copyAltStack(t: ThreadContext, child: number, flags: number): void {
  const { mem } = t;
  if ((flags & (CLONE_VM | CLONE_VFORK)) === CLONE_VM) return;
  const to = mem.getU32(child + Thread.signals);
  mem.u8.copyWithin(
    to + ThreadSignals.altStack,
    t.signals + ThreadSignals.altStack,
    t.signals + ThreadSignals.altFlags + 4,
  );
}

/**
 * vfork: the parent goes on when the child has let go of the address space; only its own death ends the wait sooner. Its host is
 * the child's meanwhile, where that can be (START_VFORK).
 */
export function awaitVforkChild(t: ThreadContext): void {
  const { mem, thread } = t;
  for (;;) {
    const ticket = parkTicket(mem, thread);
    if (mem.atomicLoad(thread + Thread.vforkChild) === 0) return;
    if ((mem.atomicLoad(thread + Thread.attention) & ATTENTION_EXIT) !== 0 || fatalSignalPending(t)) {
      mem.atomicStore(thread + Thread.vforkChild, 0);
      return;
    }
    if (t.mayLeave) {
      t.leaving = LEAVE_VFORK;
      t.leaveTicket = ticket;
      return;
    }
    park(mem, thread, ticket);
  }
}

/** The calling thread has no use for its address space any more (exec, exit): lets the parent of a vfork go on. */
export function releaseVforkParent(t: ThreadContext): void {
  const { mem, thread } = t;
  const parent = mem.getU32(thread + Thread.vforkParent);
  if (parent === 0) return;
  mem.setU32(thread + Thread.vforkParent, 0);
  // The record may be another thread's by now, which then waits for another child, if for any.
  const pid = mem.getU32(t.guest + Guest.pid);
  if (mem.atomicCompareExchange(parent + Thread.vforkChild, pid, 0) === pid)
    unparkParent(mem, parent, thread);
}

/** CLONE_CHILD_SETTID: the first thing that a new process does, in its own memory. A bad address is ignored. */
export function storeChildTid(t: ThreadContext): void {
  const va = t.mem.getU64(t.thread + Thread.setChildTid);
  if (va === 0) return;
  t.mem.set64(t.thread + Thread.setChildTid, 0);
  tellTid(t, va, t.tid);
}
