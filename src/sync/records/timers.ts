import { Mutex } from '../mutex.js';
import { embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';

/** All timers of the machine; Machine.timers. */
export const TimerList = record({
  /** Guards everything of the list and of every Timer. A leaf but for Sighand.lock. */
  lock: embedded(Mutex),
  /** First armed Timer, linked by Timer.nextArmed; lock. */
  armed: pointer,
  /** The earliest deadline the coordinator knows of, milliseconds of the monotonic clock; lock. */
  announced: f64,
});

/** One timer of a guest: an interval timer (setitimer) or one of timer_create. */
export const Timer = record({
  guest: pointer,
  /** Next timer of the guest, from Guest.timers; TimerList.lock. */
  nextInGuest: pointer,
  /** Neighbours among the armed ones, valid while `armed`; TimerList.lock. */
  nextArmed: pointer,
  previousArmed: pointer,
  armed: u32,
  /** timer_t, or −1 … −3 for ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
  id: i32,
  /** CLOCK_* it counts. */
  clock: i32,
  /** SIGEV_SIGNAL 0, SIGEV_NONE 1, SIGEV_THREAD_ID 4. */
  notify: u32,
  signal: u32,
  /** Target of SIGEV_THREAD_ID. */
  tid: u32,
  /** For CPU clocks of one thread: its tid, 0 for the guest's CPU clock. */
  cpuTid: u32,
  /** sigev_value. */
  value: u64,
  /**
   * When it expires: milliseconds of the monotonic clock; for a CPU clock the moment at which it is worth another look.
   */
  deadline: f64,
  /** For CPU clocks: milliseconds of CPU time at which it expires. */
  cpuDeadline: f64,
  /** Period in milliseconds, 0 for none. */
  interval: f64,
  /** Expirations since the pending signal was sent, and the count that timer_getoverrun answers. */
  overrun: u32,
  lastOverrun: u32,
  /** 1 while its signal is pending. */
  pending: u32,
  /** Changes at every settime and delete: a pending signal of before says nothing any more. */
  sequence: u32,
});
