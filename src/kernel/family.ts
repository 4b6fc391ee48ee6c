import { lockMutex, unlockMutex, withMutex } from '../sync/mutex.js';
import { Cred } from '../sync/records/cred.js';
import { GUEST_RUNNING, GUEST_ZOMBIE, Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { SignalAction } from '../sync/records/signals.js';
import { Thread } from '../sync/records/thread.js';
import { pushRequest, RequestKind } from '../sync/ring.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { wakeQueue } from '../sync/waitQueue.js';
import { chargedMicroseconds } from './cpuTime.js';
import { tellPidFdsLocked } from './files/pidFd.js';
import { enlistGuestLocked, freeGuestLocked } from './guestRecords.js';
import { releaseOrphansLocked } from './processGroups.js';
import { actionOf, sendSignal } from './signals/pendingSignals.js';
import { childInfo, type SigInfo, sentInfo } from './signals/sigInfo.js';
import {
  CLD_CONTINUED,
  CLD_DUMPED,
  CLD_EXITED,
  CLD_KILLED,
  CLD_STOPPED,
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SI_USER,
  SIG_DFL,
  SIG_IGN,
  SIGCHLD,
  SIGCONT,
} from './signals/signalNumbers.js';
import { endSessionLocked, inheritTerminalLocked } from './terminals/controllingTerminal.js';
import type { ThreadContext } from './threadContext.js';

/**
 * Parents and children. Every relation, and what a parent has still to be told of its children, is guarded by
 * Machine.guestsLock; a Guest record is freed under it, so that whoever holds it may use the records of other guests.
 *
 * A guest that the embedder started has no parent: the embedder waits for it. Nor has a guest whose parent has ended, which
 * belongs to the machine's init (initProcess.ts): nothing is left of such an orphan when it ends. Both see init as their parent.
 */

/**
 * Makes `child`, which has its first thread, known to the machine as a child of `creator`, or of creator's parent
 * (`siblings`, CLONE_PARENT). `creatorTid`: the creator's thread.
 */
export function joinFamily(
  mem: SharedMemory,
  child: number,
  creator: number,
  creatorTid: number,
  siblings: boolean,
  owner: number,
): void {
  lockMutex(mem, MACHINE + Machine.guestsLock, owner);
  adoptLocked(mem, child, siblings ? mem.getU32(creator + Guest.parent) : creator);
  // A sibling's parent is the thread that made the creator.
  mem.setU32(child + Guest.parentTid, siblings ? mem.getU32(creator + Guest.parentTid) : creatorTid);
  inheritTerminalLocked(mem, child, creator, owner);
  enlistGuestLocked(mem, child);
  unlockMutex(mem, MACHINE + Machine.guestsLock, owner);
}

function adoptLocked(mem: SharedMemory, child: number, parent: number): void {
  mem.setU32(child + Guest.parent, parent);
  if (parent === 0) {
    mem.setU32(child + Guest.orphan, 1);
    mem.setU32(child + Guest.nextSibling, 0);
    return;
  }
  mem.setU32(child + Guest.nextSibling, mem.getU32(parent + Guest.children));
  mem.setU32(parent + Guest.children, child);
}

/** Calls `visit` for the children of a guest, until it answers true. Machine.guestsLock is held. */
export function visitChildrenLocked(
  mem: SharedMemory,
  parent: number,
  visit: (child: number) => boolean,
): void {
  for (let child = mem.getU32(parent + Guest.children); child !== 0; ) {
    const next = mem.getU32(child + Guest.nextSibling);
    if (visit(child)) return;
    child = next;
  }
}

/** Takes a zombie from its parent and frees it. Machine.guestsLock is held. */
export function reapChildLocked(mem: SharedMemory, child: number, owner: number): void {
  const parent = mem.getU32(child + Guest.parent);
  if (parent !== 0) {
    let link = parent + Guest.children;
    while (mem.getU32(link) !== child) link = mem.getU32(link) + Guest.nextSibling;
    mem.setU32(link, mem.getU32(child + Guest.nextSibling));
  }
  freeGuestLocked(mem, child, owner);
}

/**
 * The guest's last thread is on its way out and nothing of the guest is left but the record (exit_notify): its children
 * become orphans, it becomes a zombie, and whoever waits for it is told. Returns whether the coordinator's doorbell is to
 * be rung; the record must not be touched any more.
 */
export function leaveFamily(t: ThreadContext): boolean {
  const { mem, guest, thread } = t;
  lockMutex(mem, MACHINE + Machine.guestsLock, thread);
  endSessionLocked(mem, guest, thread);
  const orphans = mem.getU32(guest + Guest.children);
  mem.setU32(guest + Guest.children, 0);
  const reaper = orphans === 0 ? 0 : subreaperLocked(mem, guest);
  for (let child = orphans; child !== 0; ) {
    const next = mem.getU32(child + Guest.nextSibling);
    orphanLocked(t, child, reaper);
    child = next;
  }
  mem.u8.copyWithin(guest + Guest.comm, thread + Thread.comm, thread + Thread.comm + 16);
  mem.atomicStore(guest + Guest.phase, GUEST_ZOMBIE);
  releaseOrphansLocked(mem, guest, mem.getU32(guest + Guest.parent), guest, thread);
  tellPidFdsLocked(mem, guest, thread);
  const parent = mem.getU32(guest + Guest.parent);
  const embedded = parent === 0 && mem.getU32(guest + Guest.orphan) === 0;
  if (!embedded && (parent === 0 || !reportEndLocked(t, guest, parent))) reapChildLocked(mem, guest, thread);
  unlockMutex(mem, MACHINE + Machine.guestsLock, thread);
  if (embedded) while (!pushRequest(mem, thread, RequestKind.GuestEnded, guest)) t.ring();
  return embedded;
}

/** The nearest ancestor of an ending guest that has asked for orphans (find_new_reaper); 0: the machine's init. */
function subreaperLocked(mem: SharedMemory, guest: number): number {
  for (
    let ancestor = mem.getU32(guest + Guest.parent);
    ancestor !== 0;
    ancestor = mem.getU32(ancestor + Guest.parent)
  ) {
    const alive = mem.atomicLoad(ancestor + Guest.phase) === GUEST_RUNNING;
    if (alive && mem.getU32(ancestor + Guest.subreaper) !== 0) return ancestor;
  }
  return 0;
}

/** A child of the ending guest goes to `reaper`, or to init (forget_original_parent). */
function orphanLocked(t: ThreadContext, child: number, reaper: number): void {
  const { mem, thread } = t;
  const zombie = mem.atomicLoad(child + Guest.phase) === GUEST_ZOMBIE;
  if (zombie && reaper === 0) {
    mem.setU32(child + Guest.parent, 0);
    freeGuestLocked(mem, child, thread);
    return;
  }
  adoptLocked(mem, child, reaper);
  // Its own waits are the reaper's first thread's.
  mem.setU32(child + Guest.parentTid, reaper === 0 ? 0 : mem.getU32(reaper + Guest.pid));
  if (reaper !== 0) mem.setU32(child + Guest.exitSignal, SIGCHLD);
  if (zombie) {
    if (!reportEndLocked(t, child, reaper)) reapChildLocked(mem, child, thread);
    return;
  }
  tellOfDeathLocked(t, child);
  releaseOrphansLocked(mem, child, t.guest, t.guest, thread);
}

/** The thread that is a guest's parent ends: the guest gets the signal that it has asked for (PR_SET_PDEATHSIG). */
function tellOfDeathLocked(t: ThreadContext, child: number): void {
  const { mem, thread } = t;
  const signal = mem.getU32(child + Guest.parentDeathSignal);
  if (signal === 0) return;
  const info = sentInfo(signal, SI_USER, mem.getU32(t.guest + Guest.pid), mem.getU32(t.cred + Cred.uids));
  sendSignal(mem, thread, child, 0, signal, info);
}

/** The calling thread ends: another one of its guest, if there is one, has its children now. */
export function passChildren(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  if (mem.getU32(guest + Guest.children) === 0) return;
  withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const heir = withMutex(mem, guest + Guest.threadsLock, thread, () => {
      let other = mem.getU32(guest + Guest.threads);
      if (other === thread) other = mem.getU32(other + Thread.nextInGuest);
      return other === 0 ? 0 : mem.getU32(other + Thread.tid);
    });
    if (heir === 0) return;
    visitChildrenLocked(mem, guest, (child) => {
      if (mem.getU32(child + Guest.parentTid) !== t.tid) return false;
      mem.setU32(child + Guest.parentTid, heir);
      if (mem.atomicLoad(child + Guest.phase) !== GUEST_ZOMBIE) tellOfDeathLocked(t, child);
      return false;
    });
  });
}

/** The calling thread has another id, in execve: its children, by now all of the guest's, know it by that. */
export function keepChildren(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  if (mem.getU32(guest + Guest.children) === 0) return;
  withMutex(mem, MACHINE + Machine.guestsLock, thread, () =>
    visitChildrenLocked(mem, guest, (child) => {
      mem.setU32(child + Guest.parentTid, t.tid);
      return false;
    }),
  );
}

/** Tells `parent` that `guest` has ended; false when the parent does not want to know of its children. */
function reportEndLocked(t: ThreadContext, guest: number, parent: number): boolean {
  const { mem, thread } = t;
  const signal = mem.getU32(guest + Guest.exitSignal);
  const { handler, flags } = childAction(mem, parent, thread);
  const ignored = handler === SIG_IGN;
  const keeps = signal !== SIGCHLD || !(ignored || (flags & SA_NOCLDWAIT) !== 0);
  if (signal !== 0 && !(signal === SIGCHLD && ignored)) {
    const { code, status } = endOf(mem.getU32(guest + Guest.exitStatus));
    sendSignal(mem, thread, parent, 0, signal, aboutChild(mem, guest, signal, code, status));
  }
  wakeQueue(mem, parent + Guest.childEvents, thread);
  return keeps;
}

/** si_code and si_status of a child that ended with this status word. */
export function endOf(word: number): { readonly code: number; readonly status: number } {
  const signal = word & 0x7f;
  if (signal === 0) return { code: CLD_EXITED, status: (word >>> 8) & 0xff };
  return { code: word & 0x80 ? CLD_DUMPED : CLD_KILLED, status: signal };
}

/** What a guest does on SIGCHLD; the default when its last thread, and with it the actions, has gone. */
function childAction(mem: SharedMemory, guest: number, owner: number): { handler: number; flags: number } {
  return withMutex(mem, guest + Guest.threadsLock, owner, () => {
    if (mem.getU32(guest + Guest.threads) === 0) return { handler: SIG_DFL, flags: 0 };
    const action = actionOf(mem.getU32(guest + Guest.sighand), SIGCHLD);
    return {
      handler: mem.getU64(action + SignalAction.handler),
      flags: mem.getU32(action + SignalAction.flags),
    };
  });
}

/** The unit of times in a siginfo, in microseconds. */
export const TICK = 10_000;

/** The siginfo of a guest for its parent. */
export function aboutChild(
  mem: SharedMemory,
  child: number,
  signal: number,
  code: number,
  status: number,
): SigInfo {
  const ticks = chargedMicroseconds(mem, child) / TICK;
  return childInfo(
    signal,
    code,
    mem.getU32(child + Guest.pid),
    mem.getU32(child + Guest.cred + Cred.uids),
    status,
    ticks,
  );
}

/** The calling guest has been stopped by `signal`: its parent may wait for that. */
export function reportStop(t: ThreadContext, signal: number): void {
  const { mem, guest, thread } = t;
  lockMutex(mem, MACHINE + Machine.guestsLock, thread);
  mem.setU32(guest + Guest.stopReport, signal);
  mem.setU32(guest + Guest.continueReport, 0);
  tellOfStopLocked(t, CLD_STOPPED, signal);
  unlockMutex(mem, MACHINE + Machine.guestsLock, thread);
}

/** The calling guest goes on after a stop. */
export function reportContinue(t: ThreadContext): void {
  const { mem, guest, thread } = t;
  lockMutex(mem, MACHINE + Machine.guestsLock, thread);
  mem.setU32(guest + Guest.stopReport, 0);
  mem.setU32(guest + Guest.continueReport, 1);
  tellOfStopLocked(t, CLD_CONTINUED, SIGCONT);
  unlockMutex(mem, MACHINE + Machine.guestsLock, thread);
}

function tellOfStopLocked(t: ThreadContext, code: number, status: number): void {
  const { mem, guest, thread } = t;
  const parent = mem.getU32(guest + Guest.parent);
  if (parent === 0) {
    if (mem.getU32(guest + Guest.orphan) !== 0 || code !== CLD_STOPPED) return;
    while (!pushRequest(mem, thread, RequestKind.GuestStopped, guest)) t.ring();
    t.ring();
    return;
  }
  if ((childAction(mem, parent, thread).flags & SA_NOCLDSTOP) === 0)
    sendSignal(mem, thread, parent, 0, SIGCHLD, aboutChild(mem, guest, SIGCHLD, code, status));
  wakeQueue(mem, parent + Guest.childEvents, thread);
}
