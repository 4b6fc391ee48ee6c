import { readU32 } from '../../memory/userAccess.js';
import { ThreadSignals } from '../../sync/records/signals.js';
import { EINVAL, SyscallError } from '../errno.js';
import { STAYS, type ThreadContext } from '../threadContext.js';
import { setBlocked } from './pendingSignals.js';

/**
 * The masks of ppoll, pselect6 and epoll_pwait, which hold for the call only: set_user_sigmask and
 * restore_saved_sigmask_unless of the kernel.
 *
 *   setTemporaryMask(t, setPointer, setSize);        // nothing when the pointer is 0
 *   const result = …wait…;
 *   endTemporaryMask(t, interrupted);                // interrupted: the mask stays until the handler has its frame
 */
export function setTemporaryMask(t: ThreadContext, setPointer: number, setSize: number): void {
  if (setPointer === 0) return;
  if (setSize !== 8) throw new SyscallError(EINVAL);
  const low = readU32(t, setPointer);
  const high = readU32(t, setPointer + 4);
  replaceMask(t, low, high);
}

/** Blocks exactly (low, high) until the saved mask is put back. */
export function replaceMask(t: ThreadContext, low: number, high: number): void {
  const { mem, signals } = t;
  // A call that is begun again has kept its mask.
  if (t.resumed && mem.getU32(signals + ThreadSignals.restoreSaved) !== 0) return;
  mem.setU32(signals + ThreadSignals.savedLow, mem.getU32(signals + ThreadSignals.blockedLow));
  mem.setU32(signals + ThreadSignals.savedHigh, mem.getU32(signals + ThreadSignals.blockedHigh));
  mem.setU32(signals + ThreadSignals.restoreSaved, 1);
  setBlocked(mem, t.thread, low, high);
}

/** Ends the temporary mask: at once, or when a signal interrupted the call, once that signal has its handler. */
export function endTemporaryMask(t: ThreadContext, interrupted: boolean): void {
  const { mem, signals } = t;
  // One that is left goes on under it.
  if (t.leaving !== STAYS) return;
  if (interrupted || mem.getU32(signals + ThreadSignals.restoreSaved) === 0) return;
  mem.setU32(signals + ThreadSignals.restoreSaved, 0);
  setBlocked(
    mem,
    t.thread,
    mem.getU32(signals + ThreadSignals.savedLow),
    mem.getU32(signals + ThreadSignals.savedHigh),
  );
}
