import { reportMapAfterCall } from '../../observe/mapReport.js';
import { logPageCall } from '../../observe/pageLog.js';
import { traceCall, traceResult, traceUnknown } from '../../observe/strace.js';
import { Thread } from '../../sync/records/thread.js';
import { ENOSYS, ERESTART_RESTARTBLOCK, ERESTARTSYS } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { errnoOf } from '../thrownErrno.js';
import { setFreebsdError, setFreebsdResult } from './result.js';
import { freebsdSyscalls } from './syscallTable.js';

/** syscall(2) and __syscall(2): the number is the first argument. */
const SYS_syscall = 0;
const SYS___syscall = 198;

/**
 * Makes the system call that the registers ask for: t0 the number, a0 … a5 the arguments. What a signal has interrupted
 * leaves the registers as they are, so that the call can be made again.
 */
export function freebsdSystemCall(t: ThreadContext): void {
  const { mem, thread } = t;
  const { u32, i32 } = mem;
  let x = (thread + Thread.x) >>> 2;
  t.originalA0Low = u32[x + 20];
  t.originalA0High = u32[x + 21];
  let number = u32[x + 11] === 0 ? u32[x + 10] : 0xffff_ffff;
  if (number === SYS_syscall || number === SYS___syscall) {
    number = u32[x + 20];
    x += 2;
  }
  const pc = (thread + Thread.pc) >>> 2;
  const low = u32[pc] + 4;
  u32[pc] = low;
  if (low > 0xffff_ffff) u32[pc + 1]++;
  u32[(thread + Thread.syscallCount) >>> 2]++;
  i32[(thread + Thread.syscall) >>> 2] = number;

  const entry = freebsdSyscalls[number];
  const strace = t.options.strace;
  let result: number;
  if (entry === undefined) {
    if (strace || t.options.verbose) traceUnknown(t, number);
    result = -ENOSYS;
  } else {
    const a0 = u32[x + 20] + i32[x + 21] * 0x1_0000_0000;
    const a1 = u32[x + 22] + i32[x + 23] * 0x1_0000_0000;
    const a2 = u32[x + 24] + i32[x + 25] * 0x1_0000_0000;
    const a3 = u32[x + 26] + i32[x + 27] * 0x1_0000_0000;
    const a4 = u32[x + 28] + i32[x + 29] * 0x1_0000_0000;
    const a5 = u32[x + 30] + i32[x + 31] * 0x1_0000_0000;
    const logged = t.options.logPage && entry.changesMap === true;
    const traced = strace || logged ? traceCall(t, entry, [a0, a1, a2, a3, a4, a5]) : '';
    try {
      result = entry.handler(t, a0, a1, a2, a3, a4, a5);
    } catch (error) {
      result = -errnoOf(error);
    }
    if (strace) traceResult(t, entry, traced, result);
    if (logged) logPageCall(t, entry, traced, result);
    if (t.options.mapReport?.call === entry.name) reportMapAfterCall(t, entry, result);
  }
  if (t.registersReplaced) {
    t.registersReplaced = false;
    return;
  }
  i32[(thread + Thread.syscall) >>> 2] = -1;
  if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) t.restart = -result;
  else if (result < 0 && result > -4096) setFreebsdError(t, -result);
  else setFreebsdResult(t, result);
}
