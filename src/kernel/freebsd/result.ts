import { Thread } from '../../sync/records/thread.js';
import type { ThreadContext } from '../threadContext.js';
import { freebsdErrno } from './errno.js';

/** How a system call answers on RISC-V (cpu_set_syscall_retval): a0 the result, t0 0; or a0 the errno, t0 1. */
const T0 = 5;
const A0 = 10;

/** The call has succeeded with `result`. */
export function setFreebsdResult(t: ThreadContext, result: number): void {
  const { u32, i32 } = t.mem;
  const x = (t.thread + Thread.x) >>> 2;
  u32[x + A0 * 2] = result;
  i32[x + A0 * 2 + 1] = Math.floor(result / 0x1_0000_0000);
  u32[x + T0 * 2] = 0;
  u32[x + T0 * 2 + 1] = 0;
}

/** The call has failed with Linux's errno `errno`. */
export function setFreebsdError(t: ThreadContext, errno: number): void {
  const { u32 } = t.mem;
  const x = (t.thread + Thread.x) >>> 2;
  u32[x + A0 * 2] = freebsdErrno(errno);
  u32[x + A0 * 2 + 1] = 0;
  u32[x + T0 * 2] = 1;
  u32[x + T0 * 2 + 1] = 0;
}
