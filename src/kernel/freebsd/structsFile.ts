import type { FileStatus } from '../files/fileStatus.js';
import type { FileSystemStatus } from '../linux/structsFile.js';

/** File structs of FreeBSD 14 on RISC-V 64 (sys/stat.h, sys/mount.h, sys/dirent.h). */
const BILLION = 1_000_000_000n;

function putTime(view: DataView, at: number, nanoseconds: bigint): void {
  const rest = ((nanoseconds % BILLION) + BILLION) % BILLION;
  view.setBigInt64(at, (nanoseconds - rest) / BILLION, true);
  view.setBigInt64(at + 8, rest, true);
}

/** struct stat, 224 bytes. */
export function packStat(s: FileStatus): Uint8Array {
  const bytes = new Uint8Array(224);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, s.dev, true);
  view.setBigUint64(8, s.ino, true);
  view.setBigUint64(16, BigInt(s.nlink), true);
  view.setUint16(24, s.mode, true);
  view.setUint32(28, s.uid, true);
  view.setUint32(32, s.gid, true);
  view.setBigUint64(40, s.rdev, true);
  putTime(view, 48, s.accessed);
  putTime(view, 64, s.modified);
  putTime(view, 80, s.changed);
  putTime(view, 96, s.born > 0n ? s.born : -BILLION);
  view.setBigInt64(112, BigInt(s.size), true);
  view.setBigInt64(120, s.blocks, true);
  view.setInt32(128, s.blockSize, true);
  return bytes;
}

const STATFS_VERSION = 0x2014_0518;
const MNT_RDONLY = 1n;

/** struct statfs, 2344 bytes, of the file system mounted at `mountPoint`. */
export function packStatfs(s: FileSystemStatus, mountPoint: string): Uint8Array {
  const bytes = new Uint8Array(2344);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, STATFS_VERSION, true);
  view.setUint32(4, s.type & 0xff, true);
  const words = [
    s.readOnly ? MNT_RDONLY : 0n,
    BigInt(s.blockSize),
    BigInt(s.blockSize),
    s.blocks,
    s.free,
    s.available,
    s.files,
    s.filesFree,
  ];
  words.forEach((word, i) => {
    view.setBigUint64(8 + i * 8, BigInt.asUintN(64, word), true);
  });
  view.setUint32(184, 255, true);
  const text = (at: number, value: string) => Buffer.from(bytes.buffer).write(value, at, 'latin1');
  text(280, 'nullfs');
  text(296, mountPoint.slice(0, 1023));
  text(1320, mountPoint.slice(0, 1023));
  return bytes;
}

/** Length of a struct dirent with a name of `length` bytes (_GENERIC_DIRLEN). */
function direntLength(length: number): number {
  return Math.ceil((24 + length + 1) / 8) * 8;
}

/** How many bytes of Linux's entries fit surely into `size` bytes of FreeBSD's: the smallest are 24 and 32 bytes. */
export function linuxDirentBytes(size: number): number {
  return Math.floor((size * 3) / 4);
}

/** FreeBSD's directory entries of Linux's (struct linux_dirent64). */
export function convertDirents(linux: Uint8Array): Uint8Array {
  const from = new DataView(linux.buffer, linux.byteOffset, linux.length);
  const entries: Uint8Array[] = [];
  let total = 0;
  for (let at = 0; at < linux.length; at += from.getUint16(at + 16, true)) {
    const name = linux.subarray(at + 19, linux.indexOf(0, at + 19));
    const entry = new Uint8Array(direntLength(name.length));
    const to = new DataView(entry.buffer);
    to.setBigUint64(0, from.getBigUint64(at, true), true);
    to.setBigUint64(8, from.getBigUint64(at + 8, true), true);
    to.setUint16(16, entry.length, true);
    entry[18] = linux[at + 18];
    to.setUint16(20, name.length, true);
    entry.set(name, 24);
    entries.push(entry);
    total += entry.length;
  }
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}
