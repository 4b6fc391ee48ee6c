import { reportMapAfterCall } from '../observe/mapReport.js';
import { logPageCall } from '../observe/pageLog.js';
import { traceCall, traceResult, traceUnknown } from '../observe/strace.js';
import { Thread } from '../sync/records/thread.js';
import { ENOSYS } from './errno.js';
import type { SyscallEntry } from './linux/syscall.js';
import { LEAVE_CALL, type ThreadContext } from './threadContext.js';
import { errnoOf } from './thrownErrno.js';

/**
 * Makes system call `number`, which `entry` serves, and returns its result: what the handler says, or a negated errno. The pc
 * goes past the ecall. `x` is where the arguments begin: the index of the first one's register in `mem.u32`.
 */
export function makeSystemCall(
  t: ThreadContext,
  number: number,
  entry: SyscallEntry | undefined,
  x: number,
): number {
  const { mem, thread } = t;
  const { u32, i32 } = mem;
  const pc = (thread + Thread.pc) >>> 2;
  const low = u32[pc] + 4;
  u32[pc] = low;
  if (low > 0xffff_ffff) u32[pc + 1]++;
  u32[(thread + Thread.syscallCount) >>> 2]++;
  i32[(thread + Thread.syscall) >>> 2] = number;
  t.inputsRead = 0;
  if (!t.resumed) {
    t.callBegan = 0;
    if (t.inputs.length > 0) t.inputs.length = 0;
  }

  const strace = t.options.strace;
  if (entry === undefined) {
    if (strace || t.options.verbose) traceUnknown(t, number);
    return -ENOSYS;
  }
  const a0 = argument(u32[x], i32[x + 1]);
  const a1 = argument(u32[x + 2], i32[x + 3]);
  const a2 = argument(u32[x + 4], i32[x + 5]);
  const a3 = argument(u32[x + 6], i32[x + 7]);
  const a4 = argument(u32[x + 8], i32[x + 9]);
  const a5 = argument(u32[x + 10], i32[x + 11]);
  const logged = t.options.logPage && entry.changesMap === true;
  const traced = strace || logged ? traceCall(t, entry, [a0, a1, a2, a3, a4, a5]) : '';
  let result: number;
  try {
    result = entry.handler(t, a0, a1, a2, a3, a4, a5);
  } catch (error) {
    if (t.leaving === LEAVE_CALL) {
      takeBack(t);
      return 0;
    }
    result = -errnoOf(error);
  }
  if (strace) traceResult(t, entry, traced, result);
  if (logged) logPageCall(t, entry, traced, result);
  if (t.options.mapReport?.call === entry.name) reportMapAfterCall(t, entry, result);
  return result;
}

/** The thread is at its system call again. */
function takeBack(t: ThreadContext): void {
  const { u32 } = t.mem;
  const pc = (t.thread + Thread.pc) >>> 2;
  if (u32[pc] < 4) u32[pc + 1]--;
  u32[pc] -= 4;
  u32[(t.thread + Thread.syscallCount) >>> 2]--;
  t.registersReplaced = true;
}

/**
 * Whether the call has replaced the registers (execve, sigreturn), so that it has no result to be put there. If it has not, the
 * thread is in no call any more.
 */
export function replacedRegisters(t: ThreadContext): boolean {
  if (t.registersReplaced) {
    t.registersReplaced = false;
    return true;
  }
  t.mem.i32[(t.thread + Thread.syscall) >>> 2] = -1;
  return false;
}

/**
 * A register as a number. One of 2^53 and more, which is at best an address where nothing is, keeps what matters of it: its
 * page, and whether it is the page's first byte.
 */
function argument(low: number, high: number): number {
  if (high >= -0x20_0000 && high < 0x20_0000) return high * 0x1_0000_0000 + low;
  const within = low & 0xfff;
  return high * 0x1_0000_0000 + (low - within) + (within === 0 ? 0 : 0x800);
}
