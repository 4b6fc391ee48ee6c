import { initMutex, withMutex } from './mutex.js';
import { monotonicNow, unpark } from './park.js';
import { MACHINE, Machine } from './records/machine.js';
import { Thread } from './records/thread.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * Threads that wait without a host until a time at the latest. No worker sleeps for them: the coordinator wakes those whose time
 * has come (`wakeSleepers`), which then wait for a host. Machine.sleepersLock is a leaf.
 */

/** Makes the machine's list. */
export function initSleepers(mem: SharedMemory): void {
  initMutex(mem, MACHINE + Machine.sleepersLock);
  mem.f64[(MACHINE + Machine.sleepersAnnounced) >>> 3] = Infinity;
}

/** Has `thread` woken at `time` (monotonic milliseconds). True when the coordinator is to be told (RequestKind.TimersChanged). */
export function joinSleepers(mem: SharedMemory, thread: number, time: number): boolean {
  return withMutex(mem, MACHINE + Machine.sleepersLock, thread, () => {
    const first = mem.getU32(MACHINE + Machine.sleepers);
    mem.f64[(thread + Thread.wakeTime) >>> 3] = time;
    mem.setU32(thread + Thread.nextSleeper, first);
    mem.setU32(thread + Thread.previousSleeper, 0);
    if (first !== 0) mem.setU32(first + Thread.previousSleeper, thread);
    mem.setU32(MACHINE + Machine.sleepers, thread);
    const announced = (MACHINE + Machine.sleepersAnnounced) >>> 3;
    if (time >= mem.f64[announced]) return false;
    mem.f64[announced] = time;
    return true;
  });
}

/** `thread`, which has a host again, need not be woken any more. Nothing when it is not on the list. */
export function leaveSleepers(mem: SharedMemory, thread: number): void {
  const time = (thread + Thread.wakeTime) >>> 3;
  // Own thread: nobody else puts it there, and who takes it off does so before it can come here.
  if (mem.f64[time] === 0) return;
  withMutex(mem, MACHINE + Machine.sleepersLock, thread, () => {
    if (mem.f64[time] === 0) return;
    unlinkLocked(mem, thread);
  });
}

function unlinkLocked(mem: SharedMemory, thread: number): void {
  const next = mem.getU32(thread + Thread.nextSleeper);
  const previous = mem.getU32(thread + Thread.previousSleeper);
  if (next !== 0) mem.setU32(next + Thread.previousSleeper, previous);
  if (previous !== 0) mem.setU32(previous + Thread.nextSleeper, next);
  else mem.setU32(MACHINE + Machine.sleepers, next);
  mem.f64[(thread + Thread.wakeTime) >>> 3] = 0;
}

/** Wakes every thread whose time has come: for the coordinator. Returns when the next one is to be woken, or Infinity. */
export function wakeSleepers(mem: SharedMemory, owner: number): number {
  const due: number[] = [];
  const earliest = withMutex(mem, MACHINE + Machine.sleepersLock, owner, () => {
    const now = monotonicNow();
    let next = Infinity;
    for (let t = mem.getU32(MACHINE + Machine.sleepers), after = 0; t !== 0; t = after) {
      after = mem.getU32(t + Thread.nextSleeper);
      const time = mem.f64[(t + Thread.wakeTime) >>> 3];
      if (time > now) {
        next = Math.min(next, time);
        continue;
      }
      unlinkLocked(mem, t);
      due.push(t);
    }
    mem.f64[(MACHINE + Machine.sleepersAnnounced) >>> 3] = next;
    return next;
  });
  // A thread that has been woken otherwise meanwhile finds that it was for nothing.
  for (const thread of due) unpark(mem, thread);
  return earliest;
}
