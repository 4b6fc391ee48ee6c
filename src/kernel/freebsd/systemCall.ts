import { Thread } from '../../sync/records/thread.js';
import { ERESTART_RESTARTBLOCK, ERESTARTSYS } from '../errno.js';
import { makeSystemCall, replacedRegisters } from '../systemCall.js';
import type { ThreadContext } from '../threadContext.js';
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
  const { u32 } = t.mem;
  const x = (t.thread + Thread.x) >>> 2;
  t.originalA0Low = u32[x + 20];
  t.originalA0High = u32[x + 21];
  const number = u32[x + 11] === 0 ? u32[x + 10] : 0xffff_ffff;
  const indirect = number === SYS_syscall || number === SYS___syscall;
  const called = indirect ? u32[x + 20] : number;
  const result = makeSystemCall(t, called, freebsdSyscalls[called], indirect ? x + 22 : x + 20);
  if (replacedRegisters(t)) return;
  if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) t.restart = -result;
  else if (result < 0 && result > -4096) setFreebsdError(t, -result);
  else setFreebsdResult(t, result);
}
