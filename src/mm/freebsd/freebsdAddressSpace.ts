import { MIN_PAGE_SHIFT, MIN_PAGE_SIZE } from '../../memory/linuxMemory.js';
import { Mm } from '../../sync/records/mm.js';
import type { SharedMemory } from '../../sync/sharedMemory.js';
import { PLACE_FREEBSD, PLACE_TOP_DOWN } from '../findVma.js';

/**
 * kern.maxdsiz, the hard RLIMIT_DATA of a program: mappings begin this far above its data. FreeBSD's default on riscv64 is
 * 1 GiB; it is less here so that a small program needs small page tables (there is no sbrk on riscv64 to use the room).
 */
export const MAX_DATA_SIZE = 128 * 1024 * 1024;

/**
 * Makes an address space that is empty one of FreeBSD's: only page 0 cannot be mapped (security.bsd.map_at_zero=0), and
 * mappings are placed by FreeBSD's rule unless the user has asked for another.
 */
export function useFreebsdMap(mem: SharedMemory, mm: number): void {
  mem.setU32(mm + Mm.mmapMinAddr, 1 << (mem.getU32(mm + Mm.targetPageShift) - MIN_PAGE_SHIFT));
  mem.set64(mm + Mm.limitDataMax, MAX_DATA_SIZE);
  if (mem.getU32(mm + Mm.placement) === PLACE_TOP_DOWN) mem.setU32(mm + Mm.placement, PLACE_FREEBSD);
  // What is mapped before the program's data are known: the dynamic linker.
  if (mem.getU32(mm + Mm.unmappedBase) === 0) mem.setU32(mm + Mm.unmappedBase, MAX_DATA_SIZE / MIN_PAGE_SIZE);
}
