import { withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { ESRCH, SyscallError } from './errno.js';
import { threadByTidLocked } from './guestRecords.js';
import type { ThreadContext } from './threadContext.js';

/** Runs `visit` with the thread of that id (0: the caller), which stays meanwhile. Throws ESRCH. */
export function withThread<T>(t: ThreadContext, tidNumber: number, visit: (thread: number) => T): T {
  const { mem, thread, guest } = t;
  const tid = tidNumber | 0;
  if (tid === 0 || tid === t.tid) return visit(thread);
  const look = (g: number): { result: T } | undefined =>
    withMutex(mem, g + Guest.threadsLock, thread, () => {
      const found = threadByTidLocked(mem, g, tid);
      return found === 0 ? undefined : { result: visit(found) };
    });
  const own = look(guest);
  if (own !== undefined) return own.result;
  return withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    for (let g = mem.getU32(MACHINE + Machine.guests); g !== 0; g = mem.getU32(g + Guest.nextGuest)) {
      const found = g === guest ? undefined : look(g);
      if (found !== undefined) return found.result;
    }
    throw new SyscallError(ESRCH);
  });
}
