import { monotonicNow } from '../sync/park.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import type { SharedMemory } from '../sync/sharedMemory.js';

/** Every clock a guest can read goes through here, through cpuTime.ts, or through hotCalls/clockCode.ts. Times are milliseconds as fractional numbers. */
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
