import { Mutex } from '../mutex.js';
import { array, embedded, i32, pointer, record, u32, u64 } from '../record.js';

/** Segments a machine may have (SHMMNI). */
export const SHM_SEGMENTS = 4096;

/** All System V segments of the machine (Linux: an ipc namespace's ids). Made by whoever needs it first. */
export const ShmTable = record({
  /** Guards everything here and in the segments, but for what is said there. Machine.filePagesLock may follow it. */
  lock: embedded(Mutex),
  count: u32,
  /** Where the last id was given out, and how often ids have started from the first place again. */
  last: i32,
  sequence: u32,
  segments: array(pointer, SHM_SEGMENTS),
});

/** One segment (Linux: shmid_kernel). */
export const ShmSegment = record({
  /**
   * The SharedObject; 0 once its last reference has gone (SharedObject.segment). The table holds a reference until the
   * segment is removed, then only the mappings do. Machine.filePagesLock.
   */
  object: pointer,
  id: u32,
  /** 0 (IPC_PRIVATE) once the segment has been removed. */
  key: i32,
  /** Permissions, SHM_DEST and SHM_LOCKED. */
  mode: u32,
  uid: u32,
  gid: u32,
  cuid: u32,
  cgid: u32,
  cpid: u32,
  lpid: u32,
  /** Bytes as asked for; constant. */
  size: u64,
  /** Seconds since 1970. */
  atime: u64,
  dtime: u64,
  ctime: u64,
});
