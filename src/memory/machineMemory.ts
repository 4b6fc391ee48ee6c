import { initHeap } from '../sync/heap.js';
import { LOCK_RANK } from '../sync/lockOrder.js';
import { COORDINATOR, initMutex } from '../sync/mutex.js';
import { FrameDescriptor } from '../sync/records/frame.js';
import { MACHINE, Machine } from '../sync/records/machine.js';
import { createRequestRing } from '../sync/ring.js';
import { SharedMemory } from '../sync/sharedMemory.js';
import { initFrames } from './frames.js';
import { createObjectTable } from './sharedObject.js';

export const SMALLEST_MACHINE = 64 * 1024 * 1024;
export const LARGEST_MACHINE = 4 * 1024 * 1024 * 1024;

export interface MachineMemoryOptions {
  /** Bytes of memory, a multiple of 64 KiB between 64 MiB and 4 GiB; 4 GiB when absent. */
  readonly bytes?: number;
  /** Bytes of a host page: 4096 (when absent), 16384 or 65536. */
  readonly hostPageSize?: number;
}

/** Options that createMachineMemory cannot work with. */
export class MachineMemoryError extends RangeError {
  override name = 'MachineMemoryError';
}

/**
 * Creates and lays out a machine's memory: page 0 unused, the Machine record, one descriptor a frame, the heap of kernel
 * records (three sixteenths of a large memory, an eighth of others, of small machines three eighths, up to 48 MiB), and frames to the end. Untouched pages
 * cost the host nothing. The request ring and the table of shared objects exist afterwards.
 */
export function createMachineMemory(options: MachineMemoryOptions = {}): SharedMemory {
  const bytes = options.bytes ?? LARGEST_MACHINE;
  const hostPageSize = options.hostPageSize ?? 4096;
  if (
    !Number.isInteger(bytes) ||
    bytes % 65536 !== 0 ||
    bytes < SMALLEST_MACHINE ||
    bytes > LARGEST_MACHINE
  ) {
    throw new MachineMemoryError('memory size must be a multiple of 64 KiB between 64 MiB and 4 GiB');
  }
  if (hostPageSize !== 4096 && hostPageSize !== 16384 && hostPageSize !== 65536) {
    throw new MachineMemoryError('host page size must be 4096, 16384 or 65536');
  }
  const mem = SharedMemory.create(bytes);
  mem.set64(MACHINE + Machine.memoryBytes, bytes);
  mem.setU32(MACHINE + Machine.hostPageShift, Math.log2(hostPageSize));

  const descriptors = roundUp(MACHINE + Machine.SIZE, 4096);
  const mostFrames = Math.floor(bytes / hostPageSize);
  const heapFrom = roundUp(descriptors + mostFrames * FrameDescriptor.SIZE, 4096);
  const heapBytes = Math.max(
    bytes < 2 ** 31 ? bytes / 8 : (bytes * 3) / 16,
    Math.min(48 * 1024 * 1024, (bytes * 3) / 8),
  );
  const framesBase = roundUp(heapFrom + heapBytes, 65536);
  const frameCount = Math.floor((bytes - framesBase) / hostPageSize);

  initMutex(mem, MACHINE + Machine.heapLock, LOCK_RANK.heap);
  initMutex(mem, MACHINE + Machine.framesLock, LOCK_RANK.frames);
  initMutex(mem, MACHINE + Machine.filePagesLock, LOCK_RANK.filePages);
  initHeap(mem, heapFrom, framesBase);
  initFrames(mem, descriptors, framesBase, frameCount, COORDINATOR);
  createRequestRing(mem, COORDINATOR);
  createObjectTable(mem, COORDINATOR);
  return mem;
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
