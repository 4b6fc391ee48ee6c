import type { LockTimes } from '../sync/lockHistogram.js';
import { COORDINATOR, Mutex, withMutex } from '../sync/mutex.js';
import { monotonicNow } from '../sync/park.js';
import { Guest } from '../sync/records/guest.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { Mm } from '../sync/records/mm.js';
import { Thread } from '../sync/records/thread.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { type Activity, formatActivity } from './activity.js';
import type { MachineMemory } from './memoryUse.js';

/** What a guest has used. */
export interface GuestStatistics {
  readonly pid: number;
  /** Threads ever started, and alive at once at most. */
  readonly threads: number;
  readonly threadsPeak: number;
  readonly instructions: number;
  readonly systemCalls: number;
  /** Page faults handled. */
  readonly faults: number;
  /** How often a thread had to wait for a lock of the guest's kernel state. */
  readonly lockWaits: number;
  /** Guest memory resident at most, bytes. */
  readonly residentPeak: number;
  /** Time since the guest's start, milliseconds. */
  readonly elapsed: number;
}

/** The statistics of a guest that cannot be asked. */
export const NOTHING_USED: GuestStatistics = {
  pid: 0,
  threads: 0,
  threadsPeak: 0,
  instructions: 0,
  systemCalls: 0,
  faults: 0,
  lockWaits: 0,
  residentPeak: 0,
  elapsed: 0,
};

/** Sums up a guest: its ended threads and those still running. Called on the main thread. */
export function guestStatistics(mem: SharedMemory, guest: number): GuestStatistics {
  return withMutex(mem, guest + Guest.threadsLock, COORDINATOR, () => {
    let instructions = mem.getU64(guest + Guest.instret);
    let systemCalls = mem.getU64(guest + Guest.syscallCount);
    let faults = mem.getU64(guest + Guest.faultCount);
    let lockWaits = mem.getU64(guest + Guest.lockWaits);
    let residentPeak = mem.getU64(guest + Guest.residentPeak);
    const seen = new Set<number>();
    for (let t = mem.getU32(guest + Guest.threads); t !== 0; t = mem.getU32(t + Thread.nextInGuest)) {
      instructions += mem.getU64(t + Thread.instret);
      systemCalls += mem.getU32(t + Thread.syscallCount);
      faults += mem.getU32(t + Thread.faultCount);
      const mm = mem.getU32(t + Thread.mm);
      if (mm === 0 || seen.has(mm)) continue;
      seen.add(mm);
      lockWaits += mmLockWaits(mem, mm);
      residentPeak = Math.max(residentPeak, mmResidentPeak(mem, mm));
    }
    return {
      pid: mem.getU32(guest + Guest.pid),
      threads: mem.getI32(guest + Guest.threadsStarted),
      threadsPeak: mem.getI32(guest + Guest.threadsPeak),
      instructions,
      systemCalls,
      faults,
      lockWaits,
      residentPeak,
      elapsed: Math.max(0, monotonicNow() - mem.getU64(guest + Guest.startTime) / 1000),
    };
  });
}

/** How often somebody had to wait for a lock of the address space. */
export function mmLockWaits(mem: SharedMemory, mm: number): number {
  let waits = 0;
  for (const lock of [Mm.mmapLock, Mm.stopLock, Mm.threadsLock]) waits += mem.getU32(mm + lock + Mutex.waits);
  return waits;
}

/** The most memory the address space has had resident, bytes. */
export function mmResidentPeak(mem: SharedMemory, mm: number): number {
  const pages = Math.max(mem.getI32(mm + Mm.residentPeak), mem.getI32(mm + Mm.residentPages));
  return pages * 2 ** mem.getU32(MACHINE + Machine.hostPageShift);
}

/** Bytes for people: "12.3 MiB". */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** The table that `--stats` prints. */
export function formatStatistics(
  guest: GuestStatistics,
  memory: MachineMemory,
  activity?: Activity,
  locks?: LockTimes,
): string {
  const seconds = guest.elapsed / 1000;
  const mips = seconds > 0 ? guest.instructions / 1e6 / seconds : 0;
  const rows: [string, string][] = [
    ['threads started', `${guest.threads} (at most ${guest.threadsPeak} at once)`],
    ['instructions', `${guest.instructions.toLocaleString('en')} (${mips.toFixed(0)} million a second)`],
    ['system calls', guest.systemCalls.toLocaleString('en')],
    ['page faults', guest.faults.toLocaleString('en')],
    ['lock waits', guest.lockWaits.toLocaleString('en')],
    ['guest memory', `${formatBytes(guest.residentPeak)} at most`],
    ['kernel memory', formatBytes(memory.kernel)],
    [
      'translated',
      `${memory.regions} regions in ${memory.modules} modules (${memory.evicted > 0 ? `${memory.evicted} regions evicted, ` : ''}${formatBytes(memory.moduleBytes)}), ${memory.translating.toFixed(0)} ms`,
    ],
    ...(activity === undefined ? [] : formatActivity(activity)),
    ['time', `${seconds.toFixed(3)} s`],
  ];
  if (locks !== undefined)
    rows.push(
      ['mmap mutex waited for', formatTimes(locks.waits)],
      ['mmap mutex held', formatTimes(locks.holds)],
    );
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `guesthouse: ${name.padEnd(width)}  ${value}\n`).join('');
}

/** A histogram of powers of two in nanoseconds: "<64 ns 1,203, <128 ns 17". */
function formatTimes(counts: readonly number[]): string {
  const parts = counts.flatMap((count, bits) =>
    count === 0 ? [] : [`<${formatNanoseconds(2 ** bits)} ${count.toLocaleString('en')}`],
  );
  return parts.length === 0 ? 'never' : parts.join(', ');
}

function formatNanoseconds(nanoseconds: number): string {
  if (nanoseconds < 1000) return `${nanoseconds} ns`;
  if (nanoseconds < 1e6) return `${Math.round(nanoseconds / 1e3)} µs`;
  return `${Math.round(nanoseconds / 1e6)} ms`;
}
