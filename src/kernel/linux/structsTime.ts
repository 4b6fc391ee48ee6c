import { copyOut, readI64 } from '../../memory/userAccess.js';
import { EINVAL, SyscallError } from '../errno.js';
import { readInput } from '../keptInputs.js';
import type { ThreadContext } from '../threadContext.js';

/** struct timespec, timeval, itimerspec and itimerval: 64-bit seconds, then nano- or microseconds. */
export const TIMESPEC_SIZE = 16;
/** struct itimerspec / itimerval: interval, then value. */
export const ItimerSpec = { interval: 0, value: 16, SIZE: 32 } as const;

/** Reads a struct timespec as milliseconds. Throws SyscallError EINVAL for an invalid one, and UserFault. */
export function readTimespec(t: ThreadContext, va: number): number {
  readInput(t, va, pair);
  const seconds = Number(pairView.getBigInt64(0, true));
  const nanoseconds = Number(pairView.getBigInt64(8, true));
  if (seconds < 0 || nanoseconds < 0 || nanoseconds > 999_999_999) throw new SyscallError(EINVAL);
  return seconds * 1000 + nanoseconds / 1e6;
}

/** Reads a struct timeval as milliseconds. Throws SyscallError EINVAL for an invalid one, and UserFault. */
export function readTimeval(t: ThreadContext, va: number): number {
  const seconds = readI64(t, va);
  const microseconds = readI64(t, va + 8);
  if (seconds < 0 || microseconds < 0 || microseconds > 999_999) throw new SyscallError(EINVAL);
  return seconds * 1000 + microseconds / 1e3;
}

const pair = new Uint8Array(TIMESPEC_SIZE);
const pairView = new DataView(pair.buffer);

/** Writes two 64-bit integers, not negative, with one copy. */
function writePair(t: ThreadContext, va: number, first: number, second: number): void {
  pairView.setUint32(0, first >>> 0, true);
  pairView.setUint32(4, Math.floor(first / 0x1_0000_0000), true);
  pairView.setUint32(8, second, true);
  copyOut(t, va, pair);
}

/** Writes milliseconds as a struct timespec. */
export function writeTimespec(t: ThreadContext, va: number, milliseconds: number): void {
  const seconds = Math.floor(milliseconds / 1000);
  // A rounding up to the next second would show nanoseconds as 1e9.
  writePair(t, va, seconds, Math.min(999_999_999, Math.floor((milliseconds - seconds * 1000) * 1e6)));
}

/** Writes milliseconds as a struct timeval. */
export function writeTimeval(t: ThreadContext, va: number, milliseconds: number): void {
  const seconds = Math.floor(milliseconds / 1000);
  writePair(t, va, seconds, Math.min(999_999, Math.floor((milliseconds - seconds * 1000) * 1e3)));
}

/** struct rusage: two timevals, then fourteen longs. */
const RUSAGE_SIZE = 144;
const RUSAGE_MAXRSS = 32;
const RUSAGE_MINFLT = 64;

/** struct rusage with CPU time in milliseconds (all of it as user time), page faults and the most resident KiB. */
export function rusageBytes(cpu: number, faults: number, residentKilobytes: number): Uint8Array {
  const bytes = new Uint8Array(RUSAGE_SIZE);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, BigInt(Math.floor(cpu / 1000)), true);
  view.setBigInt64(8, BigInt(Math.floor((cpu % 1000) * 1000)), true);
  view.setBigInt64(RUSAGE_MAXRSS, BigInt(residentKilobytes), true);
  view.setBigInt64(RUSAGE_MINFLT, BigInt(faults), true);
  return bytes;
}
