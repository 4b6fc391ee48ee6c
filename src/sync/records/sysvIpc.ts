import { Mutex } from '../mutex.js';
import { embedded, i32, pointer, record, u32, u64 } from '../record.js';
import { WaitQueue } from '../waitQueue.js';

/** The ids of one kind of System V object: semaphore sets, message queues or segments (Linux: ipc_ids). Made by whoever needs it first. */
export const IpcTable = record({
  /** Guards everything here and in the objects, but for what is said there. The heap and Machine.filePagesLock may follow it. */
  lock: embedded(Mutex),
  /** Objects, and u32[capacity] with the address of each or 0. */
  count: u32,
  capacity: u32,
  places: pointer,
  /** Where the last id was given out, and how often ids have started from the first place again. */
  last: i32,
  sequence: u32,
});

/** How each object begins (Linux: kern_ipc_perm). */
export const IpcPermission = record({
  id: u32,
  /** 0 (IPC_PRIVATE) for one without a key, and for a segment that has been removed. */
  key: i32,
  /** Permissions, for a segment also SHM_DEST and SHM_LOCKED. */
  mode: u32,
  uid: u32,
  gid: u32,
  cuid: u32,
  cgid: u32,
  /** 1 once it has been removed: it is only there for those who still wait. */
  removed: u32,
  /** Threads in a wait. */
  waiting: u32,
  /** Seconds since 1970. */
  ctime: u64,
  /** Who waits for it to change. */
  waiters: embedded(WaitQueue),
});

/** A set of semaphores. IpcTable.lock for all fields. */
export const SemaphoreSet = record({
  permission: embedded(IpcPermission),
  otime: u64,
  count: u32,
  /** Semaphore[count]. */
  semaphores: pointer,
  /** First SemaphoreUndo. */
  undos: pointer,
});

export const Semaphore = record({
  value: i32,
  /** Process that changed it last. */
  pid: u32,
  /** Threads that wait for it to grow, and to become 0. */
  growing: u32,
  zero: u32,
});

/** Threads that undo together: kernel/semaphoreUndos.ts. */
export const SemaphoreUndoList = record({
  /** Guests and threads that have it. Atomic. */
  refs: i32,
  /** 1 when a set of semaphores may hold a SemaphoreUndo of the list. Atomic. */
  used: i32,
});

/** What is to be added to the semaphores of a set when the last thread of a list ends (SEM_UNDO). */
export const SemaphoreUndo = record({
  /** SemaphoreUndoList. */
  list: pointer,
  next: pointer,
  /** i32[count of the set]. */
  adjustments: pointer,
});

/** A message queue. IpcTable.lock for all fields. */
export const MessageQueue = record({
  permission: embedded(IpcPermission),
  stime: u64,
  rtime: u64,
  bytes: u32,
  messages: u32,
  mostBytes: u32,
  lastSender: u32,
  lastReceiver: u32,
  /** First and last Message. */
  first: pointer,
  last: pointer,
});

/** A message of a System V or POSIX queue; its bytes follow. */
export const Message = record({
  next: pointer,
  size: u32,
  /** Type of msgsnd(2), or priority. */
  type: u64,
});

/** A segment of shared memory (Linux: shmid_kernel). IpcTable.lock for all fields but `object`. */
export const ShmSegment = record({
  permission: embedded(IpcPermission),
  /**
   * The SharedObject; 0 once its last reference has gone (SharedObject.segment). The table holds a reference until the
   * segment is removed, then only the mappings do. Machine.filePagesLock.
   */
  object: pointer,
  creator: u32,
  /** Process that attached or detached it last. */
  lastUser: u32,
  /** Bytes as asked for; constant. */
  size: u64,
  /** Seconds since 1970. */
  atime: u64,
  dtime: u64,
});
