import { ARRIVING_BYTES, INPUT_BYTES, Tty } from '../../sync/records/tty.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { READABLE, WRITABLE } from '../files/events.js';
import { SIGINT, SIGQUIT, SIGTSTP } from '../signals/signalNumbers.js';
import {
  echoControlLocked,
  echoEraseTabLocked,
  echoRawLocked,
  flushOutputLocked,
  isContinuation,
  isControl,
  noteInPacketLocked,
  PACKET_FLUSH_READ,
  startOutputLocked,
  stopOutputLocked,
} from './lineOutput.js';
import type { Outcome } from './outcome.js';
import {
  charactersLocked,
  DISABLED,
  ECHO,
  ECHOCTL,
  ECHOE,
  ECHOK,
  ECHOKE,
  ECHONL,
  ECHOPRT,
  EXTPROC,
  ICANON,
  ICRNL,
  IEXTEN,
  IGNCR,
  INLCR,
  ISIG,
  ISTRIP,
  IUCLC,
  IXANY,
  IXON,
  type Modes,
  modesLocked,
  NOFLSH,
  specialBytes,
  VEOF,
  VEOL,
  VEOL2,
  VERASE,
  VINTR,
  VKILL,
  VLNEXT,
  VQUIT,
  VREPRINT,
  VSTART,
  VSTOP,
  VSUSP,
  VWERASE,
} from './termios.js';

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const TAB = 0x09;
const BACKSPACE = 0x08;
const MASK = INPUT_BYTES - 1;
const KEY_SIGNALS = [
  [VINTR, SIGINT],
  [VQUIT, SIGQUIT],
  [VSUSP, SIGTSTP],
] as const;

/** The byte at a count of the input. */
export function inputByte(mem: SharedMemory, tty: number, at: number): number {
  return mem.u8[tty + Tty.input + (at & MASK)];
}

/** Says whether the byte at a count of the input ends a line. */
export function endsLine(mem: SharedMemory, tty: number, at: number): boolean {
  const place = at & MASK;
  return ((mem.getU32(tty + Tty.lineEnds + (place >>> 5) * 4) >>> (place & 31)) & 1) !== 0;
}

export function markLineEnd(mem: SharedMemory, tty: number, at: number, on: boolean): void {
  const place = at & MASK;
  const word = tty + Tty.lineEnds + (place >>> 5) * 4;
  const bit = 1 << (place & 31);
  mem.setU32(word, on ? mem.getU32(word) | bit : mem.getU32(word) & ~bit);
}

/** Throws the input away (reset_buffer_flags). */
export function resetInputLocked(mem: SharedMemory, tty: number): void {
  for (const field of [Tty.inputHead, Tty.canonicalHead, Tty.inputTail]) mem.atomicStore(tty + field, 0);
  for (const field of [Tty.push, Tty.erasing]) mem.setU32(tty + field, 0);
  mem.zero(tty + Tty.lineEnds, INPUT_BYTES / 8);
}

/** TCIFLUSH: throws away what has been typed and not read (n_tty_flush_buffer). */
export function flushInputLocked(mem: SharedMemory, tty: number, outcome: Outcome): void {
  resetInputLocked(mem, tty);
  mem.setU32(tty + Tty.arrivingHead, 0);
  mem.setU32(tty + Tty.arrivingUsed, 0);
  noteInPacketLocked(mem, tty, 0, PACKET_FLUSH_READ, outcome);
  outcome.master |= WRITABLE;
}

function isWordCharacter(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x5f ||
    // Latin-1's letters, as the kernel's isalnum has them, and with them the first bytes of UTF-8 characters.
    (byte >= 0xc0 && byte !== 0xd7 && byte !== 0xf7)
  );
}

/** One turn of the line discipline over bytes that have arrived (n_tty.c: __receive_buf). Tty.lock is held. */
class LineInput {
  private readonly modes: Modes;
  private readonly characters: Uint8Array;
  private readonly specials: Uint8Array;
  private readonly echoes: boolean;

  constructor(
    private readonly mem: SharedMemory,
    private readonly tty: number,
    private readonly outcome: Outcome,
  ) {
    this.modes = modesLocked(mem, tty);
    this.characters = charactersLocked(mem, tty);
    this.specials = specialBytes(this.modes, this.characters);
    this.echoes = (this.modes.local & ECHO) !== 0;
  }

  /** Takes what there is room for; returns how many bytes. */
  receive(bytes: Uint8Array): number {
    let taken = 0;
    while (taken < bytes.length) {
      let room = this.room();
      if (room === 0) break;
      while (room-- > 0 && taken < bytes.length) this.byte(bytes[taken++]);
    }
    if (taken > 0 && (this.modes.local & ICANON) === 0 && this.head !== this.tail)
      this.outcome.slave |= READABLE;
    return taken;
  }

  private get head(): number {
    return this.mem.getU32(this.tty + Tty.inputHead);
  }

  private set head(value: number) {
    this.mem.atomicStore(this.tty + Tty.inputHead, value);
  }

  private get tail(): number {
    return this.mem.getU32(this.tty + Tty.inputTail);
  }

  private get lineStart(): number {
    return this.mem.getU32(this.tty + Tty.canonicalHead);
  }

  /** Bytes that fit; in canonical mode the last place of a line that is too long is used over and over. */
  private room(): number {
    const room = INPUT_BYTES - 1 - ((this.head - this.tail) >>> 0);
    if (room > 0) return room;
    if ((this.modes.local & ICANON) === 0 || this.lineStart !== this.tail) return 0;
    if (room < 0) this.head = this.head - 1;
    return 1;
  }

  private byte(byte: number): void {
    const { mem, tty, modes } = this;
    if (modes.input & ISTRIP) byte &= 0x7f;
    if (modes.input & IUCLC && modes.local & IEXTEN && byte >= 0x41 && byte <= 0x5a) byte += 32;
    if (modes.local & EXTPROC) {
      this.put(byte);
      return;
    }
    if (mem.getU32(tty + Tty.literalNext) !== 0) {
      mem.setU32(tty + Tty.literalNext, 0);
      this.ordinary(byte);
    } else if (this.specials[byte]) this.special(byte);
    else this.ordinary(byte);
  }

  private put(byte: number): void {
    const { head } = this;
    this.mem.u8[this.tty + Tty.input + (head & MASK)] = byte;
    this.head = head + 1;
  }

  private is(byte: number, which: number): boolean {
    return byte === this.characters[which] && byte !== DISABLED;
  }

  private echo(byte: number): void {
    if (this.modes.local & ECHOCTL && isControl(byte) && byte !== TAB)
      echoControlLocked(this.mem, this.tty, byte, this.outcome);
    else this.echoRaw(byte);
  }

  private echoRaw(byte: number): void {
    echoRawLocked(this.mem, this.tty, this.modes, byte, this.outcome);
  }

  /** The line's first character is about to be echoed: tabs are counted from here. */
  private noteColumn(): void {
    if (this.lineStart === this.head)
      this.mem.setU32(this.tty + Tty.canonicalColumn, this.mem.getU32(this.tty + Tty.column));
  }

  private finishErasing(): void {
    if (this.mem.getU32(this.tty + Tty.erasing) === 0) return;
    this.echoRaw(0x2f);
    this.mem.setU32(this.tty + Tty.erasing, 0);
  }

  private restartByAny(): void {
    const { input } = this.modes;
    if (input & IXON && input & IXANY) startOutputLocked(this.mem, this.tty, this.outcome);
  }

  private ordinary(byte: number): void {
    this.restartByAny();
    if (this.echoes) {
      this.finishErasing();
      this.noteColumn();
      this.echo(byte);
    }
    this.put(byte);
  }

  private special(byte: number): void {
    const { mem, tty, modes, outcome } = this;
    if (modes.input & IXON && (this.is(byte, VSTART) || this.is(byte, VSTOP))) {
      if (this.is(byte, VSTART)) startOutputLocked(mem, tty, outcome);
      else stopOutputLocked(mem, tty, outcome);
      return;
    }
    const signal = modes.local & ISIG ? KEY_SIGNALS.find(([which]) => this.is(byte, which)) : undefined;
    if (signal !== undefined) {
      this.signal(signal[1], byte);
      return;
    }
    this.restartByAny();
    if (byte === RETURN) {
      if (modes.input & IGNCR) return;
      if (modes.input & ICRNL) byte = NEWLINE;
    } else if (byte === NEWLINE && modes.input & INLCR) byte = RETURN;
    if (modes.local & ICANON && this.canonical(byte)) return;
    if (this.echoes) {
      this.finishErasing();
      if (byte === NEWLINE) this.echoRaw(NEWLINE);
      else {
        this.noteColumn();
        this.echo(byte);
      }
    }
    this.put(byte);
  }

  /** A key that makes a signal (n_tty_receive_signal_char). */
  private signal(signal: number, byte: number): void {
    const { mem, tty, modes, outcome } = this;
    outcome.signals.push(signal);
    if ((modes.local & NOFLSH) === 0) {
      mem.setU32(tty + Tty.echoUsed, 0);
      flushOutputLocked(mem, tty, outcome);
      resetInputLocked(mem, tty);
      noteInPacketLocked(mem, tty, 0, PACKET_FLUSH_READ, outcome);
    }
    if (modes.input & IXON) startOutputLocked(mem, tty, outcome);
    if (this.echoes) this.echo(byte);
  }

  /** Line editing; false: an ordinary character after all (n_tty_receive_char_canon). */
  private canonical(byte: number): boolean {
    const { mem, tty, modes } = this;
    const extended = (modes.local & IEXTEN) !== 0;
    if (this.is(byte, VERASE) || this.is(byte, VKILL) || (extended && this.is(byte, VWERASE))) {
      this.erase(byte);
      return true;
    }
    if (extended && this.is(byte, VLNEXT)) {
      mem.setU32(tty + Tty.literalNext, 1);
      if (this.echoes) {
        this.finishErasing();
        if (modes.local & ECHOCTL) {
          this.echoRaw(0x5e);
          this.echoRaw(BACKSPACE);
        }
      }
      return true;
    }
    if (extended && this.echoes && this.is(byte, VREPRINT)) {
      this.finishErasing();
      this.echo(byte);
      this.echoRaw(NEWLINE);
      for (let at = this.lineStart; at !== this.head; at = (at + 1) >>> 0) this.echo(inputByte(mem, tty, at));
      return true;
    }
    if (byte === NEWLINE) {
      if (modes.local & (ECHO | ECHONL)) this.echoRaw(NEWLINE);
      this.endLine(NEWLINE);
      return true;
    }
    if (this.is(byte, VEOF)) {
      this.endLine(DISABLED);
      return true;
    }
    if (this.is(byte, VEOL) || (extended && this.is(byte, VEOL2))) {
      if (this.echoes) {
        this.noteColumn();
        this.echo(byte);
      }
      this.endLine(byte);
      return true;
    }
    return false;
  }

  private endLine(byte: number): void {
    const { mem, tty } = this;
    markLineEnd(mem, tty, this.head, true);
    this.put(byte);
    mem.atomicStore(tty + Tty.canonicalHead, this.head);
    this.outcome.slave |= READABLE;
  }

  /** Rubs out a character, a word or the line (eraser). */
  private erase(key: number): void {
    const { mem, tty, modes } = this;
    const { local } = modes;
    const start = this.lineStart;
    if (this.head === start) return;
    const one = this.is(key, VERASE);
    const word = !one && this.is(key, VWERASE);
    if (!one && !word) {
      if (!this.echoes) {
        this.head = start;
        return;
      }
      if ((local & (ECHOK | ECHOKE | ECHOE)) !== (ECHOK | ECHOKE | ECHOE)) {
        this.head = start;
        this.finishErasing();
        this.echo(this.characters[VKILL]);
        if (local & ECHOK) this.echoRaw(NEWLINE);
        return;
      }
    }
    let seenWord = false;
    while (this.head !== start) {
      let at = this.head;
      let byte: number;
      do {
        at = (at - 1) >>> 0;
        byte = inputByte(mem, tty, at);
      } while (isContinuation(modes, byte) && at !== start);
      // The rest of a character whose first byte is not there.
      if (isContinuation(modes, byte)) break;
      if (word) {
        if (isWordCharacter(byte)) seenWord = true;
        else if (seenWord) break;
      }
      const end = this.head;
      this.head = at;
      if (this.echoes) this.echoErased(byte, at, end, one);
      if (one) break;
    }
    if (this.head === start && this.echoes) this.finishErasing();
  }

  /** Shows that the character from `at` to `end`, whose first byte is `byte`, is gone. */
  private echoErased(byte: number, at: number, end: number, one: boolean): void {
    const { mem, tty, modes } = this;
    const { local } = modes;
    if (local & ECHOPRT) {
      if (mem.getU32(tty + Tty.erasing) === 0) {
        this.echoRaw(0x5c);
        mem.setU32(tty + Tty.erasing, 1);
      }
      this.echo(byte);
      for (let rest = (at + 1) >>> 0; rest !== end; rest = (rest + 1) >>> 0)
        this.echoRaw(inputByte(mem, tty, rest));
    } else if (one && (local & ECHOE) === 0) {
      this.echo(this.characters[VERASE]);
    } else if (byte === TAB) {
      this.eraseTab(at);
    } else {
      const control = isControl(byte);
      const columns = control ? (local & ECHOCTL ? 2 : 0) : 1;
      for (let i = 0; i < columns; i++) for (const part of [BACKSPACE, 0x20, BACKSPACE]) this.echoRaw(part);
    }
  }

  private eraseTab(at: number): void {
    const { mem, tty, modes } = this;
    let columns = 0;
    let afterTab = false;
    for (let before = at; before !== this.lineStart; ) {
      before = (before - 1) >>> 0;
      const byte = inputByte(mem, tty, before);
      if (byte === TAB) {
        afterTab = true;
        break;
      }
      if (isControl(byte)) {
        if (modes.local & ECHOCTL) columns += 2;
      } else if (!isContinuation(modes, byte)) columns++;
    }
    echoEraseTabLocked(mem, tty, columns, afterTab, this.outcome);
  }
}

/** Bytes come from the other end: as many as fit are taken, in part to wait for room. Returns how many. */
export function arriveLocked(mem: SharedMemory, tty: number, bytes: Uint8Array, outcome: Outcome): number {
  digestLocked(mem, tty, outcome);
  let taken = 0;
  if (mem.getU32(tty + Tty.arrivingUsed) === 0) taken = new LineInput(mem, tty, outcome).receive(bytes);
  const used = mem.getU32(tty + Tty.arrivingUsed);
  const kept = Math.min(bytes.length - taken, ARRIVING_BYTES - used);
  const at = mem.getU32(tty + Tty.arrivingHead) + used;
  for (let i = 0; i < kept; i++) mem.u8[tty + Tty.arriving + ((at + i) % ARRIVING_BYTES)] = bytes[taken + i];
  mem.setU32(tty + Tty.arrivingUsed, used + kept);
  return taken + kept;
}

/** Lets the line discipline have what waits for room. */
export function digestLocked(mem: SharedMemory, tty: number, outcome: Outcome): void {
  for (let used = mem.getU32(tty + Tty.arrivingUsed); used > 0; used = mem.getU32(tty + Tty.arrivingUsed)) {
    const head = mem.getU32(tty + Tty.arrivingHead);
    const piece = Math.min(used, ARRIVING_BYTES - head);
    const from = tty + Tty.arriving + head;
    const taken = new LineInput(mem, tty, outcome).receive(mem.u8.slice(from, from + piece));
    if (taken === 0) return;
    mem.setU32(tty + Tty.arrivingHead, (head + taken) % ARRIVING_BYTES);
    mem.setU32(tty + Tty.arrivingUsed, used - taken);
    outcome.master |= WRITABLE;
  }
}

/** Room for bytes from the other end. */
export function arrivalRoom(mem: SharedMemory, tty: number): number {
  return ARRIVING_BYTES - mem.getU32(tty + Tty.arrivingUsed);
}

/**
 * Lines that the host's terminal has edited and echoed: nothing is left to be done with them. One that does not end with
 * a newline was ended with end-of-file. Returns how many bytes there was room for.
 */
export function arriveEditedLocked(
  mem: SharedMemory,
  tty: number,
  bytes: Uint8Array,
  outcome: Outcome,
): number {
  const room = INPUT_BYTES - 1 - ((mem.getU32(tty + Tty.inputHead) - mem.getU32(tty + Tty.inputTail)) >>> 0);
  const taken = Math.min(bytes.length, room - 1);
  if (taken < 0) return 0;
  let head = mem.getU32(tty + Tty.inputHead);
  const put = (byte: number, end: boolean): void => {
    mem.u8[tty + Tty.input + (head & MASK)] = byte;
    markLineEnd(mem, tty, head, end);
    head = (head + 1) >>> 0;
  };
  for (let i = 0; i < taken; i++) put(bytes[i], bytes[i] === NEWLINE);
  if (taken === bytes.length && bytes[taken - 1] !== NEWLINE) put(DISABLED, true);
  mem.atomicStore(tty + Tty.inputHead, head);
  mem.atomicStore(tty + Tty.canonicalHead, head);
  outcome.slave |= READABLE;
  return taken;
}
