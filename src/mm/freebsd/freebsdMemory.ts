/**
 * Constants of FreeBSD's memory calls (sys/mman.h, riscv's vmparam.h). PROT_READ, PROT_WRITE, PROT_EXEC, MAP_SHARED,
 * MAP_PRIVATE and MAP_FIXED have Linux's values: memory/linuxMemory.ts. The functions beside this file answer with Linux's
 * errno numbers as everything in mm/ does; the system-call layer of the flavour turns them into FreeBSD's.
 */

/** All protections, and PROT_MAX(prot): the most that mprotect may give later. */
export const PROT_ALL = 7;
export const PROT_MAX_SHIFT = 16;

/** Accepted and without effect since they never had one (MAP_RENAME, MAP_NORESERVE). */
export const MAP_RESERVED0020 = 0x0020;
export const MAP_RESERVED0040 = 0x0040;
export const MAP_HASSEMAPHORE = 0x0200;
export const MAP_STACK = 0x0400;
export const MAP_NOSYNC = 0x0800;
export const MAP_ANON = 0x1000;
export const MAP_GUARD = 0x2000;
export const MAP_EXCL = 0x4000;
export const MAP_NOCORE = 0x2_0000;
export const MAP_PREFAULT_READ = 0x4_0000;
export const MAP_32BIT = 0x8_0000;
/** MAP_ALIGNED(n): n << 24; 1 is MAP_ALIGNED_SUPER. */
export const MAP_ALIGNMENT_SHIFT = 24;
export const MAP_ALIGNMENT_MASK = 0xff << MAP_ALIGNMENT_SHIFT;
export const MAP_ALIGNED_SUPER = 1 << MAP_ALIGNMENT_SHIFT;

/** End of what MAP_32BIT may use. */
export const MAP_32BIT_MAX_ADDR = 2 ** 31;
/** Size of a superpage (L2_SIZE). */
export const SUPERPAGE_SIZE = 2 * 1024 * 1024;

export const INHERIT_SHARE = 0;
export const INHERIT_COPY = 1;
export const INHERIT_NONE = 2;
export const INHERIT_ZERO = 3;

/** MS_SYNC is 0. */
export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 5;
export const MADV_NOSYNC = 6;
export const MADV_AUTOSYNC = 7;
export const MADV_NOCORE = 8;
export const MADV_CORE = 9;
export const MADV_PROTECT = 10;

export const MINCORE_INCORE = 0x01;
export const MINCORE_REFERENCED = 0x02;
export const MINCORE_MODIFIED = 0x04;
export const MINCORE_REFERENCED_OTHER = 0x08;
export const MINCORE_MODIFIED_OTHER = 0x10;

export const MCL_CURRENT = 1;
export const MCL_FUTURE = 2;
