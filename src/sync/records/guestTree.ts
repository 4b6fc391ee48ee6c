import { i32, record } from '../record.js';

/**
 * What a guest that the embedder started and all its descendants may have together (Linux: the pids and memory controllers of
 * a cgroup). Every field is atomic; limits are constant.
 */
export const GuestTree = record({
  /** Guests and address spaces that belong to it. */
  refs: i32,
  /** Processes, zombies included, and threads. */
  processes: i32,
  maxProcesses: i32,
  threads: i32,
  maxThreads: i32,
  /** Frames granted to its address spaces (Mm.frameBudget and what is taken of it), and how many may be. */
  framesGranted: i32,
  frameLimit: i32,
});
