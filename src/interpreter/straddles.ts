import { record, u32, u64 } from '../sync/record.js';

/**
 * Instructions that straddle two pages. The second half may change without the first one's page (another mapping behind
 * it, another guest), so such an instruction is put together each time it is met: its first half from its page, its
 * second through the code table. What it decodes to depends on nothing else, so the thread remembers a few by their
 * word, and runs them from there: the entry looks like the end of a code page.
 */
export const Straddle = record({
  /** The instruction word, and the extensions of the processor that it was decoded for, with STRADDLE_VALID. */
  word: u32,
  extensions: u32,
  /** The predecoded instruction, and what it falls into, whatever its length. */
  slot: u64,
  end2: u64,
  end4: u64,
});

/** Set in Straddle.extensions once there is a word. */
export const STRADDLE_VALID = 0x8000_0000;

/** Entries in Thread.straddles; chosen by the low bits of the page number. */
export const STRADDLES = 16;
