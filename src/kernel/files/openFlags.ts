import { constants } from 'node:fs';

/** Flags of open(2) as riscv64 guests give them (include/uapi/asm-generic/fcntl.h). */
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
export const O_ASYNC = 0o20000;
export const O_DIRECT = 0o40000;
export const O_LARGEFILE = 0o100000;
export const O_DIRECTORY = 0o200000;
export const O_NOFOLLOW = 0o400000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
export const O_SYNC = 0o4010000;
export const O_PATH = 0o10000000;
const TMPFILE_BIT = 0o20000000;
export const O_TMPFILE = TMPFILE_BIT | O_DIRECTORY;

/** All flags there are; openat2 refuses others. */
export const VALID_OPEN_FLAGS = 0o37777777 & ~0o20;

/** Flags that F_SETFL may change. */
export const SETTABLE_FLAGS = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;

/**
 * The host's flags for opening a regular file. O_APPEND goes to the host too, which alone can find the end and write there
 * in one step; O_NONBLOCK and O_DIRECT mean nothing there. O_NOFOLLOW is the sandbox's to add.
 */
export function hostOpenFlags(flags: number): number {
  let host = flags & O_ACCMODE;
  if (flags & O_CREAT) host |= constants.O_CREAT;
  if (flags & O_EXCL) host |= constants.O_EXCL;
  if (flags & O_TRUNC) host |= constants.O_TRUNC;
  if (flags & O_APPEND) host |= constants.O_APPEND;
  if (flags & O_DSYNC) host |= constants.O_DSYNC ?? 0;
  if ((flags & O_SYNC) === O_SYNC) host |= constants.O_SYNC ?? 0;
  return host;
}
