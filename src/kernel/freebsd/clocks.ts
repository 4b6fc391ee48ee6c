import {
  CLOCK_MONOTONIC,
  CLOCK_PROCESS_CPUTIME_ID,
  CLOCK_REALTIME,
  CLOCK_THREAD_CPUTIME_ID,
} from '../clock.js';
import { EINVAL, SyscallError } from '../errno.js';

/** FreeBSD's clocks (sys/_clock_id.h) as Linux's: the precise and the fast ones are the same here. */
const LINUX_CLOCK = new Map([
  [0, CLOCK_REALTIME],
  [1, CLOCK_PROCESS_CPUTIME_ID], // CLOCK_VIRTUAL
  [2, CLOCK_PROCESS_CPUTIME_ID], // CLOCK_PROF
  [4, CLOCK_MONOTONIC],
  [5, CLOCK_MONOTONIC], // CLOCK_UPTIME
  [7, CLOCK_MONOTONIC],
  [8, CLOCK_MONOTONIC],
  [9, CLOCK_REALTIME],
  [10, CLOCK_REALTIME],
  [11, CLOCK_MONOTONIC],
  [12, CLOCK_MONOTONIC],
  [13, CLOCK_REALTIME], // CLOCK_SECOND
  [14, CLOCK_THREAD_CPUTIME_ID],
  [15, CLOCK_PROCESS_CPUTIME_ID],
]);
/** CLOCK_SECOND shows whole seconds. */
export const CLOCK_SECOND = 13;

/** Linux's number of a FreeBSD clock. Throws EINVAL. */
export function linuxClock(clock: number): number {
  const linux = LINUX_CLOCK.get(clock);
  if (linux === undefined) throw new SyscallError(EINVAL);
  return linux;
}

export function isRealtimeClock(clock: number): boolean {
  return LINUX_CLOCK.get(clock) === CLOCK_REALTIME;
}
