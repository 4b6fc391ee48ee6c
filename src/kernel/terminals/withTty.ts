import { withMutex } from '../../sync/mutex.js';
import { Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { signalEvents } from '../files/events.js';
import { signalGroup } from '../processGroups.js';
import { drainConsole } from './console.js';
import { Outcome } from './outcome.js';

/** Runs `body` with Tty.lock held, and then tells whoever is to be told. The caller holds no lock. */
export function withTty<T>(mem: SharedMemory, tty: number, owner: number, body: (outcome: Outcome) => T): T {
  const outcome = new Outcome();
  const result = withMutex(mem, tty + Tty.lock, owner, () => body(outcome));
  for (const signal of outcome.signals) {
    const foreground = mem.getU32(tty + Tty.foreground);
    if (foreground !== 0) signalGroup(mem, foreground, signal, owner);
  }
  if (mem.getU32(tty + Tty.console) !== 0) drainConsole(mem, tty, owner);
  if (outcome.slave !== 0) signalEvents(mem, tty + Tty.source, outcome.slave, owner);
  if (outcome.master !== 0) signalEvents(mem, tty + Tty.masterSource, outcome.master, owner);
  return result;
}
