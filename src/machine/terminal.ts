import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { ReadStream, WriteStream } from 'node:tty';
import { drainConsole, settleHostMode, wantedHostMode } from '../kernel/terminals/console.js';
import { consoleInput, resetConsole } from '../kernel/terminals/consoleInput.js';
import { hangUp } from '../kernel/terminals/hangUp.js';
import { resizeWindow } from '../kernel/terminals/terminalIoctl.js';
import { createTty, releaseTty } from '../kernel/terminals/tty.js';
import { COORDINATOR } from '../sync/mutex.js';
import { HOST_COOKED, HOST_RAW, HOST_TRANSPARENT, Tty } from '../sync/records/tty.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Milliseconds between attempts to write to a terminal that takes nothing, and how long they go on at the end. */
const RETRY = 5;
const LAST_RETRIES = 2000;

/**
 * The terminal that the Node process runs on, lent to the guests as their console.
 *
 * As long as the guests leave its settings alone it stays in its ordinary mode: it edits and echoes lines and turns keys into
 * signals for the Node process, and is read one line at a time, when a guest wants one, so that a program that comes after
 * finds what this one has not read. A guest that changes the settings gets the kernel's own line discipline, and the host's terminal
 * hands over every key (raw mode) and is read all the time, for the sake of those that make signals.
 */
export class HostTerminal {
  /** The kernel's Tty record. */
  readonly tty: number;
  private readonly path: string;
  private stream: ReadStream | undefined;
  /** The host's terminal as it is: HOST_*. */
  private mode = HOST_COOKED;
  /** What has been read and did not fit. */
  private pending: Buffer = Buffer.alloc(0);
  private retry: NodeJS.Timeout | undefined;
  private users = 0;
  private suspended = false;
  private closed = false;
  private readonly onResize = (): void => {
    if (!this.closed) resizeWindow(this.mem, this.tty, windowOf(this.outputFd), COORDINATOR);
  };
  private readonly outputFd: number;

  /** @param fd a descriptor of the terminal, one of the standard three */
  constructor(
    private readonly mem: SharedMemory,
    fd: number,
  ) {
    const { path, outputFd } = openAnew(fd);
    this.path = path;
    this.outputFd = outputFd;
    this.tty = createTty(mem, COORDINATOR, { uid: process.getuid?.() ?? 0, hostFd: this.outputFd });
    this.onResize();
    process.on('SIGWINCH', this.onResize);
  }

  /** The guests have changed the settings (RequestKind.TerminalChanged). */
  changed(): void {
    if (!this.suspended && !this.closed) this.follow();
  }

  /** A guest has found nothing to read (RequestKind.TerminalWanted). */
  wanted(): void {
    if (this.suspended || this.closed) return;
    const { pending } = this;
    this.pending = Buffer.alloc(0);
    if (pending.length > 0) this.mem.atomicStore(this.tty + Tty.wanted, 0);
    if (pending.length > 0) this.arrived(pending, this.mode === HOST_COOKED);
    else this.open();
    this.stream?.resume();
  }

  /** Output is left that did not fit (RequestKind.TerminalOutput). */
  output(): void {
    if (this.closed || this.retry !== undefined) return;
    this.mem.atomicStore(this.tty + Tty.drainAsked, 0);
    if (this.drain()) return;
    this.retry = setTimeout(() => {
      this.retry = undefined;
      this.output();
    }, RETRY);
  }

  /** One more guest uses the terminal. */
  retain(): void {
    this.users++;
  }

  /** A guest has ended. The last one leaves the host's terminal as it was found. */
  release(): void {
    if (--this.users > 0 || this.closed) return;
    this.drain();
    resetConsole(this.mem, this.tty);
    this.follow();
    this.shut();
  }

  /** The Node process is about to be stopped: whoever takes over finds the terminal as it was. */
  suspend(): void {
    if (this.suspended || this.closed) return;
    this.drain();
    this.suspended = true;
    this.become(HOST_COOKED);
    this.shut();
  }

  /** The Node process goes on. */
  resume(): void {
    if (!this.suspended || this.closed) return;
    this.suspended = false;
    this.onResize();
    this.follow();
    if (this.isWanted()) this.open();
  }

  /** Gives the terminal back as it was, with all output that it takes within a moment. */
  close(): void {
    if (this.closed) return;
    process.off('SIGWINCH', this.onResize);
    clearTimeout(this.retry);
    const clock = new Int32Array(new SharedArrayBuffer(4));
    for (let waited = 0; !this.drain() && waited < LAST_RETRIES; waited += RETRY)
      Atomics.wait(clock, 0, 0, RETRY);
    this.closed = true;
    this.become(HOST_COOKED);
    this.shut();
    releaseTty(this.mem, this.tty, COORDINATOR);
    closeSync(this.outputFd);
  }

  /** Says whether all output has been taken. */
  private drain(): boolean {
    drainConsole(this.mem, this.tty, COORDINATOR);
    return this.mem.atomicLoad(this.tty + Tty.outputUsed) === 0;
  }

  private follow(): void {
    this.become(wantedHostMode(this.mem, this.tty, COORDINATOR));
  }

  /** Puts the host's terminal into a mode and tells the guest that waits for that. */
  private become(mode: number): void {
    if (mode === HOST_COOKED) {
      if (this.mode !== HOST_COOKED) {
        this.stream?.setRawMode(false);
        this.shut();
      }
      this.mode = HOST_COOKED;
      if (!this.suspended && !this.closed && this.isWanted()) this.open();
    } else {
      const { stream } = this.open();
      if (stream !== undefined && this.mode === HOST_COOKED) {
        stream.setRawMode(true);
        this.mode = HOST_RAW;
      }
      if (mode === HOST_TRANSPARENT && this.mode === HOST_RAW) {
        // Node's raw mode still processes output.
        spawnSync('stty', ['-opost'], { stdio: [this.outputFd, 'ignore', 'ignore'] });
        this.mode = HOST_TRANSPARENT;
      }
    }
    settleHostMode(this.mem, this.tty, this.mode, COORDINATOR);
  }

  /** Begins to read, unless that goes on. */
  private open(): this {
    if (this.stream !== undefined) return this;
    stopInBackground();
    let stream: ReadStream;
    try {
      stream = new ReadStream(openSync(this.path, constants.O_RDWR | constants.O_NOCTTY));
    } catch {
      hangUp(this.mem, this.tty, COORDINATOR);
      return this;
    }
    this.stream = stream;
    stream.unref();
    stream.on('data', (chunk) => this.read(chunk as Buffer));
    stream.on('end', () => this.ended());
    stream.on('error', () => this.failed());
    return this;
  }

  private shut(): void {
    const { stream } = this;
    this.stream = undefined;
    if (stream === undefined) return;
    stream.removeAllListeners('data');
    stream.removeAllListeners('end');
    stream.destroy();
  }

  private read(chunk: Buffer): void {
    const edited = this.mode === HOST_COOKED;
    // One line, and no further before somebody asks.
    if (edited) this.shut();
    this.mem.atomicStore(this.tty + Tty.wanted, 0);
    this.arrived(this.pending.length > 0 ? Buffer.concat([this.pending, chunk]) : chunk, edited);
  }

  private arrived(bytes: Buffer, edited: boolean): void {
    const taken = consoleInput(this.mem, this.tty, bytes, edited);
    if (this.mem.atomicLoad(this.tty + Tty.outputUsed) > 0) this.output();
    this.pending = bytes.subarray(taken);
    if (taken === bytes.length) return;
    this.stream?.pause();
  }

  /** A guest waits for input. */
  private isWanted(): boolean {
    return this.mem.atomicLoad(this.tty + Tty.wanted) !== 0;
  }

  /** End-of-file was typed, or the terminal is gone. */
  private ended(): void {
    if (this.mode !== HOST_COOKED) {
      this.failed();
      return;
    }
    this.shut();
    this.mem.atomicStore(this.tty + Tty.wanted, 0);
    consoleInput(this.mem, this.tty, new Uint8Array(0), true);
  }

  private failed(): void {
    this.shut();
    hangUp(this.mem, this.tty, COORDINATOR);
  }
}

/**
 * Opens a terminal anew, since whoever shares the given descriptor shares its non-blocking mode, too; and says by which path it can be
 * opened again. Another user's terminal (su, sudo) opens as /dev/tty only. Throws when it cannot be opened.
 */
function openAnew(fd: number): { path: string; outputFd: number } {
  const flags = constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY;
  if (process.platform === 'linux') {
    try {
      const outputFd = openSync(`/proc/self/fd/${fd}`, flags);
      return { path: `/proc/self/fd/${outputFd}`, outputFd };
    } catch {}
  }
  return { path: '/dev/tty', outputFd: openSync('/dev/tty', flags) };
}

/**
 * A job in the background that reads its terminal stops, by a signal that all of it gets. Node would find that out only when there is
 * something to read. (Where no /proc says so, it does.)
 */
function stopInBackground(): void {
  if (process.platform !== 'linux') return;
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1].split(' ');
  const [group, foreground] = [Number(fields[2]), Number(fields[5])];
  if (foreground > 0 && foreground !== group) process.kill(0, 'SIGTTIN');
}

/** The size of the terminal behind a descriptor as a struct winsize. */
function windowOf(fd: number): Uint8Array {
  const window = new Uint8Array(8);
  const view = new DataView(window.buffer);
  const [columns, rows] = sizeOf(fd);
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  return window;
}

function sizeOf(fd: number): [columns: number, rows: number] {
  for (const stream of [process.stdout, process.stderr])
    if (stream.isTTY) return [stream.columns ?? 0, stream.rows ?? 0];
  let copy: WriteStream | undefined;
  try {
    copy = new WriteStream(openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NOCTTY));
    return copy.getWindowSize();
  } catch {
    return [0, 0];
  } finally {
    copy?.destroy();
  }
}
