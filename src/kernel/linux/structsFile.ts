import type { FileStatus } from '../files/fileStatus.js';

/** File structs of Linux on RISC-V 64 (asm-generic layouts), little-endian. */

const BILLION = 1_000_000_000n;

/** Seconds and nanoseconds, which are never negative, not even before 1970. */
function putTime(view: DataView, at: number, nanoseconds: bigint): void {
  const rest = ((nanoseconds % BILLION) + BILLION) % BILLION;
  view.setBigInt64(at, (nanoseconds - rest) / BILLION, true);
  // 32 bits in struct statx, with 32 unused ones; else 64.
  view.setBigInt64(at + 8, rest, true);
}

/** struct stat (include/uapi/asm-generic/stat.h), 128 bytes. */
export function packStat(s: FileStatus): Uint8Array {
  const bytes = new Uint8Array(128);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, s.dev, true);
  view.setBigUint64(8, s.ino, true);
  view.setUint32(16, s.mode, true);
  view.setUint32(20, s.nlink, true);
  view.setUint32(24, s.uid, true);
  view.setUint32(28, s.gid, true);
  view.setBigUint64(32, s.rdev, true);
  view.setBigInt64(48, BigInt(s.size), true);
  view.setInt32(56, s.blockSize, true);
  view.setBigInt64(64, s.blocks, true);
  putTime(view, 72, s.accessed);
  putTime(view, 88, s.modified);
  putTime(view, 104, s.changed);
  return bytes;
}

/** Major and minor number of a device number as Linux encodes it in 32 bits. */
function splitDevice(device: bigint): readonly [number, number] {
  const word = Number(device & 0xffff_ffffn);
  return [(word & 0xfff00) >>> 8, (word & 0xff) | ((word >>> 12) & 0xfff00)];
}

const STATX_BASIC_STATS = 0x7ff;
const STATX_BTIME = 0x800;

/** struct statx (include/uapi/linux/stat.h), 256 bytes. */
export function packStatx(s: FileStatus): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, STATX_BASIC_STATS | (s.born > 0n ? STATX_BTIME : 0), true);
  view.setUint32(4, s.blockSize, true);
  view.setUint32(16, s.nlink, true);
  view.setUint32(20, s.uid, true);
  view.setUint32(24, s.gid, true);
  view.setUint16(28, s.mode, true);
  view.setBigUint64(32, s.ino, true);
  view.setBigUint64(40, BigInt(s.size), true);
  view.setBigUint64(48, s.blocks, true);
  putTime(view, 64, s.accessed);
  if (s.born > 0n) putTime(view, 80, s.born);
  putTime(view, 96, s.changed);
  putTime(view, 112, s.modified);
  const [rdevMajor, rdevMinor] = splitDevice(s.rdev);
  const [devMajor, devMinor] = splitDevice(s.dev);
  view.setUint32(128, rdevMajor, true);
  view.setUint32(132, rdevMinor, true);
  view.setUint32(136, devMajor, true);
  view.setUint32(140, devMinor, true);
  return bytes;
}

/** What statfs(2) tells of a file system. */
export interface FileSystemStatus {
  readonly type: number;
  readonly blockSize: number;
  readonly blocks: bigint;
  readonly free: bigint;
  readonly available: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
  readonly readOnly: boolean;
}

const NAME_MAX = 255n;
const ST_RDONLY = 1n;
const ST_VALID = 0x20n;

/** struct statfs (asm-generic, 64-bit words), 120 bytes. */
export function packStatfs(s: FileSystemStatus): Uint8Array {
  const bytes = new Uint8Array(120);
  const view = new DataView(bytes.buffer);
  const words = [
    BigInt(s.type),
    BigInt(s.blockSize),
    s.blocks,
    s.free,
    s.available,
    s.files,
    s.filesFree,
    0n,
    NAME_MAX,
    BigInt(s.blockSize),
    ST_VALID | (s.readOnly ? ST_RDONLY : 0n),
  ];
  words.forEach((word, i) => {
    view.setBigUint64(i * 8, BigInt.asUintN(64, word), true);
  });
  return bytes;
}
