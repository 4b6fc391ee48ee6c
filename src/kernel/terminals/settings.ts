import { withMutex } from '../../sync/mutex.js';
import { EventSource } from '../../sync/records/events.js';
import { TERMIOS_BYTES, Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { ERESTARTSYS } from '../errno.js';
import { READABLE, WRITABLE } from '../files/events.js';
import { SIGTTOU } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import { waitInQueue } from '../waiting.js';
import { followSettings } from './console.js';
import { checkForeground } from './controllingTerminal.js';
import { flushInputLocked } from './lineInput.js';
import {
  noteInPacketLocked,
  PACKET_DO_STOP,
  PACKET_IOCTL,
  PACKET_NO_STOP,
  startOutputLocked,
} from './lineOutput.js';
import { reformInputLocked } from './lineRead.js';
import {
  controlCharacter,
  EXTPROC,
  fixControlFlags,
  ICANON,
  IXON,
  inputFlags,
  keepLocked,
  localFlags,
  VSTART,
  VSTOP,
} from './termios.js';
import { withTty } from './withTty.js';

/** The settings of a terminal: Linux's struct termios2. */
export function terminalSettings(t: ThreadContext, tty: number): Uint8Array {
  const { mem } = t;
  return withMutex(mem, tty + Tty.lock, t.thread, () =>
    mem.u8.slice(tty + Tty.termios, tty + Tty.termios + TERMIOS_BYTES),
  );
}

/** What comes before a change of settings: nothing, the end of the output, or that and throwing away the input. */
export type Precaution = 'now' | 'drain' | 'flush';

/** Gives a terminal other settings, TERMIOS_BYTES of them: tcsetattr(3). Returns 0 or −errno. */
export function changeSettings(
  t: ThreadContext,
  tty: number,
  settings: Uint8Array,
  precaution: Precaution,
): number {
  const { mem, thread } = t;
  const allowed = checkForeground(t, tty, SIGTTOU);
  if (allowed !== 0) return allowed;
  if (precaution === 'flush') withTty(mem, tty, thread, (outcome) => flushInputLocked(mem, tty, outcome));
  if (precaution !== 'now' && !awaitDrained(t, tty)) return -ERESTARTSYS;
  withTty(mem, tty, thread, (outcome) => {
    const local = localFlags(mem, tty);
    const flowed = (inputFlags(mem, tty) & IXON) !== 0;
    const hadFlow = hasUsualFlow(mem, tty);
    const at = tty + Tty.termios;
    const locks = tty + Tty.lockedSettings;
    const before = mem.u8.slice(at, at + TERMIOS_BYTES);
    mem.u8.set(settings, at);
    keepLocked(mem.u8.subarray(at), before, mem.u8.subarray(locks, locks + TERMIOS_BYTES));
    fixControlFlags(mem, tty);
    const changed = local ^ localFlags(mem, tty);
    if ((changed & (ICANON | EXTPROC)) !== 0) reformInputLocked(mem, tty);
    if (flowed && (inputFlags(mem, tty) & IXON) === 0) startOutputLocked(mem, tty, outcome);
    const hasFlow = hasUsualFlow(mem, tty);
    if (hadFlow !== hasFlow)
      noteInPacketLocked(
        mem,
        tty,
        PACKET_DO_STOP | PACKET_NO_STOP,
        hasFlow ? PACKET_DO_STOP : PACKET_NO_STOP,
        outcome,
      );
    if (((local | localFlags(mem, tty)) & EXTPROC) !== 0)
      noteInPacketLocked(mem, tty, 0, PACKET_IOCTL, outcome);
    outcome.slave |= READABLE | WRITABLE;
  });
  if (mem.getU32(tty + Tty.console) !== 0) followSettings(t, tty);
  return 0;
}

/** Output is stopped and started by ^S and ^Q: what a master may do by itself. */
function hasUsualFlow(mem: SharedMemory, tty: number): boolean {
  return (
    (inputFlags(mem, tty) & IXON) !== 0 &&
    controlCharacter(mem, tty, VSTOP) === 0o23 &&
    controlCharacter(mem, tty, VSTART) === 0o21
  );
}

/** Waits until the host's terminal has all output: tcdrain(3). A pseudo-terminal's has arrived at once. False: a signal came first. */
export function awaitDrained(t: ThreadContext, tty: number): boolean {
  const { mem } = t;
  if (mem.getU32(tty + Tty.console) === 0) return true;
  const outcome = waitInQueue(
    t,
    tty + Tty.source + EventSource.waiters,
    () => mem.atomicLoad(tty + Tty.outputUsed) === 0,
    { stays: true },
  );
  return outcome === 'ready';
}
