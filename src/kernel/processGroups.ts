import { withMutex } from '../sync/mutex.js';
import { GUEST_ZOMBIE, Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { GuestSignals } from '../sync/records/signals.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { EACCES, EINVAL, EPERM, ESRCH } from './errno.js';
import { sendSignal } from './signals/pendingSignals.js';
import { sentInfo } from './signals/sigInfo.js';
import { SI_KERNEL, SIGCONT, SIGHUP } from './signals/signalNumbers.js';
import { releaseTty } from './terminals/tty.js';
import type { ThreadContext } from './threadContext.js';

/**
 * Process groups and sessions. Guest.pgid and Guest.sid are written under Machine.guestsLock. A guest leads its session when its
 * sid is its pid.
 */

/** Calls `visit` for every guest of the machine until it answers true. Machine.guestsLock is held. */
export function visitGuestsLocked(mem: SharedMemory, visit: (guest: number) => boolean): boolean {
  for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest))
    if (visit(g)) return true;
  return false;
}

/** Sends a signal of the kernel to every guest of a process group (kill_pgrp). The caller holds no lock. */
export function signalGroup(mem: SharedMemory, group: number, signal: number, owner: number): void {
  withMutex(mem, MACHINE + Machine.guestsLock, owner, () => signalGroupLocked(mem, group, signal, owner));
}

/** signalGroup for a caller that holds Machine.guestsLock. */
export function signalGroupLocked(mem: SharedMemory, group: number, signal: number, owner: number): void {
  visitGuestsLocked(mem, (guest) => {
    if (mem.getU32(guest + Guest.pgid) === group) signalGuestLocked(mem, guest, signal, owner);
    return false;
  });
}

/** Sends a signal of the kernel to a guest. Machine.guestsLock is held. */
export function signalGuestLocked(mem: SharedMemory, guest: number, signal: number, owner: number): void {
  if (mem.atomicLoad(guest + Guest.phase) !== GUEST_ZOMBIE)
    sendSignal(mem, owner, guest, 0, signal, sentInfo(signal, SI_KERNEL, 0, 0));
}

/**
 * Says whether nobody outside the group but in its session would hear of its members' stops (will_become_orphaned_pgrp).
 * `ignored`: a member that is about to go. The embedder is such a parent for the guests that it has started.
 */
function orphanedLocked(mem: SharedMemory, group: number, ignored: number): boolean {
  return !visitGuestsLocked(mem, (guest) => {
    if (guest === ignored || mem.getU32(guest + Guest.pgid) !== group) return false;
    if (mem.atomicLoad(guest + Guest.phase) === GUEST_ZOMBIE) return false;
    const parent = mem.getU32(guest + Guest.parent);
    if (parent === 0) return mem.getU32(guest + Guest.orphan) === 0;
    return (
      mem.getU32(parent + Guest.pgid) !== group &&
      mem.getU32(parent + Guest.sid) === mem.getU32(guest + Guest.sid)
    );
  });
}

/** Says whether the caller's process group is orphaned: its members are not stopped by keys of the terminal. */
export function inOrphanedGroup(t: ThreadContext): boolean {
  const { mem, guest, thread } = t;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () =>
    orphanedLocked(mem, mem.getU32(guest + Guest.pgid), 0),
  );
}

function hasStoppedLocked(mem: SharedMemory, group: number): boolean {
  return visitGuestsLocked(
    mem,
    (guest) =>
      mem.getU32(guest + Guest.pgid) === group &&
      mem.atomicLoad(mem.getU32(guest + Guest.signals) + GuestSignals.stopped) !== 0,
  );
}

/**
 * `parent` and `child` part, because one of them ends: when that was the last link of the child's group to its session, and
 * members are stopped, they get SIGHUP and SIGCONT, since nobody will ever continue them (kill_orphaned_pgrp). `ending`: the
 * one that ends. Machine.guestsLock is held.
 */
export function releaseOrphansLocked(
  mem: SharedMemory,
  child: number,
  parent: number,
  ending: number,
  owner: number,
): void {
  const group = mem.getU32(child + Guest.pgid);
  if (parent !== 0) {
    if (mem.getU32(parent + Guest.pgid) === group) return;
    if (mem.getU32(parent + Guest.sid) !== mem.getU32(child + Guest.sid)) return;
  }
  if (!orphanedLocked(mem, group, ending === child ? child : 0) || !hasStoppedLocked(mem, group)) return;
  signalGroupLocked(mem, group, SIGHUP, owner);
  signalGroupLocked(mem, group, SIGCONT, owner);
}

/** setpgid(2): `pid` and `group` 0 stand for the caller's. Returns 0 or −errno. */
export function setProcessGroup(t: ThreadContext, pid: number, group: number): number {
  const { mem, thread } = t;
  if (group < 0) return -EINVAL;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const wanted = pid === 0 ? mem.getU32(t.guest + Guest.pid) : pid;
    const target = group === 0 ? wanted : group;
    const guest = guestByPidLocked(mem, wanted);
    if (guest === 0) return -ESRCH;
    const session = mem.getU32(t.guest + Guest.sid);
    if (mem.getU32(guest + Guest.parent) === t.guest) {
      if (mem.getU32(guest + Guest.sid) !== session) return -EPERM;
      if (mem.getU32(guest + Guest.hasExeced) !== 0) return -EACCES;
    } else if (guest !== t.guest) return -ESRCH;
    if (mem.getU32(guest + Guest.sid) === wanted) return -EPERM;
    const joins = (other: number): boolean =>
      mem.getU32(other + Guest.pgid) === target && mem.getU32(other + Guest.sid) === session;
    if (target !== wanted && !visitGuestsLocked(mem, joins)) return -EPERM;
    mem.setU32(guest + Guest.pgid, target);
    return 0;
  });
}

/** The guest of that pid, or 0. Machine.guestsLock is held. */
export function guestByPidLocked(mem: SharedMemory, pid: number): number {
  let found = 0;
  visitGuestsLocked(mem, (guest) => {
    if (mem.getU32(guest + Guest.pid) === pid) found = guest;
    return found !== 0;
  });
  return found;
}

/** setsid(2): the caller leads a new session without a terminal; its id, or −EPERM when there is a group of its pid. */
export function startSession(t: ThreadContext): number {
  const { mem, guest, thread } = t;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const pid = mem.getU32(guest + Guest.pid);
    if (visitGuestsLocked(mem, (other) => mem.getU32(other + Guest.pgid) === pid)) return -EPERM;
    mem.setU32(guest + Guest.sid, pid);
    mem.setU32(guest + Guest.pgid, pid);
    mem.setU32(guest + Guest.lostForeground, 0);
    const terminal = mem.getU32(guest + Guest.terminal);
    mem.setU32(guest + Guest.terminal, 0);
    if (terminal !== 0) releaseTty(mem, terminal, thread);
    return pid;
  });
}
