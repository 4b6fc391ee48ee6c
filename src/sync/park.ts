import { resumeParent, resumeThread, tellOfStarted } from './hosts.js';
import { monotonicNow } from './monotonicNow.js';
import { MACHINE, Machine } from './records/machine.js';
import {
  ASLEEP,
  AWAKE,
  HOSTLESS,
  MOVABLE,
  Thread,
  TIER_INTERPRETER,
  TIER_WAITING,
} from './records/thread.js';
import type { SharedMemory } from './sharedMemory.js';

export { monotonicNow };

/**
 * Parking a guest thread. Every blocking system call waits here and nowhere else, so that whatever ends the wait (a
 * signal, a futex wake, data in a pipe, a timer, a child's end) ends it the same way:
 *
 *   for (;;) {
 *     const ticket = parkTicket(mem, thread);
 *     if (whatWeWaitForIsTrue()) break;
 *     if (interruptedBySignal()) return -EINTR;
 *     if (!park(mem, thread, ticket, deadline)) return -ETIMEDOUT;
 *   }
 *
 * An unpark between taking the ticket and parking makes `park` return at once; wake-ups are therefore never lost, and
 * may be spurious. The thread must be in kernel mode (see safepoint.ts).
 */
export function parkTicket(mem: SharedMemory, thread: number): number {
  return mem.atomicLoad(thread + Thread.parkWord);
}

/**
 * Sleeps until somebody unparks the thread after `ticket` was taken, or until `deadline` (in `monotonicNow()`
 * milliseconds; Infinity for none). Returns false exactly when the deadline has passed. `soon`: another thread may well
 * unpark this one in a moment, so that it pays to look for that before sleeping. `movable`: the thread may be woken for nothing,
 * to give its host away (hosts.ts).
 */
export function park(
  mem: SharedMemory,
  thread: number,
  ticket: number,
  deadline = Infinity,
  soon = false,
  movable = false,
): boolean {
  const timeout = deadline === Infinity ? Infinity : deadline - monotonicNow();
  if (timeout <= 0) return false;
  tellOfStarted(mem);
  if (soon) {
    if (unparkedSoon(mem, thread, ticket)) return true;
    noteSleep();
  }
  // Whoever unparks and does not see this has changed the word before, and the wait ends at once.
  mem.setU32(thread + Thread.sleep, mem.atomicAdd(MACHINE + Machine.sleeps, 1));
  mem.atomicStore(thread + Thread.asleep, movable ? MOVABLE : ASLEEP);
  mem.atomicAdd(MACHINE + Machine.threadsAsleep, 1);
  mem.setU32(thread + Thread.tier, TIER_WAITING);
  const outcome = Atomics.wait(mem.i32, (thread + Thread.parkWord) >>> 2, ticket, timeout);
  mem.setU32(thread + Thread.tier, TIER_INTERPRETER);
  mem.atomicAdd(MACHINE + Machine.threadsAsleep, -1);
  mem.atomicStore(thread + Thread.asleep, AWAKE);
  wokenAt = monotonicNow();
  return outcome !== 'timed-out';
}

/** Wakes the thread, or makes its next `park` with an older ticket return at once. */
export function unpark(mem: SharedMemory, thread: number): void {
  wake(mem, thread, resumeThread);
}

/** unpark for a thread that will probably wait for the calling one, `child`, next. */
export function unparkParent(mem: SharedMemory, thread: number, child: number): void {
  wake(mem, thread, resumeParent, child);
}

type Resume = (mem: SharedMemory, thread: number, owner: number) => void;

function wake(mem: SharedMemory, thread: number, hand: Resume, owner = 0): void {
  const index = (thread + Thread.parkWord) >>> 2;
  Atomics.add(mem.i32, index, 1);
  const asleep = mem.atomicLoad(thread + Thread.asleep);
  if (asleep === HOSTLESS) resume(mem, thread, hand, owner);
  else if (asleep !== AWAKE) Atomics.notify(mem.i32, index);
}

/**
 * `park` for a thread that gives its host away meanwhile: the worker is free for another thread when this returns, and must not
 * touch this one's record, which any other worker may have by then. Whoever unparks it hands it to a host, which begins with
 * what Thread.start says.
 */
export function parkWithoutHost(mem: SharedMemory, thread: number, ticket: number): void {
  mem.setU32(thread + Thread.tier, TIER_WAITING);
  mem.atomicAdd(MACHINE + Machine.threadsHostless, 1);
  mem.atomicStore(thread + Thread.asleep, HOSTLESS);
  if (mem.atomicLoad(thread + Thread.parkWord) !== ticket) resume(mem, thread, resumeThread, 0);
}

/** Hands a thread without a host to one, unless somebody else has just done it. */
function resume(mem: SharedMemory, thread: number, hand: Resume, owner: number): void {
  if (mem.atomicCompareExchange(thread + Thread.asleep, HOSTLESS, AWAKE) !== HOSTLESS) return;
  mem.atomicAdd(MACHINE + Machine.threadsHostless, -1);
  hand(mem, thread, owner);
}

/**
 * Looks (some 13 ns each) before a thread sleeps. To be woken takes 20 to 50 µs where processors are virtual, and a thread that
 * has just been woken takes as long to answer: so the first look goes on for twice that, after which two threads that take
 * turns find each other awake. How long the next ones are is a matter of experience: half as long after each in vain.
 */
const MOST_LOOKS = 6000;
const LEAST_LOOKS = 60;
/** After this many sleeps without looking it is tried again, after twice as many when that was in vain, and so on. */
const LEAST_SLEEPS = 50;
const MOST_SLEEPS = 1600;

/** When this worker's thread was woken last, and how many times in succession it then went to sleep again in less than SHORT (milliseconds). */
let wokenAt = 0;
let shortTurns = 0;
const SHORT = 0.03;
const MANY_TURNS = 8;

function noteSleep(): void {
  shortTurns = monotonicNow() - wokenAt < SHORT ? shortTurns + 1 : 0;
}

/**
 * Whether the worker's thread, about to wait again, does so little between its waits that another worker takes longer to wake up: it had
 * better leave its host, so that who wakes it, and waits then, goes on with it. Two threads that take turns come to share a worker, where looking for each other
 * before they sleep was in vain. Says so once.
 */
export function takesShortTurns(): boolean {
  if (shortTurns < MANY_TURNS) return false;
  shortTurns = 0;
  return true;
}

let looks = MOST_LOOKS;
let sleeps = 0;
let sleepsToTry = LEAST_SLEEPS;

/** Whether the thread is unparked while it pays to look for that. Never when other threads could use the processor. */
function unparkedSoon(mem: SharedMemory, thread: number, ticket: number): boolean {
  const awake =
    mem.atomicLoad(MACHINE + Machine.hostsCommitted) -
    mem.atomicLoad(MACHINE + Machine.threadsAsleep) -
    mem.atomicLoad(MACHINE + Machine.threadsHostless);
  if (awake > mem.getU32(MACHINE + Machine.cpuCount)) return false;
  if (looks < LEAST_LOOKS) {
    if (++sleeps < sleepsToTry) return false;
    sleeps = 0;
    sleepsToTry = Math.min(MOST_SLEEPS, sleepsToTry * 2);
    looks = MOST_LOOKS;
  }
  const word = (thread + Thread.parkWord) >>> 2;
  for (let n = 0; n < looks; n++) {
    if (Atomics.load(mem.i32, word) === ticket) continue;
    looks = MOST_LOOKS;
    sleepsToTry = LEAST_SLEEPS;
    return true;
  }
  looks >>= 1;
  return false;
}
