import { embedded, i32, record, u32 } from '../record.js';
import { EventSource } from './events.js';

/**
 * What a pidfd refers to (Linux: struct pid): a process, or a thread that is not the first of its process (the first one's is the
 * process's). It outlives the Guest and the Thread record, so that a descriptor never comes to mean another one that got the same number.
 */
export const ProcessId = record({
  /** Open files, and 1 of the guest or thread. Atomic. */
  refs: i32,
  /** The process; constant. */
  pid: u32,
  /** PROCESS_*. Atomic. */
  state: i32,
  /** The thread's id, or 0 for a process; constant. */
  tid: u32,
  /** Told when `state` changes. */
  source: embedded(EventSource),
});

/** It lives; it is a zombie; nothing is left of it. */
export const PROCESS_ALIVE = 0;
export const PROCESS_ENDED = 1;
export const PROCESS_GONE = 2;
