import type { BigIntStats } from 'node:fs';
import { OpenFile } from '../../sync/records/openFile.js';
import type { ThreadContext } from '../threadContext.js';
import { ownersOf } from './hostOwners.js';

/** What stat(2) tells, independent of its structs. Times in nanoseconds since 1970. */
export interface FileStatus {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: bigint;
  readonly size: number;
  readonly blockSize: number;
  readonly blocks: bigint;
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
  readonly born: bigint;
}

/** File types within st_mode. */
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

/** Device numbers of what Guesthouse itself makes: procfs, devfs, devpts, pipes, anonymous inodes. */
export const DEV_PROC = 0x15n;
export const DEV_DEV = 0x5n;
export const DEV_ROOT = 0x16n;
export const DEV_PTS = 0x17n;
export const DEV_NS = 0x4n;
export const DEV_PIPE = 0xdn;
export const DEV_ANONYMOUS = 0xen;
export const DEV_MEMORY = 0x1n;

/** The host's status of a file. */
export function statusOfHost(t: ThreadContext, stats: BigIntStats): FileStatus {
  return {
    dev: stats.dev,
    ino: stats.ino,
    mode: Number(stats.mode),
    nlink: Number(stats.nlink),
    ...ownersOf(t, stats),
    rdev: stats.rdev,
    size: Number(stats.size),
    blockSize: Number(stats.blksize),
    blocks: stats.blocks,
    accessed: stats.atimeNs,
    modified: stats.mtimeNs,
    changed: stats.ctimeNs,
    born: stats.birthtimeNs,
  };
}

/** When this worker was loaded: the time that files without one of their own show. */
const startTime = BigInt(Date.now()) * 1_000_000n;

/** A status of something made by Guesthouse: owned by `uid`, `gid`, empty unless said. */
export function madeStatus(
  fields: Partial<FileStatus> & { dev: bigint; ino: bigint; mode: number },
): FileStatus {
  return {
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0n,
    size: 0,
    blockSize: 4096,
    blocks: 0n,
    accessed: startTime,
    modified: startTime,
    changed: startTime,
    born: 0n,
    ...fields,
  };
}

/** The status of an open file that has no place in any directory: eventfd, timerfd, epoll (Linux's anon_inode). */
export function anonymousStatus(t: ThreadContext, file: number): FileStatus {
  return madeStatus({ dev: DEV_ANONYMOUS, ino: BigInt(t.mem.getU32(file + OpenFile.id)), mode: 0o600 });
}
