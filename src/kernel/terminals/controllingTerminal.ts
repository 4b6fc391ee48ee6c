import { withMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_SYS_ADMIN, capable } from '../capabilities.js';
import { EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH } from '../errno.js';
import {
  inOrphanedGroup,
  signalGroup,
  signalGroupLocked,
  signalGuestLocked,
  visitGuestsLocked,
} from '../processGroups.js';
import { turnsDown } from '../signals/pendingSignals.js';
import { SIGCONT, SIGHUP, SIGTTIN, SIGTTOU } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { releaseTty, retainTty } from './tty.js';

/**
 * Controlling terminals (tty_jobctrl.c). Which terminal a guest has (Guest.terminal), and the session and foreground group of
 * a terminal are written under Machine.guestsLock; a guest reads its own, and what concerns it of its terminal, without.
 */

/** The caller's controlling terminal, or 0. */
export function ownTerminal(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.terminal);
}

/**
 * What a background process gets that reads (SIGTTIN) or changes (SIGTTOU) its terminal: 0 when it may, −EIO when nobody would
 * continue it, −ERESTARTSYS with the signal sent to its group (__tty_check_change).
 */
export function checkForeground(t: ThreadContext, tty: number, signal: number): number {
  const { mem, guest } = t;
  if (ownTerminal(t) !== tty) return 0;
  const group = mem.getU32(guest + Guest.pgid);
  const foreground = mem.getU32(tty + Tty.foreground);
  if (foreground === 0 || foreground === group) return 0;
  if (turnsDown(t, signal)) return signal === SIGTTIN ? -EIO : 0;
  if (inOrphanedGroup(t)) return -EIO;
  signalGroup(mem, group, signal, t.thread);
  return -ERESTARTSYS;
}

/** Makes `tty` the terminal of the guest's session, and its group the foreground. Machine.guestsLock is held. */
export function takeTerminalLocked(mem: SharedMemory, guest: number, tty: number, owner: number): void {
  dropTerminalLocked(mem, guest, owner);
  retainTty(mem, tty, owner);
  mem.setU32(guest + Guest.terminal, tty);
  mem.setU32(guest + Guest.lostForeground, 0);
  mem.setU32(tty + Tty.session, mem.getU32(guest + Guest.sid));
  mem.setU32(tty + Tty.foreground, mem.getU32(guest + Guest.pgid));
}

/** The guest has no controlling terminal any more. Machine.guestsLock is held. */
export function dropTerminalLocked(mem: SharedMemory, guest: number, owner: number): void {
  const tty = mem.getU32(guest + Guest.terminal);
  if (tty === 0) return;
  mem.setU32(guest + Guest.terminal, 0);
  releaseTty(mem, tty, owner);
}

/** A new process has its creator's terminal. Machine.guestsLock is held. */
export function inheritTerminalLocked(
  mem: SharedMemory,
  child: number,
  creator: number,
  owner: number,
): void {
  const tty = mem.getU32(creator + Guest.terminal);
  if (tty === 0) return;
  retainTty(mem, tty, owner);
  mem.setU32(child + Guest.terminal, tty);
}

function leadsSession(mem: SharedMemory, guest: number): boolean {
  return mem.getU32(guest + Guest.sid) === mem.getU32(guest + Guest.pid);
}

/** open without O_NOCTTY: a session leader without a terminal gets one that nobody has. */
export function takeOpenedTerminal(t: ThreadContext, tty: number): void {
  const { mem, guest, thread } = t;
  if (!leadsSession(mem, guest) || ownTerminal(t) !== 0 || mem.getU32(tty + Tty.session) !== 0) return;
  withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    if (mem.getU32(tty + Tty.session) === 0) takeTerminalLocked(mem, guest, tty, thread);
  });
}

/** TIOCSCTTY. `readable`: the descriptor is open for reading. */
export function setControllingTerminal(
  t: ThreadContext,
  tty: number,
  steal: number,
  readable: boolean,
): number {
  const { mem, guest, thread } = t;
  const admin = capable(t, CAP_SYS_ADMIN);
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const leads = leadsSession(mem, guest);
    const session = mem.getU32(tty + Tty.session);
    if (leads && session === mem.getU32(guest + Guest.sid)) return 0;
    if (!leads || ownTerminal(t) !== 0) return -EPERM;
    if (session !== 0) {
      if (steal !== 1 || !admin) return -EPERM;
      clearSessionLocked(mem, session, thread);
    }
    if (!readable && !admin) return -EPERM;
    takeTerminalLocked(mem, guest, tty, thread);
    return 0;
  });
}

function clearSessionLocked(mem: SharedMemory, session: number, owner: number): void {
  visitGuestsLocked(mem, (guest) => {
    if (mem.getU32(guest + Guest.sid) === session) dropTerminalLocked(mem, guest, owner);
    return false;
  });
}

/** TIOCNOTTY: the caller gives its terminal up; a session leader does so for its whole session. */
export function giveUpTerminal(t: ThreadContext, tty: number): number {
  const { mem, guest, thread } = t;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    if (ownTerminal(t) !== tty) return -ENOTTY;
    if (!leadsSession(mem, guest)) dropTerminalLocked(mem, guest, thread);
    else leaveTerminalLocked(mem, guest, false, thread);
    return 0;
  });
}

/**
 * A session leader parts from its terminal, by TIOCNOTTY or by its end: the foreground gets SIGHUP and, unless the leader ends,
 * SIGCONT, and nobody of the session has a terminal any more (disassociate_ctty). Machine.guestsLock is held.
 */
function leaveTerminalLocked(mem: SharedMemory, leader: number, ends: boolean, owner: number): void {
  const tty = mem.getU32(leader + Guest.terminal);
  if (tty !== 0) {
    const foreground = mem.getU32(tty + Tty.foreground);
    if (foreground !== 0) {
      signalGroupLocked(mem, foreground, SIGHUP, owner);
      if (!ends) signalGroupLocked(mem, foreground, SIGCONT, owner);
    }
    mem.setU32(tty + Tty.session, 0);
    mem.setU32(tty + Tty.foreground, 0);
  } else if (ends) {
    const lost = mem.getU32(leader + Guest.lostForeground);
    if (lost === 0) return;
    mem.setU32(leader + Guest.lostForeground, 0);
    signalGroupLocked(mem, lost, SIGHUP, owner);
    signalGroupLocked(mem, lost, SIGCONT, owner);
    return;
  }
  clearSessionLocked(mem, mem.getU32(leader + Guest.sid), owner);
}

/** The caller, a guest, ends: what that means for its terminal. Machine.guestsLock is held. */
export function endSessionLocked(mem: SharedMemory, guest: number, owner: number): void {
  if (leadsSession(mem, guest)) leaveTerminalLocked(mem, guest, true, owner);
  else dropTerminalLocked(mem, guest, owner);
}

/**
 * The terminal is hung up: its session leader gets SIGHUP and SIGCONT, and nobody has it as controlling terminal any more
 * (__tty_hangup). The open files are dealt with by the caller.
 */
export function loseTerminal(mem: SharedMemory, tty: number, owner: number): void {
  withMutex(mem, MACHINE + Machine.guestsLock, owner, () => {
    const session = mem.getU32(tty + Tty.session);
    if (session === 0) return;
    const foreground = mem.getU32(tty + Tty.foreground);
    const console = mem.getU32(tty + Tty.console) !== 0;
    visitGuestsLocked(mem, (guest) => {
      if (mem.getU32(guest + Guest.sid) !== session || mem.getU32(guest + Guest.terminal) !== tty)
        return false;
      const leads = leadsSession(mem, guest);
      // The leader of the console's session is the embedder; his guests in the foreground hear of it instead.
      if (leads || (console && mem.getU32(guest + Guest.pgid) === foreground)) {
        signalGuestLocked(mem, guest, SIGHUP, owner);
        signalGuestLocked(mem, guest, SIGCONT, owner);
      }
      if (leads) mem.setU32(guest + Guest.lostForeground, foreground);
      dropTerminalLocked(mem, guest, owner);
      return false;
    });
    mem.setU32(tty + Tty.session, 0);
    mem.setU32(tty + Tty.foreground, 0);
  });
}

/** TIOCGPGRP; `own`: the caller asks by the slave, and has to have it as its terminal. */
export function foregroundGroup(t: ThreadContext, tty: number, own: boolean): number {
  if (own && ownTerminal(t) !== tty) return -ENOTTY;
  return t.mem.getU32(tty + Tty.foreground);
}

/** TIOCGSID. */
export function terminalSession(t: ThreadContext, tty: number, own: boolean): number {
  if (own && ownTerminal(t) !== tty) return -ENOTTY;
  const session = t.mem.getU32(tty + Tty.session);
  return session === 0 ? -ENOTTY : session;
}

/** TIOCSPGRP, in two parts: whether the caller may ask at all… */
export function mayChooseForeground(t: ThreadContext, tty: number): number {
  const allowed = checkForeground(t, tty, SIGTTOU);
  return allowed === -EIO ? -ENOTTY : allowed;
}

/** … and the change. */
export function chooseForeground(t: ThreadContext, tty: number, group: number): number {
  const { mem, guest, thread } = t;
  if (group < 0) return -EINVAL;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const session = mem.getU32(guest + Guest.sid);
    if (ownTerminal(t) !== tty || mem.getU32(tty + Tty.session) !== session) return -ENOTTY;
    let found = -ESRCH;
    visitGuestsLocked(mem, (other) => {
      if (mem.getU32(other + Guest.pgid) !== group) return false;
      found = mem.getU32(other + Guest.sid) === session ? 0 : -EPERM;
      return true;
    });
    if (found === 0) mem.setU32(tty + Tty.foreground, group);
    return found;
  });
}
