import { ECHO_BYTES, HOST_TRANSPARENT, OUTPUT_BYTES, Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { READABLE, WRITABLE } from '../files/events.js';
import type { Outcome } from './outcome.js';
import { IUTF8, type Modes, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, TABDLY, XTABS } from './termios.js';

/** Output of a terminal: what OPOST makes of it, echo, and stopping (n_tty.c: do_output_char, process_echoes). */

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const TAB = 0x09;
const BACKSPACE = 0x08;
const SPACE = 0x20;
/** The most bytes that one becomes (a tab). */
const LONGEST = 8;

/** TIOCPKT_* bits. */
export const PACKET_FLUSH_READ = 1;
export const PACKET_FLUSH_WRITE = 2;
export const PACKET_STOP = 4;
export const PACKET_START = 8;
export const PACKET_NO_STOP = 16;
export const PACKET_DO_STOP = 32;
export const PACKET_IOCTL = 64;

export function isControl(byte: number): boolean {
  return byte < SPACE || byte === 0x7f;
}

/** A byte within a UTF-8 character that is not its first. */
export function isContinuation(modes: Modes, byte: number): boolean {
  return (modes.input & IUTF8) !== 0 && (byte & 0xc0) === 0x80;
}

/** What one byte of output becomes, in `expanded`; the cursor moves along. Returns how many bytes. */
const expanded = new Uint8Array(LONGEST);
function expandLocked(mem: SharedMemory, tty: number, modes: Modes, byte: number): number {
  const { output } = modes;
  const column = mem.getU32(tty + Tty.column);
  const moveTo = (to: number): void => mem.setU32(tty + Tty.column, to);
  const begin = (): void => {
    moveTo(0);
    mem.setU32(tty + Tty.canonicalColumn, 0);
  };
  expanded[0] = byte;
  switch (byte) {
    case NEWLINE:
      if (output & ONLRET) moveTo(0);
      if (output & ONLCR) {
        begin();
        // The host's terminal does it.
        if (hostAddsReturns(mem, tty)) return 1;
        expanded[0] = RETURN;
        expanded[1] = NEWLINE;
        return 2;
      }
      mem.setU32(tty + Tty.canonicalColumn, mem.getU32(tty + Tty.column));
      return 1;
    case RETURN:
      if (output & ONOCR && column === 0) return 0;
      if (output & OCRNL) {
        expanded[0] = NEWLINE;
        if (output & ONLRET) begin();
        return 1;
      }
      begin();
      return 1;
    case TAB: {
      const spaces = 8 - (column & 7);
      moveTo(column + spaces);
      if ((output & TABDLY) !== XTABS) return 1;
      expanded.fill(SPACE, 0, spaces);
      return spaces;
    }
    case BACKSPACE:
      if (column > 0) moveTo(column - 1);
      return 1;
    default:
      if (isControl(byte)) return 1;
      if (output & OLCUC && byte >= 0x61 && byte <= 0x7a) expanded[0] = byte - 32;
      if (!isContinuation(modes, byte)) moveTo(column + 1);
      return 1;
  }
}

function hostAddsReturns(mem: SharedMemory, tty: number): boolean {
  return mem.getU32(tty + Tty.console) !== 0 && mem.atomicLoad(tty + Tty.hostMode) !== HOST_TRANSPARENT;
}

/** Bytes that fit into the output now. */
export function outputRoom(mem: SharedMemory, tty: number): number {
  return OUTPUT_BYTES - mem.atomicLoad(tty + Tty.outputUsed);
}

/** Appends bytes for which there is room. */
function appendLocked(mem: SharedMemory, tty: number, bytes: Uint8Array): void {
  const used = mem.getU32(tty + Tty.outputUsed);
  const tail = (mem.getU32(tty + Tty.outputHead) + used) % OUTPUT_BYTES;
  const first = Math.min(bytes.length, OUTPUT_BYTES - tail);
  mem.u8.set(bytes.subarray(0, first), tty + Tty.output + tail);
  if (first < bytes.length) mem.u8.set(bytes.subarray(first), tty + Tty.output);
  mem.atomicStore(tty + Tty.outputUsed, used + bytes.length);
}

const processed = new Uint8Array(OUTPUT_BYTES);

/** Takes what fits of what a program writes; returns how many of its bytes. */
export function writeOutputLocked(
  mem: SharedMemory,
  tty: number,
  modes: Modes,
  bytes: Uint8Array,
  outcome: Outcome,
): number {
  flushEchoLocked(mem, tty, outcome);
  if (mem.getU32(tty + Tty.stopped) !== 0 || mem.getU32(tty + Tty.echoUsed) !== 0) return 0;
  const room = outputRoom(mem, tty);
  let taken = 0;
  let made = 0;
  if ((modes.output & OPOST) === 0) {
    taken = Math.min(room, bytes.length);
    processed.set(bytes.subarray(0, taken));
    made = taken;
  } else {
    while (taken < bytes.length && made + LONGEST <= room) {
      const count = expandLocked(mem, tty, modes, bytes[taken++]);
      for (let i = 0; i < count; i++) processed[made++] = expanded[i];
    }
  }
  if (made > 0) {
    appendLocked(mem, tty, processed.subarray(0, made));
    outcome.master |= READABLE;
  }
  return taken;
}

/** Puts echo out, or aside while output is stopped or full. */
function putEchoLocked(mem: SharedMemory, tty: number, count: number, outcome: Outcome): void {
  const used = mem.getU32(tty + Tty.echoUsed);
  const direct = used === 0 && mem.getU32(tty + Tty.stopped) === 0 && outputRoom(mem, tty) >= count;
  if (direct) {
    appendLocked(mem, tty, expanded.subarray(0, count));
    outcome.master |= READABLE;
  } else if (used + count <= ECHO_BYTES) {
    mem.u8.set(expanded.subarray(0, count), tty + Tty.echo + used);
    mem.setU32(tty + Tty.echoUsed, used + count);
  }
}

/** Puts out the echo that had to wait. */
export function flushEchoLocked(mem: SharedMemory, tty: number, outcome: Outcome): void {
  const used = mem.getU32(tty + Tty.echoUsed);
  if (used === 0 || mem.getU32(tty + Tty.stopped) !== 0) return;
  const count = Math.min(used, outputRoom(mem, tty));
  const echo = tty + Tty.echo;
  appendLocked(mem, tty, mem.u8.slice(echo, echo + count));
  mem.u8.copyWithin(echo, echo + count, echo + used);
  mem.setU32(tty + Tty.echoUsed, used - count);
  if (count > 0) outcome.master |= READABLE;
}

/** Echoes a byte as it is (echo_char_raw): OPOST still applies. */
export function echoRawLocked(
  mem: SharedMemory,
  tty: number,
  modes: Modes,
  byte: number,
  outcome: Outcome,
): void {
  let count = 1;
  if (modes.output & OPOST) count = expandLocked(mem, tty, modes, byte);
  else expanded[0] = byte;
  putEchoLocked(mem, tty, count, outcome);
}

/** Echoes "^X" for control character X. */
export function echoControlLocked(mem: SharedMemory, tty: number, byte: number, outcome: Outcome): void {
  expanded[0] = 0x5e;
  expanded[1] = byte ^ 0o100;
  mem.setU32(tty + Tty.column, mem.getU32(tty + Tty.column) + 2);
  putEchoLocked(mem, tty, 2, outcome);
}

/** Moves the cursor back over what a tab has left free (echo_erase_tab): `columns` are those of other characters before it. */
export function echoEraseTabLocked(
  mem: SharedMemory,
  tty: number,
  columns: number,
  afterTab: boolean,
  outcome: Outcome,
): void {
  const before = afterTab ? columns : columns + mem.getU32(tty + Tty.canonicalColumn);
  const back = 8 - (before & 7);
  expanded.fill(BACKSPACE, 0, back);
  mem.setU32(tty + Tty.column, Math.max(0, mem.getU32(tty + Tty.column) - back));
  putEchoLocked(mem, tty, back, outcome);
}

/** Why output stands still, bits of Tty.stopped. */
const BY_KEY = 1;
const BY_CALL = 2;

/** Stops output by VSTOP (stop_tty), or by TCOOFF, which no key undoes. */
export function stopOutputLocked(mem: SharedMemory, tty: number, outcome: Outcome, byCall = false): void {
  const stopped = mem.getU32(tty + Tty.stopped);
  mem.setU32(tty + Tty.stopped, stopped | (byCall ? BY_CALL : BY_KEY));
  if (stopped === 0) noteInPacketLocked(mem, tty, PACKET_START, PACKET_STOP, outcome);
}

/** Lets output go on by VSTART (start_tty), or by TCOON what TCOOFF has stopped. */
export function startOutputLocked(mem: SharedMemory, tty: number, outcome: Outcome, byCall = false): void {
  const stopped = mem.getU32(tty + Tty.stopped);
  if (stopped === 0 || ((stopped & BY_CALL) !== 0) !== byCall) return;
  mem.setU32(tty + Tty.stopped, 0);
  noteInPacketLocked(mem, tty, PACKET_STOP, PACKET_START, outcome);
  outcome.slave |= WRITABLE;
  flushEchoLocked(mem, tty, outcome);
}

/** Changes what a master in packet mode reads first. */
export function noteInPacketLocked(
  mem: SharedMemory,
  tty: number,
  clear: number,
  set: number,
  outcome: Outcome,
): void {
  if (mem.getU32(tty + Tty.packet) === 0) return;
  mem.atomicStore(tty + Tty.packetStatus, (mem.getU32(tty + Tty.packetStatus) & ~clear) | set);
  outcome.master |= READABLE;
}

/** What the master's own line discipline has of the output already, and flushing cannot take back. */
const DELIVERED = 4095;

/** Throws away output that has not reached the other end (pty_flush_buffer). */
export function flushOutputLocked(mem: SharedMemory, tty: number, outcome: Outcome): void {
  mem.atomicStore(tty + Tty.outputUsed, Math.min(mem.getU32(tty + Tty.outputUsed), DELIVERED));
  noteInPacketLocked(mem, tty, 0, PACKET_FLUSH_WRITE, outcome);
  outcome.slave |= WRITABLE;
}

/** Throws all output away, on behalf of the other end. */
export function discardOutputLocked(mem: SharedMemory, tty: number, outcome: Outcome): void {
  mem.atomicStore(tty + Tty.outputUsed, 0);
  outcome.slave |= WRITABLE;
}

/** Takes up to `into.length` bytes of output out; returns how many. */
export function takeOutputLocked(mem: SharedMemory, tty: number, into: Uint8Array, outcome: Outcome): number {
  const used = mem.getU32(tty + Tty.outputUsed);
  const count = Math.min(used, into.length);
  if (count === 0) return 0;
  const head = mem.getU32(tty + Tty.outputHead);
  const output = tty + Tty.output;
  const first = Math.min(count, OUTPUT_BYTES - head);
  into.set(mem.u8.subarray(output + head, output + head + first));
  if (first < count) into.set(mem.u8.subarray(output, output + count - first), first);
  mem.setU32(tty + Tty.outputHead, (head + count) % OUTPUT_BYTES);
  mem.atomicStore(tty + Tty.outputUsed, used - count);
  outcome.slave |= WRITABLE;
  flushEchoLocked(mem, tty, outcome);
  return count;
}
