import { readU64, writeU64Big } from '../../memory/userAccess.js';
import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import { Mm } from '../../sync/records/mm.js';
import { Thread } from '../../sync/records/thread.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_SYS_RESOURCE, capable } from '../capabilities.js';
import { limitCpuLocked } from '../cpuLimit.js';
import { EFAULT, EINVAL, EPERM, ESRCH, SyscallError } from '../errno.js';
import { withProcessRecord } from '../files/heldProcess.js';
import {
  getLimit,
  RLIM_INFINITY,
  RLIMIT_AS,
  RLIMIT_CPU,
  RLIMIT_DATA,
  RLIMIT_MEMLOCK,
  RLIMIT_NOFILE,
  RLIMIT_STACK,
  setLimit,
} from '../guestRecords.js';
import type { ThreadContext } from '../threadContext.js';
import { announceTimers } from '../timers.js';
import { withThread } from '../withThread.js';
import { type SyscallTable, syscall } from './syscall.js';
import * as SYS from './syscallNumbers.js';

/** getrlimit(2), setrlimit(2), prlimit64(2). */

const RLIM_NLIMITS = 16;
const RLIM64_INFINITY = 0xffff_ffff_ffff_ffffn;

function readLimit(t: ThreadContext, va: number): number {
  const value = readU64(t, va);
  return Math.min(value, RLIM_INFINITY);
}

function writeLimit(t: ThreadContext, va: number, value: number): void {
  writeU64Big(t, va, value >= RLIM_INFINITY ? RLIM64_INFINITY : BigInt(value));
}

/** The pid of the process that thread `tid` belongs to. Throws ESRCH. */
function processOf(t: ThreadContext, tid: number): number {
  return withThread(t, tid, (thread) => t.mem.getU32(t.mem.getU32(thread + Thread.guest) + Guest.pid));
}

/** check_prlimit_permission: all ids of the process are the caller's, or the caller is privileged. */
function mayChange(t: ThreadContext, guest: number): boolean {
  const { mem } = t;
  const same = (field: number): boolean =>
    [0, 4, 8].every((which) => mem.getU32(guest + Guest.cred + field + which) === mem.getU32(t.cred + field));
  return capable(t, CAP_SYS_RESOURCE) || (same(Cred.uids) && same(Cred.gids));
}

function prlimit64(t: ThreadContext, pid: number, resource: number, fresh: number, old: number): number {
  const { mem } = t;
  const which = resource >>> 0;
  if (which >= RLIM_NLIMITS) return -EINVAL;
  const wanted = fresh === 0 ? undefined : ([readLimit(t, fresh), readLimit(t, fresh + 8)] as const);
  if (wanted !== undefined && wanted[0] > wanted[1]) return -EINVAL;
  const target = processOf(t, pid);
  let announce = false;
  const before = withProcessRecord(t, target, (guest) => {
    if (guest !== t.guest && !mayChange(t, guest)) throw new SyscallError(EPERM);
    const now = getLimit(mem, guest, which);
    if (wanted === undefined) return now;
    if (wanted[1] > now[1] && !capable(t, CAP_SYS_RESOURCE)) throw new SyscallError(EPERM);
    if (which === RLIMIT_NOFILE && wanted[1] > 1048576) throw new SyscallError(EPERM);
    setLimit(mem, guest, which, wanted[0], wanted[1]);
    noteMemoryLimit(mem, guest, which, wanted[0]);
    if (which === RLIMIT_CPU) announce = limitCpuLocked(mem, guest, t.thread);
    return now;
  });
  if (before === undefined) return -ESRCH;
  if (announce) announceTimers(t);
  if (old !== 0) {
    writeLimit(t, old, before[0]);
    writeLimit(t, old + 8, before[1]);
  }
  return 0;
}

/** mm/ checks the limits on memory in its own record. */
function noteMemoryLimit(mem: SharedMemory, guest: number, which: number, soft: number): void {
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
    const mm = mem.getU32(t + Thread.mm);
    // A thread that ends has none any more.
    if (mm === 0) continue;
    if (which === RLIMIT_AS) mem.set64(mm + Mm.limitAs, soft);
    else if (which === RLIMIT_DATA) mem.set64(mm + Mm.limitData, soft);
    else if (which === RLIMIT_STACK) mem.set64(mm + Mm.limitStack, soft);
    else if (which === RLIMIT_MEMLOCK) mem.set64(mm + Mm.limitMemlock, soft);
    return;
  }
}

export const limitCalls: SyscallTable = {
  [SYS.SYS_prlimit64]: syscall('prlimit64', ['int', 'int', 'pointer', 'pointer'], prlimit64),
  [SYS.SYS_getrlimit]: syscall('getrlimit', ['int', 'pointer'], (t, which, va) =>
    va === 0 ? -EFAULT : prlimit64(t, 0, which, 0, va),
  ),
  [SYS.SYS_setrlimit]: syscall('setrlimit', ['int', 'pointer'], (t, which, va) =>
    va === 0 ? -EFAULT : prlimit64(t, 0, which, va, 0),
  ),
};
