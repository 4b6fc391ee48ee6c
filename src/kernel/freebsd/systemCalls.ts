import { readU64, write64, writeU64Big } from '../../memory/userAccess.js';
import { Guest } from '../../sync/records/guest.js';
import { EFAULT, EINVAL, ENOENT, ENOSYS } from '../errno.js';
import {
  getLimit,
  RLIMIT_AS,
  RLIMIT_DATA,
  RLIMIT_MEMLOCK,
  RLIMIT_NOFILE,
  RLIMIT_STACK,
} from '../guestRecords.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import * as LINUX from '../linux/syscallNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { linuxCall } from './linuxCall.js';
import * as SYS from './syscallNumbers.js';
import { sysctl, sysctlByName } from './sysctl.js';

/** Ids, limits, and what the system says of itself. */
const linuxSetresuid = linuxCall(LINUX.SYS_setresuid);
const linuxSetresgid = linuxCall(LINUX.SYS_setresgid);
const linuxSetrlimit = linuxCall(LINUX.SYS_setrlimit);
const linuxGetrandom = linuxCall(LINUX.SYS_getrandom);

const RLIM_INFINITY = 0x7fff_ffff_ffff_ffffn;
/** Linux's number of each of FreeBSD's resources: CPU, FSIZE, DATA, STACK, CORE, RSS, MEMLOCK, NPROC, NOFILE, SBSIZE, AS. */
const LINUX_LIMIT = [0, 1, RLIMIT_DATA, RLIMIT_STACK, 4, 5, RLIMIT_MEMLOCK, 6, RLIMIT_NOFILE, -1, RLIMIT_AS];
/** NPTS, SWAP, KQUEUES, UMTXP, PIPEBUF: without limits here, as SBSIZE. */
const RLIM_NLIMITS = 16;

function getrlimit(t: ThreadContext, which: number, va: number): number {
  if (which < 0 || which >= RLIM_NLIMITS) return -EINVAL;
  const linux = LINUX_LIMIT[which] ?? -1;
  const limits = linux < 0 ? [Infinity, Infinity] : getLimit(t.mem, t.guest, linux);
  limits.forEach((limit, i) => {
    if (limit >= 2 ** 53) writeU64Big(t, va + i * 8, RLIM_INFINITY);
    else write64(t, va + i * 8, limit);
  });
  return 0;
}

function setrlimit(t: ThreadContext, which: number, va: number): number {
  if (which < 0 || which >= RLIM_NLIMITS) return -EINVAL;
  if (va === 0) return -EFAULT;
  const linux = LINUX_LIMIT[which] ?? -1;
  readU64(t, va);
  return linux < 0 ? 0 : linuxSetrlimit(t, linux, va, 0, 0, 0, 0);
}

/** One id, which becomes the effective one; −1 leaves the others. */
const setEffective = (set: typeof linuxSetresuid) => (t: ThreadContext, id: number) =>
  set(t, -1, id, -1, 0, 0, 0);

const same = (name: string, number: number, kinds: Parameters<typeof syscall>[1]) =>
  syscall(name, kinds, linuxCall(number));

export const systemCalls: SyscallTable = {
  [SYS.SYS_getpid]: same('getpid', LINUX.SYS_getpid, []),
  [SYS.SYS_getppid]: same('getppid', LINUX.SYS_getppid, []),
  [SYS.SYS_getuid]: same('getuid', LINUX.SYS_getuid, []),
  [SYS.SYS_geteuid]: same('geteuid', LINUX.SYS_geteuid, []),
  [SYS.SYS_getgid]: same('getgid', LINUX.SYS_getgid, []),
  [SYS.SYS_getegid]: same('getegid', LINUX.SYS_getegid, []),
  [SYS.SYS_issetugid]: syscall('issetugid', [], () => 0),
  [SYS.SYS_setuid]: same('setuid', LINUX.SYS_setuid, ['uint']),
  [SYS.SYS_setgid]: same('setgid', LINUX.SYS_setgid, ['uint']),
  [SYS.SYS_seteuid]: syscall('seteuid', ['uint'], setEffective(linuxSetresuid)),
  [SYS.SYS_setegid]: syscall('setegid', ['uint'], setEffective(linuxSetresgid)),
  [SYS.SYS_setreuid]: same('setreuid', LINUX.SYS_setreuid, ['int', 'int']),
  [SYS.SYS_setregid]: same('setregid', LINUX.SYS_setregid, ['int', 'int']),
  [SYS.SYS_setresuid]: same('setresuid', LINUX.SYS_setresuid, ['int', 'int', 'int']),
  [SYS.SYS_setresgid]: same('setresgid', LINUX.SYS_setresgid, ['int', 'int', 'int']),
  [SYS.SYS_getresuid]: same('getresuid', LINUX.SYS_getresuid, ['pointer', 'pointer', 'pointer']),
  [SYS.SYS_getresgid]: same('getresgid', LINUX.SYS_getresgid, ['pointer', 'pointer', 'pointer']),
  [SYS.SYS_getgroups]: same('getgroups', LINUX.SYS_getgroups, ['int', 'pointer']),
  [SYS.SYS_getpgrp]: syscall('getpgrp', [], (t) => t.mem.getU32(t.guest + Guest.pgid)),
  [SYS.SYS_getpgid]: same('getpgid', LINUX.SYS_getpgid, ['int']),
  [SYS.SYS_setpgid]: same('setpgid', LINUX.SYS_setpgid, ['int', 'int']),
  [SYS.SYS_getsid]: same('getsid', LINUX.SYS_getsid, ['int']),
  [SYS.SYS_setsid]: same('setsid', LINUX.SYS_setsid, []),
  [SYS.SYS_getpriority]: syscall('getpriority', ['int', 'int'], (t, which, who) => {
    // Linux's call gives 20 minus the priority.
    const result = linuxCall(LINUX.SYS_getpriority)(t, which, who, 0, 0, 0, 0);
    return result < 0 ? result : 20 - result;
  }),
  [SYS.SYS_setpriority]: same('setpriority', LINUX.SYS_setpriority, ['int', 'int', 'int']),
  [SYS.SYS_getrlimit]: syscall('getrlimit', ['int', 'pointer'], getrlimit),
  [SYS.SYS_setrlimit]: syscall('setrlimit', ['int', 'pointer'], setrlimit),
  [SYS.SYS_getrandom]: syscall('getrandom', ['pointer', 'size', 'hex'], (t, va, length, flags) =>
    flags & ~7 || length > 0x7fff_ffff ? -EINVAL : linuxGetrandom(t, va, length, flags & 3, 0, 0, 0),
  ),
  [SYS.SYS___sysctl]: syscall(
    '__sysctl',
    ['pointer', 'uint', 'pointer', 'pointer', 'pointer', 'size'],
    sysctl,
  ),
  [SYS.SYS___sysctlbyname]: syscall(
    '__sysctlbyname',
    ['string', 'size', 'pointer', 'pointer', 'pointer', 'size'],
    sysctlByName,
  ),
  // There is no kernel environment, and no machine-dependent call on RISC-V.
  [SYS.SYS_kenv]: syscall('kenv', ['int', 'string', 'pointer', 'int'], () => -ENOENT),
  [SYS.SYS_sysarch]: syscall('sysarch', ['int', 'pointer'], () => -EINVAL),
  [SYS.SYS_procctl]: syscall('procctl', ['int', 'long', 'int', 'pointer'], () => -ENOSYS),
};
