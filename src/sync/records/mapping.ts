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
