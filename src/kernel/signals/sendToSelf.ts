import { Cred } from '../../sync/records/cred.js';
import { Guest } from '../../sync/records/guest.js';
import type { ThreadContext } from '../threadContext.js';
import { sendSignal } from './pendingSignals.js';
import { sentInfo } from './sigInfo.js';
import { SI_USER } from './signalNumbers.js';

/** The kernel sends `signal` to the calling thread on its own behalf: SIGPIPE, SIGXFSZ. */
export function sendToSelf(t: ThreadContext, signal: number): void {
  const { mem, guest } = t;
  const info = sentInfo(signal, SI_USER, mem.getU32(guest + Guest.pid), mem.getU32(t.cred + Cred.uids));
  sendSignal(mem, t.thread, guest, t.thread, signal, info);
}
