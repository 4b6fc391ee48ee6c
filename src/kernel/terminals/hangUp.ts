import { withMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { CAP_SYS_TTY_CONFIG, capable } from '../capabilities.js';
import { EPERM } from '../errno.js';
import { POLLERR, POLLHUP, READABLE, signalEvents, WRITABLE } from '../files/events.js';
import type { ThreadContext } from '../threadContext.js';
import { loseTerminal } from './controllingTerminal.js';
import { resetInputLocked } from './lineInput.js';
import { releaseTty, retainTty } from './tty.js';

/**
 * Hangs a terminal up (tty_vhangup): its session leader hears of it, and descriptors of the slave that are open now are of no
 * more use. The caller holds no lock.
 */
export function hangUp(mem: SharedMemory, tty: number, owner: number): void {
  withMutex(mem, tty + Tty.lock, owner, () => {
    mem.atomicAdd(tty + Tty.hangups, 1);
    resetInputLocked(mem, tty);
    mem.setU32(tty + Tty.arrivingUsed, 0);
    mem.setU32(tty + Tty.stopped, 0);
  });
  loseTerminal(mem, tty, owner);
  signalEvents(mem, tty + Tty.source, READABLE | WRITABLE | POLLHUP | POLLERR, owner);
}

/** vhangup(2): hangs the caller's terminal up, if it has one; −EPERM without privileges. */
export function hangUpOwn(t: ThreadContext): number {
  const { mem, guest, thread } = t;
  if (!capable(t, CAP_SYS_TTY_CONFIG)) return -EPERM;
  const tty = withMutex(mem, MACHINE + Machine.guestsLock, thread, () => {
    const own = mem.getU32(guest + Guest.terminal);
    if (own !== 0) retainTty(mem, own, thread);
    return own;
  });
  if (tty === 0) return 0;
  hangUp(mem, tty, thread);
  releaseTty(mem, tty, thread);
  return 0;
}
