import {
  O_ACCMODE,
  O_APPEND,
  O_ASYNC,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_DSYNC,
  O_EXCL,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_SYNC,
  O_TRUNC,
} from '../files/openFlags.js';
import { translateFlags } from './linuxCall.js';

/** Flags of open(2) on FreeBSD (sys/fcntl.h), and Linux's. */
export const FREEBSD_O_CLOEXEC = 0x10_0000;
const TABLE: readonly (readonly [number, number])[] = [
  [0x4, O_NONBLOCK],
  [0x8, O_APPEND],
  [0x40, O_ASYNC],
  [0x80, O_SYNC],
  [0x100, O_NOFOLLOW],
  [0x200, O_CREAT],
  [0x400, O_TRUNC],
  [0x800, O_EXCL],
  [0x8000, O_NOCTTY],
  [0x1_0000, O_DIRECT],
  [0x2_0000, O_DIRECTORY],
  [0x4_0000, 0], // O_EXEC, O_SEARCH
  [0x8_0000, 0], // O_TTY_INIT
  [FREEBSD_O_CLOEXEC, O_CLOEXEC],
  [0x20_0000, 0], // O_VERIFY
  [0x40_0000, O_PATH],
  [0x100_0000, O_DSYNC],
];

/** Linux's flags of FreeBSD's; undefined when there are some that are not built. */
export function linuxOpenFlags(flags: number): number | undefined {
  const others = translateFlags(flags & ~O_ACCMODE, TABLE);
  return others === undefined ? undefined : others | (flags & O_ACCMODE);
}

/** The flags that F_GETFL shows. */
export function freebsdStatusFlags(linux: number): number {
  let flags = linux & O_ACCMODE;
  for (const [freebsd, bits] of TABLE) if (bits !== 0 && (linux & bits) === bits) flags |= freebsd;
  return flags;
}
