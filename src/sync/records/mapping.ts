import { pointer, record, u32 } from '../record.js';

/**
 * One mapping (Linux: vm_area_struct): a run of guest pages with one backing and one protection. Written under the
 * address space's mmapLock while Mm.mappingsSequence is odd; read without it by faults, which check the sequence.
 * A retired record goes to its Mm's list and is only ever a Mapping again, so a late reader never sees something else.
 */
export const Mapping = record({
  /** First guest page and the one past the last (units of 4 KiB, whole target pages). */
  start: u32,
  end: u32,
  /** PROT_* */
  prot: u32,
  /** MAPPING_* bits. */
  flags: u32,
  /** HostFile that is mapped (a reference is held), or 0. */
  file: pointer,
  /** SharedObject with the pages (a reference is held), or 0 for anonymous private memory. */
  object: pointer,
  /** Where `start` lies in the object, units of 4 KiB. */
  offset: u32,

  // --- the tree: memory/mappingTree.ts ---
  left: pointer,
  right: pointer,
  parent: pointer,
  /** Neighbours in address order; 0 at the ends. */
  next: pointer,
  previous: pointer,
  /** Heap order of the treap. */
  priority: u32,
  /** First page, end, and largest gap between mappings in the subtree. */
  subtreeStart: u32,
  subtreeEnd: u32,
  subtreeGap: u32,

  // --- mappings of one object: memory/sharedObject.ts; Machine.filePagesLock ---
  mm: pointer,
  nextOfObject: pointer,
  previousOfObject: pointer,
});

/** MAP_SHARED: writes go to the object. */
export const MAPPING_SHARED = 1;
export const MAPPING_GROWSDOWN = 2;
export const MAPPING_NORESERVE = 4;
/** mlock: counted in Mm.lockedPages. */
export const MAPPING_LOCKED = 8;
/** Protections that mprotect may ever give (VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC): PROT_* << 4. */
export const MAPPING_MAY_SHIFT = 4;
export const MAPPING_MAY_READ = 1 << 4;
export const MAPPING_MAY_WRITE = 2 << 4;
export const MAPPING_MAY_EXEC = 4 << 4;
/** madvise DONTFORK, WIPEONFORK, DONTDUMP. */
export const MAPPING_DONTFORK = 128;
export const MAPPING_WIPEONFORK = 256;
export const MAPPING_DONTDUMP = 512;
/** mlock2(MLOCK_ONFAULT), MCL_ONFAULT. */
export const MAPPING_LOCK_ON_FAULT = 1024;
export const MAPPING_MAY_ALL = 7 << 4;

// --- FreeBSD ---
/** MAP_GUARD: reserved, without access, not counted, and mprotect passes over it. */
export const MAPPING_GUARD = 1 << 16;
/** With MAPPING_GUARD: what the MAP_STACK mapping above may grow into (memory/growStack.ts). */
export const MAPPING_STACK_GAP = 1 << 17;
/** minherit(INHERIT_SHARE) of private memory, minherit(INHERIT_COPY) of shared memory: what fork is to make of it. */
export const MAPPING_INHERIT_SHARE = 1 << 18;
export const MAPPING_INHERIT_COPY = 1 << 19;
/** MAP_NOSYNC. */
export const MAPPING_NOSYNC = 1 << 20;
/** With MAPPING_STACK_GAP: the PROT_* that the stack gets where it grows, in three bits from here. */
export const MAPPING_GAP_PROT_SHIFT = 24;
/** MAP_DROPPABLE: cannot be locked, and cannot be kept at fork. */
export const MAPPING_DROPPABLE = 2048;
/** madvise SEQUENTIAL and RANDOM: shown in smaps. */
export const MAPPING_SEQUENTIAL = 4096;
export const MAPPING_RANDOM = 8192;
