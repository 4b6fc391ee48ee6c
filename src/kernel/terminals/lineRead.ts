import { INPUT_BYTES, Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { digestLocked, endsLine, inputByte, markLineEnd } from './lineInput.js';
import type { Outcome } from './outcome.js';
import { controlCharacter, DISABLED, EXTPROC, ICANON, localFlags, VEOF, VMIN, VTIME } from './termios.js';

/** What readers get of a terminal's input (n_tty.c: n_tty_read, canon_copy_from_read_buf). */

const MASK = INPUT_BYTES - 1;

/** Whether input is read line by line. */
export function readsLines(mem: SharedMemory, tty: number): boolean {
  return (localFlags(mem, tty) & (ICANON | EXTPROC)) === ICANON;
}

/** How long a read waits when input is not read line by line. */
export interface Patience {
  /** Bytes to wait for. */
  readonly minimum: number;
  /** Milliseconds until the first byte, Infinity for none; and between bytes once there are some. */
  readonly first: number;
  readonly between: number;
}

/** VMIN and VTIME; for lines, the read ends with any line, an empty one too. */
export function patienceOf(mem: SharedMemory, tty: number): Patience {
  if ((localFlags(mem, tty) & ICANON) !== 0) return { minimum: 0, first: Infinity, between: Infinity };
  const minimum = controlCharacter(mem, tty, VMIN);
  const time = controlCharacter(mem, tty, VTIME) * 100;
  if (minimum === 0) return { minimum: 1, first: time, between: Infinity };
  return { minimum, first: Infinity, between: time > 0 ? time : Infinity };
}

/** Whether there is something to read; `polled`: as poll(2) sees it, which waits for VMIN bytes (input_available_p). */
export function inputAvailable(mem: SharedMemory, tty: number, polled: boolean): boolean {
  const tail = mem.atomicLoad(tty + Tty.inputTail);
  if (readsLines(mem, tty)) return mem.atomicLoad(tty + Tty.canonicalHead) !== tail;
  let wanted = 1;
  if (polled && controlCharacter(mem, tty, VTIME) === 0)
    wanted = Math.max(1, controlCharacter(mem, tty, VMIN));
  return (mem.atomicLoad(tty + Tty.inputHead) - tail) >>> 0 >= wanted;
}

/** Takes input out; returns how many bytes. In canonical mode it is one line at most. */
export function takeInputLocked(mem: SharedMemory, tty: number, into: Uint8Array, outcome: Outcome): number {
  const taken = readsLines(mem, tty) ? takeLineLocked(mem, tty, into) : takeBytesLocked(mem, tty, into);
  digestLocked(mem, tty, outcome);
  return taken;
}

function takeLineLocked(mem: SharedMemory, tty: number, into: Uint8Array): number {
  let at = mem.getU32(tty + Tty.inputTail);
  const end = mem.getU32(tty + Tty.canonicalHead);
  let taken = 0;
  while (at !== end) {
    const ends = endsLine(mem, tty, at);
    const byte = inputByte(mem, tty, at);
    const endOfFile = ends && byte === DISABLED;
    // An end of file right behind a full buffer belongs to this read.
    if (taken === into.length && !endOfFile) break;
    at = (at + 1) >>> 0;
    if (!endOfFile) into[taken++] = byte;
    if (!ends) continue;
    markLineEnd(mem, tty, at - 1, false);
    mem.setU32(tty + Tty.push, 0);
    break;
  }
  mem.atomicStore(tty + Tty.inputTail, at);
  return taken;
}

function takeBytesLocked(mem: SharedMemory, tty: number, into: Uint8Array): number {
  const tail = mem.getU32(tty + Tty.inputTail);
  const count = Math.min(into.length, (mem.getU32(tty + Tty.inputHead) - tail) >>> 0);
  for (let i = 0; i < count; i++) into[i] = inputByte(mem, tty, tail + i);
  mem.atomicStore(tty + Tty.inputTail, (tail + count) >>> 0);
  // With EXTPROC the other end edits lines, and end-of-file is a lone VEOF.
  const external = (localFlags(mem, tty) & (ICANON | EXTPROC)) === (ICANON | EXTPROC);
  return external && count === 1 && into[0] === controlCharacter(mem, tty, VEOF) ? 0 : count;
}

/** FIONREAD: bytes that can be read now, without ends of file. */
export function bytesAvailable(mem: SharedMemory, tty: number): number {
  const tail = mem.getU32(tty + Tty.inputTail);
  if (!readsLines(mem, tty)) return (mem.getU32(tty + Tty.inputHead) - tail) >>> 0;
  let count = 0;
  for (let at = tail; at !== mem.getU32(tty + Tty.canonicalHead); at = (at + 1) >>> 0)
    if (!(endsLine(mem, tty, at) && inputByte(mem, tty, at) === DISABLED)) count++;
  return count;
}

/** ICANON or EXTPROC has changed: what has been typed is one line from now on, or none (n_tty_set_termios). */
export function reformInputLocked(mem: SharedMemory, tty: number): void {
  mem.zero(tty + Tty.lineEnds, INPUT_BYTES / 8);
  const head = mem.getU32(tty + Tty.inputHead);
  const tail = mem.getU32(tty + Tty.inputTail);
  const canonical = (localFlags(mem, tty) & ICANON) !== 0;
  if (!canonical || head === tail) {
    mem.atomicStore(tty + Tty.canonicalHead, tail);
    mem.setU32(tty + Tty.push, 0);
  } else {
    markLineEnd(mem, tty, (head - 1) & MASK, true);
    mem.atomicStore(tty + Tty.canonicalHead, head);
    mem.setU32(tty + Tty.push, 1);
  }
  mem.setU32(tty + Tty.erasing, 0);
  mem.setU32(tty + Tty.literalNext, 0);
}
