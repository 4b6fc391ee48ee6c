import { Mutex } from '../mutex.js';
import { embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';

/**
 * Pages that any number of guests share: the page cache of one host file, or anonymous shared memory (MAP_SHARED
 * without a file, memfd, System V segments). Host pages are numbered from the object's start.
 */
export const SharedObject = record({
  /** HostFiles, mappings and open memfds that refer to the object. Atomic. */
  refs: i32,
  /** OBJECT_FILE or OBJECT_MEMORY; constant. */
  kind: u32,
  /** Guards pages, size and dirtiness; taken under page-table locks, so nothing blocks under it but host file I/O. */
  lock: embedded(Mutex),
  /** Identity: host device and inode, or device 1 and a running number; constant. */
  dev: u64,
  ino: u64,
  /** Bytes, as far as known; lock. */
  size: u64,
  /** Directory of page tables: u32[directoryLength] of u32[512] of frame index + 1; lock. */
  directory: pointer,
  directoryLength: u32,
  /** Pages in memory; written under lock, read atomically (0: nothing cached). */
  pageCount: i32,
  /** First mapping (Mapping.nextOfObject), shared writable mappings; Machine.filePagesLock. */
  mappings: pointer,
  writableMappings: i32,
  /** HostFile used for reading and writing back: the list of all of them; Machine.filePagesLock. */
  files: pointer,
  /** Next object in its hash bucket; Machine.filePagesLock. */
  nextInTable: pointer,
  /** Heap text shown in /proc/PID/maps for OBJECT_MEMORY. */
  name: pointer,
  nameLength: u32,
  /** memfd seals (F_SEAL_*); lock. */
  seals: u32,
  /** The System V segment it is (ShmSegment), whose `object` becomes 0 with the last reference; constant. */
  segment: pointer,
  /** When the file was changed last, as of the last look (memory/keptFiles.ts); lock. */
  stamp: f64,
  /** Permission bits of a memory file; lock. */
  mode: u32,
  /** Host files open for writing, or (negative) processes that execute it: memory/writeClaims.ts. Atomic. */
  writeClaims: i32,
});

export const OBJECT_FILE = 1;
export const OBJECT_MEMORY = 2;

/** Seals of a memory file (fcntl(2)). */
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;
export const F_SEAL_FUTURE_WRITE = 16;
export const F_SEAL_EXEC = 32;
