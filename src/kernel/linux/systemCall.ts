import { Thread } from '../../sync/records/thread.js';
import { ERESTART_RESTARTBLOCK, ERESTARTSYS } from '../errno.js';
import { makeSystemCall, replacedRegisters } from '../systemCall.js';
import type { ThreadContext } from '../threadContext.js';
import { linuxSyscalls } from './syscallTable.js';

/** Makes the system call that the registers ask for: a7 the number, a0 … a5 the arguments, a0 the result. */
export function linuxSystemCall(t: ThreadContext): void {
  const { u32, i32 } = t.mem;
  const x = (t.thread + Thread.x) >>> 2;
  t.originalA0Low = u32[x + 20];
  t.originalA0High = u32[x + 21];
  const number = u32[x + 35] === 0 ? u32[x + 34] : 0xffff_ffff;
  const result = makeSystemCall(t, number, linuxSyscalls[number], x + 20);
  if (replacedRegisters(t)) return;
  u32[x + 20] = result;
  i32[x + 21] = Math.floor(result / 0x1_0000_0000);
  if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK) t.restart = -result;
}
