import { embedded, i32, record, u32 } from '../record.js';
import { EventSource } from './events.js';

/**
 * What a pidfd refers to (Linux: struct pid). It outlives the Guest record, so that a descriptor never comes to mean another
 * process that got the same number.
 */
export const ProcessId = record({
  /** Open files, and 1 of the guest. Atomic. */
  refs: i32,
  /** Constant. */
  pid: u32,
  /** 1 once the process has ended. Atomic. */
  ended: i32,
  reserved: u32,
  /** Told when the process ends. */
  source: embedded(EventSource),
});
