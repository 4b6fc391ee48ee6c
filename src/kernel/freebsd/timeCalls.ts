import { write64 } from '../../memory/userAccess.js';
import { ERESTARTSYS } from '../errno.js';
import { type SyscallTable, syscall } from '../linux/syscall.js';
import * as LINUX from '../linux/syscallNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { CLOCK_SECOND, linuxClock } from './clocks.js';
import { EINTR_NUMBER } from './errno.js';
import { linuxCall, posixError } from './linuxCall.js';
import * as SYS from './syscallNumbers.js';

/** Clocks, sleeping and interval timers: Linux's but for the numbers of the clocks. */
const linuxGettime = linuxCall(LINUX.SYS_clock_gettime);
const linuxGetres = linuxCall(LINUX.SYS_clock_getres);
const linuxClockNanosleep = linuxCall(LINUX.SYS_clock_nanosleep);

function clockGettime(t: ThreadContext, clock: number, va: number): number {
  const result = linuxGettime(t, linuxClock(clock | 0), va, 0, 0, 0, 0);
  if ((clock | 0) === CLOCK_SECOND && result === 0) write64(t, va + 8, 0);
  return result;
}

/** Gives its error as its result; a signal ends it with EINTR whatever the handler's flags say. */
function clockNanosleep(
  t: ThreadContext,
  clock: number,
  flags: number,
  wanted: number,
  left: number,
): number {
  const result = linuxClockNanosleep(t, linuxClock(clock | 0), flags, wanted, left, 0, 0);
  return result <= -ERESTARTSYS ? EINTR_NUMBER : result;
}

export const timeCalls: SyscallTable = {
  [SYS.SYS_clock_gettime]: syscall('clock_gettime', ['int', 'pointer'], clockGettime),
  [SYS.SYS_clock_getres]: syscall('clock_getres', ['int', 'pointer'], (t, clock, va) =>
    linuxGetres(t, linuxClock(clock | 0), va, 0, 0, 0, 0),
  ),
  [SYS.SYS_nanosleep]: syscall('nanosleep', ['timespec', 'pointer'], linuxCall(LINUX.SYS_nanosleep)),
  [SYS.SYS_clock_nanosleep]: syscall(
    'clock_nanosleep',
    ['int', 'hex', 'timespec', 'pointer'],
    posixError(clockNanosleep),
  ),
  [SYS.SYS_gettimeofday]: syscall('gettimeofday', ['pointer', 'pointer'], linuxCall(LINUX.SYS_gettimeofday)),
  [SYS.SYS_getitimer]: syscall('getitimer', ['int', 'pointer'], linuxCall(LINUX.SYS_getitimer)),
  [SYS.SYS_setitimer]: syscall('setitimer', ['int', 'pointer', 'pointer'], linuxCall(LINUX.SYS_setitimer)),
  [SYS.SYS_getrusage]: syscall('getrusage', ['int', 'pointer'], linuxCall(LINUX.SYS_getrusage)),
};
