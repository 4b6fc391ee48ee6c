import { withMutex } from '../../sync/mutex.js';
import { parkTicket } from '../../sync/park.js';
import { Sighand, ThreadSignals } from '../../sync/records/signals.js';
import { ERESTARTNOHAND } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { fillTimerInfo } from '../timers.js';
import { parkInCall } from '../waiting.js';
import { recalculateAttention, type TakenSignal, takeSignalLocked } from './pendingSignals.js';
import { UNBLOCKABLE_LOW } from './signalNumbers.js';
import { replaceMask } from './temporaryMask.js';

/** sigsuspend(2): waits under the mask (low, high) for a signal that it does not block; −ERESTARTNOHAND. */
export function suspendUntilSignal(t: ThreadContext, low: number, high: number): number {
  const { mem, thread } = t;
  replaceMask(t, low, high);
  for (;;) {
    const ticket = parkTicket(mem, thread);
    if (t.signalPending()) return -ERESTARTNOHAND;
    parkInCall(t, ticket);
  }
}

/**
 * Takes a signal of the set (low, high), waiting for one until `deadline` (monotonic milliseconds, or Infinity):
 * sigtimedwait(2). Says 'interrupted' when another signal comes first.
 */
export function awaitSignal(
  t: ThreadContext,
  low: number,
  high: number,
  deadline: number,
): TakenSignal | 'interrupted' | 'late' {
  const { mem, thread, signals, sighand } = t;
  const wanted = low & ~UNBLOCKABLE_LOW;
  const take = (waiting: boolean) =>
    withMutex(mem, sighand + Sighand.lock, thread, () => {
      const taken = takeSignalLocked(mem, thread, wanted, high, thread);
      const wait = taken === undefined && waiting;
      mem.setU32(signals + ThreadSignals.waitingLow, wait ? wanted : 0);
      mem.setU32(signals + ThreadSignals.waitingHigh, wait ? high : 0);
      recalculateAttention(mem, thread);
      return taken;
    });
  for (;;) {
    const ticket = parkTicket(mem, thread);
    let taken = take(true);
    if (taken === undefined) {
      if (t.signalPending()) {
        taken = take(false);
        if (taken === undefined) return 'interrupted';
      } else if (!parkInCall(t, ticket, deadline)) {
        taken = take(false);
        if (taken === undefined) return 'late';
      } else continue;
    }
    if (taken.timer !== 0) fillTimerInfo(t, taken);
    return taken;
  }
}
