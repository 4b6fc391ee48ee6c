import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { monotonicNow } from '../sync/park.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import type { ThreadContext } from './threadContext.js';

/** Every clock a guest can read goes through here, or through hotCalls/clockCode.ts. Times are milliseconds as fractional numbers. */
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const CLOCK_THREAD_CPUTIME_ID = 3;
export const CLOCK_MONOTONIC_RAW = 4;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_BOOTTIME = 7;
export const CLOCK_REALTIME_ALARM = 8;
export const CLOCK_BOOTTIME_ALARM = 9;
export const CLOCK_TAI = 11;

/** Realtime minus monotonic clock in milliseconds. */
export function realtimeOffset(mem: SharedMemory): number {
  return mem.getU64(MACHINE + Machine.realtimeOffset) / 1000;
}

/** CLOCK_REALTIME in milliseconds since 1970. */
export function realtimeNow(mem: SharedMemory): number {
  return monotonicNow() + realtimeOffset(mem);
}

/** The host's id of this worker's thread (Linux hosts only), else 0. */
export function hostThreadId(): number {
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').pop()) || 0;
  } catch {
    return 0;
  }
}

/** This worker's schedstat file, open: reading it costs a microsecond or two; −1 where the host has none. */
let ownSchedstat: number | undefined;
const text = Buffer.alloc(64);

/** CPU milliseconds that this worker has used up to now; elapsed time where the host does not tell. */
export function workerCpuNow(): number {
  if (ownSchedstat === undefined) {
    try {
      ownSchedstat = openSync('/proc/thread-self/schedstat', 'r');
    } catch {
      ownSchedstat = -1;
    }
  }
  if (ownSchedstat < 0) return monotonicNow();
  const length = readSync(ownSchedstat, text, 0, text.length, 0);
  return Number.parseInt(text.toString('latin1', 0, length), 10) / 1e6;
}

/** Closes what this worker keeps open for its clock: it is about to end. */
export function closeClock(): void {
  if (ownSchedstat !== undefined && ownSchedstat >= 0) closeSync(ownSchedstat);
  ownSchedstat = undefined;
}

/** CPU milliseconds of another worker by its host id; elapsed time where the host does not tell. */
function hostCpu(tid: number): number {
  if (tid !== 0) {
    try {
      return Number.parseInt(readFileSync(`/proc/self/task/${tid}/schedstat`, 'latin1'), 10) / 1e6;
    } catch {
      // The worker has ended, or this is no Linux.
    }
  }
  return monotonicNow();
}

/** CPU time of a thread, milliseconds. Callable from any worker and the main thread. */
export function threadCpu(mem: SharedMemory, thread: number): number {
  const base = mem.f64[(thread + Thread.cpuBase) >>> 3];
  const spent = mem.f64[(thread + Thread.cpuSpent) >>> 3];
  // No worker has it.
  if (base === 0) return spent;
  return spent + Math.max(0, hostCpu(mem.getU32(thread + Thread.hostTid)) - base);
}

/** CPU time of the calling thread, milliseconds. */
export function ownCpu(t: ThreadContext): number {
  const { mem, thread } = t;
  const spent = mem.f64[(thread + Thread.cpuSpent) >>> 3];
  return spent + Math.max(0, workerCpuNow() - mem.f64[(thread + Thread.cpuBase) >>> 3]);
}

/** CPU time of a guest, its ended threads included, milliseconds. The caller holds Guest.threadsLock. */
export function guestCpuLocked(mem: SharedMemory, guest: number): number {
  let sum = mem.getU64(guest + Guest.cpuMicroseconds) / 1000;
  for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest))
    sum += threadCpu(mem, t);
  return sum;
}

/** What the worker had used up when its last thread ended: what it uses while parked is nothing. */
let usedBefore: number | undefined;

/** Notes the CPU time at which the worker begins with the thread. */
export function beginCpuTime(t: ThreadContext, hostTid: number): void {
  t.mem.setU32(t.thread + Thread.hostTid, hostTid);
  usedBefore ??= workerCpuNow();
  t.mem.f64[(t.thread + Thread.cpuBase) >>> 3] = usedBefore;
}

/** CPU time of the worker's thread, which ends or leaves its host, milliseconds. */
export function endCpuTime(mem: SharedMemory, thread: number): number {
  const now = workerCpuNow();
  const used = now - mem.f64[(thread + Thread.cpuBase) >>> 3];
  usedBefore = now;
  const spent = mem.f64[(thread + Thread.cpuSpent) >>> 3] + Math.max(0, used);
  mem.f64[(thread + Thread.cpuSpent) >>> 3] = spent;
  mem.f64[(thread + Thread.cpuBase) >>> 3] = 0;
  return spent;
}
