import { Mutex } from '../mutex.js';
import { array, embedded, i32, record, u8, u32 } from '../record.js';

/** Bytes of the kernel's struct termios2 (asm-generic): four flags, c_line, 19 control characters, two speeds. */
export const TERMIOS_BYTES = 44;

/** A terminal of the host as the guests see it. */
export const Tty = record({
  lock: embedded(Mutex),
  /** Open files and streams that refer to it. Atomic. */
  refs: i32,
  /** struct termios2; lock. */
  termios: array(u8, TERMIOS_BYTES),
  /** Window size; lock. */
  rows: u32,
  columns: u32,
  /** Foreground process group and session; lock. */
  foreground: u32,
  session: u32,
});
