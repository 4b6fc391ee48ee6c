import { zeroMemory } from './bulkMemory.js';
import { checksLockOrder } from './lockOrder.js';
import { lockMutex, unlockMutex } from './mutex.js';
import { record, u32 } from './record.js';
import { HEAP_CLASSES, MACHINE, Machine } from './records/machine.js';
import type { SharedMemory } from './sharedMemory.js';

/**
 * The heap of kernel records: blocks of the machine's memory below the frames. Blocks are 16-byte aligned and zeroed.
 * Sizes up to 128 KiB come from size classes (two a power of two); larger ones are rounded up to 4 KiB and kept in a
 * first-fit list. Nothing of it is ever visible to a guest.
 */
const BlockHeader = record({
  /** Size class, or LARGE. */
  sizeClass: u32,
  /** Payload bytes (capacity). */
  capacity: u32,
  /** Free list link while free. */
  next: u32,
  /** ALLOCATED or FREE*: catches double frees. */
  mark: u32,
});
const HEADER = BlockHeader.SIZE;
const LARGE = 0xffff;
const ALLOCATED = 0xa110ca7e;
const FREE = 0xf4eef4ee;
/** FREE, and all of its payload is zero. */
const FREE_ZEROED = 0xf4eef4e0;

/** The kernel area is used up. */
export class OutOfKernelMemory extends Error {
  override name = 'OutOfKernelMemory';
}

/** Payload capacity of a size class: 16, 24→32, 48, 64, 96, 128, … */
function classCapacity(sizeClass: number): number {
  const base = 32 << (sizeClass >> 1);
  return sizeClass & 1 ? base + (base >> 1) : base;
}

/** From here on a block whose class would waste more than an eighth is rounded up to 4 KiB instead. */
const NEAT = 8192;

function classFor(size: number): number {
  if (size <= 32) return 0;
  // 2^power < size <= 2^(power + 1), and between them lies one class more.
  const power = 31 - Math.clz32(size - 1);
  const sizeClass = 2 * (power - 5) + (size <= 3 << (power - 1) ? 1 : 2);
  if (sizeClass >= HEAP_CLASSES - 8) return LARGE;
  return size > NEAT && classCapacity(sizeClass) > size * 1.125 ? LARGE : sizeClass;
}

/** Initialises the heap over [from, to). */
export function initHeap(mem: SharedMemory, from: number, to: number): void {
  mem.setU32(MACHINE + Machine.heapNext, Math.ceil(from / 16) * 16);
  mem.setU32(MACHINE + Machine.heapEnd, to);
  mem.setU32(MACHINE + Machine.heapBegin, from);
}

/**
 * Allocates a zeroed block of at least `size` bytes and returns its address (16-byte aligned).
 * `owner` is the caller's lock token. Throws OutOfKernelMemory.
 */
export function allocateBlock(mem: SharedMemory, size: number, owner: number): number {
  const sizeClass = classFor(size);
  lockMutex(mem, MACHINE + Machine.heapLock, owner);
  let block: number;
  let zeroed = false;
  let capacity: number;
  try {
    if (sizeClass !== LARGE) {
      capacity = classCapacity(sizeClass);
      const list = MACHINE + Machine.heapFree + sizeClass * 4;
      block = mem.getU32(list);
      if (block !== 0) mem.setU32(list, mem.getU32(block + BlockHeader.next));
    } else {
      capacity = Math.ceil((size + HEADER) / 4096) * 4096 - HEADER;
      block = takeLargeLocked(mem, capacity);
      if (block !== 0) capacity = mem.getU32(block + BlockHeader.capacity);
    }
    if (block === 0) {
      block = mem.getU32(MACHINE + Machine.heapNext);
      const next = block + HEADER + capacity;
      if (next > mem.getU32(MACHINE + Machine.heapEnd)) throw new OutOfKernelMemory('kernel area exhausted');
      mem.setU32(MACHINE + Machine.heapNext, next);
      zeroed = true;
    }
    zeroed ||= mem.getU32(block + BlockHeader.mark) === FREE_ZEROED;
    mem.setU32(block + BlockHeader.sizeClass, sizeClass);
    mem.setU32(block + BlockHeader.capacity, capacity);
    mem.setU32(block + BlockHeader.mark, ALLOCATED);
    mem.set64(MACHINE + Machine.heapUsed, mem.getU64(MACHINE + Machine.heapUsed) + capacity + HEADER);
  } finally {
    unlockMutex(mem, MACHINE + Machine.heapLock, owner);
  }
  if (!zeroed) zeroMemory(mem, block + HEADER, sizeClass === LARGE ? Math.ceil(size / 16) * 16 : capacity);
  return block + HEADER;
}

/** Frees a block of allocateBlock. A block freed twice is an error of ours and throws. */
export function freeBlock(mem: SharedMemory, address: number, owner: number): void {
  free(mem, address, owner, FREE);
}

/**
 * freeBlock for one of which the first `size` bytes, all that it was allocated for, are zero again: they need not be zeroed when
 * it is allocated next.
 */
export function freeZeroedBlock(mem: SharedMemory, address: number, size: number, owner: number): void {
  const rest = blockCapacity(mem, address) - size;
  if (checksLockOrder && !isZero(mem, address, size)) throw new Error('kernel block freed as zeroed is not');
  if (rest > 0) zeroMemory(mem, address + size, rest);
  free(mem, address, owner, FREE_ZEROED);
}

function isZero(mem: SharedMemory, address: number, size: number): boolean {
  for (let i = address >>> 2; i < (address + size) >>> 2; i++) if (mem.u32[i] !== 0) return false;
  return true;
}

function free(mem: SharedMemory, address: number, owner: number, mark: number): void {
  const block = address - HEADER;
  if (mem.getU32(block + BlockHeader.mark) !== ALLOCATED)
    throw new Error('kernel block freed twice or never allocated');
  lockMutex(mem, MACHINE + Machine.heapLock, owner);
  mem.setU32(block + BlockHeader.mark, mark);
  const sizeClass = mem.getU32(block + BlockHeader.sizeClass);
  const list =
    sizeClass === LARGE ? MACHINE + Machine.heapFreeLarge : MACHINE + Machine.heapFree + sizeClass * 4;
  mem.setU32(block + BlockHeader.next, mem.getU32(list));
  mem.setU32(list, block);
  const capacity = mem.getU32(block + BlockHeader.capacity);
  mem.set64(MACHINE + Machine.heapUsed, mem.getU64(MACHINE + Machine.heapUsed) - capacity - HEADER);
  unlockMutex(mem, MACHINE + Machine.heapLock, owner);
}

/**
 * Whether `bytes` more can be had with a sixteenth of the heap to spare: what makes new processes and threads asks first, so
 * that those that are there can go on.
 */
export function hasKernelMemory(mem: SharedMemory, bytes: number): boolean {
  const end = mem.getU32(MACHINE + Machine.heapEnd);
  const begin = mem.getU32(MACHINE + Machine.heapBegin);
  const spare = end - begin - mem.getU64(MACHINE + Machine.heapUsed);
  return spare - bytes > (end - begin) / 16;
}

/** Usable bytes of a block. */
export function blockCapacity(mem: SharedMemory, address: number): number {
  return mem.getU32(address - HEADER + BlockHeader.capacity);
}

function takeLargeLocked(mem: SharedMemory, capacity: number): number {
  let link = MACHINE + Machine.heapFreeLarge;
  for (let block = mem.getU32(link); block !== 0; block = mem.getU32(link)) {
    const has = mem.getU32(block + BlockHeader.capacity);
    if (has >= capacity && has <= capacity * 2) {
      mem.setU32(link, mem.getU32(block + BlockHeader.next));
      return block;
    }
    link = block + BlockHeader.next;
  }
  return 0;
}

/** What a block takes of the heap, as Machine.heapUsed counts it. */
export function blockFootprint(mem: SharedMemory, address: number): number {
  return blockCapacity(mem, address) + HEADER;
}
