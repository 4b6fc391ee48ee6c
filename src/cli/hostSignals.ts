import type { GuestProcess } from '../machine/guestProcess.js';

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
const OF_KEYS: ReadonlySet<string> = new Set(['SIGINT', 'SIGQUIT', 'SIGTSTP', 'SIGWINCH']);
/** So many interrupts within so many milliseconds end a guest that does not listen. */
const HARD_INTERRUPTS = 3;
const HARD_WINDOW = 1500;
const STOP_DELAY = 50;

/**
 * Passes the signals that the Node process gets on to the guest. Three interrupts in quick succession kill it; one more ends
 * the Node process. Returns what stops it.
 */
export function forwardSignals(guest: GuestProcess): () => void {
  let interrupts: number[] = [];
  const forward = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGINT') {
      const now = Date.now();
      interrupts = [...interrupts.filter((at) => now - at < HARD_WINDOW), now];
      if (interrupts.length > HARD_INTERRUPTS) process.exit(130);
      if (interrupts.length === HARD_INTERRUPTS) {
        guest.kill('SIGKILL');
        return;
      }
    }
    // What a key of the terminal sends is for all processes of the foreground, of which this one knows the guest's group.
    if (OF_KEYS.has(signal)) guest.killGroup(signal);
    else guest.kill(signal);
    // Ctrl-Z is to stop what the shell knows of as well, once the guest has had the time to put its terminal in order.
    if (signal === 'SIGTSTP') setTimeout(() => process.kill(process.pid, 'SIGSTOP'), STOP_DELAY);
  };
  // SIGUSR1 starts Node's debugger unless somebody listens, which is just what we do.
  for (const signal of FORWARDED) process.on(signal, forward);
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward);
  };
}
