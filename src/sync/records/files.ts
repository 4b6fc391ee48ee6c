import { Mutex } from '../mutex.js';
import { embedded, f64, i32, pointer, record, u32, u64 } from '../record.js';
import { WaitQueue } from '../waitQueue.js';
import { EventSource } from './events.js';

/** A descriptor table (Linux: files_struct), shared by the threads of a guest and by clones with CLONE_FILES. */
export const Files = record({
  /** Threads that use it. Atomic. */
  refs: i32,
  /** Guards everything below. A leaf but for the heap. */
  lock: embedded(Mutex),
  /** u32[capacity]: address of the OpenFile of each descriptor (the table holds a reference), or 0. */
  table: pointer,
  /** Bitmap of descriptors to close on exec. */
  closeOnExec: pointer,
  capacity: u32,
  /** No descriptor below it is free. */
  firstFree: u32,
});

/** Working directory, root and umask (Linux: fs_struct), shared by threads and by clones with CLONE_FS. */
export const Fs = record({
  /** Threads that use it. Atomic. */
  refs: i32,
  lock: embedded(Mutex),
  /** Guest path of the working directory: absolute, without symbolic links (Text); lock. */
  cwd: pointer,
  /** Canonical path of the root directory, seen from the mounts' own root (Text), or 0 for that root (chroot); lock. */
  root: pointer,
  umask: u32,
  /** The MountTable; constant. */
  mounts: pointer,
});

/** What of the host the guest sees; immutable, shared by all guests of one tree. */
export const MountTable = record({
  /** Atomic. */
  refs: i32,
  /** Unique in the machine, so that a worker can keep its parsed form; constant. */
  id: u32,
  /** JSON of MountOptions (Text); constant. */
  options: pointer,
});

/** State of kernel/files that belongs to the machine. */
export const FilesGlobal = record({
  /** Last unique number given out (mount tables, inode numbers of objects without a file). Atomic. */
  lastId: i32,
  /** Guards who watches what among epoll sets and open files: taken to add, remove and destroy, never to wait. */
  epollLock: embedded(Mutex),
  /** Guards `fileLocks` and `leases`. */
  locksLock: embedded(Mutex),
  /** First FileLock that is waited for by somebody (linked by FileLock.next); locksLock. */
  wantedLocks: pointer,
  /** First FileLock; locksLock. */
  fileLocks: pointer,
  /** First Lease; locksLock, read atomically. */
  leases: pointer,
  /** Guards `fifos`. */
  fifosLock: embedded(Mutex),
  /** First named FIFO in use (Fifo); fifosLock. */
  fifos: pointer,
  /** Threads that wait for a file lock, or for a lease to be given up. */
  lockWaiters: embedded(WaitQueue),
  /** Open signalfds; atomic. While there are none, nobody is told of signals. */
  signalFds: i32,
  reserved: u32,
  /** Guards `ttys` and the counts of their references. */
  ttysLock: embedded(Mutex),
  /** First terminal (Tty), the console and pseudo-terminals; ttysLock. */
  ttys: pointer,
  /** Guards what `givenOwners` leads to. */
  ownersLock: embedded(Mutex),
  /** Hash table of GivenOwner (kernel/files/hostOwners), or 0 while no file was given away; atomic, set once. */
  givenOwners: pointer,
  /** Told of every signal that is sent in the machine: who reads a signalfd looks for signals of his own. */
  signalSource: embedded(EventSource),
});

/** To whom guests have given a file that is the Node process's on the host; FilesGlobal.ownersLock. */
export const GivenOwner = record({
  next: pointer,
  uid: u32,
  gid: u32,
  /** Which file: device, inode, microseconds of its birth. */
  dev: u64,
  ino: u64,
  born: u64,
});

/** A lease on a file (F_SETLEASE); FilesGlobal.locksLock. */
export const Lease = record({
  next: pointer,
  /** The OpenFile that has it. */
  file: pointer,
  /** F_RDLCK 0 or F_WRLCK 1, and what it is to become (F_UNLCK 2: nothing) while somebody waits for that. */
  type: u32,
  target: u32,
  /** Identity of the file. */
  dev: u64,
  ino: u64,
  /** When that is done whether the holder does it or not (monotonic milliseconds); 0: nobody waits. */
  breaksAt: f64,
});

/** An advisory lock on a range of a file: fcntl (owner: the Files table), open file description or flock (owner: OpenFile). */
export const FileLock = record({
  next: pointer,
  owner: pointer,
  /** LOCK_POSIX, LOCK_OFD or LOCK_FLOCK. */
  kind: u32,
  /** F_RDLCK 0 or F_WRLCK 1. */
  type: u32,
  /** Process that took it, for F_GETLK. */
  pid: u32,
  /** Identity of the file. */
  dev: u64,
  ino: u64,
  /** First byte, and the one after the last (2^53: to the end). */
  start: u64,
  end: u64,
});
export const LOCK_POSIX = 0;
export const LOCK_OFD = 1;
export const LOCK_FLOCK = 2;
