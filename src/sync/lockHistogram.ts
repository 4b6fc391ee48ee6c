import { allocateBlock } from './heap.js';
import { array, record, u32 } from './record.js';
import { MACHINE, Machine } from './records/machine.js';
import type { SharedMemory } from './sharedMemory.js';

/** Buckets of a histogram: number n counts what took less than 2^n ns, and at least half of that. */
export const LOCK_BUCKETS = 32;

/** How long the mmap mutexes of a machine were waited for, and held. Counts are atomic. */
export const LockHistogram = record({
  waits: array(u32, LOCK_BUCKETS),
  holds: array(u32, LOCK_BUCKETS),
});

/** What was measured, bucket by bucket. */
export interface LockTimes {
  readonly waits: readonly number[];
  readonly holds: readonly number[];
}

/** Has the machine's mmap mutexes measured from now on; it costs some 0.2 µs each time. For a machine without guests. */
export function measureLocks(mem: SharedMemory, owner: number): void {
  mem.setU32(MACHINE + Machine.lockHistogram, allocateBlock(mem, LockHistogram.SIZE, owner));
}

/** What has been measured so far; undefined where nothing is. */
export function lockTimes(mem: SharedMemory): LockTimes | undefined {
  const histogram = mem.getU32(MACHINE + Machine.lockHistogram);
  if (histogram === 0) return undefined;
  const counts = (field: number): number[] =>
    Array.from({ length: LOCK_BUCKETS }, (_, bucket) => mem.getU32(histogram + field + bucket * 4));
  return { waits: counts(LockHistogram.waits), holds: counts(LockHistogram.holds) };
}
