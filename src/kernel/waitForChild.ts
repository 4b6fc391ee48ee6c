import { lockMutex, unlockMutex } from '../sync/mutex.js';
import { park, parkTicket } from '../sync/park.js';
import { Cred } from '../sync/records/cred.js';
import { GUEST_ZOMBIE, Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { joinQueue, leaveQueue } from '../sync/waitQueue.js';
import { chargedMicroseconds } from './cpuTime.js';
import { ECHILD, ERESTARTSYS, SyscallError } from './errno.js';
import { endOf, reapChildLocked, TICK, visitChildrenLocked } from './family.js';
import { keepNode } from './leftCall.js';
import { childInfo, type SigInfo } from './signals/sigInfo.js';
import { CLD_CONTINUED, CLD_STOPPED, SIGCHLD, SIGCONT } from './signals/signalNumbers.js';
import { STAYS, type ThreadContext } from './threadContext.js';

/** Options of wait4 and waitid. */
export const WNOHANG = 1;
/** WUNTRACED of wait4. */
export const WSTOPPED = 2;
export const WEXITED = 4;
export const WCONTINUED = 8;
export const WNOWAIT = 0x0100_0000;
export const WNOTHREAD = 0x2000_0000;
export const WALL = 0x4000_0000;
export const WCLONE = 0x8000_0000 | 0;

/** Which children are meant. */
export type ChildSelector =
  | { readonly kind: 'any' }
  | { readonly kind: 'pid' | 'group'; readonly id: number }
  /** The ProcessId of a pidfd. */
  | { readonly kind: 'process'; readonly id: number };

/** What a wait tells of a child. */
export interface ChildReport {
  readonly pid: number;
  /** wait4's status word. */
  readonly status: number;
  /** siginfo_t as waitid fills it in; most callers do not ask. */
  readonly info: () => SigInfo;
  /** CPU time of the child and of the children it has waited for, microseconds. */
  readonly cpuMicroseconds: number;
  readonly faults: number;
  /** The most it had resident, bytes. */
  readonly residentPeak: number;
}

/**
 * Waits for a child to end, stop or go on (do_wait): a report, or undefined when WNOHANG finds none. A zombie that is
 * reported is gone afterwards unless WNOWAIT is given. Throws ECHILD, and ERESTARTSYS when a signal comes first.
 */
export function waitForChild(
  t: ThreadContext,
  selector: ChildSelector,
  options: number,
): ChildReport | undefined {
  const { mem, thread, guest } = t;
  let node = 0;
  try {
    for (;;) {
      const ticket = parkTicket(mem, thread);
      const found = look(t, selector, options);
      if (found !== undefined || (options & WNOHANG) !== 0) return found;
      if (t.signalPending()) throw new SyscallError(ERESTARTSYS);
      if (node === 0) {
        // From here on whoever has something to report wakes us; look again, it may have been just before.
        node = joinQueue(mem, guest + Guest.childEvents, thread);
        continue;
      }
      // Its host is the child's, as soon as it wants one.
      if (t.mayLeave) throw t.leave(ticket);
      park(mem, thread, ticket, Infinity, true);
    }
  } finally {
    if (node !== 0) {
      if (t.leaving === STAYS) leaveQueue(mem, node);
      else keepNode(t, node);
    }
  }
}

/** One look at all children; undefined when there are some, but none has anything to report. Throws ECHILD. */
function look(t: ThreadContext, selector: ChildSelector, options: number): ChildReport | undefined {
  const { mem, guest, thread } = t;
  let eligible = false;
  let report: ChildReport | undefined;
  lockMutex(mem, MACHINE + Machine.guestsLock, thread);
  try {
    visitChildrenLocked(mem, guest, (child) => {
      if (!matches(t, child, selector, options)) return false;
      eligible = true;
      report = reportOf(t, child, options);
      return report !== undefined;
    });
  } finally {
    unlockMutex(mem, MACHINE + Machine.guestsLock, thread);
  }
  if (!eligible) throw new SyscallError(ECHILD);
  return report;
}

function matches(t: ThreadContext, child: number, selector: ChildSelector, options: number): boolean {
  const { mem } = t;
  if (selector.kind === 'pid' && mem.getU32(child + Guest.pid) !== selector.id) return false;
  if (selector.kind === 'group' && mem.getU32(child + Guest.pgid) !== selector.id) return false;
  if (selector.kind === 'process' && mem.getU32(child + Guest.processId) !== selector.id) return false;
  if ((options & WNOTHREAD) !== 0 && mem.getU32(child + Guest.parentTid) !== t.tid) return false;
  if ((options & WALL) !== 0) return true;
  const ofClone = mem.getU32(child + Guest.exitSignal) !== SIGCHLD;
  return ofClone === ((options & WCLONE) !== 0);
}

/** What is to be reported of a child, which is then reported. Machine.guestsLock is held. */
function reportOf(t: ThreadContext, child: number, options: number): ChildReport | undefined {
  const { mem, guest, thread } = t;
  const keep = (options & WNOWAIT) !== 0;
  if ((options & WEXITED) !== 0 && mem.atomicLoad(child + Guest.phase) === GUEST_ZOMBIE) {
    const word = mem.getU32(child + Guest.exitStatus);
    const { code, status } = endOf(word);
    const report = describe(t, child, word, code, status);
    if (!keep) {
      const cpu = mem.getU64(guest + Guest.childCpuMicroseconds) + report.cpuMicroseconds;
      mem.set64(guest + Guest.childCpuMicroseconds, cpu);
      mem.set64(guest + Guest.childFaultCount, mem.getU64(guest + Guest.childFaultCount) + report.faults);
      const peak = Math.max(mem.getU64(guest + Guest.childResidentPeak), report.residentPeak);
      mem.set64(guest + Guest.childResidentPeak, peak);
      reapChildLocked(mem, child, thread);
    }
    return report;
  }
  const stop = mem.getU32(child + Guest.stopReport);
  if ((options & WSTOPPED) !== 0 && stop !== 0) {
    if (!keep) mem.setU32(child + Guest.stopReport, 0);
    return describe(t, child, (stop << 8) | 0x7f, CLD_STOPPED, stop);
  }
  if ((options & WCONTINUED) !== 0 && mem.getU32(child + Guest.continueReport) !== 0) {
    if (!keep) mem.setU32(child + Guest.continueReport, 0);
    return describe(t, child, 0xffff, CLD_CONTINUED, SIGCONT);
  }
  return undefined;
}

function describe(
  t: ThreadContext,
  child: number,
  status: number,
  code: number,
  infoStatus: number,
): ChildReport {
  const { mem } = t;
  const pid = mem.getU32(child + Guest.pid);
  const uid = mem.getU32(child + Guest.cred + Cred.uids);
  const charged = chargedMicroseconds(mem, child);
  return {
    pid,
    status,
    info: () => childInfo(SIGCHLD, code, pid, uid, infoStatus, charged / TICK),
    cpuMicroseconds: charged + mem.getU64(child + Guest.childCpuMicroseconds),
    faults: mem.getU64(child + Guest.faultCount) + mem.getU64(child + Guest.childFaultCount),
    residentPeak: Math.max(
      mem.getU64(child + Guest.residentPeak),
      mem.getU64(child + Guest.childResidentPeak),
    ),
  };
}
