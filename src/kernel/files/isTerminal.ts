import { fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

/** isatty(3) for a descriptor of the host; loads node:tty only for what may be a terminal. */
export function isTerminal(fd: number): boolean {
  try {
    return fstatSync(fd).isCharacterDevice() && isatty(fd);
  } catch {
    return false;
  }
}
