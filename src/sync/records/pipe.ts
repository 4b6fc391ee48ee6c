import { Mutex } from '../mutex.js';
import { embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';
import { EventSource } from './events.js';

/** A pipe, FIFO, or a stream that the main thread pumps. */
export const Pipe = record({
  /** Guards everything below but the sources. A leaf but for the heap; never held while guest memory is touched. */
  lock: embedded(Mutex),
  /** Open ends and streams that refer to it: the last frees it; lock. */
  refs: i32,
  readers: i32,
  writers: i32,
  /** Counts of opens ever, for open() of a FIFO that waits for the other side; lock. */
  readerOpens: u32,
  writerOpens: u32,
  /** Ring of `capacity` bytes (a heap block, allocated at the first write); lock. */
  buffer: pointer,
  capacity: u32,
  /** Where the oldest byte is, and how many there are; lock. */
  head: u32,
  used: u32,
  /** Who waits for bytes or for room (never both at once). */
  source: embedded(EventSource),
  /** The Stream when the main thread is the other end, or 0; constant. */
  stream: pointer,
  /** Unique number, shown as the inode. */
  id: u32,
});

/** The main thread's end of a pipe. */
export const Stream = record({
  pipe: pointer,
  /** STREAM_INPUT: the main thread writes; STREAM_OUTPUT: it reads; constant. */
  direction: u32,
  /** Input: a reader has found it empty and the coordinator has been told. Output: the coordinator knows of bytes. Pipe.lock. */
  asked: u32,
  /** The main thread has closed its end; Pipe.lock. */
  closed: u32,
  /** The guests' ends are all gone; Pipe.lock. */
  abandoned: u32,
});
export const STREAM_INPUT = 0;
export const STREAM_OUTPUT = 1;

/** Named FIFO that is open somewhere: finds its pipe by host device and inode. */
export const Fifo = record({
  next: pointer,
  pipe: pointer,
  dev: u64,
  ino: u64,
});

export const EventFd = record({
  lock: embedded(Mutex),
  /** EFD_SEMAPHORE; constant. */
  semaphore: u32,
  reserved: u32,
  /** The counter as low and high words; lock. */
  low: u32,
  high: u32,
  source: embedded(EventSource),
});

export const TimerFd = record({
  lock: embedded(Mutex),
  /** CLOCK_*; constant. */
  clock: u32,
  /** TFD_TIMER_CANCEL_ON_SET and whether it is armed; lock. */
  armed: u32,
  /** Next expiration in monotonicNow() milliseconds, and the period in milliseconds (0: once); lock. */
  deadline: f64,
  interval: f64,
  source: embedded(EventSource),
});
