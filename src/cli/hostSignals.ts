import type { GuestProcess } from '../machine/guestProcess.js';
import type { Machine } from '../machine/machine.js';

const FORWARDED = [
  'SIGINT',
  'SIGTERM',
  'SIGHUP',
  'SIGQUIT',
  'SIGTSTP',
  'SIGWINCH',
  'SIGUSR1',
  'SIGUSR2',
  'SIGCONT',
] as const;
const OF_KEYS: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT', 'SIGTSTP']);
/** So many interrupts within so many milliseconds end a guest that does not listen. */
const HARD_INTERRUPTS = 3;
const HARD_WINDOW = 1500;
/** Milliseconds after which a process that has not been stopped by its own signal will not be. */
const STOP_TIME = 50;

/**
 * Passes the signals that the Node process gets on to the guests. Those of the terminal's keys are for the process group in the
 * foreground of their console; three interrupts of the guest itself in quick succession kill it; one more ends the Node process.
 * When the guest is stopped, so is the Node process, and whoever started it goes on. Returns what stops it.
 */
export function forwardSignals(machine: Machine, guest: GuestProcess): () => void {
  let interrupts: number[] = [];
  const forward = (signal: NodeJS.Signals): void => {
    const own = guest.processGroup();
    const group = machine.foregroundGroup() || own;
    if (signal === 'SIGINT' && group === own) {
      const now = Date.now();
      interrupts = [...interrupts.filter((at) => now - at < HARD_WINDOW), now];
      if (interrupts.length > HARD_INTERRUPTS) process.exit(130);
      if (interrupts.length === HARD_INTERRUPTS) {
        guest.kill('SIGKILL');
        return;
      }
    }
    if (OF_KEYS.has(signal)) machine.killGroup(group, signal);
    else if (signal === 'SIGCONT') goOn();
    // The console tells its foreground itself.
    else if (signal === 'SIGWINCH') guest.onConsole || guest.killGroup(signal);
    else guest.kill(signal);
  };
  let stopped = false;
  const goOn = (): void => {
    if (stopped) process.on('SIGTSTP', forward);
    stopped = false;
    machine.resumeTerminal();
    guest.killGroup('SIGCONT');
  };
  guest.onStopped(() => {
    if (stopped) return;
    stopped = true;
    machine.suspendTerminal();
    // As the signal would have stopped the guest had it been a process of the host: not at all where nobody would continue it.
    process.off('SIGTSTP', forward);
    process.kill(process.pid, 'SIGTSTP');
    // A SIGCONT that has come meanwhile is told of between the two.
    setTimeout(() => setImmediate(() => stopped && goOn()), STOP_TIME);
  });
  // SIGUSR1 starts Node's debugger unless somebody listens, which is just what we do.
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    guest.onStopped(() => {});
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}
