import type { Caller } from '../memory/caller.js';
import {
  EINVAL,
  ENOMEM,
  MAP_FIXED,
  MAP_SHARED,
  MIN_PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../memory/linuxMemory.js';
import { isMapped } from '../memory/mappings.js';
import { firstEndingAfter } from '../memory/mappingTree.js';
import { OutOfKernelMemory } from '../sync/heap.js';
import { Mapping } from '../sync/records/mapping.js';
import { Mm } from '../sync/records/mm.js';
import { SharedObject } from '../sync/records/sharedObject.js';
import { mmapLock, mmapUnlock } from './mmapLock.js';
import { isUnaligned, pageAlign, targetPageSize } from './pageRange.js';
import { type MappedFile, targetMmap } from './targetMmap.js';
import { munmapLocked } from './targetMunmap.js';

/** The parts of shmat(2) and shmdt(2) that concern the map (QEMU: target_shmat, target_shmdt). */
export const SHM_RDONLY = 0o10000;
export const SHM_RND = 0o20000;
export const SHM_REMAP = 0o40000;
export const SHM_EXEC = 0o100000;

/** Where shmat attaches: the page's address, 0 for anywhere, or −EINVAL. SHMLBA is a page on riscv. */
export function shmatAddress(c: Caller, address: number, flags: number): number {
  if (address === 0) return flags & SHM_REMAP ? -EINVAL : 0;
  if (!isUnaligned(c, address)) return address;
  if (!(flags & SHM_RND)) return -EINVAL;
  const page = targetPageSize(c);
  const rounded = Math.floor(address / page) * page;
  return rounded === 0 && flags & SHM_REMAP ? -EINVAL : rounded;
}

/**
 * Attaches a segment of `size` bytes at `address` (whole pages; 0: anywhere): its address or −errno. Without SHM_REMAP
 * an address where something is mapped is EINVAL. KERNEL mode.
 */
export function targetShmat(c: Caller, object: number, size: number, address: number, flags: number): number {
  const { mem, mm } = c;
  const readOnly = (flags & SHM_RDONLY) !== 0;
  const prot = PROT_READ | (readOnly ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
  const mapped: MappedFile = { file: 0, object, readable: true, writable: !readOnly };
  mmapLock(c);
  try {
    if (address !== 0 && !(flags & SHM_REMAP)) {
      if (address < 0 && address + size >= 0) return -EINVAL; // beyond 2^64
      const from = address / MIN_PAGE_SIZE;
      const end = address + pageAlign(c, size);
      if (address > 0 && end <= mem.getU64(mm + Mm.taskSize) && isMapped(mem, mm, from, end / MIN_PAGE_SIZE))
        return -EINVAL;
    }
    return targetMmap(c, address, size, prot, MAP_SHARED | (address !== 0 ? MAP_FIXED : 0), mapped, 0);
  } finally {
    mmapUnlock(c);
  }
}

/**
 * Detaches what is left of the segment attached at `address`, and calls `detached` with its ShmSegment (mmapLock is
 * held then). 0, or −EINVAL when none is attached there. KERNEL mode.
 */
export function targetShmdt(c: Caller, address: number, detached: (object: number) => void): number {
  const { mem, mm } = c;
  if (isUnaligned(c, address) || address < 0 || address >= mem.getU64(mm + Mm.taskSize)) return -EINVAL;
  const first = address / MIN_PAGE_SIZE;
  let object = 0;
  let end = Infinity;
  mmapLock(c);
  try {
    let mapping = firstEndingAfter(mem, mm, first);
    while (mapping !== 0 && mem.getU32(mapping + Mapping.start) < end) {
      const next = mem.getU32(mapping + Mapping.next);
      const start = mem.getU32(mapping + Mapping.start);
      const shown = mem.getU32(mapping + Mapping.object);
      const offset = mem.getU32(mapping + Mapping.offset);
      const segment = shown === 0 ? 0 : mem.getU32(shown + SharedObject.segment);
      if (segment !== 0 && start - first === offset && (object === 0 || shown === object)) {
        if (object === 0) {
          object = shown;
          end = first + pageAlign(c, mem.getU64(shown + SharedObject.size)) / MIN_PAGE_SIZE;
          detached(segment);
        }
        munmapLocked(c, start, mem.getU32(mapping + Mapping.end));
      }
      mapping = next;
    }
    return object === 0 ? -EINVAL : 0;
  } catch (error) {
    if (error instanceof OutOfKernelMemory) return -ENOMEM;
    throw error;
  } finally {
    mmapUnlock(c);
  }
}
