import { copyIn, copyOut, readI32, writeI32, writeU32 } from '../../memory/userAccess.js';
import { withMutex } from '../../sync/mutex.js';
import { Tty } from '../../sync/records/tty.js';
import { CAP_SYS_ADMIN, capable } from '../capabilities.js';
import { EINTR, EINVAL, EIO, ENOTTY, EPERM, SyscallError } from '../errno.js';
import { newDescriptor } from '../files/descriptors.js';
import { O_ACCMODE, O_WRONLY } from '../files/openFlags.js';
import { signalGroup } from '../processGroups.js';
import { SIGTTOU, SIGWINCH } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';
import {
  checkForeground,
  chooseForeground,
  foregroundGroup,
  giveUpTerminal,
  mayChooseForeground,
  setControllingTerminal,
  terminalSession,
} from './controllingTerminal.js';
import { hangUp } from './hangUp.js';
import { arriveLocked, flushInputLocked } from './lineInput.js';
import {
  discardOutputLocked,
  flushOutputLocked,
  startOutputLocked,
  stopOutputLocked,
  writeOutputLocked,
} from './lineOutput.js';
import type { Outcome } from './outcome.js';
import { awaitDrained, changeSettings, type Precaution, terminalSettings } from './settings.js';
import { terminalDevice } from './terminalNodes.js';
import {
  controlCharacter,
  DISABLED,
  fromTermio,
  modesLocked,
  speedsFromCode,
  TERMIO_BYTES,
  toTermio,
  VSTART,
  VSTOP,
} from './termios.js';
import { retainTty } from './tty.js';
import { withTty } from './withTty.js';

/** ioctl requests of terminals: ioctl_tty(2). */

const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TCGETA = 0x5405;
const TCSETA = 0x5406;
const TCSBRK = 0x5409;
const TCXONC = 0x540a;
const TCFLSH = 0x540b;
const TIOCEXCL = 0x540c;
const TIOCNXCL = 0x540d;
export const TIOCSCTTY = 0x540e;
export const TIOCGPGRP = 0x540f;
export const TIOCSPGRP = 0x5410;
export const TIOCOUTQ = 0x5411;
const TIOCSTI = 0x5412;
export const TIOCGWINSZ = 0x5413;
export const TIOCSWINSZ = 0x5414;
const TIOCGSOFTCAR = 0x5419;
const TIOCSSOFTCAR = 0x541a;
const TIOCPKT = 0x5420;
export const TIOCNOTTY = 0x5422;
const TIOCSETD = 0x5423;
const TIOCGETD = 0x5424;
const TCSBRKP = 0x5425;
const TIOCSBRK = 0x5427;
const TIOCCBRK = 0x5428;
export const TIOCGSID = 0x5429;
const TCGETS2 = 0x802c542a;
const TCSETS2 = 0x402c542b;
const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const TIOCGDEV = 0x80045432;
const TIOCSIG = 0x40045436;
const TIOCVHANGUP = 0x5437;
const TIOCGPKT = 0x80045438;
const TIOCGPTLCK = 0x80045439;
const TIOCGLCKTRMIOS = 0x5456;
const TIOCSLCKTRMIOS = 0x5457;
const TIOCGEXCL = 0x80045440;
const TIOCGPTPEER = 0x5441;

/** Bytes of struct termios, which is struct termios2 without the speeds. */
const TERMIOS1_BYTES = 36;
const PRECAUTIONS: readonly Precaution[] = ['now', 'drain', 'flush'];
const N_TTY = 0;

/** Opens the slave for TIOCGPTPEER; set by what knows how, which knows this file. */
let openPeer = (_t: ThreadContext, _tty: number, _flags: number): number => {
  throw new SyscallError(EIO);
};
export function onOpenPeer(open: typeof openPeer): void {
  openPeer = open;
}

/** Requests on a slave or the console; `flags` of its open file. Undefined: not known. */
export function terminalIoctl(
  t: ThreadContext,
  tty: number,
  flags: number,
  request: number,
  argument: number,
): number | undefined {
  const { mem, thread } = t;
  switch (request) {
    case TCXONC:
      return checkForeground(t, tty, SIGTTOU) || flowControl(t, tty, argument);
    case TCFLSH:
      return checkForeground(t, tty, SIGTTOU) || flush(t, tty, argument);
    case TIOCOUTQ: {
      const console = mem.getU32(tty + Tty.console) !== 0;
      writeI32(t, argument, console ? mem.atomicLoad(tty + Tty.outputUsed) : 0);
      return 0;
    }
    case TIOCSCTTY:
      return setControllingTerminal(t, tty, argument, (flags & O_ACCMODE) !== O_WRONLY);
    case TIOCNOTTY:
      return giveUpTerminal(t, tty);
    case TIOCVHANGUP:
      if (!capable(t, CAP_SYS_ADMIN)) return -EPERM;
      hangUp(mem, tty, thread);
      return 0;
    case TIOCPKT:
    case TIOCGPTN:
      return undefined;
  }
  return commonIoctl(t, tty, true, request, argument);
}

/** Requests on a master. Undefined: not known. */
export function masterIoctl(
  t: ThreadContext,
  tty: number,
  request: number,
  argument: number,
): number | undefined {
  const { mem, thread } = t;
  switch (request) {
    case TIOCGPTN:
      writeU32(t, argument, mem.getU32(tty + Tty.index));
      return 0;
    case TIOCSPTLCK:
      mem.setU32(tty + Tty.locked, readI32(t, argument) !== 0 ? 1 : 0);
      return 0;
    case TIOCGPTLCK:
      writeI32(t, argument, mem.getU32(tty + Tty.locked));
      return 0;
    case TIOCGPTPEER:
      retainTty(mem, tty, thread);
      return newDescriptor(t, openPeer(t, tty, argument | 0), argument | 0);
    case TIOCPKT: {
      const on = readI32(t, argument) !== 0;
      withMutex(mem, tty + Tty.lock, thread, () => {
        if (on && mem.getU32(tty + Tty.packet) === 0) mem.atomicStore(tty + Tty.packetStatus, 0);
        mem.setU32(tty + Tty.packet, on ? 1 : 0);
      });
      return 0;
    }
    case TIOCGPKT:
      writeI32(t, argument, mem.getU32(tty + Tty.packet));
      return 0;
    case TIOCSIG: {
      const signal = argument | 0;
      if (signal < 1 || signal > 64) return -EINVAL;
      const foreground = mem.getU32(tty + Tty.foreground);
      if (foreground !== 0) signalGroup(mem, foreground, signal, thread);
      return 0;
    }
    case TCFLSH:
      return flushMaster(t, tty, argument);
    case TCXONC:
      return 0;
    case TIOCOUTQ:
      writeI32(t, argument, 0);
      return 0;
    case TIOCSCTTY:
      return setControllingTerminal(t, tty, argument, true);
    case TIOCNOTTY:
      return -ENOTTY;
  }
  return commonIoctl(t, tty, false, request, argument);
}

/** What works on the slave whichever end is asked; `own`: by the slave. */
function commonIoctl(
  t: ThreadContext,
  tty: number,
  own: boolean,
  request: number,
  argument: number,
): number | undefined {
  const { mem } = t;
  switch (request) {
    case TIOCGPGRP:
      return put(t, argument, foregroundGroup(t, tty, own));
    case TIOCGSID:
      return put(t, argument, terminalSession(t, tty, own));
    case TIOCSPGRP:
      return mayChooseForeground(t, tty) || chooseForeground(t, tty, readI32(t, argument));
    case TIOCGWINSZ: {
      const window = mem.u8.slice(tty + Tty.window, tty + Tty.window + 8);
      copyOut(t, argument, window);
      return 0;
    }
    case TIOCSWINSZ:
      return setWindowSize(t, tty, argument);
    case TCSBRK:
    case TCSBRKP:
    case TIOCSBRK:
    case TIOCCBRK: {
      const allowed = own ? checkForeground(t, tty, SIGTTOU) : 0;
      if (allowed !== 0 || request === TIOCCBRK || !own) return allowed;
      return awaitDrained(t, tty) ? 0 : -EINTR;
    }
    case TIOCSTI:
      // dev.tty.legacy_tiocsti is 0.
      return -EIO;
    case TIOCEXCL:
    case TIOCNXCL:
      mem.setU32(tty + Tty.exclusive, request === TIOCEXCL ? 1 : 0);
      return 0;
    case TIOCGEXCL:
      writeI32(t, argument, mem.getU32(tty + Tty.exclusive));
      return 0;
    case TIOCGETD:
      writeI32(t, argument, N_TTY);
      return 0;
    case TIOCSETD:
      return readI32(t, argument) === N_TTY ? 0 : -EINVAL;
    case TIOCGDEV:
      writeU32(t, argument, terminalDevice(mem, tty));
      return 0;
    case TIOCGSOFTCAR:
      writeI32(t, argument, 0);
      return 0;
    case TIOCSSOFTCAR:
      readI32(t, argument);
      return 0;
  }
  return settingsIoctl(t, tty, request, argument);
}

/** TCGETS, TCSETS and their like. */
function settingsIoctl(t: ThreadContext, tty: number, request: number, argument: number): number | undefined {
  if (request === TCGETA) {
    copyOut(t, argument, toTermio(terminalSettings(t, tty)));
    return 0;
  }
  if (request === TIOCGLCKTRMIOS || request === TIOCSLCKTRMIOS)
    return lockIoctl(t, tty, request === TIOCSLCKTRMIOS, argument);
  if (request === TCGETS || request === TCGETS2) {
    const settings = terminalSettings(t, tty);
    copyOut(t, argument, request === TCGETS ? settings.subarray(0, TERMIOS1_BYTES) : settings);
    return 0;
  }
  for (const [first, read] of SETTERS) {
    const which = request - first;
    if (which < 0 || which > 2) continue;
    const allowed = checkForeground(t, tty, SIGTTOU);
    if (allowed !== 0) return allowed;
    const settings = terminalSettings(t, tty);
    read(t, argument, settings);
    speedsFromCode(settings);
    return changeSettings(t, tty, settings, PRECAUTIONS[which]);
  }
  return undefined;
}

/** Which settings are locked: a struct termios with bits set that cannot be changed. */
function lockIoctl(t: ThreadContext, tty: number, change: boolean, argument: number): number {
  const { mem, thread } = t;
  const at = tty + Tty.lockedSettings;
  if (!change) {
    copyOut(t, argument, mem.u8.slice(at, at + TERMIOS1_BYTES));
    return 0;
  }
  if (!capable(t, CAP_SYS_ADMIN)) return -EPERM;
  const locks = new Uint8Array(TERMIOS1_BYTES);
  copyIn(t, argument, locks);
  withMutex(mem, tty + Tty.lock, thread, () => mem.u8.set(locks, at));
  return 0;
}

type ReadSettings = (t: ThreadContext, argument: number, settings: Uint8Array) => void;
const SETTERS: readonly (readonly [first: number, read: ReadSettings])[] = [
  [TCSETS, (t, argument, settings) => copyIn(t, argument, settings.subarray(0, TERMIOS1_BYTES))],
  [TCSETS2, (t, argument, settings) => copyIn(t, argument, settings)],
  [
    TCSETA,
    (t, argument, settings) => {
      const termio = new Uint8Array(TERMIO_BYTES);
      copyIn(t, argument, termio);
      fromTermio(termio, settings);
    },
  ],
];

function put(t: ThreadContext, argument: number, value: number): number {
  if (value < 0) return value;
  writeI32(t, argument, value);
  return 0;
}

/** TIOCSWINSZ: the foreground hears of a size that is another (tty_do_resize). */
function setWindowSize(t: ThreadContext, tty: number, argument: number): number {
  const window = new Uint8Array(8);
  copyIn(t, argument, window);
  resizeWindow(t.mem, tty, window, t.thread);
  return 0;
}

/** Gives the terminal the size of a struct winsize and tells the foreground of it. The caller holds no lock. */
export function resizeWindow(
  mem: ThreadContext['mem'],
  tty: number,
  window: Uint8Array,
  owner: number,
): void {
  withTty(mem, tty, owner, (outcome) => {
    const at = tty + Tty.window;
    if (window.every((byte, i) => mem.u8[at + i] === byte)) return;
    mem.u8.set(window, at);
    outcome.signals.push(SIGWINCH);
  });
}

/** TCXONC: output stopped and started, or VSTOP and VSTART sent to the other end. */
function flowControl(t: ThreadContext, tty: number, action: number): number {
  const { mem, thread } = t;
  const steps: readonly ((outcome: Outcome) => void)[] = [
    (outcome) => stopOutputLocked(mem, tty, outcome, true),
    (outcome) => startOutputLocked(mem, tty, outcome, true),
    (outcome) => sendLocked(VSTOP, outcome),
    (outcome) => sendLocked(VSTART, outcome),
  ];
  const sendLocked = (which: number, outcome: Outcome): void => {
    const byte = controlCharacter(mem, tty, which);
    if (byte === DISABLED) return;
    writeOutputLocked(mem, tty, { ...modesLocked(mem, tty), output: 0 }, Uint8Array.of(byte), outcome);
  };
  const step = steps[action | 0];
  if (step === undefined) return -EINVAL;
  withTty(mem, tty, thread, step);
  return 0;
}

/** TCFLSH on a slave: 0 input, 1 output, 2 both. */
function flush(t: ThreadContext, tty: number, queue: number): number {
  const which = queue | 0;
  if (which < 0 || which > 2) return -EINVAL;
  withTty(t.mem, tty, t.thread, (outcome) => {
    if (which !== 1) flushInputLocked(t.mem, tty, outcome);
    if (which !== 0) flushOutputLocked(t.mem, tty, outcome);
  });
  return 0;
}

/** TCFLSH on a master, whose input is the slave's output. */
function flushMaster(t: ThreadContext, tty: number, queue: number): number {
  const { mem } = t;
  const which = queue | 0;
  if (which < 0 || which > 2) return -EINVAL;
  withTty(mem, tty, t.thread, (outcome) => {
    if (which !== 1) discardOutputLocked(mem, tty, outcome);
    if (which !== 0) {
      mem.setU32(tty + Tty.arrivingUsed, 0);
      arriveLocked(mem, tty, new Uint8Array(0), outcome);
    }
  });
  return 0;
}
