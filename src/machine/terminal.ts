import { writeSync } from 'node:fs';
import { isTerminal } from '../kernel/files/isTerminal.js';

import {
  createTty,
  releaseTty,
  setWindowSize,
  type TerminalMode,
  terminalMode,
} from '../kernel/files/tty.js';
import { COORDINATOR } from '../sync/mutex.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

const COOKED: TerminalMode = { canonical: true, echo: true, signals: true, carriageReturn: true };

const ETX = 0x03;
const EOT = 0x04;
const SUB = 0x1a;
const FS = 0x1c;
const BACKSPACE = 0x08;
const DELETE = 0x7f;
const CR = 0x0d;
const LF = 0x0a;

/** A signal that a key asks for. */
export type KeySignal = 'SIGINT' | 'SIGQUIT' | 'SIGTSTP';

/**
 * The terminal the Node process runs on, lent to guests. In its ordinary mode the host does the line editing; Node offers
 * only one other mode, in which every key arrives as it is, so that what a guest asks for in between (keys without echo,
 * lines without echo, keys that make signals) is made here.
 */
export class HostTerminal {
  /** The kernel's Tty record. */
  readonly tty: number;
  private mode = COOKED;
  private line: number[] = [];
  private readonly onResize = (): void => {
    const { rows, columns } = terminalSize();
    setWindowSize(this.mem, this.tty, rows, columns);
  };

  /** @param signal sends the guests what a key asks for. */
  constructor(
    private readonly mem: SharedMemory,
    private readonly signal: (name: KeySignal) => void,
  ) {
    const { rows, columns } = terminalSize();
    this.tty = createTty(mem, rows, columns, COORDINATOR);
    process.on('SIGWINCH', this.onResize);
  }

  /** The guests have set the terminal's mode (RequestKind.TerminalChanged). */
  changed(): void {
    this.mode = terminalMode(this.mem, this.tty, COORDINATOR);
    this.setRaw(!(this.mode.canonical && this.mode.echo));
  }

  /** What the guest reads for the keys that have arrived. */
  input(bytes: Uint8Array): Uint8Array {
    const { mode } = this;
    if (mode.canonical && mode.echo) return bytes;
    const out: number[] = [];
    for (const key of bytes) {
      const byte = key === CR && mode.carriageReturn ? LF : key;
      if (mode.signals && byte === ETX) this.signal('SIGINT');
      else if (mode.signals && byte === FS) this.signal('SIGQUIT');
      else if (mode.signals && byte === SUB) this.signal('SIGTSTP');
      else if (!mode.canonical) out.push(byte);
      else if (byte === DELETE || byte === BACKSPACE) this.line.pop();
      else {
        if (byte !== EOT) this.line.push(byte);
        if (byte === LF || byte === EOT) out.push(...this.line.splice(0));
      }
    }
    if (mode.echo && out.length > 0) writeSync(1, Uint8Array.from(out));
    return Uint8Array.from(out);
  }

  /** Gives the terminal back as it was. */
  close(): void {
    process.off('SIGWINCH', this.onResize);
    this.setRaw(false);
    releaseTty(this.mem, this.tty, COORDINATOR);
  }

  private setRaw(raw: boolean): void {
    if (isTerminal(0) && process.stdin.isRaw !== raw) process.stdin.setRawMode(raw);
  }
}

/** Size of the terminal the Node process runs on, in characters. */
function terminalSize(): { rows: number; columns: number } {
  const stream = process.stdout.isTTY ? process.stdout : process.stderr;
  return { rows: stream.rows ?? 24, columns: stream.columns ?? 80 };
}
