import { copyIn, copyOut, readI32, writeI32, writeU32 } from '../../memory/userAccess.js';
import { allocateBlock, freeBlock } from '../../sync/heap.js';
import { COORDINATOR, withMutex } from '../../sync/mutex.js';
import { Guest } from '../../sync/records/guest.js';
import { FILE_HOST_STREAM, OPEN_TERMINAL, OpenFile } from '../../sync/records/openFile.js';
import { Pipe, Stream } from '../../sync/records/pipe.js';
import { TERMIOS_BYTES, Tty } from '../../sync/records/tty.js';
import { pushRequest, RequestKind } from '../../sync/ring.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { EINVAL, ENOTTY } from '../errno.js';
import type { ThreadContext } from '../threadContext.js';
import { DEVICE_PTS, deviceInode, deviceNumber } from './devices.js';
import { DEV_DEV, type FileStatus, madeStatus, S_IFCHR } from './fileStatus.js';

/**
 * The host's terminal as the guests see it. Line editing is done by the host's terminal in its cooked mode, or by nobody
 * in raw mode; termios settings are kept here, and the main thread puts the host's terminal into the mode they ask for
 * (RequestKind.TerminalChanged). There are no pseudo-terminals yet.
 */

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TCSETSF = 0x5404;
const TCSBRK = 0x5409;
const TCXONC = 0x540a;
const TCFLSH = 0x540b;
export const TIOCSCTTY = 0x540e;
export const TIOCGPGRP = 0x540f;
export const TIOCSPGRP = 0x5410;
export const TIOCOUTQ = 0x5411;
export const TIOCGWINSZ = 0x5413;
export const TIOCSWINSZ = 0x5414;
export const TIOCNOTTY = 0x5422;
export const TIOCGSID = 0x5429;
const TCGETS2 = 0x802c542a;
const TCSETS2 = 0x402c542b;
const TCSETSF2 = 0x402c542d;

/** Guest path of the terminal. */
export const TERMINAL_PATH = '/dev/pts/0';

/** Bytes of struct termios without the speeds of termios2. */
const TERMIOS1_BYTES = 36;
const LOCAL_FLAGS = 12;
const ICANON = 2;
const ECHO = 8;
const ISIG = 1;
/** In the input flags, the first word. */
const ICRNL = 0x100;

/** Settings of a terminal after login: cooked, echoing, 38400 baud, UTF-8. */
const INITIAL_FLAGS = [0x4500, 0x5, 0xbf, 0x8a3b];
const INITIAL_CHARACTERS = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0];
const B38400 = 38400;

/** Makes the record of a terminal with one reference. */
export function createTty(mem: SharedMemory, rows: number, columns: number, owner: number): number {
  const tty = allocateBlock(mem, Tty.SIZE, owner);
  mem.setI32(tty + Tty.refs, 1);
  mem.setU32(tty + Tty.rows, rows);
  mem.setU32(tty + Tty.columns, columns);
  const view = new DataView(mem.buffer, tty + Tty.termios, TERMIOS_BYTES);
  for (let i = 0; i < 4; i++) view.setUint32(i * 4, INITIAL_FLAGS[i], true);
  for (let i = 0; i < INITIAL_CHARACTERS.length; i++) view.setUint8(17 + i, INITIAL_CHARACTERS[i]);
  view.setUint32(36, B38400, true);
  view.setUint32(40, B38400, true);
  return tty;
}

export function retainTty(mem: SharedMemory, tty: number): void {
  mem.atomicAdd(tty + Tty.refs, 1);
}

export function releaseTty(mem: SharedMemory, tty: number, owner: number): void {
  if (mem.atomicAdd(tty + Tty.refs, -1) === 1) freeBlock(mem, tty, owner);
}

/** What the main thread needs to know of a terminal after TerminalChanged. */
export interface TerminalMode {
  /** Line editing is on (ICANON): the host's terminal is in its ordinary mode. */
  readonly canonical: boolean;
  readonly echo: boolean;
  /** Control characters make signals (ISIG). */
  readonly signals: boolean;
  /** Carriage return is read as newline (ICRNL). */
  readonly carriageReturn: boolean;
}

/** The mode that the guests have set. */
export function terminalMode(mem: SharedMemory, tty: number, owner: number): TerminalMode {
  return withMutex(mem, tty + Tty.lock, owner, () => {
    const flags = mem.getU32(tty + Tty.termios + LOCAL_FLAGS);
    return {
      canonical: (flags & ICANON) !== 0,
      echo: (flags & ECHO) !== 0,
      signals: (flags & ISIG) !== 0,
      carriageReturn: (mem.getU32(tty + Tty.termios) & ICRNL) !== 0,
    };
  });
}

/** The host's window has a new size; the caller sends SIGWINCH. */
export function setWindowSize(
  mem: SharedMemory,
  tty: number,
  rows: number,
  columns: number,
  owner = COORDINATOR,
): void {
  withMutex(mem, tty + Tty.lock, owner, () => {
    mem.setU32(tty + Tty.rows, rows);
    mem.setU32(tty + Tty.columns, columns);
  });
}

/** The Tty behind an open file, or 0. */
export function terminalOf(mem: SharedMemory, file: number): number {
  if ((mem.getU32(file + OpenFile.attributes) & OPEN_TERMINAL) === 0) return 0;
  const object = mem.getU32(file + OpenFile.object);
  if (mem.getU32(file + OpenFile.kind) === FILE_HOST_STREAM) return object;
  const stream = mem.getU32(object + Pipe.stream);
  return stream === 0 ? 0 : mem.getU32(stream + Stream.terminal);
}

/** fstat of a terminal; undefined when the file is none. */
export function terminalStatus(mem: SharedMemory, file: number): FileStatus | undefined {
  if (terminalOf(mem, file) === 0) return undefined;
  return madeStatus({
    dev: DEV_DEV,
    ino: deviceInode(DEVICE_PTS),
    mode: S_IFCHR | 0o620,
    rdev: deviceNumber(DEVICE_PTS),
  });
}

/** Terminal ioctls; undefined (ENOTTY) when the file is no terminal or the request is not known. */
export function terminalIoctl(
  t: ThreadContext,
  file: number,
  request: number,
  argument: number,
): number | undefined {
  const { mem } = t;
  const tty = terminalOf(mem, file);
  if (tty === 0) return undefined;
  switch (request >>> 0) {
    case TCGETS:
    case TCGETS2: {
      const size = request >>> 0 === TCGETS ? TERMIOS1_BYTES : TERMIOS_BYTES;
      const settings = withMutex(mem, tty + Tty.lock, t.thread, () =>
        mem.u8.slice(tty + Tty.termios, tty + Tty.termios + size),
      );
      copyOut(t, argument, settings);
      return 0;
    }
    case TIOCGWINSZ:
      writeU32(t, argument, mem.getU32(tty + Tty.rows) | (mem.getU32(tty + Tty.columns) << 16));
      writeU32(t, argument + 4, 0);
      return 0;
    case TIOCSWINSZ: {
      const size = readI32(t, argument);
      setWindowSize(mem, tty, size & 0xffff, size >>> 16, t.thread);
      return 0;
    }
    case TIOCGPGRP: {
      const foreground = mem.getU32(tty + Tty.foreground);
      writeI32(t, argument, foreground !== 0 ? foreground : mem.getU32(t.guest + Guest.pgid));
      return 0;
    }
    case TIOCSPGRP: {
      const group = readI32(t, argument);
      if (group <= 0) return -EINVAL;
      mem.setU32(tty + Tty.foreground, group);
      return 0;
    }
    case TIOCGSID:
      writeI32(t, argument, mem.getU32(t.guest + Guest.sid));
      return 0;
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TCSBRK:
    case TCXONC:
    case TCFLSH:
      return 0;
    case TIOCOUTQ:
      writeI32(t, argument, 0);
      return 0;
  }
  const set = request >>> 0;
  if ((set >= TCSETS && set <= TCSETSF) || (set >= TCSETS2 && set <= TCSETSF2)) {
    const settings = new Uint8Array(set <= TCSETSF ? TERMIOS1_BYTES : TERMIOS_BYTES);
    copyIn(t, argument, settings);
    setTerminalSettings(t, tty, settings);
    return 0;
  }
  return undefined;
}

/** The settings of a terminal: Linux's struct termios2. */
export function terminalSettings(t: ThreadContext, tty: number): Uint8Array {
  const { mem } = t;
  return withMutex(mem, tty + Tty.lock, t.thread, () =>
    mem.u8.slice(tty + Tty.termios, tty + Tty.termios + TERMIOS_BYTES),
  );
}

/** Gives a terminal other settings (as many bytes of struct termios2 as there are), of which the main thread is told. */
export function setTerminalSettings(t: ThreadContext, tty: number, settings: Uint8Array): void {
  const { mem } = t;
  withMutex(mem, tty + Tty.lock, t.thread, () => mem.u8.set(settings, tty + Tty.termios));
  while (!pushRequest(mem, t.thread, RequestKind.TerminalChanged, tty)) t.ring();
  t.ring();
}

/** −ENOTTY for requests that nobody knows. */
export const NOT_A_TERMINAL = -ENOTTY;
