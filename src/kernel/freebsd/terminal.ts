import { copyIn, copyOut } from '../../memory/userAccess.js';
import { changeSettings, type Precaution, terminalSettings } from '../terminals/settings.js';
import { terminalOf } from '../terminals/tty.js';
import type { ThreadContext } from '../threadContext.js';

/** struct termios of FreeBSD (sys/_termios.h) and Linux's struct termios2. */
const TERMIOS_SIZE = 44;
const SPEED = 38400;

type Table = readonly (readonly [number, number])[];
/** Bits of Linux's and FreeBSD's input, output, control and local modes. */
const INPUT: Table = [
  [0x1ff, 0x1ff], // IGNBRK … ICRNL
  [0x400, 0x200], // IXON
  [0x800, 0x800], // IXANY
  [0x1000, 0x400], // IXOFF
  [0x2000, 0x2000], // IMAXBEL
  [0x4000, 0x4000], // IUTF8
];
const OUTPUT: Table = [
  [0x1, 0x1], // OPOST
  [0x4, 0x2], // ONLCR
  [0x8, 0x10], // OCRNL
  [0x10, 0x20], // ONOCR
  [0x20, 0x40], // ONLRET
];
const CONTROL: Table = [
  [0x30, 0x300], // CSIZE
  [0x40, 0x400], // CSTOPB
  [0x80, 0x800], // CREAD
  [0x100, 0x1000], // PARENB
  [0x200, 0x2000], // PARODD
  [0x400, 0x4000], // HUPCL
  [0x800, 0x8000], // CLOCAL
];
const LOCAL: Table = [
  [0x1, 0x80], // ISIG
  [0x2, 0x100], // ICANON
  [0x8, 0x8], // ECHO
  [0x10, 0x2], // ECHOE
  [0x20, 0x4], // ECHOK
  [0x40, 0x10], // ECHONL
  [0x80, 0x8000_0000], // NOFLSH
  [0x100, 0x40_0000], // TOSTOP
  [0x200, 0x40], // ECHOCTL
  [0x400, 0x20], // ECHOPRT
  [0x800, 0x1], // ECHOKE
  [0x8000, 0x400], // IEXTEN
];
const MODES = [INPUT, OUTPUT, CONTROL, LOCAL] as const;
/** Where each of FreeBSD's control characters stands in Linux's c_cc. */
const CHARACTERS = [4, 11, 16, 2, 14, 3, 12, 0, 1, 10, -1, 8, 9, 15, 13, -1, 6, 5];
const LINUX_CHARACTERS_AT = 17;
const FREEBSD_CHARACTERS_AT = 16;

/** A field of several bits keeps its shape; a single bit becomes the other. */
function convert(value: number, table: Table, from: 0 | 1): number {
  let result = 0;
  for (const row of table) {
    const [bits, to] = [row[from], row[1 - from]];
    const field = value & bits;
    const shift = Math.clz32(to) - Math.clz32(bits);
    if (field !== 0) result |= shift > 0 ? field >>> shift : field << -shift;
  }
  return result >>> 0;
}

/** TIOCGETA, TIOCSETA and its like: undefined when the file is no terminal. */
export function terminalRequest(
  t: ThreadContext,
  file: number,
  request: 'get' | Precaution,
  argument: number,
): number | undefined {
  const tty = terminalOf(t.mem, file);
  if (tty === 0) return undefined;
  const linux = terminalSettings(t, tty);
  const linuxView = new DataView(linux.buffer, linux.byteOffset, linux.length);
  const bytes = new Uint8Array(TERMIOS_SIZE);
  const view = new DataView(bytes.buffer);
  if (request === 'get') {
    MODES.forEach((table, i) => {
      view.setUint32(i * 4, convert(linuxView.getUint32(i * 4, true), table, 0), true);
    });
    CHARACTERS.forEach((at, i) => {
      bytes[FREEBSD_CHARACTERS_AT + i] = at < 0 ? 0xff : linux[LINUX_CHARACTERS_AT + at];
    });
    view.setUint32(36, SPEED, true);
    view.setUint32(40, SPEED, true);
    copyOut(t, argument, bytes);
    return 0;
  }
  copyIn(t, argument, bytes);
  MODES.forEach((table, i) => {
    linuxView.setUint32(i * 4, convert(view.getUint32(i * 4, true), table, 1), true);
  });
  CHARACTERS.forEach((at, i) => {
    if (at >= 0) linux[LINUX_CHARACTERS_AT + at] = bytes[FREEBSD_CHARACTERS_AT + i];
  });
  return changeSettings(t, tty, linux, request);
}
