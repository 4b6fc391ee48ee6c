import { withMutex } from '../sync/mutex.js';
import { Guest } from '../sync/records/guest.js';
import { Timer } from '../sync/records/timers.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { CLOCK_PROCESS_CPUTIME_ID } from './clock.js';
import { getLimit, RLIM_INFINITY, RLIMIT_CPU } from './guestRecords.js';
import { SIGXCPU } from './signals/signalNumbers.js';
import type { ThreadContext } from './threadContext.js';
import {
  announceTimers,
  CPU_LIMIT_ID,
  createTimerLocked,
  findTimerLocked,
  setTimerLocked,
  withTimers,
} from './timers.js';

/**
 * RLIMIT_CPU of a guest has changed: arms the timer on its CPU time, or ends it. Guest.threadsLock is held. True when the
 * coordinator has to be told (announceTimers).
 */
export function limitCpuLocked(mem: SharedMemory, guest: number, owner: number): boolean {
  const [soft, hard] = getLimit(mem, guest, RLIMIT_CPU);
  const seconds = Math.min(soft, hard);
  return withTimers(mem, owner, () => {
    let timer = findTimerLocked(mem, guest, CPU_LIMIT_ID);
    if (timer === 0) {
      if (seconds === RLIM_INFINITY) return false;
      timer = createTimerLocked(mem, guest, CPU_LIMIT_ID, CLOCK_PROCESS_CPUTIME_ID, owner);
      mem.setU32(timer + Timer.signal, SIGXCPU);
    }
    // A value of 0 would disarm it.
    const value = seconds === RLIM_INFINITY ? 0 : Math.max(seconds * 1000, 1e-3);
    return setTimerLocked(mem, timer, value, 0, true);
  });
}

/** A child begins with its parent's limit, and with no time used. */
export function inheritCpuLimit(t: ThreadContext, child: number): void {
  const { mem, thread } = t;
  if (getLimit(mem, child, RLIMIT_CPU)[0] === RLIM_INFINITY) return;
  if (withMutex(mem, child + Guest.threadsLock, thread, () => limitCpuLocked(mem, child, thread)))
    announceTimers(t);
}
