import { copyOut, readCString, writeU32 } from '../../memory/userAccess.js';
import { copyStrings, hasLonger, type PackedStrings, unpackStrings } from '../../memory/userStrings.js';
import { Guest } from '../../sync/records/guest.js';
import { E2BIG, EACCES, EAGAIN, EBADF, EINVAL, ENAMETOOLONG, ENOENT, ESRCH, SyscallError } from '../errno.js';
import { execProgram } from '../exec.js';
import { withFile } from '../files/descriptors.js';
import { getCloseOnExec } from '../files/filesTable.js';
import { AT_FDCWD } from '../files/pathResolution.js';
import { processIdOf } from '../files/pidFd.js';
import type { ThreadContext } from '../threadContext.js';
import {
  type ChildReport,
  type ChildSelector,
  WALL,
  WCLONE,
  WCONTINUED,
  WEXITED,
  WNOHANG,
  WNOTHREAD,
  WNOWAIT,
  WSTOPPED,
  waitForChild,
} from '../waitForChild.js';
import { mustNotWait } from '../waiting.js';
import { rusageBytes } from './structsTime.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** Processes: exec and wait. (clone is among the threads' calls.) */

// --- wait ---

function selectorOfPid(t: ThreadContext, pid: number): ChildSelector {
  if (pid === -1) return { kind: 'any' };
  if (pid < 0) return { kind: 'group', id: -pid };
  if (pid === 0) return { kind: 'group', id: t.mem.getU32(t.guest + Guest.pgid) };
  return { kind: 'pid', id: pid };
}

function wait4(
  t: ThreadContext,
  pidNumber: number,
  status: number,
  optionBits: number,
  usage: number,
): number {
  const options = optionBits | 0;
  const pid = pidNumber | 0;
  if ((options & ~(WNOHANG | WSTOPPED | WCONTINUED | WNOTHREAD | WALL | WCLONE)) !== 0) return -EINVAL;
  if (pid === -0x8000_0000) return -ESRCH;
  const report = waitForChild(t, selectorOfPid(t, pid), options | WEXITED);
  if (report === undefined) return 0;
  if (status !== 0) writeU32(t, status, report.status);
  if (usage !== 0) copyOut(t, usage, usageOf(report));
  return report.pid;
}

function usageOf(report: ChildReport): Uint8Array {
  return rusageBytes(report.cpuMicroseconds / 1000, report.faults, Math.round(report.residentPeak / 1024));
}

const P_ALL = 0;
const P_PID = 1;
const P_PGID = 2;
const P_PIDFD = 3;

function waitid(
  t: ThreadContext,
  which: number,
  idNumber: number,
  info: number,
  optionBits: number,
  usage: number,
): number {
  const options = optionBits | 0;
  const id = idNumber | 0;
  const known = WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WCLONE | WALL;
  if ((options & ~known) !== 0 || (options & (WEXITED | WSTOPPED | WCONTINUED)) === 0) return -EINVAL;
  if ((which | 0) === P_PIDFD) {
    if (id < 0) return -EINVAL;
    return withFile(t, id, (file) => {
      const process = processIdOf(t.mem, file);
      if (process === 0) return -EBADF;
      // A descriptor that does not wait makes waitid say so, rather than answer that there is nothing.
      const impatient = mustNotWait(t, file);
      const selector: ChildSelector = { kind: 'process', id: process };
      const report = waitForChild(t, selector, impatient ? options | WNOHANG : options);
      if (report === undefined && impatient && (options & WNOHANG) === 0) return -EAGAIN;
      return tellOf(t, report, info, usage);
    });
  }
  let selector: ChildSelector;
  switch (which | 0) {
    case P_ALL:
      selector = { kind: 'any' };
      break;
    case P_PID:
      if (id <= 0) return -EINVAL;
      selector = { kind: 'pid', id };
      break;
    case P_PGID:
      if (id < 0) return -EINVAL;
      selector = { kind: 'group', id: id === 0 ? t.mem.getU32(t.guest + Guest.pgid) : id };
      break;
    default:
      return -EINVAL;
  }
  return tellOf(t, waitForChild(t, selector, options), info, usage);
}

function tellOf(t: ThreadContext, report: ChildReport | undefined, info: number, usage: number): number {
  if (report !== undefined && usage !== 0) copyOut(t, usage, usageOf(report));
  // With nothing to report, si_signo and si_pid are 0; only the fields of SIGCHLD are written.
  if (info !== 0) copyOut(t, info, report === undefined ? new Uint8Array(28) : report.info().slice(0, 28));
  return 0;
}

// --- exec ---

const PATH_MAX = 4096;
/** The longest argument, its NUL included (MAX_ARG_STRLEN). */
const LONGEST_ARGUMENT = 131072;
/** The most bytes of strings and their pointers, whatever the limit of the stack (_STK_LIM / 4 * 3). */
const MOST_BYTES = 6 << 20;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;

/** Arguments, or an environment. */
function readStrings(t: ThreadContext, va: number): PackedStrings {
  const strings = copyStrings(t, va, MOST_BYTES);
  if (strings === undefined || hasLonger(strings, LONGEST_ARGUMENT - 1)) throw new SyscallError(E2BIG);
  return strings;
}

function execveat(
  t: ThreadContext,
  dirfdNumber: number,
  pathPointer: number,
  argv: number,
  envp: number,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL;
  const dirfd = dirfdNumber | 0;
  const path = readCString(t, pathPointer, PATH_MAX);
  if (path === undefined) return -ENAMETOOLONG;
  let lookedUp = path;
  let shown = path;
  if (path.length === 0) {
    if ((flags & AT_EMPTY_PATH) === 0) return -ENOENT;
    if (dirfd < 0) return dirfd === AT_FDCWD ? -EACCES : -EBADF;
    lookedUp = Buffer.from(`/proc/self/fd/${dirfd}`);
    shown = Buffer.from(`/dev/fd/${dirfd}`);
  } else if (dirfd !== AT_FDCWD && path[0] !== 0x2f) {
    shown = Buffer.concat([Buffer.from(`/dev/fd/${dirfd}/`), path]);
  }
  execProgram(t, {
    path: lookedUp,
    shownPath: shown,
    dirfd,
    closedByExec: shown !== path && getCloseOnExec(t.mem, t.files, dirfd, t.thread),
    noFollow: (flags & AT_SYMLINK_NOFOLLOW) !== 0,
    argv: unpackStrings(readStrings(t, argv)),
    envp: readStrings(t, envp),
  });
  return 0;
}

export const processCalls: SyscallTable = {
  [SYS.SYS_wait4]: syscall('wait4', ['int', 'pointer', 'hex', 'pointer'], wait4),
  [SYS.SYS_waitid]: syscall('waitid', ['int', 'int', 'pointer', 'hex', 'pointer'], waitid),
  [SYS.SYS_execve]: syscall('execve', ['path', 'pointer', 'pointer'], (t, path, argv, envp) =>
    execveat(t, AT_FDCWD, path, argv, envp, 0),
  ),
  [SYS.SYS_execveat]: syscall('execveat', ['dirfd', 'path', 'pointer', 'pointer', 'atFlags'], execveat),
};
