import { COORDINATOR, withMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { MACHINE, Machine } from '../../sync/records/machine.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { visitGuestsLocked } from '../processGroups.js';
import { takeTerminalLocked } from './controllingTerminal.js';
import { arriveEditedLocked, arriveLocked } from './lineInput.js';
import { initialSettings } from './termios.js';
import { withTty } from './withTty.js';

/** What the main thread does with the console; the guests' side is the terminal's as of any other. */

/**
 * Keys have arrived from the host's terminal, or, `edited`, lines that it has edited and echoed (no bytes: end-of-file). Returns
 * how many bytes have been taken; whoever makes room asks for the others (Tty.wanted).
 */
export function consoleInput(mem: SharedMemory, tty: number, bytes: Uint8Array, edited: boolean): number {
  return withTty(mem, tty, COORDINATOR, (outcome) =>
    edited ? arriveEditedLocked(mem, tty, bytes, outcome) : arriveLocked(mem, tty, bytes, outcome),
  );
}

/** The session of the console: its leader is the embedder, which is no guest. */
const CONSOLE_SESSION = 1;

/**
 * Makes the console the controlling terminal of a guest that has just been made, in the foreground: as a shell would that has
 * started it as a job, together with other guests of the embedder's.
 */
export function giveConsole(mem: SharedMemory, guest: number, tty: number): void {
  withMutex(mem, MACHINE + Machine.guestsLock, COORDINATOR, () => {
    mem.setU32(guest + Guest.sid, CONSOLE_SESSION);
    const foreground = mem.getU32(tty + Tty.foreground);
    const isMember = (g: number): boolean =>
      g !== guest && mem.getU32(g + Guest.terminal) === tty && mem.getU32(g + Guest.pgid) === foreground;
    if (visitGuestsLocked(mem, isMember)) mem.setU32(guest + Guest.pgid, foreground);
    takeTerminalLocked(mem, guest, tty, COORDINATOR);
  });
}

/** Nobody uses the console any more: it is as new. */
export function resetConsole(mem: SharedMemory, tty: number): void {
  withMutex(mem, tty + Tty.lock, COORDINATOR, () => {
    initialSettings(mem, tty, true);
    mem.setU32(tty + Tty.stopped, 0);
  });
  withMutex(mem, MACHINE + Machine.guestsLock, COORDINATOR, () => {
    mem.setU32(tty + Tty.session, 0);
    mem.setU32(tty + Tty.foreground, 0);
  });
}
