import { withMutex } from '../../sync/mutex.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { POLLERR, POLLHUP, READABLE, signalEvents, WRITABLE } from '../files/events.js';
import { loseTerminal } from './controllingTerminal.js';
import { resetInputLocked } from './lineInput.js';

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
