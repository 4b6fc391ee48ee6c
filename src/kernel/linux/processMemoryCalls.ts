import { ACCESS_READ, ACCESS_WRITE, type Caller, FAULT_HANDLED, UserFault } from '../../memory/caller.js';
import { lockFaultedPage } from '../../memory/faults.js';
import { frameAddress, hostPageSize } from '../../memory/frames.js';
import { pageEntry, unlockPage } from '../../memory/pageTables.js';
import { copyIn, copyOut, readU64 } from '../../memory/userAccess.js';
import { targetMadvise } from '../../mm/targetMadvise.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import { Mm } from '../../sync/records/mm.js';
import { ProcessId } from '../../sync/records/processId.js';
import { CAP_SYS_NICE, CAP_SYS_PTRACE, capable } from '../capabilities.js';
import { EBADF, EFAULT, EINVAL, EPERM, ESRCH, SyscallError } from '../errno.js';
import { withFile } from '../files/descriptors.js';
import { withProcess, withProcessRecord } from '../files/heldProcess.js';
import { processIdOf } from '../files/pidFd.js';
import type { ThreadContext } from '../threadContext.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** process_vm_readv(2) and process_vm_writev(2), with the checks in the order of Linux's mm/process_vm_access.c. */

/** Most pieces of a vector (UIO_MAXIOV). */
const MOST_PIECES = 1024;

interface Piece {
  readonly address: number;
  readonly length: number;
}

/** Reads a struct iovec array. Throws SyscallError EINVAL, and UserFault. */
function vectorAt(t: ThreadContext, address: number, count: number): Piece[] {
  if (count < 0 || count > MOST_PIECES) throw new SyscallError(EINVAL);
  return Array.from({ length: count }, (_, i) => {
    const length = readU64(t, address + i * 16 + 8);
    if (length >= 2 ** 63) throw new SyscallError(EINVAL);
    return { address: readU64(t, address + i * 16), length };
  });
}

/**
 * Copies between `bytes` and the memory at `va` of an address space that need not be the caller's, within one host page. The
 * page's page-table lock is held meanwhile: nobody can take the page away, and its threads need not know of us.
 * False when the access is not allowed there. KERNEL mode, no lock held.
 */
function copyRemote(c: Caller, va: number, bytes: Uint8Array, write: boolean): boolean {
  const { mem, mm, thread } = c;
  if (!(va >= 0 && va < mem.getU64(mm + Mm.taskSize))) return false;
  if (lockFaultedPage(c, va, write ? ACCESS_WRITE : ACCESS_READ) !== FAULT_HANDLED) return false;
  const size = hostPageSize(mem);
  const page = Math.floor(va / size);
  const address = frameAddress(mem, pageEntry(mem, mm, page) >>> 12) + (va % size);
  if (write) mem.u8.set(bytes, address);
  else bytes.set(mem.u8.subarray(address, address + bytes.length));
  unlockPage(mem, mm, page, thread);
  return true;
}

/** Whether the caller may read and write the memory of process `pid` (ptrace(2): PTRACE_MODE_ATTACH_REALCREDS). */
export function mayAccessProcess(t: ThreadContext, pid: number): boolean {
  const { mem } = t;
  if (pid === mem.getU32(t.guest + Guest.pid)) return true;
  const user = mem.getU32(t.cred + Cred.uids);
  const allowed = withProcessRecord(t, pid, (guest) =>
    [0, 4, 8].every((field) => mem.getU32(guest + Guest.cred + Cred.uids + field) === user),
  );
  return capable(t, CAP_SYS_PTRACE) || allowed === true;
}

function transfer(
  t: ThreadContext,
  pid: number,
  local: number,
  localCount: number,
  remote: number,
  remoteCount: number,
  flags: number,
  write: boolean,
): number {
  if (flags !== 0) return -EINVAL;
  const mine = vectorAt(t, local, localCount).filter(({ length }) => length > 0);
  if (mine.length === 0) return 0;
  const theirs = vectorAt(t, remote, remoteCount).filter(({ length }) => length > 0);
  if (theirs.length === 0) return 0;
  const result = withProcess(t, pid, (process) =>
    mayAccessProcess(t, pid) ? copyVectors(t, process, mine, theirs, write) : -EPERM,
  );
  return result ?? -ESRCH;
}

/** Copies as much as both vectors have; the bytes copied, or −EFAULT when that is none. */
function copyVectors(
  t: ThreadContext,
  process: Caller,
  mine: readonly Piece[],
  theirs: readonly Piece[],
  write: boolean,
): number {
  const page = hostPageSize(t.mem);
  let done = 0;
  let at = 0;
  let within = 0;
  for (const { address, length } of theirs) {
    for (let offset = 0; offset < length && at < mine.length; ) {
      const va = address + offset;
      const n = Math.min(length - offset, mine[at].length - within, page - (va % page));
      const bytes = new Uint8Array(n);
      try {
        if (write) copyIn(t, mine[at].address + within, bytes);
        if (!copyRemote(process, va, bytes, write)) return done > 0 ? done : -EFAULT;
        if (!write) copyOut(t, mine[at].address + within, bytes);
      } catch (error) {
        if (!(error instanceof UserFault)) throw error;
        return done > 0 ? done : -EFAULT;
      }
      done += n;
      offset += n;
      within += n;
      if (within === mine[at].length) {
        at++;
        within = 0;
      }
    }
  }
  return done;
}

/** What may be advised about the memory of another process; none of it changes anything here (process_madvise_remote_valid). */
const REMOTE_ADVICE = [3 /* WILLNEED */, 20 /* COLD */, 21 /* PAGEOUT */, 25 /* COLLAPSE */];

/** process_madvise(2): the bytes advised about. */
function processMadvise(
  t: ThreadContext,
  fd: number,
  vector: number,
  count: number,
  advice: number,
  flags: number,
): number {
  const { mem } = t;
  if ((flags | 0) !== 0) return -EINVAL;
  const pieces = vectorAt(t, vector, count).filter(({ length }) => length > 0);
  const pid = withFile(t, fd, (file) => {
    const process = processIdOf(mem, file);
    if (process === 0) throw new SyscallError(EBADF);
    // One of a thread is nothing here (pidfd_get_task).
    if (mem.getU32(process + ProcessId.tid) !== 0) throw new SyscallError(ESRCH);
    return mem.getU32(process + ProcessId.pid);
  });
  const own = pid === mem.getU32(t.guest + Guest.pid);
  if (!own && !REMOTE_ADVICE.includes(advice | 0)) return -EINVAL;
  if (!own && withProcessRecord(t, pid, (guest) => mem.getI32(guest + Guest.threadCount) > 0) !== true)
    return -ESRCH;
  if (!mayAccessProcess(t, pid) || (!own && !capable(t, CAP_SYS_NICE))) return -EPERM;
  let total = 0;
  for (const { address, length } of pieces) {
    const result = own ? targetMadvise(t, address, length, advice | 0) : 0;
    if (result < 0) return total > 0 ? total : result;
    total += length;
  }
  return total;
}

const ARGUMENTS = ['int', 'pointer', 'uint', 'pointer', 'uint', 'hex'] as const;

export const processMemoryCalls: SyscallTable = {
  [SYS.SYS_process_madvise]: syscall(
    'process_madvise',
    ['fd', 'pointer', 'size', 'int', 'hex'],
    processMadvise,
  ),
  [SYS.SYS_process_vm_readv]: syscall(
    'process_vm_readv',
    ARGUMENTS,
    (t, pid, local, localCount, remote, remoteCount, flags) =>
      transfer(t, pid | 0, local, localCount, remote, remoteCount, flags, false),
  ),
  [SYS.SYS_process_vm_writev]: syscall(
    'process_vm_writev',
    ARGUMENTS,
    (t, pid, local, localCount, remote, remoteCount, flags) =>
      transfer(t, pid | 0, local, localCount, remote, remoteCount, flags, true),
  ),
};
