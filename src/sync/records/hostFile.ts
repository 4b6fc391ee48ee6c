import { i32, pointer, record, u32, u64 } from '../record.js';

/** An open regular file of the host. Shared by the open files and mappings of any guests; closed with the last. */
export const HostFile = record({
  /** Open files and mappings that refer to it. Atomic. */
  refs: i32,
  /** The Node process's file descriptor; constant. */
  hostFd: i32,
  /** 1 when the descriptor can write; constant. */
  writable: u32,
  /** Page cache of the inode, one for all HostFiles of it (a reference is held); constant. */
  object: pointer,
  dev: u64,
  ino: u64,
  /** Guest path for /proc/PID/maps: heap text; constant after hostFile.nameHostFile. */
  path: pointer,
  pathLength: u32,
  /** Next HostFile of the same object; Machine.filePagesLock. */
  nextOfObject: pointer,
  /** 1 when it is counted in SharedObject.writeClaims; constant once it is in use. */
  claimsWrite: u32,
});
