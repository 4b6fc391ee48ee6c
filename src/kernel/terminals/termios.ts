import { TERMIOS_BYTES, Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';

/** Terminal settings: struct termios2 of asm-generic/termbits.h, kept as its bytes in Tty.termios. */

// c_iflag
export const ISTRIP = 0o40;
export const INLCR = 0o100;
export const IGNCR = 0o200;
export const ICRNL = 0o400;
export const IUCLC = 0o1000;
export const IXON = 0o2000;
export const IXANY = 0o4000;
export const IUTF8 = 0o40000;
// c_oflag
export const OPOST = 0o1;
export const OLCUC = 0o2;
export const ONLCR = 0o4;
export const OCRNL = 0o10;
export const ONOCR = 0o20;
export const ONLRET = 0o40;
export const TABDLY = 0o14000;
export const XTABS = 0o14000;
// c_cflag
const CSIZE = 0o60;
const CS8 = 0o60;
const CREAD = 0o200;
const PARENB = 0o400;
// c_lflag
export const ISIG = 0o1;
export const ICANON = 0o2;
export const ECHO = 0o10;
export const ECHOE = 0o20;
export const ECHOK = 0o40;
export const ECHONL = 0o100;
export const NOFLSH = 0o200;
export const TOSTOP = 0o400;
export const ECHOCTL = 0o1000;
export const ECHOPRT = 0o2000;
export const ECHOKE = 0o4000;
export const IEXTEN = 0o100000;
export const EXTPROC = 0o200000;
// c_cc
export const VINTR = 0;
export const VQUIT = 1;
export const VERASE = 2;
export const VKILL = 3;
export const VEOF = 4;
export const VTIME = 5;
export const VMIN = 6;
export const VSTART = 8;
export const VSTOP = 9;
export const VSUSP = 10;
export const VEOL = 11;
export const VREPRINT = 12;
export const VWERASE = 14;
export const VLNEXT = 15;
export const VEOL2 = 16;

/** A control character that is switched off (_POSIX_VDISABLE); also stands for end-of-file among the input. */
export const DISABLED = 0;

const IFLAG = 0;
const OFLAG = 4;
const CFLAG = 8;
const LFLAG = 12;
const CHARACTERS = 17;
const CHARACTER_COUNT = 19;
const ISPEED = 36;
const OSPEED = 40;

/** tty_std_termios, with IUTF8 as every terminal emulator sets it: cooked, echoing, 38400 baud. */
const INITIAL = {
  iflag: ICRNL | IXON,
  oflag: OPOST | ONLCR,
  cflag: 0o17 | CS8 | CREAD,
  lflag: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
  characters: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0],
} as const;
const B38400 = 38400;

/** Gives the terminal the settings of a new one; `utf8` as a terminal emulator would set them. */
export function initialSettings(mem: SharedMemory, tty: number, utf8: boolean): void {
  const at = tty + Tty.termios;
  mem.zero(at, TERMIOS_BYTES);
  mem.setU32(at + IFLAG, utf8 ? INITIAL.iflag | IUTF8 : INITIAL.iflag);
  mem.setU32(at + OFLAG, INITIAL.oflag);
  mem.setU32(at + CFLAG, INITIAL.cflag);
  mem.setU32(at + LFLAG, INITIAL.lflag);
  mem.u8.set(INITIAL.characters, at + CHARACTERS);
  mem.setU32(at + ISPEED, B38400);
  mem.setU32(at + OSPEED, B38400);
}

/** Says whether input and output are treated as on a new terminal: what the host's does in its ordinary mode, too. */
export function treatsAsInitial(mem: SharedMemory, tty: number): boolean {
  const at = tty + Tty.termios;
  return (
    (mem.getU32(at + IFLAG) & ~IUTF8) === INITIAL.iflag &&
    mem.getU32(at + OFLAG) === INITIAL.oflag &&
    mem.getU32(at + LFLAG) === INITIAL.lflag &&
    INITIAL.characters.every((character, i) => mem.u8[at + CHARACTERS + i] === character)
  );
}

export const inputFlags = (mem: SharedMemory, tty: number): number => mem.getU32(tty + Tty.termios + IFLAG);
export const outputFlags = (mem: SharedMemory, tty: number): number => mem.getU32(tty + Tty.termios + OFLAG);
export const localFlags = (mem: SharedMemory, tty: number): number => mem.getU32(tty + Tty.termios + LFLAG);
/** Control character V*. */
export const controlCharacter = (mem: SharedMemory, tty: number, which: number): number =>
  mem.u8[tty + Tty.termios + CHARACTERS + which];

/** The settings that matter for each byte, read once for many. Tty.lock is held as long as they are used. */
export interface Modes {
  readonly input: number;
  readonly output: number;
  readonly local: number;
}

export function modesLocked(mem: SharedMemory, tty: number): Modes {
  return { input: inputFlags(mem, tty), output: outputFlags(mem, tty), local: localFlags(mem, tty) };
}

/** The control characters by V*. */
export function charactersLocked(mem: SharedMemory, tty: number): Uint8Array {
  const at = tty + Tty.termios + CHARACTERS;
  return mem.u8.slice(at, at + CHARACTER_COUNT);
}

/** Marks the bytes that the line discipline looks at with 1 (n_tty_set_termios: char_map). */
export function specialBytes({ input, local }: Modes, characters: Uint8Array): Uint8Array {
  const special = new Uint8Array(256);
  const mark = (...which: number[]): void => {
    for (const one of which) special[characters[one]] = 1;
  };
  if (local & ICANON) {
    mark(VERASE, VKILL, VEOF, VEOL);
    if (local & IEXTEN) {
      mark(VWERASE, VLNEXT, VEOL2);
      if (local & ECHO) mark(VREPRINT);
    }
  }
  if (input & IXON) mark(VSTART, VSTOP);
  if (local & ISIG) mark(VINTR, VQUIT, VSUSP);
  special[DISABLED] = 0;
  if (input & (IGNCR | ICRNL)) special[0x0d] = 1;
  if (input & INLCR || local & ICANON) special[0x0a] = 1;
  return special;
}

/** What a pseudo-terminal makes of any c_cflag (pty_set_termios). */
export function fixControlFlags(mem: SharedMemory, tty: number): void {
  const at = tty + Tty.termios + CFLAG;
  mem.setU32(at, (mem.getU32(at) & ~(CSIZE | PARENB)) | CS8 | CREAD);
}

/** Baud rates of the B* codes of CBAUD, by code. */
const SPEEDS = [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
const FAST_SPEEDS = [
  0, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000,
  3000000, 3500000, 4000000,
];
const CBAUD = 0o10017;
const BOTHER = 0o10000;

/** Writes what c_cflag's code stands for where termios2 has the numbers; BOTHER leaves them alone. */
export function speedsFromCode(settings: Uint8Array): void {
  const view = new DataView(settings.buffer, settings.byteOffset, settings.length);
  const code = view.getUint32(CFLAG, true) & CBAUD;
  if (code === BOTHER) return;
  const speed = code & BOTHER ? FAST_SPEEDS[code & 0o17] : SPEEDS[code];
  view.setUint32(ISPEED, speed, true);
  view.setUint32(OSPEED, speed, true);
}

/** Puts back what is locked of the settings that were before (unset_locked_termios): flags bit by bit, characters whole. */
export function keepLocked(settings: Uint8Array, before: Uint8Array, locked: Uint8Array): void {
  for (let i = 0; i < CHARACTERS - 1; i++) settings[i] = (before[i] & locked[i]) | (settings[i] & ~locked[i]);
  for (let i = CHARACTERS - 1; i < CHARACTERS + CHARACTER_COUNT; i++)
    if (locked[i] !== 0) settings[i] = before[i];
}

/** struct termio (TCGETA, TCSETA): four 16-bit flags, c_line, 8 control characters. */
export const TERMIO_BYTES = 18;
const TERMIO_CHARACTERS = 8;

/** The settings as struct termio. */
export function toTermio(settings: Uint8Array): Uint8Array {
  const termio = new Uint8Array(TERMIO_BYTES);
  for (let flag = 0; flag < 4; flag++) termio.set(settings.subarray(flag * 4, flag * 4 + 2), flag * 2);
  termio[8] = settings[16];
  termio.set(settings.subarray(CHARACTERS, CHARACTERS + TERMIO_CHARACTERS), 9);
  return termio;
}

/** Puts what a struct termio has into the settings. */
export function fromTermio(termio: Uint8Array, settings: Uint8Array): void {
  for (let flag = 0; flag < 4; flag++) settings.set(termio.subarray(flag * 2, flag * 2 + 2), flag * 4);
  settings[16] = termio[8];
  settings.set(termio.subarray(9, 9 + TERMIO_CHARACTERS), CHARACTERS);
}
