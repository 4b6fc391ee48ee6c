import { Mutex } from '../mutex.js';
import { array, embedded, i32, pointer, record, u8, u32 } from '../record.js';
import { EventSource } from './events.js';

/** Bytes of the kernel's struct termios2 (asm-generic): four flags, c_line, 19 control characters, two speeds. */
export const TERMIOS_BYTES = 44;
/** Bytes of input that a terminal holds for its readers (N_TTY_BUF_SIZE); a power of two. */
export const INPUT_BYTES = 4096;
/** Bytes on their way to the line discipline, for which there is no room in the input yet. */
export const ARRIVING_BYTES = 8192;
/** Bytes of output that wait for the other end. */
export const OUTPUT_BYTES = 16384;
/** Bytes of echo that wait for stopped or full output. */
export const ECHO_BYTES = 4096;

/**
 * A terminal: a pair of a pseudo-terminal's two ends (master and slave, as Linux names them), or the machine's console, whose
 * other end is the main thread with the terminal of the host. kernel/terminals/ has what works on it.
 */
export const Tty = record({
  /** Guards everything below unless said. A leaf; never held while guest memory is touched. */
  lock: embedded(Mutex),
  /** Open files, guests whose controlling terminal it is, the main thread; FilesGlobal.ttysLock. */
  refs: i32,
  /** N of /dev/pts/N; constant. */
  index: u32,
  /** Next terminal of the machine; FilesGlobal.ttysLock. */
  next: pointer,
  /** 1: the other end is the main thread; constant. */
  console: u32,
  /** Owner, group and permissions of /dev/pts/N. */
  uid: u32,
  gid: u32,
  mode: u32,

  /** Session that it controls and foreground process group, or 0; Machine.guestsLock, read without it. */
  session: u32,
  foreground: u32,

  /** Open files of either end. Atomic reads. */
  slaves: i32,
  masters: i32,
  /** How often it has been hung up: what was open then is dead. Atomic reads. */
  hangups: i32,
  /** The last slave has been closed: the master's reader finds an end. Cleared by the next open. */
  slavesGone: u32,
  /** TIOCSPTLCK: the slave cannot be opened. */
  locked: u32,
  /** TIOCEXCL. */
  exclusive: u32,

  /** struct termios2. */
  termios: array(u8, TERMIOS_BYTES),
  /** Which bits of it are locked (TIOCSLCKTRMIOS), as a struct termios2. */
  lockedSettings: array(u8, TERMIOS_BYTES),
  /** struct winsize. */
  window: array(u8, 8),

  // --- packet mode (TIOCPKT) ---
  packet: u32,
  /** TIOCPKT_* bits that the master has not read yet. Atomic reads. */
  packetStatus: u32,

  // --- input: the read buffer of the line discipline. Counts of bytes ever; their place is the count modulo INPUT_BYTES ---
  input: array(u8, INPUT_BYTES),
  /** Bit n: the byte at place n ends a line. */
  lineEnds: array(u32, INPUT_BYTES / 32),
  /** Where the next byte is put, up to where canonical lines are complete, and where the next one is read. Atomic reads. */
  inputHead: u32,
  canonicalHead: u32,
  inputTail: u32,
  /** What was in the buffer when ICANON was turned on is read as one piece. */
  push: u32,
  /** The next byte is taken literally (VLNEXT). */
  literalNext: u32,
  /** Within \…/ of ECHOPRT. */
  erasing: u32,
  /** Cursor column, and that of the line's first character. */
  column: u32,
  canonicalColumn: u32,
  /** Ring of bytes that the line discipline has not taken yet. */
  arriving: array(u8, ARRIVING_BYTES),
  arrivingHead: u32,
  arrivingUsed: u32,

  // --- output ---
  /** Stopped by VSTOP or TCOOFF. */
  stopped: u32,
  /** Ring of bytes for the other end. `outputUsed` is read atomically. */
  output: array(u8, OUTPUT_BYTES),
  outputHead: u32,
  outputUsed: u32,
  /** Echo that could not be put into the output. */
  echo: array(u8, ECHO_BYTES),
  echoUsed: u32,

  /** Told of what the slave's users wait for, and what the master's do. */
  source: embedded(EventSource),
  masterSource: embedded(EventSource),

  // --- the console ---
  /** Descriptor of the host's terminal for output, not waiting; constant. */
  hostFd: i32,
  /** HOST_COOKED, HOST_RAW or HOST_TRANSPARENT: what the main thread has made of the host's terminal. Atomic. */
  hostMode: i32,
  /** 1: a guest has asked for input and has not been given any since. Atomic. */
  wanted: i32,
  /** 1: the main thread has been asked to write what is left of the output. Atomic. */
  drainAsked: i32,
});

/** The host's terminal edits and echoes lines itself. */
export const HOST_COOKED = 0;
/** It hands over every key, and turns \n of the output into \r\n. */
export const HOST_RAW = 1;
/** It changes nothing in either direction. */
export const HOST_TRANSPARENT = 2;
