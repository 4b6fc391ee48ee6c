import { copyOut, writeI32 } from '../../memory/userAccess.js';
import { Guest } from '../../sync/records/guest.js';
import { EINTR, EINVAL, ERESTARTNOHAND } from '../errno.js';
import { deadlineAfter, pollDescriptors, selectDescriptors } from '../linux/pollCalls.js';
import { readTimespec, readTimeval, rusageBytes } from '../linux/structsTime.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import * as LINUX from '../linux/syscallNumbers.js';
import { SIGCHLD } from '../signals/signalNumbers.js';
import { endTemporaryMask, replaceMask } from '../signals/temporaryMask.js';
import type { ThreadContext } from '../threadContext.js';
import {
  type ChildReport,
  type ChildSelector,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOWAIT,
  WSTOPPED,
  waitForChild,
} from '../waitForChild.js';
import { linuxCall, translateFlags } from './linuxCall.js';
import { optionalSet } from './signalCalls.js';
import { freebsdSignal } from './signalNumbers.js';
import { freebsdSigInfo } from './structsSignal.js';
import * as SYS from './syscallNumbers.js';

/** Processes: exec, wait, select and poll. */

/** Options of wait4 and wait6, and Linux's. */
const W_OPTIONS = [
  [1, WNOHANG],
  [2, WSTOPPED],
  [4, WCONTINUED],
  [8, WNOWAIT],
  [16, WEXITED],
  [32, 0], // WTRAPPED
] as const;
/** Status of a process that has gone on: SIGCONT. */
const CONTINUED = 0x13;

/** FreeBSD's status word of Linux's. */
function statusWord(linux: number): number {
  if (linux === 0xffff) return CONTINUED;
  if ((linux & 0xff) === 0x7f) return (freebsdSignal(linux >>> 8) << 8) | 0x7f;
  return (linux & ~0x7f) | freebsdSignal(linux & 0x7f);
}

function usageOf(report: ChildReport): Uint8Array {
  return rusageBytes(report.cpuMicroseconds / 1000, report.faults, Math.round(report.residentPeak / 1024));
}

function groupOf(t: ThreadContext): number {
  return t.mem.getU32(t.guest + Guest.pgid);
}

function wait4(
  t: ThreadContext,
  pidNumber: number,
  status: number,
  optionBits: number,
  usage: number,
): number {
  const pid = pidNumber | 0;
  const options = translateFlags(optionBits | 0, W_OPTIONS);
  if (options === undefined) return -EINVAL;
  let selector: ChildSelector = { kind: 'pid', id: pid };
  if (pid === -1) selector = { kind: 'any' };
  else if (pid <= 0) selector = { kind: 'group', id: pid === 0 ? groupOf(t) : -pid };
  const report = waitForChild(t, selector, options | WEXITED);
  if (report === undefined) return 0;
  if (status !== 0) writeI32(t, status, statusWord(report.status));
  if (usage !== 0) copyOut(t, usage, usageOf(report));
  return report.pid;
}

const P_PID = 0;
const P_PGID = 2;
const P_ALL = 7;
const RUSAGE_SIZE = 144;

function wait6(
  t: ThreadContext,
  type: number,
  idNumber: number,
  status: number,
  optionBits: number,
  usage: number,
  info: number,
): number {
  const options = translateFlags(optionBits | 0, W_OPTIONS);
  if (options === undefined || (options & (WEXITED | WSTOPPED | WCONTINUED)) === 0) return -EINVAL;
  const id = idNumber | 0;
  let selector: ChildSelector;
  if ((type | 0) === P_ALL) selector = { kind: 'any' };
  else if ((type | 0) === P_PID) selector = { kind: 'pid', id };
  else if ((type | 0) === P_PGID) selector = { kind: 'group', id: id === 0 ? groupOf(t) : id };
  else return -EINVAL;
  const report = waitForChild(t, selector, options);
  if (report === undefined) {
    if (info !== 0) copyOut(t, info, new Uint8Array(80));
    return 0;
  }
  if (status !== 0) writeI32(t, status, statusWord(report.status));
  if (usage !== 0) {
    // struct __wrusage: the child's own, and that of its children, which are counted together here.
    copyOut(t, usage, usageOf(report));
    copyOut(t, usage + RUSAGE_SIZE, new Uint8Array(RUSAGE_SIZE));
  }
  if (info !== 0) copyOut(t, info, freebsdSigInfo(SIGCHLD, report.info()));
  return report.pid;
}

/** Runs `wait` under the signal mask at `set`, if there is one. */
function underMask(t: ThreadContext, set: number, wait: () => number): number {
  const mask = optionalSet(t, set);
  if (mask !== undefined) replaceMask(t, mask.low, mask.high);
  let result = -EINVAL;
  try {
    result = wait();
  } finally {
    if (mask !== undefined) endTemporaryMask(t, result === -EINTR);
  }
  return result === -EINTR ? -ERESTARTNOHAND : result;
}

/** A timeout argument as a deadline: none when the pointer is 0. */
function deadlineOf(t: ThreadContext, pointer: number, read: typeof readTimespec): number {
  return pointer === 0 ? Infinity : deadlineAfter(t, read(t, pointer));
}

function poll(t: ThreadContext, fds: number, count: number, timeout: number): number {
  const milliseconds = timeout | 0;
  const deadline = milliseconds < 0 ? Infinity : deadlineAfter(t, milliseconds);
  return underMask(t, 0, () => pollDescriptors(t, fds, count >>> 0, deadline));
}

export const processCalls: SyscallTable = {
  [SYS.SYS_execve]: syscall('execve', ['path', 'pointer', 'pointer'], linuxCall(LINUX.SYS_execve)),
  [SYS.SYS_wait4]: syscall('wait4', ['int', 'pointer', 'hex', 'pointer'], wait4),
  [SYS.SYS_wait6]: syscall('wait6', ['int', 'long', 'pointer', 'hex', 'pointer', 'pointer'], wait6),
  [SYS.SYS_poll]: syscall('poll', ['pointer', 'uint', 'int'], poll),
  [SYS.SYS_ppoll]: syscall(
    'ppoll',
    ['pointer', 'uint', 'timespec', 'pointer'],
    (t, fds, count, time, set) => {
      const deadline = deadlineOf(t, time, readTimespec);
      return underMask(t, set, () => pollDescriptors(t, fds, count >>> 0, deadline));
    },
  ),
  [SYS.SYS_select]: syscall(
    'select',
    ['int', 'pointer', 'pointer', 'pointer', 'pointer'],
    (t, count, reads, writes, excepts, time) => {
      const deadline = deadlineOf(t, time, readTimeval);
      return underMask(t, 0, () => selectDescriptors(t, count, [reads, writes, excepts], deadline));
    },
  ),
  [SYS.SYS_pselect]: syscall(
    'pselect',
    ['int', 'pointer', 'pointer', 'pointer', 'timespec', 'pointer'],
    (t, count, reads, writes, excepts, time, set) => {
      const deadline = deadlineOf(t, time, readTimespec);
      return underMask(t, set, () => selectDescriptors(t, count, [reads, writes, excepts], deadline));
    },
  ),
};
