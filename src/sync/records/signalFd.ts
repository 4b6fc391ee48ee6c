import { record, u32 } from '../record.js';

/** A signalfd: which signals are read through it. */
export const SignalFd = record({
  /** Mask, bit n−1 for signal n. Atomic words: signalfd4 may change them while others read. */
  low: u32,
  high: u32,
});
